//! What goes into a run's state machine and what comes out.

use std::time::Duration;

use plumbline_model::{
    evidence::{Batch, Member, SwarmEvent},
    id::NodeId,
    plan::Plan,
};
use plumbline_proto::convert::{ProgressState, Work};

use serde::Serialize;

use super::{
    budget::Pace, clock::Moment, duties::Duties, headroom::Tight, narrowing::SharedRanges, offsets::Exchange,
};

/// What a run is made of.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Every participant with what it has to do.
    pub(crate) duties: Duties,
    /// The ranges that are shared among sources.
    pub(crate) shared: SharedRanges,
    /// With `--partial`, the plan: what those who stay away would have tested of shared ranges falls to those who came.
    pub(crate) partial: Option<Plan>,
    /// How sources test.
    pub(crate) pace: Pace,
    /// How long probes may take to join.
    pub(crate) join_timeout: Duration,
}

/// What happens to a run.
#[derive(Debug)]
pub(crate) enum Event {
    /// A probe proved its join string and its keys.
    Joined(Box<Member>),
    /// Somebody who asked to join as a node was refused.
    NotAdmitted {
        /// As whom.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// A joined probe opened a session, for the first time or again.
    SessionOpened {
        /// Who.
        node: NodeId,
        /// The highest batch that it has closed; 0 before the first.
        last_closed_seq: u64,
    },
    /// The present session of a probe ended.
    SessionEnded(NodeId),
    /// A probe gave a sign of life.
    Heard(NodeId),
    /// A batch was stored; batches come in the order of their numbers, each once.
    BatchStored(Box<Batch>),
    /// A batch that had been stored before came again.
    BatchDuplicate(NodeId, u64),
    /// A probe said how far an assignment is.
    Progress {
        /// Who.
        node: NodeId,
        /// Which assignment.
        assignment: u32,
        /// How far.
        state: ProgressState,
    },
    /// A probe does not do an assignment.
    Refused {
        /// Who.
        node: NodeId,
        /// Which assignment.
        assignment: u32,
        /// In the probe's words.
        reason: String,
    },
    /// A probe told what time it is, and when it was asked and heard by the coordinator's own clock.
    ClockTold {
        /// Who.
        node: NodeId,
        /// The number of the question.
        number: u32,
        /// When.
        exchange: Exchange,
    },
    /// Time passed.
    Tick,
    /// The user wants the run to end now.
    Interrupted,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Line up a swarm event in the evidence, with the moment at which it happened.
    Record(Moment, SwarmEvent),
    /// Give everybody the roster; it is followed by an [`Action::Record`] of its own making by the driver, which knows the
    /// digest.
    PublishRoster(Moment, Vec<Member>),
    /// Give a probe work.
    Assign {
        /// Whom.
        node: NodeId,
        /// The assignment's id.
        assignment: u32,
        /// What to do.
        work: Work,
    },
    /// Ask a probe what time it is.
    AskClock {
        /// Whom.
        node: NodeId,
        /// The number of the question within its session, from 1.
        number: u32,
    },
    /// Tell a probe that an assignment is over.
    Release {
        /// Whom.
        node: NodeId,
        /// Which assignment.
        assignment: u32,
    },
    /// Tell a probe that the run is over for it.
    Finish {
        /// Whom.
        node: NodeId,
        /// Why, for the probe's log.
        reason: &'static str,
    },
    /// Say that a host's connection tracking has little room; told once for each host.
    Tight(Tight),
    /// A phase began.
    Enter(Phase),
    /// The run is over and the evidence complete.
    Finished,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Probes join and tell their facts.
    Joining,
    /// Responders are bound.
    Arming,
    /// Every source tests.
    Asking,
    /// The edges of what failed in shared ranges are narrowed down, in rounds.
    Narrowing,
    /// What is asked beside the port matrix is waited for, and paths are measured.
    Examining,
    /// Captures start at both ends of what failed.
    Looking,
    /// What failed is tested again.
    AskingAgain,
    /// Captures stop and report.
    ReleasingLook,
    /// Responders close and report what they heard.
    ReleasingArm,
    /// VIPs are taken and tunnels made, one turn after the other.
    InTurn,
    /// Nodes with failures read their packet filter again.
    Surveying,
    /// The user interrupted: tests are released, then ports, and what comes is kept.
    WindingUp,
    /// Probes are told that the run is over.
    Finishing,
    /// It is over.
    Done,
}
