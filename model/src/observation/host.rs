//! How a host is set up: what its kernel, its network devices and its configuration say (errand inspect).
//!
//! What could not be read is absent, which says "not known" and never "not there".

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// How a host is set up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostSettings {
    /// Which machine and which system it is.
    pub machine: Machine,
    /// The interface that has the data address; absent if no interface has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_interface: Option<String>,
    /// The data interface and what it stands on: the members of a bond, the device under a VLAN, the ports of a bridge that
    /// are no pods'. Ordered by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// Over how many milliseconds the counters of devices were compared; absent if they were looked at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_ms: Option<u64>,
    /// Routes of the main table, both families, in the kernel's order; without those of pods' devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<RouteEntry>>,
    /// Whether there are more routes than are listed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub routes_cut: bool,
    /// Tables beside `local`, `main` and `default` that policy rules send packets to.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub policy_tables: BTreeSet<u32>,
    /// To how many data addresses of other members packets leave by the data interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub straight_ways: Option<u32>,
    /// By which way packets to the others leave; ordered by address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_ways: Vec<Way>,
    /// Settings of the kernel by their names in sysctl(8), as they stand.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// What the files of sysctl.d(5) set at the next start, in the order in which it is applied: the last one of a name holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sysctl_files: Vec<PersistedSysctl>,
    /// Kernel modules that clusters need.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub modules: BTreeMap<String, ModuleState>,
    /// Options with which the kernel was built, those that matter here (`CONFIG_BPF_JIT`: `y`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kernel_options: BTreeMap<String, String>,
    /// Directories from which installers run programs, and whether their file systems forbid it (`noexec`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub noexec: BTreeMap<String, bool>,
    /// Services that change the network beside the administrator, by the names of their programs.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<String>,
    /// What NetworkManager is told to leave alone (`unmanaged-devices`), if its configuration could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_manager_ignores: Option<Vec<String>>,
    /// Entries of the neighbour tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neighbors: Option<NeighborEntries>,
    /// The destination to which most connections are open, as a measure of how many ports address translation needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busiest: Option<Busiest>,
    /// How the kernel's clock stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockState>,
    /// Programs that set the clock, and from whom.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub time_sources: Vec<TimeSource>,
    /// Name servers of resolv.conf(5), in their order; those behind systemd-resolved's stub, where that is asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resolvers: Vec<IpAddr>,
    /// Search domains of resolv.conf(5), in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search_domains: Vec<String>,
}

/// Which machine and which system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Machine {
    /// `ID` of os-release(5): `rhel`, `ubuntu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// `VERSION_ID` of os-release(5): `9.2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// SHA-256 over the run's id and machine-id(5), the first 16 octets in hexadecimal: equal on clones, and of no use in
    /// another run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// The same of the firmware's product UUID, which only root may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_uuid: Option<String>,
    /// The same of the kernel's boot id (random(4)): equal where nodes are containers of one kernel, with one clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// Whether the host is a part of a machine: a user namespace, or a network namespace other than that of the first process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_part: Option<bool>,
}

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// What kind of virtual device it is (`bond`, `vlan`, `bridge`, `veth`); absent for hardware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its hardware address, colon-separated lower-case hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Octets that an IP packet on it may have.
    pub mtu: u32,
    /// Whether it is up and works.
    pub up: bool,
    /// The bond or bridge that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// The device under it, for a VLAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<String>,
    /// Its VLAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Its driver (`ixgbe`, `vmxnet3`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// In Mbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_mbps: Option<u32>,
    /// Whether it sends or receives, and never both at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_duplex: Option<bool>,
    /// Offloads by the names of ethtool(8), those of tunnels: whether they are on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub offloads: BTreeMap<String, bool>,
    /// What it is as a bond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bond: Option<Bond>,
    /// What it is as the member of a bond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<BondMember>,
    /// Its counters when the run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counters: Option<DeviceCounters>,
    /// By how much they had grown when it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grown: Option<DeviceCounters>,
}

/// A bond (`IFLA_BOND_*`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bond {
    /// How it shares its members, as the kernel's documentation calls it (`802.3ad`, `active-backup`).
    pub mode: String,
    /// The hardware address of the switch with which LACP was agreed; zeros where nobody answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<String>,
}

/// The member of a bond (`IFLA_BOND_SLAVE_*`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BondMember {
    /// Whether the bond takes its link for up.
    pub link_up: bool,
    /// The LACP aggregator that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregator: Option<u16>,
}

/// What a device counted (`struct rtnl_link_stats64`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceCounters {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Broken packets received, of any kind.
    pub rx_errors: u64,
    /// Of those, with a wrong checksum: a cable, a transceiver.
    pub rx_crc_errors: u64,
    /// Lost since the host did not fetch them in time.
    pub rx_missed: u64,
    /// Dropped on receipt, those of protocols that nobody speaks here among them.
    pub rx_dropped: u64,
    /// Not sent because of an error.
    pub tx_errors: u64,
    /// Dropped instead of being sent.
    pub tx_dropped: u64,
    /// Collisions.
    pub collisions: u64,
    /// Times that the carrier was lost.
    pub carrier_losses: u64,
}

/// A route of the main table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteEntry {
    /// To where.
    pub to: IpNet,
    /// Whether packets are forwarded by it (unicast), rather than refused or dropped (blackhole, unreachable, prohibit).
    pub forwards: bool,
    /// Its next hops.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<RouteHop>,
    /// Lower is preferred.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub metric: u32,
    /// Who made it, by the number of `rtm_protocol` (rtnetlink(7)): 2 the kernel, 3 at start, 4 the administrator, 16 DHCP.
    pub protocol: u8,
}

/// A next hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteHop {
    /// The router; absent where the device itself is the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The device; absent where it has none (any more).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// By which way packets to an address leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// To whom.
    pub to: IpAddr,
    /// By which device; absent where the kernel has no route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// By which router; absent on the own link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// From which address, unless the program chooses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
}

/// A line of a sysctl.d(5) file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersistedSysctl {
    /// Its name, a pattern maybe (`net.ipv4.conf.*.rp_filter`).
    pub name: String,
    /// The value.
    pub value: String,
    /// The file.
    pub file: String,
}

/// Whether the kernel has a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModuleState {
    /// It is loaded.
    Loaded,
    /// It is part of the kernel.
    BuiltIn,
    /// It is on disk and may be loaded.
    Loadable,
    /// Its file is nowhere.
    Absent,
}

/// Entries of the neighbour tables of this namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighborEntries {
    /// IPv4 (ARP).
    pub ipv4: u32,
    /// IPv6 (neighbour discovery).
    pub ipv6: u32,
}

/// The destination to which most connections are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Busiest {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// How many of this host's TCP connections go there.
    pub connections: u32,
}

/// How the kernel's clock stands (adjtimex(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockState {
    /// Whether a program keeps it in step (not `STA_UNSYNC`).
    pub synchronised: bool,
    /// The most that it may be wrong by, in microseconds.
    pub max_error_us: u64,
    /// What it is estimated to be wrong by, in microseconds.
    pub estimated_error_us: u64,
}

/// A program that sets the clock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeSource {
    /// The program (`chronyd`, `systemd-timesyn`, `ntpd`).
    pub program: String,
    /// Whether it runs.
    pub running: bool,
    /// Names and addresses of the servers that its configuration gives it, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
}

/// Every number here is left out where it says nothing.
fn is_zero(number: &u32) -> bool {
    *number == 0
}
