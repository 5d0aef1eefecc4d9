//! Causes between nodes.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    id::NodeId,
    ledger::Transport,
    port::{Family, Protocol},
    report::{Status, check},
    verdict::Way,
};

use super::{
    super::{
        CauseKind, Fix,
        attribute::ALTERED,
        blame::Tests,
        fix::{RETEST, said_list, show_filter},
        group::Group,
        host::{address_of, judge},
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
        let (most, detail) = match kind {
            CauseKind::PathReject if !group.is_placed => (
                Status::Fail,
                format!(
                    "{ports} {way} is rejected by {}: {count}; {}",
                    rejection(group),
                    self.unplaced(group)
                ),
            ),
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
            _ => (Status::Fail, self.silence(group, &what, is_whole)),
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
        let by_hand = self.try_again(&group.tests);
        let reading = match kind {
            CauseKind::PathFilter | CauseKind::ReturnPathFilter
                if by_hand.iter().any(|command| command.contains("-vz")) =>
            {
                " By hand, \"refused\" means that the path is open and nothing listens there now, \"timed out\" that it is still \
                 blocked."
            }
            _ => "",
        };
        if let Some(mut fix) = self.look_at_ends(kind, group, &text) {
            fix.text += reading;
            fix.commands.extend(by_hand);
            return fix;
        }
        Fix {
            text: format!("{text} Then {RETEST}.{reading}"),
            commands: by_hand,
        }
    }

    /// Questions without an answer: `what` of them.
    fn silence(&self, group: &Group, what: &str, is_whole: bool) -> String {
        let count = self.count(&group.tests);
        let astray = "questions leave their hosts and do not arrive";
        match (group.is_placed, is_whole) {
            (true, true) => format!("{what}: {count}; {astray}"),
            (true, false) => format!("{what} is dropped on the way: {count}; {astray}"),
            (false, _) => format!("{what}: {count} without an answer; {}", self.unplaced(group)),
        }
    }

    /// Why nobody knows where it ends.
    fn unplaced(&self, group: &Group) -> String {
        let blind = self.blind(group);
        if blind.is_empty() {
            return "no capture could tell whether a host or the path is to blame, and no packet filter that could be read \
                    stops it"
                .to_owned();
        }
        let needs = self.needs(&blind);
        let needs: Vec<String> = needs.iter().map(|(_, purpose)| (*purpose).to_owned()).collect();
        format!(
            "nothing tells whether a host or the path is to blame, since the probes on {} lack the privilege to {}",
            self.side(&blind, &group.tests),
            said_list(&needs, needs.len())
        )
    }

    /// What comes before the network team, where an end was not really looked at: the privilege to look, or a packet filter
    /// that does not tell. `ask` is what the team would be asked.
    fn look_at_ends(&self, kind: CauseKind, group: &Group, ask: &str) -> Option<Fix> {
        let concerns = matches!(
            kind,
            CauseKind::PathFilter
                | CauseKind::PathReject
                | CauseKind::ReturnPathFilter
                | CauseKind::WrongResponder
        );
        if group.is_placed || !concerns {
            return None;
        }
        let tests = &group.tests;
        let blind = self.blind(group);
        if blind.is_empty() {
            let (node, way) = self.unjudged(tests)?;
            return Some(Fix {
                text: format!(
                    "Look at the packet filter of {} first: {}. If it lets them pass: {ask} Then {RETEST}.",
                    self.name(node),
                    self.unread(node, way, tests)
                ),
                commands: self.looks_on(&[node], tests),
            });
        }
        let needs: Vec<String> = self
            .needs(&blind)
            .iter()
            .map(|(capability, purpose)| format!("{capability} to {purpose}"))
            .collect();
        let mut unread = match group.both_ways {
            true => group.sides.concat(),
            false => group.sides[1].clone(),
        };
        unread.retain(|node| self.ruleset(*node).is_none());
        if unread.is_empty() {
            unread = blind.clone();
            unread.retain(|node| self.ruleset(*node).is_none());
        }
        let until = match unread.is_empty() {
            true => String::new(),
            false => format!(
                " Until then look at the packet filter of {}.",
                self.side(&unread, tests)
            ),
        };
        Some(Fix {
            text: format!(
                "Run the probes on {} as root ({}), then {RETEST}.{until}",
                self.side(&blind, tests),
                said_list(&needs, needs.len())
            ),
            commands: self.looks_on(&unread, tests),
        })
    }

    /// Shows the packet filters of nodes, the first few.
    fn looks_on(&self, nodes: &[NodeId], tests: &Tests) -> Vec<String> {
        let shows = show_filter(tests);
        let nodes = nodes.iter().take(MAX_SHOWN_FILTERS);
        nodes
            .flat_map(|node| shows.iter().map(|command| self.inventory.ssh(*node, command)))
            .collect()
    }

    /// The ends whose probes may not capture or may not read the packet filter, ascending.
    fn blind(&self, group: &Group) -> Vec<NodeId> {
        let ends: BTreeSet<NodeId> = group.sides.iter().flatten().copied().collect();
        ends.into_iter()
            .filter(|node| self.may_not_capture(*node) || self.may_not_read(*node))
            .collect()
    }

    /// The capabilities that some of these nodes' probes lack, and what for.
    fn needs(&self, blind: &[NodeId]) -> Vec<(&'static str, &'static str)> {
        let capture = blind.iter().any(|node| self.may_not_capture(*node));
        let read = blind.iter().any(|node| self.may_not_read(*node));
        let capture = capture.then_some(("CAP_NET_RAW", "capture"));
        let read = read.then_some(("CAP_NET_ADMIN", "read the packet filter"));
        capture.into_iter().chain(read).collect()
    }

    fn may_not_capture(&self, node: NodeId) -> bool {
        let facts = self.ledger.node(node).and_then(|log| log.facts);
        facts.is_some_and(|told| !told.what.capabilities.capture)
    }

    /// A packet filter that is too large or in an order that is not understood wants no privilege.
    pub(super) fn may_not_read(&self, node: NodeId) -> bool {
        let facts = self.ledger.node(node).and_then(|log| log.facts);
        self.ruleset(node).is_none()
            && facts.is_some_and(|told| {
                let why = told.what.ruleset_unread.as_deref();
                !told.what.capabilities.read_ruleset && why.is_none_or(wants_privilege)
            })
    }

    /// The first end of whose packet filter nobody can say that it lets a test pass.
    fn unjudged(&self, tests: &Tests) -> Option<(NodeId, Way)> {
        let looked_at = tests.by_pair.iter().take(MAX_JUDGED_PAIRS);
        let mut ends = looked_at.flat_map(|((src, dst, transport), ports)| {
            let port = ports.ranges().first().map(|range| range.first());
            [(*dst, Way::In), (*src, Way::Out)].map(|(node, way)| {
                let judged = port.and_then(|port| judge(self.ledger, *src, *dst, *transport, port, way));
                (node, way, judged.is_some_and(|judgement| judgement.accepts()))
            })
        });
        let unjudged = ends.find(|(_, _, accepts)| !accepts)?;
        Some((unjudged.0, unjudged.1))
    }

    /// One of the tests by hand, TCP if there is any: `nc` alone tells nothing of a datagram that nobody answers.
    fn try_again(&self, tests: &Tests) -> Vec<String> {
        let is_udp = |(_, _, (_, protocol)): &Key| *protocol != Protocol::Tcp;
        let sample = tests.by_pair.iter().min_by_key(|(key, _)| is_udp(key));
        let tried = sample.and_then(|((src, dst, (family, protocol)), ports)| {
            let port = ports.ranges().first()?.first();
            let address = address_of(self.ledger, *dst, *family)?;
            let nc = match family {
                Family::Ipv4 => "nc",
                Family::Ipv6 => "nc -6",
            };
            if *protocol == Protocol::Tcp {
                return Some(vec![
                    self.inventory
                        .ssh(*src, &format!("{nc} -vz -w 3 {address} {port}")),
                ]);
            }
            let filter = format!("{protocol} dst port {port} and dst host {address}");
            let waits = self
                .inventory
                .ssh(*dst, &format!("timeout 20 tcpdump -n -c 1 -i any {filter}"));
            let sends = self
                .inventory
                .ssh(*src, &format!("echo | {nc} -u -w 1 {address} {port}"));
            Some(vec![format!("{waits} &"), format!("sleep 2; {sends}")])
        });
        tried.unwrap_or_default()
    }
}

/// Whether the kernel's reason for not giving something is that the asker may not have it (EPERM, EACCES).
fn wants_privilege(why: &str) -> bool {
    ["privilege", "not permitted", "ermission denied", "CAP_NET_ADMIN"]
        .iter()
        .any(|word| why.contains(word))
}

/// A pair of participants and the transport between them.
type Key = (NodeId, NodeId, Transport);

/// `10.0.0.254 with ICMP administratively prohibited (type 3 code 13)`.
fn rejection(group: &Group) -> String {
    let who = said_addresses(&group.offenders, "somebody");
    let said = |icmp: &Option<(u8, u8)>| match icmp {
        Some((kind, code)) => match icmp_words(*kind, *code) {
            Some(words) => format!("ICMP {words} (type {kind} code {code})"),
            None => format!("ICMP type {kind} code {code}"),
        },
        None => "TCP reset".to_owned(),
    };
    // IPv4's first, as everywhere.
    let how: Vec<String> = group.rejections.iter().rev().map(said).collect();
    format!("{who} with {}", said_list(&how, how.len()))
}

/// What an ICMP error that rejects says: type 3 of IPv4 (RFC 792; RFC 1122 section 3.2.2.1; RFC 1812 section 5.2.7.1), type 1
/// of IPv6 (RFC 4443 section 3.1).
fn icmp_words(kind: u8, code: u8) -> Option<&'static str> {
    Some(match (kind, code) {
        (3, 0) => "network unreachable",
        (3, 1) => "host unreachable",
        (3, 2) => "protocol unreachable",
        (3, 3) | (1, 4) => "port unreachable",
        (3, 9) => "network administratively prohibited",
        (3, 10) => "host administratively prohibited",
        (3, 13) | (1, 1) => "administratively prohibited",
        (1, 0) => "no route to the destination",
        (1, 3) => "address unreachable",
        (1, 5) => "source address failed the policy",
        (1, 6) => "route rejects the destination",
        _ => return None,
    })
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

/// Packet filters that are shown by commands; which others are like them is in the text.
const MAX_SHOWN_FILTERS: usize = 2;

/// Pairs of which both packet filters are asked before the network team is: hosts of one cluster are set up alike.
const MAX_JUDGED_PAIRS: usize = 64;
