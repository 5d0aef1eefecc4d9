//! The checks that this analysis makes, by their stable ids (docs/checks.md).

/// A check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// Its stable id, as findings and checks of report.json name it.
    pub id: &'static str,
    /// What it asserts.
    pub asserts: &'static str,
    /// What it needs on the nodes.
    pub needs: &'static str,
    /// When it fails, warns or is not measured.
    pub rule: &'static str,
}

/// Every TCP port that a rule asks for answers from its sources.
pub const REACH_TCP: Check = Check {
    id: "PORT-001",
    asserts: "every TCP port that a rule asks for answers to each of the rule's sources",
    needs: "ports below 1024: CAP_NET_BIND_SERVICE; to place a drop: CAP_NET_RAW; to name its rule: CAP_NET_ADMIN",
    rule: "fails if a test of a rule of severity fail failed; warns if only tests of inferred rules failed or some attempts \
           were lost; not measured if a test was not made",
};

/// Every UDP port that a rule asks for answers from its sources.
pub const REACH_UDP: Check = Check {
    id: "PORT-002",
    asserts: "every UDP port that a rule asks for answers to each of the rule's sources",
    needs: "as PORT-001; on live nodes CAP_NET_ADMIN at both ends, since nothing is sent there and the packet filters judge",
    rule: "as PORT-001; on a live node not measured if a packet filter could not be read or nothing else got through",
};

/// A port that must stay local does not answer.
pub const EXPOSURE: Check = Check {
    id: "PORT-003",
    asserts: "a port of loopback scope does not answer over the network",
    needs: "nothing",
    rule: "warns if it answers",
};

/// The ports of the tables are free on bare nodes.
pub const PORTS_FREE: Check = Check {
    id: "PORT-004",
    asserts: "on a bare node nothing else holds a port of the tables (sshd on 22 may)",
    needs: "ports below 1024: CAP_NET_BIND_SERVICE; to name the holder: CAP_SYS_PTRACE or root",
    rule: "fails if another process holds one; not measured if one could not be bound for another reason",
};

/// On live nodes the expected listeners are there.
pub const LISTENER: Check = Check {
    id: "PORT-005",
    asserts: "on a live node the expected service listens",
    needs: "nothing",
    rule: "fails or warns, as its rule says, if nothing listens",
};

/// Every probe took part.
pub const SWARM: Check = Check {
    id: "SWARM-001",
    asserts: "every node's probe joined and stayed to the end",
    needs: "a probe on the node",
    rule: "not measured if one did not; with --partial, warns if one did not join",
};

/// Every node can be reached and driven.
pub const ACCESS: Check = Check {
    id: "ACC-001",
    asserts: "every node's probe reaches the coordinator, proves itself, tells of its host and takes its work",
    needs: "a probe on the node",
    rule: "not measured if one does not",
};

/// Every probe could do what it was asked to do.
pub const ABLE: Check = Check {
    id: "SWARM-002",
    asserts: "every probe could make the tests that were asked of it",
    needs: "the data address on the node, a route to its peers, enough open files, the privileges of PORT-001",
    rule: "fails if the node's address or route is missing; not measured if the probe lacked something",
};

/// Every rule has somebody who can stand for its source.
pub const VANTAGE: Check = Check {
    id: "PLAN-001",
    asserts: "every rule has a participant that stands for its source",
    needs: "nothing",
    rule: "warns for each rule without one",
};

/// The cluster's version has port tables.
pub const VERSION: Check = Check {
    id: "CFG-002",
    asserts: "the cluster's version has port tables",
    needs: "nothing",
    rule: "warns if it is newer than the newest tables, which are then used",
};

/// The control plane VIP is in no pool.
pub const CFG_VIP_OUTSIDE_POOLS: Check = Check {
    id: "CFG-004",
    asserts: "the control plane VIP is in no address pool",
    needs: "nothing",
    rule: "fails if it is in one",
};

/// Addresses are each used once.
pub const CFG_DISJOINT_ADDRESSES: Check = Check {
    id: "CFG-006",
    asserts: "VIPs, pools, floating IPs, node addresses and BGP peers are each used once",
    needs: "nothing",
    rule: "fails if an address has two uses",
};

/// Pods fit into their range.
pub const CFG_POD_CAPACITY: Check = Check {
    id: "CFG-010",
    asserts: "the pod range has a block for every node, of the size that maxPodsPerNode asks for",
    needs: "nothing",
    rule: "fails if there are more nodes than blocks; warns above four fifths of them",
};

/// Ranges are disjoint.
pub const CFG_DISJOINT_RANGES: Check = Check {
    id: "CFG-009",
    asserts: "pod and service ranges overlap neither each other nor anything else that the cluster needs",
    needs: "nothing",
    rule: "fails if one does",
};

/// Every check, ascending by id.
pub const ALL: [Check; 14] = [
    ACCESS,
    VERSION,
    CFG_VIP_OUTSIDE_POOLS,
    CFG_DISJOINT_ADDRESSES,
    CFG_DISJOINT_RANGES,
    CFG_POD_CAPACITY,
    VANTAGE,
    REACH_TCP,
    REACH_UDP,
    EXPOSURE,
    PORTS_FREE,
    LISTENER,
    SWARM,
    ABLE,
];
