//! SYS-008: nobody changes the network behind Kubernetes' back.

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    report::check::Check,
};

/// Nobody changes the network behind Kubernetes' back.
pub(crate) const CHECK: Check = Check {
    id: "SYS-008",
    asserts: "no service of a node adds addresses and policy rules of its own to its interfaces",
    how: "units of systemd that are switched on below /etc/systemd/system, and NetworkManager's configuration; nothing is asked of \
          either",
    needs: "nothing",
    rule: "warns if nm-cloud-setup is switched on; whether NetworkManager leaves the devices of pods alone is told in the row; \
           nodes that are a part of a machine are not judged",
    remedy: "systemctl disable --now nm-cloud-setup.timer nm-cloud-setup.service, and start the node again",
    source: "RHEL and K3s: nm-cloud-setup breaks the routing of pods",
};

/// One ruling a node that is a machine.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        if !scene.is_machine(node, host.what) {
            continue;
        }
        let name = scene.name(node);
        if host.what.services.contains(CLOUD_SETUP) {
            let complaint = of_setting(
                node,
                host.line,
                format!(
                    "{CLOUD_SETUP} is switched on on {name}: every five minutes it sets policy rules that break the routing of pods"
                ),
                "Switch it off, and start the node again, which takes its rules away.",
                vec![format!(
                    "systemctl disable --now {CLOUD_SETUP}.timer {CLOUD_SETUP}.service"
                )],
            );
            rulings.push(Ruling::warn(name, complaint));
            continue;
        }
        let ignored = host.what.network_manager_ignores.as_deref();
        let detail = match ignored.filter(|_| host.what.services.contains("NetworkManager")) {
            Some(patterns) if leaves_pods_alone(patterns) => {
                format!("NetworkManager of {name} leaves the devices of pods alone")
            }
            Some(_) => format!("NetworkManager of {name} is not told to leave the devices of pods alone"),
            None => format!("nothing of {name} is known to change addresses or rules by itself"),
        };
        rulings.push(Ruling::pass(name, detail));
    }
    rulings
}

/// Whether one of the patterns is of the devices that CNIs make.
fn leaves_pods_alone(patterns: &[String]) -> bool {
    let is_of_pods = |pattern: &String| {
        ["cilium", "lxc", "cali", "flannel", "*"].iter().any(|word| {
            let pattern = pattern.strip_prefix("interface-name:").unwrap_or(pattern);
            pattern.starts_with(word)
        })
    };
    patterns.iter().any(is_of_pods)
}

const CLOUD_SETUP: &str = "nm-cloud-setup";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_pods_devices_are_known_with_their_prefix_and_without() {
        let of = |pattern: &str| leaves_pods_alone(&[pattern.to_owned()]);
        assert!(of("interface-name:cilium*"));
        assert!(of("lxc*"));
        assert!(!of("interface-name:eno1"));
        assert!(!leaves_pods_alone(&[]));
    }
}
