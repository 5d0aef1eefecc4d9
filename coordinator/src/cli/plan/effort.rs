//! How much an audit sends, and how long it lasts at its rates.

use std::{collections::BTreeMap, fmt::Write as _};

use plumbline_model::{
    evidence::Parameters,
    id::NodeId,
    plan::{Expect, Plan},
    port::{Family, PortSet, Protocol},
};
use serde::Serialize;

use crate::render::count;

/// How long an audit lasts at its rates, the silence of everything included, and how much it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Effort {
    /// Distinct tests.
    pub(super) tests: u64,
    /// Of these, TCP ports that must answer.
    pub(super) tcp: u64,
    /// Of these, UDP ports that must answer.
    pub(super) udp: u64,
    /// Of these, ports that must not answer.
    pub(super) must_not_answer: u64,
    /// Of these, tests over IPv6.
    pub(super) ipv6: u64,
    /// Pair-ports left to inference.
    pub(super) inferred: u64,
    /// Ordered pairs.
    pub(super) pairs: u64,
    /// The most tests that one node makes.
    pub(super) busiest_source_tests: u64,
    /// Packets from both ends if everything answers as it should.
    pub(super) packets: u64,
    /// Seconds if everything answers.
    pub(super) seconds_at_least: u64,
    /// Seconds if nothing answers.
    pub(super) seconds_at_most: u64,
}

impl Effort {
    /// That of a plan.
    pub(super) fn of(plan: &Plan, parameters: &Parameters) -> Self {
        let index = plan.index();
        let size = index.size();
        let (mut busiest, mut seconds) = (0u64, 0u64);
        let (mut udp, mut ipv6) = (0u64, 0u64);
        for source in &plan.participants {
            let load = index.planned_load(*source);
            udp += load.udp;
            ipv6 += load.ipv6;
            busiest = busiest.max(load.tests);
            seconds = seconds
                .max(at(load.tests, parameters.max_rate_node))
                .max(at(load.longest_pair, parameters.max_rate_pair));
        }
        let must_not_answer = must_not_answer(plan);
        let tcp = size.tests.saturating_sub(udp).saturating_sub(must_not_answer);
        let silence = u64::from(parameters.attempts) * u64::from(parameters.attempt_timeout_ms);
        Self {
            tests: size.tests,
            tcp,
            udp,
            must_not_answer,
            ipv6,
            inferred: size.inferred,
            pairs: size.pairs,
            busiest_source_tests: busiest,
            packets: tcp * TCP_PACKETS + udp * UDP_PACKETS + must_not_answer * REFUSED_PACKETS,
            seconds_at_least: seconds,
            // Each silent test takes all of its attempts' connections from the same rates.
            seconds_at_most: seconds * u64::from(parameters.attempts) + silence.div_ceil(1000),
        }
    }
}

fn at(tests: u64, rate: u32) -> u64 {
    if rate == 0 {
        0
    } else {
        tests.div_ceil(u64::from(rate))
    }
}

/// Distinct tests of ports that must not answer: several rules may name the same one.
fn must_not_answer(plan: &Plan) -> u64 {
    let takes_part = |node: &&NodeId| plan.participants.binary_search(node).is_ok();
    let mut tests: BTreeMap<(NodeId, NodeId, Family, Protocol), PortSet> = BTreeMap::new();
    for block in plan.blocks.iter().filter(|block| block.expect == Expect::Blocked) {
        for destination in block.destinations.iter().filter(takes_part) {
            for source in block.sources_at(*destination).iter().filter(takes_part) {
                let ports = block.ports_for(*source, *destination);
                if !ports.is_empty() {
                    let key = (*source, *destination, block.family, block.protocol);
                    tests.entry(key).or_default().extend(&ports);
                }
            }
        }
    }
    tests.values().map(|ports| u64::from(ports.count())).sum()
}

/// What security asks to see first.
pub(super) fn sent(effort: &Effort, has_errands: bool, parameters: &Parameters) -> String {
    if effort.tests == 0 {
        let else_ = match has_errands {
            true => "nothing else than what is listed above",
            false => "nothing else",
        };
        return format!(
            "Control: one TLS 1.3 connection from each node to this machine, and {else_}; nothing listens on a node for it.\n\
             What is bound or changed on a node: {}",
            changed(parameters)
        );
    }
    let Parameters {
        max_rate_node: node,
        max_rate_pair: pair,
        attempts,
        ..
    } = parameters;
    let mut out = format!(
        "What the tests send{}, and only between the nodes above (and this machine), about {} packets in all:\n",
        if has_errands { ", beside that" } else { "" },
        effort.packets
    );
    if effort.tcp > 0 {
        let _ = writeln!(
            out,
            "  TCP ({}): a handshake with the port, a hello of 56 octets that only our own responder there can answer, a\n\
             \x20     RST to close. Where a service of yours holds the port (a live node, sshd): a handshake and a FIN, and not one\n\
             \x20     octet; of sshd the banner is read.",
            count(effort.tcp, "test")
        );
    }
    if effort.udp > 0 {
        let _ = writeln!(
            out,
            "  UDP ({}): an authenticated STAMP packet (RFC 8762) of 112 octets, answered by one of the same size from our\n\
             \x20     own responder, and by nobody else. Nothing is ever sent to a UDP port that a service of yours holds.",
            count(effort.udp, "test")
        );
    }
    if effort.must_not_answer > 0 {
        let _ = writeln!(
            out,
            "  TCP, ports that must not answer ({}): a SYN; should it be answered, a FIN, and not one octet.",
            count(effort.must_not_answer, "test")
        );
    }
    // Where the file itself gives IPv6 addresses there is nothing to find.
    if (1..effort.tests).contains(&effort.ipv6) {
        let _ = writeln!(
            out,
            "  {} of these tests go over IPv6, to the addresses that probes find on the interface of the node's address.",
            effort.ipv6
        );
    }
    let _ = write!(
        out,
        "  At most {node} tests a second from a node, {pair} between two nodes; {attempts} tries before silence counts.\n\
         \x20 Of what failed, a sample is asked again.\n\
         \x20 Control: one TLS 1.3 connection from each node to this machine; nothing listens on a node for it.\n\
         What is bound: on bare nodes the listed ports that must answer, on the node's own address, for the length of the run.\n\
         \x20 On live nodes nothing.\n\
         What is left behind: entries in connection tracking for up to two minutes, in no more than half of what is free there.\n\
         Privileges: ports below 1024 need CAP_NET_BIND_SERVICE; telling a host's firewall from the path needs CAP_NET_RAW\n\
         and CAP_NET_ADMIN (to read packets and rules). What lacks its privilege is reported as not measured.\n\
         What is changed on a node: {}",
        changed(parameters)
    );
    out
}

/// What a run changes on a node for a while.
fn changed(parameters: &Parameters) -> &'static str {
    if parameters.active {
        "nothing but what is listed above for --active, and that for seconds.\n"
    } else {
        "nothing.\n"
    }
}

/// SYN, SYN-ACK, ACK, hello, its acknowledgement, the answer, RST.
const TCP_PACKETS: u64 = 7;

/// A question and an answer.
const UDP_PACKETS: u64 = 2;

/// SYN and RST.
const REFUSED_PACKETS: u64 = 2;
