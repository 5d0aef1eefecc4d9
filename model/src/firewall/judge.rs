//! A packet filter asked about many packets: packets that it cannot tell apart are walked once, and all walks together are
//! bounded.
//!
//! ```text
//! packet ──► its ports' first likes ──► known? ──► the judgement
//!                                         │ no
//!                                         ▼
//!                                 budget left? ──► walk, remember
//!                                         │ no
//!                                         ▼
//!                                      unknown
//! ```
//!
//! What is said depends on the packets asked about and on their order alone, never on time: whoever asks the same again is
//! told the same.

use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
};

use super::{Judgement, Packet, Ruleset, alike::Classes, evaluate, index::Index};
use crate::port::{Family, PortRange};

/// A ruleset with a memory of what it said.
#[derive(Debug)]
pub struct Judge<'a> {
    index: Index<'a>,
    ipv4: OnceCell<Classes>,
    ipv6: OnceCell<Classes>,
    memory: RefCell<Memory>,
}

#[derive(Debug)]
struct Memory {
    known: BTreeMap<Packet, Judgement>,
    /// What may still be spent on walks.
    steps_left: usize,
}

impl<'a> Judge<'a> {
    /// Who judges by a ruleset.
    pub fn new(ruleset: &'a Ruleset) -> Self {
        Self::with_budget(ruleset, MAX_STEPS_ALTOGETHER)
    }

    pub(super) fn with_budget(ruleset: &'a Ruleset, steps_left: usize) -> Self {
        Self {
            index: Index::of(ruleset),
            ipv4: OnceCell::new(),
            ipv6: OnceCell::new(),
            memory: RefCell::new(Memory {
                known: BTreeMap::new(),
                steps_left,
            }),
        }
    }

    /// What [`Ruleset::evaluate`] says, as long as the budget lasts; [`Judgement::Unknown`] of new packets after that.
    pub fn evaluate(&self, packet: &Packet) -> Judgement {
        let packet = self.first_like(packet);
        let mut memory = self.memory.borrow_mut();
        if let Some(judgement) = memory.known.get(&packet) {
            return judgement.clone();
        }
        if memory.steps_left == 0 {
            return Judgement::Unknown {
                place: None,
                why: TOO_LARGE.to_owned(),
            };
        }
        let (judgement, steps) = evaluate::evaluate(&self.index, &packet);
        // The last walk may take more than is left: it is bounded by itself.
        memory.steps_left = memory.steps_left.saturating_sub(steps + STEPS_A_WALK);
        memory.known.insert(packet, judgement.clone());
        judgement
    }

    /// What becomes of packets that differ from this one in their destination port alone, by ranges that together are all
    /// ports from 1, ascending; `None` if the ruleset treats every port by itself.
    pub fn by_port(&self, packet: &Packet) -> Option<Vec<(PortRange, Judgement)>> {
        let Classes::From(starts) = self.classes(packet.family()) else {
            return None;
        };
        let firsts: Vec<u16> = std::iter::once(1)
            .chain(starts.iter().copied().filter(|start| *start > 1))
            .collect();
        let lasts = firsts[1..].iter().map(|next| next - 1).chain([u16::MAX]);
        let ranges = firsts.iter().zip(lasts);
        ranges
            .map(|(first, last)| {
                let packet = Packet {
                    destination_port: Some(*first),
                    ..packet.clone()
                };
                Some((PortRange::new(*first, last)?, self.evaluate(&packet)))
            })
            .collect()
    }

    /// How many walks were made and are remembered.
    #[cfg(test)]
    pub(super) fn walks(&self) -> usize {
        self.memory.borrow().known.len()
    }

    fn classes(&self, family: Family) -> &Classes {
        let classes = match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        };
        classes.get_or_init(|| Classes::of(&self.index, family))
    }

    /// The packet that stands for all that are told apart from this one by no rule.
    fn first_like(&self, packet: &Packet) -> Packet {
        let classes = self.classes(packet.family());
        let mut first = packet.clone();
        for port in [&mut first.source_port, &mut first.destination_port] {
            *port = port.map(|port| classes.first_like(port));
        }
        first
    }
}

/// Why nothing is said any more, as the end of "it cannot be told, since ...".
const TOO_LARGE: &str = "its ruleset was too large to be judged whole";
/// What all walks through one ruleset may take: a thousand walks through a large one of several thousand rules.
const MAX_STEPS_ALTOGETHER: usize = 5_000_000;
/// A walk's own worth, which also bounds how many judgements are remembered: some fifty thousand.
const STEPS_A_WALK: usize = 100;
