//! Mistakes in the sample cluster files: each is refused with its place, what is wrong and what to write.

use plumbline_model::{
    cluster,
    source::{Refused, SourceText},
};

use crate::{ADMIN, HYBRID, STANDALONE, USER};

/// One mistake: the sample, what is replaced by what, where the complaint points, what it says and its remedy.
struct Mistake {
    sample: &'static str,
    from: &'static str,
    to: &'static str,
    place: &'static str,
    message: &'static str,
    help: &'static str,
}

#[test]
fn each_mistake_is_refused_with_its_place_and_remedy() {
    let mut failures = Vec::new();
    for mistake in MISTAKES {
        assert!(
            mistake.sample.contains(mistake.from),
            "{:?} is not in its sample",
            mistake.from
        );
        let text = mistake.sample.replacen(mistake.from, mistake.to, 1);
        let told = match cluster::read(&SourceText {
            name: "c.yaml".to_owned(),
            text,
        }) {
            Ok(read) => Refused(read.findings).to_string(),
            Err(refused) => refused.to_string(),
        };
        let expected = format!("c.yaml:{}: ", mistake.place);
        let found = told.lines().zip(told.lines().skip(1)).any(|(message, help)| {
            message.starts_with(&expected) && message.contains(mistake.message) && help.contains(mistake.help)
        });
        if !found {
            failures.push(format!(
                "{:?} -> {:?}\n  expected {expected}{}\n  told {told}",
                mistake.from, mistake.to, mistake.message
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_mistake_brings_no_flood_of_complaints_and_each_says_what_to_write() {
    for mistake in MISTAKES {
        let text = mistake.sample.replacen(mistake.from, mistake.to, 1);
        let source = SourceText {
            name: "c.yaml".to_owned(),
            text,
        };
        let refused = match cluster::read(&source) {
            Ok(read) => Refused(read.findings),
            Err(refused) => refused,
        };
        assert!(
            refused.0.len() <= 3,
            "{:?} -> {:?}: {refused}",
            mistake.from,
            mistake.to
        );
        assert!(
            refused.0.iter().all(|complaint| complaint.help.is_some()),
            "{refused}"
        );
    }
}

const MISTAKES: &[Mistake] = &[
    Mistake {
        sample: USER,
        from: "spec:\n  type: user",
        to: "spec:\n\ttype: user",
        place: "19:2",
        message: "tabs",
        help: "with spaces",
    },
    Mistake {
        sample: USER,
        from: "  type: user",
        to: "  type user",
        place: "20:10",
        message: "",
        help: "colon",
    },
    Mistake {
        sample: USER,
        from: "noProxy: 10.200.0.0/16",
        to: "noProxy: \"10.200.0.0/16",
        place: "63:14",
        message: "",
        help: "quotation",
    },
    Mistake {
        sample: USER,
        from: "      - 192.168.0.0/16",
        to: "     - 192.168.0.0/16",
        place: "37:6",
        message: "",
        help: "",
    },
    Mistake {
        sample: USER,
        from: "  profile: default",
        to: "  type: user",
        place: "20:3",
        message: "key `type` is written twice",
        help: "the other is in line 19",
    },
    Mistake {
        sample: USER,
        from: "  bypassPreflightCheck:",
        to: "  bypassPreflightChecks:",
        place: "22:3",
        message: "unknown field `spec.bypassPreflightChecks`",
        help: "did you mean `bypassPreflightCheck`?",
    },
    Mistake {
        sample: USER,
        from: "controlPlaneVIP:",
        to: "controlplaneVip:",
        place: "47:7",
        message: "unknown field `spec.loadBalancer.vips.controlplaneVip`",
        help: "did you mean `controlPlaneVIP`?",
    },
    Mistake {
        sample: USER,
        from: "sshPrivateKeyPath",
        to: "sshPrivateKey",
        place: "3:1",
        message: "unknown field `sshPrivateKey`",
        help: "did you mean `sshPrivateKeyPath`?",
    },
    Mistake {
        sample: USER,
        from: "kind: NodePool",
        to: "kind: Nodepools",
        place: "82:7",
        message: "unknown kind `Nodepools`",
        help: "did you mean `NodePool`?",
    },
    Mistake {
        sample: USER,
        from: "kind: Namespace",
        to: "kind: Pod",
        place: "9:7",
        message: "kind `Pod`: this kind says nothing",
        help: "remove it",
    },
    Mistake {
        sample: USER,
        from: "apiVersion: baremetal.cluster.gke.io/v1\nkind: Cluster",
        to: "apiVersion: baremetal.cluster.gke.io/v2\nkind: Cluster",
        place: "13:13",
        message: "unknown value \"baremetal.cluster.gke.io/v2\"",
        help: "did you mean `baremetal.cluster.gke.io/v1`?",
    },
    Mistake {
        sample: USER,
        from: "kind: Cluster\n",
        to: "",
        place: "13:1",
        message: "a document without `kind`",
        help: "write `kind:`",
    },
    Mistake {
        sample: USER,
        from: "type: user",
        to: "type: usr",
        place: "19:9",
        message: "`spec.type`: unknown value \"usr\"",
        help: "did you mean `user`?",
    },
    Mistake {
        sample: USER,
        from: "mode: bundled",
        to: "mode: bundle",
        place: "42:11",
        message: "`spec.loadBalancer.mode`: unknown value \"bundle\"",
        help: "did you mean `bundled`?",
    },
    Mistake {
        sample: USER,
        from: "type: layer2",
        to: "type: layer3",
        place: "43:11",
        message: "`spec.loadBalancer.type`",
        help: "did you mean `layer2`?",
    },
    Mistake {
        sample: USER,
        from: "avoidBuggyIPs: true",
        to: "avoidBuggyIPs: \"true\"",
        place: "51:22",
        message: "expected true or false",
        help: "without quotation marks",
    },
    Mistake {
        sample: USER,
        from: "  anthosBareMetalVersion: 1.29.1100-gke.84\n",
        to: "",
        place: "19:3",
        message: "`spec.anthosBareMetalVersion` is missing",
        help: "1.29.1100-gke.84",
    },
    Mistake {
        sample: USER,
        from: "      controlPlaneVIP: 10.200.0.49\n",
        to: "",
        place: "47:7",
        message: "`spec.loadBalancer.vips.controlPlaneVIP` is missing",
        help: "an unused address",
    },
    Mistake {
        sample: USER,
        from: "  clusterName: user-l2\n",
        to: "",
        place: "87:3",
        message: "`spec.clusterName` is missing",
        help: "the name of the Cluster document",
    },
    Mistake {
        sample: USER,
        from: "- address: 10.210.1.11",
        to: "- k8sIP: 10.210.1.11",
        place: "89:5",
        message: "`spec.nodes[0].address` is missing",
        help: "address: IPV4",
    },
    Mistake {
        sample: ADMIN,
        from: "      nodes:\n      - address: 10.200.0.3",
        to: "      nodes: []",
        place: "26:14",
        message: "the control plane has no nodes",
        help: "at least one",
    },
    Mistake {
        sample: USER,
        from: "- address: 10.200.0.12",
        to: "- address: 10.200.0.300",
        place: "32:18",
        message: "\"10.200.0.300\" is not an IP address",
        help: "10.200.0.11",
    },
    Mistake {
        sample: USER,
        from: "- address: 10.200.0.12",
        to: "- address: fd00::12",
        place: "32:18",
        message: "is IPv6",
        help: "write an IPv4 address",
    },
    Mistake {
        sample: USER,
        from: "- address: 10.200.0.12",
        to: "- address: 127.0.0.1",
        place: "32:18",
        message: "no host can have the address 127.0.0.1",
        help: "unicast",
    },
    Mistake {
        sample: USER,
        from: "- address: 10.210.2.12",
        to: "- address: 10.210.1.11",
        place: "92:14",
        message: "address 10.210.1.11 in NodePool `np-general` is already a node of NodePool `np-general`",
        help: "line 89",
    },
    Mistake {
        sample: USER,
        from: "- address: 10.210.2.12",
        to: "- address: 10.200.0.25",
        place: "92:14",
        message: "is already a node of the load balancer node pool",
        help: "line 58",
    },
    Mistake {
        sample: HYBRID,
        from: "controlPlaneVIP: 10.200.0.48",
        to: "controlPlaneVIP: 10.200.0.3",
        place: "46:24",
        message: "controlPlaneVIP 10.200.0.3 is the address of a node of the control plane",
        help: "nobody has",
    },
    Mistake {
        sample: USER,
        from: "controlPlaneVIP: 10.200.0.49",
        to: "controlPlaneVIP: 10.200.0.51",
        place: "47:24",
        message: "controlPlaneVIP 10.200.0.51 is inside the address pool 10.200.0.50-10.200.0.70",
        help: "outside the pools",
    },
    Mistake {
        sample: STANDALONE,
        from: "ingressVIP: 10.0.0.9",
        to: "ingressVIP: 10.0.0.99",
        place: "44:19",
        message: "ingressVIP 10.0.0.99 is in no address pool",
        help: "10.0.0.9-10.0.0.19",
    },
    Mistake {
        sample: USER,
        from: "10.200.0.50-10.200.0.70",
        to: "10.200.0.70-10.200.0.50",
        place: "54:9",
        message: "the range 10.200.0.70-10.200.0.50 is reversed",
        help: "write 10.200.0.50-10.200.0.70",
    },
    Mistake {
        sample: USER,
        from: "10.200.0.50-10.200.0.70",
        to: "10.200.0.50 - 10.200.0.70",
        place: "54:9",
        message: "has spaces",
        help: "write 10.200.0.50-10.200.0.70",
    },
    Mistake {
        sample: USER,
        from: "10.200.0.240/28",
        to: "10.200.0.64/28",
        place: "55:9",
        message: "overlaps 10.200.0.50-10.200.0.70 (line 54)",
        help: "disjoint",
    },
    Mistake {
        sample: USER,
        from: "10.200.0.240/28",
        to: "10.200.0.16/28",
        place: "55:9",
        message: "has the node 10.200.0.25 of the load balancer node pool",
        help: "leave the addresses of nodes out",
    },
    Mistake {
        sample: STANDALONE,
        from: "fd00:1234:3::100-fd00:1234:3::10f",
        to: "fd00:1234:3::100-10.0.0.99",
        place: "49:9",
        message: "is not a range of addresses",
        help: "10.0.0.50-10.0.0.70",
    },
    Mistake {
        sample: USER,
        from: "- 192.168.0.0/16",
        to: "- 192.168.0.0/33",
        place: "37:9",
        message: "is not an address range in CIDR notation",
        help: "ADDRESS/LENGTH",
    },
    Mistake {
        sample: USER,
        from: "- 192.168.0.0/16",
        to: "- 192.168.0.0/24",
        place: "37:9",
        message: "/24 is outside /8 to /18",
        help: "from 8 to 18",
    },
    Mistake {
        sample: USER,
        from: "- 10.96.0.0/20",
        to: "- 10.96.1.0/20",
        place: "40:9",
        message: "10.96.1.0/20 has host bits set",
        help: "write 10.96.0.0/20",
    },
    Mistake {
        sample: STANDALONE,
        from: "cidr: fd00:1234:1::/112",
        to: "cidr: 10.1.0.0/16",
        place: "75:11",
        message: "of the other address family",
        help: "exchange",
    },
    Mistake {
        sample: USER,
        from: "1.29.1100-gke.84",
        to: "1.20.0",
        place: "21:27",
        message: "version 1.20 never existed",
        help: "the nearest version is 1.16",
    },
    Mistake {
        sample: HYBRID,
        from: "1.28.1400-gke.79",
        to: "1.27.3-gke.1",
        place: "23:27",
        message: "version 1.27 never existed",
        help: "the nearest version is 1.28",
    },
    Mistake {
        sample: USER,
        from: "1.29.1100-gke.84",
        to: "latest",
        place: "21:27",
        message: "\"latest\" is not a version",
        help: "MAJOR.MINOR",
    },
    Mistake {
        sample: USER,
        from: "  clusterName: user-l2\n",
        to: "  clusterName: user-l2\n  anthosBareMetalVersion: 1.30.0\n",
        place: "88:27",
        message: "is newer (1.30.0) than its cluster",
        help: "upgrade the cluster first",
    },
    Mistake {
        sample: USER,
        from: "controlPlaneLBPort: 443",
        to: "controlPlaneLBPort: 0",
        place: "45:27",
        message: "0 is not a whole number from 1 to 65535",
        help: "from 1 to 65535",
    },
    Mistake {
        sample: USER,
        from: "controlPlaneLBPort: 443",
        to: "controlPlaneLBPort: 70000",
        place: "45:27",
        message: "\"70000\" is not a whole number",
        help: "from 1 to 65535",
    },
    Mistake {
        sample: USER,
        from: "maxPodsPerNode: 110",
        to: "maxPodsPerNode: 500",
        place: "77:23",
        message: "500 is not a whole number from 32 to 250",
        help: "from 32 to 250",
    },
    Mistake {
        sample: USER,
        from: "clusterName: user-l2",
        to: "clusterName: user-l3",
        place: "87:16",
        message: "belongs to the unknown cluster `user-l3`",
        help: "did you mean `user-l2`?",
    },
    Mistake {
        sample: USER,
        from: "  name: np-general\n  namespace: cluster-user-l2",
        to: "  name: np-general\n  namespace: default",
        place: "85:14",
        message: "is in namespace `default`, its cluster in `cluster-user-l2`",
        help: "write `namespace: cluster-user-l2`",
    },
    Mistake {
        sample: HYBRID,
        from: "clusterName: hybrid1",
        to: "clusterName: hybrid2",
        place: "28:20",
        message: "`spec.controlPlane.nodePoolSpec.clusterName` is `hybrid2`",
        help: "hybrid1",
    },
    Mistake {
        sample: ADMIN,
        from: "controlPlaneVIP: 10.200.0.98",
        to: "controlPlaneVIP: 10.200.0.98\n      ingressVIP: 10.200.0.99",
        place: "41:19",
        message: "an admin cluster has no ingressVIP",
        help: "remove it",
    },
    Mistake {
        sample: HYBRID,
        from: "type: hybrid",
        to: "type: admin",
        place: "49:7",
        message: "an admin cluster has no addressPools",
        help: "remove it",
    },
    Mistake {
        sample: USER,
        from: "mode: bundled",
        to: "mode: manual",
        place: "57:7",
        message: "mode manual has no load balancer nodes",
        help: "`mode: bundled`",
    },
    Mistake {
        sample: USER,
        from: "profile: default",
        to: "profile: edge",
        place: "20:12",
        message: "edge is for standalone clusters",
        help: "profile: default",
    },
    Mistake {
        sample: USER,
        from: "  controlPlane:\n",
        to: "  controlPlane:\n    loadBalancer:\n      mode: bundled\n",
        place: "30:13",
        message: "needs version 1.32 or later",
        help: "remove it",
    },
];
