//! Hosts of one subnet that do not find each other on the link, and those for whom somebody else answers.
//!
//! ```text
//!   a split          isolated ports         masked by a proxy
//!   A B | C D        A   B                  A   B      each is told the
//!   A B | C D         \ /                    \ /       gateway's link address
//!                      R                      R
//! ```
//!
//! From who did not answer whom, and who did not hear whose requests, faults are made: each is told once, with the fewest on one
//! side. What is apart from each other in the whole, part by part, is a split; where the parts are single hosts, their ports are
//! kept apart from each other.

mod proxied;

use std::collections::{BTreeMap, BTreeSet};

use self::proxied::Proxied;
use super::survey::{Answer, Survey, data_interface, twins};
use crate::{
    assumption::{Complaint, Explains, Pairs, Scene, crowd::listed},
    cause::{Cause, CauseKind, Fix},
    errand::must_be_adjacent,
    id::NodeId,
    observation::Subject,
    port::Family,
};

/// A pair in ascending order.
type Pair = (NodeId, NodeId);

/// What came of all questions among members.
pub(super) struct Contacts<'a> {
    /// Pairs that asked each other, one or both, by family, and got an answer of the owner.
    adjacent: BTreeSet<(Pair, Family)>,
    /// Pairs of which one was not answered, with the families.
    apart: BTreeMap<Pair, BTreeSet<Family>>,
    /// Who answers for others: whom they told, and for whom. Routers are told of together, since one has an address on each link.
    proxied: BTreeMap<Proxy<'a>, Proxied<'a>>,
}

/// Who answers for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Proxy<'a> {
    /// Default gateways that are no members.
    Gateways,
    /// Somebody else with this link address.
    Other(&'a str),
}

/// Hosts that do not find each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) sides: [Vec<NodeId>; 2],
    pub(super) shape: Shape,
    pub(super) families: BTreeSet<Family>,
    /// Whether two of them have to be on one link.
    pub(super) must: bool,
}

/// What kind of separation it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Two hosts.
    Two,
    /// Several hosts, each from each other.
    Each,
    /// Two parts of the link.
    Parts,
    /// Neither.
    Mixed,
}

fn pair(one: NodeId, other: NodeId) -> Pair {
    (one.min(other), one.max(other))
}

impl<'a> Contacts<'a> {
    pub(super) fn of(scene: &Scene<'a>, survey: &Survey<'a>) -> Self {
        let mut contacts = Self {
            adjacent: BTreeSet::new(),
            apart: BTreeMap::new(),
            proxied: BTreeMap::new(),
        };
        let mut silent: BTreeSet<(Pair, Family)> = BTreeSet::new();
        let mut masked: BTreeSet<(Pair, Family)> = BTreeSet::new();
        let mut doubled: BTreeSet<(Pair, Family)> = BTreeSet::new();
        let cloned = survey.cloned();
        for (asker, told, asked) in survey.questions() {
            let Subject::Peer { node: owner } = asked.subject else {
                continue;
            };
            // What is sent to a link address that two hosts have goes now to the one and now to the other, which L2-006 tells. Of a
            // probe that is gone nothing is known, perhaps of its host neither.
            let is_cloned = cloned.contains(&asker) || cloned.contains(&owner);
            if asked.not_on_link || is_cloned || scene.log(owner).is_err() {
                continue;
            }
            let family = Family::of(asked.address);
            let key = (pair(asker, owner), family);
            match survey.answer(told, asked, owner) {
                Answer::Unasked => {}
                Answer::Silence => {
                    silent.insert(key);
                }
                Answer::By {
                    owner: own, others, ..
                } => {
                    if own {
                        contacts.adjacent.insert(key);
                    }
                    let (proxies, doubles): (BTreeSet<&str>, BTreeSet<&str>) =
                        others.into_iter().partition(|mac| survey.is_proxy(mac));
                    if !doubles.is_empty() {
                        doubled.insert(key);
                    }
                    for mac in proxies {
                        if !own {
                            masked.insert(key);
                        }
                        let is_router = survey.is_gateway(mac) && survey.members_with(mac).is_empty();
                        let proxy = if is_router {
                            Proxy::Gateways
                        } else {
                            Proxy::Other(mac)
                        };
                        let proxied = contacts.proxied.entry(proxy).or_default();
                        proxied.macs.insert(mac);
                        proxied.askers.insert(asker);
                        proxied.owners.insert(owner);
                        proxied.families.insert(family);
                        proxied.beside_owners |= own;
                        proxied.must |= must_be_adjacent(scene.inventory, asker, owner);
                        let is_unheard = |by, speaker| survey.heard(by, speaker) == Some(false);
                        if !own && (is_unheard(owner, asker) || is_unheard(asker, owner)) {
                            proxied.unheard.extend([asker, owner]);
                        }
                        proxied.pairs.insert(key.0);
                    }
                }
            }
        }
        let twins = twins(scene, survey);
        for key in &silent {
            if !masked.contains(key) && !doubled.contains(key) && !twins.contains(&key.0) {
                contacts.apart.entry(key.0).or_default().insert(key.1);
            }
        }
        contacts.add_unasked(scene, survey);
        contacts
    }

    /// Of a large roster each node asks a few only. Two that nobody asked, and that do not hear each other, are apart if one of them
    /// is known to be from another, and if one of them hears its link at all.
    fn add_unasked(&mut self, scene: &Scene<'_>, survey: &Survey<'_>) {
        let apart: BTreeSet<NodeId> = self
            .apart
            .iter()
            .filter(|(_, families)| families.contains(&Family::Ipv4))
            .flat_map(|((one, other), _)| [*one, *other])
            .collect();
        let hears: BTreeSet<NodeId> = survey
            .seen
            .keys()
            .copied()
            .filter(|node| self.hears_its_link(survey, *node))
            .collect();
        for one in &apart {
            let Some((_, prefix)) = data_interface(scene, *one, Family::Ipv4) else {
                continue;
            };
            for other in survey.seen.keys().filter(|other| *other != one) {
                let key = (pair(*one, *other), Family::Ipv4);
                let is_on_link = other.address().is_some_and(|address| prefix.contains(&address));
                let is_known = self.adjacent.contains(&key)
                    || self.apart.contains_key(&key.0)
                    || self
                        .proxied
                        .values()
                        .any(|proxied| proxied.pairs.contains(&key.0));
                let is_unheard =
                    survey.heard(*one, *other) == Some(false) && survey.heard(*other, *one) == Some(false);
                let tells = hears.contains(one) || hears.contains(other);
                if is_on_link && !is_known && is_unheard && tells {
                    self.apart.entry(key.0).or_default().insert(Family::Ipv4);
                }
            }
        }
    }

    /// Whether it tells something that a node hears nothing of another: it hears all who answer it, if there are any. Where a fabric
    /// answers for hosts that it knows (ARP suppression), nobody hears those behind another switch, and all is well.
    fn hears_its_link(&self, survey: &Survey<'_>, node: NodeId) -> bool {
        let is_near = |other: &&NodeId| self.adjacent.contains(&(pair(node, **other), Family::Ipv4));
        let mut near = survey.seen.keys().filter(is_near);
        near.all(|other| survey.heard(node, *other) != Some(false))
    }

    /// Whether an answer of its owner came to one of two, or to both.
    pub(super) fn is_adjacent(&self, one: NodeId, other: NodeId) -> bool {
        let key = pair(one, other);
        let families = [Family::Ipv4, Family::Ipv6];
        families
            .iter()
            .any(|family| self.adjacent.contains(&(key, *family)))
            && !self.apart.contains_key(&key)
    }

    /// Whether somebody else answered one of two for the other.
    pub(super) fn is_proxied(&self, one: NodeId, other: NodeId) -> bool {
        let key = pair(one, other);
        self.proxied.values().any(|proxied| proxied.pairs.contains(&key))
    }

    /// What is answered in the place of others.
    pub(super) fn proxied(&self) -> impl Iterator<Item = &Proxied<'a>> {
        self.proxied.values()
    }

    /// Whom faults keep from whom.
    pub(super) fn faults(&self, scene: &Scene<'_>) -> Vec<Fault> {
        let mut near: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
        for (one, other) in self.apart.keys() {
            near.entry(*one).or_default().insert(*other);
            near.entry(*other).or_default().insert(*one);
        }
        let members: BTreeSet<NodeId> = near.keys().copied().collect();
        let linked = |one: NodeId, other: NodeId| self.apart.contains_key(&pair(one, other));
        let clusters = parts(&members, &linked);
        clusters
            .into_iter()
            .map(|cluster| self.fault(scene, &near, &cluster))
            .collect()
    }

    fn fault(
        &self,
        scene: &Scene<'_>,
        near: &BTreeMap<NodeId, BTreeSet<NodeId>>,
        cluster: &BTreeSet<NodeId>,
    ) -> Fault {
        let inside = |(one, other): &Pair| cluster.contains(one) && cluster.contains(other);
        let apart = || self.apart.iter().filter(|(pair, _)| inside(pair));
        let (sides, shape) = sides(near, cluster);
        Fault {
            sides,
            shape,
            families: apart().flat_map(|(_, families)| families).copied().collect(),
            must: apart().any(|((one, other), _)| must_be_adjacent(scene.inventory, *one, *other)),
        }
    }
}

/// The connected parts of a graph.
fn parts(members: &BTreeSet<NodeId>, linked: &dyn Fn(NodeId, NodeId) -> bool) -> Vec<BTreeSet<NodeId>> {
    let mut left = members.clone();
    let mut parts = Vec::new();
    while let Some(first) = left.pop_first() {
        let mut part = BTreeSet::from([first]);
        let mut open = vec![first];
        while let Some(node) = open.pop() {
            let reached: Vec<NodeId> = left
                .iter()
                .copied()
                .filter(|other| linked(node, *other))
                .collect();
            for other in reached {
                left.remove(&other);
                part.insert(other);
                open.push(other);
            }
        }
        parts.push(part);
    }
    parts
}

/// Who is on which side, of hosts that hang together by being apart from each other.
fn sides(near: &BTreeMap<NodeId, BTreeSet<NodeId>>, cluster: &BTreeSet<NodeId>) -> ([Vec<NodeId>; 2], Shape) {
    let is_near = |one: NodeId, other: NodeId| near.get(&one).is_some_and(|near| near.contains(&other));
    let not_apart = |one: NodeId, other: NodeId| !is_near(one, other);
    let all: Vec<NodeId> = cluster.iter().copied().collect();
    let mut parts = parts(cluster, &not_apart);
    parts.sort_by_key(|part| (part.len(), part.first().copied()));
    let are_single = parts.iter().all(|part| part.len() == 1);
    if are_single {
        let shape = if all.len() == 2 { Shape::Two } else { Shape::Each };
        return ([all.clone(), all], shape);
    }
    if let [fewer @ .., most] = &parts[..]
        && !fewer.is_empty()
    {
        let fewer: BTreeSet<NodeId> = fewer.iter().flatten().copied().collect();
        return (
            [fewer.into_iter().collect(), most.iter().copied().collect()],
            Shape::Parts,
        );
    }
    // No clean separation: those with the most trouble on one side, one after the other, until nothing is left.
    let mut left: BTreeMap<NodeId, BTreeSet<NodeId>> = near
        .iter()
        .filter(|(node, _)| cluster.contains(node))
        .map(|(node, near)| (*node, near.clone()))
        .collect();
    let mut hubs = BTreeSet::new();
    while let Some((hub, _)) = left
        .iter()
        .filter(|(_, near)| !near.is_empty())
        .max_by_key(|(node, near)| (near.len(), std::cmp::Reverse(**node)))
    {
        let hub = *hub;
        left.remove(&hub);
        for near in left.values_mut() {
            near.remove(&hub);
        }
        hubs.insert(hub);
    }
    let others = hubs.iter().filter_map(|hub| near.get(hub)).flatten();
    let others: BTreeSet<NodeId> = others.copied().collect();
    (
        [hubs.into_iter().collect(), others.into_iter().collect()],
        Shape::Mixed,
    )
}

impl Fault {
    /// Whether a host is on one of its sides.
    pub(super) fn has(&self, node: NodeId) -> bool {
        self.sides.iter().any(|side| side.contains(&node))
    }

    fn nodes(&self) -> BTreeSet<NodeId> {
        self.sides.iter().flatten().copied().collect()
    }

    /// Whom it is about, for a row.
    pub(super) fn subject(&self, scene: &Scene<'_>) -> String {
        let [one, other] = &self.sides;
        if one == other {
            return listed(scene, one);
        }
        format!("{} to {}", listed(scene, one), listed(scene, other))
    }

    /// The same for every check that sees it, so that it is one finding.
    pub(super) fn complaint(&self, scene: &Scene<'_>, survey: &Survey<'_>) -> Complaint {
        let [one, other] = &self.sides;
        let (first, second) = (listed(scene, one), listed(scene, other));
        let asked = match self.families.iter().collect::<Vec<_>>()[..] {
            [Family::Ipv4] => "ARP requests",
            [Family::Ipv6] => "neighbour solicitations",
            _ => "ARP requests and neighbour solicitations",
        };
        let (what, look) = match self.shape {
            Shape::Two => (
                format!(
                    "{first} are on one subnet and do not find each other on the link: {asked} of one for the other have no answer"
                ),
                "their ports are kept apart (private VLAN, port isolation), or are in different VLANs",
            ),
            Shape::Each => (
                format!(
                    "{first} are on one subnet, and none of them finds another of them on the link: {asked} have no answer"
                ),
                "their ports are kept apart from each other (private VLAN, protected or isolated ports)",
            ),
            Shape::Parts => (
                format!(
                    "one subnet is on two links: {first} on the one, {second} on the other; {asked} of one side for the other have no answer"
                ),
                "a switch port in the wrong VLAN, a trunk that leaves the VLAN out, two port groups with one name",
            ),
            Shape::Mixed => (
                format!(
                    "{first} and {second} are on one subnet and do not find each other on the link: {asked} have no answer"
                ),
                "VLANs of the switch ports and of trunks between switches, private VLANs, port isolation",
            ),
        };
        Complaint {
            cause: Cause {
                kind: CauseKind::NotAdjacent,
                node: None,
                between: Some(self.sides.clone()),
                detail: what,
            },
            fix: Fix {
                text: format!(
                    "Look at the switch ports (or the hypervisor's) of {first}: {look}. All nodes of the subnet have to be in one \
                     layer 2 domain."
                ),
                commands: by_hand(scene, one, other),
            },
            evidence: survey.lines(self.nodes()).into_iter().collect(),
            explains: Explains {
                kinds: LOST,
                pairs: Pairs::Among(one.clone(), other.clone()),
            },
        }
    }
}

/// A question by hand, from one side for the other.
fn by_hand(scene: &Scene<'_>, one: &[NodeId], other: &[NodeId]) -> Vec<String> {
    let from = one.first().copied();
    let to = other.iter().copied().find(|node| Some(*node) != from);
    let asks = |(from, to): (NodeId, NodeId)| {
        let address = to.address()?;
        let (interface, _) = data_interface(scene, from, Family::of(address))?;
        let asks = match Family::of(address) {
            Family::Ipv4 => format!("arping -c 3 -I {} {address}", interface.name),
            Family::Ipv6 => format!("ndisc6 -m {address} {}", interface.name),
        };
        Some(scene.ssh(from, &asks))
    };
    from.zip(to).and_then(asks).into_iter().collect()
}

/// What tests between two come to that do not find each other; what was known before is used for a while, and lost.
const LOST: &[CauseKind] = &[
    CauseKind::NotAdjacent,
    CauseKind::PathFilter,
    CauseKind::ReturnPathFilter,
    CauseKind::LossyPath,
];
