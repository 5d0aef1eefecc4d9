//! The checks that this analysis makes, by their stable ids. docs/checks.md is made of these words (`cargo xtask gen`).

use crate::assumption::RULES;

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
    how: "responders of ours bind the real ports on bare nodes; each source connects, exchanges a nonce that the pair key proves, and closes by RST; on live nodes it connects and closes by FIN. Three attempts of one 5-tuple before silence is believed; what failed is asked again while both ends capture",
    needs: "ports below 1024: CAP_NET_BIND_SERVICE; to place a drop: CAP_NET_RAW; to name its rule: CAP_NET_ADMIN",
    rule: "fails if a test of a rule of severity fail failed; warns if only tests of inferred rules failed or some attempts \
           were lost; not measured if a test was not made",
    remedy: "open the port in the packet filter that the finding names, on the path that it names, or start what should listen",
    source: "the port tables of the profile (`plumbline profiles show`)",
};

/// Every UDP port that a rule asks for answers from its sources.
pub const REACH_UDP: Check = Check {
    id: "PORT-002",
    asserts: "every UDP port that a rule asks for answers to each of the rule's sources",
    how: "authenticated STAMP packets (RFC 8762) to responders of ours; nothing is sent to UDP services of live nodes, whose packet filters are read instead",
    needs: "as PORT-001; on live nodes CAP_NET_ADMIN at both ends, since nothing is sent there and the packet filters judge",
    rule: "as PORT-001; on a live node not measured if a packet filter could not be read or nothing else got through",
    remedy: "as PORT-001",
    source: "the port tables of the profile; RFC 8762, RFC 8972",
};

/// A port that must stay local does not answer.
pub const EXPOSURE: Check = Check {
    id: "PORT-003",
    asserts: "a port of loopback scope does not answer over the network",
    how: "one other node connects to the port and says nothing; nobody binds it",
    needs: "nothing",
    rule: "warns if it answers",
    remedy: "bind the service to loopback, or drop the port in the packet filter",
    source: "the port tables of the profile: rows that are read as loopback scope",
};

/// The ports of the tables are free on bare nodes.
pub const PORTS_FREE: Check = Check {
    id: "PORT-004",
    asserts: "on a bare node nothing else holds a port of the tables (sshd on 22 may)",
    how: "the probe binds the port on the data address; who holds it is read from /proc",
    needs: "ports below 1024: CAP_NET_BIND_SERVICE; to name the holder: CAP_SYS_PTRACE or root",
    rule: "fails if another process holds one; not measured if one could not be bound for another reason",
    remedy: "stop the process, or move it to another port",
    source: "the port tables of the profile",
};

/// On live nodes the expected listeners are there.
pub const LISTENER: Check = Check {
    id: "PORT-005",
    asserts: "on a live node the expected service listens",
    how: "the sockets that wait are read by sock_diag",
    needs: "nothing",
    rule: "fails or warns, as its rule says, if nothing listens",
    remedy: "start the service, or find out why it does not listen",
    source: "the port tables of the profile",
};

/// Every probe took part.
pub const SWARM: Check = Check {
    id: "SWARM-001",
    asserts: "every node's probe joined and stayed to the end",
    how: "each probe keeps one stream to the coordinator",
    needs: "a probe on the node",
    rule: "not measured if one did not; with --partial, warns if one did not join",
    remedy: "start the probe, and let it reach the coordinator",
    source: "a verdict rests on what was measured",
};

/// Every node can be reached and driven.
pub const ACCESS: Check = Check {
    id: "ACC-001",
    asserts: "every node's probe reaches the coordinator, proves itself, tells of its host and takes its work",
    how: "the probe enrols with its one-time key and tells of its host",
    needs: "a probe on the node",
    rule: "not measured if one does not",
    remedy: "start the probe as the join file says",
    source: "a verdict rests on what was measured",
};

/// Every probe could do what it was asked to do.
pub const ABLE: Check = Check {
    id: "SWARM-002",
    asserts: "every probe could make the tests that were asked of it",
    how: "what a probe could not do is part of what it testifies",
    needs: "the data address on the node, a route to its peers, enough open files, the privileges of PORT-001",
    rule: "fails if the node's address or route is missing; not measured if the probe lacked something",
    remedy: "give the probe what the finding names",
    source: "a verdict rests on what was measured",
};

/// Every rule has somebody who can stand for its source.
pub const VANTAGE: Check = Check {
    id: "PLAN-001",
    asserts: "every rule has a participant that stands for its source",
    how: "the sources of the rules are compared with who takes part",
    needs: "nothing",
    rule: "warns for each rule without one",
    remedy: "run a probe there and declare it as a vantage (docs/inventory.md), or give --admin-cluster",
    source: "the port tables of the profile",
};

/// Documents refer to each other.
pub const CFG_REFERENCES: Check = Check {
    id: "CFG-001",
    asserts: "every document and field is known; every NodePool belongs to the cluster of the file and lives in its namespace",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if a NodePool does not; warns of kinds and fields that are not known",
    remedy: "correct the name that the finding quotes",
    source: "cluster configuration field reference",
};

/// The cluster's version has port tables.
pub const VERSION: Check = Check {
    id: "CFG-002",
    asserts: "the cluster's version has port tables, and no node pool leads it or lags behind by more than two minor \
              versions",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if a pool does; warns if the version is newer than the newest tables, which are then used",
    remedy: "correct the version, or give tables for it with --profile",
    source: "network requirements: tables by version; version skew of node pools",
};

/// Fields fit the type.
pub const CFG_FIELDS: Check = Check {
    id: "CFG-003",
    asserts: "the fields of the file are those of its type of cluster",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if an admin cluster has an ingress VIP, address pools or node pools, if another one with bundled \
              load balancers has no ingress VIP, or if the edge profile is not of a standalone cluster",
    remedy: "remove or add the field",
    source: "cluster configuration field reference",
};

/// The control plane VIP is in no pool.
pub const CFG_VIP_OUTSIDE_POOLS: Check = Check {
    id: "CFG-004",
    asserts: "the control plane VIP is in no address pool",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if it is in one",
    remedy: "take the VIP out of the pool",
    source: "configure bundled load balancing: address pools",
};

/// The ingress VIP is in a pool.
pub const CFG_INGRESS_IN_POOL: Check = Check {
    id: "CFG-005",
    asserts: "with bundled load balancers the ingress VIP is in an address pool",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if it is in none",
    remedy: "extend a pool, or take a VIP out of one",
    source: "configure bundled load balancing: address pools",
};

/// Addresses are each used once.
pub const CFG_DISJOINT_ADDRESSES: Check = Check {
    id: "CFG-006",
    asserts: "VIPs, pools, floating IPs, node addresses and BGP peers are each used once",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if an address has two uses",
    remedy: "give one of the two another address",
    source: "network requirements: addresses of VIPs and nodes",
};

/// Ranges are well formed.
pub const CFG_RANGES: Check = Check {
    id: "CFG-007",
    asserts: "ranges are in order, share no address, and leave out what old routers take for broadcast addresses",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails for a range that is reversed, has host bits or spaces, or overlaps another; warns of .0 and .255 in \
              a pool without avoidBuggyIPs",
    remedy: "write the range as the finding says",
    source: "configure bundled load balancing: address pools, avoidBuggyIPs",
};

/// Ranges are of a length that the vendor takes.
pub const CFG_RANGE_LENGTHS: Check = Check {
    id: "CFG-008",
    asserts: "pod ranges are from /8 to /18 and service ranges from /12 to /24",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if one is not",
    remedy: "choose another length; the pod range cannot be changed later",
    source: "cluster configuration field reference: cidrBlocks",
};

/// Ranges are disjoint.
pub const CFG_DISJOINT_RANGES: Check = Check {
    id: "CFG-009",
    asserts: "pod and service ranges overlap neither each other nor nodes, VIPs, pools, routers and servers that the \
              file names",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if one does",
    remedy: "choose another range; the pod range cannot be changed later",
    source: "network requirements: pods and Services networking",
};

/// Pods fit into their range.
pub const CFG_POD_CAPACITY: Check = Check {
    id: "CFG-010",
    asserts: "maxPodsPerNode is within bounds, and the pod range has a block for every node, of the size that it asks \
              for",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if there are more nodes than blocks; warns above four fifths of them",
    remedy: "a larger pod range, or fewer pods a node, before the cluster is made",
    source: "cluster configuration field reference: podDensity",
};

/// The control plane has a sensible number of nodes.
pub const CFG_CONTROL_PLANE_COUNT: Check = Check {
    id: "CFG-011",
    asserts: "the control plane has an odd number of nodes, and neither it nor a load balancer node pool has one only",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if the number is even, of a plain inventory, whose etcd may stand elsewhere, warns of it; warns of one",
    remedy: "an odd number of nodes",
    source: "etcd: a majority of an even number tolerates no more failures",
};

/// A node is in one pool.
pub const CFG_NODE_ONCE: Check = Check {
    id: "CFG-012",
    asserts: "every node is in exactly one list",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if one is in two",
    remedy: "remove the node from one list",
    source: "cluster configuration field reference: nodePoolSpec",
};

/// Ranges are private.
pub const CFG_PRIVATE: Check = Check {
    id: "CFG-013",
    asserts: "IPv4 ranges of pods and Services are private (RFC 1918)",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "warns if one is not",
    remedy: "choose a private range",
    source: "RFC 1918; network requirements",
};

/// VIPs are in the subnet of those who announce them.
pub const CFG_SAME_SUBNET: Check = Check {
    id: "CFG-014",
    asserts: "with bundled load balancers of type layer2, load balancer nodes, control plane VIP and pools are in one \
              subnet",
    how: "the file is read, and the prefixes that probes found on the data interfaces",
    needs: "nothing; to know rather than to assume the subnet: probes",
    rule: "fails if one is outside the subnet that the probes found; without probes assumes a /24, and warns or is not measured",
    remedy: "VIPs of the load balancers' subnet, or BGP",
    source: "network requirements: one layer 2 domain for load balancers",
};

/// BGP sessions can come up.
pub const CFG_BGP: Check = Check {
    id: "CFG-015",
    asserts: "BGP has what it needs: advanced networking, numbers of two sides, two peers for every control plane node, \
              floating IPs",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if something is missing or refers to nobody; warns of a control plane node with one peer",
    remedy: "add or correct what the finding names",
    source: "configure bundled load balancers with BGP",
};

/// Load balancer modes agree.
pub const CFG_MODES: Check = Check {
    id: "CFG-016",
    asserts: "the load balancer modes agree with each other, with the version and with what else is written",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if pools or load balancer nodes are written in mode manual, or the modes contradict each other",
    remedy: "make the modes agree",
    source: "cluster configuration field reference: loadBalancer.mode",
};

/// No node is in a range of the bootstrap cluster.
pub const CFG_BOOTSTRAP: Check = Check {
    id: "CFG-017",
    asserts: "no node is inside 192.168.122.0/24 or 10.96.0.0/27, which the bootstrap cluster uses",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if one is",
    remedy: "give bmctl other ranges: --bootstrap-cluster-pod-cidr, --bootstrap-cluster-service-cidr",
    source: "bmctl reference: bootstrap cluster",
};

/// The control plane VIP has a port of its own.
pub const CFG_LB_PORT: Check = Check {
    id: "CFG-018",
    asserts: "no other service of the nodes that carry the control plane VIP has its port (the port tables say which \
              they have)",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if one has",
    remedy: "choose another port",
    source: "the port tables of the profile",
};

/// Both families agree.
pub const CFG_DUAL_STACK: Check = Check {
    id: "CFG-019",
    asserts: "in dual-stack clusters pods and Services have ranges of both families, which repeat the pod range and \
              hold maxPodsPerNode",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "fails if one is missing, is another one or is too small; warns if no pool has IPv6 addresses",
    remedy: "add or correct the range",
    source: "cluster configuration field reference: ClusterCIDRConfig",
};

/// What is inside the cluster bypasses the proxy.
pub const CFG_NO_PROXY: Check = Check {
    id: "CFG-020",
    asserts: "noProxy covers nodes, VIPs, pods and Services",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "warns of what it leaves out",
    remedy: "extend noProxy",
    source: "install behind a proxy",
};

/// bmctl makes its own checks.
pub const CFG_PREFLIGHT: Check = Check {
    id: "CFG-021",
    asserts: "bypassPreflightCheck is not true, and the paths of the keys that bmctl needs are written (no key is ever \
              opened)",
    how: "the file is read; nothing is sent",
    needs: "nothing",
    rule: "warns otherwise",
    remedy: "let bmctl make its checks; write the paths",
    source: "cluster configuration field reference: header",
};

/// Every check, ascending by id.
pub fn all() -> Vec<Check> {
    let assumptions = RULES.iter().map(|rule| *rule.check);
    let mut all: Vec<Check> = OF_FILES_AND_TESTS.into_iter().chain(assumptions).collect();
    all.sort_by_key(|check| check.id);
    all
}

/// The check of an id.
pub fn find(id: &str) -> Option<Check> {
    all().into_iter().find(|check| check.id == id)
}

/// Those over the files, of the port matrix and of the swarm; those of assumptions stand with their rules.
const OF_FILES_AND_TESTS: [Check; 30] = [
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

/// Whether a check judges what the design of a cluster assumes of its network: its rows tell of each subject by itself.
pub fn is_assumption(id: &str) -> bool {
    RULES.iter().any(|rule| rule.check.id == id)
}

/// The detail of a row that was not asked for: it makes nothing incomplete.
pub const NEEDS_ACTIVE: &str = "needs --active";

/// The detail of a row of a node whose probe is gone, which is a finding of its own.
pub const PROBE_GONE: &str = "the probe did not join or was lost";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_an_id_of_its_own_and_says_everything_of_itself() {
        let all = all();
        let ids: BTreeSet<&str> = all.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), all.len(), "an id is used twice");
        for check in &all {
            for word in [
                check.asserts,
                check.how,
                check.needs,
                check.rule,
                check.remedy,
                check.source,
            ] {
                assert!(!word.is_empty(), "{} leaves something out", check.id);
                assert!(!word.ends_with('.'), "{}: {word}", check.id);
            }
        }
    }

    #[test]
    fn rules_are_in_the_order_of_their_ids() {
        let ids: Vec<&str> = RULES.iter().map(|rule| rule.check.id).collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        assert_eq!(ids, sorted);
    }
}
