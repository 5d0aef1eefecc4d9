//! The checks that this analysis makes, by their stable ids (docs/checks.md).

/// A check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// Its stable id, as findings and checks of report.json name it.
    pub id: &'static str,
    /// What it asserts.
    pub asserts: &'static str,
    /// How it is measured, and what is sent for it.
    pub how: &'static str,
    /// What it needs on the nodes.
    pub needs: &'static str,
    /// When it fails, warns or is not measured.
    pub rule: &'static str,
    /// What mends it, in general.
    pub remedy: &'static str,
    /// Where the assertion comes from: a document's section, an RFC's, what was observed.
    pub source: &'static str,
}

/// Every TCP port that a rule asks for answers from its sources.
pub const REACH_TCP: Check = Check {
    id: "PORT-001",
    asserts: "every TCP port that a rule asks for answers to each of the rule's sources",
    how: "",
    needs: "ports below 1024: CAP_NET_BIND_SERVICE; to place a drop: CAP_NET_RAW; to name its rule: CAP_NET_ADMIN",
    rule: "fails if a test of a rule of severity fail failed; warns if only tests of inferred rules failed or some attempts \
           were lost; not measured if a test was not made",
    remedy: "",
    source: "",
};

/// Every UDP port that a rule asks for answers from its sources.
pub const REACH_UDP: Check = Check {
    id: "PORT-002",
    asserts: "every UDP port that a rule asks for answers to each of the rule's sources",
    how: "",
    needs: "as PORT-001; on live nodes CAP_NET_ADMIN at both ends, since nothing is sent there and the packet filters judge",
    rule: "as PORT-001; on a live node not measured if a packet filter could not be read or nothing else got through",
    remedy: "",
    source: "",
};

/// A port that must stay local does not answer.
pub const EXPOSURE: Check = Check {
    id: "PORT-003",
    asserts: "a port of loopback scope does not answer over the network",
    how: "",
    needs: "nothing",
    rule: "warns if it answers",
    remedy: "",
    source: "",
};

/// The ports of the tables are free on bare nodes.
pub const PORTS_FREE: Check = Check {
    id: "PORT-004",
    asserts: "on a bare node nothing else holds a port of the tables (sshd on 22 may)",
    how: "",
    needs: "ports below 1024: CAP_NET_BIND_SERVICE; to name the holder: CAP_SYS_PTRACE or root",
    rule: "fails if another process holds one; not measured if one could not be bound for another reason",
    remedy: "",
    source: "",
};

/// On live nodes the expected listeners are there.
pub const LISTENER: Check = Check {
    id: "PORT-005",
    asserts: "on a live node the expected service listens",
    how: "",
    needs: "nothing",
    rule: "fails or warns, as its rule says, if nothing listens",
    remedy: "",
    source: "",
};

/// Every probe took part.
pub const SWARM: Check = Check {
    id: "SWARM-001",
    asserts: "every node's probe joined and stayed to the end",
    how: "",
    needs: "a probe on the node",
    rule: "not measured if one did not; with --partial, warns if one did not join",
    remedy: "",
    source: "",
};

/// Every node can be reached and driven.
pub const ACCESS: Check = Check {
    id: "ACC-001",
    asserts: "every node's probe reaches the coordinator, proves itself, tells of its host and takes its work",
    how: "",
    needs: "a probe on the node",
    rule: "not measured if one does not",
    remedy: "",
    source: "",
};

/// Every probe could do what it was asked to do.
pub const ABLE: Check = Check {
    id: "SWARM-002",
    asserts: "every probe could make the tests that were asked of it",
    how: "",
    needs: "the data address on the node, a route to its peers, enough open files, the privileges of PORT-001",
    rule: "fails if the node's address or route is missing; not measured if the probe lacked something",
    remedy: "",
    source: "",
};

/// Every rule has somebody who can stand for its source.
pub const VANTAGE: Check = Check {
    id: "PLAN-001",
    asserts: "every rule has a participant that stands for its source",
    how: "",
    needs: "nothing",
    rule: "warns for each rule without one",
    remedy: "",
    source: "",
};

/// Documents refer to each other.
pub const CFG_REFERENCES: Check = Check {
    id: "CFG-001",
    asserts: "every document and field is known; every NodePool belongs to the cluster of the file and lives in its namespace",
    how: "",
    needs: "nothing",
    rule: "fails if a NodePool does not; warns of kinds and fields that are not known",
    remedy: "",
    source: "",
};

/// The cluster's version has port tables.
pub const VERSION: Check = Check {
    id: "CFG-002",
    asserts: "the cluster's version has port tables, and no node pool leads it or lags behind by more than two minor \
              versions",
    how: "",
    needs: "nothing",
    rule: "fails if a pool does; warns if the version is newer than the newest tables, which are then used",
    remedy: "",
    source: "",
};

/// Fields fit the type.
pub const CFG_FIELDS: Check = Check {
    id: "CFG-003",
    asserts: "the fields of the file are those of its type of cluster",
    how: "",
    needs: "nothing",
    rule: "fails if an admin cluster has an ingress VIP, address pools or node pools, if another one with bundled \
              load balancers has no ingress VIP, or if the edge profile is not of a standalone cluster",
    remedy: "",
    source: "",
};

/// The control plane VIP is in no pool.
pub const CFG_VIP_OUTSIDE_POOLS: Check = Check {
    id: "CFG-004",
    asserts: "the control plane VIP is in no address pool",
    how: "",
    needs: "nothing",
    rule: "fails if it is in one",
    remedy: "",
    source: "",
};

/// The ingress VIP is in a pool.
pub const CFG_INGRESS_IN_POOL: Check = Check {
    id: "CFG-005",
    asserts: "with bundled load balancers the ingress VIP is in an address pool",
    how: "",
    needs: "nothing",
    rule: "fails if it is in none",
    remedy: "",
    source: "",
};

/// Addresses are each used once.
pub const CFG_DISJOINT_ADDRESSES: Check = Check {
    id: "CFG-006",
    asserts: "VIPs, pools, floating IPs, node addresses and BGP peers are each used once",
    how: "",
    needs: "nothing",
    rule: "fails if an address has two uses",
    remedy: "",
    source: "",
};

/// Ranges are well formed.
pub const CFG_RANGES: Check = Check {
    id: "CFG-007",
    asserts: "ranges are in order, share no address, and leave out what old routers take for broadcast addresses",
    how: "",
    needs: "nothing",
    rule: "fails for a range that is reversed, has host bits or spaces, or overlaps another; warns of .0 and .255 in \
              a pool without avoidBuggyIPs",
    remedy: "",
    source: "",
};

/// Ranges are of a length that the vendor takes.
pub const CFG_RANGE_LENGTHS: Check = Check {
    id: "CFG-008",
    asserts: "pod ranges are from /8 to /18 and service ranges from /12 to /24",
    how: "",
    needs: "nothing",
    rule: "fails if one is not",
    remedy: "",
    source: "",
};

/// Ranges are disjoint.
pub const CFG_DISJOINT_RANGES: Check = Check {
    id: "CFG-009",
    asserts: "pod and service ranges overlap neither each other nor nodes, VIPs, pools, routers and servers that the \
              file names",
    how: "",
    needs: "nothing",
    rule: "fails if one does",
    remedy: "",
    source: "",
};

/// Pods fit into their range.
pub const CFG_POD_CAPACITY: Check = Check {
    id: "CFG-010",
    asserts: "maxPodsPerNode is within bounds, and the pod range has a block for every node, of the size that it asks \
              for",
    how: "",
    needs: "nothing",
    rule: "fails if there are more nodes than blocks; warns above four fifths of them",
    remedy: "",
    source: "",
};

/// The control plane has a sensible number of nodes.
pub const CFG_CONTROL_PLANE_COUNT: Check = Check {
    id: "CFG-011",
    asserts: "the control plane has an odd number of nodes, and neither it nor a load balancer node pool has one only",
    how: "",
    needs: "nothing",
    rule: "fails if the number is even, of a plain inventory, whose etcd may stand elsewhere, warns of it; warns of one",
    remedy: "",
    source: "",
};

/// A node is in one pool.
pub const CFG_NODE_ONCE: Check = Check {
    id: "CFG-012",
    asserts: "every node is in exactly one list",
    how: "",
    needs: "nothing",
    rule: "fails if one is in two",
    remedy: "",
    source: "",
};

/// Ranges are private.
pub const CFG_PRIVATE: Check = Check {
    id: "CFG-013",
    asserts: "IPv4 ranges of pods and Services are private (RFC 1918)",
    how: "",
    needs: "nothing",
    rule: "warns if one is not",
    remedy: "",
    source: "",
};

/// VIPs are in the subnet of those who announce them.
pub const CFG_SAME_SUBNET: Check = Check {
    id: "CFG-014",
    asserts: "with bundled load balancers of type layer2, load balancer nodes, control plane VIP and pools are in one \
              subnet",
    how: "",
    needs: "nothing; to know rather than to assume the subnet: probes",
    rule: "fails if one is outside the subnet that the probes found; without probes assumes a /24, and warns or is not measured",
    remedy: "",
    source: "",
};

/// BGP sessions can come up.
pub const CFG_BGP: Check = Check {
    id: "CFG-015",
    asserts: "BGP has what it needs: advanced networking, numbers of two sides, two peers for every control plane node, \
              floating IPs",
    how: "",
    needs: "nothing",
    rule: "fails if something is missing or refers to nobody; warns of a control plane node with one peer",
    remedy: "",
    source: "",
};

/// Load balancer modes agree.
pub const CFG_MODES: Check = Check {
    id: "CFG-016",
    asserts: "the load balancer modes agree with each other, with the version and with what else is written",
    how: "",
    needs: "nothing",
    rule: "fails if pools or load balancer nodes are written in mode manual, or the modes contradict each other",
    remedy: "",
    source: "",
};

/// No node is in a range of the bootstrap cluster.
pub const CFG_BOOTSTRAP: Check = Check {
    id: "CFG-017",
    asserts: "no node is inside 192.168.122.0/24 or 10.96.0.0/27, which the bootstrap cluster uses",
    how: "",
    needs: "nothing",
    rule: "fails if one is",
    remedy: "",
    source: "",
};

/// The control plane VIP has a port of its own.
pub const CFG_LB_PORT: Check = Check {
    id: "CFG-018",
    asserts: "no other service of the nodes that carry the control plane VIP has its port (the port tables say which \
              they have)",
    how: "",
    needs: "nothing",
    rule: "fails if one has",
    remedy: "",
    source: "",
};

/// Both families agree.
pub const CFG_DUAL_STACK: Check = Check {
    id: "CFG-019",
    asserts: "in dual-stack clusters pods and Services have ranges of both families, which repeat the pod range and \
              hold maxPodsPerNode",
    how: "",
    needs: "nothing",
    rule: "fails if one is missing, is another one or is too small; warns if no pool has IPv6 addresses",
    remedy: "",
    source: "",
};

/// What is inside the cluster bypasses the proxy.
pub const CFG_NO_PROXY: Check = Check {
    id: "CFG-020",
    asserts: "noProxy covers nodes, VIPs, pods and Services",
    how: "",
    needs: "nothing",
    rule: "warns of what it leaves out",
    remedy: "",
    source: "",
};

/// bmctl makes its own checks.
pub const CFG_PREFLIGHT: Check = Check {
    id: "CFG-021",
    asserts: "bypassPreflightCheck is not true, and the paths of the keys that bmctl needs are written (no key is ever \
              opened)",
    how: "",
    needs: "nothing",
    rule: "warns otherwise",
    remedy: "",
    source: "",
};

/// Every check, ascending by id.
pub const ALL: [Check; 30] = [
    ACCESS,
    CFG_REFERENCES,
    VERSION,
    CFG_FIELDS,
    CFG_VIP_OUTSIDE_POOLS,
    CFG_INGRESS_IN_POOL,
    CFG_DISJOINT_ADDRESSES,
    CFG_RANGES,
    CFG_RANGE_LENGTHS,
    CFG_DISJOINT_RANGES,
    CFG_POD_CAPACITY,
    CFG_CONTROL_PLANE_COUNT,
    CFG_NODE_ONCE,
    CFG_PRIVATE,
    CFG_SAME_SUBNET,
    CFG_BGP,
    CFG_MODES,
    CFG_BOOTSTRAP,
    CFG_LB_PORT,
    CFG_DUAL_STACK,
    CFG_NO_PROXY,
    CFG_PREFLIGHT,
    VANTAGE,
    REACH_TCP,
    REACH_UDP,
    EXPOSURE,
    PORTS_FREE,
    LISTENER,
    SWARM,
    ABLE,
];
