//! What participants do beside the tests, as `plan` tells it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use plumbline_model::{
    errand::{
        Depth, DialTarget, Errand, Errands, Kind, MAX_DIALS_A_SECOND, MAX_LINK_PACKETS_A_SECOND,
        MAX_PATH_DATAGRAMS, MAX_PATH_PACKETS_A_SECOND, Via,
    },
    evidence::Parameters,
    id::NodeId,
};

use crate::render::{count, printable};

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
        match kind {
            Kind::Hold => holders(errands, &mut out),
            Kind::Dial => outside(errands, &mut out),
            _ => {}
        }
    }
    if !parameters.active {
        out.push_str(
            "  Not without --active: taking VIPs, an OPEN to BGP routers, tunnels. The checks that need them are listed as not measured.\n",
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

/// One line for each host outside the swarm that is contacted: what is sent to it, and by how many.
fn outside(errands: &Errands, out: &mut String) {
    let mut contacted: BTreeMap<(u8, String), BTreeSet<NodeId>> = BTreeMap::new();
    for (node, of_node) in errands {
        for errand in of_node {
            let Errand::Dial(dial) = errand else { continue };
            let via = dial
                .proxy
                .as_ref()
                .map(|proxy| format!("{}:{}", proxy.host, proxy.port));
            for target in &dial.targets {
                let said = contact(target, via.as_deref());
                contacted.entry(said).or_default().insert(*node);
            }
        }
    }
    out.push_str("      Outside the nodes above these are contacted, and nobody else:\n");
    for ((_, what), nodes) in contacted {
        let who = count(u64::try_from(nodes.len()).unwrap_or(u64::MAX), "node");
        let _ = writeln!(out, "        {} ({who})", printable(&what));
    }
}

/// A target in words, by kinds in the order in which they are told.
fn contact(target: &DialTarget, via: Option<&str>) -> (u8, String) {
    match target {
        DialTarget::Site(site) => {
            let way = match (site.via, via) {
                (Via::Proxy, Some(proxy)) => format!(", through the proxy {proxy}"),
                _ => String::new(),
            };
            (0, format!("{}:{}, a TLS handshake{way}", site.host, site.port))
        }
        DialTarget::Question(question) => match question.server {
            Some(server) => (1, format!("{server}:53, a question over UDP and TCP")),
            None => (
                1,
                "the node's own name servers (/etc/resolv.conf), a question over UDP and TCP".to_owned(),
            ),
        },
        DialTarget::Peer(peer) => {
            let how = match peer.depth {
                Depth::Connect => "a connection without a word".to_owned(),
                Depth::Open => {
                    format!(
                        "a connection, an OPEN of AS {} and a NOTIFICATION; no session comes to be",
                        peer.local_as
                    )
                }
            };
            (
                2,
                format!(
                    "{}:179 (BGP), {how}, unless the node is live or speaks BGP",
                    peer.address
                ),
            )
        }
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
        Kind::Path => format!(
            "UDP packets of up to the MTU to the other nodes' responders, at an overlay's port if there is one, else echo\n      \
             requests: up to {MAX_PATH_DATAGRAMS} of the largest a pair, and some larger ones in fragments; at most\n      \
             {MAX_PATH_PACKETS_A_SECOND} a second a node, and no longer than a minute."
        ),
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

#[cfg(test)]
mod tests {
    use plumbline_model::errand::{Anchors, DialErrand, PeerTarget, ProxyServer, Question, RecordType, Site};

    use super::*;

    #[test]
    fn whoever_is_contacted_outside_the_swarm_is_listed_with_what_is_sent() {
        let site = |host: &str, via| {
            DialTarget::Site(Site {
                host: host.to_owned(),
                port: 443,
                via,
                anchors: Anchors::Public,
            })
        };
        let question = |server: Option<&str>| {
            DialTarget::Question(Question {
                server: server.map(|server| server.parse().unwrap()),
                name: "1.0.0.10.in-addr.arpa".to_owned(),
                record: RecordType::Ptr,
            })
        };
        let peer = |address: &str, depth| {
            DialTarget::Peer(PeerTarget {
                address: address.parse().unwrap(),
                local_as: 65_001,
                peer_as: 65_000,
                depth,
            })
        };
        let dial = DialErrand {
            targets: vec![
                site("mirror.example", Via::Direct),
                site("gcr.io", Via::Proxy),
                question(None),
                question(Some("10.9.0.53")),
                peer("10.0.0.254", Depth::Connect),
                peer("10.0.0.253", Depth::Open),
            ],
            proxy: Some(ProxyServer {
                host: "proxy.example".to_owned(),
                port: 3128,
                login: None,
            }),
            roots: Vec::new(),
        };
        let errands = Errands::from([
            ("10.0.0.1".parse().unwrap(), vec![Errand::Dial(dial.clone())]),
            ("10.0.0.2".parse().unwrap(), vec![Errand::Dial(dial)]),
        ]);
        let mut told = String::new();
        outside(&errands, &mut told);
        for line in [
            "mirror.example:443, a TLS handshake (2 nodes)",
            "gcr.io:443, a TLS handshake, through the proxy proxy.example:3128 (2 nodes)",
            "the node's own name servers (/etc/resolv.conf), a question over UDP and TCP (2 nodes)",
            "10.9.0.53:53, a question over UDP and TCP (2 nodes)",
            "10.0.0.254:179 (BGP), a connection without a word",
            "10.0.0.253:179 (BGP), a connection, an OPEN of AS 65001",
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
    }
}
