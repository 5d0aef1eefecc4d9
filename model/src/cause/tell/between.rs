//! Causes between nodes.

use crate::{
    id::NodeId,
    report::{Status, check},
};

use super::{
    super::{
        CauseKind, Fix,
        attribute::ALTERED,
        fix::{said_list, said_ports},
        group::Group,
    },
    Teller, Told,
};

impl Teller<'_> {
    pub(super) fn between(&self, kind: CauseKind, how: &str, group: &Group) -> Told {
        let ports = said_ports(&group.tests);
        let count = self.count(&group.tests);
        let [from, to] = [0, 1].map(|side: usize| self.side(&group.sides[side], &group.tests));
        let way = if group.is_across_subnets() {
            "from each subnet to the others".to_owned()
        } else if group.both_ways {
            format!("between {from} and {to}")
        } else {
            format!("from {from} to {to}")
        };
        let what = if group.is_whole {
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
                    "{ports} {way} arrives from {}, which is no node's address: sources are translated on the way: {count}",
                    how
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
            _ if group.is_placed && group.is_whole => (
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
        let ports = said_ports(&group.tests);
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
        let sample = group.tests.by_pair.iter().next();
        let retest = sample.and_then(|((src, dst, _), ports)| {
            let port = ports.ranges().first()?.first();
            Some(match src {
                NodeId::Coordinator => format!("nc -vz -w 3 {dst} {port}"),
                NodeId::Address(address) => format!("ssh {address} nc -vz -w 3 {dst} {port}"),
            })
        });
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
            commands: retest.into_iter().collect(),
        }
    }
}

/// `10.0.0.254 with ICMP 3/13`.
fn rejection(group: &Group) -> String {
    let offenders: Vec<String> = group.offenders.iter().map(ToString::to_string).collect();
    let who = if offenders.is_empty() {
        "somebody".to_owned()
    } else {
        said_list(&offenders, MAX_SAID_OFFENDERS)
    };
    let said = |icmp: &Option<(u8, u8)>| match icmp {
        Some((kind, code)) => format!("ICMP {kind}/{code}"),
        None => "TCP reset".to_owned(),
    };
    // IPv4's first, as everywhere.
    let how: Vec<String> = group.rejections.iter().rev().map(said).collect();
    format!("{who} with {}", said_list(&how, how.len()))
}

/// Addresses of offenders in one sentence.
const MAX_SAID_OFFENDERS: usize = 4;

/// More nodes than this make a command line nobody types.
const MAX_NODES_IN_COMMAND: usize = 20;
