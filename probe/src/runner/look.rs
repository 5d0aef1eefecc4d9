//! The second look: while tests are made again, a capture counts what of them crosses this host's interfaces.
//!
//! The kernel shows a packet to a capture before the input filter drops it and after the output filter has let it pass. So a
//! question that was counted here arrived, whatever became of it then; and one that was not counted never left:
//!
//! ```text
//!   application -> output filter -> [capture] ~~~ path ~~~ [capture] -> input filter -> responder
//!     asks                          at End::Source       at End::Destination            answers
//! ```
//!
//! TCP's questions and answers are told by their flags, UDP's by what a STAMP packet says; whether a packet proves anything is
//! not asked here. A question that arrives by another interface than the one that was meant has arrived all the same.
//!
//! Zeros are the evidence, so every watched port gets a row. When the capture lost packets a zero may be an accident: then
//! only rows stand that have both a question and some reply to it, and the others are left out, which says "not measured".
//!
//! Counting is done on all interfaces, since an answer may come in by another one than the question went out by. A bond and
//! its slaves both show the same packet: counts are kept by interface, and the largest one is reported.
//!
//! One thread reads the socket. It ends within a tenth of a second after [`Look::finish`], or when the [`Look`] is dropped.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use plumbline_measure::stamp::packet::Maker;
use plumbline_model::{
    id::NodeId,
    observation::{End, Record, Seen},
    port::{Family, PortSet, Protocol},
};
use plumbline_sys::capture::{Capture, Captured, Direction, OpenError, Packet, Tuple};
use tracing::warn;

/// Tests of one peer to watch from this end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The peer.
    pub peer: NodeId,
    /// Every address that the peer may speak from or be spoken to at.
    pub addresses: Vec<IpAddr>,
    /// Which end this host is.
    pub end: End,
    /// Family of the tests.
    pub family: Family,
    /// Transport of the tests: TCP or UDP. Of any other nothing is seen.
    pub protocol: Protocol,
    /// Ports at the destination of the tests.
    pub ports: PortSet,
}

/// Why there is no second look.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// No capture.
    #[error("capture packets")]
    Capture(#[source] OpenError),
    /// No thread.
    #[error("start the thread that captures")]
    Thread(#[source] std::io::Error),
}

/// A capture under way.
#[derive(Debug)]
pub struct Look {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Record>>>,
}

/// Starts to count. When this returns the capture is on: what is sent from now on is seen.
///
/// # Errors
/// [`LookError::Capture`] where CAP_NET_RAW is missing.
pub fn start(watches: Vec<Watched>) -> Result<Look, LookError> {
    let capture = Capture::open(None).map_err(LookError::Capture)?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::Builder::new()
        .name("look".to_owned())
        .spawn(move || watch(capture, Tally::new(watches), &stopped))
        .map_err(LookError::Thread)?;
    Ok(Look {
        stop,
        thread: Some(thread),
    })
}

impl Look {
    /// Ends the capture and tells what was counted. Blocks for a tenth of a second at most.
    pub fn finish(mut self) -> Vec<Record> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn watch(mut capture: Capture, mut tally: Tally, stop: &AtomicBool) -> Vec<Record> {
    let mut complete = true;
    let mut after_the_end = 0;
    loop {
        // What was captured before the end was asked for still counts.
        let ending = stop.load(Ordering::Relaxed);
        if ending {
            after_the_end += 1;
            if after_the_end > LAST_PACKETS {
                warn!(
                    "packets come faster than they are counted: only what was seen in both directions is reported"
                );
                complete = false;
                break;
            }
        }
        let next = if ending { capture.take() } else { capture.wait() };
        match next {
            Ok(Some(captured)) => tally.count(&captured),
            Ok(None) if ending => break,
            Ok(None) => {}
            Err(errno) => {
                warn!("failed to read the capture: {errno}");
                complete = false;
                break;
            }
        }
    }
    match capture.lost() {
        Ok(0) => {}
        Ok(lost) => {
            warn!("the capture lost {lost} packets: only what was seen in both directions is reported");
            complete = false;
        }
        Err(errno) => {
            warn!("failed to ask the capture for its losses: {errno}");
            complete = false;
        }
    }
    tally.records(complete)
}

/// Packets that are still counted after the end was asked for: more than the capture's buffer holds, so that nothing that
/// was captured is lost, and a flood cannot put off the end.
const LAST_PACKETS: u32 = 1 << 17;

/// What was counted for a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Counts {
    questions: u32,
    answers: u32,
    resets: u32,
    icmp_errors: u32,
}

/// What a packet is to a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Question,
    Answer,
    Reset,
    IcmpError,
}

#[derive(Debug)]
struct Tally {
    watches: Vec<Watched>,
    /// Which watches an address of a peer belongs to.
    by_address: BTreeMap<IpAddr, Vec<usize>>,
    /// By watch, port and interface.
    counts: BTreeMap<(usize, u16, u32), Counts>,
}

impl Tally {
    fn new(watches: Vec<Watched>) -> Self {
        let mut by_address: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
        for (index, watch) in watches.iter().enumerate() {
            for address in watch
                .addresses
                .iter()
                .filter(|address| Family::of(**address) == watch.family)
            {
                by_address.entry(*address).or_default().push(index);
            }
        }
        Self {
            watches,
            by_address,
            counts: BTreeMap::new(),
        }
    }

    fn count(&mut self, captured: &Captured) {
        let Some(Reading {
            protocol,
            end,
            part,
            peer,
            port,
        }) = reading(captured)
        else {
            return;
        };
        // A route that leads back into the host (to a stray local address, to an interface that is none) sends nothing out.
        let is_test = matches!(part, Part::Question | Part::Answer);
        if captured.is_loopback && is_test && !peer.is_loopback() {
            return;
        }
        for index in self.by_address.get(&peer).into_iter().flatten() {
            let watch = &self.watches[*index];
            if (watch.end, watch.protocol) == (end, protocol) && watch.ports.contains(port) {
                let counts = self.counts.entry((*index, port, captured.interface)).or_default();
                let count = match part {
                    Part::Question => &mut counts.questions,
                    Part::Answer => &mut counts.answers,
                    Part::Reset => &mut counts.resets,
                    Part::IcmpError => &mut counts.icmp_errors,
                };
                *count = count.saturating_add(1);
            }
        }
    }

    /// Rows of equal counts, for every watched port; without those that a loss may have falsified unless `complete`.
    fn records(&self, complete: bool) -> Vec<Record> {
        let mut largest: BTreeMap<(usize, u16), Counts> = BTreeMap::new();
        for ((watch, port, _), counts) in &self.counts {
            let entry = largest.entry((*watch, *port)).or_default();
            *entry = Counts {
                questions: entry.questions.max(counts.questions),
                answers: entry.answers.max(counts.answers),
                resets: entry.resets.max(counts.resets),
                icmp_errors: entry.icmp_errors.max(counts.icmp_errors),
            };
        }
        let mut records = Vec::new();
        for (index, watch) in self.watches.iter().enumerate() {
            let mut rows: BTreeMap<Counts, Vec<u16>> = BTreeMap::new();
            for port in watch.ports.iter() {
                let counts = largest.get(&(index, port)).copied().unwrap_or_default();
                rows.entry(counts).or_default().push(port);
            }
            let rows = rows
                .into_iter()
                .filter(|(counts, _)| complete || counts.survive_losses());
            records.extend(rows.map(|(counts, ports)| Record::Seen(counts.seen(watch, ports))));
        }
        records
    }
}

impl Counts {
    fn survive_losses(self) -> bool {
        self.questions > 0 && (self.answers > 0 || self.resets > 0 || self.icmp_errors > 0)
    }

    fn seen(self, watch: &Watched, ports: Vec<u16>) -> Seen {
        Seen {
            end: watch.end,
            peer: watch.peer,
            family: watch.family,
            protocol: watch.protocol,
            ports: ports.into_iter().collect(),
            questions: self.questions,
            answers: self.answers,
            resets: self.resets,
            icmp_errors: self.icmp_errors,
        }
    }
}

/// What a packet is to a test.
struct Reading {
    protocol: Protocol,
    /// Which end this host is.
    end: End,
    part: Part,
    /// The address of the other end.
    peer: IpAddr,
    /// The port at the destination of the test.
    port: u16,
}

fn reading(captured: &Captured) -> Option<Reading> {
    let outgoing = captured.direction == Direction::Outgoing;
    let (asking, asked) = if outgoing {
        (End::Source, End::Destination)
    } else {
        (End::Destination, End::Source)
    };
    let of_test = |protocol, part, tuple: &Tuple| Reading {
        protocol,
        end: if part == Part::Question { asking } else { asked },
        part,
        peer: if outgoing { tuple.destination } else { tuple.source },
        port: match part {
            Part::Question => tuple.destination_port,
            Part::Answer | Part::Reset | Part::IcmpError => tuple.source_port,
        },
    };
    match &captured.packet {
        Packet::Tcp(segment) => {
            let part = if segment.is_question() {
                Part::Question
            } else if segment.is_answer() {
                Part::Answer
            } else if segment.is_reset() {
                // From the asked side: when the asking side resets what it opened, the port is the destination's.
                Part::Reset
            } else {
                return None;
            };
            Some(of_test(Protocol::Tcp, part, &segment.tuple))
        }
        Packet::Udp(datagram) => {
            let part = match Maker::of(&datagram.payload)? {
                Maker::Sender => Part::Question,
                Maker::Reflector => Part::Answer,
            };
            Some(of_test(Protocol::Udp, part, &datagram.tuple))
        }
        Packet::IcmpError(error) => {
            let protocol = match error.quoted_protocol {
                TCP => Protocol::Tcp,
                UDP => Protocol::Udp,
                _ => return None,
            };
            // Outgoing, we tell the peer that its question failed; incoming, anybody tells us that ours to the peer did.
            let peer = if outgoing {
                error.quoted.source
            } else {
                error.quoted.destination
            };
            Some(Reading {
                protocol,
                end: asked,
                part: Part::IcmpError,
                peer,
                port: error.quoted.destination_port,
            })
        }
    }
}

// Numbers in an IP header.
const TCP: u8 = 6;
const UDP: u8 = 17;

#[cfg(test)]
mod tests;
