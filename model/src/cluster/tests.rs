use super::*;

fn sample(name: &str) -> SourceText {
    let text = match name {
        "user" => include_str!("../../tests/clusters/01-user-l2-dedicated-lb-1.29.yaml"),
        "hybrid" => include_str!("../../tests/clusters/02-hybrid-l2-1.28.yaml"),
        "admin" => include_str!("../../tests/clusters/04-admin-1.16.yaml"),
        _ => include_str!("../../tests/clusters/07-standalone-dualstack-1.31.yaml"),
    };
    SourceText {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn cluster(name: &str) -> Cluster {
    read(&sample(name))
        .unwrap_or_else(|refused| panic!("{refused}"))
        .cluster
}

#[test]
fn the_samples_read_as_they_are_written() {
    let user = cluster("user");
    assert_eq!(user.to_string(), "user user-l2 (1.29.1100-gke.84)");
    assert_eq!(user.namespace, "cluster-user-l2");
    assert_eq!(user.load_balancer.nodes.len(), 3);
    assert_eq!(
        user.load_balancer.address_pools[0].ranges[1].to_string(),
        "10.200.0.240-10.200.0.255"
    );
    assert_eq!(user.pools[0].nodes[3].address.to_string(), "10.210.2.12");
    let hybrid = cluster("hybrid");
    assert_eq!(hybrid.cluster_type, ClusterType::Hybrid);
    assert_eq!(hybrid.max_pods_per_node, Some(250));
    let admin = cluster("admin");
    assert_eq!((admin.control_plane.len(), admin.pools.len()), (1, 0));
    let standalone = cluster("standalone");
    assert_eq!(standalone.network.services[1].to_string(), "fd00:1234:2::/116");
    assert_eq!(standalone.cidr_configs[0].ipv6.unwrap().1, 120);
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let mut source = sample("user");
    for (from, to) in [
        ("type: user", "type: usr"),
        ("profile:", "profil:"),
        ("mode: bundled", "mode: bundle"),
    ] {
        source.text = source.text.replacen(from, to, 1);
    }
    // The sample's `noProxy` leaves its workers out, which is told besides.
    let told = read(&source).unwrap_err().0;
    let unreadable = told.iter().filter(|complaint| complaint.check.is_none());
    assert_eq!((unreadable.count(), told.len()), (3, 4));
}

#[test]
fn a_version_that_never_existed_is_one_that_no_table_knows() {
    let profile = crate::profile::read(&crate::profile::builtin("gdc-bare-metal").unwrap()).unwrap();
    for minor in 0..60 {
        let mut source = sample("user");
        source.text = source
            .text
            .replacen("1.29.1100-gke.84", &format!("1.{minor}.0"), 1);
        let standing = profile.standing(format!("1.{minor}").parse().unwrap());
        let exists = !matches!(standing, crate::profile::VersionStanding::NeverExisted { .. });
        assert_eq!(read(&source).is_ok(), exists, "1.{minor}");
    }
}

#[test]
fn a_large_file_of_nonsense_is_refused_with_few_words() {
    let refused = |text: String| {
        read(&SourceText {
            name: "f".into(),
            text,
        })
        .unwrap_err()
    };
    let keys: String = (0..100_000).map(|line| format!("key{line}: 1\n")).collect();
    assert_eq!(refused(keys).0.len(), 1);
    let nodes: String = (0..100_000)
        .map(|node| format!("      - address: {node}\n"))
        .collect();
    let text = sample("user")
        .text
        .replacen("      - address: 10.200.0.11\n", &nodes, 1);
    let refused = refused(text);
    assert_eq!(refused.0.len(), 40);
    assert!(
        refused.0[39]
            .help
            .as_ref()
            .unwrap()
            .contains("further complaints follow")
    );
}

#[test]
fn an_empty_file_and_one_without_a_cluster_are_refused() {
    for text in [
        "",
        "---\n# nothing\n",
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n",
    ] {
        let refused = read(&SourceText {
            name: "f".into(),
            text: text.into(),
        })
        .unwrap_err();
        assert_eq!(refused.0[0].message, "no document of kind Cluster", "{text:?}");
    }
}

#[test]
fn a_file_of_one_long_line_is_quoted_briefly() {
    let text = format!("kind: {}\n", "x".repeat(1 << 20));
    let refused = read(&SourceText {
        name: "f".into(),
        text,
    })
    .unwrap_err();
    assert!(refused.to_string().len() < 1_000);
}

#[test]
fn bgp_across_racks_is_read_with_its_gateways_and_peers() {
    let mut text = sample("user").text.replacen("1.29.1100-gke.84", "1.32.400-gke.68", 1).replacen(
        "    type: layer2\n",
        "    type: bgp\n    localASN: 65001\n    bgpPeers:\n    - ip: 10.200.0.1\n      asn: \"65000\"\n      \
         controlPlaneNodes:\n      - 10.200.0.11\n    - {ip: 10.201.0.1, asn: 65000}\n",
        1,
    );
    text += "---
apiVersion: networking.gke.io/v1
kind: NetworkGatewayGroup
metadata: {name: default, namespace: cluster-user-l2}
spec:
  floatingIPs: [10.200.0.100, 10.200.0.101]
---
apiVersion: networking.gke.io/v1
kind: BGPLoadBalancer
metadata: {name: default, namespace: cluster-user-l2}
spec:
  peerSelector:
    cluster.baremetal.gke.io/default-peer: \"true\"
---
apiVersion: networking.gke.io/v1
kind: BGPPeer
metadata:
  name: peer1
  namespace: cluster-user-l2
  labels: {cluster.baremetal.gke.io/default-peer: \"true\"}
spec:
  localASN: 65001
  peerASN: 65002
  peerIP: 10.202.0.1
  sessions: 2
---
";
    let cluster = read(&SourceText {
        name: "bgp".into(),
        text,
    })
    .unwrap_or_else(|refused| panic!("{refused}"))
    .cluster;
    assert_eq!(cluster.load_balancer.kind, LoadBalancerType::Bgp);
    assert_eq!(cluster.floating_ips.len(), 2);
    let peers: Vec<String> = cluster
        .bgp_peers
        .iter()
        .map(|peer| format!("{} {}", peer.address, peer.asn))
        .collect();
    assert_eq!(
        peers,
        ["10.200.0.1 65000", "10.201.0.1 65000", "10.202.0.1 65002"]
    );
    assert_eq!(cluster.bgp_peers[0].control_plane_nodes.len(), 1);
}

#[test]
fn a_manual_edge_cluster_with_another_port_and_mirrors_is_read() {
    let text = sample("standalone").text;
    let start = text.find("    addressPools:").unwrap();
    let end = text.find("  clusterOperations:").unwrap();
    let text = format!("{}{}", &text[..start], &text[end..])
        .replacen("mode: bundled", "mode: manual", 1)
        .replacen(
            "profile: default",
            "profile: edge\n  periodicHealthCheck: {enable: true}\n  osEnvironmentConfig: {addPackageRepo: false, other: 1}",
            1,
        )
        .replacen("controlPlaneLBPort: 443", "controlPlaneLBPort: 8443", 1)
        .replacen(
            "gcrKeyPath:",
            "registryMirrors:\n- endpoint: https://10.0.0.99:5000\n  hosts: [a.b]\ngcrKeyPath:",
            1,
        )
        .replacen(
            "  clusterNetwork:\n",
            "  clusterNetwork:\n    forwardMode: dsr\n    flatIPv4: true\n",
            1,
        );
    let cluster = read(&SourceText {
        name: "edge".into(),
        text,
    })
    .unwrap_or_else(|refused| panic!("{refused}"))
    .cluster;
    assert_eq!(cluster.load_balancer.mode, LoadBalancerMode::Manual);
    assert_eq!(cluster.load_balancer.control_plane_port, 8443);
    assert!(cluster.network.direct_server_return && cluster.network.flat_ipv4);
    assert!(!cluster.adds_package_repository);
}

#[test]
fn a_file_saved_on_windows_reads_the_same() {
    let original = sample("user");
    let text = format!("\u{feff}{}", original.text.replace('\n', "\r\n"));
    let saved = SourceText {
        name: original.name.clone(),
        text,
    };
    assert_eq!(
        read(&saved).unwrap_or_else(|refused| panic!("{refused}")).cluster,
        cluster("user")
    );
}

#[test]
fn a_k8s_ip_that_another_node_has_is_refused() {
    let mut source = sample("user");
    source.text = source.text.replacen(
        "- address: 10.210.1.11",
        "- address: 10.210.1.11\n    k8sIP: 10.210.1.12",
        1,
    );
    let told = Refused(read(&source).unwrap().findings).to_string();
    assert!(
        told.contains("address 10.210.1.12 in NodePool `np-general` is already"),
        "{told}"
    );
}
