//! What probes told of paths, in order, and where on a map of nodes and subnets that lies which several paths have in common.

mod spot;
#[cfg(test)]
pub(super) mod stage;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{
    errand::{self, Errand, PathTarget},
    id::NodeId,
    ledger::Told,
    observation::{Interface, PathMethod, PathSeen},
    port::Family,
    verdict::PairVerdict,
};

use super::{Lack, Ruling, Scene};

pub(super) use self::spot::{Pair, Spot, spots};

/// A planned path and what was told of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    pub(super) src: NodeId,
    pub(super) dst: NodeId,
    pub(super) family: Family,
    pub(super) seen: Told<&'a PathSeen>,
}

impl Path<'_> {
    /// Who sends and who receives.
    pub(super) fn pair(&self) -> Pair {
        (self.src, self.dst)
    }

    /// Whether anything answered.
    pub(super) fn is_measured(&self) -> bool {
        matches!(self.seen.what.by, PathMethod::Stamp { .. } | PathMethod::Echo)
    }
}

/// Every path that was told of, in the order of the plan, between nodes whose probes are still there: a host that went away
/// meanwhile answers nothing, whatever the path.
pub(super) fn told<'a>(scene: &Scene<'a>) -> Vec<Path<'a>> {
    let mut paths = Vec::new();
    let mut by_source: BTreeMap<NodeId, BTreeMap<(NodeId, Family), Told<&'a PathSeen>>> = BTreeMap::new();
    for (src, target) in planned(scene) {
        let of_source = by_source.entry(src).or_insert_with(|| {
            let told = scene.log(src).map_or(&[][..], |log| &log.path);
            // The first of a target counts.
            let first = told.iter().rev();
            first
                .map(|told| ((told.what.dst, told.what.family), *told))
                .collect()
        });
        if let Some(seen) = of_source.get(&(target.node, target.family))
            && !scene.ledger.is_gone(target.node)
        {
            paths.push(Path {
                src,
                dst: target.node,
                family: target.family,
                seen: *seen,
            });
        }
    }
    paths
}

/// One row for each node some of whose planned paths were not told of: why. What nobody else tells of is one finding for the
/// whole run, whichever checks miss it.
pub(super) fn untold(scene: &Scene<'_>) -> Vec<Ruling> {
    let known: BTreeSet<(NodeId, NodeId, Family)> = told(scene)
        .iter()
        .map(|path| (path.src, path.dst, path.family))
        .collect();
    let mut missing: BTreeMap<NodeId, BTreeSet<(NodeId, Family)>> = BTreeMap::new();
    for (src, target) in planned(scene) {
        if !known.contains(&(src, target.node, target.family)) {
            let targets = missing.entry(src).or_default();
            targets.insert((target.node, target.family));
        }
    }
    let (mut rulings, mut silent) = (Vec::new(), Vec::new());
    for (src, mut targets) in missing {
        if let Some(lack) = scene.undone(src, errand::Kind::Path) {
            rulings.push(Ruling::not_measured(scene.name(src), lack));
            continue;
        }
        let count = targets.len();
        targets.retain(|(dst, _)| !scene.ledger.is_gone(*dst));
        let count = if targets.is_empty() { count } else { targets.len() };
        let paths = if count == 1 { "path" } else { "paths" };
        let why = match (scene.ledger.interrupted.is_some(), targets.is_empty()) {
            (true, _) => "the run was stopped".to_owned(),
            (false, true) => format!("the probes at the other ends of {count} {paths} are gone"),
            (false, false) => {
                silent.push((src, count));
                continue;
            }
        };
        rulings.push(Ruling::not_measured(scene.name(src), Lack::ToldElsewhere(why)));
    }
    rulings.extend(unreached(scene, &silent));
    rulings
}

/// Rows of nodes that told nothing of so many paths, though nothing is known to have kept them from it.
fn unreached(scene: &Scene<'_>, silent: &[(NodeId, usize)]) -> Vec<Ruling> {
    let why = "a local policy forbids them, or time ran out";
    let all: usize = silent.iter().map(|(_, count)| count).sum();
    let who = match silent {
        [(one, _)] => format!("the probe on {}", scene.name(*one)),
        several => format!("the probes of {} nodes", several.len()),
    };
    let paths = |count| if count == 1 { "path" } else { "paths" };
    let of_run = format!("{who} told nothing of {all} {}: {why}", paths(all));
    let ruling = |(src, count): &(NodeId, usize)| {
        let lack = Lack::Other(None, of_run.clone());
        let detail = format!("the probe told nothing of {count} {}: {why}", paths(*count));
        Ruling {
            detail,
            ..Ruling::not_measured(scene.name(*src), lack)
        }
    };
    silent.iter().map(ruling).collect()
}

/// One row for each node from which something is as it should be: to how many nodes.
pub(super) fn passes(
    scene: &Scene<'_>,
    good: &[Path<'_>],
    said: impl Fn(&[&Path<'_>]) -> String,
) -> Vec<Ruling> {
    let mut by_source: BTreeMap<NodeId, Vec<&Path<'_>>> = BTreeMap::new();
    for path in good {
        by_source.entry(path.src).or_default().push(path);
    }
    let ruling = |(src, paths): (NodeId, Vec<&Path<'_>>)| {
        let detail = said(&paths);
        let mut to: Vec<NodeId> = paths.into_iter().map(|path| path.dst).collect();
        to.dedup();
        let subject = match to.as_slice() {
            [one] => format!("{} to {}", scene.name(src), scene.name(*one)),
            all => format!("{} to {} nodes", scene.name(src), all.len()),
        };
        Ruling::pass(subject, detail)
    };
    by_source.into_iter().map(ruling).collect()
}

/// Rows of paths on which nothing answered, one for each node that asked.
pub(super) fn mute(scene: &Scene<'_>, all: &[Path<'_>]) -> Vec<Ruling> {
    let why = "nothing answers there, neither a responder over UDP nor ICMP echo";
    undecided(scene, all, why, |path| path.seen.what.by == PathMethod::Nothing)
}

/// Rows of paths of which nothing can be said, one for each node that asked. That it comes to nothing at all on a node makes a
/// run incomplete, unless tests of the port matrix fail there, too, which has findings of its own.
pub(super) fn undecided(
    scene: &Scene<'_>,
    all: &[Path<'_>],
    why: &str,
    is_undecided: impl Fn(&Path<'_>) -> bool,
) -> Vec<Ruling> {
    let mut by_source: BTreeMap<NodeId, (BTreeSet<NodeId>, bool)> = BTreeMap::new();
    for path in all {
        let (to, is_all) = by_source.entry(path.src).or_insert((BTreeSet::new(), true));
        match is_undecided(path) {
            true => _ = to.insert(path.dst),
            false => *is_all = false,
        }
    }
    by_source.retain(|_, (to, _)| !to.is_empty());
    if by_source.is_empty() {
        return Vec::new();
    }
    let is_wrong = |pair: &&PairVerdict| pair.cells.iter().any(|cell| !cell.outcome.is_open());
    let wrong = scene.pairs.iter().filter(is_wrong);
    let wrong: BTreeSet<Pair> = wrong.map(|pair| (pair.src, pair.dst)).collect();
    let ruling = |(src, (to, is_all)): (NodeId, (BTreeSet<NodeId>, bool))| {
        let is_told = |dst: &NodeId| wrong.contains(&(src, *dst)) || wrong.contains(&(*dst, src));
        let is_told = to.iter().any(is_told) || scene.ledger.interrupted.is_some();
        let subject = match to.iter().next() {
            Some(one) if to.len() == 1 => format!("{} to {}", scene.name(src), scene.name(*one)),
            _ => format!("{} to {} nodes", scene.name(src), to.len()),
        };
        let lack = match is_all && !is_told {
            true => Lack::Other(Some(src), why.to_owned()),
            false => Lack::ToldElsewhere(why.to_owned()),
        };
        Ruling::not_measured(subject, lack)
    };
    by_source.into_iter().map(ruling).collect()
}

fn planned<'s>(scene: &'s Scene<'_>) -> impl Iterator<Item = (NodeId, &'s PathTarget)> {
    scene.plan.errands.iter().flat_map(|(src, errands)| {
        errands
            .iter()
            .filter_map(|errand| match errand {
                Errand::Path(errand) => Some(&errand.paths),
                _ => None,
            })
            .flatten()
            .map(move |target| (*src, target))
    })
}

/// The interface that a node's data address of a family is on.
pub(super) fn interface<'a>(scene: &Scene<'a>, node: NodeId, family: Family) -> Option<&'a Interface> {
    let address = scene.ledger.data_address(node, family)?;
    let facts = scene.facts(node).ok()?.what;
    facts.interfaces.iter().find(|interface| {
        let mut own = interface.addresses.iter();
        own.any(|own| own.parse::<IpNet>().is_ok_and(|own| own.addr() == address))
    })
}

/// The subnet of a node's listed address; that of its address alone where no probe told.
pub(super) fn subnet(scene: &Scene<'_>, node: NodeId) -> Option<IpNet> {
    let address = node.address()?;
    let told = interface(scene, node, Family::of(address));
    let own = told
        .into_iter()
        .flat_map(|interface| &interface.addresses)
        .filter_map(|own| own.parse::<IpNet>().ok())
        .find(|own| own.addr() == address);
    let assumed = || {
        let length = match address {
            IpAddr::V4(_) => 24,
            IpAddr::V6(_) => 64,
        };
        IpNet::new(address, length).ok()
    };
    own.or_else(assumed).map(|own| own.trunc())
}

/// Some nodes for a person: a subnet if they are all of it, a few names, or how many.
pub(super) fn side(scene: &Scene<'_>, nodes: &[NodeId]) -> String {
    if let [one] = nodes {
        return scene.name(*one);
    }
    let first = nodes.first().and_then(|node| subnet(scene, *node));
    let of_subnet: Vec<NodeId> = scene
        .nodes()
        .filter(|node| subnet(scene, *node) == first)
        .collect();
    if let Some(subnet) = first.filter(|_| of_subnet == nodes) {
        return subnet.to_string();
    }
    match nodes {
        [] => "nobody".to_owned(),
        [init @ .., last] if nodes.len() <= MOST_NAMED => {
            let init: Vec<String> = init.iter().map(|node| scene.name(*node)).collect();
            format!("{} and {}", init.join(", "), scene.name(*last))
        }
        _ => {
            let subnets: BTreeSet<IpNet> = nodes.iter().filter_map(|node| subnet(scene, *node)).collect();
            let subnets: Vec<String> = subnets.iter().map(IpNet::to_string).collect();
            format!("{} nodes ({})", nodes.len(), subnets.join(", "))
        }
    }
}

/// The families of some paths, for a person.
pub(super) fn families<'p>(paths: impl IntoIterator<Item = &'p Path<'p>>) -> &'static str {
    let (mut v4, mut v6) = (false, false);
    for path in paths {
        match path.family {
            Family::Ipv4 => v4 = true,
            Family::Ipv6 => v6 = true,
        }
    }
    match (v4, v6) {
        (true, true) => "IPv4 and IPv6",
        (false, true) => "IPv6",
        _ => "IPv4",
    }
}

/// Nodes that a sentence names one by one.
const MOST_NAMED: usize = 3;
