//! Causes between nodes.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    id::NodeId,
    ledger::Transport,
    port::{Family, Protocol},
    report::{Status, check},
};

use super::{
    super::{
        CauseKind, Fix, attribute::ALTERED, blame::Tests, fix::said_list, group::Group, host::address_of,
    },
    Teller, Told,
};

impl Teller<'_> {
    pub(super) fn between(&self, kind: CauseKind, how: &str, group: &Group) -> Told {
        let ports = self.ports(&group.tests);
        let count = self.count(&group.tests);
        let [from, to] = [0, 1].map(|side: usize| self.side(&group.sides[side], &group.tests));
        // A retest asks few of them for little.
        let is_whole = group.is_whole && !self.is_retest();
        let way = if group.is_across_subnets() && !self.is_retest() {
            "from each subnet to the others".to_owned()
        } else if group.both_ways {
            format!("between {from} and {to}")
        } else {
            format!("from {from} to {to}")
        };
        let what = if is_whole {
            format!("nothing passes {way} (asked: {ports})")
        } else {
            format!("{ports} {way}")
        };
        let unplaced = "no capture could tell whether a host or the path is to blame, and no packet filter that could be \
                        read stops it";
        let (most, detail) = match kind {
            CauseKind::PathReject => (
                Status::Fail,
                format!(
                    "{ports} {way} is rejected on the way by {}: {count}",
                    rejection(group)
                ),
            ),
            CauseKind::ReturnPathFilter => (
                Status::Fail,
                format!(
                    "{ports} {way}: questions arrive and answers leave, but are lost on their way back: {count}"
                ),
            ),
            CauseKind::WrongResponder if how == ALTERED => (
                Status::Fail,
                format!(
                    "datagrams to {ports} {way} arrive altered: the peers' responders receive them and can verify none: {count}"
                ),
            ),
            CauseKind::WrongResponder => (
                Status::Fail,
                format!("something other than the peers' responders answers {ports} {way}: {count}"),
            ),
            CauseKind::SourceNat => (
                Status::Fail,
                format!(
                    "{ports} {way} arrives from {}, no node's address: sources are translated on the way: {count}",
                    said_addresses(&group.seen_as, "another address")
                ),
            ),
            CauseKind::NotAdjacent => (
                Status::Fail,
                format!("link addresses do not resolve {way}: {count}, though the peers' probes are up"),
            ),
            CauseKind::LossyPath => (
                Status::Warn,
                format!("some attempts at {ports} {way} were answered and some were not: {count}"),
            ),
            _ if group.is_placed && is_whole => (
                Status::Fail,
                format!("{what}: {count}; questions leave their hosts and do not arrive"),
            ),
            _ if group.is_placed => (
                Status::Fail,
                format!(
                    "{what} is dropped on the way: {count}; questions leave their hosts and do not arrive"
                ),
            ),
            _ => (
                Status::Fail,
                format!("{what}: {count} without an answer; {unplaced}"),
            ),
        };
        Told {
            check: check::REACH_TCP.id,
            kind,
            node: None,
            detail,
            fix: self.ask_the_network_team(kind, group, &way),
            most,
        }
    }

    pub(super) fn ask_the_network_team(&self, kind: CauseKind, group: &Group, way: &str) -> Fix {
        let ports = self.ports(&group.tests);
        let text = match kind {
            CauseKind::LossyPath => format!(
                "Look for errors on links, switch ports and bonds {way} (ethtool -S, switch counters)."
            ),
            CauseKind::NotAdjacent => format!(
                "Look at VLANs, switch ports and port isolation {way}: ARP or neighbour discovery gets no answer."
            ),
            CauseKind::WrongResponder => format!(
                "Ask the network team for proxies, translations and duplicate addresses {way} that answer {ports}."
            ),
            CauseKind::SourceNat => format!(
                "Ask the network team to exempt traffic {way} from source address translation (SNAT, masquerade)."
            ),
            CauseKind::ReturnPathFilter => format!(
                "Ask the network team which filter or asymmetric route loses the answers to {ports} {way}."
            ),
            _ => format!("Ask the network team to allow {ports} {way}."),
        };
        let mut nodes: Vec<String> = group.sides.iter().flatten().map(ToString::to_string).collect();
        nodes.sort();
        nodes.dedup();
        let again = if nodes.len() <= MAX_NODES_IN_COMMAND {
            format!(
                " Then audit them again: --only reach --nodes {}.",
                nodes.join(",")
            )
        } else {
            " Then audit again: --only reach.".to_owned()
        };
        Fix {
            text: text + &again,
            commands: self.try_again(&group.tests),
        }
    }
}

impl Teller<'_> {
    /// One of the tests by hand, TCP if there is any: `nc` alone tells nothing of a datagram that nobody answers.
    fn try_again(&self, tests: &Tests) -> Vec<String> {
        let is_udp = |(_, _, (_, protocol)): &Key| *protocol != Protocol::Tcp;
        let sample = tests.by_pair.iter().min_by_key(|(key, _)| is_udp(key));
        let tried = sample.and_then(|((src, dst, (family, protocol)), ports)| {
            let port = ports.ranges().first()?.first();
            let on = |node: &NodeId, command: &str| match node {
                NodeId::Coordinator => command.to_owned(),
                NodeId::Address(address) if command.contains('|') => format!("ssh {address} '{command}'"),
                NodeId::Address(address) => format!("ssh {address} {command}"),
            };
            let address = address_of(self.ledger, *dst, *family)?;
            let nc = match family {
                Family::Ipv4 => "nc",
                Family::Ipv6 => "nc -6",
            };
            if *protocol == Protocol::Tcp {
                return Some(vec![on(src, &format!("{nc} -vz -w 3 {address} {port}"))]);
            }
            let filter = format!("{protocol} dst port {port} and dst host {address}");
            let waits = on(dst, &format!("timeout 20 tcpdump -n -c 1 -i any {filter}"));
            let sends = on(src, &format!("echo | {nc} -u -w 1 {address} {port}"));
            Some(vec![format!("{waits} &"), format!("sleep 2; {sends}")])
        });
        tried.unwrap_or_default()
    }
}

/// A pair of participants and the transport between them.
type Key = (NodeId, NodeId, Transport);

/// `10.0.0.254 with ICMP 3/13`.
fn rejection(group: &Group) -> String {
    let who = said_addresses(&group.offenders, "somebody");
    let said = |icmp: &Option<(u8, u8)>| match icmp {
        Some((kind, code)) => format!("ICMP {kind}/{code}"),
        None => "TCP reset".to_owned(),
    };
    // IPv4's first, as everywhere.
    let how: Vec<String> = group.rejections.iter().rev().map(said).collect();
    format!("{who} with {}", said_list(&how, how.len()))
}

fn said_addresses(addresses: &BTreeSet<IpAddr>, if_none: &str) -> String {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if all.is_empty() {
        return if_none.to_owned();
    }
    said_list(&all, MAX_SAID_ADDRESSES)
}

/// Addresses of offenders and of translations in one sentence.
const MAX_SAID_ADDRESSES: usize = 4;

/// More nodes than this make a command line nobody types.
const MAX_NODES_IN_COMMAND: usize = 20;
