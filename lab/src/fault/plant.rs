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
    nft,
    ns::NetNs,
    route::{Diversion, Route, RouteTarget},
};

use super::{
    Fault, FaultError, Transport,
    advertiser::Advertiser,
    clock::Skew,
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
            Fault::Mtu { host, mtu } => self.resize_host(*host, *mtu),
            Fault::PortMtu { host, mtu } => self.resize_port(*host, *mtu),
            Fault::NetworkMtu {
                network,
                mtu,
                switch_only,
            } => self.set_mtus(self.devices_of(*network, *mtu, *switch_only)?),
            Fault::EchoIgnored { host } => self.ignore_echo(*host),
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
            Fault::ConntrackFull { host, room } => self.fill_conntrack(id, *host, *room),
            Fault::MissingIpv6 { host } => self.lose_ipv6(*host),
            Fault::ClockSkew { host, ms } => self.skew_clock(*host, *ms),
            Fault::DuplicateAddress { host, by, family } => self.duplicate_address(id, *host, *by, *family),
            Fault::ProxyArp { at } => {
                let place = at.map_or(Place::Router, Place::Host);
                self.set(place, &setting::proxy_arp())
            }
            Fault::SilentGateway { host } => self.silence_gateway(*host),
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
            Fault::Kill { host } => self.kill(*host),
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

    fn fill_conntrack(&self, id: FaultId, host: NodeId, room: u32) -> Result<Planted, FaultError> {
        let table = table_name(id);
        let _full = Full::plant(self, host, room, &table)?;
        Ok(Planted::Full { host, table, _full })
    }

    /// Programs that start from now on have another time.
    fn skew_clock(&self, host: NodeId, ms: i64) -> Result<Planted, FaultError> {
        self.namespace(host)?;
        let skew = Skew::of(ms).ok_or(FaultError::NoFaketime)?;
        Ok(Planted::Skewed { host, skew })
    }

    fn kill(&self, host: NodeId) -> Result<Planted, FaultError> {
        self.running(host)?.iter().for_each(LabChild::kill);
        Ok(Planted::Killed)
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
