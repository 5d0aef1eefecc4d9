//! Which machine it is, and what its kernel and its file systems can do.

use std::collections::BTreeMap;

use plumbline_model::{
    id::RunId,
    observation::{Machine, ModuleState},
};
use sha2::{Digest as _, Sha256};

use super::root::{Root, sanitised};

/// The system, and digests of what identifies the machine. The run's id goes before what is digested, so that members of one run
/// can be compared and nothing else.
pub(super) fn machine(root: &Root, run: &RunId) -> Machine {
    let release = ["etc/os-release", "usr/lib/os-release"]
        .into_iter()
        .find_map(|path| root.text(path))
        .unwrap_or_default();
    let digest = |what: &str, value: String| {
        let value = value.to_lowercase();
        (!is_placeholder(&value)).then(|| digest(run, what, &value))
    };
    let boot = root.line("proc/sys/kernel/random/boot_id");
    let product = root.line("sys/class/dmi/id/product_uuid");
    Machine {
        os: field(&release, "ID"),
        os_version: field(&release, "VERSION_ID"),
        machine_id: root
            .line("etc/machine-id")
            .and_then(|id| digest("machine-id", id)),
        product_uuid: product.and_then(|uuid| digest("product-uuid", uuid)),
        boot: boot.and_then(|id| digest("boot-id", id)),
        is_part: is_part(root),
    }
}

/// In the machine's own user namespace every id is itself. Only root may see which namespaces the first process has; in a
/// container that one is the container's own, so that nothing is found.
fn is_part(root: &Root) -> Option<bool> {
    let ids = root.line("proc/self/uid_map")?;
    if !ids.split_ascii_whitespace().eq(["0", "0", "4294967295"]) {
        return Some(true);
    }
    let [first, own] = ["proc/1/ns/net", "proc/thread-self/ns/net"].map(|path| root.link(path));
    Some(first? != own?)
}

fn digest(run: &RunId, what: &str, value: &str) -> String {
    let mut hash = Sha256::new();
    for part in [
        &run.to_bytes()[..],
        b"\0",
        what.as_bytes(),
        b"\0",
        value.as_bytes(),
    ] {
        hash.update(part);
    }
    let octets = hash.finalize();
    octets
        .iter()
        .take(DIGEST_BYTES)
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

/// What images and careless vendors write in place of an identifier.
fn is_placeholder(value: &str) -> bool {
    let digits = || value.chars().filter(char::is_ascii_hexdigit);
    let Some(first) = digits().next() else { return true };
    digits().count() < 32 || digits().all(|digit| digit == first) || value == VENDORS_PLACEHOLDER
}

/// `NAME=value`, with or without quotes.
fn field(release: &str, name: &str) -> Option<String> {
    let line = release
        .lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
    let value = sanitised(line.trim().trim_matches(['"', '\'']));
    (!value.is_empty()).then_some(value)
}

/// How each of the modules that clusters need stands. One of which nothing is known is left out: in a container the lists of
/// the host's modules are not there.
pub(super) fn modules(root: &Root, kernel: &str) -> BTreeMap<String, ModuleState> {
    let loaded = root.text("proc/modules").unwrap_or_default();
    let of_kernel = |file: &str| {
        let directories = ["lib/modules", "usr/lib/modules"];
        directories
            .into_iter()
            .find_map(|directory| root.text(&format!("{directory}/{kernel}/{file}")))
    };
    let built_in = of_kernel("modules.builtin");
    let loadable = of_kernel("modules.dep");
    let mut states = BTreeMap::new();
    for name in MODULES {
        let is_listed = |text: &str| text.lines().any(|line| module_of(line) == *name);
        let state = if loaded.lines().any(|line| line.split(' ').next() == Some(name)) {
            Some(ModuleState::Loaded)
        } else if built_in.as_deref().is_some_and(is_listed) {
            Some(ModuleState::BuiltIn)
        } else {
            match (&loadable, &built_in) {
                (Some(list), _) if is_listed(list) => Some(ModuleState::Loadable),
                (Some(_), Some(_)) => Some(ModuleState::Absent),
                _ => None,
            }
        };
        states.extend(state.map(|state| ((*name).to_owned(), state)));
    }
    states
}

/// `kernel/net/geneve.ko.xz: kernel/net/udp_tunnel.ko.xz` is of `geneve`. Files are written with either dash.
fn module_of(line: &str) -> String {
    let path = line.split(':').next().unwrap_or_default();
    let file = path.rsplit('/').next().unwrap_or_default();
    file.split('.').next().unwrap_or_default().replace('-', "_")
}

/// The options that matter of those with which the kernel was built.
pub(super) fn kernel_options(root: &Root, kernel: &str) -> BTreeMap<String, String> {
    let places = [
        format!("boot/config-{kernel}"),
        format!("lib/modules/{kernel}/config"),
        format!("usr/lib/modules/{kernel}/config"),
    ];
    let Some(text) = places.iter().find_map(|path| root.text(path)) else {
        return BTreeMap::new();
    };
    let set: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    OPTIONS
        .iter()
        .map(|name| {
            (
                (*name).to_owned(),
                sanitised(set.get(name).copied().unwrap_or("n")),
            )
        })
        .collect()
}

/// Directories from which installers and container runtimes run programs, and whether their file systems forbid it.
pub(super) fn noexec(root: &Root) -> BTreeMap<String, bool> {
    let Some(mounts) = root.text("proc/self/mountinfo") else {
        return BTreeMap::new();
    };
    RUN_FROM
        .iter()
        .filter_map(|directory| Some(((*directory).to_owned(), is_noexec(&mounts, directory)?)))
        .collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`: the last one of those that reach deepest.
fn is_noexec(mounts: &str, directory: &str) -> Option<bool> {
    let mut best: Option<(usize, bool)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(4);
        let (Some(at), Some(options)) = (fields.next(), fields.next()) else {
            continue;
        };
        let covers = at == "/"
            || directory == at
            || directory
                .strip_prefix(at)
                .is_some_and(|rest| rest.starts_with('/'));
        if covers && best.is_none_or(|(depth, _)| at.len() >= depth) {
            best = Some((at.len(), options.split(',').any(|option| option == "noexec")));
        }
    }
    best.map(|(_, noexec)| noexec)
}

/// Half of a digest tells machines apart.
const DIGEST_BYTES: usize = 16;
/// What boards have whose maker set nothing (the counting bytes of the AMI BIOS's template).
const VENDORS_PLACEHOLDER: &str = "03000200-0400-0500-0006-000700080009";
/// Tunnels, connection tracking, and what the rules of kube-proxy and of CNIs match with.
const MODULES: &[&str] = &[
    "geneve",
    "vxlan",
    "nf_conntrack",
    "nf_tables",
    "nft_compat",
    "ip_tables",
    "xt_comment",
    "xt_conntrack",
    "xt_mark",
    "xt_socket",
    "br_netfilter",
    "overlay",
];
const OPTIONS: &[&str] = &[
    "CONFIG_BPF",
    "CONFIG_BPF_SYSCALL",
    "CONFIG_BPF_JIT",
    "CONFIG_CGROUP_BPF",
    "CONFIG_NET_CLS_BPF",
];
const RUN_FROM: &[&str] = &["/opt", "/tmp", "/var/lib"];
