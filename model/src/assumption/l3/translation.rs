//! L3-002: addresses are not translated between nodes.

use crate::{
    assumption::{Lack, Ruling, Scene},
    ledger::Transport,
    port::{Family, Protocol},
    report::check::Check,
    verdict::Outcome,
};

/// Addresses are not translated between nodes.
pub(crate) const CHECK: Check = Check {
    id: "L3-002",
    asserts: "a node sees the packets of another with that node's own address as their source",
    how: "by the port matrix: responders tell from which address each proven packet came; nothing is sent for it",
    needs: "nothing",
    rule: "a row for each node: what arrives from an address that is nobody's is a finding of the port matrix",
    remedy: "take the nodes' addresses out of the rules that translate sources (masquerade, SNAT)",
    source: "Kubernetes: nodes reach nodes without NAT; RFC 3022",
};

/// One row for each node that told of what its responders heard.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let mut rulings = Vec::new();
    for node in scene.nodes() {
        let Ok(log) = scene.log(node) else { continue };
        let is_asked = |transport: Transport| {
            let to_it = scene
                .pairs
                .iter()
                .filter(|pair| pair.dst == node && pair.transport == transport);
            to_it
                .flat_map(|pair| &pair.cells)
                .any(|cell| cell.outcome == Outcome::Open)
        };
        let translated: Vec<Transport> = TRANSPORTS
            .into_iter()
            .filter(|transport| !log.translated_ports(*transport).is_empty())
            .collect();
        if !translated.is_empty() {
            let why =
                "proven packets came from an address that is nobody's: see the findings of the port matrix"
                    .to_owned();
            rulings.push(Ruling::not_measured(scene.name(node), Lack::ToldElsewhere(why)));
        } else if TRANSPORTS.into_iter().any(is_asked) {
            rulings.push(Ruling::pass(
                scene.name(node),
                "every proven packet came from the address of the node that sent it",
            ));
        }
    }
    rulings
}

const TRANSPORTS: [Transport; 4] = [
    (Family::Ipv4, Protocol::Tcp),
    (Family::Ipv4, Protocol::Udp),
    (Family::Ipv6, Protocol::Tcp),
    (Family::Ipv6, Protocol::Udp),
];
