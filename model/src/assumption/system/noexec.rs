//! SYS-009: installers may run what they unpack.

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    report::check::Check,
};

/// Installers may run what they unpack.
pub(crate) const CHECK: Check = Check {
    id: "SYS-009",
    asserts: "programs may be run from /tmp, /opt and /var/lib",
    how: "/proc/self/mountinfo on each node",
    needs: "nothing",
    rule: "warns if the file system of one of them is mounted noexec; nodes that are a part of a machine are not judged",
    remedy: "mount -o remount,exec of where it is mounted, and the same in /etc/fstab or tmp.mount, at least for the installation",
    source: "mount(8); bmctl, kubeadm and container runtimes run programs from there",
};

/// One ruling a node whose mounts are known.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        if !scene.is_machine(node, host.what) || host.what.noexec.is_empty() {
            continue;
        }
        let name = scene.name(node);
        let forbidden = host.what.noexec.iter().filter(|(_, noexec)| **noexec);
        let forbidden: Vec<&str> = forbidden.map(|(directory, _)| directory.as_str()).collect();
        if forbidden.is_empty() {
            let detail = format!("programs may be run from /tmp, /opt and /var/lib of {name}");
            rulings.push(Ruling::pass(name, detail));
            continue;
        }
        let complaint = of_setting(
            node,
            host.line,
            format!(
                "no program may be run from {} of {name} (noexec)",
                forbidden.join(" and ")
            ),
            "Allow it, at least for the installation, in /etc/fstab too.",
            forbidden.iter().map(|directory| remount(directory)).collect(),
        );
        rulings.push(Ruling::warn(name, complaint));
    }
    rulings
}

/// What is mounted may be a directory above: mount(8) refuses to remount what is no mount point.
fn remount(directory: &str) -> String {
    format!("mount -o remount,exec \"$(findmnt --noheadings --output TARGET --target {directory})\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_is_looked_up_and_remounted() {
        let command = remount("/var/lib");
        assert!(command.contains("--target /var/lib"), "{command}");
        assert!(!command.ends_with("remount,exec /var/lib"), "{command}");
    }
}
