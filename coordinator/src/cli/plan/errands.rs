//! What participants do beside the tests, as `plan` tells it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use plumbline_model::{
    errand::{Errand, Errands, Kind, MAX_DIALS_A_SECOND, MAX_LINK_PACKETS_A_SECOND},
    evidence::Parameters,
    id::NodeId,
};

use crate::render::count;

/// One line for each kind of errand that somebody has; nothing if nobody has any.
pub(super) fn beside(errands: &Errands, parameters: &Parameters) -> String {
    let mut kinds: BTreeMap<Kind, BTreeSet<NodeId>> = BTreeMap::new();
    for (node, of_node) in errands {
        for errand in of_node {
            kinds.entry(errand.kind()).or_default().insert(*node);
        }
    }
    if kinds.is_empty() {
        return String::new();
    }
    let mut out = String::from("Beside the tests:\n");
    for (kind, nodes) in kinds {
        let who = count(u64::try_from(nodes.len()).unwrap_or(u64::MAX), "node");
        let _ = writeln!(out, "  {} ({who}): {}", name(kind), sends(kind));
        if kind == Kind::Hold {
            holders(errands, &mut out);
        }
    }
    if !parameters.active {
        out.push_str(
            "  Not without --active: taking VIPs, BGP sessions, tunnels. The checks that need them are listed as not measured.\n",
        );
    }
    out.push('\n');
    out
}

/// One line for each VIP: who takes it, in turn, and how many ask for it.
fn holders(errands: &Errands, out: &mut String) {
    let mut turns: BTreeMap<u32, (String, Vec<String>, usize)> = BTreeMap::new();
    for (node, of_node) in errands {
        for errand in of_node {
            let Errand::Hold(hold) = errand else { continue };
            let (vip, takers, callers) = turns.entry(hold.turn).or_default();
            *vip = format!("{} (TCP {})", hold.vip, hold.port);
            if hold.takes() {
                takers.push(node.to_string());
            } else {
                *callers += 1;
            }
        }
    }
    for (vip, takers, callers) in turns.into_values() {
        let callers = count(u64::try_from(callers).unwrap_or(u64::MAX), "participant");
        let _ = writeln!(
            out,
            "      {vip}: taken by {}; asked for by {callers}, ten times a second each.",
            takers.join(", ")
        );
    }
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
        Kind::Dial => format!(
            "TCP connections and TLS handshakes to the servers outside, questions to name servers, connections to routers,\n      as \
             the files and the profile name them; at most {MAX_DIALS_A_SECOND} a second a node, and nothing is asked of a server.\n      \
             A policy file with `dial: false` forbids it."
        ),
        Kind::Path => "packets of up to the MTU to the other nodes, a few a pair.".to_owned(),
        Kind::Hold => "takes a VIP for seconds, one bare node at a time, unless somebody has it, and announces it by five\n      \
                       gratuitous ARP packets or neighbour advertisements, at most five a second. The address carries a\n      \
                       lifetime of 30 s: the kernel removes it even if everything of ours is killed. CAP_NET_ADMIN,\n      \
                       CAP_NET_RAW. A policy file with `active: false` forbids it."
            .to_owned(),
        Kind::Tunnel => "10 MB over TCP through a tunnel device of its own, in a network namespace of its own, one pair of\n      \
                         bare nodes at a time. CAP_NET_ADMIN, CAP_SYS_ADMIN. A policy file with `active: false` forbids it."
            .to_owned(),
    }
}
