//! Faults that are a few rules in one packet filter, in a table of their own.

use ipnet::IpNet;
use plumbline_model::port::{Family, PortRange, PortSet};
use plumbline_sys::{
    netlink::{Protocol, Socket},
    nft::{self, Action, Batch, Hook, IpVersion, Match, NewRule, Policy},
    ns::NetNs,
};

use super::{FaultError, RejectWith, Side, Transport, plant::Place};
use crate::{LabError, Topology};

/// A fault that is a few rules in one packet filter.
pub(super) struct Filter {
    pub(super) place: Place,
    pub(super) chain: Chain,
    pub(super) rules: Vec<NewRule>,
}

/// Where the rules are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chain {
    /// Where packets are filtered.
    Filter(Hook),
    /// Where a switch's frames are.
    Bridge,
    /// Where sources are translated.
    SourceNat,
    /// Where destinations are translated.
    DestinationNat,
}

impl Chain {
    pub(super) fn family(self) -> nft::Family {
        match self {
            Self::Bridge => nft::Family::Bridge,
            Self::Filter(_) | Self::SourceNat | Self::DestinationNat => nft::Family::Inet,
        }
    }
}

impl Filter {
    /// Makes a table of this name, with the rules in it.
    pub(super) fn plant(&self, namespace: &NetNs, table: &str) -> Result<(), FaultError> {
        let family = self.chain.family();
        let mut batch = Batch::new();
        batch.create_table(family, table);
        let accept = Policy::Accept;
        match self.chain {
            Chain::Filter(hook) => batch.create_base_chain(family, table, CHAIN, hook, PRIORITY, accept),
            Chain::Bridge => batch.create_base_chain(family, table, CHAIN, Hook::Forward, PRIORITY, accept),
            Chain::SourceNat => {
                batch.create_nat_chain(family, table, CHAIN, Hook::Postrouting, AFTER_FILTERS)
            }
            Chain::DestinationNat => {
                batch.create_nat_chain(family, table, CHAIN, Hook::Prerouting, BEFORE_FILTERS)
            }
        };
        for rule in &self.rules {
            batch.append_rule(family, table, CHAIN, rule);
        }
        commit(namespace, table, batch)
    }
}

/// Removes a table with the rules in it.
pub(super) fn remove(namespace: &NetNs, family: nft::Family, table: &str) -> Result<(), FaultError> {
    let mut batch = Batch::new();
    batch.delete_table(family, table);
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
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// Its own: the rules are about answers.
    Source,
    /// The rules are about questions.
    Destination,
}

/// Which packets a fault is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow<'a> {
    pub(super) from: Option<Side>,
    pub(super) to: Option<Side>,
    pub(super) family: Option<Family>,
    pub(super) transport: Option<Transport>,
    pub(super) ports: Option<&'a PortSet>,
    pub(super) end: End,
}

impl Flow<'_> {
    /// Rules that do this to the flow's packets.
    pub(super) fn rules(&self, topology: &Topology, action: Action) -> Vec<NewRule> {
        self.rules_by(topology, &[], |_| Some(action))
    }

    /// Rules that refuse the flow's packets; none for a family that has no such words.
    pub(super) fn rejecting(&self, topology: &Topology, with: RejectWith) -> Vec<NewRule> {
        self.rules_by(topology, &[], |family| reject(with, family))
    }

    /// Rules with what the family's packets suffer, under further conditions.
    pub(super) fn rules_by(
        &self,
        topology: &Topology,
        further: &[Match],
        action: impl Fn(Family) -> Option<Action>,
    ) -> Vec<NewRule> {
        let mut rules = Vec::new();
        let families = [Family::Ipv4, Family::Ipv6]
            .into_iter()
            .filter(|family| topology.speaks(*family));
        for family in families.filter(|family| self.family.is_none_or(|only| only == *family)) {
            let Some(action) = action(family) else {
                continue;
            };
            for ends in self.ends(topology, family) {
                // The addresses come before the ports: the kernel stops at the first condition that does not hold. Those
                // that count what they see come last.
                for ports in self.by_ports(action) {
                    let conditions = ends.iter().cloned().chain(ports);
                    rules.push(NewRule {
                        matches: conditions.chain(further.iter().cloned()).collect(),
                        action,
                    });
                }
            }
        }
        rules.dedup();
        rules
    }

    /// The conditions for the two sides in a family; none if a side has no address of it.
    fn ends(&self, topology: &Topology, family: Family) -> Vec<Vec<Match>> {
        let of_family = |side: Side| -> Vec<IpNet> {
            let mut networks = side.networks(topology);
            networks.retain(|network| Family::of(network.addr()) == family);
            networks
        };
        let one_of = |side: Option<Side>, condition: fn(IpNet) -> Match| -> Vec<Option<Match>> {
            side.map_or_else(
                || vec![None],
                |side| {
                    of_family(side)
                        .into_iter()
                        .map(|network| Some(condition(network)))
                        .collect()
                },
            )
        };
        let sources = one_of(self.from, |network| {
            Match::Source(network.addr(), network.prefix_len())
        });
        let destinations = one_of(self.to, |network| {
            Match::Destination(network.addr(), network.prefix_len())
        });
        let version = || match (self.from, self.to, self.family) {
            (None, None, Some(family)) => Some(Match::Version(version(family))),
            _ => None,
        };
        let mut all = Vec::new();
        for source in &sources {
            for destination in &destinations {
                let ends = [version(), source.clone(), destination.clone()];
                all.push(ends.into_iter().flatten().collect());
            }
        }
        all
    }

    /// The conditions for ports: one alternative for each range.
    fn by_ports(&self, action: Action) -> Vec<Option<Match>> {
        let transport = match (self.transport, self.ports, action) {
            // A TCP RST answers TCP only, and the kernel takes no rule that says otherwise.
            (None, None, Action::RejectTcpReset) | (None, Some(_), _) | (Some(Transport::Tcp), _, _) => {
                Some(nft::Transport::Tcp)
            }
            (Some(Transport::Udp), _, _) => Some(nft::Transport::Udp),
            (None, None, _) => None,
        };
        let Some((ports, transport)) = self.ports.zip(transport) else {
            return vec![transport.map(Match::Transport)];
        };
        let condition = |range: &PortRange| match self.end {
            End::Source => Match::SourcePorts(transport, range.first(), range.last()),
            End::Destination => Match::DestinationPorts(transport, range.first(), range.last()),
        };
        ports
            .ranges()
            .iter()
            .map(|range| Some(condition(range)))
            .collect()
    }
}

fn reject(with: RejectWith, family: Family) -> Option<Action> {
    if with == RejectWith::TcpReset {
        return Some(Action::RejectTcpReset);
    }
    let code = with.code(family)?;
    Some(match family {
        Family::Ipv4 => Action::RejectIcmp { code },
        Family::Ipv6 => Action::RejectIcmp6 { code },
    })
}

fn version(family: Family) -> IpVersion {
    match family {
        Family::Ipv4 => IpVersion::V4,
        Family::Ipv6 => IpVersion::V6,
    }
}

/// The one chain of a fault's table.
const CHAIN: &str = "fault";
/// Where packet filters usually are (`filter`).
const PRIORITY: i32 = 0;
/// Where destinations are usually translated (`dstnat`).
const BEFORE_FILTERS: i32 = -100;
/// Where sources are usually translated (`srcnat`).
const AFTER_FILTERS: i32 = 100;
