//! FW-007: the chains that Cilium's agent made are there and in use.

use crate::{
    firewall::{Expression, Ruleset, Table, TableFamily, Verdict},
    report::check::Check,
};

use super::{
    super::{Complaint, Lack, Ruling, Scene},
    node::{NodeFilter, nodes},
};

pub(crate) const CHECK: Check = Check {
    id: "FW-007",
    asserts: "where Cilium's agent runs, its iptables chains (CILIUM_*) are in the kernel and hooked, and the agent began after firewalld",
    how: "looks for the chains and the jumps to them in the kernel's rules, and compares when the processes began; nothing is sent",
    needs: "CAP_NET_ADMIN",
    rule: "fails where firewalld runs, or the cluster is one of bmctl whose agent made its device, and chains or jumps to them are \
           gone; warns where firewalld began after the agent, although they are there",
    remedy: "delete the agent's pod (anetd, cilium) on this node: its successor makes the chains again",
    source: "known issue of the network requirements (firewalld removes Cilium's chains); cilium/cilium#16644, #38085",
};

pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let known = nodes(scene).into_iter().filter_map(Result::ok);
    known.filter_map(|node| judge_node(scene, &node)).collect()
}

fn judge_node(scene: &Scene<'_>, node: &NodeFilter<'_>) -> Option<Ruling> {
    let agent = node.settings.cilium_agent_started_ticks?;
    let firewalld = node.settings.firewalld.as_ref();
    // An agent that has not made its device yet has made no chains either, unless somebody could have removed them. Cilium may
    // also be told to do without chains; the agent of bmctl is not.
    let is_flushable = firewalld.is_some_and(|firewalld| firewalld.started_ticks.is_some());
    let is_complete = super::node::is_gdc(scene.inventory)
        && node
            .facts
            .interfaces
            .iter()
            .any(|interface| interface.name == AGENTS_DEVICE);
    if !is_flushable && !is_complete {
        return None;
    }
    if let Some(lack) = node.unread() {
        return Some(Ruling::not_measured(&node.name, lack));
    }
    let ruleset = node.ruleset?;
    let state = chains(ruleset);
    if state == Chains::Absent && !ruleset.legacy_tables.is_empty() {
        let why = "Cilium's chains may be in tables of the legacy iptables, which are not read".to_owned();
        return Some(Ruling::not_measured(&node.name, Lack::ToldElsewhere(why)));
    }
    Some(match state {
        Chains::Absent => {
            let detail = format!(
                "the chains of Cilium's agent are gone from the packet filter of {}, although the agent runs: pods there lose their way \
                 to other networks",
                node.name
            );
            Ruling::fail(&node.name, complaint(node, detail))
        }
        Chains::Unhooked(chain) => {
            let detail = format!(
                "nothing jumps to chain {chain} of Cilium's agent on {} any more: pods there lose their way to other networks",
                node.name
            );
            Ruling::fail(&node.name, complaint(node, detail))
        }
        Chains::Hooked => match firewalld.and_then(|firewalld| firewalld.started_ticks) {
            Some(began) if began > agent => {
                let detail = format!(
                    "firewalld on {} began after Cilium's agent: it removed chains of the agent then, and some may still be missing",
                    node.name
                );
                Ruling::warn(&node.name, complaint(node, detail))
            }
            _ => Ruling::pass(&node.name, "the chains of Cilium's agent are there and in use"),
        },
    })
}

/// How Cilium's chains stand.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Chains {
    /// There is none.
    Absent,
    /// This one, to which the agent jumps from a hook, is reached from none.
    Unhooked(String),
    /// Those that are there are in use.
    Hooked,
}

fn chains(ruleset: &Ruleset) -> Chains {
    let tables = ruleset.tables.iter();
    let iptables = tables.filter(|table| matches!(table.family, TableFamily::Ip | TableFamily::Ip6));
    let mut state = Chains::Absent;
    for table in iptables {
        for chain in table.chains.iter().filter(|chain| chain.name.starts_with(CILIUM)) {
            // The agent fills chains that hooks jump to, and leaves OLD_ ones for a moment.
            if HOOKED.contains(&chain.name.as_str()) && !is_reached(table, &chain.name) {
                return Chains::Unhooked(chain.name.clone());
            }
            state = Chains::Hooked;
        }
    }
    state
}

/// Whether a base chain jumps to it, or a chain that is no hook's.
fn is_reached(table: &Table, name: &str) -> bool {
    let rules = table.chains.iter().flat_map(|chain| &chain.rules);
    rules.flat_map(|rule| &rule.expressions).any(|expression| {
        matches!(
            expression,
            Expression::Verdict { verdict: Verdict::Jump { chain } | Verdict::Goto { chain } } if chain == name
        )
    })
}

fn complaint(node: &NodeFilter<'_>, detail: String) -> Complaint {
    let text = "Delete the pod of the agent (anetd, or cilium) that runs on this node, from where kubectl is set up (the admin \
                workstation): its successor makes the chains again. Do so after every reload or restart of firewalld.";
    node.complaint(detail, text, restart_agent(node).into_iter().collect())
}

/// Deletes the agent's pod on a node, from wherever kubectl may do so. The pod has the node's own address, while the node's name is
/// not known here: it need not be the host's.
pub(super) fn restart_agent(node: &NodeFilter<'_>) -> Option<String> {
    let address = node.id.address()?;
    Some(format!(
        "kubectl --namespace kube-system delete pod --selector k8s-app=cilium --field-selector status.podIP={address}"
    ))
}

/// The device that every agent makes when it begins, through which the host talks to its pods.
const AGENTS_DEVICE: &str = "cilium_host";
/// The beginning of the names of Cilium's chains.
const CILIUM: &str = "CILIUM_";
/// Chains to which the agent jumps from the hook of that name.
const HOOKED: [&str; 6] = [
    "CILIUM_FORWARD",
    "CILIUM_INPUT",
    "CILIUM_OUTPUT",
    "CILIUM_POST_nat",
    "CILIUM_PRE_mangle",
    "CILIUM_PRE_raw",
];
