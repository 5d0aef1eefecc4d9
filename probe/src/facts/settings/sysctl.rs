//! Settings of the kernel as they stand, and as files would set them at the next start (sysctl.d(5)).

use std::collections::BTreeMap;

use plumbline_model::observation::PersistedSysctl;

use super::root::{Root, sanitised};

/// The settings that matter, of the host and of its data interface. What does not exist is left out.
pub(super) fn sysctls(root: &Root, interface: Option<&str>) -> BTreeMap<String, String> {
    let of_host = OF_HOST
        .iter()
        .map(|name| ((*name).to_owned(), name.replace('.', "/")));
    let of_interface = interface.into_iter().flat_map(|interface| {
        OF_INTERFACE.iter().map(move |(family, setting)| {
            // An interface's name may have dots (eth0.100), and no slash.
            let name = format!("net.{family}.conf.{interface}.{setting}");
            (name, format!("net/{family}/conf/{interface}/{setting}"))
        })
    });
    of_host
        .chain(of_interface)
        .filter_map(|(name, path)| {
            let value = root.line(&format!("proc/sys/{path}"))?;
            Some((name, value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")))
        })
        .collect()
}

/// The lines of the files that concern [`sysctls`], in the order in which they are applied: files by their names, whatever
/// directory they are in, one of an earlier directory in place of the same name in a later one; `/etc/sysctl.conf` last, as
/// sysctl(8) reads it.
pub(super) fn persisted(root: &Root) -> Vec<PersistedSysctl> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for directory in DIRECTORIES {
        for name in root
            .names(directory)
            .into_iter()
            .filter(|name| name.ends_with(".conf"))
        {
            let path = format!("{directory}/{name}");
            files.entry(name).or_insert(path);
        }
    }
    let mut in_order: Vec<String> = files.into_values().take(MAX_FILES).collect();
    in_order.push("etc/sysctl.conf".to_owned());
    let mut lines = Vec::new();
    for path in in_order {
        let text = root.text(&path).unwrap_or_default();
        lines.extend(text.lines().filter_map(|line| setting(line, &path)));
        lines.truncate(MAX_LINES);
    }
    lines
}

/// `-net.ipv4.conf.*.rp_filter = 0`: a dash before it says that an error does not matter. With a slash as the first separator,
/// dots are parts of names.
fn setting(line: &str, file: &str) -> Option<PersistedSysctl> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (name, value) = line.split_once('=')?;
    let name = name.trim().trim_start_matches('-').trim();
    let first = name.find(['.', '/'])?;
    let name = if name[first..].starts_with('/') {
        name.replace('/', "\0").replace('.', "/").replace('\0', ".")
    } else {
        name.to_owned()
    };
    let matters = KEPT.iter().any(|end| name.ends_with(end)) && name.starts_with("net.");
    matters.then(|| PersistedSysctl {
        name: sanitised(&name),
        value: sanitised(value),
        file: format!("/{}", sanitised(file)),
    })
}

const OF_HOST: &[&str] = &[
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.ipv6.conf.all.disable_ipv6",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv4.conf.all.arp_ignore",
    "net.ipv4.conf.all.arp_announce",
    "net.ipv4.neigh.default.gc_thresh1",
    "net.ipv4.neigh.default.gc_thresh3",
    "net.ipv6.neigh.default.gc_thresh3",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_no_pmtu_disc",
    "net.ipv4.tcp_mtu_probing",
    "net.ipv4.ping_group_range",
    "net.ipv4.fib_multipath_hash_policy",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.core.bpf_jit_enable",
];
const OF_INTERFACE: &[(&str, &str)] = &[
    ("ipv4", "rp_filter"),
    ("ipv4", "forwarding"),
    ("ipv4", "arp_ignore"),
    ("ipv4", "arp_announce"),
    ("ipv4", "proxy_arp"),
    ("ipv6", "forwarding"),
    ("ipv6", "accept_ra"),
];
/// With which words the names end that are told of files.
const KEPT: &[&str] = &[
    ".rp_filter",
    ".ip_forward",
    ".forwarding",
    ".disable_ipv6",
    ".arp_ignore",
    ".arp_announce",
    ".gc_thresh3",
    ".ip_local_port_range",
    ".ip_local_reserved_ports",
    ".nf_conntrack_max",
    ".bridge-nf-call-iptables",
    ".bridge-nf-call-ip6tables",
];
/// sysctl.d(5): earlier ones win.
const DIRECTORIES: &[&str] = &[
    "etc/sysctl.d",
    "run/sysctl.d",
    "usr/local/lib/sysctl.d",
    "usr/lib/sysctl.d",
    "lib/sysctl.d",
];
/// A host has some ten.
const MAX_FILES: usize = 256;
/// Those that concern the network are few.
const MAX_LINES: usize = 256;
