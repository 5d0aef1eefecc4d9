use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

#[test]
fn addresses_of_one_24_share_a_subnet_and_its_router_is_dot_one() {
    let nodes = addresses(&["10.210.1.12", "10.200.0.11", "10.210.1.11", "10.210.2.11"]);
    let topology = Topology::from_addresses(&nodes, &[], Stack::Single).unwrap();
    let subnets: Vec<(String, String)> = topology
        .subnets()
        .iter()
        .map(|subnet| (subnet.first.network.to_string(), subnet.first.gateway.to_string()))
        .collect();
    let expected = [
        ("10.200.0.0/24", "10.200.0.1"),
        ("10.210.1.0/24", "10.210.1.1"),
        ("10.210.2.0/24", "10.210.2.1"),
    ];
    assert_eq!(
        subnets,
        expected.map(|(network, gateway)| (network.to_owned(), gateway.to_owned()))
    );
    let subnet = topology.subnet_of(ip("10.210.1.11")).unwrap();
    let hosts: Vec<IpAddr> = topology.hosts_of(subnet).map(|host| host.address).collect();
    assert_eq!(hosts, [ip("10.210.1.11"), ip("10.210.1.12")]);
}

#[test]
fn the_router_avoids_nodes_vips_and_pools() {
    let nodes = addresses(&["10.0.0.1", "10.0.0.3"]);
    let taken = [(ip("10.0.0.2"), ip("10.0.0.2")), (ip("10.0.0.4"), ip("10.0.0.6"))];
    let topology = Topology::from_addresses(&nodes, &taken, Stack::Single).unwrap();
    assert_eq!(topology.subnets()[0].first.gateway, ip("10.0.0.7"));
}

#[test]
fn a_subnet_without_a_free_address_is_refused() {
    let taken = [(ip("10.0.0.0"), ip("10.0.0.255"))];
    let refused = Topology::from_addresses(&addresses(&["10.0.0.9"]), &taken, Stack::Single);
    assert_eq!(refused, Err(TopologyError::Full("10.0.0.0/24".parse().unwrap())));
}

#[test]
fn the_admin_workstation_never_stands_where_a_node_or_a_pool_is() {
    let admin_of = |nodes: &[&str], taken: &[(IpAddr, IpAddr)]| {
        Topology::from_addresses(&addresses(nodes), taken, Stack::Single)
            .unwrap()
            .admin()
            .first
            .network
            .to_string()
    };
    assert_eq!(admin_of(&["10.0.0.2"], &[]), "198.51.100.0/24");
    assert_eq!(admin_of(&["198.51.100.7"], &[]), "203.0.113.0/24");
    let pool = (ip("203.0.113.200"), ip("203.0.113.210"));
    assert_eq!(admin_of(&["198.51.100.7"], &[pool]), "192.0.2.0/24");
}

#[test]
fn what_cannot_be_built_is_refused() {
    assert_eq!(
        Topology::from_addresses(&[], &[], Stack::Single),
        Err(TopologyError::NoHosts)
    );
    let refused = Topology::from_addresses(&addresses(&["10.0.0.9", "fd00::9"]), &[], Stack::Single);
    assert_eq!(
        refused,
        Err(TopologyError::TwoFamilies(ip("10.0.0.9"), ip("fd00::9")))
    );
    let refused = Topology::from_addresses(&addresses(&["fd00::"]), &[], Stack::Single);
    assert!(matches!(refused, Err(TopologyError::NotAHostAddress { .. })));
    let refused = Topology::from_addresses(&addresses(&["10.0.0.9", "10.0.0.9"]), &[], Stack::Single);
    assert_eq!(refused, Err(TopologyError::AddressTwice(ip("10.0.0.9"))));
    let refused = Topology::from_addresses(&addresses(&["10.0.0.255"]), &[], Stack::Single);
    assert!(matches!(refused, Err(TopologyError::NotAHostAddress { .. })));
}

#[test]
fn parts_that_contradict_each_other_are_refused() {
    let subnet = |network: &str, gateway| Subnet {
        first: Prefix {
            network: network.parse().unwrap(),
            gateway: ip(gateway),
        },
        second: None,
    };
    let host = |address| Host {
        address: ip(address),
        second: None,
    };
    let admin = AdminLeg {
        first: Stand {
            network: "198.51.100.0/24".parse().unwrap(),
            gateway: ip("198.51.100.1"),
            address: ip("198.51.100.2"),
        },
        second: None,
    };
    let wide = subnet("10.0.0.0/16", "10.0.0.1");
    let overlap = Topology::new(
        vec![wide, subnet("10.0.3.0/24", "10.0.3.1")],
        vec![host("10.0.3.9")],
        admin,
    );
    assert!(matches!(overlap, Err(TopologyError::Overlap(..))));
    let homeless = Topology::new(vec![wide], vec![host("10.1.0.9")], admin);
    assert_eq!(homeless, Err(TopologyError::Homeless(ip("10.1.0.9"))));
    let gateway = Topology::new(vec![wide], vec![host("10.0.0.1")], admin);
    assert_eq!(gateway, Err(TopologyError::AddressTwice(ip("10.0.0.1"))));
    let outside = Topology::new(
        vec![subnet("10.0.0.0/24", "10.0.1.1")],
        vec![host("10.0.0.9")],
        admin,
    );
    assert!(matches!(outside, Err(TopologyError::NotAHostAddress { .. })));
    let twice_ipv4 = Subnet {
        second: Some(wide.first),
        ..subnet("10.1.0.0/24", "10.1.0.1")
    };
    let one_family = Topology::new(vec![twice_ipv4], vec![host("10.1.0.9")], admin);
    assert!(matches!(one_family, Err(TopologyError::OneFamily { .. })));
}

#[test]
fn a_dual_stack_host_has_its_own_digits_in_ipv6() {
    let nodes = addresses(&["10.60.0.11", "10.200.3.254"]);
    let topology = Topology::from_addresses(&nodes, &[], Stack::Dual).unwrap();
    let seconds: Vec<String> = topology
        .hosts()
        .iter()
        .filter_map(|host| Some(host.second?.to_string()))
        .collect();
    assert_eq!(seconds, ["fd91:10:60::11", "fd91:10:200:3::254"]);
    let prefixes: Vec<String> = topology
        .subnets()
        .iter()
        .filter_map(|subnet| {
            let second = subnet.second?;
            Some(format!("{} {}", second.network, second.gateway))
        })
        .collect();
    assert_eq!(
        prefixes,
        [
            "fd91:10:60::/64 fd91:10:60::1",
            "fd91:10:200:3::/64 fd91:10:200:3::1"
        ]
    );
    assert_eq!(
        topology.admin().second.map(|stand| stand.address),
        Some(ip("2001:db8::2"))
    );
    let pool = (ip("fd91:10:60::100"), ip("fd91:10:60::1ff"));
    let moved = Topology::from_addresses(&nodes, &[pool], Stack::Dual).unwrap();
    assert_eq!(moved.hosts()[0].second, Some(ip("fd92:10:60::11")));
}

#[test]
fn the_router_makes_room_for_a_host_named_like_it_in_both_families() {
    for (nodes, gateways) in [
        (["10.40.1.1", "10.40.1.2"], ("10.40.1.3", "fd91:10:40:1::3")),
        (["10.40.1.2", "10.40.1.3"], ("10.40.1.1", "fd91:10:40:1::1")),
    ] {
        let topology = Topology::from_addresses(&addresses(&nodes), &[], Stack::Dual).unwrap();
        let subnet = topology.subnets()[0];
        let second = subnet.second.unwrap();
        assert_eq!(
            (subnet.first.gateway, second.gateway),
            (ip(gateways.0), ip(gateways.1))
        );
    }
}

#[test]
fn hosts_may_be_named_by_ipv6_addresses_alone() {
    let nodes = addresses(&["fd00:1::1", "fd00:1::b", "fd00:2::b"]);
    let topology = Topology::from_addresses(&nodes, &[], Stack::Single).unwrap();
    let gateways: Vec<IpAddr> = topology
        .subnets()
        .iter()
        .map(|subnet| subnet.first.gateway)
        .collect();
    assert_eq!(gateways, [ip("fd00:1::2"), ip("fd00:2::1")]);
    assert_eq!(topology.admin().first.address, ip("2001:db8::2"));
    assert!(!topology.speaks(Family::Ipv4));
    let dual = Topology::from_addresses(&nodes, &[], Stack::Dual).unwrap();
    let seconds: Vec<Option<IpAddr>> = dual.hosts().iter().map(|host| host.second).collect();
    let expected = ["172.30.0.2", "172.30.0.3", "172.30.4.2"];
    assert_eq!(seconds, expected.map(|text| Some(ip(text))));
}

#[test]
fn a_further_network_is_checked_like_any_other() {
    let topology =
        || Topology::from_addresses(&addresses(&["10.0.0.2", "10.0.1.2"]), &[], Stack::Single).unwrap();
    let network = |network: &str, hosts: &[(&str, &str)]| FurtherNetwork {
        network: network.parse().unwrap(),
        gateway: None,
        hosts: hosts
            .iter()
            .map(|(host, address)| (ip(host), ip(address)))
            .collect(),
    };
    let storage = network(
        "10.9.0.0/24",
        &[("10.0.0.2", "10.9.0.2"), ("10.0.1.2", "10.9.0.3")],
    );
    let built = topology().with_further(storage.clone()).unwrap();
    assert_eq!(built.further(), [storage]);
    let text = serde_json::to_string(&built).unwrap();
    assert_eq!(serde_json::from_str::<Topology>(&text).unwrap(), built);
    let overlap = topology().with_further(network("10.0.1.128/25", &[]));
    assert!(matches!(overlap, Err(TopologyError::Overlap(..))));
    let nobody = topology().with_further(network("10.9.0.0/24", &[("10.0.0.3", "10.9.0.3")]));
    assert!(matches!(nobody, Err(TopologyError::NoSuchHost { .. })));
    let outside = topology().with_further(network("10.9.0.0/24", &[("10.0.0.2", "10.8.0.2")]));
    assert!(matches!(outside, Err(TopologyError::NotAHostAddress { .. })));
}

#[test]
fn a_topology_survives_serialisation_and_is_checked_on_the_way_back() {
    let topology =
        Topology::from_addresses(&addresses(&["10.0.0.2", "10.0.1.2"]), &[], Stack::Single).unwrap();
    let text = serde_json::to_string(&topology).unwrap();
    assert_eq!(serde_json::from_str::<Topology>(&text).unwrap(), topology);
    let twice = text.replace(r#"{"address":"10.0.1.2"}"#, r#"{"address":"10.0.0.2"}"#);
    assert!(
        serde_json::from_str::<Topology>(&twice)
            .unwrap_err()
            .to_string()
            .contains("used twice")
    );
    let unknown = text.replacen('{', r#"{"switch":1,"#, 1);
    assert!(serde_json::from_str::<Topology>(&unknown).is_err());
}
