//! FW-008: a reload of firewalld does not flush rules of others more than it must.

use crate::{observation::Backend, report::check::Check};

use super::{
    super::{Ruling, Scene},
    node::{firewalld_nodes, uses_cilium},
};

pub(crate) const CHECK: Check = Check {
    id: "FW-008",
    asserts: "firewalld is not set up to flush every rule of iptables when it reloads (FlushAllOnReload) with a backend or direct rules \
              that make it do so",
    how: "reads firewalld.conf and direct.xml; nothing is sent",
    needs: "root to read firewalld's files",
    rule: "warns where pods are connected by Cilium, FlushAllOnReload is yes (the default), and the backend is iptables or direct \
           rules are there",
    remedy: "FlushAllOnReload=no in firewalld.conf, FirewallBackend=nftables, rules of policies in place of direct ones",
    source: "firewalld.conf(5); firewalld/firewalld#779, #863",
};

pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    if !uses_cilium(scene.inventory) {
        return Vec::new();
    }
    let nodes = firewalld_nodes(scene).into_iter();
    nodes
        .map(|(node, firewalld)| {
            let unread = |file: &str| node.files_unread(|path| path == file);
            // Without its file, what was told is what firewalld does by default.
            if let Some(lack) = unread("/etc/firewalld/firewalld.conf") {
                return Ruling::not_measured(&node.name, lack);
            }
            if !firewalld.flushes_all_on_reload {
                return Ruling::pass(&node.name, "FlushAllOnReload is no");
            }
            let reason = match (firewalld.backend, firewalld.has_direct_rules) {
                (Backend::Iptables, _) => "its backend is iptables",
                (Backend::Nftables, true) => "it has direct rules",
                (Backend::Nftables, false) => {
                    if let Some(lack) = unread("/etc/firewalld/direct.xml") {
                        return Ruling::not_measured(&node.name, lack);
                    }
                    return Ruling::pass(&node.name, "its backend is nftables, and it has no direct rules");
                }
            };
            let detail = format!(
                "firewalld on {} flushes all rules of iptables when it reloads, Cilium's among them: FlushAllOnReload is yes, and {reason}",
                node.name
            );
            let text = "Switch FlushAllOnReload off; it counts from firewalld's next start, after which the agent of Cilium has to be \
                        restarted once.";
            let commands = [
                "sed -i '/^FlushAllOnReload=/d' /etc/firewalld/firewalld.conf",
                "echo FlushAllOnReload=no >>/etc/firewalld/firewalld.conf",
            ];
            Ruling::warn(
                &node.name,
                node.complaint(detail, text, commands.map(str::to_owned).into()),
            )
        })
        .collect()
}
