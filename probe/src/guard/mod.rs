//! The local guard: what this host allows a coordinator to ask of it, whatever the coordinator says.
//!
//! Pure: a roster or an assignment in, a permit or a refusal out. Nothing runs that did not pass here.
//!
//! 1. A roster is refused whole if any address in it is not a plain unicast address, or if it does not hold this node with
//!    exactly its own keys. Without an accepted roster nothing is done.
//! 2. An assignment is refused whole if it asks for what no honest coordinator asks for.
//! 3. What the policy file excludes is not tried, one record for each such target, and the rest is done: never a silent gap.
//! 4. Rates and leases are lowered to the policy's, never raised.

mod address;
mod policy;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr, num::NonZeroU32, time::Duration};

use plumbline_model::{
    evidence::Member,
    id::NodeId,
    observation::{Armed, BindFailure, Life, NotBound, NotTried, Reach, Record, Signal},
    plan::Target,
    port::{Family, PortSet, Protocol},
};
use plumbline_proto::convert::{ArmPorts, Ask, Assignment, Roster, Watch, Work};

pub use self::{
    address::Forbidden,
    policy::{Policy, PolicyError},
};

/// The guard of one probe.
#[derive(Debug, Clone)]
pub struct Guard {
    policy: Policy,
    own: Own,
}

/// Who this probe is, as a roster must show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its node.
    pub node: NodeId,
    /// SHA-256 of its TLS key, lower-case hexadecimal.
    pub tls_key_sha256: String,
    /// Its signing key, lower-case hexadecimal.
    pub signing_key: String,
    /// Its agreement key, lower-case hexadecimal.
    pub agreement_key: String,
}

/// Why a roster is not worked with. The words go to the coordinator and into the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterRefused {
    /// This node is not on it.
    #[error("the roster does not hold this node")]
    NotOnIt,
    /// This node is on it with a key that it does not have.
    #[error("the roster shows this node with another {0} key than its own")]
    OtherKey(&'static str),
    /// A node whose first address is not its id.
    #[error("the roster shows node {0} with another data address first")]
    OtherAddress(NodeId),
    /// An address that no node can have.
    #[error("the roster shows node {node} at {address}: {why}")]
    Address {
        /// Whose.
        node: NodeId,
        /// The address.
        address: IpAddr,
        /// What is wrong with it.
        why: Forbidden,
    },
}

/// Why an assignment is refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// This node is to test itself.
    #[error("a node does not test itself")]
    Itself,
    /// The admin workstation is to be tested.
    #[error("the coordinator is never a destination")]
    Coordinator,
    /// The admin workstation is to open ports.
    #[error("the coordinator's own vantage opens no ports")]
    Vantage,
    /// The policy file forbids captures.
    #[error("the policy of this node forbids captures")]
    Capture,
}

/// An assignment that may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// How long it may go on without a word from the coordinator.
    pub lease: Duration,
    /// How long it may go on at all.
    pub duration: Duration,
    /// What may be done.
    pub work: PermittedWork,
    /// What may not, to be reported as it stands.
    pub excluded: Vec<Record>,
}

/// What may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermittedWork {
    /// Bind TCP ports of own addresses.
    Arm(Vec<(IpAddr, PortSet)>),
    /// Ask TCP ports of peers.
    Ask(PermittedAsk),
    /// Watch tests.
    Look(Vec<Watch>),
    /// Gather facts.
    Survey,
}

/// Ports by peer and address.
pub type Targets = BTreeMap<(NodeId, IpAddr), PortSet>;

/// Tests that may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermittedAsk {
    /// Where responders of ours answer.
    pub targets: Targets,
    /// Where services of the peers answer, which are never spoken to.
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
    /// A guard with this policy for this probe.
    pub fn new(policy: Policy, own: Own) -> Self {
        Self { policy, own }
    }

    /// Whether this roster may be worked with.
    ///
    /// # Errors
    /// If an address in it is none of a node, or this node is not on it as it is.
    pub fn check_roster(&self, roster: &Roster) -> Result<(), RosterRefused> {
        let own = roster.member(self.own.node).ok_or(RosterRefused::NotOnIt)?;
        for (key, shown, real) in [
            ("TLS", &own.tls_key_sha256, &self.own.tls_key_sha256),
            ("signing", &own.signing_key, &self.own.signing_key),
            ("agreement", &own.agreement_key, &self.own.agreement_key),
        ] {
            if shown != real {
                return Err(RosterRefused::OtherKey(key));
            }
        }
        // Tests of the program itself run on loopback: there, and only there, loopback peers are peers.
        let on_loopback = self
            .own
            .node
            .address()
            .is_some_and(|address| address.is_loopback());
        for member in roster.members() {
            check_member(member, on_loopback)?;
        }
        Ok(())
    }

    /// Whether, and how far, an assignment may run on a host in this state of life. The roster has been accepted.
    ///
    /// # Errors
    /// If it may not run at all.
    pub fn permit(&self, assignment: Assignment, roster: &Roster, life: Life) -> Result<Permit, Refused> {
        let (work, excluded) = match assignment.work {
            Work::Arm(sets) => self.permit_arm(&sets, roster, life)?,
            Work::Ask(ask) => self.permit_ask(&ask, roster)?,
            Work::Look(_) if !self.policy.capture => return Err(Refused::Capture),
            Work::Look(watches) => (PermittedWork::Look(watches), Vec::new()),
            Work::Survey => (PermittedWork::Survey, Vec::new()),
        };
        let lease = assignment.lease.min(self.policy.max_lease);
        Ok(Permit {
            lease,
            duration: self.policy.max_duration,
            work,
            excluded,
        })
    }

    fn permit_arm(
        &self,
        sets: &[ArmPorts],
        roster: &Roster,
        life: Life,
    ) -> Result<(PermittedWork, Vec<Record>), Refused> {
        if self.own.node == NodeId::Coordinator {
            return Err(Refused::Vantage);
        }
        let mut permitted: BTreeMap<IpAddr, PortSet> = BTreeMap::new();
        let mut excluded = Vec::new();
        for set in sets {
            let mut refuse = |ports: PortSet, why: BindFailure| {
                if !ports.is_empty() {
                    excluded.push(Record::Armed(Armed {
                        family: set.family,
                        protocol: set.protocol,
                        ports: PortSet::new(),
                        refused: vec![NotBound { ports, why }],
                    }));
                }
            };
            let own = roster
                .member(self.own.node)
                .and_then(|member| address_of(member, set.family));
            match own {
                _ if set.protocol != Protocol::Tcp => {
                    refuse(
                        set.ports.clone(),
                        BindFailure::Other {
                            errno: EPROTONOSUPPORT,
                        },
                    );
                }
                _ if life == Life::Live => refuse(set.ports.clone(), BindFailure::Live),
                None => refuse(set.ports.clone(), BindFailure::AddressMissing),
                Some(address) => {
                    let allowed = self.policy.allowed_ports(&set.ports);
                    refuse(set.ports.difference(&allowed), BindFailure::Policy);
                    if !allowed.is_empty() {
                        permitted.entry(address).or_default().extend(&allowed);
                    }
                }
            }
        }
        Ok((PermittedWork::Arm(permitted.into_iter().collect()), excluded))
    }

    fn permit_ask(&self, ask: &Ask, roster: &Roster) -> Result<(PermittedWork, Vec<Record>), Refused> {
        let mut excluded = Vec::new();
        let mut permit = |targets: &[Target]| {
            let mut permitted = Targets::new();
            for target in targets {
                for (node, ports, why) in self.permit_target(target, roster, &mut permitted)? {
                    let (family, protocol) = (target.family, target.protocol);
                    excluded.push(not_tried(node, family, protocol, ports, why, ask.second_look));
                }
            }
            Ok(permitted)
        };
        let (mut targets, live_services) = (permit(&ask.targets)?, permit(&ask.live_services)?);
        // A port that is named as a service is one, whatever else is said of it: nothing is ever sent into it.
        for (peer, services) in &live_services {
            if let Some(ports) = targets.get_mut(peer) {
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

    /// Adds what may be tested to `permitted` and returns what may not.
    fn permit_target(
        &self,
        target: &Target,
        roster: &Roster,
        permitted: &mut Targets,
    ) -> Result<Vec<(NodeId, PortSet, NotTried)>, Refused> {
        let mut excluded = Vec::new();
        for &node in &target.destinations {
            if node == self.own.node {
                return Err(Refused::Itself);
            }
            if node == NodeId::Coordinator {
                return Err(Refused::Coordinator);
            }
            let mut refuse = |ports: PortSet, why| excluded.push((node, ports, why));
            let address = roster
                .member(node)
                .and_then(|member| address_of(member, target.family));
            match address {
                _ if target.protocol != Protocol::Tcp => refuse(target.ports.clone(), NotTried::Unsupported),
                None => refuse(target.ports.clone(), NotTried::NotOnRoster),
                Some(address) if !self.policy.allows_network(address) => {
                    refuse(target.ports.clone(), NotTried::Policy);
                }
                Some(address) => {
                    let allowed = self.policy.allowed_ports(&target.ports);
                    refuse(target.ports.difference(&allowed), NotTried::Policy);
                    permitted.entry((node, address)).or_default().extend(&allowed);
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

/// The address at which a member is tested: its data address if that has the family, else its first that has.
pub fn address_of(member: &Member, family: Family) -> Option<IpAddr> {
    member
        .addresses
        .iter()
        .copied()
        .find(|address| Family::of(*address) == family)
}

fn check_member(member: &Member, on_loopback: bool) -> Result<(), RosterRefused> {
    if let Some(data) = member.node.address()
        && member.addresses.first() != Some(&data)
    {
        return Err(RosterRefused::OtherAddress(member.node));
    }
    for &address in &member.addresses {
        address::check(address, on_loopback).map_err(|why| RosterRefused::Address {
            node: member.node,
            address,
            why,
        })?;
    }
    Ok(())
}

fn not_tried(
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

/// The errno for a transport that this build has no responder for (Linux, `asm-generic/errno.h`).
const EPROTONOSUPPORT: u32 = 93;
