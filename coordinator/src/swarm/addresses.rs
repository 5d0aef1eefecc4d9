//! The addresses under which this host can be reached: what a wildcard listener advertises.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Every global address of this host, IPv4 first.
pub(super) fn global() -> io::Result<Vec<IpAddr>> {
    let v4 = local_v4(&fs::read_to_string(FIB_TRIE)?);
    // A kernel without IPv6 has no such file.
    let v6 = match fs::read_to_string(IF_INET6) {
        Ok(text) => global_v6(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
        Err(error) => return Err(error),
    };
    Ok(v4
        .into_iter()
        .map(IpAddr::V4)
        .chain(v6.into_iter().map(IpAddr::V6))
        .collect())
}

/// The local addresses in the routing trie:
///
/// ```text
///            |-- 10.0.0.7
///               /32 host LOCAL
/// ```
fn local_v4(trie: &str) -> BTreeSet<Ipv4Addr> {
    let mut addresses = BTreeSet::new();
    let mut leaf = None;
    for line in trie.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("|-- ") {
            leaf = text.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            addresses.extend(leaf.filter(|address| !address.is_loopback() && !address.is_link_local()));
        }
    }
    addresses
}

/// The global addresses in the list of interfaces' IPv6 addresses:
///
/// ```text
/// 20010db8000000000000000000000007 02 40 00 80     eth0
/// address                          index, prefix length, scope (00: global), flags, name
/// ```
///
/// Left out are those that nobody can dial: addresses that another host has or of which it is not yet known that none has,
/// and those of devices that hold addresses of Services for this host alone.
fn global_v6(list: &str) -> BTreeSet<Ipv6Addr> {
    let mut addresses = BTreeSet::new();
    for line in list.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [address, _, _, "00", flags, device] = fields.as_slice() {
            let is_unusable = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & UNUSABLE != 0);
            if !is_unusable && !HOLDS_SERVICES.contains(device) {
                addresses.extend(u128::from_str_radix(address, 16).ok().map(Ipv6Addr::from_bits));
            }
        }
    }
    addresses
}

/// `IFA_F_TENTATIVE` and `IFA_F_DADFAILED` (linux/if_addr.h).
const UNUSABLE: u32 = 0x40 | 0x08;
/// What kube-proxy in IPVS mode and NodeLocal DNSCache call their dummy devices.
const HOLDS_SERVICES: [&str; 2] = ["kube-ipvs0", "nodelocaldns"];
const FIB_TRIE: &str = "/proc/net/fib_trie";
const IF_INET6: &str = "/proc/net/if_inet6";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_read_and_networks_and_loopback_are_not() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.0.0.0\n        /24 link \
                    UNICAST\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- \
                    10.0.0.255\n        /32 link BROADCAST\n";
        assert_eq!(local_v4(trie), BTreeSet::from([Ipv4Addr::new(10, 0, 0, 7)]));
    }

    #[test]
    fn link_local_and_loopback_are_not_global() {
        let list = "00000000000000000000000000000001 01 80 10 80       lo\n\
                    fe800000000000000000000000000001 02 40 20 80     eth0\n\
                    20010db8000000000000000000000007 02 40 00 80     eth0\n";
        assert_eq!(global_v6(list), BTreeSet::from(["2001:db8::7".parse().unwrap()]));
    }

    #[test]
    fn addresses_that_nobody_can_dial_are_left_out() {
        let line = |last: u8, flags: &str, device: &str| {
            format!("20010db80000000000000000000000{last:02x} 02 40 00 {flags} {device:>8}\n")
        };
        let list = [
            line(1, "80", "eth0"),
            line(2, "c0", "eth0"),
            line(3, "88", "eth0"),
            line(4, "80", "kube-ipvs0"),
            line(5, "80", "nodelocaldns"),
            // Deprecated, and made up for some hours: both still answer.
            line(6, "20", "eth0"),
            line(7, "01", "eth0"),
        ];
        let last = |address: Ipv6Addr| address.octets()[15];
        let left: Vec<u8> = global_v6(&list.concat()).into_iter().map(last).collect();
        assert_eq!(left, [1, 6, 7]);
    }

    #[test]
    fn this_machine_tells_its_addresses() {
        assert!(global().unwrap().iter().all(|address| !address.is_loopback()));
    }
}
