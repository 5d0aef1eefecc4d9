//! One port of one pair: what the source says, what the destination says, what captures say, and what follows.
//!
//! ```text
//!   source                         path                      destination
//!   [out]----question---------->  forward  ----------->[capture][firewall][responder]
//!   [in]<----answer------------   return   <-----------[capture]
//!     SourceOut / SourceIn        Forward / Return       Destination
//! ```

use std::net::IpAddr;

use crate::{
    ledger::{Arm, Heard, Seen, Told},
    observation::{BindFailure, NotTried, Reach, Signal, Unproven},
};

use super::{Outcome, Spot, Why};

/// All testimony about one port of one pair.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Point<'a> {
    pub(super) port: u16,
    pub(super) first: Option<Told<&'a Reach>>,
    pub(super) second: Option<Told<&'a Reach>>,
    pub(super) arm: Option<Told<Arm<'a>>>,
    pub(super) heard: Option<Told<Heard>>,
    pub(super) at_source: Option<Told<Seen>>,
    pub(super) at_destination: Option<Told<Seen>>,
}

/// What is known of the two ends apart from the port.
pub(super) struct Ends<'f> {
    pub(super) source_gone: bool,
    pub(super) destination_gone: bool,
    /// The source refused an assignment.
    pub(super) source_refused: bool,
    pub(super) interrupted: bool,
    pub(super) is_sources_own: &'f dyn Fn(IpAddr) -> bool,
    pub(super) is_destinations_own: &'f dyn Fn(IpAddr) -> bool,
}

/// The verdict on one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ruling {
    pub(super) outcome: Outcome,
    pub(super) spot: Spot,
    pub(super) attempts: u32,
}

/// Decides about one port.
pub(super) fn decide(point: &Point<'_>, ends: &Ends<'_>) -> Ruling {
    let attempts = [point.first, point.second]
        .into_iter()
        .flatten()
        .map(|told| told.what.attempts);
    let attempts = attempts.fold(0, u32::saturating_add);
    let (outcome, spot) = match point.arm.map(|arm| arm.what) {
        Some(Arm::Refused(failure)) if !is_live_service(point.port, failure) => {
            // Nothing of ours stood there, so that whatever answered or did not says nothing about the network.
            (Outcome::NotMeasured(Why::NotArmed), Spot::Unknown)
        }
        Some(Arm::Refused(_)) => on_a_live_service(point, ends),
        Some(Arm::Ready) => on_our_responder(point, ends),
        None => unless_it_was_somebody(on_our_responder(point, ends)),
    };
    Ruling {
        outcome,
        spot,
        attempts,
    }
}

/// A port that another process holds by right: every port of a live node, and sshd's on any.
pub fn is_live_service(port: u16, failure: &BindFailure) -> bool {
    match failure {
        BindFailure::Live | BindFailure::Service { .. } | BindFailure::NoListener => true,
        BindFailure::Taken { process, .. } => {
            port == SSH_PORT && process.as_deref().is_none_or(|name| SSH_HOLDERS.contains(&name))
        }
        BindFailure::Privilege
        | BindFailure::AddressMissing
        | BindFailure::OpenFiles
        | BindFailure::Policy
        | BindFailure::Other { .. } => false,
    }
}

/// Without a word of the destination about its responder: what accepted or refused may be anybody, while silence and what
/// somebody else reported are of the network.
fn unless_it_was_somebody((outcome, spot): (Outcome, Spot)) -> (Outcome, Spot) {
    match outcome {
        Outcome::OpenUnverified | Outcome::IdentityMismatch | Outcome::Closed => {
            (Outcome::NotMeasured(Why::NotArmed), Spot::Unknown)
        }
        told => (told, spot),
    }
}

fn on_a_live_service(point: &Point<'_>, ends: &Ends<'_>) -> (Outcome, Spot) {
    let Some(signal) = tried(point) else {
        let is_live = matches!(
            point.arm.map(|arm| arm.what),
            Some(Arm::Refused(
                BindFailure::Live | BindFailure::Service { .. } | BindFailure::NoListener
            ))
        );
        let why = if is_live && !ends.source_gone {
            Why::LiveNode
        } else {
            untried(point, ends)
        };
        return (Outcome::NotMeasured(why), Spot::Unknown);
    };
    match signal {
        // A service that speaks first, or not at all, is no responder of ours and is not expected to be one.
        Signal::Unproven { .. } => (Outcome::OpenUnverified, Spot::Unknown),
        _ => on_our_responder(point, ends),
    }
}

fn on_our_responder(point: &Point<'_>, ends: &Ends<'_>) -> (Outcome, Spot) {
    let Some(signal) = tried(point) else {
        return (Outcome::NotMeasured(untried(point, ends)), Spot::Unknown);
    };
    if let Some(answered) = flapping(point) {
        return (Outcome::Lossy { answered }, Spot::Unknown);
    }
    match signal {
        Signal::Verified => (Outcome::Open, Spot::Unknown),
        Signal::Connected => (Outcome::OpenUnverified, Spot::Unknown),
        Signal::Exhausted { errno } => (Outcome::Resource { errno: *errno }, Spot::Unknown),
        _ if ends.source_gone => (Outcome::NotMeasured(Why::SourceLost), Spot::Unknown),
        _ if ends.destination_gone => (Outcome::NotMeasured(Why::DestinationLost), Spot::Unknown),
        Signal::Unproven { how } => unproven(point, *how),
        Signal::AnsweredFrom { .. } => (Outcome::IdentityMismatch, Spot::Unknown),
        Signal::Refused => refused(point),
        Signal::Icmp {
            icmp_type,
            code,
            offender,
        } => icmp(point, ends, (*icmp_type, *code), *offender),
        Signal::Silence => silence(point),
        Signal::LocalDenied { .. } => (Outcome::LocalBlocked, Spot::SourceOut),
        Signal::NoRoute => (Outcome::NoRoute, Spot::SourceOut),
        Signal::NeighborUnresolved => (Outcome::NeighborUnresolved, Spot::Forward),
        Signal::NotTried { .. } => (Outcome::NotMeasured(untried(point, ends)), Spot::Unknown),
    }
}

/// The signal that tells most: success, then an error that names its sender, then the second look, which came later and
/// slower.
fn tried<'a>(point: &Point<'a>) -> Option<&'a Signal> {
    let signals = [point.second, point.first].map(|told| told.map(|told| &told.what.signal));
    let tried = || {
        signals
            .iter()
            .flatten()
            .copied()
            .filter(|signal| !matches!(signal, Signal::NotTried { .. }))
    };
    let is_answer = |signal: &&Signal| matches!(signal, Signal::Verified | Signal::Connected);
    let is_error = |signal: &&Signal| matches!(signal, Signal::Icmp { .. });
    let is_verdict = |signal: &&Signal| !matches!(signal, Signal::Exhausted { .. });
    tried()
        .find(is_answer)
        .or_else(|| tried().find(is_error))
        .or_else(|| tried().find(is_verdict))
        .or_else(|| tried().next())
}

/// How many attempts were answered, if one look was answered and another was not at all.
///
/// Attempts of one look of which a later one was answered are no verdict by themselves: a single segment is lost on every
/// network, and repeated by every TCP. [`super::infer::recognise_loss`] weighs them over the pair.
fn flapping(point: &Point<'_>) -> Option<u32> {
    let looks = [point.first, point.second]
        .into_iter()
        .flatten()
        .map(|told| told.what);
    let mut answered = 0_u32;
    let mut failed = false;
    for look in looks {
        match look.signal {
            // An answered look has at least one answer, whatever its counter says.
            Signal::Verified | Signal::Connected => {
                answered = answered.saturating_add(look.answered.clamp(1, look.attempts.max(1)));
            }
            // What ran out of sockets or was not tried did not fail on the network.
            Signal::Exhausted { .. } | Signal::NotTried { .. } => {}
            _ => failed = true,
        }
    }
    (0 < answered && failed).then_some(answered)
}

/// Why nothing was tried.
fn untried(point: &Point<'_>, ends: &Ends<'_>) -> Why {
    let reason = [point.second, point.first]
        .into_iter()
        .flatten()
        .find_map(|told| match &told.what.signal {
            Signal::NotTried { why } => Some(*why),
            _ => None,
        });
    match reason {
        Some(NotTried::Policy) => Why::Policy,
        Some(NotTried::Unsupported) => Why::Unsupported,
        _ if ends.interrupted => Why::Interrupted,
        _ if ends.source_gone => Why::SourceLost,
        _ if ends.destination_gone => Why::DestinationLost,
        Some(NotTried::NotOnRoster | NotTried::NoAddress) => Why::DestinationLost,
        // Without its coordinator a source stops; that is the coordinator's view of a lost source.
        Some(NotTried::Lease) => Why::SourceLost,
        Some(NotTried::Cancelled) => Why::Interrupted,
        None if ends.source_refused => Why::Policy,
        None => Why::Unreported,
    }
}

fn unproven(point: &Point<'_>, how: Unproven) -> (Outcome, Spot) {
    let heard = point.heard.map(|heard| heard.what);
    match how {
        // The peer's own responder took the connection and the question or its answer was lost.
        Unproven::Silent | Unproven::Closed if heard.is_some_and(|heard| heard.proven > 0) => {
            (Outcome::FilteredReturn, Spot::Return)
        }
        Unproven::Silent | Unproven::Closed if heard.is_some_and(|heard| heard.accepted > 0) => {
            (Outcome::FilteredForward, Spot::Forward)
        }
        _ => {
            let spot = match arrived(point) {
                Some(0) => Spot::Forward,
                Some(_) => Spot::Destination,
                None => Spot::Unknown,
            };
            (Outcome::IdentityMismatch, spot)
        }
    }
}

fn refused(point: &Point<'_>) -> (Outcome, Spot) {
    if left(point) == Some(0) {
        return (Outcome::LocalBlocked, Spot::SourceOut);
    }
    if !matches!(point.arm.map(|arm| arm.what), Some(Arm::Ready)) {
        return (Outcome::Closed, Spot::Destination);
    }
    let spot = match capture(point, point.at_destination) {
        Some(seen) if seen.questions == 0 => Spot::Forward,
        Some(seen) if seen.resets > 0 => Spot::Destination,
        // The question arrived, no reset left, one came: somebody on the way wrote it.
        Some(_) => Spot::Return,
        None => Spot::Unknown,
    };
    (
        Outcome::Rejected {
            icmp: None,
            offender: None,
            inferred: false,
        },
        spot,
    )
}

fn icmp(point: &Point<'_>, ends: &Ends<'_>, icmp: (u8, u8), offender: Option<IpAddr>) -> (Outcome, Spot) {
    match offender {
        Some(address) if (ends.is_sources_own)(address) => return (Outcome::LocalBlocked, Spot::SourceOut),
        _ if left(point) == Some(0) => return (Outcome::LocalBlocked, Spot::SourceOut),
        _ => {}
    }
    let spot = match (offender, arrived(point)) {
        (Some(address), _) if (ends.is_destinations_own)(address) => Spot::Destination,
        (Some(_), _) | (None, Some(0)) => Spot::Forward,
        (None, Some(_)) => Spot::Destination,
        (None, None) => Spot::Unknown,
    };
    (
        Outcome::Rejected {
            icmp: Some(icmp),
            offender,
            inferred: false,
        },
        spot,
    )
}

fn silence(point: &Point<'_>) -> (Outcome, Spot) {
    if left(point) == Some(0) {
        return (Outcome::LocalBlocked, Spot::SourceOut);
    }
    let came_back = capture(point, point.at_source).is_some_and(|seen| seen.answers > 0);
    match capture(point, point.at_destination) {
        Some(seen) if seen.questions == 0 => (Outcome::FilteredForward, Spot::Forward),
        Some(_) | None if came_back => (Outcome::FilteredReturn, Spot::SourceIn),
        Some(seen) if seen.answers == 0 => (Outcome::Filtered, Spot::Destination),
        Some(_) => (Outcome::FilteredReturn, Spot::Return),
        None if point.heard.is_some_and(|heard| heard.what.accepted > 0) => {
            (Outcome::FilteredReturn, Spot::Return)
        }
        None => (Outcome::Filtered, Spot::Unknown),
    }
}

/// Questions that left the source, if a capture watched them.
fn left(point: &Point<'_>) -> Option<u32> {
    capture(point, point.at_source).map(|seen| seen.questions)
}

/// Questions that arrived at the destination, if a capture watched them.
fn arrived(point: &Point<'_>) -> Option<u32> {
    capture(point, point.at_destination).map(|seen| seen.questions)
}

/// What a capture saw; zeros mean something only if the source did ask again.
fn capture(point: &Point<'_>, seen: Option<Told<Seen>>) -> Option<Seen> {
    let asked = point.second.is_some_and(|told| {
        !matches!(
            told.what.signal,
            Signal::NotTried { .. } | Signal::Exhausted { .. } | Signal::LocalDenied { .. }
        )
    });
    seen.filter(|_| asked).map(|told| told.what)
}

/// The SSH port (RFC 4253, section 4.1).
const SSH_PORT: u16 = 22;

/// Who holds the SSH port by right: the daemon, or systemd on its behalf (socket activation).
const SSH_HOLDERS: [&str; 2] = ["sshd", "systemd"];
