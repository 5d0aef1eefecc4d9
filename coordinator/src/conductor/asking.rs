//! Whom each source asks what, and how: the first look, the narrowing of boundaries, the second look.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use plumbline_model::{errand, id::NodeId, plan::Target, port::Family};
use plumbline_proto::convert::{Ask, Work};

use super::{
    Conductor, Phase, budget,
    clock::Awake,
    event::Action,
    headroom::within_headroom,
    narrowing::{Asked, MOST_ROUNDS, Sight},
    responders::Split,
    second_look::{Company, SecondLook, add_target},
};

/// What the sources ask in one phase.
pub(super) type Asks = Vec<(NodeId, Ask)>;

/// How a set of tests is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// At the run's pace.
    First,
    /// At the run's pace, while both ends capture.
    Second,
    /// As slowly as a limit of ICMP errors needs it, while both ends capture.
    SecondSlow,
}

impl Conductor {
    pub(super) fn begin_asking(&mut self, now: Awake) {
        let targets = self.duties.0.iter();
        let targets = targets
            .map(|(node, duty)| (*node, duty.targets.clone()))
            .collect();
        let asks = self.prepare(targets, Manner::First);
        self.ask(now, Phase::Asking, asks);
        self.give_errands(errand::Moment::Beside);
    }

    /// Another round of narrowing, or what comes after.
    pub(super) fn narrow(&mut self, now: Awake) {
        let round = self.next_round();
        for (pair, ports) in &round {
            self.narrowed.entry(*pair).or_default().extend(ports);
        }
        let mut targets: BTreeMap<NodeId, Vec<Target>> = BTreeMap::new();
        for (pair, ports) in round {
            add_target(targets.entry(pair.0).or_default(), pair, ports);
        }
        let asks = self.prepare(targets, Manner::First);
        if asks.is_empty() {
            self.begin_examining(now);
            return;
        }
        self.rounds += 1;
        self.ask(now, Phase::Narrowing, asks);
    }

    fn next_round(&self) -> Asked {
        if self.rounds >= MOST_ROUNDS {
            return Asked::new();
        }
        self.shared.next_round(&Sight {
            failures: &self.failures,
            asked: &self.narrowed,
            bound: &|node, transport| self.responders.bound(node, transport),
            can_ask: &|(src, dst, (family, _))| self.speaks(src, family) && self.speaks(dst, family),
        })
    }

    pub(super) fn begin_looking(&mut self, now: Awake) {
        let seat = |node| self.seats.get(&node).filter(|seat| seat.takes_part());
        let look = SecondLook::choose(
            &self.failures,
            &self.shared,
            &Company {
                is_here: &|node| seat(node).is_some(),
                captures: &|node| seat(node).is_some_and(|seat| seat.captures),
                is_members: &|address| {
                    let mut members = self.seats.values().filter_map(|seat| seat.member.as_ref());
                    members.any(|member| member.addresses.contains(&address))
                },
            },
        );
        if look.is_empty() {
            self.begin_releasing_arm(now);
            return;
        }
        let SecondLook {
            asks,
            slow_asks,
            watches,
        } = look;
        self.asks_again = self.prepare(asks, Manner::Second);
        self.asks_again
            .extend(self.prepare(slow_asks, Manner::SecondSlow));
        self.enter(now, Phase::Looking, budget::ARMING);
        for (node, watches) in watches {
            self.assign(node, Work::Look(watches));
        }
    }

    pub(super) fn begin_asking_again(&mut self, now: Awake) {
        let asks = std::mem::take(&mut self.asks_again);
        self.ask(now, Phase::AskingAgain, asks);
    }

    /// What sources are told to ask, without what cannot be asked or must not be.
    fn prepare(&self, targets: BTreeMap<NodeId, Vec<Target>>, manner: Manner) -> Asks {
        let mut asks = Asks::new();
        for (source, targets) in targets {
            let askable = self.askable(source, targets);
            let Split { ours, theirs } = self.responders.split(askable, &self.duties);
            if ours.is_empty() && theirs.is_empty() {
                continue;
            }
            let slow = manner == Manner::SecondSlow;
            let ask = Ask {
                targets: ours,
                live_services: theirs,
                attempts: if slow { 1 } else { self.pace.attempts },
                attempt_timeout: self.pace.attempt_timeout,
                max_rate_node: self.pace.max_rate_node,
                max_rate_pair: if slow {
                    Some(ONE_A_SECOND)
                } else {
                    self.pace.max_rate_pair
                },
                second_look: manner != Manner::First,
            };
            asks.push((source, ask));
        }
        asks
    }

    /// Leaves out whoever is not on the roster or was lost, and families of which either end has no address: what is not asked
    /// is not measured, and the verdict says why.
    fn askable(&self, source: NodeId, mut targets: Vec<Target>) -> Vec<Target> {
        for target in &mut targets {
            let family = target.family;
            if self.speaks(source, family) {
                target.destinations.retain(|node| self.speaks(*node, family));
            } else {
                target.destinations.clear();
            }
        }
        targets.retain(|target| !target.destinations.is_empty());
        targets
    }

    /// Whether a node takes part and has an address of a family.
    fn speaks(&self, node: NodeId, family: Family) -> bool {
        let seat = self.seats.get(&node).filter(|seat| seat.takes_part());
        seat.is_some_and(|seat| seat.speaks(family))
    }

    fn ask(&mut self, now: Awake, phase: Phase, asks: Asks) {
        let table = |node| self.seats.get(&node).and_then(|seat| seat.conntrack);
        let (asks, tight) = within_headroom(asks, &table);
        for tight in tight {
            if self.told_tight.insert(tight.node) {
                self.actions.push_back(Action::Tight(tight));
            }
        }
        let slowest = asks.iter().map(|(_, ask)| budget::longest(ask)).max();
        let budget = budget::OVERHEAD + slowest.unwrap_or(Duration::ZERO);
        if self.phase == phase {
            self.phase_deadline = now.plus(budget);
        } else {
            self.enter(now, phase, budget);
        }
        for (node, ask) in asks {
            self.assign(node, Work::Ask(ask));
        }
    }
}

/// A limit of ICMP errors lets at least one a second through to a peer (Linux, `icmp_ratelimit`).
const ONE_A_SECOND: NonZeroU32 = NonZeroU32::MIN;
