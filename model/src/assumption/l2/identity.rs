//! The second half of L2-006: names and ids of machines are their own. Clones of an image have those of the first.

use std::collections::BTreeMap;

use crate::{
    assumption::{Complaint, Explains, Ruling, Scene},
    cause::{Cause, CauseKind, Fix},
    id::NodeId,
    ledger::Told,
    observation::HostSettings,
};

/// One ruling a group of twins; one for all where there are none.
pub(super) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (mut told, _) = scene.inspected();
    // What is of the machine says nothing of its parts.
    told.retain(|(node, host)| scene.is_machine(*node, host.what));
    let mut rulings = Vec::new();
    for mark in Mark::ALL {
        let of = |node: NodeId, host: &HostSettings| mark.of(scene, node, host);
        rulings.extend(twins(&told, of).iter().map(|twins| ruling(scene, mark, twins)));
    }
    if told.len() > 1 && rulings.is_empty() {
        rulings.push(Ruling::pass(
            "names and ids",
            format!("those of {} machines differ", told.len()),
        ));
    }
    rulings
}

/// By what machines are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Name,
    MachineId,
    ProductUuid,
}

impl Mark {
    const ALL: [Self; 3] = [Self::Name, Self::MachineId, Self::ProductUuid];

    fn word(self) -> &'static str {
        match self {
            Self::Name => "host name",
            Self::MachineId => "machine-id",
            Self::ProductUuid => "product UUID",
        }
    }

    /// What it is at a node; absent where it is not known.
    fn of(self, scene: &Scene<'_>, node: NodeId, host: &HostSettings) -> Option<String> {
        match self {
            Self::Name => {
                let name = scene.facts(node).ok()?.what.hostname.to_lowercase();
                Some(name).filter(|name| !name.is_empty())
            }
            Self::MachineId => host.machine.machine_id.clone(),
            Self::ProductUuid => host.machine.product_uuid.clone(),
        }
    }
}

/// Nodes that have the same, with what they have.
struct Twins {
    has: String,
    nodes: Vec<(NodeId, u32)>,
}

fn twins(
    told: &[(NodeId, Told<&HostSettings>)],
    of: impl Fn(NodeId, &HostSettings) -> Option<String>,
) -> Vec<Twins> {
    let mut by_mark: BTreeMap<String, Vec<(NodeId, u32)>> = BTreeMap::new();
    for (node, host) in told {
        if let Some(has) = of(*node, host.what) {
            by_mark.entry(has).or_default().push((*node, host.line));
        }
    }
    let groups = by_mark.into_iter().map(|(has, nodes)| Twins { has, nodes });
    groups.filter(|twins| twins.nodes.len() > 1).collect()
}

fn ruling(scene: &Scene<'_>, mark: Mark, twins: &Twins) -> Ruling {
    let names: Vec<String> = twins.nodes.iter().map(|(node, _)| scene.name(*node)).collect();
    let nodes: Vec<NodeId> = twins.nodes.iter().map(|(node, _)| *node).collect();
    let what = match mark {
        Mark::Name => format!("name, {}", twins.has),
        // A digest says nothing to a person.
        Mark::MachineId | Mark::ProductUuid => mark.word().to_owned(),
    };
    let (first, rest) = nodes.split_at(1);
    let complaint = Complaint {
        cause: Cause {
            kind: CauseKind::HostSetting,
            node: None,
            between: Some([first.to_vec(), rest.to_vec()]),
            detail: format!(
                "{} have the same {what}, as clones of an image have",
                names.join(" and ")
            ),
        },
        fix: fix(mark),
        evidence: twins.nodes.iter().map(|(_, line)| *line).collect(),
        explains: Explains::default(),
    };
    match mark {
        Mark::Name => Ruling::fail(names.join(", "), complaint),
        Mark::MachineId | Mark::ProductUuid => Ruling::warn(names.join(", "), complaint),
    }
}

fn fix(mark: Mark) -> Fix {
    let (text, commands): (_, &[&str]) = match mark {
        Mark::Name => (
            "Give one of them another name before it joins: kubelet registers by it.",
            &["hostnamectl set-hostname NAME"],
        ),
        Mark::MachineId => (
            "Make a new one on the clone, and start it again.",
            &[
                "rm /etc/machine-id /var/lib/dbus/machine-id",
                "systemd-machine-id-setup",
            ],
        ),
        Mark::ProductUuid => (
            "Give the clone a UUID of its own in the hypervisor.",
            &["cat /sys/class/dmi/id/product_uuid"],
        ),
    };
    Fix {
        text: text.to_owned(),
        commands: commands.iter().map(|command| (*command).to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_with_the_same_are_one_group_and_the_unknown_is_nobodys_twin() {
        let host = |id: Option<&str>| {
            let mut host = HostSettings::default();
            host.machine.machine_id = id.map(str::to_owned);
            host
        };
        let hosts = [
            host(Some("a")),
            host(Some("b")),
            host(Some("a")),
            host(None),
            host(None),
        ];
        let told: Vec<(NodeId, Told<&HostSettings>)> = (1..)
            .zip(&hosts)
            .map(|(last, what)| {
                (
                    NodeId::Address([10, 0, 0, last].into()),
                    Told {
                        line: last.into(),
                        what,
                    },
                )
            })
            .collect();
        let groups = twins(&told, |_, host| host.machine.machine_id.clone());
        let lines: Vec<Vec<u32>> = groups
            .iter()
            .map(|twins| twins.nodes.iter().map(|(_, line)| *line).collect())
            .collect();
        assert_eq!(lines, [[1, 3]]);
    }
}
