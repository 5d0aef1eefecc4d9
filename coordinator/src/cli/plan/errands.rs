//! What participants do beside the tests, as `plan` tells it.

use std::{collections::BTreeMap, fmt::Write as _};

use plumbline_model::{
    errand::{Errands, Kind, MAX_LINK_PACKETS_A_SECOND},
    evidence::Parameters,
};

use crate::render::count;

/// One line for each kind of errand that somebody has; nothing if nobody has any.
pub(super) fn beside(errands: &Errands, parameters: &Parameters) -> String {
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    for of_node in errands.values() {
        for errand in of_node {
            *kinds.entry(errand.kind()).or_default() += 1;
        }
    }
    if kinds.is_empty() {
        return String::new();
    }
    let mut out = String::from("Beside the tests:\n");
    for (kind, nodes) in kinds {
        let who = count(u64::try_from(nodes).unwrap_or(u64::MAX), "node");
        let _ = writeln!(out, "  {} ({who}): {}", name(kind), sends(kind));
    }
    if !parameters.active {
        out.push_str(
            "  Not without --active: taking VIPs, BGP sessions, tunnels. The checks that need them are listed as not measured.\n",
        );
    }
    out.push('\n');
    out
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Inspect => "inspect",
        Kind::Listen => "listen",
        Kind::Link => "link",
        Kind::Dial => "dial",
        Kind::Path => "path",
        Kind::Hold => "hold a VIP",
        Kind::Tunnel => "tunnel",
    }
}

fn sends(kind: Kind) -> String {
    match kind {
        Kind::Inspect => "reads the host's settings; sends nothing, runs nothing.".to_owned(),
        Kind::Listen => "listens to ARP, neighbour discovery and VRRP on the link; sends nothing. CAP_NET_RAW.".to_owned(),
        Kind::Link => format!(
            "ARP requests and neighbour solicitations, at most {MAX_LINK_PACKETS_A_SECOND} a second a node; never an \
             announcement.\n      VIPs are asked for as RFC 5227 does, which enters no cache. CAP_NET_RAW."
        ),
        Kind::Dial => "one connection at a time to the routers, resolvers and names that the files give.".to_owned(),
        Kind::Path => "packets of up to the MTU to the other nodes, a few a pair.".to_owned(),
        Kind::Hold => "takes a VIP for seconds, one node at a time, and announces it. The address carries a lifetime: the\n      \
                       kernel removes it even if everything of ours is killed. CAP_NET_ADMIN, CAP_NET_RAW."
            .to_owned(),
        Kind::Tunnel => "a transfer through a tunnel device of its own, in a network namespace of its own. CAP_NET_ADMIN, \
                         CAP_SYS_ADMIN."
            .to_owned(),
    }
}
