//! Transfers through a tunnel, beside what the paths under it carry.

use super::*;
use crate::{
    errand::{Encapsulation, TunnelErrand},
    observation::{Transfer, Tried, TunnelSeen},
};

/// A transfer between two that does not arrive.
fn broken(mut stage: Stage, from: &str, to: &str) -> Stage {
    let seen = |peer: &str, took| TunnelSeen {
        turn: 1,
        encapsulation: Encapsulation::Geneve,
        port: 6081,
        peer: node(peer),
        took,
        outcome: Transfer::Tried(Tried {
            mtu: 1500,
            inner_mtu: 1450,
            connected: true,
            ..Tried::default()
        }),
    };
    for (on, peer, takes) in [(to, from, true), (from, to, false)] {
        let errand = TunnelErrand {
            turn: 1,
            encapsulation: Encapsulation::Geneve,
            port: 6081,
            peer: node(peer),
            takes,
        };
        stage = stage
            .sends(on, Errand::Tunnel(errand))
            .tells(on, Record::Tunnel(seen(peer, takes)));
    }
    stage
}

/// Large packets vanish between the subnets, apart from one path, which nobody measured.
fn black_hole(family: Family) -> Stage {
    stage(move |src, dst| {
        let mut seen = match (src, dst) {
            (CP, W1) | (W1, CP) => PathSeen::not_measured(node(dst), family, PathMethod::Nothing),
            _ if crosses(src, dst) => limited(dst, 1400, false),
            _ => whole(dst),
        };
        seen.family = family;
        seen
    })
}

/// The kinds of what a report tells, apart from what the probes of this stage do not tell of at all.
fn kinds(stage: &Stage) -> Vec<CauseKind> {
    let findings = stage.report().findings;
    let mut kinds: Vec<CauseKind> = findings.iter().map(|finding| finding.cause.kind).collect();
    kinds.retain(|kind| *kind != CauseKind::Unmeasured);
    kinds.sort_unstable();
    kinds
}

#[test]
fn a_black_hole_that_breaks_a_transfer_is_one_finding_even_if_nobody_measured_between_these_two() {
    let alone = [CauseKind::PmtudBlackHole];
    let hole = black_hole(Family::Ipv4);
    assert_eq!(kinds(&hole), alone);
    assert_eq!(kinds(&broken(hole.clone(), CP, W1)), alone);
    assert_eq!(kinds(&broken(hole, W2, LB)), alone);
}

#[test]
fn a_transfer_that_breaks_where_no_black_hole_is_has_a_finding_of_its_own() {
    let both = [CauseKind::TunnelBroken, CauseKind::PmtudBlackHole];
    assert_eq!(kinds(&broken(black_hole(Family::Ipv4), CP, LB)), both);
    let of_ipv6 = broken(black_hole(Family::Ipv6), CP, W2);
    assert!(
        kinds(&of_ipv6).contains(&CauseKind::TunnelBroken),
        "the tunnel is of IPv4"
    );
}
