//! Labs of both families, of IPv6 alone, and with further networks.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
};

use plumbline_lab::{Entered, FurtherNetwork, Lab, Stack, Topology};
use plumbline_sys::ns::Privilege;

use crate::{Connected, Test, connect, listen, listen_at, node, outcome};

pub(crate) const TESTS: &[Test] = &[
    (
        "dual_stack_hosts_reach_each_other_in_both_families",
        dual_stack_hosts_reach_each_other_in_both_families,
    ),
    (
        "hosts_named_by_ipv6_addresses_reach_each_other",
        hosts_named_by_ipv6_addresses_reach_each_other,
    ),
    (
        "hosts_of_a_further_network_reach_each_other_over_it",
        hosts_of_a_further_network_reach_each_other_over_it,
    ),
    (
        "sixty_dual_stack_hosts_reach_each_other",
        sixty_dual_stack_hosts_reach_each_other,
    ),
];

fn dual_stack_hosts_reach_each_other_in_both_families(entered: &Entered) {
    let lab = up(entered, &["10.91.0.11", "10.91.0.12", "10.92.0.13"], Stack::Dual);
    let targets = [
        listen(&lab, "10.91.0.12", 7000),
        listen_at(&lab, "10.91.0.12", "fd91:10:91::12", 7000),
        listen_at(&lab, "10.92.0.13", "fd91:10:92::13", 7000),
    ];
    for target in &targets {
        for host in ["10.91.0.11", "10.91.0.12", "10.92.0.13"] {
            let reached = connect(&lab, host, target.address);
            assert_eq!(reached, Connected::Yes, "{host} to {}", target.address);
        }
        assert_eq!(
            outcome(target.address),
            Connected::Yes,
            "the workstation to {}",
            target.address
        );
    }
    let ours = TcpListener::bind("[2001:db8::2]:0").unwrap();
    let reached = connect(&lab, "10.92.0.13", ours.local_addr().unwrap());
    assert_eq!(reached, Connected::Yes, "a host to the workstation");
}

fn hosts_named_by_ipv6_addresses_reach_each_other(entered: &Entered) {
    let lab = up(
        entered,
        &["fd00:1::11", "fd00:1::12", "fd00:2::11"],
        Stack::Single,
    );
    let target = listen(&lab, "fd00:1::12", 7000);
    for host in ["fd00:1::11", "fd00:2::11"] {
        assert_eq!(connect(&lab, host, target.address), Connected::Yes, "{host}");
    }
    let ours = TcpListener::bind((lab.admin_address(), 0)).unwrap();
    let reached = connect(&lab, "fd00:2::11", ours.local_addr().unwrap());
    assert_eq!(reached, Connected::Yes);
}

fn hosts_of_a_further_network_reach_each_other_over_it(entered: &Entered) {
    let storage = FurtherNetwork {
        network: "10.93.0.0/24".parse().unwrap(),
        gateway: None,
        hosts: [("10.91.0.11", "10.93.0.11"), ("10.92.0.13", "10.93.0.13")]
            .map(|(host, address)| (host.parse().unwrap(), address.parse().unwrap()))
            .into(),
    };
    let hosts: Vec<IpAddr> = ["10.91.0.11", "10.91.0.12", "10.92.0.13"]
        .map(|host| host.parse().unwrap())
        .into();
    let topology = Topology::from_addresses(&hosts, &[], Stack::Single)
        .and_then(|topology| topology.with_further(storage))
        .unwrap();
    let lab = Lab::up(entered, topology).unwrap_or_else(|error| panic!("{}", crate::chain(error)));
    let there = listen_at(&lab, "10.92.0.13", "10.93.0.13", 7000);
    assert_eq!(connect(&lab, "10.91.0.11", there.address), Connected::Yes);
    let from = lab
        .in_host(node("10.91.0.11"), || {
            TcpStream::connect(there.address)?.local_addr()
        })
        .unwrap()
        .unwrap();
    assert_eq!(from.ip(), "10.93.0.11".parse::<IpAddr>().unwrap());
    // The router has no leg there, and so no way.
    assert_eq!(
        connect(&lab, "10.91.0.12", there.address),
        Connected::No(ErrorKind::NetworkUnreachable)
    );
}

fn sixty_dual_stack_hosts_reach_each_other(entered: &Entered) {
    if entered.privilege() == Privilege::UserNamespace {
        // That such a mesh is refused then is another test's matter.
        return;
    }
    let names: Vec<String> = (11..71).map(|last| format!("10.91.0.{last}")).collect();
    let texts: Vec<&str> = names.iter().map(String::as_str).collect();
    let lab = up(entered, &texts, Stack::Dual);
    let targets: Vec<_> = (11..71)
        .zip(&texts)
        .map(|(last, host)| listen_at(&lab, host, &format!("fd91:10:91::{last}"), 7000))
        .collect();
    for source in &texts {
        let failed: Vec<SocketAddr> = lab
            .in_host(node(source), || {
                targets
                    .iter()
                    .map(|target| target.address)
                    .filter(|target| outcome(*target) != Connected::Yes)
                    .collect()
            })
            .unwrap();
        assert_eq!(failed, [], "from {source}");
    }
}

fn up(entered: &Entered, hosts: &[&str], stack: Stack) -> Lab {
    let hosts: Vec<IpAddr> = hosts.iter().map(|host| host.parse().unwrap()).collect();
    let topology = Topology::from_addresses(&hosts, &[], stack).unwrap();
    Lab::up(entered, topology).unwrap_or_else(|error| panic!("{}", crate::chain(error)))
}
