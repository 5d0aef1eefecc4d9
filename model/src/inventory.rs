//! The cluster file's nodes with their roles: what the port tables are applied to.

mod outward;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    cluster::{AddressRange, Cluster, ListedNode},
    id::{NodeId, Role},
    port::Family,
    profile::Source,
    version::Version,
};

pub use self::outward::{Outward, Server};

/// What kind of cluster the file describes (`spec.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterType {
    /// Manages user clusters, runs no workloads.
    Admin,
    /// Runs workloads, is managed by an admin cluster.
    User,
    /// Both in one, can manage user clusters.
    Hybrid,
    /// Both in one, manages itself only.
    Standalone,
}

/// Who carries the control plane VIP and Services (`spec.loadBalancer.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadBalancerMode {
    /// The cluster's own nodes.
    Bundled,
    /// A device outside; no node has the load balancer role.
    Manual,
}

/// How bundled load balancers announce VIPs (`spec.loadBalancer.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadBalancerType {
    /// ARP and gratuitous ARP inside one layer 2 domain.
    Layer2,
    /// BGP sessions to the top-of-rack switches.
    Bgp,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its id: the data address.
    pub id: NodeId,
    /// Where SSH reaches it (`address`; the same as the id unless `k8sIP` is set).
    pub ssh: IpAddr,
    /// The port of SSH there; absent means 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_port: Option<u16>,
    /// What people call it; the file of `bmctl` has no names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for.
    pub roles: BTreeSet<Role>,
    /// Its own version: the cluster's, or its node pool's.
    pub version: Version,
    /// The node pool that lists it, or `control plane` or `load balancer`.
    pub pool: String,
    /// The line of the cluster file that lists it, from 1.
    pub line: u32,
    /// Where it stands, in the user's own words: `rack`, `zone` and others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A machine outside the cluster that stands for a source of rules: a node of the admin cluster, a client of the ingress VIP, a
/// storage controller. It runs a probe, asks, and is asked nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vantage {
    /// Its id: the address from which it asks.
    pub id: NodeId,
    /// Where SSH reaches it.
    pub ssh: IpAddr,
    /// What people call it.
    pub name: String,
    /// The sources of rules that it stands for.
    pub stands_for: BTreeSet<Source>,
    /// The line of its file, from 1.
    pub line: u32,
}

/// A cluster as the planner sees it. Nodes are in ascending order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// The cluster's name.
    pub name: String,
    /// The id of the profile whose tables apply.
    pub profile: String,
    /// Ids of profiles that are composed in: the network plugin's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
    /// The values of the profiles' options that the file sets, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// The ports that the file sets for the profiles' variables, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, u16>,
    /// Its type; other distributions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_type: Option<ClusterType>,
    /// Its version.
    pub version: Version,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// Machines outside the cluster that stand for sources of rules, ascending by id; none of them is a node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vantages: Vec<Vantage>,
    /// Who carries VIPs.
    pub load_balancer_mode: LoadBalancerMode,
    /// How VIPs are announced.
    pub load_balancer_type: LoadBalancerType,
    /// The control plane VIP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane_vip: Option<IpAddr>,
    /// The ingress VIP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_vip: Option<IpAddr>,
    /// Addresses that load balancers give to Services, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub address_pools: Vec<AddressRange>,
    /// Whether node agent is asked for (1.33 and later).
    pub node_agent: bool,
    /// Whether pods need no tunnel (`flatIPv4`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flat: bool,
    /// Whether load balanced packets carry an option more (`forwardMode: dsr`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct_server_return: bool,
    /// The MTU that pods are set to get, in octets; where none is set, the network plugin takes it from the node's interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_mtu: Option<u32>,
    /// Pod ranges, those of ClusterCIDRConfig documents included.
    pub pods: Vec<IpNet>,
    /// Service ranges.
    pub services: Vec<IpNet>,
    /// What it needs beyond its own nodes.
    #[serde(default)]
    pub outward: Outward,
}

/// The profile of clusters that `bmctl` makes.
const BMCTL_PROFILE: &str = "gdc-bare-metal";

/// The variable that `spec.loadBalancer.ports.controlPlaneLBPort` sets.
const CONTROL_PLANE_LB_PORT: &str = "controlPlaneLBPort";

/// Where SSH listens if nothing else is said (RFC 4253 section 4.1).
const SSH_PORT: u16 = 22;

impl Inventory {
    /// The node with this id.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes
            .binary_search_by_key(&id, |node| node.id)
            .ok()
            .map(|index| &self.nodes[index])
    }

    /// Whether the file asks for both address families: pod or service ranges of both. Service ranges alone are enough: in
    /// the vendor's flat IPv6 mode the IPv6 pod range stands in a ClusterCIDRConfig.
    pub fn is_dual_stack(&self) -> bool {
        let families = |ranges: &[IpNet]| -> BTreeSet<Family> {
            ranges.iter().map(|range| Family::of(range.addr())).collect()
        };
        families(&self.pods).len() == 2 || families(&self.services).len() == 2
    }

    /// The vantage with this id.
    pub fn vantage(&self, id: NodeId) -> Option<&Vantage> {
        self.vantages
            .binary_search_by_key(&id, |vantage| vantage.id)
            .ok()
            .map(|index| &self.vantages[index])
    }

    /// Where SSH reaches a node or a vantage, which is also an address from which its probe may come.
    pub fn ssh_of(&self, id: NodeId) -> Option<IpAddr> {
        let node = self.node(id).map(|node| node.ssh);
        node.or_else(|| self.vantage(id).map(|vantage| vantage.ssh))
    }

    /// A command as it is typed at the admin workstation, to be run at a participant: to where and to which port SSH goes is
    /// the file's. What is for the workstation itself stays as it is.
    pub(crate) fn ssh(&self, id: NodeId, command: &str) -> String {
        let Some(address) = self.ssh_of(id).or_else(|| id.address()) else {
            return command.to_owned();
        };
        let port = self.node(id).and_then(|node| node.ssh_port);
        let port = port
            .filter(|port| *port != SSH_PORT)
            .map_or_else(String::new, |port| format!("-p {port} "));
        // The workstation's shell would take anything else for its own.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || " _-./:=,@+%".contains(c);
        match command.chars().all(is_plain) {
            true => format!("ssh {port}{address} {command}"),
            false => format!("ssh {port}{address} '{}'", command.replace('\'', r"'\''")),
        }
    }

    /// The families of the addresses that the file gives to its nodes.
    pub fn listed_families(&self) -> BTreeSet<Family> {
        let addresses = self.nodes.iter().filter_map(|node| node.id.address());
        addresses.map(Family::of).collect()
    }

    /// The families in which the cluster's nodes speak to each other: those of their listed addresses, and both in a
    /// dual-stack cluster, where probes find the address that the file does not tell.
    pub fn families(&self) -> BTreeSet<Family> {
        if self.is_dual_stack() {
            BTreeSet::from([Family::Ipv4, Family::Ipv6])
        } else {
            self.listed_families()
        }
    }

    /// Derives roles and addresses from the file (facts of the vendor's field reference): without a load balancer node
    /// pool, bundled load balancers run on the control plane nodes; with `controlPlane.loadBalancer.mode: bundled` and a
    /// pool, both carry the role; mode manual gives the role to nobody.
    ///
    /// The vendor's table of load balancer nodes does not say which of its rows move when the two are separated. What is known
    /// is that HAProxy and Keepalived (`lb.api`, 11000, 11001) stay with the control plane and MetalLB (`lb.memberlist.*`) goes
    /// with the pool. Both keep the whole table here: a port too many is asked for, and none is left out.
    pub fn derive(cluster: &Cluster) -> Self {
        let mut nodes: BTreeMap<NodeId, Node> = BTreeMap::new();
        let mut add = |listed: &[ListedNode], pool: &str, version: &Version, roles: &[Role]| {
            for node in listed {
                let id = NodeId::from(node.data_address());
                let entry = nodes.entry(id).or_insert_with(|| Node {
                    id,
                    ssh: node.address,
                    ssh_port: None,
                    name: None,
                    roles: BTreeSet::new(),
                    version: version.clone(),
                    pool: pool.to_owned(),
                    line: node.line,
                    labels: BTreeMap::new(),
                });
                entry.roles.extend(roles);
            }
        };
        let load_balancer = &cluster.load_balancer;
        let bundled = load_balancer.mode == LoadBalancerMode::Bundled;
        let separated = load_balancer.control_plane_mode == Some(LoadBalancerMode::Bundled);
        let on_control_plane = bundled && (load_balancer.nodes.is_empty() || separated);
        let control_plane_roles: &[Role] = if on_control_plane {
            &[Role::ControlPlane, Role::LoadBalancer]
        } else {
            &[Role::ControlPlane]
        };
        add(
            &cluster.control_plane,
            "control plane",
            &cluster.version,
            control_plane_roles,
        );
        add(
            &load_balancer.nodes,
            "load balancer",
            &cluster.version,
            &[Role::LoadBalancer],
        );
        for pool in &cluster.pools {
            add(
                &pool.nodes,
                &pool.name,
                pool.version.as_ref().unwrap_or(&cluster.version),
                &[Role::Worker],
            );
        }
        let mut pods = cluster.network.pods.clone();
        let ranges = cluster
            .cidr_configs
            .iter()
            .flat_map(|config| [config.ipv4, config.ipv6]);
        for (range, _) in ranges.flatten() {
            if !pods.contains(&range) {
                pods.push(range);
            }
        }
        Self {
            name: cluster.name.clone(),
            profile: BMCTL_PROFILE.to_owned(),
            with: Vec::new(),
            options: BTreeMap::new(),
            variables: BTreeMap::from([(CONTROL_PLANE_LB_PORT.to_owned(), load_balancer.control_plane_port)]),
            cluster_type: Some(cluster.cluster_type),
            version: cluster.version.clone(),
            nodes: nodes.into_values().collect(),
            vantages: Vec::new(),
            load_balancer_mode: load_balancer.mode,
            load_balancer_type: load_balancer.kind,
            flat: cluster.network.flat_ipv4,
            direct_server_return: cluster.network.direct_server_return,
            pod_mtu: None,
            control_plane_vip: Some(load_balancer.control_plane_vip),
            ingress_vip: load_balancer.ingress_vip,
            address_pools: load_balancer
                .address_pools
                .iter()
                .flat_map(|pool| pool.ranges.iter().copied())
                .collect(),
            node_agent: cluster.node_agent,
            pods,
            services: cluster.network.services.clone(),
            outward: Outward::of(cluster),
        }
    }
}

impl fmt::Display for ClusterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Admin => "admin",
            Self::User => "user",
            Self::Hybrid => "hybrid",
            Self::Standalone => "standalone",
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        id::NodeId,
        report::stage::{CP, Stage, W1, node},
    };

    #[test]
    fn ssh_goes_to_the_address_and_the_port_of_the_cluster_file() {
        let stage = Stage::new().with_inventory(|inventory| {
            for own in inventory.nodes.iter_mut().filter(|own| own.id == node(CP)) {
                (own.ssh, own.ssh_port) = ([192, 0, 2, 7].into(), Some(2222));
            }
        });
        assert_eq!(
            stage.inventory.ssh(node(CP), "ip address show"),
            "ssh -p 2222 192.0.2.7 ip address show"
        );
        assert_eq!(
            stage.inventory.ssh(node(W1), "ip a | head"),
            format!("ssh {W1} 'ip a | head'")
        );
    }

    #[test]
    fn what_a_shell_would_take_for_its_own_reaches_the_node_whole() {
        let inventory = Stage::new().inventory;
        for command in ["ss 'sport = :22'", "kill $(pidof x)", "echo a; echo b", "ls *"] {
            let typed = inventory.ssh(node(W1), command);
            let quoted = typed.strip_prefix(&format!("ssh {W1} ")).unwrap();
            let inner = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
            assert_eq!(
                inner.map(|inner| inner.replace(r"'\''", "'")).as_deref(),
                Some(command)
            );
        }
    }

    #[test]
    fn a_command_for_the_workstation_stays_there() {
        let inventory = Stage::new().inventory;
        assert_eq!(inventory.ssh(NodeId::Coordinator, "ip route"), "ip route");
    }
}
