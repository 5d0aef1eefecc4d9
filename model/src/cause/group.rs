//! Failing tests under one explanation.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    id::NodeId,
    port::{Family, PortSet, Protocol},
    verdict::{Cell, PairVerdict},
};

use super::{
    blame::Tests,
    candidate::{Candidate, got_through},
    cover::{Failing, Ground, Piece},
    pattern::Pattern,
    scope::{Party, Scope},
    subnet::Subnets,
};

/// Failing tests under one explanation.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) tests: Tests,
    /// Sources and destinations, ascending.
    pub(super) sides: [Vec<NodeId>; 2],
    /// Whether captures or errors place any of it; without, a host may be to blame as well as what lies between.
    pub(super) is_placed: bool,
    /// Whether nothing at all got through between its pairs, of more than one port.
    pub(super) is_whole: bool,
    /// The transports of its own tests; what it explains besides may have others.
    pub(super) protocols: BTreeSet<Protocol>,
    /// Those of which no question at all got through.
    pub(super) shut: BTreeSet<Protocol>,
    /// How it was rejected, if it was: ICMP type and code, or a reset.
    pub(super) rejections: BTreeSet<Option<(u8, u8)>>,
    /// Who rejected, if anybody did: one router shows each subnet another address.
    pub(super) offenders: BTreeSet<IpAddr>,
    /// How many rejections are inferred from others of their pair.
    pub(super) inferred: u64,
    /// Addresses that translation put in the place of nodes': a router translates to another one on each of its links, and in
    /// each family.
    pub(super) seen_as: BTreeSet<IpAddr>,
    /// Whether the other direction is under it, too.
    pub(super) both_ways: bool,
    pub(super) scope: Option<Scope>,
}

impl Group {
    /// What one candidate took, or, without one, what none did.
    pub(super) fn of(
        ground: Ground<'_>,
        pattern: &Pattern,
        pieces: &[Piece],
        taken: &Failing,
        candidate: Option<&Candidate>,
    ) -> Self {
        let scope = candidate.map(|candidate| candidate.scope);
        let mut group = Self {
            tests: Tests::default(),
            sides: [Vec::new(), Vec::new()],
            is_placed: false,
            is_whole: false,
            protocols: BTreeSet::new(),
            shut: BTreeSet::new(),
            rejections: BTreeSet::new(),
            offenders: BTreeSet::new(),
            inferred: 0,
            seen_as: BTreeSet::new(),
            both_ways: scope.is_some_and(|scope| scope.both_ways),
            scope,
        };
        for piece in pieces {
            let ports = taken
                .get(&piece.pair)
                .map(|taken| taken.intersection(&piece.ports));
            if let Some(ports) = ports.filter(|ports| !ports.is_empty()) {
                group.add(&ground.pairs[piece.pair], piece, &ports);
            }
        }
        let through = |(pair, taken): (&usize, &PortSet)| {
            let pair = &ground.pairs[*pair];
            let through = got_through(pattern, pair).difference(taken);
            (!through.is_empty()).then_some(pair.transport.1)
        };
        let open: BTreeSet<Protocol> = taken.iter().filter_map(through).collect();
        let protocols = group.tests.protocols();
        // One port that fails says nothing about others.
        let ports: u32 = protocols
            .iter()
            .map(|protocol| group.tests.ports_of(*protocol).count())
            .sum();
        group.is_whole = ports > 1 && open.is_empty();
        group.shut = &protocols - &open;
        group.protocols = protocols;
        group.take_sides(ground);
        if let Some(candidate) = candidate {
            group.widen(ground, pattern, candidate);
        }
        group
    }

    fn add(&mut self, pair: &PairVerdict, piece: &Piece, ports: &PortSet) {
        self.tests
            .add(pair, ports, piece.attempts, &piece.lines, piece.severity);
        self.is_placed |= piece.is_placed;
        self.seen_as.extend(piece.seen_as);
        if let Some(rejection) = piece.rejection {
            self.rejections.insert(rejection.icmp);
            self.offenders.extend(rejection.offender);
            if rejection.inferred {
                self.inferred += u64::from(ports.count());
            }
        }
    }

    /// Takes in a failing test that it explains.
    pub(super) fn take(&mut self, pair: &PairVerdict, piece: &Piece) {
        self.add(pair, piece, &piece.ports);
    }

    /// Sources on the one side and destinations on the other; of what goes both ways, whom it names.
    fn take_sides(&mut self, ground: Ground<'_>) {
        let mut sides = [BTreeSet::new(), BTreeSet::new()];
        for (src, dst, (family, _)) in self.tests.by_pair.keys() {
            let is_back = |scope: Scope| !scope.is_forward(*src, *dst, *family, ground.subnets);
            let is_back = self.both_ways && self.scope.is_some_and(is_back);
            sides[usize::from(is_back)].insert(*src);
            sides[usize::from(!is_back)].insert(*dst);
        }
        self.sides = sides.map(|side| side.into_iter().collect());
    }

    /// Names also those between whom the same would fail and does, though another cause may be enough for it.
    fn widen(&mut self, ground: Ground<'_>, pattern: &Pattern, candidate: &Candidate) {
        if candidate.unseen == 0 {
            return;
        }
        let scope = candidate.scope;
        let mut sides = self.sides.clone().map(BTreeSet::from_iter);
        for &index in ground.near {
            let pair = &ground.pairs[index];
            let family = pair.transport.0;
            let ports = self.tests.ports_of(pair.transport.1).intersection(&pair.planned);
            let speaks = candidate.holds(pair.transport).is_some()
                && scope.holds(pair.src, pair.dst, family, ground.subnets);
            if !speaks || ports.is_empty() {
                continue;
            }
            let is_under =
                |cell: &Cell| pattern.may_hide_behind(cell) || cell.ports.intersection(&ports).is_empty();
            if pair.cells.iter().all(is_under) {
                let is_back = !scope.is_forward(pair.src, pair.dst, family, ground.subnets);
                sides[usize::from(is_back)].insert(pair.src);
                sides[usize::from(!is_back)].insert(pair.dst);
            }
        }
        self.sides = sides.map(|side| side.into_iter().collect());
    }

    /// Whether it speaks of every pair that crosses from one subnet into another.
    pub(super) fn is_across_subnets(&self) -> bool {
        self.scope.is_some_and(|scope| scope.from == Party::AcrossSubnets)
    }

    /// Whether these ports of this direction are what it speaks of.
    pub(super) fn speaks_of(&self, pair: &PairVerdict, ports: &PortSet, subnets: &Subnets) -> bool {
        let (family, protocol) = pair.transport;
        let own = self.tests.ports_of(protocol);
        self.is_about(pair.src, pair.dst, family, subnets) && ports.difference(&own).is_empty()
    }

    /// Whether it speaks of this direction between two nodes.
    pub(super) fn is_about(&self, src: NodeId, dst: NodeId, family: Family, subnets: &Subnets) -> bool {
        let holds = |scope: Scope| scope.holds(src, dst, family, subnets);
        self.tests.families().contains(&family) && self.scope.is_some_and(holds)
    }
}
