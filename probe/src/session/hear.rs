//! What the coordinator says, and what becomes of it: the roster and every assignment pass the guard here, and nowhere else.

use std::sync::Arc;

use plumbline_model::observation::Life;
use plumbline_proto::{
    convert::{Assignment, ClockAnswer, FromProbe, Roster, ToProbe, Welcome, Work, roster_of},
    v1,
};
use tracing::{debug, warn};

use super::{AcceptedRoster, End, Session, outbox::NeverClosed, unix_us};
use crate::{
    error_chain::chain,
    facts,
    guard::{Standing, nothing_tried},
};

impl Session {
    pub(super) fn on_message(&mut self, message: ToProbe) -> Option<End> {
        match message {
            ToProbe::Welcome(welcome) => self.on_welcome(welcome),
            ToProbe::Ack { seq } => {
                let result = self.outbox.acknowledge(seq);
                self.check_acknowledgement(result);
            }
            ToProbe::Roster(roster) => self.on_roster(roster),
            ToProbe::Assignment(assignment) => self.on_assignment(&assignment),
            ToProbe::Release { assignment } => {
                if self.works.is_running(assignment) {
                    self.works.end(assignment);
                } else {
                    self.queue.repeat(assignment);
                }
            }
            ToProbe::Finish { reason } => return Some(End::Finished { reason }),
            ToProbe::ClockQuestion { number } => {
                let received_unix_us = unix_us();
                self.say(FromProbe::ClockAnswer(ClockAnswer {
                    number,
                    received_unix_us,
                    sent_unix_us: received_unix_us,
                }));
            }
            ToProbe::Heartbeat => {}
        }
        None
    }

    fn on_welcome(&mut self, welcome: Welcome) {
        let result = self.outbox.resume(welcome.applied_seq);
        self.check_acknowledgement(result);
        self.welcome = Some(welcome);
        self.was_welcomed = true;
        self.queue.restate(self.works.progress());
    }

    /// A coordinator that confirms what it was never sent is not to be trusted with testimony, but the testimony stays as it
    /// is; it is said loudly, once a session.
    fn check_acknowledgement(&self, result: Result<(), NeverClosed>) {
        if let Err(error) = result {
            warn!("{error}; ignored");
        }
    }

    fn on_roster(&mut self, roster: Roster) {
        let refused = self
            .guard
            .check_roster(&roster)
            .err()
            .map(|refused| refused.to_string());
        if let Some(reason) = &refused {
            warn!("refused the roster: {reason}");
        }
        self.roster = Some(AcceptedRoster {
            roster: Arc::new(roster),
            refused,
        });
    }

    fn on_assignment(&mut self, wire: &v1::Assignment) {
        let id = wire.id;
        if self.works.is_running(id) {
            let progress = self
                .works
                .progress()
                .into_iter()
                .filter(|progress| progress.assignment == id);
            progress.for_each(|progress| self.queue.push(FromProbe::Progress(progress)));
        } else if self.queue.repeat(id) {
            debug!("assignment {id} was given again");
        } else if self.flush_until.is_some() {
            self.refuse(id, "the probe is ending".to_owned());
        } else if !self.outbox.has_room() {
            self.refuse(id, "too much testimony waits for its acknowledgement".to_owned());
        } else {
            self.take_on(wire);
        }
    }

    fn take_on(&mut self, wire: &v1::Assignment) {
        let id = wire.id;
        let Some(AcceptedRoster { roster, refused }) = &self.roster else {
            return self.refuse(id, "no roster was given".to_owned());
        };
        if let Some(reason) = refused.clone() {
            return self.refuse(id, reason);
        }
        let roster = Arc::clone(roster);
        let assignment = match roster_of(wire).and_then(|_| Assignment::from_wire(wire, &roster)) {
            Ok(assignment) => assignment,
            Err(invalid) => return self.refuse(id, invalid.to_string()),
        };
        if matches!(assignment.work, Work::Errand(_)) && self.works.errands() >= MAX_ERRANDS {
            return self.refuse(id, format!("{MAX_ERRANDS} errands are under way already"));
        }
        let standing = match assignment.work {
            Work::Arm(_) | Work::Errand(_) => self.standing(),
            Work::Ask(_) | Work::Look(_) | Work::Survey => Standing::Bare,
        };
        let asked = assignment.work.clone();
        match self.guard.permit(assignment, &roster, &standing) {
            Ok(permit) => {
                debug!("assignment {id} starts");
                self.works.start(id, permit, roster);
            }
            Err(refused) => {
                self.testify(id, nothing_tried(&asked));
                self.refuse(id, refused.to_string());
            }
        }
    }

    /// Bare or live, as it is now: a kubelet may have come since the probe started. Reading `/proc` takes milliseconds, once a
    /// run.
    fn standing(&mut self) -> Standing {
        if self.facts.life == Life::Bare {
            self.facts.life = facts::life();
        }
        match self.facts.life {
            Life::Bare => Standing::Bare,
            Life::Live => {
                let listeners = facts::listeners::listeners();
                if let Err(error) = &listeners {
                    warn!("failed to {}", chain(error));
                }
                let listeners = listeners.ok();
                Standing::Live { listeners }
            }
        }
    }
}

/// Errands under way at once: twice as many as there are kinds, each of which an honest coordinator gives one or two of. Each is
/// a thread or a few.
const MAX_ERRANDS: usize = 16;
