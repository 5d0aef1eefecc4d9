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
mod arm;
mod ask;
mod errand;
mod policy;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, time::Duration};

use plumbline_model::{
    errand::Errand,
    evidence::Member,
    id::NodeId,
    observation::{Listener, Record, Undone},
};
use plumbline_proto::convert::{Assignment, Roster, Watch, Work};

pub use self::{
    address::Forbidden,
    arm::Opening,
    ask::{Endpoint, PermittedAsk, Targets, nothing_tried},
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
    /// An IPv6 data address that is not among the node's addresses.
    #[error("the roster shows node {0} with an IPv6 data address that it does not list")]
    OtherIpv6(NodeId),
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
    /// Bind ports of own addresses.
    Arm(Vec<Opening>),
    /// Ask ports of peers.
    Ask(PermittedAsk),
    /// Watch tests.
    Look(Vec<Watch>),
    /// Gather facts.
    Survey,
    /// Do something beside the port matrix.
    Errand(Errand),
    /// Nothing: what was asked for is excluded.
    Nothing,
}

/// How this host stands to being asked to open ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// No sign of Kubernetes.
    Bare,
    /// Kubernetes is here: nothing is opened.
    Live {
        /// Who waits here for others, if that could be read.
        listeners: Option<Vec<Listener>>,
    },
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

    /// Whether, and how far, an assignment may run on a host that stands so. The roster has been accepted.
    ///
    /// # Errors
    /// If it may not run at all.
    pub fn permit(
        &self,
        assignment: Assignment,
        roster: &Roster,
        standing: &Standing,
    ) -> Result<Permit, Refused> {
        let (work, excluded) = match assignment.work {
            Work::Arm(sets) => self.permit_arm(&sets, roster, standing)?,
            Work::Ask(ask) => self.permit_ask(&ask, roster)?,
            Work::Look(_) if !self.policy.capture => return Err(Refused::Capture),
            Work::Look(watches) => (PermittedWork::Look(watches), Vec::new()),
            Work::Survey => (PermittedWork::Survey, Vec::new()),
            Work::Errand(errand) => {
                let kind = errand.kind();
                match self.permit_errand(errand, roster, standing) {
                    Ok(errand) => (PermittedWork::Errand(errand), Vec::new()),
                    Err(why) => (
                        PermittedWork::Nothing,
                        vec![Record::Undone(Undone { errand: kind, why })],
                    ),
                }
            }
        };
        let lease = assignment.lease.min(self.policy.max_lease);
        Ok(Permit {
            lease,
            duration: self.policy.max_duration,
            work,
            excluded,
        })
    }
}

fn check_member(member: &Member, on_loopback: bool) -> Result<(), RosterRefused> {
    if let Some(data) = member.node.address()
        && member.addresses.first() != Some(&data)
    {
        return Err(RosterRefused::OtherAddress(member.node));
    }
    if let Some(data_ipv6) = member.data_ipv6
        && !member.addresses.contains(&IpAddr::V6(data_ipv6))
    {
        return Err(RosterRefused::OtherIpv6(member.node));
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
