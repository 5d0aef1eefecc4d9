//! What is read of a host's own files, and whom it makes one ask.

use std::net::IpAddr;

use super::resolver::{Ipv6Table, Resolver, Silence, to_try};

const IF_INET6: &str = "00000000000000000000000000000001 01 80 10 80       lo\n\
                        fe800000000000000042acfffe110002 0a 40 20 80     eth0\n";
const GLOBAL: &str = "20010db8000000000000000000000002 0a 40 00 80     eth0\n";

fn read(text: &str) -> Resolver {
    Resolver::read(text, &|name| Ipv6Table::read(IF_INET6).index_of(name))
}

#[test]
fn name_servers_are_those_that_the_hosts_resolver_asks() {
    let resolver = read(
        "# made by hand\nsearch corp.example plant.example.\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\n\
         nameserver 2001:db8::53\nnameserver 10.0.0.54\noptions timeout:1 ndots:40\n",
    );
    let told = resolver.told();
    let servers: Vec<String> = told.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.53", "fe80::1", "2001:db8::53"]);
    assert_eq!(told.search, ["corp.example", "plant.example"]);
    assert_eq!(told.ndots, 15);
}

#[test]
fn a_name_server_of_a_link_is_asked_by_its_interface() {
    let sockets = |text: &str| -> Vec<String> {
        let resolver = read(text);
        let servers = resolver.servers().iter();
        servers.map(|server| server.socket().to_string()).collect()
    };
    assert_eq!(sockets("nameserver fe80::1%eth0\n"), ["[fe80::1%10]:53"]);
    assert_eq!(sockets("nameserver fe80::1%3\n"), ["[fe80::1%3]:53"]);
    assert_eq!(sockets("nameserver fe80::1%gone0\n"), ["[fe80::1]:53"]);
    assert_eq!(sockets("nameserver 10.0.0.53\n"), ["10.0.0.53:53"]);
}

#[test]
fn what_is_no_resolv_conf_names_nobody() {
    assert!(
        read("\0\u{7f}nameserver\nnameserver x\nnameserver %eth0\n")
            .servers()
            .is_empty()
    );
}

#[test]
fn an_address_beyond_the_link_makes_a_host_one_of_ipv6() {
    assert!(!Ipv6Table::read(IF_INET6).is_global);
    assert!(Ipv6Table::read(&format!("{IF_INET6}{GLOBAL}")).is_global);
    assert!(!Ipv6Table::read("not a table\n").is_global);
}

#[test]
fn one_address_of_each_family_is_tried_and_first_that_to_which_there_is_a_way() {
    let addresses: Vec<IpAddr> = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]
        .map(|text| text.parse().unwrap())
        .into();
    let tried = |has_route: fn(IpAddr) -> bool| -> Vec<String> {
        let tried = to_try(&addresses, has_route).into_iter();
        tried.map(|address| address.to_string()).collect()
    };
    assert_eq!(tried(|_| true), ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(
        tried(|address| address.is_ipv6()),
        ["2001:db8::1", "192.0.2.1"],
        "a host of IPv6 alone"
    );
    assert_eq!(tried(|address| address.is_ipv4()), ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(
        to_try(&addresses[..2], |_| true),
        addresses[..2],
        "two of a family that is alone"
    );
}

#[test]
fn names_are_given_up_only_where_no_server_ever_had_a_word() {
    let silence = Silence::default();
    silence.unheard();
    assert!(!silence.is_hopeless());
    silence.unheard();
    assert!(silence.is_hopeless());
    silence.heard();
    assert!(!silence.is_hopeless());
    silence.unheard();
    silence.unheard();
    assert!(
        !silence.is_hopeless(),
        "these names have dead servers of their own"
    );
}
