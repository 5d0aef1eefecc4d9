//! One path from beginning to end.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use plumbline_measure::{
    hello::PairKey,
    path::{Search, Tally, Trial},
    stamp::session::{SessionId, SessionKey},
};
use plumbline_model::{
    errand::PathTarget,
    observation::{EchoSeen, FlowsSeen, MAX_SIZES, MAX_TOLD, PathMethod, PathSeen, SizeSeen, TooBig},
    port::Family,
};
use plumbline_sys::{
    Errno,
    udp::{Handling, UdpSocket},
};

use super::{
    Pace,
    line::{EchoLine, Heard, Line, StampLine, Unsent},
};

/// A path that is to be measured.
pub(super) struct Way<'a> {
    pub(super) target: &'a PathTarget,
    pub(super) address: IpAddr,
    pub(super) local: Option<IpAddr>,
    pub(super) key: PairKey,
    pub(super) session: SessionId,
    pub(super) mtus: &'a [(IpAddr, u32)],
    pub(super) pace: &'a Pace<'a>,
    /// Datagrams of the largest size that the rate has time for.
    pub(super) datagrams: u32,
    pub(super) ends_at: Instant,
}

impl Way<'_> {
    /// Measures it. `None` if it was told to stop first.
    pub(super) fn walk(&self) -> Option<PathSeen> {
        let mut seen = PathSeen::not_measured(self.target.node, self.target.family, PathMethod::Nothing);
        let (echo, mut echo_line) = self.echo();
        seen.echo = echo;
        let found = self.find();
        if self.pace.is_over() {
            return None;
        }
        seen.mtu = self.interface_mtu();
        let full = seen.mtu.unwrap_or(USUAL_MTU).min(LARGEST);
        match (found, &mut echo_line) {
            (Some((port, mut line)), _) => {
                seen.by = PathMethod::Stamp { port };
                seen.hops = line.hops();
                let carries = self.search(&mut line, full, &mut seen);
                if carries == Some(full) {
                    seen.fragments = self.fragments(port, full);
                    seen.flows = self.flows(port, full);
                }
            }
            (None, Some(line)) if echo.answered > 0 => {
                seen.by = PathMethod::Echo;
                self.search(line, full, &mut seen);
            }
            (None, _) => {}
        }
        (!self.pace.stop.is_asked_for()).then_some(seen)
    }

    /// Small echo requests until one is answered.
    fn echo(&self) -> (EchoSeen, Option<EchoLine>) {
        let mut seen = EchoSeen::default();
        let mut line = match EchoLine::open(self.address, self.local) {
            Ok(line) => line,
            Err(errno) => {
                seen.denied = matches!(errno, Errno::ACCESS | Errno::PERM);
                return (seen, None);
            }
        };
        for _ in 0..ATTEMPTS {
            if !self.pace.wait() {
                break;
            }
            let Ok(sequence) = line.send(self.small()) else {
                self.nap(ATTEMPT_TIME);
                continue;
            };
            seen.sent += 1;
            let is_answer = |heard: &Heard| *heard == Heard::Answer(sequence);
            if self.listen_for(&mut line, ATTEMPT_TIME, |heard| heard.iter().any(is_answer)) {
                seen.answered += 1;
                break;
            }
        }
        (seen, Some(line))
    }

    /// The first of the ports, in the order of the errand, whose responder answers a small packet.
    fn find(&self) -> Option<(u16, StampLine)> {
        let mut line = self.stamp_line(Handling::Whole).ok()?;
        let mut ports = self.target.ports.clone();
        for _ in 0..ATTEMPTS {
            for port in &ports {
                if !self.pace.wait() {
                    return None;
                }
                line.turn_to(*port, SessionKey::derive(&self.key, *port));
                // What cannot leave now may leave later.
                let _ = line.send(self.small());
            }
            let mut answered = Vec::new();
            let until = Instant::now() + ATTEMPT_TIME;
            loop {
                let before = Instant::now();
                for heard in line.listen(until.saturating_duration_since(before).min(SLICE)) {
                    match heard {
                        Heard::Answer(sequence) => answered.extend(line.port_of(sequence)),
                        Heard::Refused(port) => ports.retain(|other| *other != port),
                        Heard::TooBig(_) => {}
                    }
                }
                let is_settled = ports.first().is_none_or(|first| answered.contains(first));
                if is_settled || before >= until || self.pace.is_over() {
                    break;
                }
            }
            if let Some(port) = ports.iter().find(|port| answered.contains(port)).copied() {
                line.turn_to(port, SessionKey::derive(&self.key, port));
                return Some((port, line));
            }
            if ports.is_empty() {
                return None;
            }
        }
        None
    }

    /// Searches the largest size that passes, and returns it.
    fn search(&self, line: &mut dyn Line, full: u32, seen: &mut PathSeen) -> Option<u32> {
        let mut search = Search::new(full, self.small());
        while let Some(octets) = search.next() {
            if Instant::now() > self.ends_at {
                break;
            }
            let Some(trial) = self.trial(line, octets, &mut seen.told) else {
                break;
            };
            if trial.is_small_lost {
                search.note_small_lost();
            }
            search.note(octets, trial.came_to);
        }
        let carries = search.passes();
        seen.sizes = worth_telling(&search, full)
            .into_iter()
            .map(|(octets, tally)| size_seen(octets, &tally))
            .collect();
        seen.told.truncate(MAX_TOLD);
        carries
    }

    /// A large packet and a small one behind it. `None` if it is over, or nothing can be sent.
    fn trial(&self, line: &mut dyn Line, octets: u32, told: &mut Vec<TooBig>) -> Option<Outcome> {
        if !(self.pace.wait() && self.pace.wait()) {
            return None;
        }
        let outcome = |came_to| {
            Some(Outcome {
                came_to,
                is_small_lost: false,
            })
        };
        let large = match line.send(octets) {
            Ok(sequence) => sequence,
            Err(Unsent::TooBig(mtu)) => return outcome(Trial::Refused(mtu)),
            Err(Unsent::Otherwise) => {
                // It says nothing of the size.
                self.nap(SLICE);
                return outcome(Trial::LostBoth);
            }
        };
        let small = line.send(self.small()).ok();
        let started = Instant::now();
        let mut until = started + TRIAL_TIME;
        let mut is_small_answered = false;
        loop {
            let before = Instant::now();
            for heard in line.listen(until.saturating_duration_since(before).min(SLICE)) {
                match heard {
                    Heard::Answer(sequence) if sequence == large => return outcome(Trial::Passed),
                    Heard::Answer(sequence) if Some(sequence) == small && !is_small_answered => {
                        is_small_answered = true;
                        // Whoever overtakes by more than that is no packet of the same way.
                        until = Instant::now() + GRACE + started.elapsed();
                    }
                    Heard::TooBig(error) => {
                        if !told.contains(&error) && told.len() < MAX_TOLD {
                            told.push(error);
                        }
                        if error.mtu < octets {
                            return outcome(Trial::Told(error.mtu));
                        }
                    }
                    Heard::Answer(_) | Heard::Refused(_) => {}
                }
            }
            if self.pace.is_over() {
                return None;
            }
            // What had arrived before the end has been taken, however long this thread was kept from running.
            if before >= until {
                break;
            }
        }
        match is_small_answered {
            true => outcome(Trial::LostAlone),
            false => outcome(Trial::LostBoth),
        }
    }

    /// A datagram that has to leave in fragments.
    fn fragments(&self, port: u16, full: u32) -> Option<SizeSeen> {
        let mut line = self.stamp_line(Handling::Fragmented).ok()?;
        line.turn_to(port, SessionKey::derive(&self.key, port));
        let octets = FRAGMENTED.max(full + FRAGMENTED_BEYOND);
        let mut tally = Tally::default();
        for _ in 0..FRAGMENTED_ATTEMPTS {
            let trial = self.trial(&mut line, octets, &mut Vec::new())?;
            tally.note(trial.came_to);
            if trial.came_to == Trial::Passed || Instant::now() > self.ends_at {
                break;
            }
        }
        Some(size_seen(octets, &tally))
    }

    /// Many datagrams of the largest size, a few at a time, from one source port after the other; then those source ports again
    /// that lost any, one datagram at a time with a small one behind it.
    fn flows(&self, port: u16, octets: u32) -> Option<FlowsSeen> {
        let mut seen = FlowsSeen {
            octets,
            flows: FLOWS,
            sent: 0,
            answered: 0,
            again_sent: 0,
            again_answered: 0,
            beside_sent: 0,
            beside_answered: 0,
        };
        for flow in 0..FLOWS {
            let mut line = self.stamp_line(Handling::Whole).ok()?;
            line.turn_to(port, SessionKey::derive(&self.key, port));
            let share = self.datagrams / FLOWS + u32::from(flow < self.datagrams % FLOWS);
            let answered = self.burst(&mut line, octets, share)?;
            seen.sent += share;
            seen.answered += answered;
            if answered == share {
                continue;
            }
            for _ in 0..AGAIN {
                let (large, small) = self.couple(&mut line, octets)?;
                seen.again_sent += 1;
                seen.beside_sent += 1;
                seen.again_answered += u32::from(large);
                seen.beside_answered += u32::from(small);
                if Instant::now() > self.ends_at {
                    break;
                }
            }
            if Instant::now() > self.ends_at {
                break;
            }
        }
        Some(seen)
    }

    /// A large packet and a small one behind it: whether each was answered. Unlike a trial it waits for the small one, too, so that
    /// the loss of both can be compared.
    fn couple(&self, line: &mut StampLine, octets: u32) -> Option<(bool, bool)> {
        if !(self.pace.wait() && self.pace.wait()) {
            return None;
        }
        let mut waiting: Vec<u32> = line.send(octets).into_iter().collect();
        let large = waiting.first().copied();
        let small = line.send(self.small()).ok();
        waiting.extend(small);
        let mut answered = Vec::new();
        let mut take = |heard: &[Heard]| {
            answered.extend(waiting.extract_if(.., |sequence| heard.contains(&Heard::Answer(*sequence))));
            !answered.is_empty()
        };
        let started = Instant::now();
        if self.listen_for(line, TRIAL_TIME, &mut take) {
            let grace = GRACE + started.elapsed();
            self.listen_for(line, grace, |heard| {
                take(heard);
                false
            });
        }
        let is_answered =
            |sequence: Option<u32>| sequence.is_some_and(|sequence| answered.contains(&sequence));
        Some((is_answered(large), is_answered(small)))
    }

    /// Sends so many datagrams, a few at a time, and returns how many were answered.
    fn burst(&self, line: &mut StampLine, octets: u32, count: u32) -> Option<u32> {
        let (mut sent, mut answered) = (0, 0);
        while sent < count {
            let mut waiting = Vec::new();
            for _ in 0..AT_ONCE.min(count - sent) {
                if !self.pace.wait() {
                    return None;
                }
                waiting.extend(line.send(octets).ok());
                sent += 1;
            }
            let expected = waiting.len();
            self.listen_for(line, BURST_TIME, |heard| {
                waiting.retain(|sequence| !heard.contains(&Heard::Answer(*sequence)));
                waiting.is_empty()
            });
            answered += u32::try_from(expected - waiting.len()).unwrap_or(0);
        }
        Some(answered)
    }

    /// Listens until what was heard is enough. False if the time is over first.
    fn listen_for(
        &self,
        line: &mut dyn Line,
        patience: Duration,
        mut is_enough: impl FnMut(&[Heard]) -> bool,
    ) -> bool {
        let until = Instant::now() + patience;
        loop {
            let before = Instant::now();
            let heard = line.listen(until.saturating_duration_since(before).min(SLICE));
            if is_enough(&heard) {
                return true;
            }
            if before >= until || self.pace.is_over() {
                return false;
            }
        }
    }

    fn stamp_line(&self, handling: Handling) -> Result<StampLine, Errno> {
        StampLine::open(self.address, self.local, self.session, handling)
    }

    /// A packet that every path carries.
    fn small(&self) -> u32 {
        match self.target.family {
            Family::Ipv4 => 140,
            Family::Ipv6 => 160,
        }
    }

    /// The MTU of the interface that packets to the peer leave by.
    fn interface_mtu(&self) -> Option<u32> {
        let source = UdpSocket::source_toward(SocketAddr::new(self.address, ANY_PORT)).ok()?;
        let own = self.mtus.iter().find(|(address, _)| *address == source);
        own.map(|(_, mtu)| *mtu)
    }

    fn nap(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.pace.is_over() {
            std::thread::sleep(SLICE);
        }
    }
}

/// What a trial came to, and whether the small packet was missed though the large one was not.
struct Outcome {
    came_to: Trial,
    is_small_lost: bool,
}

/// The sizes that somebody will want to see: the interface's, the largest that passed, the smallest that did not.
fn worth_telling(search: &Search, full: u32) -> Vec<(u32, Tally)> {
    let all: Vec<(u32, Tally)> = search.tallies().collect();
    if all.len() <= MAX_SIZES {
        return all;
    }
    let carries = search.passes().unwrap_or(0);
    let lost = all
        .iter()
        .map(|(octets, _)| *octets)
        .find(|octets| *octets > carries);
    all.into_iter()
        .filter(|(octets, _)| *octets == full || *octets == carries || Some(*octets) == lost)
        .collect()
}

fn size_seen(octets: u32, tally: &Tally) -> SizeSeen {
    SizeSeen {
        octets,
        sent: tally.sent,
        answered: tally.answered,
        lost_alone: tally.lost_alone,
        lost_both: tally.lost_both,
        refused: tally.refused,
        told: tally.told,
    }
}

/// Where the interface's MTU cannot be read, Ethernet's.
const USUAL_MTU: u32 = 1500;

/// The largest packet that is tried: jumbo frames; loopback and InfiniBand take more, and no overlay needs it.
const LARGEST: u32 = 9216;

/// Small packets until silence is believed, and how long each is waited for.
const ATTEMPTS: u32 = 3;
const ATTEMPT_TIME: Duration = Duration::from_millis(500);

/// How long a trial waits for anything: a round trip around the world, and a thread that waits for its turn.
const TRIAL_TIME: Duration = Duration::from_secs(1);

/// How long a large packet is waited for after the small one behind it was answered, beside the time that took.
const GRACE: Duration = Duration::from_millis(60);

/// How soon a worker notices that it has to stop.
const SLICE: Duration = Duration::from_millis(50);

/// The largest datagram without an extension of the kind that this is about: two fragments on Ethernet, and more than the
/// interface's MTU on every link.
const FRAGMENTED: u32 = 3028;
const FRAGMENTED_BEYOND: u32 = 1000;
const FRAGMENTED_ATTEMPTS: u32 = 6;

/// Source ports of the datagrams of the largest size: ECMP and LAG choose a member by them.
const FLOWS: u32 = 16;
/// So many at once: what all nodes together send to one is well below what a socket holds unread.
const AT_ONCE: u32 = 2;
/// How long those are waited for: what is late is asked again in the second round, and waiting for each that is lost would take longer
/// than a path may.
const BURST_TIME: Duration = Duration::from_millis(250);
/// Datagrams of a source port's second round.
const AGAIN: u32 = 10;

/// Nothing is sent to it: routing does not look at ports.
const ANY_PORT: u16 = 9;
