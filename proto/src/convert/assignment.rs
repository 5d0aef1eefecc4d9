//! Work for a probe.

use std::{num::NonZeroU32, time::Duration};

use plumbline_model::{
    errand::Errand,
    id::NodeId,
    observation::End,
    plan::Target,
    port::{Family, PortSet, Protocol},
};

use super::{
    Digest, FieldError, Invalid, Roster, at_most, bytes, duration_ms,
    errand::{errand, wire_errand},
    in_range, lease,
    ports::{family, ports, protocol, wire_ports, wire_transport},
    wire_ms,
};
use crate::{limits, v1};

/// One assignment, checked against the roster that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// From 1, ascending within the run.
    pub id: u32,
    /// How long it may go on without a word from the coordinator.
    pub lease: Duration,
    /// What to do.
    pub work: Work,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Bind responders and answer proven hellos until released.
    Arm(Vec<ArmPorts>),
    /// Test ports of peers.
    Ask(Ask),
    /// Count segments of tests by capture until released.
    Look(Vec<Watch>),
    /// Gather facts again, the packet filter included.
    Survey,
    /// Something beside the port matrix.
    Errand(Errand),
}

/// Ports to bind on the own data address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmPorts {
    /// Family of the data address.
    pub family: Family,
    /// Transport.
    pub protocol: Protocol,
    /// Ports, at least one.
    pub ports: PortSet,
}

/// Ports of peers to test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What to test where responders of ours answer; destinations are members of the roster.
    pub targets: Vec<Target>,
    /// What to test where no responder of ours is known to stand, so that whoever answers is a service of the peer (a live
    /// node's ports, sshd's on any, ports that must not answer at all): these are connected to, never spoken to, and closed in
    /// order. TCP only: in UDP there is no asking without a word.
    pub live_services: Vec<Target>,
    /// Attempts before silence is believed, 1 to [`limits::MAX_ATTEMPTS`].
    pub attempts: u32,
    /// How long one attempt waits, [`limits::MIN_ATTEMPT_TIMEOUT`] to [`limits::MAX_ATTEMPT_TIMEOUT`].
    pub attempt_timeout: Duration,
    /// Connections per second of the node; `None` means no limit.
    pub max_rate_node: Option<NonZeroU32>,
    /// Connections per second of an ordered pair; `None` means no limit.
    pub max_rate_pair: Option<NonZeroU32>,
    /// Whether this is the second look.
    pub second_look: bool,
}

impl Ask {
    /// How many tests (destination x port) this is.
    pub fn tests(&self) -> u64 {
        self.targets
            .iter()
            .chain(&self.live_services)
            .map(|target| u64::from(target.ports.count()) * target.destinations.len() as u64)
            .sum()
    }
}

/// Tests of one peer to watch from this node's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The peer, a member of the roster.
    pub peer: NodeId,
    /// Which end this node is.
    pub end: End,
    /// Family of the tests.
    pub family: Family,
    /// Transport of the tests.
    pub protocol: Protocol,
    /// Ports at the destination of the tests.
    pub ports: PortSet,
}

/// The roster that an assignment refers to, to be looked up before it can be read.
///
/// # Errors
/// If there is no digest in it.
pub fn roster_of(wire: &v1::Assignment) -> Result<Digest, Invalid> {
    bytes("roster_sha256", &wire.roster_sha256)
        .map(Digest)
        .map_err(|e| e.within("assignment"))
}

impl Assignment {
    /// Reads an assignment that refers to this roster.
    ///
    /// # Errors
    /// If it refers to another roster, or anything in it is out of range.
    pub fn from_wire(wire: &v1::Assignment, roster: &Roster) -> Result<Self, Invalid> {
        if roster_of(wire)? != roster.digest() {
            return Err(FieldError::OtherRoster.at("assignment.roster_sha256"));
        }
        Self::read(wire, roster).map_err(|e| e.within("assignment"))
    }

    /// The assignment on the wire.
    ///
    /// # Errors
    /// If it names a node that is not on the roster.
    pub fn to_wire(&self, roster: &Roster) -> Result<v1::Assignment, Invalid> {
        use v1::assignment::Work as Wire;
        let work = match &self.work {
            Work::Arm(sets) => Wire::Arm(v1::Arm {
                sets: sets.iter().map(wire_arm_ports).collect(),
            }),
            Work::Ask(ask) => Wire::Ask(wire_ask(ask, roster)?),
            Work::Look(watches) => Wire::Look(v1::Look {
                watch: watches
                    .iter()
                    .map(|watch| wire_watch(watch, roster))
                    .collect::<Result<_, _>>()?,
            }),
            Work::Survey => Wire::Survey(v1::Survey {}),
            Work::Errand(errand) => Wire::Errand(wire_errand(errand, roster)?),
        };
        Ok(v1::Assignment {
            id: self.id,
            roster_sha256: roster.digest().0.to_vec(),
            lease_ms: wire_ms(self.lease),
            work: Some(work),
        })
    }

    fn read(wire: &v1::Assignment, roster: &Roster) -> Result<Self, Invalid> {
        use v1::assignment::Work as Wire;
        let work = match wire.work.as_ref().ok_or_else(|| FieldError::Absent.at("work"))? {
            Wire::Arm(arm) => elements("sets", &arm.sets, arm_ports)
                .map(Work::Arm)
                .map_err(|e| e.within("arm"))?,
            Wire::Ask(wire) => ask(wire, roster).map(Work::Ask).map_err(|e| e.within("ask"))?,
            Wire::Look(look) => elements("watch", &look.watch, |wire| watch(wire, roster))
                .map(Work::Look)
                .map_err(|e| e.within("look"))?,
            Wire::Survey(_) => Work::Survey,
            Wire::Errand(wire) => errand(wire, roster)
                .map(Work::Errand)
                .map_err(|e| e.within("errand"))?,
        };
        Ok(Self {
            id: in_range("id", wire.id, 1, u32::MAX)?,
            lease: lease("lease_ms", wire.lease_ms)?,
            work,
        })
    }
}

/// Reads each element of a list of at least one.
fn elements<W, T>(
    field: &str,
    wire: &[W],
    read: impl Fn(&W) -> Result<T, Invalid>,
) -> Result<Vec<T>, Invalid> {
    if wire.is_empty() {
        return Err(FieldError::Empty.at(field));
    }
    elements_or_none(field, wire, read)
}

/// Reads each element of a list.
fn elements_or_none<W, T>(
    field: &str,
    wire: &[W],
    read: impl Fn(&W) -> Result<T, Invalid>,
) -> Result<Vec<T>, Invalid> {
    at_most(field, wire.len(), limits::MAX_ELEMENTS)?;
    wire.iter()
        .enumerate()
        .map(|(index, element)| read(element).map_err(|e| e.within(format_args!("{field}[{index}]"))))
        .collect()
}

fn arm_ports(wire: &v1::ArmPorts) -> Result<ArmPorts, Invalid> {
    Ok(ArmPorts {
        family: family(wire.ipv6),
        protocol: protocol(wire.transport)?,
        ports: ports(&wire.ports)?,
    })
}

fn wire_arm_ports(set: &ArmPorts) -> v1::ArmPorts {
    v1::ArmPorts {
        transport: wire_transport(set.protocol),
        ipv6: set.family == Family::Ipv6,
        ports: wire_ports(&set.ports),
    }
}

fn ask(wire: &v1::Ask, roster: &Roster) -> Result<Ask, Invalid> {
    let rate = |field, found| in_range(field, found, 0, limits::MAX_RATE).map(NonZeroU32::new);
    let targets = |field, wire| elements_or_none(field, wire, |wire| target(wire, roster));
    let ask = Ask {
        targets: targets("targets", &wire.targets)?,
        live_services: targets("live_services", &wire.live_services)?,
        attempts: in_range("attempts", wire.attempts, 1, limits::MAX_ATTEMPTS)?,
        attempt_timeout: duration_ms(
            "attempt_timeout_ms",
            wire.attempt_timeout_ms,
            (limits::MIN_ATTEMPT_TIMEOUT, limits::MAX_ATTEMPT_TIMEOUT),
        )?,
        max_rate_node: rate("max_rate_node", wire.max_rate_node)?,
        max_rate_pair: rate("max_rate_pair", wire.max_rate_pair)?,
        second_look: wire.second_look,
    };
    let tests = ask.tests();
    if tests == 0 {
        return Err(FieldError::Empty.at("targets"));
    }
    if tests > limits::MAX_TESTS {
        return Err(FieldError::TooMany {
            found: tests,
            most: limits::MAX_TESTS,
        }
        .at("targets"));
    }
    Ok(ask)
}

fn wire_ask(ask: &Ask, roster: &Roster) -> Result<v1::Ask, Invalid> {
    let targets = |targets: &[Target]| -> Result<Vec<_>, _> {
        targets.iter().map(|target| wire_target(target, roster)).collect()
    };
    Ok(v1::Ask {
        targets: targets(&ask.targets)?,
        live_services: targets(&ask.live_services)?,
        attempts: ask.attempts,
        attempt_timeout_ms: wire_ms(ask.attempt_timeout),
        max_rate_node: ask.max_rate_node.map_or(0, NonZeroU32::get),
        max_rate_pair: ask.max_rate_pair.map_or(0, NonZeroU32::get),
        second_look: ask.second_look,
    })
}

fn target(wire: &v1::Target, roster: &Roster) -> Result<Target, Invalid> {
    at_most("destinations", wire.destinations.len(), limits::MAX_MEMBERS)?;
    if wire.destinations.is_empty() {
        return Err(FieldError::Empty.at("destinations"));
    }
    let destinations: Vec<NodeId> = wire
        .destinations
        .iter()
        .enumerate()
        .map(|(at, index)| node_at(&format!("destinations[{at}]"), *index, roster))
        .collect::<Result<_, _>>()?;
    if !destinations.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err(FieldError::Order.at("destinations"));
    }
    Ok(Target {
        family: family(wire.ipv6),
        protocol: protocol(wire.transport)?,
        ports: ports(&wire.ports)?,
        destinations,
    })
}

fn wire_target(target: &Target, roster: &Roster) -> Result<v1::Target, Invalid> {
    let destinations = target
        .destinations
        .iter()
        .map(|node| index_of("destinations", *node, roster))
        .collect::<Result<_, _>>()?;
    Ok(v1::Target {
        transport: wire_transport(target.protocol),
        ipv6: target.family == Family::Ipv6,
        ports: wire_ports(&target.ports),
        destinations,
    })
}

fn watch(wire: &v1::Watch, roster: &Roster) -> Result<Watch, Invalid> {
    use v1::watch::End as Wire;
    let end = match Wire::try_from(wire.end) {
        Ok(Wire::Source) => End::Source,
        Ok(Wire::Destination) => End::Destination,
        Ok(Wire::Unspecified) | Err(_) => return Err(FieldError::Absent.at("end")),
    };
    Ok(Watch {
        peer: node_at("peer", wire.peer, roster)?,
        end,
        family: family(wire.ipv6),
        protocol: protocol(wire.transport)?,
        ports: ports(&wire.ports)?,
    })
}

fn wire_watch(watch: &Watch, roster: &Roster) -> Result<v1::Watch, Invalid> {
    let end = match watch.end {
        End::Source => v1::watch::End::Source,
        End::Destination => v1::watch::End::Destination,
    };
    Ok(v1::Watch {
        peer: index_of("peer", watch.peer, roster)?,
        end: end.into(),
        transport: wire_transport(watch.protocol),
        ipv6: watch.family == Family::Ipv6,
        ports: wire_ports(&watch.ports),
    })
}

pub(super) fn node_at(field: &str, index: u32, roster: &Roster) -> Result<NodeId, Invalid> {
    let members = roster.members();
    usize::try_from(index)
        .ok()
        .and_then(|at| members.get(at))
        .map(|member| member.node)
        .ok_or_else(|| {
            FieldError::OutOfRange {
                found: index.into(),
                least: 0,
                most: members.len() as u64 - 1,
            }
            .at(field)
        })
}

pub(super) fn index_of(field: &str, node: NodeId, roster: &Roster) -> Result<u32, Invalid> {
    let index = roster
        .index(node)
        .ok_or_else(|| FieldError::Malformed(format!("{node} is not on the roster")).at(field))?;
    Ok(u32::try_from(index).expect("a roster has at most MAX_MEMBERS members"))
}
