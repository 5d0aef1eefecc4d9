//! Names of kernel settings, as sysctl(8) takes them.

use crate::port::Family;

/// The name of a setting of one interface. What is a dot in the interface's name is a slash there (sysctl.d(5)): otherwise
/// `eth0.100`, a VLAN's interface, would be a directory `eth0` that is not there.
pub(crate) fn of_interface(family: Family, interface: &str, setting: &str) -> String {
    let tree = match family {
        Family::Ipv4 => "net.ipv4",
        Family::Ipv6 => "net.ipv6",
    };
    format!("{tree}.conf.{}.{setting}", interface.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dot_of_a_vlans_interface_does_not_part_the_name() {
        assert_eq!(
            of_interface(Family::Ipv4, "eth0", "rp_filter"),
            "net.ipv4.conf.eth0.rp_filter"
        );
        assert_eq!(
            of_interface(Family::Ipv6, "bond0.100", "proxy_ndp"),
            "net.ipv6.conf.bond0/100.proxy_ndp"
        );
    }
}
