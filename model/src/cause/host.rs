//! A host's packet filter asked about the packets of failing tests.

use std::net::IpAddr;

use crate::{
    firewall::{Judgement, Packet},
    id::NodeId,
    ledger::{Ledger, NodeLog, Transport},
    port::{Family, PortRange, PortSet, Protocol},
    verdict::{PairVerdict, Way},
};

/// What a packet filter says about one way through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opinion {
    /// It could not be read, or cannot tell.
    None,
    /// It lets the packet pass.
    Accepts,
    /// It stops it.
    Stops(Box<Judgement>),
}

/// Whether the destination's packet filter is known to drop, without a word, questions of this pair to these ports.
pub(crate) fn drops_silently(ledger: &Ledger<'_>, pair: &PairVerdict, ports: &PortSet) -> bool {
    ports.ranges().first().is_some_and(|range| {
        let opinion = ask(ledger, pair.src, pair.dst, pair.transport, range.first(), Way::In);
        matches!(opinion, Opinion::Stops(judgement) if matches!(*judgement, Judgement::Drops { .. }))
    })
}

/// Asks about a range of ports, split where the answer changes. A range that is judged alike at both ends and in the
/// middle is taken for one: what lies between failed alike, too.
pub(crate) fn ask_range(
    ledger: &Ledger<'_>,
    pair: (NodeId, NodeId, Transport),
    range: PortRange,
    side: Way,
) -> Vec<(PortRange, Opinion)> {
    let (src, dst, transport) = pair;
    split(range, |port| ask(ledger, src, dst, transport, port, side))
}

/// A range of ports split where the answer about them changes, as [`ask_range`] does.
pub(super) fn split<T: PartialEq>(range: PortRange, at: impl Fn(u16) -> T) -> Vec<(PortRange, T)> {
    let mut out: Vec<(PortRange, T)> = Vec::new();
    let mut open = vec![range];
    while let Some(range) = open.pop() {
        let middle = range.first() + (range.last() - range.first()) / 2;
        let opinion = at(range.first());
        let is_one = range.count() == 1 || (at(range.last()) == opinion && at(middle) == opinion);
        if is_one {
            out.push((range, opinion));
        } else {
            // The lower half is taken first, so that the result ascends.
            open.extend(PortRange::new(middle + 1, range.last()));
            open.extend(PortRange::new(range.first(), middle));
        }
    }
    out
}

/// What the packet filter on the given side of a test says about it.
pub(super) fn ask(
    ledger: &Ledger<'_>,
    src: NodeId,
    dst: NodeId,
    transport: Transport,
    port: u16,
    side: Way,
) -> Opinion {
    match judge(ledger, src, dst, transport, port, side) {
        Some(Judgement::Accepts) => Opinion::Accepts,
        Some(judgement) if judgement.stopped_at().is_some() => Opinion::Stops(Box::new(judgement)),
        Some(_) | None => Opinion::None,
    }
}

/// The same in the packet filter's own words, which say why it cannot be told; absent if it was not read.
pub(super) fn judge(
    ledger: &Ledger<'_>,
    src: NodeId,
    dst: NodeId,
    (family, protocol): Transport,
    port: u16,
    side: Way,
) -> Option<Judgement> {
    let judged = match side {
        Way::In | Way::AnswerOut => dst,
        Way::Out | Way::AnswerIn => src,
    };
    if !matches!(protocol, Protocol::Tcp | Protocol::Udp) {
        return None;
    }
    let log = ledger.node(judged)?;
    log.ruleset?;
    let source = address_of(ledger, src, family)?;
    let destination = address_of(ledger, dst, family)?;
    let interface = interface_of(log, if judged == dst { destination } else { source })?;
    let packet = match side {
        Way::In => Packet::incoming(interface, protocol, source, destination, port),
        Way::Out => Packet::outgoing(interface, protocol, source, destination, port),
        Way::AnswerOut => Packet::incoming(interface, protocol, source, destination, port).answer(),
        Way::AnswerIn => Packet::outgoing(interface, protocol, source, destination, port).answer(),
    };
    log.judge(&packet)
}

/// The address that a participant uses in tests of a family.
pub(super) fn address_of(ledger: &Ledger<'_>, node: NodeId, family: Family) -> Option<IpAddr> {
    let own = node.address().filter(|address| Family::of(*address) == family);
    let joined = || {
        let member = ledger.node(node)?.joined?.what;
        let fits = |address: &IpAddr| Family::of(*address) == family;
        // The coordinator has no data address: any of its addresses may be meant.
        member
            .data_address(family)
            .or_else(|| member.addresses.iter().copied().find(fits))
    };
    own.or_else(joined)
}

fn interface_of<'a>(log: &NodeLog<'a>, address: IpAddr) -> Option<&'a str> {
    let text = address.to_string();
    let has = |with_length: &String| with_length.split('/').next() == Some(text.as_str());
    let facts = log.facts?.what;
    facts
        .interfaces
        .iter()
        .find(|interface| interface.addresses.iter().any(has))
        .map(|found| found.name.as_str())
}
