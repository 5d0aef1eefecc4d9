//! SYS-003: the kernel has what the cluster's network is made of.

use crate::{
    assumption::{Lack, Ruling, Scene, inspected::of_setting},
    errand::{Encapsulation, overlay_of},
    observation::{HostSettings, ModuleState},
    report::check::Check,
};

/// The kernel has what the cluster's network is made of.
pub(crate) const CHECK: Check = Check {
    id: "SYS-003",
    asserts: "a node's kernel has the modules of the cluster's tunnel, of connection tracking and of kube-proxy's matches, and \
              translates BPF programs",
    how: "/proc/modules, modules.builtin and modules.dep, the configuration that the kernel was built with, and uname(2); no \
          module is loaded",
    needs: "nothing",
    rule: "fails if a module is neither loaded, built in nor on disk, if the kernel was built without CONFIG_BPF_JIT, or is older \
           than 4.18; warns of a live node, which does without; what cannot be read is not judged, nor are nodes that are a \
           part of a machine",
    remedy: "install the package of further modules of this very kernel (kernel-modules-extra, linux-modules-extra), or another \
             kernel",
    source: "Cilium: system requirements; RHEL 8, the oldest system that vendors support, has 4.18",
};

/// One ruling a node of which anything is known.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    let tunnel = overlay_of(scene.inventory, scene.profiles).map(|(encapsulation, _)| match encapsulation {
        Encapsulation::Geneve => "geneve",
        Encapsulation::Vxlan => "vxlan",
    });
    for (node, host) in told {
        let name = scene.name(node);
        let kernel = scene.facts(node).map_or("", |facts| facts.what.kernel.as_str());
        if !scene.is_machine(node, host.what) || host.what.modules.is_empty() {
            continue;
        }
        let missing = missing(host.what, tunnel, kernel);
        let unknown = unknown(host.what, tunnel);
        if missing.is_empty() && !unknown.is_empty() {
            let why = format!(
                "neither what is loaded nor the files of modules tell whether the kernel of {name} ({kernel}) has {}",
                unknown.join(", ")
            );
            rulings.push(Ruling::not_measured(name, Lack::ToldElsewhere(why)));
            continue;
        }
        if missing.is_empty() {
            let detail = format!("the kernel of {name} ({kernel}) has what the cluster needs");
            rulings.push(Ruling::pass(name, detail));
            continue;
        }
        let complaint = of_setting(
            node,
            host.line,
            format!("the kernel of {name} ({kernel}) lacks {}", missing.join(", ")),
            "Install the package with further modules of this very kernel, or another kernel.",
            vec![
                "dnf install kernel-modules-extra-$(uname -r)".to_owned(),
                "apt-get install linux-modules-extra-$(uname -r)".to_owned(),
            ],
        );
        // A cluster that runs does so without: kube-proxy matches by nftables, or its work is done by others.
        rulings.push(match scene.ledger.is_live(node) {
            true => Ruling::warn(name, complaint),
            false => Ruling::fail(name, complaint),
        });
    }
    rulings
}

fn wanted(tunnel: Option<&str>) -> impl Iterator<Item = &str> {
    tunnel.into_iter().chain(ALWAYS.iter().copied())
}

/// Modules of which nothing is known.
fn unknown<'a>(host: &HostSettings, tunnel: Option<&'a str>) -> Vec<&'a str> {
    wanted(tunnel)
        .filter(|module| !host.modules.contains_key(*module))
        .collect()
}

fn missing(host: &HostSettings, tunnel: Option<&str>, kernel: &str) -> Vec<String> {
    let mut missing: Vec<String> = wanted(tunnel)
        .filter(|module| host.modules.get(*module) == Some(&ModuleState::Absent))
        .map(|module| format!("the module {module}"))
        .collect();
    if host.kernel_options.get(JIT).is_some_and(|value| value == "n") {
        missing.push(JIT.to_owned());
    }
    if version(kernel).is_some_and(|version| version < OLDEST) {
        missing.push(format!("what came with {}.{}", OLDEST.0, OLDEST.1));
    }
    missing
}

/// `5.14.0-427.el9.x86_64` is 5.14.
fn version(kernel: &str) -> Option<(u32, u32)> {
    let mut numbers = kernel.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Connection tracking, and what rules of kube-proxy match by.
const ALWAYS: &[&str] = &["nf_conntrack", "xt_comment", "xt_conntrack", "xt_mark"];
const JIT: &str = "CONFIG_BPF_JIT";
const OLDEST: (u32, u32) = (4, 18);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_module_an_old_kernel_and_no_jit_are_missed_and_the_unknown_is_not() {
        let of = |modules: &[(&str, ModuleState)], jit: &str, kernel: &str| {
            let modules = modules.iter().map(|(name, state)| ((*name).to_owned(), *state));
            let host = HostSettings {
                modules: modules.collect(),
                kernel_options: [(JIT.to_owned(), jit.to_owned())].into(),
                ..HostSettings::default()
            };
            missing(&host, Some("geneve"), kernel)
        };
        let some = HostSettings {
            modules: [("geneve".to_owned(), ModuleState::Loaded)].into(),
            ..HostSettings::default()
        };
        assert_eq!(unknown(&some, Some("geneve")), ALWAYS, "nothing is said of these");
        assert!(of(&[("geneve", ModuleState::Loadable)], "y", "5.14.0-427.el9").is_empty());
        assert!(of(&[("vxlan", ModuleState::Absent)], "y", "5.14.0").is_empty());
        assert_eq!(
            of(&[("geneve", ModuleState::Absent)], "y", "5.14.0"),
            ["the module geneve"]
        );
        assert_eq!(of(&[], "n", "5.14.0"), [JIT]);
        assert_eq!(of(&[], "y", "3.10.0-1160.el7"), ["what came with 4.18"]);
        assert!(of(&[], "y", "strange").is_empty());
    }
}
