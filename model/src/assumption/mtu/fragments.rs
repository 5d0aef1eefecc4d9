//! MTU-007: fragments pass.

use std::collections::BTreeSet;

use crate::{
    assumption::{
        Complaint, Explains, Ruling, Scene,
        paths::{self, Pair, Path, Spot, spots},
    },
    cause::{Cause, CauseKind, Fix},
    report::check::Check,
};

use super::limits::is_lost_by_size;

/// Fragments pass.
pub(crate) const CHECK: Check = Check {
    id: "MTU-007",
    asserts: "a UDP datagram that has to be fragmented arrives",
    how: "an authenticated STAMP packet of 3000 octets, or of 1000 more than the interface takes, without the don't-fragment bit, with a \
          small one behind it; only where packets of the full size pass",
    needs: "as MTU-002",
    rule: "warns if six of them stay away while the small ones behind them arrive; fails with forwardMode dsr, which makes packets longer \
           on their way",
    remedy: "let fragments through the packet filters and routers on the way: large answers of DNS and logs come in fragments",
    source: "RFC 791, RFC 8200 section 4.5; RFC 8900 on how fragile it is",
};

/// Judges every path; what several have in common is one complaint.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let all: Vec<Path<'_>> = paths::told(scene)
        .into_iter()
        .filter(|path| path.seen.what.fragments.is_some())
        .collect();
    let is_lost = |path: &Path<'_>| {
        path.seen
            .what
            .fragments
            .is_some_and(|size| is_lost_by_size(&size))
    };
    let is_passed = |path: &&Path<'_>| path.seen.what.fragments.is_some_and(|size| size.answered > 0);
    let measured: BTreeSet<Pair> = all.iter().map(Path::pair).collect();
    let bad: BTreeSet<Pair> = all.iter().filter(|path| is_lost(path)).map(Path::pair).collect();
    let mut rulings: Vec<Ruling> = spots(&measured, &bad, |node| paths::subnet(scene, node))
        .into_iter()
        .map(|spot| ruling(scene, spot, &all))
        .collect();
    let good: Vec<Path<'_>> = all.iter().filter(is_passed).copied().collect();
    rulings.extend(paths::passes(scene, &good, |paths| {
        let sizes = paths.iter().filter_map(|path| path.seen.what.fragments);
        let octets = sizes.map(|size| size.octets).max().unwrap_or(0);
        format!("datagrams of {octets} octets arrive in fragments")
    }));
    rulings
}

fn ruling(scene: &Scene<'_>, spot: Spot, all: &[Path<'_>]) -> Ruling {
    let own: Vec<&Path<'_>> = all
        .iter()
        .filter(|path| spot.pairs.contains(&path.pair()))
        .filter(|path| {
            path.seen
                .what
                .fragments
                .is_some_and(|size| is_lost_by_size(&size))
        })
        .collect();
    let (from, to) = (paths::side(scene, &spot.from), paths::side(scene, &spot.to));
    let back = if spot.both_ways { " and back" } else { "" };
    let families = paths::families(own.iter().copied());
    let detail = format!(
        "{families} fragments from {from} to {to}{back} are lost: datagrams larger than one packet never arrive, smaller ones do"
    );
    let complaint = Complaint {
        cause: Cause {
            kind: match spot.node {
                Some(_) => CauseKind::HostFirewall,
                None => CauseKind::PathFilter,
            },
            node: spot.node,
            between: spot.node.is_none().then(|| [spot.from.clone(), spot.to.clone()]),
            detail,
        },
        fix: Fix {
            text: "Let IP fragments pass where packets are filtered on the way, or keep large datagrams (DNS, logs) off this path.".to_owned(),
            commands: Vec::new(),
        },
        evidence: own.iter().map(|path| path.seen.line).collect(),
        explains: Explains::default(),
    };
    let subject = format!("{from} to {to}");
    match scene.inventory.direct_server_return {
        true => Ruling::fail(subject, complaint),
        false => Ruling::warn(subject, complaint),
    }
}
