//! The second half of L2-006: names and ids of machines are their own. Clones of an image have those of the first.

use std::collections::BTreeMap;

use crate::{
    assumption::{Complaint, Explains, Ruling, Scene},
    cause::{Cause, CauseKind, Fix},
    id::NodeId,
    ledger::Told,
    observation::HostSettings,
};

/// One ruling a group of twins, whatever they have in common; one for all where there are none.
pub(super) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (mut told, _) = scene.inspected();
    // What is of the machine says nothing of its parts.
    told.retain(|(node, host)| scene.is_machine(*node, host.what));
    let mut groups: BTreeMap<Vec<NodeId>, Twins> = BTreeMap::new();
    for mark in Mark::ALL {
        let of = |node: NodeId, host: &HostSettings| mark.of(scene, node, host);
        for (has, alike) in alike(&told, of) {
            let nodes = alike.iter().map(|(node, _)| *node).collect();
            let twins = groups.entry(nodes).or_default();
            twins.marks.push((mark, has));
            twins.lines = alike.iter().map(|(_, line)| *line).collect();
        }
    }
    if told.len() > 1 && groups.is_empty() {
        let all = format!("those of {} machines differ", told.len());
        return vec![Ruling::pass("names and ids", all)];
    }
    let rulings = groups.iter().map(|(nodes, twins)| ruling(scene, nodes, twins));
    rulings.collect()
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

    /// What somebody calls it; a digest says nothing to a person.
    fn word(self, has: &str) -> String {
        match self {
            Self::Name => format!("name, {has}"),
            Self::MachineId => "machine-id".to_owned(),
            Self::ProductUuid => "product UUID".to_owned(),
        }
    }

    /// What to do with the clone.
    fn text(self) -> &'static str {
        match self {
            Self::Name => "Give one of them another name before it joins: kubelet registers by it.",
            Self::MachineId => "Make a new machine-id on the clone, and start it again.",
            Self::ProductUuid => "Give the clone a UUID of its own in the hypervisor.",
        }
    }

    fn commands(self) -> &'static [&'static str] {
        match self {
            Self::Name => &["hostnamectl set-hostname NAME"],
            Self::MachineId => &[
                "rm -f /etc/machine-id /var/lib/dbus/machine-id",
                "systemd-machine-id-setup",
            ],
            Self::ProductUuid => &["cat /sys/class/dmi/id/product_uuid"],
        }
    }
}

/// What the same nodes have in common.
#[derive(Debug, Default)]
struct Twins {
    marks: Vec<(Mark, String)>,
    lines: Vec<u32>,
}

/// What several have, with who has it.
fn alike(
    told: &[(NodeId, Told<&HostSettings>)],
    of: impl Fn(NodeId, &HostSettings) -> Option<String>,
) -> BTreeMap<String, Vec<(NodeId, u32)>> {
    let mut by_mark: BTreeMap<String, Vec<(NodeId, u32)>> = BTreeMap::new();
    for (node, host) in told {
        if let Some(has) = of(*node, host.what) {
            by_mark.entry(has).or_default().push((*node, host.line));
        }
    }
    by_mark.retain(|_, nodes| nodes.len() > 1);
    by_mark
}

fn ruling(scene: &Scene<'_>, nodes: &[NodeId], twins: &Twins) -> Ruling {
    let names: Vec<String> = nodes.iter().map(|node| scene.name(*node)).collect();
    let words: Vec<String> = twins.marks.iter().map(|(mark, has)| mark.word(has)).collect();
    let (first, rest) = nodes.split_at(1);
    // Which of them is the clone nobody knows; the last is as good as any.
    let clone = nodes.last().copied();
    let ssh = |command: &&str| clone.map(|clone| scene.ssh(clone, command));
    let marks = || twins.marks.iter().map(|(mark, _)| *mark);
    let complaint = Complaint {
        cause: Cause {
            kind: CauseKind::HostSetting,
            node: None,
            between: Some([first.to_vec(), rest.to_vec()]),
            detail: format!(
                "{} have the same {}, as clones of an image have",
                names.join(" and "),
                words.join(" and the same ")
            ),
        },
        fix: Fix {
            text: marks().map(Mark::text).collect::<Vec<_>>().join(" "),
            commands: marks()
                .flat_map(|mark| mark.commands().iter().filter_map(ssh))
                .collect(),
        },
        evidence: twins.lines.clone(),
        explains: Explains::default(),
    };
    match marks().any(|mark| mark == Mark::Name) {
        true => Ruling::fail(names.join(", "), complaint),
        false => Ruling::warn(names.join(", "), complaint),
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
        let groups = alike(&told, |_, host| host.machine.machine_id.clone());
        let lines: Vec<Vec<u32>> = groups
            .values()
            .map(|nodes| nodes.iter().map(|(_, line)| *line).collect())
            .collect();
        assert_eq!(lines, [[1, 3]]);
    }
}
