//! Which test comes next: targets take turns, within the rates of the node and of each pair.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
    time::Duration,
};

use plumbline_measure::time::Timestamp;
use plumbline_model::{
    id::NodeId,
    port::{PortRange, PortSet},
};

use crate::runner::rates::{Limits, Rates, Turn};

/// The tests that wait. Takes the time, which is that of [`Rates::now`], and opens nothing.
///
/// Invariant: a target with work stands in exactly one of `ready` and `asleep`, a target without work in none.
#[derive(Debug)]
pub(super) struct Queue {
    targets: Vec<Waiting>,
    ready: VecDeque<usize>,
    asleep: BinaryHeap<Reverse<(Timestamp, usize)>>,
    rates: Arc<Rates>,
    limits: Limits,
}

/// What is left to ask of one target.
#[derive(Debug)]
struct Waiting {
    /// Whose ports: several targets may be of one peer, and share its rate.
    peer: NodeId,
    ports: Ports,
    /// Tests under way whose next attempt is due, by their slot. They go before new tests, so that the attempts of one
    /// test stay close together.
    again: VecDeque<usize>,
    queued: bool,
    /// It was given a time of its own, and does not wait for its turn as well.
    has_its_time: bool,
}

/// The ports of one target, as they are handed in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portion<'a> {
    /// Whose.
    pub(super) peer: NodeId,
    /// Which.
    pub(super) ports: &'a PortSet,
    /// How long they wait from now on.
    pub(super) delay: Duration,
}

/// What to launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The first attempt of a test.
    New {
        /// Index of the target.
        target: usize,
        /// Port to ask.
        port: u16,
    },
    /// The next attempt of a test that holds a slot.
    Again {
        /// Its slot.
        slot: usize,
    },
    /// Nothing before this time.
    At(Timestamp),
    /// Nothing is waiting.
    Nothing,
}

impl Queue {
    /// Ports of targets. `offset` says who is asked first, so that the sources of a swarm do not all begin with the same
    /// peer.
    pub(super) fn new<'a>(
        targets: impl Iterator<Item = Portion<'a>>,
        offset: usize,
        rates: Arc<Rates>,
        limits: Limits,
    ) -> Self {
        let begins = rates.now();
        let mut asleep = BinaryHeap::new();
        let targets: Vec<Waiting> = (0..)
            .zip(targets)
            .map(|(index, portion)| {
                let is_later = !portion.delay.is_zero() && !portion.ports.is_empty();
                if is_later {
                    asleep.push(Reverse((begins + portion.delay, index)));
                }
                Waiting {
                    peer: portion.peer,
                    ports: Ports::new(portion.ports),
                    again: VecDeque::new(),
                    queued: is_later,
                    has_its_time: is_later,
                }
            })
            .collect();
        let mut queue = Self {
            ready: VecDeque::with_capacity(targets.len()),
            asleep,
            rates,
            limits,
            targets,
        };
        let count = queue.targets.len();
        for index in 0..count {
            queue.enqueue((index + offset) % count);
        }
        queue
    }

    /// Takes the next attempt. New tests are left alone unless `room_for_new`; further attempts never are.
    pub(super) fn next(&mut self, now: Timestamp, room_for_new: bool) -> Next {
        while let Some(Reverse((at, index))) = self.asleep.peek().copied() {
            if at > now {
                break;
            }
            self.asleep.pop();
            if self.targets[index].has_its_time {
                self.ready.push_front(index);
            } else {
                self.ready.push_back(index);
            }
        }
        for _ in 0..self.ready.len() {
            let Some(index) = self.ready.pop_front() else {
                break;
            };
            let target = &self.targets[index];
            if target.again.is_empty() && !room_for_new {
                self.ready.push_back(index);
                continue;
            }
            match self.rates.take(target.peer, &self.limits, now) {
                Turn::Granted => return self.take(index),
                Turn::Pair(at) => self.asleep.push(Reverse((at, index))),
                Turn::Node(at) => {
                    self.ready.push_front(index);
                    return Next::At(at);
                }
            }
        }
        match self.asleep.peek() {
            // Whoever stands in `ready` waits for room and not for the time.
            Some(Reverse((at, _))) => Next::At(*at),
            None => Next::Nothing,
        }
    }

    /// Asks again for the test in this slot.
    pub(super) fn again(&mut self, target: usize, slot: usize) {
        self.targets[target].again.push_back(slot);
        self.enqueue(target);
    }

    /// Whether nothing is waiting.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.asleep.is_empty()
    }

    /// Gives up what is waiting: the ports of each target that were never asked.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = (usize, u16)> + '_ {
        self.ready.clear();
        self.asleep.clear();
        self.targets.iter_mut().enumerate().flat_map(|(index, target)| {
            std::iter::from_fn(move || target.ports.next().map(|port| (index, port)))
        })
    }

    fn take(&mut self, index: usize) -> Next {
        let target = &mut self.targets[index];
        target.queued = false;
        let next = match target.again.pop_front() {
            Some(slot) => Next::Again { slot },
            None => match target.ports.next() {
                Some(port) => Next::New { target: index, port },
                None => Next::Nothing,
            },
        };
        self.enqueue(index);
        next
    }

    fn enqueue(&mut self, index: usize) {
        let target = &mut self.targets[index];
        if !target.queued && (!target.again.is_empty() || !target.ports.is_empty()) {
            target.queued = true;
            self.ready.push_back(index);
        }
    }
}

/// The ports of a set, one by one, in a few octets.
#[derive(Debug)]
struct Ports {
    ranges: std::vec::IntoIter<PortRange>,
    current: std::ops::RangeInclusive<u16>,
}

impl Ports {
    fn new(ports: &PortSet) -> Self {
        let mut ports = Self {
            ranges: ports.ranges().to_vec().into_iter(),
            // An empty range: `advance` finds the first one.
            current: std::ops::RangeInclusive::new(1, 0),
        };
        ports.advance();
        ports
    }

    fn is_empty(&self) -> bool {
        self.current.is_empty()
    }

    fn advance(&mut self) {
        if self.current.is_empty()
            && let Some(range) = self.ranges.next()
        {
            self.current = range.first()..=range.last();
        }
    }
}

impl Iterator for Ports {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let port = self.current.next();
        self.advance();
        port
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn queue(sets: &[&str], offset: usize, node: u32, pair: u32) -> Queue {
        let sets: Vec<PortSet> = sets.iter().map(|set| set.parse().unwrap()).collect();
        let targets = (0..).zip(&sets).map(|(last, ports)| portion(last, ports));
        Queue::new(targets, offset, Arc::default(), Limits::new(node, pair))
    }

    fn portion(peer: u8, ports: &PortSet) -> Portion<'_> {
        Portion {
            peer: self::peer(peer),
            ports,
            delay: Duration::ZERO,
        }
    }

    fn peer(last: u8) -> NodeId {
        IpAddr::from([10, 0, 0, last]).into()
    }

    fn drain(queue: &mut Queue) -> Vec<(Timestamp, usize, u16)> {
        let (mut now, mut taken) = (Timestamp::from_nanos(1), Vec::new());
        loop {
            match queue.next(now, true) {
                Next::New { target, port } => taken.push((now, target, port)),
                Next::At(at) => {
                    assert!(at > now);
                    now = at;
                }
                Next::Nothing => return taken,
                Next::Again { slot } => panic!("nobody asked again for {slot}"),
            }
        }
    }

    fn spans(taken: &[(Timestamp, usize, u16)]) -> Duration {
        taken[taken.len() - 1].0 - taken[0].0
    }

    #[test]
    fn targets_take_turns_and_every_port_comes_once() {
        let taken = drain(&mut queue(&["1-3", "7", "65534-65535"], 1, 0, 0));
        let order: Vec<(usize, u16)> = taken.iter().map(|(_, target, port)| (*target, *port)).collect();
        assert_eq!(order, [(1, 7), (2, 65534), (0, 1), (2, 65535), (0, 2), (0, 3)]);
    }

    #[test]
    fn a_pair_is_asked_at_its_rate_however_many_wait() {
        let taken = drain(&mut queue(&["1-21"], 0, 0, 20));
        assert_eq!(spans(&taken), Duration::from_secs(1));
    }

    #[test]
    fn a_pair_is_asked_at_its_rate_over_how_many_targets_its_ports_ever_spread() {
        let responders: PortSet = "1-11".parse().unwrap();
        let services: PortSet = "22,10250-10258".parse().unwrap();
        let targets = [portion(2, &responders), portion(2, &services)].into_iter();
        let mut queue = Queue::new(targets, 0, Arc::default(), Limits::new(0, 20));
        let taken = drain(&mut queue);
        assert_eq!((taken.len(), spans(&taken)), (21, Duration::from_secs(1)));
    }

    #[test]
    fn the_node_keeps_its_rate_over_all_pairs() {
        let taken = drain(&mut queue(&["1-50", "1-50", "1-50", "1-50"], 0, 100, 0));
        assert_eq!(spans(&taken), Duration::from_millis(1990));
    }

    #[test]
    fn a_slow_pair_does_not_hold_up_the_others() {
        let mut queue = queue(&["1-3", "1-3"], 0, 0, 1);
        let now = Timestamp::from_nanos(1);
        assert!(matches!(queue.next(now, true), Next::New { target: 0, port: 1 }));
        assert!(matches!(queue.next(now, true), Next::New { target: 1, port: 1 }));
        assert_eq!(queue.next(now, true), Next::At(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_target_that_waits_for_its_time_comes_then_and_before_the_others() {
        let (early, late): (PortSet, PortSet) = ("1-3".parse().unwrap(), "22".parse().unwrap());
        let delayed = Portion {
            delay: Duration::from_secs(1),
            ..portion(2, &late)
        };
        let rates = Arc::<Rates>::default();
        let begun = rates.now();
        let targets = [delayed, portion(3, &early)].into_iter();
        let mut queue = Queue::new(targets, 0, rates, Limits::new(0, 0));
        assert_eq!(queue.next(begun, true), Next::New { target: 1, port: 1 });
        assert_eq!(queue.next(begun, true), Next::New { target: 1, port: 2 });
        let later = begun + Duration::from_secs(2);
        assert_eq!(queue.next(later, true), Next::New { target: 0, port: 22 });
        assert_eq!(queue.next(later, true), Next::New { target: 1, port: 3 });
    }

    #[test]
    fn further_attempts_go_before_new_tests_and_need_no_room() {
        let mut queue = queue(&["1-3"], 0, 0, 0);
        assert_eq!(queue.next(Timestamp::ZERO, false), Next::Nothing);
        queue.again(0, 42);
        assert_eq!(queue.next(Timestamp::ZERO, false), Next::Again { slot: 42 });
        assert_eq!(queue.next(Timestamp::ZERO, false), Next::Nothing);
        assert!(!queue.is_empty());
        assert_eq!(
            queue.next(Timestamp::ZERO, true),
            Next::New { target: 0, port: 1 }
        );
    }

    #[test]
    fn what_is_abandoned_is_named_once() {
        let mut queue = queue(&["1-2", "9"], 0, 0, 0);
        queue.next(Timestamp::ZERO, true);
        assert_eq!(queue.abandon().collect::<Vec<_>>(), [(0, 2), (1, 9)]);
        assert!(queue.is_empty());
        assert_eq!(queue.next(Timestamp::ZERO, true), Next::Nothing);
    }
}
