//! What a node stops, gathered: all that one rule of its packet filter stops is one cause, whichever way it goes, and so is
//! what it stops by a filter of which no rule can be named: one thing on one node to look at.

use std::collections::{BTreeMap, BTreeSet};

use crate::{firewall::Place, id::NodeId, verdict::Way};

use super::{
    blame::{Proof, Rule, Setting, Tests},
    counted::Counted,
    group::Group,
    join::Joiner,
    pattern::{self, Pattern},
};

/// A packet filter that is to blame.
#[derive(Debug)]
pub(super) struct FilterCase {
    pub(super) node: NodeId,
    pub(super) by: By,
    pub(super) parts: Vec<Part>,
    /// Everything that it stops.
    pub(super) tests: Tests,
}

/// What a rule stops that decides by chance.
#[derive(Debug, Default)]
pub(super) struct Chanced {
    pub(super) tests: Tests,
    /// Whether some of it is silent beyond what loss explains.
    pub(super) is_firm: bool,
}

/// How it was convicted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By its rules: one, or its twins in the tables of both families.
    Rules(Vec<Place>),
    /// By a rule that stops some packets and lets others of the same kind pass, or its twins; `is_firm` if some tests had no
    /// answer that chance would explain by itself.
    Chance { places: Vec<Place>, is_firm: bool },
    /// By what was seen of its packets.
    Seen,
}

/// What it stops on one way through it: the same ports of the same peers.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) way: Way,
    pub(super) proof: Proof,
    pub(super) tests: Tests,
}

impl FilterCase {
    /// Each rule with everything that it stops.
    pub(super) fn of_rules(rules: BTreeMap<Rule, Tests>, joiner: Joiner<'_>) -> Vec<Self> {
        let mut by_rule: BTreeMap<(NodeId, Place), Vec<Part>> = BTreeMap::new();
        for (Rule { node, place, way }, tests) in rules {
            let part = Part {
                way,
                proof: Proof::Capture,
                tests,
            };
            by_rule.entry((node, place)).or_default().push(part);
        }
        let mut cases: Vec<Self> = Vec::new();
        for ((node, place), parts) in by_rule {
            let case = Self::new(node, By::Rules(vec![place]), parts);
            match cases.iter_mut().find(|known| known.is_twin(&case, joiner)) {
                Some(twin) => twin.absorb(case),
                None => cases.push(case),
            }
        }
        cases
    }

    /// Each rule that decides by chance with what it stops; the same words in the tables of both families are one.
    pub(super) fn of_chances(rules: BTreeMap<Rule, Chanced>) -> Vec<Self> {
        let mut cases: Vec<Self> = Vec::new();
        for (Rule { node, place, way }, Chanced { tests, is_firm }) in rules {
            let part = Part {
                way,
                proof: Proof::Capture,
                tests,
            };
            let by = By::Chance {
                places: vec![place.clone()],
                is_firm,
            };
            let case = Self::new(node, by, vec![part]);
            match cases.iter_mut().find(|known| known.is_said_by(node, &place)) {
                Some(known) => known.absorb(case),
                None => cases.push(case),
            }
        }
        cases
    }

    /// Whether it is by a rule in the same words.
    fn is_said_by(&self, node: NodeId, place: &Place) -> bool {
        let words = |place: &Place| (place.table.clone(), place.chain.clone(), place.rule.clone());
        match &self.by {
            By::Chance { places, .. } => {
                self.node == node && places.iter().any(|own| words(own) == words(place))
            }
            By::Rules(_) | By::Seen => false,
        }
    }

    /// Adds what a filter stops of which no rule can be named: all of one node's, since it is one filter to look at.
    pub(super) fn add_unread(cases: &mut Vec<Self>, node: NodeId, way: Way, proof: Proof, group: &Group) {
        let part = Part {
            way,
            proof,
            tests: group.tests.clone(),
        };
        let case = Self::new(node, By::Seen, vec![part]);
        match cases
            .iter_mut()
            .find(|known| known.node == node && known.by == By::Seen)
        {
            Some(known) => known.absorb(case),
            None => cases.push(case),
        }
    }

    fn new(node: NodeId, by: By, parts: Vec<Part>) -> Self {
        let mut tests = Tests::default();
        parts.iter().for_each(|part| tests.merge(&part.tests));
        Self {
            node,
            by,
            parts,
            tests,
        }
    }

    /// iptables and ip6tables have a table each: rules for the same ports and peers in both are one fault.
    fn is_twin(&self, other: &Self, joiner: Joiner<'_>) -> bool {
        let (By::Rules(_), By::Rules(_)) = (&self.by, &other.by) else {
            return false;
        };
        let ways = |case: &Self| -> BTreeSet<Way> { case.parts.iter().map(|part| part.way).collect() };
        self.node == other.node
            && self.tests.families().is_disjoint(&other.tests.families())
            && ways(self) == ways(other)
            && self
                .parts
                .iter()
                .zip(&other.parts)
                .all(|(one, two)| self.is_twin_part(one, two, joiner))
    }

    fn is_twin_part(&self, one: &Part, two: &Part, joiner: Joiner<'_>) -> bool {
        let mut tests = one.tests.clone();
        tests.merge(&two.tests);
        let place = pattern::Place::Filter {
            node: self.node,
            way: one.way,
            proof: one.proof,
        };
        let shares_peers = one
            .tests
            .peers_of(self.node)
            .iter()
            .any(|peer| two.tests.peers_of(self.node).contains(peer));
        shares_peers
            && one.tests.is_like(&two.tests)
            && joiner.contradicts_none(
                &Pattern::at(place),
                &tests.sources(),
                &tests.destinations(),
                &tests,
                false,
            )
    }

    /// The way through the filter, if it is one.
    pub(super) fn only_way(&self) -> Option<Way> {
        let first = self.parts.first()?.way;
        self.parts.iter().all(|part| part.way == first).then_some(first)
    }

    fn absorb(&mut self, other: Self) {
        self.tests.merge(&other.tests);
        for part in other.parts {
            let same = |own: &&mut Part| {
                (own.way, own.proof) == (part.way, part.proof)
                    && own.tests.is_like(&part.tests)
                    && own.tests.peers_of(self.node) == part.tests.peers_of(self.node)
            };
            match self.parts.iter_mut().find(same) {
                Some(own) => own.tests.merge(&part.tests),
                None => self.parts.push(part),
            }
        }
        match (&mut self.by, other.by) {
            (By::Rules(places), By::Rules(more)) => places.extend(more),
            (
                By::Chance { places, is_firm },
                By::Chance {
                    places: more,
                    is_firm: is_too,
                },
            ) => {
                places.extend(more);
                places.sort();
                places.dedup();
                *is_firm |= is_too;
            }
            _ => {}
        }
    }
}

/// What becomes of a node's own questions where something on it swallows those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnQuestions {
    /// Nothing that has this cause.
    Unconcerned,
    /// Those to the same peers do not arrive, too.
    Astray,
    /// Some do not leave.
    Kept,
}

/// Something on a node that swallows what its packet filter accepts.
#[derive(Debug)]
pub(super) struct HostCase {
    pub(super) node: NodeId,
    pub(super) setting: Setting,
    /// What the kernel says of it.
    pub(super) counted: Option<Counted>,
    /// What becomes of the node's own questions.
    pub(super) own_questions: OwnQuestions,
    /// Each part the same ports of the same peers.
    pub(super) parts: Vec<Tests>,
    pub(super) tests: Tests,
}

impl HostCase {
    /// Adds what a node swallows.
    pub(super) fn add(cases: &mut Vec<Self>, node: NodeId, setting: Setting, group: &Group) {
        let is_same = |known: &&mut Self| (known.node, known.setting) == (node, setting);
        match cases.iter_mut().find(is_same) {
            Some(known) => {
                known.tests.merge(&group.tests);
                known.parts.push(group.tests.clone());
            }
            None => cases.push(Self {
                node,
                setting,
                counted: None,
                own_questions: OwnQuestions::Unconcerned,
                parts: vec![group.tests.clone()],
                tests: group.tests.clone(),
            }),
        }
    }
}
