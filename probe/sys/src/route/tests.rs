use super::{Network, Scope};

#[test]
fn every_host_has_a_loopback_device() {
    let mut network = Network::open().unwrap();
    let lo = network.link("lo").unwrap().expect("no `lo`");
    assert!(lo.loopback && lo.mtu >= 1280);
    assert!(network.link("absent0").unwrap().is_none());
}

#[test]
fn loopback_addresses_are_of_host_scope() {
    let mut network = Network::open().unwrap();
    let lo = network.link("lo").unwrap().expect("no `lo`");
    for address in network
        .addresses()
        .unwrap()
        .iter()
        .filter(|address| address.link == lo.index)
    {
        if address.address.is_loopback() {
            assert_eq!(address.scope, Scope::Host, "{address:?}");
        }
    }
}
