//! Faults that are a few rules in one packet filter, in a table of their own.

use plumbline_model::{
    id::NodeId,
    port::{PortRange, PortSet},
};
use plumbline_sys::{
    netlink::{Protocol, Socket},
    nft::{Action, Batch, Family, Hook, Match, NewRule, Policy},
    ns::NetNs,
};

use super::{FaultError, RejectWith, Side, Transport};
use crate::LabError;

/// Whose packet filter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Host(NodeId),
    Router,
}

/// A fault that is a few rules in one packet filter.
pub(super) struct Filter {
    pub(super) place: Place,
    pub(super) hook: Hook,
    pub(super) rules: Vec<NewRule>,
}

impl Filter {
    pub(super) fn host(host: NodeId, hook: Hook, rules: Vec<NewRule>) -> Self {
        Self {
            place: Place::Host(host),
            hook,
            rules,
        }
    }

    /// Makes a table of this name, with the rules in it.
    pub(super) fn plant(&self, namespace: &NetNs, table: &str) -> Result<(), FaultError> {
        let mut batch = Batch::new();
        batch.create_table(Family::Inet, table);
        batch.create_base_chain(Family::Inet, table, CHAIN, self.hook, PRIORITY, Policy::Accept);
        for rule in &self.rules {
            batch.append_rule(Family::Inet, table, CHAIN, rule);
        }
        commit(namespace, table, batch)
    }
}

/// Removes a table with the rules in it.
pub(super) fn remove(namespace: &NetNs, table: &str) -> Result<(), FaultError> {
    let mut batch = Batch::new();
    batch.delete_table(Family::Inet, table);
    commit(namespace, table, batch)
}

fn commit(namespace: &NetNs, table: &str, batch: Batch) -> Result<(), FaultError> {
    let change = || {
        let mut socket = Socket::open(Protocol::Netfilter).map_err(FaultError::OpenFilter)?;
        batch.commit(&mut socket).map_err(|source| FaultError::Filter {
            table: table.to_owned(),
            source,
        })
    };
    namespace.run(change).map_err(LabError::Namespace)?
}

/// Which end of a connection the ports of a rule belong to.
#[derive(Clone, Copy)]
enum End {
    Source,
    Destination,
}

/// Rules for questions: the ports are at their destination.
pub(super) fn asked(
    matches: Vec<Match>,
    transport: Option<Transport>,
    ports: &Option<PortSet>,
    action: Action,
) -> Vec<NewRule> {
    rules(matches, transport, ports, End::Destination, action)
}

/// Rules that swallow answers: the ports are at their source.
pub(super) fn answered(
    matches: Vec<Match>,
    transport: Option<Transport>,
    ports: &Option<PortSet>,
) -> Vec<NewRule> {
    rules(matches, transport, ports, End::Source, Action::Drop)
}

/// One rule for each range of ports.
fn rules(
    matches: Vec<Match>,
    transport: Option<Transport>,
    ports: &Option<PortSet>,
    end: End,
    action: Action,
) -> Vec<NewRule> {
    use plumbline_sys::nft;
    let transport = match (transport, ports, action) {
        // A TCP RST answers TCP only, and the kernel takes no rule that says otherwise.
        (None, None, Action::RejectTcpReset) | (None, Some(_), _) | (Some(Transport::Tcp), _, _) => {
            Some(nft::Transport::Tcp)
        }
        (Some(Transport::Udp), _, _) => Some(nft::Transport::Udp),
        (None, None, _) => None,
    };
    let rule = |last: Option<Match>| {
        // The address first: the kernel stops at the first condition that does not hold.
        let matches = matches.iter().cloned().chain(last).collect();
        NewRule { matches, action }
    };
    match (ports, transport) {
        (Some(ports), Some(transport)) => {
            let condition = |range: &PortRange| match end {
                End::Source => Match::SourcePorts(transport, range.first(), range.last()),
                End::Destination => Match::DestinationPorts(transport, range.first(), range.last()),
            };
            ports
                .ranges()
                .iter()
                .map(|range| rule(Some(condition(range))))
                .collect()
        }
        (_, transport) => vec![rule(transport.map(Match::Transport))],
    }
}

pub(super) fn source(side: Option<Side>) -> Vec<Match> {
    side.map(|side| Match::Source(side.network().network().into(), side.network().prefix_len()))
        .into_iter()
        .collect()
}

pub(super) fn destination(side: Option<Side>) -> Vec<Match> {
    side.map(|side| Match::Destination(side.network().network().into(), side.network().prefix_len()))
        .into_iter()
        .collect()
}

pub(super) fn between(from: Side, to: Side) -> Vec<Match> {
    let mut matches = source(Some(from));
    matches.extend(destination(Some(to)));
    matches
}

/// Codes of ICMP type 3 (RFC 792, RFC 1812 section 5.2.7.1).
pub(super) fn action(with: RejectWith) -> Action {
    match with {
        RejectWith::HostUnreachable => Action::RejectIcmp { code: 1 },
        RejectWith::PortUnreachable => Action::RejectIcmp { code: 3 },
        RejectWith::NetProhibited => Action::RejectIcmp { code: 9 },
        RejectWith::HostProhibited => Action::RejectIcmp { code: 10 },
        RejectWith::AdminProhibited => Action::RejectIcmp { code: 13 },
        RejectWith::TcpReset => Action::RejectTcpReset,
    }
}

/// The one chain of a fault's table.
const CHAIN: &str = "fault";
/// Where packet filters usually are (`filter`).
const PRIORITY: i32 = 0;
