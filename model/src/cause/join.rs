//! Explanations that are one to a person: the same ports from the same sources or to the same destinations, the loss around
//! one node. Two become one only if nothing contradicts what they say together.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    id::NodeId,
    port::{Family, PortSet, Protocol},
    verdict::{Outcome, PairVerdict},
};

use super::{
    blame::{Local, Setting, Tests},
    candidate::got_through,
    group::Group,
    pattern::{Admission, Pattern},
    subnet::Subnets,
};

/// Every pair, in the order of source, destination, family and protocol.
#[derive(Clone, Copy)]
pub(super) struct Joiner<'a> {
    pub(super) pairs: &'a [PairVerdict],
    pub(super) subnets: &'a Subnets,
}

impl Joiner<'_> {
    /// Joins explanations of one pattern.
    pub(super) fn join(self, groups: Vec<Group>, pattern: &Pattern) -> Vec<Group> {
        match pattern.admission() {
            Admission::EveryTest => self.join_equal(groups, pattern),
            Admission::Chance => join_around_nodes(join_same_sides(groups)),
        }
    }

    /// Explanations of the same ports from the same sources, or to the same destinations, are one.
    fn join_equal(self, groups: Vec<Group>, pattern: &Pattern) -> Vec<Group> {
        let mut joined = groups;
        for side in [0, 1] {
            let mut kept: Vec<Group> = Vec::new();
            for group in joined {
                let known = kept.iter_mut().find_map(|other| {
                    let mut both = other.with(&group);
                    // Of what goes both ways either side may be the shared one.
                    if group.both_ways && other.sides[side] != group.sides[side] {
                        let mut group = group.clone();
                        group.sides.reverse();
                        both = other.with(&group);
                    }
                    let shares_side = both.sides[side] == other.sides[side];
                    let fits = other.both_ways == group.both_ways && shares_side;
                    (fits && overlap(other, &group) && self.admits(pattern, &both)).then_some((other, both))
                });
                match known {
                    Some((other, both)) => *other = both,
                    None => kept.push(group),
                }
            }
            joined = kept;
        }
        self.join_into_both_ways(joined, pattern)
    }

    /// What fails in one direction between some of those between whom it fails in both is the same, with a few ports more that
    /// nobody asks for in the other direction; and between those who are cut off from each other nothing needs a cause of its
    /// own.
    fn join_into_both_ways(self, mut groups: Vec<Group>, pattern: &Pattern) -> Vec<Group> {
        // The widest first.
        groups.sort_by_key(|group| (!group.both_ways, Reverse(group.tests.by_pair.len())));
        let mut kept: Vec<Group> = Vec::new();
        for group in groups {
            let mut reversed = group.clone();
            reversed.sides.reverse();
            let known = kept.iter_mut().filter(|other| other.both_ways).find_map(|other| {
                let mut turned = [&group, &reversed].into_iter();
                let within = turned.find(|group| is_within(&group.sides, &other.sides))?;
                let mut both = other.with(within);
                both.both_ways = true;
                let is_same = overlap(other, &group) && !group.both_ways && self.admits(pattern, &both);
                let are_cut_off = self.are_cut_off(pattern, &both);
                both.is_whole |= are_cut_off;
                (is_same || are_cut_off).then_some((other, both))
            });
            match known {
                Some((other, both)) => *other = both,
                None => kept.push(group),
            }
        }
        kept
    }

    /// Whether nothing at all that is asked between the two sides is known to have got through.
    fn are_cut_off(self, pattern: &Pattern, group: &Group) -> bool {
        let [from, to] = &group.sides;
        let apart = |pair: &&PairVerdict| {
            !group.is_across_subnets() || self.subnets.are_apart(pair.src, pair.dst, pair.transport.0)
        };
        let families = group.tests.families();
        let mut directions = from
            .iter()
            .flat_map(|a| to.iter().flat_map(move |b| [(*a, *b), (*b, *a)]));
        directions.all(|(src, dst)| {
            let pairs = self.between(src, dst).iter().filter(apart);
            let mut of_family = pairs.filter(|pair| families.contains(&pair.transport.0));
            of_family.all(|pair| got_through(pattern, pair).is_empty())
        })
    }

    /// Whether an explanation of what is lost in one direction is enough to lose the answers to tests in the other: no question
    /// of their protocol gets through there, or, where none was asked, none of any other.
    pub(super) fn shuts_the_way_back(self, pattern: &Pattern, group: &Group, pair: &PairVerdict) -> bool {
        let (family, protocol) = pair.transport;
        let is_shut = match group.protocols.contains(&protocol) {
            true => group.shut.contains(&protocol),
            false => {
                let back = self.between(pair.dst, pair.src).iter();
                let mut asked = back.filter(|back| back.transport == pair.transport);
                group.shut == group.protocols && asked.all(|back| got_through(pattern, back).is_empty())
            }
        };
        is_shut && group.is_about(pair.dst, pair.src, family, self.subnets)
    }

    /// Whether no test that an explanation predicts to fail is known to have got through. Where chance decides, none is
    /// predicted.
    fn admits(self, pattern: &Pattern, group: &Group) -> bool {
        let [from, to] = &group.sides;
        let back = group.both_ways.then_some((to, from));
        let mut directions = [Some((from, to)), back].into_iter().flatten();
        pattern.admission() == Admission::Chance
            || directions.all(|(from, to)| {
                self.contradicts_none(pattern, from, to, &group.tests, group.is_across_subnets())
            })
    }

    /// Whether no test of these ports from these to those is known to have got through, in whichever family; if so asked,
    /// only between subnets.
    pub(super) fn contradicts_none(
        self,
        pattern: &Pattern,
        from: &[NodeId],
        to: &[NodeId],
        tests: &Tests,
        across_only: bool,
    ) -> bool {
        let protocols = tests.protocols().into_iter();
        let ports: BTreeMap<Protocol, PortSet> = protocols
            .map(|protocol| (protocol, tests.ports_of(protocol)))
            .collect();
        let is_shut = |pair: &PairVerdict| {
            if across_only && !self.subnets.are_apart(pair.src, pair.dst, pair.transport.0) {
                return true;
            }
            let Some(ports) = ports.get(&pair.transport.1) else {
                return true;
            };
            let through = got_through(pattern, pair).intersection(ports);
            match tests.by_pair.get(&(pair.src, pair.dst, pair.transport)) {
                Some(own) => through.difference(own).is_empty(),
                None => through.is_empty(),
            }
        };
        from.iter()
            .flat_map(|src| to.iter().map(move |dst| (*src, *dst)))
            .all(|(src, dst)| self.between(src, dst).iter().all(is_shut))
    }

    fn between(&self, src: NodeId, dst: NodeId) -> &[PairVerdict] {
        let start = self
            .pairs
            .partition_point(|pair| (pair.src, pair.dst) < (src, dst));
        let rest = &self.pairs[start..];
        let count = rest
            .iter()
            .take_while(|pair| (pair.src, pair.dst) == (src, dst))
            .count();
        &rest[..count]
    }

    /// Each family has routes of its own; what is missing in both toward the same peers is missing once.
    pub(super) fn join_routes(self, causes: &mut BTreeMap<Local, Tests>) {
        let of_ipv6 = causes.keys().filter_map(|local| match local {
            Local::Routes {
                node,
                family: Family::Ipv6,
                setting,
            } => Some((*node, *setting)),
            _ => None,
        });
        for (node, setting) in of_ipv6.collect::<Vec<_>>() {
            let [v4, v6] = [Family::Ipv4, Family::Ipv6].map(|family| Local::Routes {
                node,
                family,
                setting,
            });
            let (Some(one), Some(other)) = (causes.get(&v4), causes.get(&v6)) else {
                continue;
            };
            let (a, b): (BTreeSet<_>, BTreeSet<_>) = (
                one.peers_of(node).into_iter().collect(),
                other.peers_of(node).into_iter().collect(),
            );
            let reaches = |peer: &NodeId| {
                let cells = self.between(node, *peer).iter().flat_map(|pair| &pair.cells);
                cells
                    .filter(|cell| cell.outcome.is_measured())
                    .any(|cell| !is_kept(&cell.outcome, setting))
            };
            if !a.is_disjoint(&b)
                && !a.symmetric_difference(&b).any(reaches)
                && let Some(other) = causes.remove(&v6)
            {
                causes.entry(v4).or_default().merge(&other);
            }
        }
    }
}

/// Whether a question that ended so did so for want of a way.
fn is_kept(outcome: &Outcome, setting: Setting) -> bool {
    match setting {
        Setting::NoRoute => *outcome == Outcome::NoRoute,
        _ => *outcome == Outcome::LocalBlocked,
    }
}

/// Packets that are lost between the same sides are lost there in whichever direction.
fn join_same_sides(groups: Vec<Group>) -> Vec<Group> {
    let mut kept: Vec<Group> = Vec::new();
    for mut group in groups {
        let known = kept.iter_mut().find(|other| {
            if other.sides != group.sides {
                group.sides.reverse();
            }
            other.sides == group.sides
        });
        match known {
            Some(other) => {
                *other = Group {
                    both_ways: true,
                    ..other.with(&group)
                };
            }
            None => kept.push(group),
        }
    }
    kept
}

/// What is lost between a node and some of its peers, and between it and others, is lost around that node.
fn join_around_nodes(mut groups: Vec<Group>) -> Vec<Group> {
    let mut out = Vec::new();
    while let Some(hub) = hub_of_most(&groups) {
        let (around, rest): (Vec<Group>, Vec<Group>) =
            groups.into_iter().partition(|group| is_around(group, hub));
        groups = rest;
        out.extend(around_node(hub, around));
    }
    out.extend(groups);
    out
}

/// The node around which several explanations lie, and more than one peer.
fn hub_of_most(groups: &[Group]) -> Option<NodeId> {
    let ends = groups.iter().flat_map(|group| group.tests.by_pair.keys());
    let nodes: BTreeSet<NodeId> = ends.flat_map(|(src, dst, _)| [*src, *dst]).collect();
    let standing = |hub: NodeId| {
        let around: Vec<&Group> = groups.iter().filter(|group| is_around(group, hub)).collect();
        let peers: BTreeSet<NodeId> = around
            .iter()
            .flat_map(|group| group.tests.peers_of(hub))
            .collect();
        (around.len() > 1 && peers.len() > 1).then_some((around.len(), peers.len()))
    };
    let standing = nodes
        .into_iter()
        .filter_map(|hub| Some((standing(hub)?, Reverse(hub))));
    standing.max().map(|(_, Reverse(hub))| hub)
}

fn is_around(group: &Group, hub: NodeId) -> bool {
    let mut pairs = group.tests.by_pair.keys();
    pairs.all(|(src, dst, _)| *src == hub || *dst == hub)
}

fn around_node(hub: NodeId, groups: Vec<Group>) -> Option<Group> {
    let one = groups.into_iter().reduce(|one, other| one.with(&other))?;
    let mut pairs = one.tests.by_pair.keys();
    let (out, back) = (
        pairs.clone().all(|(src, _, _)| *src == hub),
        pairs.all(|(_, dst, _)| *dst == hub),
    );
    let peers = one.tests.peers_of(hub);
    Some(Group {
        both_ways: !out && !back,
        sides: if back {
            [peers, vec![hub]]
        } else {
            [vec![hub], peers]
        },
        scope: None,
        ..one
    })
}

/// Whether two explanations have a port in common.
fn overlap(a: &Group, b: &Group) -> bool {
    let protocols = a.tests.protocols();
    let mut shared = protocols
        .intersection(&b.tests.protocols())
        .copied()
        .collect::<Vec<_>>()
        .into_iter();
    shared.any(|protocol| {
        !a.tests
            .ports_of(protocol)
            .intersection(&b.tests.ports_of(protocol))
            .is_empty()
    })
}

impl Group {
    /// Both explanations as one.
    fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for side in [0, 1] {
            both.sides[side] = union(&self.sides[side], &other.sides[side]);
        }
        both.tests.merge(&other.tests);
        both.both_ways &= other.both_ways;
        both.is_placed |= other.is_placed;
        both.is_whole &= other.is_whole;
        both.shut.retain(|protocol| other.shut.contains(protocol));
        both.protocols.extend(&other.protocols);
        both.rejections.extend(&other.rejections);
        both.offenders.extend(&other.offenders);
        both.seen_as.extend(&other.seen_as);
        both.inferred += other.inferred;
        if both.scope != other.scope {
            both.scope = None;
        }
        both
    }
}

fn is_within(inner: &[Vec<NodeId>; 2], outer: &[Vec<NodeId>; 2]) -> bool {
    let mut sides = inner.iter().zip(outer);
    sides.all(|(inner, outer)| inner.iter().all(|node| outer.contains(node)))
}

fn union(a: &[NodeId], b: &[NodeId]) -> Vec<NodeId> {
    let all: BTreeSet<NodeId> = a.iter().chain(b).copied().collect();
    all.into_iter().collect()
}
