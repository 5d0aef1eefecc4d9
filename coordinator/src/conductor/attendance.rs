//! Who is here: what joining, coming, going and falling silent do to a participant's seat.

use std::time::Duration;

use plumbline_model::{
    evidence::{Batch, LostWhy, Member, SwarmEvent},
    id::NodeId,
    observation::{Life, Record},
};

use super::{
    Action, Conductor, GIVEN_UP, LEASE, Phase, RECONNECT_GRACE, RUN_IS_OVER,
    clock::Awake,
    seat::{Presence, Seat},
};

impl Conductor {
    /// The seat of a participant that has just been heard, if it still takes part.
    pub(super) fn participant(&mut self, now: Awake, node: NodeId) -> Option<&mut Seat> {
        let seat = self.seats.get_mut(&node).filter(|seat| seat.takes_part())?;
        seat.heard = now;
        Some(seat)
    }

    /// Whom a run waits for that has just begun, and for how long still; nobody once it has gone on.
    pub(crate) fn awaited(&self) -> (Vec<NodeId>, Duration) {
        let left = self.phase_deadline.since(self.clock.awake());
        if self.phase != Phase::Joining {
            return (Vec::new(), left);
        }
        let missing = self
            .seats
            .iter()
            .filter(|(_, seat)| seat.presence == Presence::Expected);
        (missing.map(|(node, _)| *node).collect(), left)
    }

    pub(super) fn joined(&mut self, now: Awake, member: Member) {
        let Some(seat) = self.seats.get_mut(&member.node) else {
            return;
        };
        if seat.presence != Presence::Expected || self.phase != Phase::Joining {
            return;
        }
        seat.presence = Presence::Away { since: now };
        seat.heard = now;
        seat.member = Some(member.clone());
        self.record(SwarmEvent::Joined { member });
    }

    pub(super) fn session_opened(&mut self, now: Awake, node: NodeId, last_closed_seq: u64) {
        let Some(seat) = self.seats.get_mut(&node) else {
            return;
        };
        match seat.presence {
            Presence::Here | Presence::Away { .. } => {
                seat.presence = Presence::Here;
                seat.heard = now;
                seat.closed_seq = seat.closed_seq.max(last_closed_seq);
                if self.phase >= Phase::Finishing {
                    self.actions.push_back(Action::Finish {
                        node,
                        reason: RUN_IS_OVER,
                    });
                    return;
                }
                // What was sent on the old stream may not have arrived: a probe ignores what it knows and repeats how far it is.
                for (assignment, task) in &seat.tasks {
                    let (assignment, work) = (*assignment, task.work.clone());
                    self.actions.push_back(Action::Assign {
                        node,
                        assignment,
                        work,
                    });
                    if task.released {
                        self.actions.push_back(Action::Release { node, assignment });
                    }
                }
                self.ask_clock(node);
            }
            Presence::Lost(_) => {
                seat.presence = Presence::Late;
                self.record(SwarmEvent::Late { node });
                self.actions.push_back(Action::Finish {
                    node,
                    reason: GIVEN_UP,
                });
            }
            Presence::Late | Presence::NotJoined | Presence::Gone | Presence::Expected => {
                self.actions.push_back(Action::Finish {
                    node,
                    reason: GIVEN_UP,
                });
            }
        }
    }

    pub(super) fn session_ended(&mut self, now: Awake, node: NodeId) {
        let finishing = self.phase == Phase::Finishing;
        if let Some(seat) = self
            .seats
            .get_mut(&node)
            .filter(|seat| seat.presence == Presence::Here)
        {
            seat.presence = if finishing {
                Presence::Gone
            } else {
                Presence::Away { since: now }
            };
        }
    }

    pub(super) fn batch_stored(&mut self, now: Awake, batch: &Batch) {
        let Some(seat) = self.participant(now, batch.node) else {
            return;
        };
        seat.stored_seq = seat.stored_seq.max(batch.seq);
        seat.closed_seq = seat.closed_seq.max(batch.seq);
        for record in &batch.records {
            if let Record::Facts(facts) = record {
                seat.captures = facts.capabilities.capture;
                seat.is_live = facts.life == Life::Live;
                if !seat.facts {
                    seat.facts = true;
                    seat.conntrack = facts.conntrack;
                }
            }
        }
        seat.close_finished_tasks();
        self.failures.note(batch, &self.duties);
        self.responders.note(batch);
    }

    pub(super) fn give_up_the_silent(&mut self, now: Awake) {
        let verdict = |seat: &Seat| match seat.presence {
            Presence::Here if now.since(seat.heard) > LEASE => Some(LostWhy::Silent),
            Presence::Away { since } if now.since(since) > RECONNECT_GRACE => Some(LostWhy::StreamEnded),
            _ => None,
        };
        let lost: Vec<_> = self
            .seats
            .iter()
            .filter_map(|(node, seat)| verdict(seat).map(|why| (*node, why)))
            .collect();
        for (node, why) in lost {
            self.lose(node, why);
        }
    }

    pub(super) fn lose(&mut self, node: NodeId, why: LostWhy) {
        let Some(seat) = self.seats.get_mut(&node).filter(|seat| seat.takes_part()) else {
            return;
        };
        if self.phase == Phase::Finishing {
            // Its work is done; that it did not say goodbye harms nobody.
            seat.presence = Presence::Gone;
            return;
        }
        seat.presence = Presence::Lost(why);
        seat.tasks.clear();
        self.record(SwarmEvent::Lost { node, why });
        self.actions.push_back(Action::Finish {
            node,
            reason: GIVEN_UP,
        });
    }
}
