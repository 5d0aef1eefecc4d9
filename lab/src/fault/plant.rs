//! Planting faults and healing them. Each packet filter fault is a table of its own, so that healing removes exactly it.

use std::{
    fmt,
    io::{self, PipeWriter},
    net::{IpAddr, Ipv4Addr, TcpListener},
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use ipnet::Ipv4Net;
use plumbline_model::{id::NodeId, port::PortSet};
use plumbline_sys::{
    netlink,
    nft::{Action, Hook, Match, NewRule, WriteError},
    ns::NetNs,
    route::{self, Diversion, Network, Route, RouteTarget},
};

use super::{
    BadRoute, Fault, Side,
    filter::{self, Filter, Place, action, answered, asked, between, destination, source},
    impostor::{Impostor, MOST_IMPOSTOR_PORTS},
};
use crate::{Lab, LabChild, LabError, wiring};

/// A fault that was planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(u32);

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Why a fault could not be planted or healed.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The place that it names.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// Traffic inside a subnet does not pass the router.
    #[error("plant a fault between {from} and {to}: they share a subnet, so no router is between them")]
    NoRouterBetween {
        /// Who asks.
        from: Side,
        /// Who is asked.
        to: Side,
    },
    /// No packet filter in this kernel, or no permission.
    #[error("open the packet filter")]
    OpenFilter(#[source] netlink::Error),
    /// The packet filter refused a rule.
    #[error("change table {table} of the packet filter")]
    Filter {
        /// The fault's own table.
        table: String,
        /// Why.
        #[source]
        source: WriteError,
    },
    /// A route.
    #[error("change the router's routes")]
    Route(#[source] route::Error),
    /// A port could not be held.
    #[error("hold port {port} on {host}")]
    Hold {
        /// The host.
        host: NodeId,
        /// The TCP port.
        port: u16,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// An empty set would be a fault that does nothing, and leaving `ports` out means all.
    #[error("plant a fault on no port at all; leave `ports` out to mean every port")]
    NoPorts,
    /// More ports than one program should listen on in a lab.
    #[error("answer on {ports} ports in a host's place: {MOST_IMPOSTOR_PORTS} are the most")]
    TooManyPorts {
        /// How many were asked for.
        ports: u32,
    },
    /// There is nothing to stop or kill.
    #[error("stop the programs on {0}: none was started through the lab")]
    NoProgram(NodeId),
    /// A signal could not be sent.
    #[error("signal the program on {host}")]
    Signal {
        /// The host.
        host: NodeId,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is not there.
    #[error("heal fault {0}: it is not planted")]
    NotPlanted(FaultId),
    /// What is dead stays dead.
    #[error("heal fault {0}: a killed program does not come back")]
    Permanent(FaultId),
}

/// What undoes a fault.
#[derive(Debug)]
pub(crate) enum Planted {
    Table {
        place: Place,
        table: String,
    },
    Route(Route),
    Holder {
        program: LabChild,
        _end_of_file: PipeWriter,
    },
    Impostor {
        diversion: Diversion,
        _impostor: Impostor,
    },
    Frozen {
        host: NodeId,
        programs: Vec<LabChild>,
    },
    Killed,
    Unplugged {
        host: NodeId,
        port: String,
    },
}

impl Lab {
    /// Plants a fault. It lasts until it is healed or the lab goes down.
    ///
    /// # Errors
    /// [`FaultError`]; nothing has changed then.
    pub fn apply(&mut self, fault: &Fault) -> Result<FaultId, FaultError> {
        let id = FaultId(self.next_fault);
        let planted = self.plant(id, fault)?;
        self.next_fault += 1;
        self.planted.insert(id, planted);
        Ok(id)
    }

    /// Undoes a fault.
    ///
    /// # Errors
    /// [`FaultError::NotPlanted`]; [`FaultError::Permanent`] for [`Fault::Kill`]; or what stood in the way, and the fault then
    /// remains.
    pub fn heal(&mut self, id: FaultId) -> Result<(), FaultError> {
        match self.planted.get(&id).ok_or(FaultError::NotPlanted(id))? {
            Planted::Table { place, table } => {
                filter::remove(self.place(*place)?, table)?;
            }
            Planted::Route(route) => on_router(self, |network| network.delete_route(*route))?,
            Planted::Holder { program, .. } => program.kill(),
            Planted::Impostor { diversion, .. } => on_router(self, |network| network.undivert(diversion))?,
            Planted::Frozen { host, programs } => {
                for program in programs {
                    program
                        .thaw()
                        .map_err(|source| FaultError::Signal { host: *host, source })?;
                }
            }
            Planted::Killed => return Err(FaultError::Permanent(id)),
            Planted::Unplugged { host, port } => plug(self, *host, port, true)?,
        }
        self.planted.remove(&id);
        Ok(())
    }

    fn plant(&mut self, id: FaultId, fault: &Fault) -> Result<Planted, FaultError> {
        let filter = match fault {
            Fault::HostDrop {
                host,
                transport,
                ports,
                from,
            } => Filter::host(
                *host,
                Hook::Input,
                asked(source(*from), *transport, ports, Action::Drop),
            ),
            Fault::HostReject {
                host,
                with,
                transport,
                ports,
                from,
            } => Filter::host(
                *host,
                Hook::Input,
                asked(source(*from), *transport, ports, action(*with)),
            ),
            Fault::HostOutputDrop {
                host,
                transport,
                ports,
                to,
            } => Filter::host(
                *host,
                Hook::Output,
                asked(destination(*to), *transport, ports, Action::Drop),
            ),
            Fault::HostAnswerDrop {
                host,
                transport,
                ports,
                to,
            } => Filter::host(*host, Hook::Output, answered(destination(*to), *transport, ports)),
            Fault::PathDrop {
                from,
                to,
                transport,
                ports,
            } => self.path(
                *from,
                *to,
                asked(between(*from, *to), *transport, ports, Action::Drop),
            )?,
            Fault::PathReject {
                from,
                to,
                with,
                transport,
                ports,
            } => self.path(
                *from,
                *to,
                asked(between(*from, *to), *transport, ports, action(*with)),
            )?,
            Fault::PathAnswerDrop {
                from,
                to,
                transport,
                ports,
            } => self.path(*from, *to, answered(between(*to, *from), *transport, ports))?,
            Fault::PathLoss {
                from,
                to,
                permille,
                transport,
                ports,
            } => {
                let mut matches = between(*from, *to);
                matches.push(Match::Chance {
                    below: (*permille).into(),
                    of: 1000,
                });
                self.path(*from, *to, asked(matches, *transport, ports, Action::Drop))?
            }
            Fault::RouterRoute { to, with } => return self.misroute(*to, *with),
            Fault::PortTaken { host, port } => return self.take_port(*host, *port),
            Fault::WrongResponder { host, ports } => return self.impersonate(id, *host, ports),
            Fault::Freeze { host } => return self.freeze(*host),
            Fault::Kill { host } => {
                self.running(*host)?.iter().for_each(LabChild::kill);
                return Ok(Planted::Killed);
            }
            Fault::CableCut { host } => return self.cut_cable(*host),
        };
        if filter.rules.is_empty() {
            return Err(FaultError::NoPorts);
        }
        let table = format!("plumbline_fault_{id}");
        filter.plant(self.place(filter.place)?, &table)?;
        Ok(Planted::Table {
            place: filter.place,
            table,
        })
    }

    /// Rules on the router, which must be between the two sides.
    fn path(&self, from: Side, to: Side, rules: Vec<NewRule>) -> Result<Filter, FaultError> {
        let holds_both =
            |network: Ipv4Net| network.contains(&from.network()) && network.contains(&to.network());
        if self
            .topology()
            .subnets()
            .iter()
            .any(|subnet| holds_both(subnet.network))
        {
            return Err(FaultError::NoRouterBetween { from, to });
        }
        Ok(Filter {
            place: Place::Router,
            hook: Hook::Forward,
            rules,
        })
    }

    fn misroute(&self, to: Side, with: BadRoute) -> Result<Planted, FaultError> {
        let route = bad_route(to, with);
        on_router(self, |network| network.add_route(route))?;
        Ok(Planted::Route(route))
    }

    fn freeze(&self, host: NodeId) -> Result<Planted, FaultError> {
        let programs = self.running(host)?;
        for program in &programs {
            program
                .freeze()
                .map_err(|source| FaultError::Signal { host, source })?;
        }
        Ok(Planted::Frozen { host, programs })
    }

    fn cut_cable(&self, host: NodeId) -> Result<Planted, FaultError> {
        let NodeId::Address(IpAddr::V4(address)) = host else {
            return Err(LabError::NoSuchHost(host).into());
        };
        let port = wiring::switch_port(address);
        plug(self, host, &port, false)?;
        Ok(Planted::Unplugged { host, port })
    }

    /// Has the router answer for the host, see [`Impostor`].
    fn impersonate(&self, id: FaultId, host: NodeId, ports: &PortSet) -> Result<Planted, FaultError> {
        let NodeId::Address(address @ IpAddr::V4(_)) = host else {
            return Err(LabError::NoSuchHost(host).into());
        };
        self.namespace(host)?;
        if ports.is_empty() {
            return Err(FaultError::NoPorts);
        }
        if ports.count() > MOST_IMPOSTOR_PORTS {
            return Err(FaultError::TooManyPorts { ports: ports.count() });
        }
        let impostor = self
            .in_router(|| Impostor::listen(address, ports))?
            .map_err(|(port, source)| FaultError::Hold { host, port, source })?;
        let ranges = ports
            .ranges()
            .iter()
            .map(|range| (range.first(), range.last()))
            .collect();
        let diversion = Diversion {
            address,
            ports: ranges,
            table: FIRST_DIVERSION_TABLE.saturating_add(id.0),
        };
        on_router(self, |network| network.divert(&diversion))?;
        Ok(Planted::Impostor {
            diversion,
            _impostor: impostor,
        })
    }

    fn place(&self, place: Place) -> Result<&NetNs, LabError> {
        match place {
            Place::Host(node) => self.namespace(node),
            Place::Router => Ok(self.router()),
        }
    }

    fn running(&self, host: NodeId) -> Result<Vec<LabChild>, FaultError> {
        let alive = |child: &&LabChild| child.try_wait().is_ok_and(|ended| ended.is_none());
        let programs: Vec<LabChild> = self.children(host).filter(alive).cloned().collect();
        if programs.is_empty() {
            Err(FaultError::NoProgram(host))
        } else {
            Ok(programs)
        }
    }

    /// Has another program hold a listening socket: `cat`, whose standard output the socket is, and which waits for the end
    /// of its standard input, which comes with the end of this process at the latest.
    fn take_port(&mut self, host: NodeId, port: u16) -> Result<Planted, FaultError> {
        let failed = |source| FaultError::Hold { host, port, source };
        let socket = self
            .in_host(host, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))?
            .map_err(failed)?;
        let (input, end_of_file) = io::pipe().map_err(failed)?;
        let mut command = Command::new("cat");
        command
            .stdin(input)
            .stdout(Stdio::from(OwnedFd::from(socket)))
            .stderr(Stdio::null());
        let program = LabChild::start(host, self.namespace(host)?, command)?;
        Ok(Planted::Holder {
            program,
            _end_of_file: end_of_file,
        })
    }
}

fn on_router(
    lab: &Lab,
    change: impl FnOnce(&mut Network) -> Result<(), route::Error> + Send,
) -> Result<(), FaultError> {
    lab.in_router(|| Network::open().and_then(|mut network| change(&mut network)))?
        .map_err(FaultError::Route)
}

fn plug(lab: &Lab, host: NodeId, port: &str, plugged: bool) -> Result<(), FaultError> {
    let set = || Network::open().and_then(|mut network| network.set_up(port, plugged));
    Ok(lab.in_switch_of(host, set)?.map_err(LabError::Wire)?)
}

fn bad_route(to: Side, with: BadRoute) -> Route {
    let target = match with {
        BadRoute::Blackhole => RouteTarget::Blackhole,
        BadRoute::Prohibit => RouteTarget::Prohibit,
        BadRoute::Unreachable => RouteTarget::Unreachable,
    };
    Route {
        network: to.network().network().into(),
        prefix: to.network().prefix_len(),
        target,
    }
}

/// Routing tables for diverted connections; the kernel's own are numbered below 256.
const FIRST_DIVERSION_TABLE: u32 = 1000;
