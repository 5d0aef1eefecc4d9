//! MTU-005: the overlay's UDP passes at full size, whatever the source port.

use std::collections::BTreeSet;

use crate::{
    assumption::{
        Complaint, Explains, Ruling, Scene,
        paths::{self, Pair, Path, Spot, spots},
    },
    cause::{Cause, CauseKind, Fix},
    observation::{FlowsSeen, PathMethod},
    report::check::Check,
};

/// The overlay's UDP passes at full size, whatever the source port.
pub(crate) const CHECK: Check = Check {
    id: "MTU-005",
    asserts: "UDP datagrams as large as the path takes all arrive at the overlay's port, from whichever source port",
    how: "200 authenticated STAMP packets of the largest size (fewer, 32 at least, where the run's rate has no time for more) from 16 source \
          ports to the overlay's UDP port, two at a time; source ports that lost any send ten more, each with a small one behind it",
    needs: "a bare destination: on live nodes nothing is sent into the overlay's port",
    rule: "fails if most of the second round, and five or more, stay away, or twelve, while at least four (eight) times as many as of \
           the small ones do; loss that is not seen again, or does not look at the size, is none of this check's",
    remedy: "look for a member of a LAG or ECMP group with a smaller MTU, for a rate limit of UDP, and for a packet filter that takes \
             large UDP for an attack",
    source: "RFC 8926 section 4, RFC 7348 section 4.2: tunnels spread flows by source port; RFC 8762",
};

/// Judges every path with many flows.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let all = paths::told(scene);
    let with_flows: Vec<(Path<'_>, FlowsSeen)> = all
        .iter()
        .filter_map(|path| Some((*path, path.seen.what.flows?)))
        .collect();
    let measured: BTreeSet<Pair> = with_flows.iter().map(|(path, _)| path.pair()).collect();
    let lossy: Vec<&(Path<'_>, FlowsSeen)> = with_flows.iter().filter(|(_, flows)| is_lossy(flows)).collect();
    let bad: BTreeSet<Pair> = lossy.iter().map(|(path, _)| path.pair()).collect();
    let mut rulings: Vec<Ruling> = spots(&measured, &bad, |node| paths::subnet(scene, node))
        .into_iter()
        .map(|spot| ruling(scene, spot, &lossy))
        .collect();
    let good: Vec<Path<'_>> = with_flows
        .iter()
        .filter(|(_, flows)| !is_lossy(flows))
        .map(|(path, _)| *path)
        .collect();
    rulings.extend(paths::passes(scene, &good, |paths| {
        let flows = paths.iter().filter_map(|path| path.seen.what.flows);
        let octets = flows.clone().map(|flows| flows.octets).max().unwrap_or(0);
        let sent: u32 = flows.clone().map(|flows| flows.sent).sum();
        let lost: u32 = flows.map(|flows| flows.sent.saturating_sub(flows.answered)).sum();
        match lost {
            0 => format!("{sent} datagrams of up to {octets} octets arrived"),
            _ => format!(
                "{sent} datagrams of up to {octets} octets were sent; {lost} were not answered, and that was not seen again for their \
                 size"
            ),
        }
    }));
    rulings
}

/// Whether large packets stay away again while small ones do not.
fn is_lossy(flows: &FlowsSeen) -> bool {
    let again_lost = flows.again_sent.saturating_sub(flows.again_answered);
    let beside_lost = flows.beside_sent.saturating_sub(flows.beside_answered);
    let is_most =
        again_lost >= LOST_AGAIN && again_lost * 2 >= flows.again_sent && beside_lost * 4 <= again_lost;
    let is_many = again_lost >= LOST_MANY && beside_lost * 8 <= again_lost;
    is_most || is_many
}

fn ruling(scene: &Scene<'_>, spot: Spot, lossy: &[&(Path<'_>, FlowsSeen)]) -> Ruling {
    let own: Vec<&&(Path<'_>, FlowsSeen)> = lossy
        .iter()
        .filter(|(path, _)| spot.pairs.contains(&path.pair()))
        .collect();
    let octets = own.iter().map(|(_, flows)| flows.octets).max().unwrap_or(0);
    let lost: u32 = own
        .iter()
        .map(|(_, flows)| flows.sent.saturating_sub(flows.answered))
        .sum();
    let sent: u32 = own.iter().map(|(_, flows)| flows.sent).sum();
    let ports: BTreeSet<u16> = own
        .iter()
        .filter_map(|(path, _)| match path.seen.what.by {
            PathMethod::Stamp { port } => Some(port),
            _ => None,
        })
        .collect();
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let (from, to) = (paths::side(scene, &spot.from), paths::side(scene, &spot.to));
    let detail = format!(
        "{lost} of {sent} datagrams of {octets} octets to UDP {} from {from} to {to} were lost, from some source ports again and again, \
         while small ones arrived",
        ports.join(", ")
    );
    let complaint = Complaint {
        cause: Cause {
            kind: CauseKind::LossyPath,
            node: spot.node,
            between: spot.node.is_none().then(|| [spot.from.clone(), spot.to.clone()]),
            detail,
        },
        fix: Fix {
            text: "Look for a member of a LAG or ECMP group on the way that has a smaller MTU or is broken, and for a rate limit of UDP."
                .to_owned(),
            commands: Vec::new(),
        },
        evidence: own.iter().map(|(path, _)| path.seen.line).collect(),
        explains: Explains::default(),
    };
    Ruling::fail(format!("{from} to {to}"), complaint)
}

/// Datagrams of the second round that stay away, if they are most of it: a member of a bundle that takes no large ones takes none
/// of a source port's.
const LOST_AGAIN: u32 = 5;

/// So many are no chance, whatever their share: loss by chance of a tenth takes as many small ones.
const LOST_MANY: u32 = 12;
