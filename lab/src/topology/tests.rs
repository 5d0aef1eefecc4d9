use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

#[test]
fn addresses_of_one_24_share_a_subnet_and_its_router_is_dot_one() {
    let nodes = addresses(&["10.210.1.12", "10.200.0.11", "10.210.1.11", "10.210.2.11"]);
    let topology = Topology::from_addresses(&nodes, &[]).unwrap();
    let subnets: Vec<(String, String)> = topology
        .subnets()
        .iter()
        .map(|subnet| (subnet.network.to_string(), subnet.gateway.to_string()))
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
    let subnet = topology.subnet_of(v4("10.210.1.11")).unwrap();
    let hosts: Vec<Ipv4Addr> = topology.hosts_of(subnet).map(|host| host.address).collect();
    assert_eq!(hosts, [v4("10.210.1.11"), v4("10.210.1.12")]);
}

#[test]
fn the_router_avoids_nodes_vips_and_pools() {
    let nodes = addresses(&["10.0.0.1", "10.0.0.3"]);
    let taken = [(ip("10.0.0.2"), ip("10.0.0.2")), (ip("10.0.0.4"), ip("10.0.0.6"))];
    let topology = Topology::from_addresses(&nodes, &taken).unwrap();
    assert_eq!(topology.subnets()[0].gateway, v4("10.0.0.7"));
}

#[test]
fn a_subnet_without_a_free_address_is_refused() {
    let taken = [(ip("10.0.0.0"), ip("10.0.0.255"))];
    let refused = Topology::from_addresses(&addresses(&["10.0.0.9"]), &taken);
    assert_eq!(refused, Err(TopologyError::Full("10.0.0.0/24".parse().unwrap())));
}

#[test]
fn the_admin_workstation_never_stands_where_a_node_or_a_pool_is() {
    let admin_of = |nodes: &[&str], taken: &[(IpAddr, IpAddr)]| {
        Topology::from_addresses(&addresses(nodes), taken)
            .unwrap()
            .admin()
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
    assert_eq!(Topology::from_addresses(&[], &[]), Err(TopologyError::NoHosts));
    let refused = Topology::from_addresses(&addresses(&["fd00::1"]), &[]);
    assert_eq!(refused, Err(TopologyError::NotIpv4(ip("fd00::1"))));
    let refused = Topology::from_addresses(&addresses(&["10.0.0.9", "10.0.0.9"]), &[]);
    assert_eq!(refused, Err(TopologyError::AddressTwice(v4("10.0.0.9"))));
    let refused = Topology::from_addresses(&addresses(&["10.0.0.255"]), &[]);
    assert!(matches!(refused, Err(TopologyError::NotAHostAddress { .. })));
}

#[test]
fn parts_that_contradict_each_other_are_refused() {
    let subnet = |network: &str, gateway| Subnet {
        network: network.parse().unwrap(),
        gateway: v4(gateway),
    };
    let host = |address| Host { address: v4(address) };
    let admin = admin_leg("198.51.100.0/24".parse().unwrap());
    let wide = subnet("10.0.0.0/16", "10.0.0.1");
    let overlap = Topology::new(
        vec![wide, subnet("10.0.3.0/24", "10.0.3.1")],
        vec![host("10.0.3.9")],
        admin,
    );
    assert!(matches!(overlap, Err(TopologyError::Overlap(..))));
    let homeless = Topology::new(vec![wide], vec![host("10.1.0.9")], admin);
    assert_eq!(homeless, Err(TopologyError::Homeless(v4("10.1.0.9"))));
    let gateway = Topology::new(vec![wide], vec![host("10.0.0.1")], admin);
    assert_eq!(gateway, Err(TopologyError::AddressTwice(v4("10.0.0.1"))));
    let outside = Topology::new(
        vec![subnet("10.0.0.0/24", "10.0.1.1")],
        vec![host("10.0.0.9")],
        admin,
    );
    assert!(matches!(outside, Err(TopologyError::NotAHostAddress { .. })));
}

#[test]
fn a_topology_survives_serialisation_and_is_checked_on_the_way_back() {
    let topology = Topology::from_addresses(&addresses(&["10.0.0.2", "10.0.1.2"]), &[]).unwrap();
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
