//! Settings of the kernel that the lab's namespaces get before they have devices: a new namespace copies some of them from
//! the machine, and what the machine likes must not change what a lab finds.

use plumbline_sys::ns::{self, NetNs};

use crate::fault::{NO_TYPE, NO_TYPE_6};

/// What a namespace is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Router,
    Switch,
    Host,
    /// The workstation's, which was there before the lab.
    Admin,
}

/// A namespace with the settings of its kind. `ipv6` says whether the lab speaks it.
pub(super) fn namespace(kind: Kind, ipv6: bool) -> Result<NetNs, ns::Error> {
    let namespace = NetNs::create()?;
    namespace.run(|| apply(kind, ipv6)).and_then(|applied| applied)?;
    Ok(namespace)
}

/// Applies the settings of a kind to the calling thread's namespace.
pub(super) fn apply(kind: Kind, ipv6: bool) -> Result<(), ns::Error> {
    let own = match kind {
        Kind::Router => ROUTER,
        Kind::Host | Kind::Admin => HOST,
        Kind::Switch => SWITCH,
    };
    let family = if ipv6 && kind != Kind::Switch {
        SPEAKS_IPV6
    } else {
        NO_IPV6
    };
    for setting in QUIET.iter().chain(family).chain(own) {
        let outcome = ns::set_sysctl(setting.name, setting.value);
        if setting.required {
            outcome?;
        }
    }
    Ok(())
}

struct Setting {
    name: &'static str,
    value: &'static str,
    /// Others may be missing: an older kernel, one without IPv6, a module that is not loaded.
    required: bool,
}

const fn required(name: &'static str, value: &'static str) -> Setting {
    Setting {
        name,
        value,
        required: true,
    }
}

const fn wished(name: &'static str, value: &'static str) -> Setting {
    Setting {
        name,
        value,
        required: false,
    }
}

/// For every namespace.
const QUIET: &[Setting] = &[
    required("net/ipv4/conf/all/rp_filter", "0"),
    required("net/ipv4/conf/default/rp_filter", "0"),
    required("net/ipv4/conf/all/send_redirects", "0"),
    required("net/ipv4/conf/default/send_redirects", "0"),
    wished("net/ipv6/conf/default/accept_ra", "0"),
];
/// No link-local address, and so no duplicate address detection, router solicitation or multicast reports.
const NO_IPV6: &[Setting] = &[wished("net/ipv6/conf/default/addr_gen_mode", "1")];
/// Link-local addresses, which are used at once: a search for duplicates would take a second.
const SPEAKS_IPV6: &[Setting] = &[
    required("net/ipv6/conf/all/disable_ipv6", "0"),
    required("net/ipv6/conf/default/disable_ipv6", "0"),
    required("net/ipv6/conf/default/addr_gen_mode", "0"),
    required("net/ipv6/conf/all/accept_dad", "0"),
    required("net/ipv6/conf/default/accept_dad", "0"),
    required("net/ipv6/conf/default/router_solicitations", "0"),
];
const ROUTER: &[Setting] = &[
    required("net/ipv4/ip_forward", "1"),
    wished("net/ipv6/conf/all/forwarding", "1"),
    // By default one ICMP error a second for each destination: a reject would look like a drop.
    required("net/ipv4/icmp_ratelimit", "0"),
    required("net/ipv4/icmp_ratemask", NO_TYPE),
    wished("net/ipv6/icmp/ratelimit", "0"),
    wished("net/ipv6/icmp/ratemask", NO_TYPE_6),
];
const HOST: &[Setting] = &[required("net/ipv4/ip_forward", "0")];
const SWITCH: &[Setting] = &[
    // Frames stay out of the packet filter, even where the module that would put them through it is loaded.
    wished("net/bridge/bridge-nf-call-iptables", "0"),
    wished("net/bridge/bridge-nf-call-ip6tables", "0"),
    wished("net/bridge/bridge-nf-call-arptables", "0"),
    wished("net/ipv6/conf/default/disable_ipv6", "1"),
];
