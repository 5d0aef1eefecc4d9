//! How fast this node asks: connections (or datagrams) per second of the node and of each pair, over everything that its
//! probe does at once.
//!
//! A limit is a promise to the network (an intrusion detection, a switch), and the network sees one node, whatever the
//! assignment, the runner, the family, the transport or the look that a packet belongs to. So there is one [`Rates`] for a
//! probe, every runner asks it before each packet that opens a test, and nobody keeps a count of its own:
//!
//! ```text
//!   assignment 7: TCP runner --.                      .-- node
//!   assignment 7: UDP runner --+--> take(peer, now) --+-- pair to 10.0.0.2
//!   assignment 8: TCP runner --'                      '-- pair to 10.0.0.3
//! ```
//!
//! Assignments bring limits of their own ([`Limits`]). Each packet costs its own assignment's interval, on the node's level
//! and on the pair's: so every assignment keeps its limits, all together never exceed the highest, and a pair that somebody
//! asks once a second, because its answers are rate-limited, is left alone by the others for that second.
//!
//! The clock is the monotonic one, from the making of the value: [`Rates::now`]. It is not a runner's clock, which may leave
//! out the time for which its thread stood still.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use plumbline_measure::{
    pacer::{Level, Permit, Rate},
    time::Timestamp,
};
use plumbline_model::id::NodeId;

use crate::{
    errand::{DialPace, LinkPace, PathPace},
    guard::Policy,
};

/// What this node has spent so far. Shared by all runners of a probe.
#[derive(Debug)]
pub struct Rates {
    origin: Instant,
    levels: Mutex<Levels>,
    link_pace: LinkPace,
    dial_pace: DialPace,
    path_pace: PathPace,
}

#[derive(Debug, Default)]
struct Levels {
    node: Level,
    /// Bounded by the roster: only its members are asked.
    pairs: BTreeMap<NodeId, Level>,
}

/// What one assignment may spend.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    node: Rate,
    pair: Rate,
}

/// Whether a packet may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now; it has been counted.
    Granted,
    /// No packet to anybody before this time.
    Node(Timestamp),
    /// No packet to this peer before this time.
    Pair(Timestamp),
}

// === impl Rates ===

impl Rates {
    /// Nothing spent so far, under the policy of this host.
    pub fn new(policy: &Policy) -> Self {
        Self {
            origin: Instant::now(),
            levels: Mutex::default(),
            link_pace: LinkPace::new(),
            dial_pace: DialPace::new(policy.max_rate()),
            path_pace: PathPace::new(),
        }
    }

    /// How fast ARP and ND may be sent: another limit, as another device counts them.
    pub fn link_pace(&self) -> &LinkPace {
        &self.link_pace
    }

    /// How fast strangers may be asked.
    pub fn dial_pace(&self) -> &DialPace {
        &self.dial_pace
    }

    /// How fast the paths to members may be measured, over all errands: large packets, beside those of the port matrix.
    pub fn path_pace(&self) -> &PathPace {
        &self.path_pace
    }

    /// The time by which rates are kept.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Counts a packet to this peer, if both limits allow it now.
    pub fn take(&self, peer: NodeId, limits: &Limits, now: Timestamp) -> Turn {
        if limits.node.is_unlimited() && limits.pair.is_unlimited() {
            return Turn::Granted;
        }
        // Levels are single numbers: there is no half-written state that a panic elsewhere could have left.
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let Levels { node, pairs } = &mut *levels;
        if let Permit::At(at) = node.ready_at(now, &limits.node) {
            return Turn::Node(at);
        }
        let pair = pairs.entry(peer).or_default();
        if let Permit::At(at) = pair.ready_at(now, &limits.pair) {
            return Turn::Pair(at);
        }
        node.spend(now, &limits.node);
        pair.spend(now, &limits.pair);
        Turn::Granted
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self::new(&Policy::default())
    }
}

// === impl Limits ===

impl Limits {
    /// Packets per second of the node and of each ordered pair; 0 means no limit.
    pub fn new(per_node: u32, per_pair: u32) -> Self {
        Self {
            node: Rate::new(per_node, burst(per_node)),
            pair: Rate::new(per_pair, burst(per_pair)),
        }
    }
}

/// A hundredth of a second's worth at once: timers are not exact to less than that on a busy machine, and a rate that is
/// small enough to be one for switches and intrusion detection (20 a second) is kept exactly.
fn burst(per_second: u32) -> u32 {
    (per_second / 100).max(1)
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;

    fn peer(last: u8) -> NodeId {
        std::net::IpAddr::from(Ipv4Addr::new(10, 0, 0, last)).into()
    }

    const NOW: Timestamp = Timestamp::from_nanos(1);

    #[test]
    fn a_pair_is_one_pair_whoever_asks_it() {
        let rates = Rates::default();
        let (an_assignment, another) = (Limits::new(0, 20), Limits::new(0, 20));
        assert_eq!(rates.take(peer(2), &an_assignment, NOW), Turn::Granted);
        let next = NOW + Duration::from_millis(50);
        assert_eq!(rates.take(peer(2), &another, NOW), Turn::Pair(next));
        assert_eq!(rates.take(peer(3), &another, NOW), Turn::Granted);
        assert_eq!(rates.take(peer(2), &another, next), Turn::Granted);
    }

    #[test]
    fn the_node_s_limit_holds_over_its_pairs_and_a_refused_packet_costs_nothing() {
        let rates = Rates::default();
        let limits = Limits::new(10, 1);
        assert_eq!(rates.take(peer(2), &limits, NOW), Turn::Granted);
        let next = NOW + Duration::from_millis(100);
        assert_eq!(rates.take(peer(3), &limits, NOW), Turn::Node(next));
        assert_eq!(
            rates.take(peer(2), &limits, next),
            Turn::Pair(NOW + Duration::from_secs(1))
        );
        assert_eq!(rates.take(peer(3), &limits, next), Turn::Granted);
    }

    #[test]
    fn a_pair_that_is_asked_slowly_is_left_alone_meanwhile() {
        let rates = Rates::default();
        let (fast, slow) = (Limits::new(0, 20), Limits::new(0, 1));
        assert_eq!(rates.take(peer(2), &slow, NOW), Turn::Granted);
        assert_eq!(
            rates.take(peer(2), &fast, NOW + Duration::from_millis(500)),
            Turn::Pair(NOW + Duration::from_secs(1))
        );
    }
}
