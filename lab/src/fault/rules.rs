//! What a fault means as rules of a packet filter, and where they are attached.

use ipnet::IpNet;
use plumbline_model::{
    id::NodeId,
    port::{Family, PortSet},
};
use plumbline_sys::nft::{Action, Hook, IpVersion, Match, NewRule};

use super::{
    Fault, FaultError, Side, Transport,
    filter::{Chain, End, Filter, Flow},
    plant::Place,
};
use crate::Lab;

impl Lab {
    /// Nothing passes between these hosts and the others of their subnet.
    fn split(&self, fault: &Fault, hosts: &[NodeId]) -> Result<Filter, FaultError> {
        let first = *hosts.first().ok_or(FaultError::NoSuchAddress)?;
        let (_, subnet) = self.host(first)?;
        let others = self
            .topology()
            .hosts_of(&subnet)
            .map(|host| NodeId::from(host.address));
        let others: Vec<NodeId> = others.filter(|other| !hosts.contains(other)).collect();
        let (mut place, mut rules) = (Place::Switch(first), Vec::new());
        for one in hosts {
            for other in &others {
                let (at, [one, other]) = self.ports_of([*one, *other])?;
                place = at;
                for (from, to) in [(&one, &other), (&other, &one)] {
                    let ports = [Match::InInterface(from.clone()), Match::OutInterface(to.clone())];
                    rules.extend(flow(fault).rules_by(self.topology(), &ports, |_| Some(Action::Drop)));
                }
            }
        }
        Ok(Filter {
            place,
            chain: Chain::Bridge,
            rules,
        })
    }

    /// The rules of a fault that is one of a packet filter.
    pub(super) fn filter(&self, fault: &Fault) -> Result<Filter, FaultError> {
        let filter = match fault {
            Fault::HostDrop { host, .. } => self.at_host(*host, Hook::Input, fault, Action::Drop),
            Fault::HostOutputDrop { host, .. } | Fault::HostAnswerDrop { host, .. } => {
                self.at_host(*host, Hook::Output, fault, Action::Drop)
            }
            Fault::HostReject { host, with, .. } => Filter {
                place: Place::Host(*host),
                chain: Chain::Filter(Hook::Input),
                rules: flow(fault).rejecting(self.topology(), *with),
            },
            Fault::PathDrop { from, to, .. } | Fault::PathAnswerDrop { from, to, .. } => {
                self.routed(*from, *to)?;
                on_router(flow(fault).rules(self.topology(), Action::Drop))
            }
            Fault::PathReject { from, to, with, .. } => {
                self.routed(*from, *to)?;
                on_router(flow(fault).rejecting(self.topology(), *with))
            }
            Fault::PathLoss {
                from, to, permille, ..
            } => {
                self.routed(*from, *to)?;
                let chance = Match::Chance {
                    below: (*permille).into(),
                    of: 1000,
                };
                let drop = |_| Some(Action::Drop);
                on_router(flow(fault).rules_by(self.topology(), &[chance], drop))
            }
            Fault::SwitchDrop { from, to, .. } => {
                let (place, [near, far]) = self.ports_of([*from, *to])?;
                let ports = [Match::InInterface(near), Match::OutInterface(far)];
                let drop = |_| Some(Action::Drop);
                Filter {
                    place,
                    chain: Chain::Bridge,
                    rules: flow(fault).rules_by(self.topology(), &ports, drop),
                }
            }
            Fault::SplitLink { hosts } => self.split(fault, hosts)?,
            Fault::SourceNat { at, address, .. } => Filter {
                place: at.map_or(Place::Router, Place::Host),
                chain: Chain::SourceNat,
                rules: flow(fault).rules_by(self.topology(), &[], |family| match address {
                    None => Some(Action::Masquerade),
                    Some(address) => (Family::of(*address) == family).then_some(Action::SourceNat(*address)),
                }),
            },
            Fault::DestinationNat { at, to, port, .. } => Filter {
                place: at.map_or(Place::Router, Place::Host),
                chain: Chain::DestinationNat,
                rules: flow(fault).rules_by(self.topology(), &[], |family| {
                    (Family::of(*to) == family).then_some(Action::DestinationNat {
                        address: *to,
                        port: *port,
                    })
                }),
            },
            Fault::PathMtu {
                to,
                mtu,
                family,
                from,
                ..
            } => {
                let octets = u16::try_from(*mtu).unwrap_or(u16::MAX);
                let longer = |version| Match::LongerThan(version, octets);
                on_router(self.by_version(*from, *to, *family, longer))
            }
            Fault::FragmentDrop { from, to, family } => {
                self.routed(*from, *to)?;
                on_router(self.by_version(Some(*from), *to, *family, Match::Fragment))
            }
            Fault::ConnectionLimit { host, most, .. } => {
                let beyond = [Match::NewConnection, Match::MoreConnectionsThan(*most)];
                let drop = |_| Some(Action::Drop);
                Filter {
                    place: Place::Host(*host),
                    chain: Chain::Filter(Hook::Input),
                    rules: flow(fault).rules_by(self.topology(), &beyond, drop),
                }
            }
            _ => return Err(FaultError::NoPorts),
        };
        if filter.rules.is_empty() {
            return Err(nothing_to_match(fault));
        }
        Ok(filter)
    }

    /// Rules that drop what a condition of each family's own says.
    fn by_version(
        &self,
        from: Option<Side>,
        to: Side,
        only: Option<Family>,
        condition: impl Fn(IpVersion) -> Match,
    ) -> Vec<NewRule> {
        let families = [(Family::Ipv4, IpVersion::V4), (Family::Ipv6, IpVersion::V6)];
        let meant = families
            .into_iter()
            .filter(|(family, _)| only.is_none_or(|only| only == *family));
        meant
            .flat_map(|(family, version)| {
                let flow = asked(from, Some(to), Some(family), None, None);
                flow.rules_by(self.topology(), &[condition(version)], |_| Some(Action::Drop))
            })
            .collect()
    }

    fn at_host(&self, host: NodeId, hook: Hook, fault: &Fault, action: Action) -> Filter {
        Filter {
            place: Place::Host(host),
            chain: Chain::Filter(hook),
            rules: flow(fault).rules(self.topology(), action),
        }
    }

    /// Makes sure that the router is between two sides.
    fn routed(&self, from: Side, to: Side) -> Result<(), FaultError> {
        let (from_networks, to_networks) = (from.networks(self.topology()), to.networks(self.topology()));
        let switched = self.topology().subnets().iter().any(|subnet| {
            let holds = |network: &IpNet| subnet.prefixes().any(|prefix| prefix.network.contains(network));
            from_networks.iter().any(holds) && to_networks.iter().any(holds)
        });
        if switched {
            Err(FaultError::NoRouterBetween { from, to })
        } else {
            Ok(())
        }
    }
}

fn on_router(rules: Vec<NewRule>) -> Filter {
    Filter {
        place: Place::Router,
        chain: Chain::Filter(Hook::Forward),
        rules,
    }
}

/// The packets that a fault is about; all where it is not about packets of one kind.
fn flow(fault: &Fault) -> Flow<'_> {
    let some = of_host(fault)
        .or_else(|| of_path(fault))
        .or_else(|| of_translation(fault));
    some.unwrap_or_else(|| asked(None, None, None, None, None))
}

/// What comes to a host or leaves it.
fn of_host(fault: &Fault) -> Option<Flow<'_>> {
    Some(match fault {
        Fault::HostDrop {
            family,
            transport,
            ports,
            from,
            ..
        }
        | Fault::HostReject {
            family,
            transport,
            ports,
            from,
            ..
        } => asked(*from, None, *family, *transport, ports.as_ref()),
        Fault::HostOutputDrop {
            family,
            transport,
            ports,
            to,
            ..
        } => asked(None, *to, *family, *transport, ports.as_ref()),
        Fault::HostAnswerDrop {
            family,
            transport,
            ports,
            to,
            ..
        } => answered(None, *to, *family, *transport, ports.as_ref()),
        Fault::ConnectionLimit { transport, ports, .. } => {
            asked(None, None, None, *transport, ports.as_ref())
        }
        _ => return None,
    })
}

/// What passes a router or a switch.
fn of_path(fault: &Fault) -> Option<Flow<'_>> {
    Some(match fault {
        Fault::PathDrop {
            from,
            to,
            family,
            transport,
            ports,
        }
        | Fault::PathReject {
            from,
            to,
            family,
            transport,
            ports,
            ..
        }
        | Fault::PathLoss {
            from,
            to,
            family,
            transport,
            ports,
            ..
        } => asked(Some(*from), Some(*to), *family, *transport, ports.as_ref()),
        Fault::PathAnswerDrop {
            from,
            to,
            family,
            transport,
            ports,
        } => answered(Some(*to), Some(*from), *family, *transport, ports.as_ref()),
        Fault::SwitchDrop {
            family,
            transport,
            ports,
            ..
        } => asked(None, None, *family, *transport, ports.as_ref()),
        _ => return None,
    })
}

/// What gets another address on its way.
fn of_translation(fault: &Fault) -> Option<Flow<'_>> {
    Some(match fault {
        Fault::SourceNat {
            from,
            to,
            transport,
            ports,
            ..
        } => asked(*from, *to, None, *transport, ports.as_ref()),
        Fault::DestinationNat {
            host,
            from,
            transport,
            ports,
            ..
        } => asked(
            *from,
            host.address().map(Side::from),
            None,
            Some(*transport),
            Some(ports),
        ),
        _ => return None,
    })
}

fn asked(
    from: Option<Side>,
    to: Option<Side>,
    family: Option<Family>,
    transport: Option<Transport>,
    ports: Option<&PortSet>,
) -> Flow<'_> {
    Flow {
        from,
        to,
        family,
        transport,
        ports,
        end: End::Destination,
    }
}

fn answered(
    from: Option<Side>,
    to: Option<Side>,
    family: Option<Family>,
    transport: Option<Transport>,
    ports: Option<&PortSet>,
) -> Flow<'_> {
    Flow {
        end: End::Source,
        ..asked(from, to, family, transport, ports)
    }
}

/// Why a fault came to no rule at all.
fn nothing_to_match(fault: &Fault) -> FaultError {
    match fault {
        _ if flow(fault).ports.is_some_and(PortSet::is_empty) => FaultError::NoPorts,
        Fault::HostReject { with, .. } | Fault::PathReject { with, .. } => FaultError::NoSuchReject(*with),
        _ => FaultError::NoSuchAddress,
    }
}
