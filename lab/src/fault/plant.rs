//! Planting faults and healing them. Each packet filter fault is a table of its own, so that healing removes exactly it.

use std::{
    fmt,
    io::{self, PipeWriter},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use ipnet::IpNet;
use plumbline_model::{
    id::NodeId,
    port::{Family, PortSet},
};
use plumbline_sys::{
    netlink,
    nft::{self, WriteError},
    ns::{self, NetNs},
    route::{self, Diversion, Route, RouteTarget},
};

use super::{
    Fault, RejectWith, Side, Transport,
    advertiser::Advertiser,
    clock::{self, Skew},
    conntrack::Full,
    device::{self, Change, Stranger},
    filter,
    impostor::{Impostor, MOST_IMPOSTOR_PORTS},
    setting,
};
use crate::{Lab, LabChild, LabError, Prefix};

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
    /// Hosts of two subnets.
    #[error(
        "plant a fault between {one} and {other}: they are in different subnets, so no one switch is between them"
    )]
    NoSwitchBetween {
        /// A host.
        one: NodeId,
        /// Another.
        other: NodeId,
    },
    /// Nothing of the family that the fault is about.
    #[error("plant a fault on an address that the lab does not have; is it a dual-stack lab?")]
    NoSuchAddress,
    /// Words that no family has that the fault is about.
    #[error("refuse packets with {0:?}: ICMP has no such code for the family that the fault is about")]
    NoSuchReject(RejectWith),
    /// A setting of the whole machine.
    #[error(
        "change a setting of the machine: only root can, and this process is root in a user namespace of its own"
    )]
    NotRoot,
    /// A setting.
    #[error("change a setting of the kernel")]
    Setting(#[source] ns::Error),
    /// Connections that should fill a table.
    #[error("fill the host's connection tracking")]
    Fill(#[source] io::Error),
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
    /// A device, an address or a route.
    #[error("change a device or route of the lab")]
    Device(#[source] route::Error),
    /// A port could not be held.
    #[error("hold port {port} on {host}")]
    Hold {
        /// The host.
        host: NodeId,
        /// The port.
        port: u16,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Advertisements could not be sent.
    #[error("advertise a virtual router")]
    Advertise(#[source] io::Error),
    /// An empty set would be a fault that does nothing, and leaving `ports` out means all.
    #[error("plant a fault on no port at all; leave `ports` out to mean every port")]
    NoPorts,
    /// More ports than one program should listen on in a lab.
    #[error("answer on {ports} ports in a host's place: {MOST_IMPOSTOR_PORTS} are the most")]
    TooManyPorts {
        /// How many were asked for.
        ports: u32,
    },
    /// No library that tells programs another time.
    #[error(
        "set the clock of a host: no {} below {}; is libfaketime installed?",
        clock::LIBRARY,
        clock::FOLDER
    )]
    NoFaketime,
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

/// Where a fault is planted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Host(NodeId),
    Router,
    /// The switch of this host's subnet.
    Switch(NodeId),
}

/// What undoes a fault.
#[derive(Debug)]
pub(crate) enum Planted {
    Table {
        place: Place,
        family: nft::Family,
        table: String,
    },
    Routes {
        place: Place,
        routes: Vec<Route>,
    },
    Settings {
        place: Place,
        before: Vec<(&'static str, String)>,
    },
    /// Devices with the MTU that they had.
    Mtus(Vec<(Place, String, u32)>),
    Full {
        host: NodeId,
        table: String,
        _full: Full,
    },
    Holder {
        program: LabChild,
        _end_of_file: PipeWriter,
    },
    Impostors(Vec<(Diversion, Impostor)>),
    Frozen {
        host: NodeId,
        programs: Vec<LabChild>,
    },
    Skewed {
        host: NodeId,
        skew: Skew,
    },
    Killed,
    Unplugged {
        place: Place,
        port: String,
    },
    Isolated {
        place: Place,
        ports: [String; 2],
    },
    Lost {
        host: NodeId,
        address: IpAddr,
        prefix: Prefix,
    },
    Added {
        host: NodeId,
        addresses: Vec<(IpAddr, IpNet)>,
    },
    Stranger {
        place: Place,
        port: String,
        _namespace: Stranger,
        _advertiser: Option<Advertiser>,
    },
    Mac {
        host: NodeId,
        before: [u8; 6],
        /// Ports that have stopped learning.
        deaf: Option<(Place, [String; 2])>,
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
        self.undo(id, self.planted.get(&id).ok_or(FaultError::NotPlanted(id))?)?;
        self.planted.remove(&id);
        Ok(())
    }

    fn undo(&self, id: FaultId, planted: &Planted) -> Result<(), FaultError> {
        match planted {
            Planted::Table { place, family, table } => filter::remove(self.place(*place)?, *family, table),
            Planted::Routes { place, routes } => self.change(*place, |network| {
                routes.iter().try_for_each(|route| network.delete_route(*route))
            }),
            Planted::Settings { place, before } => self.unset(*place, before),
            Planted::Mtus(before) => self.restore_mtus(before),
            // The limit is restored when this is dropped.
            Planted::Full { host, table, .. } => {
                filter::remove(self.namespace(*host)?, nft::Family::Inet, table)
            }
            Planted::Holder { program, .. } => {
                program.kill();
                Ok(())
            }
            Planted::Impostors(impostors) => self.change(Place::Router, |network| {
                impostors
                    .iter()
                    .try_for_each(|(diversion, _)| network.undivert(diversion))
            }),
            Planted::Frozen { host, programs } => programs.iter().try_for_each(|program| {
                program
                    .thaw()
                    .map_err(|source| FaultError::Signal { host: *host, source })
            }),
            // Programs that run keep the time that they were started with.
            Planted::Skewed { .. } => Ok(()),
            Planted::Killed => Err(FaultError::Permanent(id)),
            Planted::Unplugged { place, port } => self.change(*place, |network| network.set_up(port, true)),
            Planted::Isolated { place, ports } => self.change(*place, |network| {
                ports
                    .iter()
                    .try_for_each(|port| network.set_isolated(port, false))
            }),
            Planted::Lost {
                host,
                address,
                prefix,
            } => self.change(Place::Host(*host), |network| {
                device::change_address(network, Change::Add, *address, prefix.network)?;
                device::restore_default_route(network, prefix.gateway)
            }),
            Planted::Added { host, addresses } => self.change(Place::Host(*host), |network| {
                addresses.iter().try_for_each(|(address, prefix)| {
                    device::change_address(network, Change::Remove, *address, *prefix)
                })
            }),
            Planted::Stranger { place, port, .. } => self.change(*place, |network| network.delete_link(port)),
            Planted::Mac { host, before, deaf } => {
                self.change(Place::Host(*host), |network| {
                    network.set_mac(crate::wiring::HOST_DEVICE, *before)
                })?;
                deaf.iter().try_for_each(|(place, ports)| {
                    self.change(*place, |network| device::learn(network, ports, true))
                })
            }
        }
    }

    fn plant(&mut self, id: FaultId, fault: &Fault) -> Result<Planted, FaultError> {
        match fault {
            Fault::HostDrop { .. }
            | Fault::HostReject { .. }
            | Fault::HostOutputDrop { .. }
            | Fault::HostAnswerDrop { .. }
            | Fault::PathDrop { .. }
            | Fault::PathReject { .. }
            | Fault::PathAnswerDrop { .. }
            | Fault::PathLoss { .. }
            | Fault::SwitchDrop { .. }
            | Fault::SplitLink { .. }
            | Fault::SourceNat { .. }
            | Fault::DestinationNat { .. }
            | Fault::PathMtu { silent: true, .. }
            | Fault::FragmentDrop { .. }
            | Fault::ConnectionLimit { .. } => self.plant_rules(id, fault),
            Fault::PathMtu { to, mtu, family, .. } => self.narrow_route(*to, *mtu, *family),
            Fault::Mtu { host, mtu } => self.set_mtus(vec![(
                Place::Host(*host),
                crate::wiring::HOST_DEVICE.to_owned(),
                *mtu,
            )]),
            Fault::PortMtu { host, mtu } => {
                let (place, port) = self.port_of(*host)?;
                self.set_mtus(vec![(place, port, *mtu)])
            }
            Fault::NetworkMtu {
                network,
                mtu,
                switch_only,
            } => self.set_mtus(self.devices_of(*network, *mtu, *switch_only)?),
            Fault::EchoIgnored { host } => {
                let ipv6 = self.topology().speaks(Family::Ipv6);
                self.set(Place::Host(*host), &setting::echo_ignored(ipv6))
            }
            Fault::Isolated { hosts } => self.isolate(*hosts),
            Fault::RouterRoute { to, family, with } => {
                self.misroute(Place::Router, *to, *family, device::target(*with))
            }
            Fault::HostRoute {
                host,
                to,
                family,
                with,
            } => self.misroute(Place::Host(*host), *to, *family, device::target(*with)),
            Fault::Detour { host, to, via } => {
                self.misroute(Place::Host(*host), *to, None, RouteTarget::Via(*via))
            }
            Fault::ReversePathFilter { host } => {
                self.set(Place::Host(*host), &setting::strict_reverse_path())
            }
            Fault::IcmpRateLimit { at, interval_ms } => {
                let place = at.map_or(Place::Router, Place::Host);
                self.set(place, &setting::icmp_rate_limit(*interval_ms))
            }
            Fault::ConntrackFull { host, room } => {
                let table = table_name(id);
                let _full = Full::plant(self, *host, *room, &table)?;
                let host = *host;
                Ok(Planted::Full { host, table, _full })
            }
            Fault::MissingIpv6 { host } => self.lose_ipv6(*host),
            Fault::ClockSkew { host, ms } => {
                self.namespace(*host)?;
                let skew = Skew::of(*ms).ok_or(FaultError::NoFaketime)?;
                Ok(Planted::Skewed { host: *host, skew })
            }
            Fault::DuplicateAddress { host, by, family } => self.duplicate_address(id, *host, *by, *family),
            Fault::ProxyArp { at } => {
                let place = at.map_or(Place::Router, Place::Host);
                self.set(place, &setting::proxy_arp())
            }
            Fault::SilentGateway { host } => {
                let (_, subnet) = self.host(*host)?;
                let leg = self
                    .topology()
                    .subnets()
                    .iter()
                    .position(|other| *other == subnet);
                let ignored = leg.and_then(setting::arp_ignored);
                self.set(Place::Router, &ignored.ok_or(FaultError::NoSuchAddress)?)
            }
            Fault::ForeignVrrp {
                host,
                sender,
                vrid,
                address,
            } => self.advertise(id, *host, *sender, (*vrid, *address)),
            Fault::DuplicateMac { host, of, floods } => self.duplicate_mac(*host, *of, *floods),
            Fault::PortTaken {
                host,
                transport,
                port,
            } => self.take_port(*host, *transport, *port),
            Fault::WrongResponder { host, family, ports } => self.impersonate(id, *host, *family, ports),
            Fault::Freeze { host } => self.freeze(*host),
            Fault::Kill { host } => {
                self.running(*host)?.iter().for_each(LabChild::kill);
                Ok(Planted::Killed)
            }
            Fault::CableCut { host } => self.cut_cable(*host),
        }
    }

    fn plant_rules(&self, id: FaultId, fault: &Fault) -> Result<Planted, FaultError> {
        let filter = self.filter(fault)?;
        let table = table_name(id);
        filter.plant(self.place(filter.place)?, &table)?;
        Ok(Planted::Table {
            place: filter.place,
            family: filter.chain.family(),
            table,
        })
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

    /// Has the router answer for the host, see [`Impostor`].
    fn impersonate(
        &self,
        id: FaultId,
        host: NodeId,
        family: Option<Family>,
        ports: &PortSet,
    ) -> Result<Planted, FaultError> {
        let (found, _) = self.host(host)?;
        if ports.is_empty() {
            return Err(FaultError::NoPorts);
        }
        if ports.count() > MOST_IMPOSTOR_PORTS {
            return Err(FaultError::TooManyPorts { ports: ports.count() });
        }
        let mut impostors = Vec::new();
        for address in found
            .addresses()
            .filter(|address| family.is_none_or(|family| family == Family::of(*address)))
        {
            let impostor = self
                .in_router(|| Impostor::listen(address, ports))?
                .map_err(|(port, source)| FaultError::Hold { host, port, source })?;
            let ranges = ports.ranges().iter();
            let diversion = Diversion {
                address,
                ports: ranges.map(|range| (range.first(), range.last())).collect(),
                table: FIRST_DIVERSION_TABLE.saturating_add(id.0),
            };
            impostors.push((diversion, impostor));
        }
        if impostors.is_empty() {
            return Err(FaultError::NoSuchAddress);
        }
        self.change(Place::Router, |network| {
            impostors
                .iter()
                .try_for_each(|(diversion, _)| network.divert(diversion))
        })?;
        Ok(Planted::Impostors(impostors))
    }

    /// What programs on a host have to be told for their clock to be the host's.
    pub(crate) fn skew(&self, host: NodeId) -> Option<&Skew> {
        self.planted.values().find_map(|planted| match planted {
            Planted::Skewed { host: of, skew } if *of == host => Some(skew),
            _ => None,
        })
    }

    pub(super) fn place(&self, place: Place) -> Result<&NetNs, LabError> {
        match place {
            Place::Host(node) => self.namespace(node),
            Place::Router => Ok(self.router()),
            Place::Switch(node) => self.switch_of(node),
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

    /// Has another program hold a socket: `cat`, whose standard output the socket is, and which waits for the end of its
    /// standard input, which comes with the end of this process at the latest.
    fn take_port(&mut self, host: NodeId, transport: Transport, port: u16) -> Result<Planted, FaultError> {
        let failed = |source| FaultError::Hold { host, port, source };
        // An IPv6 socket at all addresses takes the port of both families.
        let everywhere = if self.topology().speaks(Family::Ipv6) {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        } else {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        };
        let bind = || match transport {
            Transport::Tcp => TcpListener::bind((everywhere, port)).map(OwnedFd::from),
            Transport::Udp => UdpSocket::bind((everywhere, port)).map(OwnedFd::from),
        };
        let socket = self.in_host(host, bind)?.map_err(failed)?;
        let (input, end_of_file) = io::pipe().map_err(failed)?;
        let mut command = Command::new("cat");
        command
            .stdin(input)
            .stdout(Stdio::from(socket))
            .stderr(Stdio::null());
        let program = LabChild::start(host, self.namespace(host)?, command)?;
        Ok(Planted::Holder {
            program,
            _end_of_file: end_of_file,
        })
    }
}

/// The packet filter's table that a fault is in.
fn table_name(id: FaultId) -> String {
    format!("plumbline_fault_{id}")
}

/// Routing tables for diverted connections; the kernel's own are numbered below 256.
const FIRST_DIVERSION_TABLE: u32 = 1000;
