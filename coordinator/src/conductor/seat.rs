//! One participant's place in a run: whether its probe is here, and what it was told to do.
//!
//! ```text
//!              Joined          session opens            session ends          grace is over
//!   Expected ---------> Away ----------------> Here -------------------> Away --------------> Lost
//!      |                                        |   ^ session opens        |                    |
//!      | join timeout                    lease  |   +----------------------+                    | session opens
//!      v                              overdue   v                                               v
//!   NotJoined                                  Lost ------------------------------------------> Late
//! ```

use std::collections::BTreeMap;

use plumbline_model::{
    evidence::{LostWhy, Member},
    id::NodeId,
    observation::Conntrack,
    port::Family,
};
use plumbline_proto::convert::{ProgressState, Work};

use super::{clock::Awake, offsets::Series};

/// Whether a probe can be counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It has not joined yet.
    Expected,
    /// It has a session.
    Here,
    /// It joined and has no session.
    Away {
        /// Since when.
        since: Awake,
    },
    /// It never joined; final.
    NotJoined,
    /// It was given up; final but for [`Presence::Late`].
    Lost(LostWhy),
    /// It came back after it had been given up; final.
    Late,
    /// Its part is over: its session ended after it had been told to finish, or it was still testing when an interrupted run
    /// closed its ports. Final.
    Gone,
}

/// One participant.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) presence: Presence,
    pub(super) member: Option<Member>,
    /// Why the last one that asked to join in its place was refused.
    pub(super) turned_away: Option<String>,
    /// Whether its facts have come: the first thing that a probe says.
    pub(super) facts: bool,
    /// Whether it can open packet sockets.
    pub(super) captures: bool,
    /// Whether Kubernetes runs on its host.
    pub(super) is_live: bool,
    /// Its host's connection tracking as it stood when the probe joined; absent where the kernel does not track.
    pub(super) conntrack: Option<Conntrack>,
    /// Its clock.
    pub(super) clock: Series,
    /// The highest batch that the probe says it has closed.
    pub(super) closed_seq: u64,
    /// The highest batch that was stored.
    pub(super) stored_seq: u64,
    /// When it was last heard.
    pub(super) heard: Awake,
    /// Its assignments that are not over, by id.
    pub(super) tasks: BTreeMap<u32, Task>,
}

impl Seat {
    pub(super) fn new() -> Self {
        Self {
            presence: Presence::Expected,
            member: None,
            turned_away: None,
            facts: false,
            captures: false,
            is_live: false,
            conntrack: None,
            clock: Series::default(),
            closed_seq: 0,
            stored_seq: 0,
            heard: Awake::default(),
            tasks: BTreeMap::new(),
        }
    }

    /// Whether work can be given to it: it is here, or away for no longer than the grace.
    pub(super) fn takes_part(&self) -> bool {
        matches!(self.presence, Presence::Here | Presence::Away { .. })
    }

    /// Whether it has an address of a family to speak from, and to be spoken to at. The workstation has no data address: it
    /// speaks from what it has, and one whose addresses are all a node's is not known to lack any.
    pub(super) fn speaks(&self, family: Family) -> bool {
        self.member.as_ref().is_some_and(|member| match member.node {
            NodeId::Coordinator => {
                let mut families = member.addresses.iter().map(|address| Family::of(*address));
                member.addresses.is_empty() || families.any(|of| of == family)
            }
            NodeId::Address(_) => member.data_address(family).is_some(),
        })
    }

    /// Forgets the assignments whose every batch is stored.
    pub(super) fn close_finished_tasks(&mut self) {
        let stored = self.stored_seq;
        self.tasks.retain(
            |_, task| !matches!(task.told, Some(ProgressState::Done { last_seq }) if last_seq <= stored),
        );
    }
}

/// An assignment that is not over.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) work: Work,
    /// What the probe said last about it; `None` before it said anything.
    pub(super) told: Option<ProgressState>,
    /// Whether it was told that the assignment is over.
    pub(super) released: bool,
}
