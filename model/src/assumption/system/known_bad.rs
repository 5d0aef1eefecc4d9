//! SYS-004: the system is none that is known to be slow or broken.

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    observation::Machine,
    report::check::Check,
};

/// The system is none that is known to be slow or broken.
pub(crate) const CHECK: Check = Check {
    id: "SYS-004",
    asserts: "a node runs no release of a system whose network is known to be slow or broken under Kubernetes",
    how: "os-release(5) on each node",
    needs: "nothing",
    rule: "warns of RHEL 9.2, whose pods load from outside at a crawl; nodes that are a part of a machine are not judged",
    remedy: "update to a later minor release",
    source: "Google Distributed Cloud: known issues",
};

/// One ruling a node whose system is known.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let machine = &host.what.machine;
        let system = machine.os.as_deref().zip(machine.os_version.as_deref());
        let Some((os, version)) = system.filter(|_| scene.is_machine(node, host.what)) else {
            continue;
        };
        let name = scene.name(node);
        rulings.push(match trouble(machine) {
            None => Ruling::pass(
                name.clone(),
                format!("nothing is known against {os} {version} of {name}"),
            ),
            Some(trouble) => Ruling::warn(
                name.clone(),
                of_setting(
                    node,
                    host.line,
                    format!("{name} runs {os} {version}, of which is known that {trouble}"),
                    update(scene.ledger.is_live(node)),
                    vec!["subscription-manager release --list".to_owned()],
                ),
            ),
        });
    }
    rulings
}

/// Which release a cluster supports its version decides, and an update replaces the kernel: no command for that is printed.
fn update(is_live: bool) -> &'static str {
    match is_live {
        true => {
            "Drain the node, then update it to a later minor release that the cluster's version supports (subscription-manager release \
             --set, dnf update, restart)."
        }
        false => {
            "Update to a later minor release that the cluster's version supports (subscription-manager release --set, dnf update, \
             restart)."
        }
    }
}

fn trouble(machine: &Machine) -> Option<&'static str> {
    let (os, version) = (machine.os.as_deref()?, machine.os_version.as_deref()?);
    KNOWN
        .iter()
        .find(|(bad, of, _)| *bad == os && *of == version)
        .map(|(_, _, trouble)| *trouble)
}

const KNOWN: &[(&str, &str, &str)] = &[("rhel", "9.2", "pods load from outside at a crawl")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_serves_is_drained_before_it_is_updated() {
        assert!(update(true).starts_with("Drain the node"));
        assert!(!update(false).contains("Drain"));
    }

    #[test]
    fn one_release_is_known_to_be_slow() {
        let of = |os: &str, version: &str| {
            let machine = Machine {
                os: Some(os.to_owned()),
                os_version: Some(version.to_owned()),
                ..Machine::default()
            };
            trouble(&machine).is_some()
        };
        assert!(of("rhel", "9.2"));
        assert!(!of("rhel", "9.4"));
        assert!(!of("ubuntu", "9.2"));
        assert_eq!(trouble(&Machine::default()), None);
    }
}
