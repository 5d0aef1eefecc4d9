//! What is read of a host's own files.

use super::resolver::Resolver;

#[test]
fn name_servers_are_those_that_the_hosts_resolver_asks() {
    let resolver = Resolver::read(
        "# made by hand\nsearch corp.example plant.example.\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\n\
         nameserver 2001:db8::53\nnameserver 10.0.0.54\nnameserver 10.0.0.55\noptions timeout:1 ndots:40\n",
    );
    let servers: Vec<String> = resolver.servers().iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.53", "2001:db8::53", "10.0.0.54"]);
    let told = resolver.told();
    assert_eq!(told.search, ["corp.example", "plant.example"]);
    assert_eq!(told.ndots, 15);
}

#[test]
fn what_is_no_resolv_conf_names_nobody() {
    assert!(
        Resolver::read("\0\u{7f}nameserver\nnameserver x\n")
            .servers()
            .is_empty()
    );
}
