//! Asks for a VIP while it goes from node to node.
//!
//! Each question is a connection with a hello for one of its holders: the one who answered last, and the next one after a
//! connection without a proof, since whoever has the address now knows only its own key. What somebody else is told this way is
//! one hello that proves nothing to him, and after a few connections without any proof he is left alone.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use plumbline_measure::hello::{NONCE_LEN, PairKey, REPLY_LEN, ReadReply, Request};
use plumbline_model::{
    errand::{HOLD_LEASE_S, MAX_HOLDERS},
    id::NodeId,
    observation::{Answer, Comparison, Reached, Stretch},
    port::Family,
};
use plumbline_sys::{
    Errno,
    route::Network,
    tcp::{Connecting, Received, TcpSocket},
};

use crate::errand::{Post, Stop};

/// Somebody who may have the address.
struct Holder {
    node: NodeId,
    index: u32,
    key: PairKey,
    own: Option<IpAddr>,
    asked: u32,
    answered: u32,
}

/// What one connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Proven,
    Unproven,
    Refused,
    Silence,
    /// The address is this node's own at the moment.
    Own,
}

/// Asks until it is told to stop, until the address has answered too often without a proof, or until every holder's lease would
/// be over.
pub(super) fn reach(vip: IpAddr, port: u16, holders: &[NodeId], post: &Post, stop: &Stop) -> Reached {
    let family = Family::of(vip);
    let mut holders: Vec<Holder> = holders
        .iter()
        .filter_map(|node| post.peers.get(node))
        .map(|peer| Holder {
            node: peer.member.node,
            index: peer.index,
            key: PairKey::new(&peer.key),
            own: peer.member.data_address(family),
            asked: 0,
            answered: 0,
        })
        .collect();
    let mut reached = Reached::default();
    if holders.is_empty() {
        return reached;
    }
    let begun = Instant::now();
    let longest = Duration::from_secs(u64::from(HOLD_LEASE_S) * MAX_HOLDERS as u64);
    let (mut current, mut unproven, mut unanswered) = (0, 0, 0_usize);
    while !stop.is_asked_for() && begun.elapsed() < longest {
        let from = begun.elapsed();
        let holder = &holders[current];
        let outcome = ask(SocketAddr::new(vip, port), holder, post, stop);
        let answer = match outcome {
            Outcome::Proven => Some(Answer::By { holder: holder.node }),
            Outcome::Silence => Some(Answer::Silence),
            Outcome::Refused => Some(Answer::Refused),
            Outcome::Unproven => Some(Answer::Unproven),
            Outcome::Own => None,
        };
        // A holder that was meant by its predecessor's name closes without a proof: that is told only if nobody proves himself.
        let is_next_tried = outcome == Outcome::Unproven && unproven < holders.len();
        unproven = if outcome == Outcome::Unproven {
            unproven + 1
        } else {
            0
        };
        if let Some(answer) = answer.filter(|_| !is_next_tried) {
            note(&mut reached, answer, from, begun.elapsed(), vip);
        }
        if unproven > holders.len() * UNPROVEN_ROUNDS {
            break;
        }
        // One at a time, so that an outage is not measured by how long this takes.
        if outcome == Outcome::Proven && holders[current].answered == 0 {
            compare(&mut holders[current], port, post, stop);
        } else if matches!(outcome, Outcome::Silence | Outcome::Refused) {
            unanswered += 1;
            if unanswered.is_multiple_of(COMPARE_EVERY) {
                let next = unanswered / COMPARE_EVERY % holders.len();
                compare(&mut holders[next], port, post, stop);
            }
        }
        if outcome != Outcome::Proven {
            current = (current + 1) % holders.len();
        }
        if outcome != Outcome::Unproven {
            std::thread::sleep(INTERVAL.saturating_sub(begun.elapsed().saturating_sub(from)));
        }
    }
    reached.comparisons = holders
        .iter()
        .filter(|holder| holder.asked > 0)
        .map(|holder| Comparison {
            holder: holder.node,
            asked: holder.asked,
            answered: holder.answered,
        })
        .collect();
    reached
        .comparisons
        .sort_unstable_by_key(|comparison| comparison.holder);
    reached
}

/// Asks a holder at its own address, where it answers as long as it has the VIP.
fn compare(holder: &mut Holder, port: u16, post: &Post, stop: &Stop) {
    if let Some(own) = holder.own {
        let outcome = ask(SocketAddr::new(own, port), holder, post, stop);
        holder.asked = holder.asked.saturating_add(1);
        holder.answered = holder
            .answered
            .saturating_add(u32::from(outcome == Outcome::Proven));
    }
}

/// Adds what one question came to.
fn note(reached: &mut Reached, answer: Answer, from: Duration, until: Duration, vip: IpAddr) {
    let (from_ms, until_ms) = (millis(from), millis(until));
    if let Some(last) = reached.stretches.last_mut().filter(|last| last.answer == answer) {
        last.until_ms = until_ms;
        last.asks = last.asks.saturating_add(1);
        if answer == Answer::Silence {
            last.mac = neighbor(vip);
        }
        return;
    }
    if reached.stretches.len() >= MAX_STRETCHES {
        reached.cut = true;
        return;
    }
    reached.stretches.push(Stretch {
        from_ms,
        until_ms,
        asks: 1,
        answer,
        mac: neighbor(vip),
    });
}

/// The link address that the kernel has for the VIP: none where a router is in between.
fn neighbor(vip: IpAddr) -> Option<String> {
    let neighbors = Network::open().ok()?.neighbors().ok()?;
    let entry = neighbors.into_iter().find(|entry| entry.address == vip)?;
    let octets = entry.mac?.map(|octet| format!("{octet:02x}"));
    Some(octets.join(":"))
}

/// One connection. Ends within [`PATIENCE`].
fn ask(at: SocketAddr, holder: &Holder, post: &Post, stop: &Stop) -> Outcome {
    let until = Instant::now() + PATIENCE;
    match connection(at, holder, post, until, stop) {
        Ok(outcome) => outcome,
        Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::ACCESS) => Outcome::Refused,
        Err(Errno::CONNRESET | Errno::PIPE) => Outcome::Unproven,
        Err(_) => Outcome::Silence,
    }
}

fn connection(
    at: SocketAddr,
    holder: &Holder,
    post: &Post,
    until: Instant,
    stop: &Stop,
) -> Result<Outcome, Errno> {
    let socket = TcpSocket::toward(at.ip())?;
    socket.reset_on_close()?;
    if socket.connect(at)? == Connecting::InProgress {
        while !socket.is_connected() {
            if let Some(error) = socket.take_error() {
                return Err(error);
            }
            if Instant::now() >= until || stop.is_asked_for() {
                return Ok(Outcome::Silence);
            }
            std::thread::sleep(STEP);
        }
    }
    if socket.local_address()?.ip() == at.ip() {
        return Ok(Outcome::Own);
    }
    let mut nonce = [0; NONCE_LEN];
    if getrandom::fill(&mut nonce).is_err() {
        return Ok(Outcome::Own);
    }
    let (request, asked) = Request {
        run: post.run.to_bytes(),
        source: post.own_index,
        destination: holder.index,
        port: at.port(),
        nonce,
    }
    .seal(&holder.key);
    socket.send(&request)?;
    let mut reply = [0; REPLY_LEN + 1];
    let mut length = 0;
    while Instant::now() < until && !stop.is_asked_for() {
        match socket.receive(&mut reply[length..])? {
            Received::Nothing => std::thread::sleep(STEP),
            Received::Closed => return Ok(Outcome::Unproven),
            Received::Octets(count) => {
                length += count;
                match asked.read_reply(&holder.key, &reply[..length]) {
                    ReadReply::Incomplete => {}
                    ReadReply::Proven => return Ok(Outcome::Proven),
                    ReadReply::BadProof | ReadReply::Garbage => return Ok(Outcome::Unproven),
                }
            }
        }
    }
    Ok(Outcome::Silence)
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// From one question to the next: what an outage is measured by.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long one question waits: no path of a data centre takes as long, and a lost packet is asked again soon.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often a connection is looked at.
const STEP: Duration = Duration::from_millis(2);
/// After how many unanswered questions a holder is asked at its own address; two, so that each has its turn whatever their number.
const COMPARE_EVERY: usize = 2;
/// How often every holder's key is tried on somebody who proves nothing.
const UNPROVEN_ROUNDS: usize = 5;
/// Stretches that are told at most; a turn of eight holders has sixteen.
const MAX_STRETCHES: usize = 128;
