//! Which peers this host asks.

use std::{collections::BTreeMap, net::IpAddr, num::NonZeroU32, time::Duration};

use plumbline_model::{
    id::NodeId,
    observation::{NotTried, Reach, Record, Signal},
    plan::Target,
    port::{Family, PortSet, Protocol},
};
use plumbline_proto::convert::{Ask, Roster, Work};

use super::{Guard, PermittedWork, Refused};

/// Who is asked, where and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The peer.
    pub node: NodeId,
    /// Its data address of the family.
    pub address: IpAddr,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// Ports by endpoint.
pub type Targets = BTreeMap<Endpoint, PortSet>;

/// Tests that may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermittedAsk {
    /// Where responders of ours answer.
    pub targets: Targets,
    /// Where services of the peers answer, which are never spoken to. TCP only.
    pub live_services: Targets,
    /// Attempts before silence is believed.
    pub attempts: u32,
    /// How long one attempt waits.
    pub attempt_timeout: Duration,
    /// Connections per second of this node.
    pub max_rate_node: Option<NonZeroU32>,
    /// Connections per second to one peer.
    pub max_rate_pair: Option<NonZeroU32>,
    /// Whether this is the second look.
    pub second_look: bool,
}

impl Guard {
    pub(super) fn permit_ask(
        &self,
        ask: &Ask,
        roster: &Roster,
    ) -> Result<(PermittedWork, Vec<Record>), Refused> {
        let mut excluded = Vec::new();
        let mut permit = |targets: &[Target], transports: &[Protocol]| {
            let mut permitted = Targets::new();
            for target in targets {
                for (node, ports, why) in self.permit_target(target, transports, roster, &mut permitted)? {
                    let (family, protocol) = (target.family, target.protocol);
                    excluded.push(not_tried(node, family, protocol, ports, why, ask.second_look));
                }
            }
            Ok(permitted)
        };
        let mut targets = permit(&ask.targets, &[Protocol::Tcp, Protocol::Udp])?;
        // A datagram is a word already.
        let live_services = permit(&ask.live_services, &[Protocol::Tcp])?;
        // A port that is named as a service is one, whatever else is said of it: nothing is ever sent into it.
        for (endpoint, services) in &live_services {
            if let Some(ports) = targets.get_mut(endpoint) {
                *ports = ports.difference(services);
            }
        }
        targets.retain(|_, ports| !ports.is_empty());
        let ask = PermittedAsk {
            targets,
            live_services,
            attempts: ask.attempts,
            attempt_timeout: ask.attempt_timeout,
            max_rate_node: lower(ask.max_rate_node, self.policy.max_rate),
            max_rate_pair: lower(ask.max_rate_pair, self.policy.max_rate_pair),
            second_look: ask.second_look,
        };
        Ok((PermittedWork::Ask(ask), excluded))
    }

    /// Adds what may be tested to `permitted` and returns what may not. For each destination the first that holds decides:
    ///
    /// 1. it is this node, or the coordinator: the whole assignment is refused;
    /// 2. the transport is none that is tested so;
    /// 3. it is not on the roster;
    /// 4. it has no data address of the family, or this node has no address of the family at all;
    /// 5. the policy does not allow its network, or the port.
    fn permit_target(
        &self,
        target: &Target,
        transports: &[Protocol],
        roster: &Roster,
        permitted: &mut Targets,
    ) -> Result<Vec<(NodeId, PortSet, NotTried)>, Refused> {
        let family = target.family;
        let speaks_family = roster
            .member(self.own.node)
            .is_some_and(|own| own.addresses.iter().any(|address| Family::of(*address) == family));
        let mut excluded = Vec::new();
        for &node in &target.destinations {
            if node == self.own.node {
                return Err(Refused::Itself);
            }
            if node == NodeId::Coordinator {
                return Err(Refused::Coordinator);
            }
            let mut refuse = |ports: PortSet, why| excluded.push((node, ports, why));
            if !transports.contains(&target.protocol) {
                refuse(target.ports.clone(), NotTried::Unsupported);
                continue;
            }
            let Some(member) = roster.member(node) else {
                refuse(target.ports.clone(), NotTried::NotOnRoster);
                continue;
            };
            match member.data_address(family).filter(|_| speaks_family) {
                None => refuse(target.ports.clone(), NotTried::NoAddress),
                Some(address) if !self.policy.allows_network(address) => {
                    refuse(target.ports.clone(), NotTried::Policy);
                }
                Some(address) => {
                    let allowed = self.policy.allowed_ports(&target.ports);
                    refuse(target.ports.difference(&allowed), NotTried::Policy);
                    let protocol = target.protocol;
                    let endpoint = Endpoint {
                        node,
                        address,
                        protocol,
                    };
                    permitted.entry(endpoint).or_default().extend(&allowed);
                }
            }
        }
        permitted.retain(|_, ports| !ports.is_empty());
        excluded.retain(|(_, ports, _)| !ports.is_empty());
        Ok(excluded)
    }
}

/// Records that say of every test of a refused assignment that it was not tried. What opens or watches ports has nothing to
/// say: its refusal is the testimony.
pub fn nothing_tried(work: &Work) -> Vec<Record> {
    let Work::Ask(ask) = work else { return Vec::new() };
    let of_target = |target: &Target| {
        let (family, protocol, ports) = (target.family, target.protocol, target.ports.clone());
        target
            .destinations
            .iter()
            .map(move |node| {
                not_tried(
                    *node,
                    family,
                    protocol,
                    ports.clone(),
                    NotTried::Policy,
                    ask.second_look,
                )
            })
            .collect::<Vec<_>>()
    };
    ask.targets
        .iter()
        .chain(&ask.live_services)
        .flat_map(of_target)
        .collect()
}

/// The record of tests that are not made.
pub(crate) fn not_tried(
    dst: NodeId,
    family: Family,
    protocol: Protocol,
    ports: PortSet,
    why: NotTried,
    second_look: bool,
) -> Record {
    Record::Reach(Reach {
        dst,
        family,
        protocol,
        ports,
        signal: Signal::NotTried { why },
        attempts: 0,
        answered: 0,
        second_look,
        from: None,
    })
}

/// The lower of two limits, where absent means none.
fn lower(a: Option<NonZeroU32>, b: Option<NonZeroU32>) -> Option<NonZeroU32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (limit, None) | (None, limit) => limit,
    }
}
