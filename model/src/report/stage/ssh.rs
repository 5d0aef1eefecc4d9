//! Nodes that SSH reaches at other addresses than their peers do, as where the file has `k8sIP` and a port.

use std::net::IpAddr;

use crate::report::Report;

use super::Stage;

const PORT: u16 = 2222;

impl Stage {
    /// SSH reaches every node at an address of its own, and at another port than usual.
    pub(crate) fn with_ssh_elsewhere(self) -> Self {
        self.with_inventory(|inventory| {
            for node in &mut inventory.nodes {
                let IpAddr::V4(address) = node.ssh else { continue };
                let [_, _, subnet, host] = address.octets();
                (node.ssh, node.ssh_port) = ([172, 31, subnet, host].into(), Some(PORT));
            }
        })
    }
}

/// The commands of a report of nodes [`Stage::with_ssh_elsewhere`], each of which goes there, or is for the node that its finding
/// names.
#[track_caller]
pub(crate) fn commands_by_ssh(report: &Report) -> Vec<String> {
    let goes_there = |command: &str| {
        let mut hosts = command.match_indices("ssh ").map(|(at, _)| &command[at..]);
        hosts.all(|said| said.starts_with(&format!("ssh -p {PORT} 172.31.")))
    };
    let mut all = Vec::new();
    for finding in &report.findings {
        for command in &finding.fix.commands {
            let is_meant = command.contains("ssh ") || finding.cause.node.is_some();
            assert!(is_meant && goes_there(command), "{command}, of {finding:#?}");
            all.push(command.clone());
        }
    }
    all
}
