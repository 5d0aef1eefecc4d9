//! FW-012: nothing reloads firewalld by itself.

use crate::report::check::Check;

use super::{
    super::{Ruling, Scene},
    node::{firewalld_nodes, is_of_firewalld, uses_cilium},
};

pub(crate) const CHECK: Check = Check {
    id: "FW-012",
    asserts: "nothing on a node is set up to reload or restart firewalld by itself: cron tables, timers, dispatchers of NetworkManager",
    how: "looks for firewalld's commands in the files of cron, systemd's timers and dispatchers; nothing is sent",
    needs: "root to read those files",
    rule: "warns where pods are connected by Cilium and such a file is found: each reload removes the agent's chains",
    remedy: "take the reload out, or restart the agent of Cilium after it",
    source: "rancher/rke2#10469 (a compliance job reloaded firewalld and cut off a cluster)",
};

pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    if !uses_cilium(scene.inventory) {
        return Vec::new();
    }
    let nodes = firewalld_nodes(scene).into_iter();
    nodes
        .filter(|(node, _)| node.has_own_files(scene))
        .map(|(node, _)| {
            let files = &node.settings.reloaders;
            if files.is_empty() {
                // Whatever else is told to be unread is where such commands are looked for.
                let is_searched = |path: &str| !is_of_firewalld(path) && !path.starts_with("/etc/ufw/");
                if let Some(lack) = node.files_unread(is_searched) {
                    return Ruling::not_measured(&node.name, lack);
                }
                return Ruling::pass(&node.name, "no file was found that reloads firewalld by itself");
            }
            let detail = format!(
                "firewalld on {} is reloaded by itself by {}: each reload removes the chains of Cilium's agent",
                node.name,
                files.join(", ")
            );
            let text = "Take the reload out of these files, or restart the agent of Cilium on this node after it.";
            let commands = files.iter().map(|file| format!("grep -n firewall {file}"));
            Ruling::warn(&node.name, node.complaint(detail, text, commands.collect()))
        })
        .collect()
}
