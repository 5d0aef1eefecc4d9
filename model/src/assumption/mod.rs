//! Judges what the design of a cluster assumes of its network, from the evidence: layer 2 and VIPs, layer 3, MTU, the hosts'
//! packet filters and settings, clocks, the outside. One file a check: its id and its words ([`Check`]) beside its rule.
//!
//! A rule looks at a [`Scene`] and comes to rulings: one for each subject, with a complaint where something is wrong. What is
//! said of the network as a whole is then settled with the causes of failing tests ([`settle()`]), so that one cause is one
//! finding.

mod crowd;
mod external;
mod firewall;
mod inspected;
mod l2;
mod l3;
mod mtu;
mod paths;
mod scene;
mod settle;
mod system;
mod time;
mod vip;

use crate::{
    cause::{Cause, CauseKind, Fix},
    evidence::Group,
    id::NodeId,
    report::{
        Status,
        check::{Check, NEEDS_ACTIVE, PROBE_GONE},
    },
};

pub(crate) use self::{scene::Scene, settle::settle};

/// A check that is made of evidence, and its rule.
pub(crate) struct Rule {
    /// Its id and its words.
    pub(crate) check: &'static Check,
    /// With which group it is selected.
    pub(crate) group: Group,
    /// What it comes to; nothing where it does not apply.
    pub(crate) judge: fn(&Scene<'_>) -> Vec<Ruling>,
}

/// What a rule says of one subject.
#[derive(Debug)]
pub(crate) struct Ruling {
    /// What it is about: a node, a pair, a VIP, a name.
    pub(crate) subject: String,
    /// What was seen, in one sentence.
    pub(crate) detail: String,
    /// How it stands.
    pub(crate) opinion: Opinion,
}

/// How a subject stands to a check.
#[derive(Debug)]
pub(crate) enum Opinion {
    /// As it should be.
    Pass,
    /// It deserves a look.
    Warn(Complaint),
    /// It is wrong.
    Fail(Complaint),
    /// Nothing can be said.
    NotMeasured(Lack),
}

/// Why a check has nothing to say of a subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lack {
    /// It needs `--active`, which was not given: it was not planned, and makes no run incomplete.
    NotActive,
    /// It is not made of live nodes: it was not planned either.
    LiveNode,
    /// The probe of this node is gone, which is a finding of its own.
    ProbeGone(NodeId),
    /// The probe of this node lacks a capability (`CAP_NET_RAW`): all checks that lack it become one finding.
    Capability(NodeId, &'static str),
    /// Something that another check tells of, or that makes nothing incomplete: a row only.
    ToldElsewhere(String),
    /// It fails, and the finding of another check tells of it: a failing row only.
    FailsElsewhere(String),
    /// Another reason, at a node or at none: a finding of its own.
    Other(Option<NodeId>, String),
}

/// A finding in the making.
#[derive(Debug)]
pub(crate) struct Complaint {
    /// Why, and at which node.
    pub(crate) cause: Cause,
    /// What mends it.
    pub(crate) fix: Fix,
    /// Lines of evidence that show it.
    pub(crate) evidence: Vec<u32>,
    /// Which causes of failing tests are consequences of it: their tests are then told under it.
    pub(crate) explains: Explains,
}

/// Which causes of failing tests are consequences of a complaint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Explains {
    /// Of which kinds; empty for none at all.
    pub(crate) kinds: &'static [CauseKind],
    /// Which pairs they are of: every test under the cause has to be of one.
    pub(crate) pairs: Pairs,
}

/// Ordered pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// No pair.
    #[default]
    None,
    /// Those with one of these at an end.
    Touching(Vec<NodeId>),
    /// Those from one side to the other.
    Between(Vec<NodeId>, Vec<NodeId>),
    /// Those from one side to the other and back.
    Among(Vec<NodeId>, Vec<NodeId>),
    /// Those of a host whose address others have, too: who takes the one for the other may be anybody, whatever else fails is
    /// explained between the two only.
    Doubled(NodeId, Vec<NodeId>),
}

impl Explains {
    /// Whether a cause of this kind, of a test of this pair, is a consequence.
    pub(crate) fn have(&self, kind: CauseKind, src: NodeId, dst: NodeId) -> bool {
        let is_mistaken = MISTAKEN.contains(&kind);
        match &self.pairs {
            Pairs::Doubled(owner, _) if is_mistaken && (src == *owner || dst == *owner) => true,
            pairs => self.kinds.contains(&kind) && pairs.have(src, dst),
        }
    }
}

/// What comes of taking one host for another.
const MISTAKEN: [CauseKind; 3] = [
    CauseKind::DuplicateAddress,
    CauseKind::WrongResponder,
    CauseKind::ProxyArp,
];

impl Pairs {
    /// Whether a pair is one of them.
    pub(crate) fn have(&self, src: NodeId, dst: NodeId) -> bool {
        let between = |from: &[NodeId], to: &[NodeId]| from.contains(&src) && to.contains(&dst);
        match self {
            Self::None => false,
            Self::Touching(nodes) => nodes.contains(&src) || nodes.contains(&dst),
            Self::Between(from, to) => between(from, to),
            Self::Among(one, other) => between(one, other) || between(other, one),
            Self::Doubled(owner, twins) => {
                src == *owner && twins.contains(&dst) || dst == *owner && twins.contains(&src)
            }
        }
    }
}

impl Ruling {
    /// It is as it should be.
    pub(crate) fn pass(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            detail: detail.into(),
            opinion: Opinion::Pass,
        }
    }

    /// Nothing can be said.
    pub(crate) fn not_measured(subject: impl Into<String>, lack: Lack) -> Self {
        Self {
            subject: subject.into(),
            detail: lack.said(),
            opinion: Opinion::NotMeasured(lack),
        }
    }

    /// It deserves a look.
    pub(crate) fn warn(subject: impl Into<String>, complaint: Complaint) -> Self {
        Self {
            subject: subject.into(),
            detail: complaint.cause.detail.clone(),
            opinion: Opinion::Warn(complaint),
        }
    }

    /// It is wrong, and another check has a finding of it.
    pub(crate) fn told(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::not_measured(subject, Lack::FailsElsewhere(detail.into()))
    }

    /// It is wrong.
    pub(crate) fn fail(subject: impl Into<String>, complaint: Complaint) -> Self {
        Self {
            subject: subject.into(),
            detail: complaint.cause.detail.clone(),
            opinion: Opinion::Fail(complaint),
        }
    }

    /// Its word in the report.
    pub(crate) fn status(&self) -> Status {
        match self.opinion {
            Opinion::Pass => Status::Pass,
            Opinion::Warn(_) => Status::Warn,
            Opinion::Fail(_) => Status::Fail,
            Opinion::NotMeasured(Lack::FailsElsewhere(_)) => Status::Fail,
            Opinion::NotMeasured(_) => Status::NotMeasured,
        }
    }
}

impl Lack {
    /// In words.
    pub(crate) fn said(&self) -> String {
        match self {
            Self::NotActive => NEEDS_ACTIVE.to_owned(),
            Self::LiveNode => "not made of live nodes".to_owned(),
            Self::ProbeGone(_) => PROBE_GONE.to_owned(),
            Self::Capability(_, capability) => format!("the probe lacks {capability}"),
            Self::ToldElsewhere(why) | Self::FailsElsewhere(why) | Self::Other(_, why) => why.clone(),
        }
    }
}

/// Every rule, ascending by id.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        check: &external::names::CHECK,
        group: Group::External,
        judge: external::names::judge,
    },
    Rule {
        check: &external::servers::CHECK,
        group: Group::External,
        judge: external::servers::judge,
    },
    Rule {
        check: &external::proxy::CHECK,
        group: Group::External,
        judge: external::proxy::judge,
    },
    Rule {
        check: &external::region::CHECK,
        group: Group::External,
        judge: external::region::judge,
    },
    Rule {
        check: &external::mirrors::CHECK,
        group: Group::External,
        judge: external::mirrors::judge,
    },
    Rule {
        check: &external::packages::CHECK,
        group: Group::External,
        judge: external::packages::judge,
    },
    Rule {
        check: &firewall::managers::CHECK,
        group: Group::Host,
        judge: firewall::managers::judge,
    },
    Rule {
        check: &firewall::zone_ports::CHECK,
        group: Group::Host,
        judge: firewall::zone_ports::judge,
    },
    Rule {
        check: &firewall::drift::CHECK,
        group: Group::Host,
        judge: firewall::drift::judge,
    },
    Rule {
        check: &firewall::pod_sources::CHECK,
        group: Group::Host,
        judge: firewall::pod_sources::judge,
    },
    Rule {
        check: &firewall::host_policy::CHECK,
        group: Group::Host,
        judge: firewall::host_policy::judge,
    },
    Rule {
        check: &firewall::vrrp::CHECK,
        group: Group::Host,
        judge: firewall::vrrp::judge,
    },
    Rule {
        check: &firewall::cilium_chains::CHECK,
        group: Group::Host,
        judge: firewall::cilium_chains::judge,
    },
    Rule {
        check: &firewall::flush_on_reload::CHECK,
        group: Group::Host,
        judge: firewall::flush_on_reload::judge,
    },
    Rule {
        check: &firewall::forward::CHECK,
        group: Group::Host,
        judge: firewall::forward::judge,
    },
    Rule {
        check: &firewall::reloaders::CHECK,
        group: Group::Host,
        judge: firewall::reloaders::judge,
    },
    Rule {
        check: &l2::device::CHECK,
        group: Group::L2,
        judge: l2::device::judge,
    },
    Rule {
        check: &l2::adjacent::CHECK,
        group: Group::L2,
        judge: l2::adjacent::judge,
    },
    Rule {
        check: &l2::proxy::CHECK,
        group: Group::L2,
        judge: l2::proxy::judge,
    },
    Rule {
        check: &l2::domain::CHECK,
        group: Group::L2,
        judge: l2::domain::judge,
    },
    Rule {
        check: &l2::duplicate::CHECK,
        group: Group::L2,
        judge: l2::duplicate::judge,
    },
    Rule {
        check: &l2::same_mac::CHECK,
        group: Group::L2,
        judge: l2::same_mac::judge,
    },
    Rule {
        check: &l2::gateway::CHECK,
        group: Group::L2,
        judge: l2::gateway::judge,
    },
    Rule {
        check: &l2::virtual_router::CHECK,
        group: Group::L2,
        judge: l2::virtual_router::judge,
    },
    Rule {
        check: &l2::neighbors::CHECK,
        group: Group::L2,
        judge: l2::neighbors::judge,
    },
    Rule {
        check: &l2::flux::CHECK,
        group: Group::L2,
        judge: l2::flux::judge,
    },
    Rule {
        check: &l2::counters::CHECK,
        group: Group::L2,
        judge: l2::counters::judge,
    },
    Rule {
        check: &l3::echo::CHECK,
        group: Group::L3,
        judge: l3::echo::judge,
    },
    Rule {
        check: &l3::translation::CHECK,
        group: Group::L3,
        judge: l3::translation::judge,
    },
    Rule {
        check: &l3::default_route::CHECK,
        group: Group::L3,
        judge: l3::default_route::judge,
    },
    Rule {
        check: &l3::hops::CHECK,
        group: Group::L3,
        judge: l3::hops::judge,
    },
    Rule {
        check: &l3::pod_routes::CHECK,
        group: Group::L3,
        judge: l3::pod_routes::judge,
    },
    Rule {
        check: &l3::bgp::CHECK,
        group: Group::L3,
        judge: l3::bgp::judge,
    },
    Rule {
        check: &l3::name_servers::CHECK,
        group: Group::L3,
        judge: l3::name_servers::judge,
    },
    Rule {
        check: &mtu::interfaces::CHECK,
        group: Group::Host,
        judge: mtu::interfaces::judge,
    },
    Rule {
        check: &mtu::path::CHECK,
        group: Group::Host,
        judge: mtu::path::judge,
    },
    Rule {
        check: &mtu::overlay::CHECK,
        group: Group::Host,
        judge: mtu::overlay::judge,
    },
    Rule {
        check: &mtu::told::CHECK,
        group: Group::Host,
        judge: mtu::told::judge,
    },
    Rule {
        check: &mtu::flows::CHECK,
        group: Group::Host,
        judge: mtu::flows::judge,
    },
    Rule {
        check: &mtu::transfer::CHECK,
        group: Group::Host,
        judge: mtu::transfer::judge,
    },
    Rule {
        check: &mtu::fragments::CHECK,
        group: Group::Host,
        judge: mtu::fragments::judge,
    },
    Rule {
        check: &system::local_ports::CHECK,
        group: Group::Host,
        judge: system::local_ports::judge,
    },
    Rule {
        check: &system::forwarding::CHECK,
        group: Group::Host,
        judge: system::forwarding::judge,
    },
    Rule {
        check: &system::reverse_path::CHECK,
        group: Group::Host,
        judge: system::reverse_path::judge,
    },
    Rule {
        check: &system::kernel::CHECK,
        group: Group::Host,
        judge: system::kernel::judge,
    },
    Rule {
        check: &system::known_bad::CHECK,
        group: Group::Host,
        judge: system::known_bad::judge,
    },
    Rule {
        check: &system::offload::CHECK,
        group: Group::Host,
        judge: system::offload::judge,
    },
    Rule {
        check: &system::conntrack::CHECK,
        group: Group::Host,
        judge: system::conntrack::judge,
    },
    Rule {
        check: &system::source_ports::CHECK,
        group: Group::Host,
        judge: system::source_ports::judge,
    },
    Rule {
        check: &system::managers::CHECK,
        group: Group::Host,
        judge: system::managers::judge,
    },
    Rule {
        check: &system::noexec::CHECK,
        group: Group::Host,
        judge: system::noexec::judge,
    },
    Rule {
        check: &time::offset::CHECK,
        group: Group::Host,
        judge: time::offset::judge,
    },
    Rule {
        check: &system::clock::CHECK,
        group: Group::Host,
        judge: system::clock::judge,
    },
    Rule {
        check: &vip::free::CHECK,
        group: Group::L2,
        judge: vip::free::judge,
    },
    Rule {
        check: &vip::on_link::CHECK,
        group: Group::L2,
        judge: vip::on_link::judge,
    },
    Rule {
        check: &vip::usable::CHECK,
        group: Group::L2,
        judge: vip::usable::judge,
    },
    Rule {
        check: &vip::single::CHECK,
        group: Group::L2,
        judge: vip::single::judge,
    },
    Rule {
        check: &vip::failover::CHECK,
        group: Group::L2,
        judge: vip::failover::judge,
    },
];
