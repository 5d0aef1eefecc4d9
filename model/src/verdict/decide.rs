//! One port of one pair: what the source says, what the destination says, what captures say, and what follows.
//!
//! ```text
//!   source                         path                      destination
//!   [out]----question---------->  forward  ----------->[capture][firewall][responder]
//!   [in]<----answer------------   return   <-----------[capture]
//!     SourceOut / SourceIn        Forward / Return       Destination
//! ```
//!
//! TCP and UDP are judged alike as far as they are alike. They differ in what silence of the other side looks like (a RST,
//! a port unreachable), and in what may be sent to a service that is not ours: one connection, and never a datagram.

use std::net::IpAddr;

use crate::{
    ledger::{Arm, Heard, Seen, Told, Transport},
    observation::{BindFailure, NotTried, Reach, Signal, Unproven},
    port::{Family, Protocol},
};

use super::{Mismatch, Outcome, Spot, Why};

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
    /// It must not answer: nobody armed it.
    pub(super) is_blocked: bool,
    /// Only a Service would serve it, the destination is live, and no Service does.
    pub(super) is_unserved: bool,
    /// The destination heard somebody prove a member's key on this port from an address that is no member's.
    pub(super) is_translated: bool,
}

/// What is known of the two ends apart from the port.
pub(super) struct Ends<'f> {
    pub(super) transport: Transport,
    pub(super) source_gone: bool,
    pub(super) destination_gone: bool,
    /// The destination is listed by an address of the other family, so that its address of this one is what its probe finds.
    pub(super) is_found_address: bool,
    /// One of the two told of no address of the family.
    pub(super) lacks_address: bool,
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
    let (outcome, spot) = ruling(point, ends);
    Ruling {
        outcome,
        spot,
        attempts,
    }
}

fn ruling(point: &Point<'_>, ends: &Ends<'_>) -> (Outcome, Spot) {
    if point.is_blocked {
        return on_a_live_service(point, ends);
    }
    if point.is_unserved && matches!(tried(point), None | Some(Signal::Refused)) {
        return not_measured(Why::NoService);
    }
    match point.arm.map(|arm| arm.what) {
        Some(Arm::Refused(BindFailure::AddressMissing)) if ends.is_found_address => {
            not_measured(Why::NoAddress)
        }
        // Nothing of ours stood there, so that whatever answered or did not says nothing about the network.
        Some(Arm::Refused(failure)) if !is_live_service(point.port, failure) => not_measured(Why::NotArmed),
        Some(Arm::Refused(_)) if ends.transport.1 == Protocol::Udp => on_a_busy_port(point, ends),
        Some(Arm::Refused(_)) => on_a_live_service(point, ends),
        Some(Arm::Ready) => on_our_responder(point, ends),
        None => unless_it_was_somebody(on_our_responder(point, ends), ends),
    }
}

fn not_measured(why: Why) -> (Outcome, Spot) {
    (Outcome::NotMeasured(why), Spot::Unknown)
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
fn unless_it_was_somebody((outcome, spot): (Outcome, Spot), ends: &Ends<'_>) -> (Outcome, Spot) {
    match outcome {
        Outcome::OpenUnverified | Outcome::IdentityMismatch { .. } | Outcome::Closed => {
            not_measured(Why::NotArmed)
        }
        // The UDP form of a RST, by the host itself.
        Outcome::Rejected {
            icmp: Some(icmp),
            offender,
            ..
        } if ends.transport.1 == Protocol::Udp
            && icmp == port_unreachable(ends.transport.0)
            && offender.is_none_or(ends.is_destinations_own) =>
        {
            not_measured(Why::NotArmed)
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
        let why = match untried(point, ends) {
            Why::SourceLost => Why::SourceLost,
            Why::NoAddress => Why::NoAddress,
            _ if is_live => Why::LiveNode,
            why => why,
        };
        return not_measured(why);
    };
    match signal {
        // A service that speaks first, or not at all, is no responder of ours and is not expected to be one.
        Signal::Unproven { .. } => (Outcome::OpenUnverified, Spot::Unknown),
        _ => on_our_responder(point, ends),
    }
}

/// A UDP port of a live node: nothing is ever sent to what is not ours, and a kernel tunnel may take a port at any time.
/// [`super::busy`] asks the packet filters instead.
fn on_a_busy_port(point: &Point<'_>, ends: &Ends<'_>) -> (Outcome, Spot) {
    match tried(point) {
        Some(Signal::Verified) => (Outcome::Open, Spot::Unknown),
        _ => not_measured(match untried(point, ends) {
            why @ (Why::SourceLost | Why::DestinationLost | Why::NoAddress | Why::Policy) => why,
            _ => Why::BusyUdp,
        }),
    }
}

fn on_our_responder(point: &Point<'_>, ends: &Ends<'_>) -> (Outcome, Spot) {
    let Some(signal) = tried(point) else {
        return not_measured(untried(point, ends));
    };
    if is_late(point) {
        return (Outcome::Open, Spot::Destination);
    }
    if let Some(answered) = flapping(point) {
        return (Outcome::Lossy { answered }, Spot::Unknown);
    }
    match signal {
        Signal::Verified => (Outcome::Open, Spot::Unknown),
        Signal::Connected => (Outcome::OpenUnverified, Spot::Unknown),
        Signal::Exhausted { errno } => (Outcome::Resource { errno: *errno }, Spot::Unknown),
        _ if ends.source_gone => not_measured(Why::SourceLost),
        _ if ends.destination_gone => not_measured(Why::DestinationLost),
        Signal::Unproven { how } => unproven(point, *how),
        Signal::AnsweredFrom { address } => answered_from(*address, ends),
        // A datagram is refused by an ICMP error alone; whose, the kernel did not tell.
        Signal::Refused if ends.transport.1 == Protocol::Udp => {
            icmp(point, ends, port_unreachable(ends.transport.0), None)
        }
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
        Signal::NotTried { .. } => not_measured(untried(point, ends)),
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
/// network, and repeated by every TCP. [`super::loss::recognise_loss`] weighs them over the pair.
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

/// Whether one look was answered, and in every other a connection stood at both ends on which the question or the answer came
/// too late: a slow host. What a path loses of a connection that stands, TCP repeats.
fn is_late(point: &Point<'_>) -> bool {
    let looks = || [point.first, point.second].into_iter().flatten();
    let stood = |signal: &Signal| {
        matches!(
            signal,
            Signal::Unproven {
                how: Unproven::Silent | Unproven::Closed
            }
        )
    };
    let verified = looks()
        .filter(|told| told.what.signal == Signal::Verified)
        .count();
    let late = looks().filter(|told| stood(&told.what.signal)).count();
    let made = u32::try_from(verified + late).unwrap_or(u32::MAX);
    let accepted = point.heard.map_or(0, |heard| heard.what.accepted);
    verified > 0 && late > 0 && looks().count() == verified + late && accepted >= made
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
        Some(NotTried::NoAddress) => Why::NoAddress,
        Some(NotTried::Policy) => Why::Policy,
        Some(NotTried::Unsupported) => Why::Unsupported,
        _ if ends.interrupted => Why::Interrupted,
        _ if ends.source_gone => Why::SourceLost,
        _ if ends.destination_gone => Why::DestinationLost,
        _ if ends.lacks_address => Why::NoAddress,
        Some(NotTried::NotOnRoster) => Why::DestinationLost,
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
            (Outcome::FilteredReturn, unless_unwatched(point, Spot::Return))
        }
        Unproven::Silent | Unproven::Closed if heard.is_some_and(|heard| heard.accepted > 0) => {
            (Outcome::FilteredForward, unless_unwatched(point, Spot::Forward))
        }
        _ => {
            let spot = match arrived(point) {
                Some(0) => Spot::Forward,
                Some(_) => Spot::Destination,
                None => Spot::Unknown,
            };
            let how = match how {
                Unproven::Silent => Mismatch::Mute,
                _ => Mismatch::Unproven,
            };
            (Outcome::IdentityMismatch { how }, spot)
        }
    }
}

/// A place, if somebody looked again.
fn unless_unwatched(point: &Point<'_>, spot: Spot) -> Spot {
    if point.second.is_some() {
        spot
    } else {
        Spot::Unknown
    }
}

/// The peer answered, since nobody else has the key. Its own other address is a matter of its routes; one that it does not
/// have was put there on the way.
fn answered_from(address: IpAddr, ends: &Ends<'_>) -> (Outcome, Spot) {
    let (how, spot) = if (ends.is_destinations_own)(address) {
        (Mismatch::OwnAddress { address }, Spot::Destination)
    } else {
        (Mismatch::ForeignAddress { address }, Spot::Return)
    };
    (Outcome::IdentityMismatch { how }, spot)
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
        Some(address) if (ends.is_sources_own)(address) => return by_the_source(ends.transport.0, icmp),
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

/// An ICMP error that the source's own host wrote.
fn by_the_source(family: Family, icmp: (u8, u8)) -> (Outcome, Spot) {
    match (family, icmp) {
        (Family::Ipv4, HOST_UNREACHABLE) | (Family::Ipv6, ADDRESS_UNREACHABLE_V6) => {
            (Outcome::NeighborUnresolved, Spot::Forward)
        }
        (Family::Ipv4, NET_UNREACHABLE) | (Family::Ipv6, NO_ROUTE_V6) => (Outcome::NoRoute, Spot::SourceOut),
        _ => (Outcome::LocalBlocked, Spot::SourceOut),
    }
}

fn port_unreachable(family: Family) -> (u8, u8) {
    match family {
        Family::Ipv4 => PORT_UNREACHABLE,
        Family::Ipv6 => PORT_UNREACHABLE_V6,
    }
}

fn silence(point: &Point<'_>) -> (Outcome, Spot) {
    if left(point) == Some(0) {
        return (Outcome::LocalBlocked, Spot::SourceOut);
    }
    // A capture knows the source by its address, and so does the responder: what arrived under another was not for them.
    if point.is_translated && point.heard.is_none() {
        let how = Mismatch::Unproven;
        return (Outcome::IdentityMismatch { how }, Spot::Unknown);
    }
    let came_back = capture(point, point.at_source).is_some_and(|seen| seen.answers > 0);
    match capture(point, point.at_destination) {
        Some(seen) if seen.questions == 0 => (Outcome::FilteredForward, Spot::Forward),
        Some(_) | None if came_back => (Outcome::FilteredReturn, Spot::SourceIn),
        Some(seen) if seen.answers > 0 => (Outcome::FilteredReturn, Spot::Return),
        Some(_) if is_unverified(point) => altered(),
        Some(_) => (Outcome::Filtered, Spot::Destination),
        None if has_heard(point) => (Outcome::FilteredReturn, Spot::Return),
        None if is_unverified(point) => altered(),
        None => (Outcome::Filtered, Spot::Unknown),
    }
}

/// Whether the destination's responder took the source's questions for what they are.
fn has_heard(point: &Point<'_>) -> bool {
    point.heard.is_some_and(|heard| {
        let Heard {
            accepted,
            proven,
            unproven,
            replayed,
        } = heard.what;
        // A TCP connection that was accepted came from the source's kernel, whatever its hello said.
        proven.saturating_add(replayed) > 0 || accepted > unproven
    })
}

/// Whether the destination received datagrams from the source and could verify none, as many as the source sent: they were
/// altered on the way, or the two do not share a key. Fewer may be another program's of the same host, which gossips.
fn is_unverified(point: &Point<'_>) -> bool {
    let sent = point.first.map_or(1, |told| told.what.attempts.max(1));
    !has_heard(point) && point.heard.is_some_and(|heard| heard.what.unproven >= sent)
}

fn altered() -> (Outcome, Spot) {
    let how = Mismatch::Unverified;
    (Outcome::IdentityMismatch { how }, Spot::Destination)
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

/// Destination unreachable, network (RFC 792).
const NET_UNREACHABLE: (u8, u8) = (3, 0);
/// Destination unreachable, host (RFC 792): what Linux tells itself when a neighbour does not resolve.
const HOST_UNREACHABLE: (u8, u8) = (3, 1);
/// Destination unreachable, port (RFC 792).
const PORT_UNREACHABLE: (u8, u8) = (3, 3);
/// Destination unreachable, no route (RFC 4443, section 3.1).
const NO_ROUTE_V6: (u8, u8) = (1, 0);
/// Destination unreachable, address (RFC 4443, section 3.1): a neighbour that does not resolve.
const ADDRESS_UNREACHABLE_V6: (u8, u8) = (1, 3);
/// Destination unreachable, port (RFC 4443, section 3.1).
const PORT_UNREACHABLE_V6: (u8, u8) = (1, 4);
