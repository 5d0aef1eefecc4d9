//! SYS-002: reverse path filtering does not drop pods' packets.

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    observation::HostSettings,
    report::check::Check,
};

/// Reverse path filtering does not drop pods' packets.
pub(crate) const CHECK: Check = Check {
    id: "SYS-002",
    asserts: "reverse path filtering is not strict where Kubernetes runs, and no file makes it so after the installer's",
    how: "/proc/sys and the files of sysctl.d(5) on each node, in their order of precedence; nothing is changed",
    needs: "nothing",
    rule: "warns if net.ipv4.conf.all.rp_filter is 1 in a file that comes after Cilium's own, or in /etc/sysctl.conf; fails on a \
           live node if it is 1 now; what stands on a bare node before the installation is told in its row",
    remedy: "sysctl -w net.ipv4.conf.all.rp_filter=0, and the same in the file that sets it",
    source: "RFC 3704 section 2.2; Linux ip-sysctl.rst: the larger of all and the interface's own holds",
};

/// One ruling a node whose settings told.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let name = scene.name(node);
        let Some(value) = host.what.sysctls.get(ALL) else {
            continue;
        };
        let now = (scene.ledger.is_live(node) && value == STRICT).then(|| {
            let commands = vec![format!("sysctl -w {ALL}=0")];
            let detail = format!("{name} runs Kubernetes with strict reverse path filtering ({ALL} is 1), which drops packets of pods");
            of_setting(node, host.line, detail, "Switch it off, at once and in the file that sets it.", commands)
        });
        if let Some(complaint) = now {
            rulings.push(Ruling::fail(name, complaint));
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

/// The file that makes it strict at the next start, if it is applied after Cilium's.
fn reset_by(host: &HostSettings) -> Option<&str> {
    let last = host.sysctl_files.iter().rfind(|line| line.name == ALL)?;
    let name = last.file.rsplit('/').next().unwrap_or_default();
    let comes_after = last.file == "/etc/sysctl.conf" || name > CILIUMS;
    (last.value == STRICT && comes_after).then_some(last.file.as_str())
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
        assert!(of("/etc/sysctl.conf", "1"));
        assert!(!of("/etc/sysctl.conf", "2"));
    }
}
