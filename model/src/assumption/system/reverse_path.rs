//! SYS-002: reverse path filtering does not drop pods' packets.

use std::collections::BTreeSet;

use crate::{
    assumption::{Ruling, Scene, firewall::uses_cilium, inspected::of_setting},
    observation::{HostSettings, Way},
    port::Family,
    report::check::Check,
    sysctl::of_interface,
};

/// Reverse path filtering does not drop pods' packets.
pub(crate) const CHECK: Check = Check {
    id: "SYS-002",
    asserts: "reverse path filtering is not strict where Kubernetes runs, and no file makes it so after the installer's",
    how: "/proc/sys and the files of sysctl.d(5) on each node, in their order of precedence; nothing is changed",
    needs: "nothing",
    rule: "judged of clusters with Cilium. Fails on a live node if net.ipv4.conf.all.rp_filter is 1 now, and warns if that of the \
           data interface is 1, no greater one of all makes it loose, and packets leave by another interface, too (to a member, by a \
           second default route); warns if the file that sets it to 1 comes after Cilium's \
           own (99-zzz-override_cilium.conf; /etc/sysctl.conf is read as 99-sysctl.conf); what stands on a bare node before the \
           installation is told in its row",
    remedy: "sysctl -w net.ipv4.conf.all.rp_filter=0, and the same in the file that sets it",
    source: "RFC 3704 section 2.2; Linux ip-sysctl.rst: the larger of all and the interface's own holds",
};

/// One ruling a node whose settings told.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    if !uses_cilium(scene.inventory) {
        return Vec::new();
    }
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let name = scene.name(node);
        let Some(value) = host.what.sysctls.get(ALL) else {
            continue;
        };
        let strict = strict(host.what).filter(|_| scene.ledger.is_live(node));
        if let Some(setting) = strict {
            let commands = vec![format!("sysctl -w {setting}=0")];
            let lost = match setting == ALL {
                true => "which drops packets of pods".to_owned(),
                false => "which drops what comes in there and would not leave that way".to_owned(),
            };
            let detail =
                format!("{name} runs Kubernetes with strict reverse path filtering ({setting} is 1), {lost}");
            let text = "Switch it off, at once and in the file that sets it.";
            let complaint = of_setting(node, host.line, detail, text, commands);
            rulings.push(match setting == ALL {
                true => Ruling::fail(name, complaint),
                false => Ruling::warn(name, complaint),
            });
            continue;
        }
        // Hosts of a lab and containers have the files of their machine.
        let file = reset_by(host.what).filter(|_| scene.is_machine(node, host.what));
        rulings.push(match file {
            Some(file) => Ruling::warn(
                name.clone(),
                of_setting(
                    node,
                    host.line,
                    format!("{file} on {name} sets {ALL} to 1 after the file of Cilium, so that the next start brings strict \
                             reverse path filtering back"),
                    "Take the line out of the file, or set 0 there.",
                    vec![format!("grep -n rp_filter {file}"), format!("sysctl -w {ALL}=0")],
                ),
            ),
            None => Ruling::pass(name.clone(), format!("{ALL} is {value} on {name}")),
        });
    }
    rulings
}

/// The setting that makes it strict: that of `all`, since Cilium's own devices have 0 and the greater one holds, or else that of
/// the data interface.
fn strict(host: &HostSettings) -> Option<String> {
    let all = host.sysctls.get(ALL)?;
    if all == STRICT {
        return Some(ALL.to_owned());
    }
    let interface = host.data_interface.as_ref()?;
    // Probes name it by its path, in which a dot of the interface's name is a dot.
    let of_data = format!("net.ipv4.conf.{interface}.rp_filter");
    // With one way in and out, nothing comes in there that would not leave there.
    if !has_another_way(host) {
        return None;
    }
    let is_strict = all == "0" && host.sysctls.get(&of_data).is_some_and(|value| value == STRICT);
    is_strict.then(|| of_interface(Family::Ipv4, interface, "rp_filter"))
}

/// Whether packets may come in by the data interface that would leave by another: to members, or by a second default route.
fn has_another_way(host: &HostSettings) -> bool {
    let defaults = host.routes.iter().flatten();
    let defaults = defaults.filter(|route| route.to.prefix_len() == 0 && route.to.addr().is_ipv4());
    let devices: BTreeSet<&str> = defaults
        .flat_map(|route| &route.hops)
        .filter_map(|hop| hop.device.as_deref())
        .collect();
    let leaves_elsewhere = |way: &Way| way.to.is_ipv4() && way.device != host.data_interface;
    host.other_ways.iter().any(leaves_elsewhere) || devices.len() > 1
}

/// The file that makes it strict at the next start, if it is applied after Cilium's.
fn reset_by(host: &HostSettings) -> Option<&str> {
    let lines = host.sysctl_files.iter().filter(|line| line.name == ALL);
    let last = lines.max_by_key(|line| place(&line.file))?;
    (last.value == STRICT && place(&last.file) > CILIUMS).then_some(last.file.as_str())
}

/// By what a file is ordered: its name. `/etc/sysctl.conf` is applied at the start, if at all, by a link of this name.
fn place(file: &str) -> &str {
    match file {
        "/etc/sysctl.conf" => "99-sysctl.conf",
        file => file.rsplit('/').next().unwrap_or_default(),
    }
}

const ALL: &str = "net.ipv4.conf.all.rp_filter";
const STRICT: &str = "1";
/// What Cilium's agent writes on every node.
const CILIUMS: &str = "99-zzz-override_cilium.conf";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::PersistedSysctl;

    #[test]
    fn a_file_before_ciliums_is_overridden_and_one_after_it_is_not() {
        let of = |file: &str, value: &str| {
            let line = PersistedSysctl {
                name: ALL.to_owned(),
                value: value.to_owned(),
                file: file.to_owned(),
            };
            let host = HostSettings {
                sysctl_files: vec![line],
                ..HostSettings::default()
            };
            reset_by(&host).is_some()
        };
        assert!(!of("/etc/sysctl.d/50-default.conf", "1"));
        assert!(of("/etc/sysctl.d/zz-hardening.conf", "1"));
        assert!(!of("/etc/sysctl.d/zz-hardening.conf", "2"));
        assert!(
            !of("/etc/sysctl.conf", "1"),
            "applied as 99-sysctl.conf, before Cilium's"
        );
    }

    #[test]
    fn all_is_strict_for_pods_and_the_data_interface_where_all_is_off() {
        let with = |ways: &[&str], all: &str, data: &str| {
            let way = |device: &&str| Way {
                to: [10, 0, 0, 9].into(),
                device: Some((*device).to_owned()),
                via: None,
                source: None,
            };
            let of_data = "net.ipv4.conf.eth0.rp_filter".to_owned();
            let host = HostSettings {
                data_interface: Some("eth0".to_owned()),
                other_ways: ways.iter().map(way).collect(),
                sysctls: [(ALL.to_owned(), all.to_owned()), (of_data, data.to_owned())].into(),
                ..HostSettings::default()
            };
            strict(&host)
        };
        let of = |all: &str, data: &str| with(&["eth1"], all, data);
        assert_eq!(with(&[], "0", "1"), None, "there is no other way in");
        assert_eq!(with(&["eth0"], "0", "1"), None);
        assert_eq!(of("0", "0"), None);
        assert_eq!(of("1", "0").as_deref(), Some(ALL));
        assert_eq!(of("1", "2").as_deref(), Some(ALL), "Cilium's devices have 0");
        assert_eq!(of("2", "1"), None);
        assert_eq!(of("0", "1").as_deref(), Some("net.ipv4.conf.eth0.rp_filter"));
    }
}
