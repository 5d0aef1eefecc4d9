//! From rules to blocks.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AFFORDABLE_SECONDS, Block, Expect, NoVantage, NotTested, PAIR_PORTS_BUDGET, Plan, STRATA_ABOVE,
    Selection, Sharing, index::Index, retest,
};
use crate::{
    errand::{self, Commission, Errands},
    evidence::{Group, Parameters},
    id::{NodeId, Role},
    inventory::{Inventory, Node, Vantage},
    port::{Family, PortSet, Protocol},
    profile::{Destination, Profile, Rule, Scope, Severity, Source},
};

/// Plans a run.
pub(super) fn plan(inventory: &Inventory, profiles: &[Profile], parameters: &Parameters) -> Plan {
    let roster = Roster::new(inventory, parameters);
    let mut plan = Plan {
        participants: Vec::new(),
        blocks: Vec::new(),
        no_vantage: Vec::new(),
        not_tested: Vec::new(),
        errands: Errands::new(),
    };
    if parameters.groups.contains(&Group::Reach) {
        for profile in profiles {
            for rule in &profile.rules {
                add(rule, profile, inventory, parameters, &roster, &mut plan);
            }
        }
    }
    exclude_open_ports(&mut plan.blocks);
    if let Some(retest) = &parameters.retest {
        retest::restrict(&mut plan, retest);
    } else {
        // A retest needs those alone who have something to make again.
        if parameters.groups.iter().any(|group| group.needs_probes()) {
            let nodes = roster.nodes.iter().map(|node| node.id);
            plan.participants = nodes
                .chain(roster.vantages.iter().map(|vantage| vantage.id))
                .collect();
        }
        let is_source = |block: &Block| block.sources.contains(&NodeId::Coordinator);
        if plan.blocks.iter().any(is_source) {
            plan.participants.push(NodeId::Coordinator);
        }
        plan.participants.sort_unstable();
        if !parameters.exhaustive {
            share(&mut plan, parameters);
        }
    }
    let errands = errand::plan(&Commission {
        inventory,
        profiles,
        parameters,
        participants: &plan.participants,
        plan: &plan,
    });
    plan.errands = errands;
    plan
}

/// Shares what is too much for every source, and lets one node try what must not answer.
fn share(plan: &mut Plan, parameters: &Parameters) {
    for block in &mut plan.blocks {
        if block.expect == Expect::Blocked {
            block.sharing = Sharing::One;
        }
    }
    if is_affordable(plan, parameters) {
        return;
    }
    for block in plan.blocks.iter_mut().filter(|block| is_large(block)) {
        block.sharing = Sharing::Strata;
    }
}

fn is_large(block: &Block) -> bool {
    block.expect == Expect::Open && block.ports.count() > STRATA_ABOVE
}

/// Takes out of what must not answer what another rule wants answered at the same node: our own responder stands there.
fn exclude_open_ports(blocks: &mut Vec<Block>) {
    let mut open: BTreeMap<(NodeId, Family, Protocol), PortSet> = BTreeMap::new();
    let blocked = blocks.iter().filter(|block| block.expect == Expect::Blocked);
    for block in blocked.cloned().collect::<Vec<_>>() {
        let transport = (block.family, block.protocol);
        let rivals = blocks.iter().filter(|other| {
            other.expect == Expect::Open
                && (other.family, other.protocol) == transport
                && !other.ports.intersection(&block.ports).is_empty()
        });
        for rival in rivals {
            for destination in &rival.destinations {
                let ports = open
                    .entry((*destination, block.family, block.protocol))
                    .or_default();
                ports.extend(&rival.ports);
            }
        }
    }
    if open.is_empty() {
        return;
    }
    let mut out = Vec::with_capacity(blocks.len());
    for block in blocks.drain(..) {
        if block.expect == Expect::Open {
            out.push(block);
            continue;
        }
        let mut by_ports: BTreeMap<PortSet, Vec<NodeId>> = BTreeMap::new();
        for destination in &block.destinations {
            let ports = match open.get(&(*destination, block.family, block.protocol)) {
                Some(open) => block.ports.difference(open),
                None => block.ports.clone(),
            };
            by_ports.entry(ports).or_default().push(*destination);
        }
        by_ports.remove(&PortSet::new());
        out.extend(by_ports.into_iter().map(|(ports, destinations)| Block {
            ports,
            destinations,
            ..block.clone()
        }));
    }
    *blocks = out;
}

/// Who may take part.
struct Roster<'a> {
    nodes: Vec<&'a Node>,
    vantages: Vec<&'a Vantage>,
    /// As the admin workstation and as a client; absent if it is excluded.
    coordinator: Option<NodeId>,
    /// Whether a vantage is the admin workstation in place of the coordinator.
    workstation_is_a_vantage: bool,
    /// In which the nodes speak to each other.
    families: BTreeSet<Family>,
    /// Of the addresses in the file.
    listed_families: BTreeSet<Family>,
    is_dual_stack: bool,
}

impl<'a> Roster<'a> {
    fn new(inventory: &'a Inventory, parameters: &Parameters) -> Self {
        let selection = Selection::new(inventory, parameters);
        let nodes = inventory.nodes.iter().filter(|node| selection.has(node.id));
        let vantages = inventory.vantages.iter();
        let is_workstation = |vantage: &Vantage| vantage.stands_for.contains(&Source::AdminWorkstation);
        Self {
            nodes: nodes.collect(),
            workstation_is_a_vantage: vantages.clone().any(is_workstation),
            vantages: vantages.filter(|vantage| selection.has(vantage.id)).collect(),
            coordinator: Some(NodeId::Coordinator).filter(|id| selection.has(*id)),
            families: inventory.families(),
            listed_families: inventory.listed_families(),
            is_dual_stack: inventory.is_dual_stack(),
        }
    }

    /// Whether somebody tests, and is tested, over a family.
    fn speaks(&self, node: NodeId, family: Family) -> bool {
        match node.address() {
            None => self.listed_families.contains(&family),
            Some(address) => Family::of(address) == family || (self.is_dual_stack && !self.is_vantage(node)),
        }
    }

    /// Vantages of the inventory ascend, and the roster keeps their order.
    fn is_vantage(&self, id: NodeId) -> bool {
        self.vantages
            .binary_search_by_key(&id, |vantage| vantage.id)
            .is_ok()
    }

    fn standing_for(&self, source: Source) -> impl Iterator<Item = NodeId> {
        let standing = move |vantage: &&&Vantage| vantage.stands_for.contains(&source);
        self.vantages.iter().filter(standing).map(|vantage| vantage.id)
    }

    fn with_role(&self, role: Role) -> impl Iterator<Item = NodeId> {
        self.nodes
            .iter()
            .filter(move |node| node.roles.contains(&role))
            .map(|node| node.id)
    }

    /// Who of the roster is this source; `None` if nobody can be.
    fn vantages(&self, source: Source) -> Option<BTreeSet<NodeId>> {
        let nodes = || self.nodes.iter().map(|node| node.id);
        let somebody = |ids: BTreeSet<NodeId>| (!ids.is_empty()).then_some(ids);
        match source {
            Source::AdminWorkstation if self.workstation_is_a_vantage => {
                somebody(self.standing_for(source).collect())
            }
            Source::AdminWorkstation => somebody(self.coordinator.into_iter().collect()),
            Source::ControlPlane => Some(self.with_role(Role::ControlPlane).collect()),
            Source::LoadBalancer => Some(self.with_role(Role::LoadBalancer).collect()),
            Source::Worker => Some(self.with_role(Role::Worker).collect()),
            Source::ClusterNodes => Some(nodes().collect()),
            Source::AnyClient => {
                let clients = nodes().chain(self.coordinator).chain(self.standing_for(source));
                Some(clients.collect())
            }
            // What a node does toward itself is no matter of the network.
            Source::SelfNode | Source::Loopback => Some(BTreeSet::new()),
            Source::AdminClusterNodes
            | Source::ExternalLoadBalancer
            | Source::FloatingIp
            | Source::Named(_) => somebody(self.standing_for(source).collect()),
        }
    }
}

/// Adds a rule's blocks, one for each family, and its sources without a vantage.
fn add(
    rule: &Rule,
    profile: &Profile,
    inventory: &Inventory,
    parameters: &Parameters,
    roster: &Roster<'_>,
    plan: &mut Plan,
) {
    if !rule.holds_for(inventory) {
        return;
    }
    let Some(expect) = expectation(rule) else {
        plan.not_tested
            .extend(not_tested(rule, profile, inventory, parameters, roster));
        return;
    };
    let destinations = match rule.destination {
        Destination::External => return,
        Destination::AddedClusterVip => {
            if !applies(rule, &inventory.version.minor(), parameters) {
                return;
            }
            Vec::new()
        }
        _ => destinations(rule, parameters, roster),
    };
    if destinations.is_empty() && rule.destination != Destination::AddedClusterVip {
        return;
    }
    let ports = rule.ports_in(inventory);
    let mut sources = BTreeSet::new();
    let written = match expect {
        Expect::Open => rule.sources.clone(),
        // Whoever can try, tells.
        Expect::Blocked => BTreeSet::from([Source::ClusterNodes]),
    };
    let standing: BTreeSet<Source> = written
        .iter()
        .flat_map(|source| profile.standing_for(*source, inventory))
        .collect();
    for source in standing {
        match roster.vantages(source) {
            Some(vantages) => sources.extend(vantages),
            None => plan.no_vantage.push(no_vantage(rule, source, &ports)),
        }
    }
    for &family in &roster.families {
        let speaks = |node: &NodeId| roster.speaks(*node, family);
        let block = Block {
            rule: rule.id.clone(),
            family,
            protocol: rule.protocol,
            ports: ports.clone(),
            sharing: Sharing::Exhaustive,
            sources: sources.iter().copied().filter(speaks).collect(),
            destinations: destinations.iter().copied().filter(speaks).collect(),
            expect,
            severity: match expect {
                Expect::Open => rule.severity,
                // What a stray port opens to others is to be looked at; it keeps no cluster from working.
                Expect::Blocked => rule.severity.min(Severity::Warn),
            },
            through_services: rule.through_services,
            purpose: rule.purpose.clone(),
        };
        if block.has_pair() {
            plan.blocks.push(block);
        }
    }
}

/// What a test of the rule is expected to find; `None` for what is not tested, and so never incomplete: protocols without
/// ports, what a node does with itself, and loopback ports of UDP, whose silence tells nothing.
fn expectation(rule: &Rule) -> Option<Expect> {
    match (rule.scope, rule.protocol) {
        (Scope::Remote, Protocol::Tcp | Protocol::Udp) => Some(Expect::Open),
        (Scope::Loopback, Protocol::Tcp) => Some(Expect::Blocked),
        _ => None,
    }
}

/// A rule of a protocol without ports, if somebody of the cluster should get through to somebody else by it.
fn not_tested(
    rule: &Rule,
    profile: &Profile,
    inventory: &Inventory,
    parameters: &Parameters,
    roster: &Roster<'_>,
) -> Option<NotTested> {
    let has_ports = matches!(rule.protocol, Protocol::Tcp | Protocol::Udp);
    if has_ports || rule.scope != Scope::Remote || rule.destination == Destination::External {
        return None;
    }
    let destinations = destinations(rule, parameters, roster);
    let is_other = |source: &NodeId| destinations.iter().any(|destination| destination != source);
    let mut sources = rule
        .sources
        .iter()
        .flat_map(|source| profile.standing_for(*source, inventory));
    // A source for which nobody stands is there all the same.
    let is_sent = sources.any(|source| match roster.vantages(source) {
        Some(nodes) => nodes.iter().any(is_other),
        None => !destinations.is_empty(),
    });
    is_sent.then(|| NotTested {
        rule: rule.id.clone(),
        protocol: rule.protocol,
        destination: rule.destination,
        severity: rule.severity,
        purpose: rule.purpose.clone(),
    })
}

fn destinations(rule: &Rule, parameters: &Parameters, roster: &Roster<'_>) -> Vec<NodeId> {
    let is_meant = |node: &&&Node| match (rule.destination, rule.destination.role()) {
        (Destination::ListedNodes, _) => rule.listed.contains(&node.id),
        (_, Some(role)) => node.roles.contains(&role),
        (_, None) => true,
    };
    let has_rule = |node: &&&Node| applies(rule, &node.version.minor(), parameters);
    // Nodes of the inventory ascend, and the roster keeps their order.
    roster
        .nodes
        .iter()
        .filter(is_meant)
        .filter(has_rule)
        .map(|node| node.id)
        .collect()
}

/// Whether the tables of the node's own version or of the version that was asked for have the rule.
fn applies(rule: &Rule, own: &crate::version::Minor, parameters: &Parameters) -> bool {
    rule.applies_to(*own)
        || parameters
            .version
            .as_ref()
            .is_some_and(|version| rule.applies_to(version.minor()))
}

fn no_vantage(rule: &Rule, source: Source, ports: &PortSet) -> NoVantage {
    let by_hand = match rule.protocol {
        // Silence is what an open port and a filtered one have in common.
        Protocol::Udp => {
            "send into the port by hand, for example `nc -u -w 1 ADDRESS PORT`, while `tcpdump -ni any udp port PORT` on the \
             host shows whether it arrives"
        }
        _ => "try the port by hand, for example `nc -vz ADDRESS PORT`",
    };
    let remedy = match source {
        Source::AdminClusterNodes => {
            format!("give the admin cluster's file with `--admin-cluster`, or on each of its nodes {by_hand}")
        }
        Source::AdminWorkstation => {
            "the admin workstation is excluded: run without `--exclude` of it".to_owned()
        }
        _ => format!(
            "name a machine there as a vantage that stands for `{}` (docs/inventory.md), or {by_hand}",
            source.word()
        ),
    };
    NoVantage {
        rule: rule.id.clone(),
        source,
        destination: rule.destination,
        protocol: rule.protocol,
        ports: ports.clone(),
        remedy,
    }
}

/// Whether every source can test every port without anybody having to wait long.
fn is_affordable(plan: &Plan, parameters: &Parameters) -> bool {
    if !plan.blocks.iter().any(is_large) {
        return true;
    }
    let (node_rate, pair_rate) = (
        u64::from(parameters.max_rate_node),
        u64::from(parameters.max_rate_pair),
    );
    let index = Index::new(plan);
    let sources: BTreeMap<NodeId, super::index::Load> = index
        .sources()
        .into_iter()
        .map(|source| (source, index.load(source)))
        .collect();
    if node_rate == 0 && pair_rate == 0 {
        return sources.values().map(|load| load.tests).sum::<u64>() <= PAIR_PORTS_BUDGET;
    }
    let within = |tests: u64, rate: u64| rate == 0 || tests <= rate * AFFORDABLE_SECONDS;
    sources
        .values()
        .all(|load| within(load.tests, node_rate) && within(load.longest_pair, pair_rate))
}
