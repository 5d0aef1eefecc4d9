//! FW-001: who manages the packet filter.

use crate::{
    firewall::{Hook, Policy, Ruleset, Table, TableFamily},
    observation::FirewallManager,
    report::check::Check,
};

use super::{
    super::{Explains, Lack, Pairs, Ruling, Scene},
    node::{NodeFilter, is_gdc, nodes},
};
use crate::cause::CauseKind;

pub(crate) const CHECK: Check = Check {
    id: "FW-001",
    asserts: "one manager at most is in charge of a node's packet filter, and on nodes of bmctl it is not ufw",
    how: "reads units, /etc/ufw/ufw.conf and the kernel's rules; nothing is sent",
    needs: "nothing; CAP_NET_ADMIN tells whose rules are loaded",
    rule: "fails where ufw is active and the cluster is one of bmctl; warns where two managers load rules; \
           where rules may not be read and one is switched on that loads some, nothing can be said",
    remedy: "switch ufw off, or all managers but one",
    source: "machine health check of bmctl (ufw has to be off); firewalld(1)",
};

pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let each = nodes(scene).into_iter();
    each.map(|node| match node {
        Ok(node) => judge_node(scene, &node),
        Err(unknown) => Ruling::not_measured(unknown.name, unknown.lack),
    })
    .collect()
}

fn judge_node(scene: &Scene<'_>, node: &NodeFilter<'_>) -> Ruling {
    let active = active(scene, node);
    let words: Vec<&str> = active.iter().map(|manager| word(*manager)).collect();
    if active.contains(&FirewallManager::Ufw) && is_gdc(scene.inventory) {
        return ufw(scene, node);
    }
    if let [_, _, ..] = active.as_slice() {
        let detail = format!(
            "{} are in charge of the packet filter of {} at the same time: each flushes or contradicts what the other loads",
            words.join(" and "),
            node.name
        );
        let keep = active[0];
        let commands = active[1..]
            .iter()
            .flat_map(|manager| switch_off(*manager))
            .map(|command| (*command).to_owned())
            .collect();
        let text = format!(
            "Keep one manager ({}, say), move the rules of the others into it, and switch these off.",
            word(keep)
        );
        return Ruling::warn(&node.name, node.complaint(detail, text, commands));
    }
    if let Some(lack) = undecided(scene, node) {
        return Ruling::not_measured(&node.name, lack);
    }
    let who = match words.first() {
        Some(word) => format!("{word} manages the packet filter"),
        None => "no manager of packet filters is active".to_owned(),
    };
    let legacy = match node.ruleset.map(|ruleset| ruleset.legacy_tables.as_slice()) {
        Some([_, ..]) => ", tables of the legacy iptables are there, too",
        Some([]) | None => "",
    };
    Ruling::pass(&node.name, format!("{who}{legacy}"))
}

fn ufw(scene: &Scene<'_>, node: &NodeFilter<'_>) -> Ruling {
    let is_loaded = node.ruleset.is_some_and(has_ufw_rules);
    let detail = format!(
        "ufw is {} on {}: bmctl's machine check refuses such a node",
        if is_loaded { "active" } else { "enabled" },
        node.name
    );
    let mut complaint = node.complaint(
        detail,
        "Switch ufw off; what it opened has to be open otherwise, or no packet filter is needed at all.",
        vec!["ufw disable".to_owned(), "systemctl disable --now ufw".to_owned()],
    );
    if is_loaded {
        // Its rules are what stops tests there.
        let others = scene.plan.participants.iter().copied();
        let others = others.filter(|other| *other != node.id).collect();
        complaint.explains = Explains {
            kinds: &[CauseKind::HostFirewall],
            pairs: Pairs::Between(others, vec![node.id]),
        };
    }
    Ruling::fail(&node.name, complaint)
}

/// Why it is open whether one more manager is in charge: one that only its rules can tell of, and they are not known.
fn undecided(scene: &Scene<'_>, node: &NodeFilter<'_>) -> Option<Lack> {
    let by_rules = [FirewallManager::Iptables, FirewallManager::Nftables];
    let mut installed = node.settings.managers.iter();
    let may_have_rules = installed.any(|own| own.is_enabled && by_rules.contains(&own.manager));
    let unread = node.unread().filter(|_| node.has_own_files(scene))?;
    if may_have_rules {
        return Some(unread);
    }
    node.files_unread(|path| path.starts_with("/etc/ufw/"))
}

/// The managers that are in charge, firewalld first.
fn active(scene: &Scene<'_>, node: &NodeFilter<'_>) -> Vec<FirewallManager> {
    let files_count = node.has_own_files(scene);
    let is_enabled = |manager: FirewallManager| {
        let mut installed = node.settings.managers.iter();
        files_count && installed.any(|own| own.manager == manager && own.is_enabled)
    };
    let loaded = |has: fn(&Ruleset) -> bool| node.ruleset.is_some_and(has);
    let mut active = Vec::new();
    active.extend(
        node.settings
            .firewalld
            .is_some()
            .then_some(FirewallManager::Firewalld),
    );
    // Where the rules are known, they tell whether it is active.
    let is_ufw_active = match node.ruleset {
        Some(ruleset) => has_ufw_rules(ruleset),
        None => is_enabled(FirewallManager::Ufw),
    };
    if is_ufw_active {
        active.push(FirewallManager::Ufw);
    }
    if is_enabled(FirewallManager::Nftables) && loaded(has_own_nft_rules) {
        active.push(FirewallManager::Nftables);
    }
    if is_enabled(FirewallManager::Iptables) && loaded(has_own_iptables_rules) {
        active.push(FirewallManager::Iptables);
    }
    active
}

fn has_ufw_rules(ruleset: &Ruleset) -> bool {
    let chains = ruleset.tables.iter().flat_map(|table| &table.chains);
    // `ufw disable` leaves chains without rules.
    chains
        .filter(|chain| chain.name.starts_with("ufw"))
        .any(|chain| !chain.rules.is_empty())
}

/// Whether there are filtering chains that neither iptables, firewalld nor Kubernetes' own agents make.
fn has_own_nft_rules(ruleset: &Ruleset) -> bool {
    let tables = ruleset.tables.iter().filter(|table| {
        let is_of_others = is_iptables(table) || OTHERS_TABLES.iter().any(|own| table.name.starts_with(own));
        let sees_hosts = matches!(
            table.family,
            TableFamily::Inet | TableFamily::Ip | TableFamily::Ip6
        );
        sees_hosts && !is_of_others
    });
    tables.flat_map(|table| &table.chains).any(|chain| {
        let base = chain.base.as_ref();
        let filters = |hook: Hook| matches!(hook, Hook::Input | Hook::Forward | Hook::Output);
        base.is_some_and(|base| {
            filters(base.hook) && (base.policy == Policy::Drop || !chain.rules.is_empty())
        })
    })
}

/// Whether the filter table of iptables has rules or policies beyond jumps into chains of Kubernetes' own agents.
fn has_own_iptables_rules(ruleset: &Ruleset) -> bool {
    let tables = ruleset.tables.iter().filter(|table| is_iptables(table));
    tables
        .filter(|table| table.name == "filter")
        .flat_map(|table| &table.chains)
        .filter_map(|chain| Some((chain.base.as_ref()?, chain)))
        .any(|(base, chain)| {
            let is_others = |rule: &crate::firewall::Rule| {
                rule.expressions.iter().any(|expression| match expression {
                    crate::firewall::Expression::Verdict { verdict } => jumps_to_others(verdict),
                    _ => false,
                })
            };
            base.policy == Policy::Drop || !chain.rules.iter().all(is_others)
        })
}

fn jumps_to_others(verdict: &crate::firewall::Verdict) -> bool {
    use crate::firewall::Verdict;
    match verdict {
        Verdict::Jump { chain } | Verdict::Goto { chain } => {
            OTHERS_CHAINS.iter().any(|own| chain.starts_with(own))
        }
        _ => false,
    }
}

fn is_iptables(table: &Table) -> bool {
    matches!(table.family, TableFamily::Ip | TableFamily::Ip6)
        && ["filter", "mangle", "nat", "raw", "security"].contains(&table.name.as_str())
}

fn word(manager: FirewallManager) -> &'static str {
    match manager {
        FirewallManager::Firewalld => "firewalld",
        FirewallManager::Iptables => "iptables' service",
        FirewallManager::Nftables => "nftables.service",
        FirewallManager::Ufw => "ufw",
    }
}

fn switch_off(manager: FirewallManager) -> &'static [&'static str] {
    match manager {
        FirewallManager::Firewalld => &["systemctl disable --now firewalld"],
        FirewallManager::Iptables => &["systemctl disable iptables ip6tables netfilter-persistent"],
        FirewallManager::Nftables => &["systemctl disable nftables"],
        FirewallManager::Ufw => &["ufw disable", "systemctl disable --now ufw"],
    }
}

/// Tables that firewalld and Kubernetes' own agents make with nftables.
const OTHERS_TABLES: [&str; 6] = ["firewalld", "kube-proxy", "cilium", "calico", "cni", "docker"];
/// Chains that Kubernetes' own agents, container engines and ufw make with iptables.
const OTHERS_CHAINS: [&str; 9] = [
    "CILIUM_", "CNI-", "DOCKER", "FLANNEL-", "KUBE-", "NETAVARK", "cali-", "f2b-", "ufw",
];
