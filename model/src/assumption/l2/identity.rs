//! The second half of L2-006: names and ids of machines are their own. Clones of an image have those of the first.

use std::collections::BTreeMap;

use crate::{
    assumption::{Complaint, Explains, Ruling, Scene, crowd::listed},
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
    /// In the order in which they are mended.
    const ALL: [Self; 3] = [Self::Name, Self::ProductUuid, Self::MachineId];

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

    /// What to do with the clone. Which of them it is nobody knows but their owner, so no command is said to mend it.
    fn text(self) -> &'static str {
        match self {
            Self::Name => "Give one of them another name before it joins: kubelet registers by it.",
            Self::ProductUuid => {
                "Give the clone a UUID of its own in the hypervisor, first: a machine-id may be made of it."
            }
            Self::MachineId => {
                "Make the clone a machine-id of its own (empty /etc/machine-id, start it again) while it is no node yet or is drained: \
                 its DHCP address may change with it."
            }
        }
    }

    /// What shows it at a node.
    fn command(self) -> &'static str {
        match self {
            Self::Name => "hostnamectl status",
            Self::ProductUuid => "cat /sys/class/dmi/id/product_uuid",
            Self::MachineId => "cat /etc/machine-id",
        }
    }
}

/// Two that are alike show what is meant; of an image for a rack there are as many clones as places.
const SHOWN: usize = 2;

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
    let names = listed(scene, nodes);
    let words: Vec<String> = twins.marks.iter().map(|(mark, has)| mark.word(has)).collect();
    let (first, rest) = nodes.split_at(1);
    let marks = || twins.marks.iter().map(|(mark, _)| *mark);
    let complaint = Complaint {
        cause: Cause {
            kind: CauseKind::HostSetting,
            node: None,
            between: Some([first.to_vec(), rest.to_vec()]),
            detail: format!(
                "{names} have the same {}, as clones of an image have",
                words.join(" and the same ")
            ),
        },
        fix: Fix {
            text: marks().map(Mark::text).collect::<Vec<_>>().join(" "),
            commands: marks()
                .flat_map(|mark| {
                    nodes
                        .iter()
                        .take(SHOWN)
                        .map(move |node| scene.ssh(*node, mark.command()))
                })
                .collect(),
        },
        evidence: twins.lines.clone(),
        explains: Explains::default(),
    };
    match marks().any(|mark| mark == Mark::Name) {
        true => Ruling::fail(names, complaint),
        false => Ruling::warn(names, complaint),
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
