//! The state machine of one run. Pure: events and the time go in, actions come out; whoever drives it does the I/O.
//!
//! ```text
//!                              .--. the next round
//!                              v  |
//!   Joining --> Arming --> Asking --> Narrowing --> Examining
//!      |                                                |
//!      | nobody joined                                  v
//!      |        +-- nothing to ask again --------- (failures?)
//!      |        |                                       |
//!      |        |                                       v
//!      |        |                                    Looking --> AskingAgain --> ReleasingLook
//!      |        v                                                                     |
//!      |   ReleasingArm <-------------------------------------------------------------+
//!      |        +--> InTurn, with `--active` --> the next turn
//!      |        v        v
//!      |        +--> Surveying, where something failed
//!      |        v        v
//!      +--> Finishing <--+
//!               |
//!               v
//!             Done
//!   any phase -- interrupted --> WindingUp (release tests, then ports; keep what comes) --> Finishing
//! ```
//!
//! Narrowing is for ranges that are shared among sources: rounds of a few tests until every edge between ports that answer and
//! ports that fail is exact (`narrowing`).
//!
//! A phase ends when every probe that takes part has done its share, and at its deadline at the latest; who is overdue then
//! is lost. So the run ends in its time whatever happens, and what the others saw stands.
//!
//! Driving it: [`Conductor::handle`] with each event and the present moment, then [`Conductor::next_action`] until it says
//! `None`. [`Event::Tick`] must come a few times a second; spurious ticks do nothing. Moments may stand still but not go back.
//! After [`Action::Finished`] there is nothing more to do, and further events are ignored.

mod asking;
mod attendance;
mod budget;
mod clock;
mod duties;
mod errands;
mod event;
mod failures;
mod headroom;
mod narrowing;
mod offsets;
mod responders;
mod seat;
mod second_look;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use plumbline_model::{
    errand,
    evidence::{LostWhy, Member, SwarmEvent},
    id::NodeId,
    plan::Plan,
};
use plumbline_proto::convert::{ProgressState, Work};

use self::{
    asking::Asks,
    clock::{Awake, AwakeClock},
    errands::Turn,
    failures::Failures,
    narrowing::Asked,
    responders::Responders,
    seat::{Presence, Seat, Task},
};
pub(crate) use self::{
    budget::Pace,
    clock::Moment,
    duties::Duties,
    event::{Action, Event, Phase, Settings},
    narrowing::SharedRanges,
    offsets::Exchange,
};

/// One run.
#[derive(Debug)]
pub(crate) struct Conductor {
    duties: Duties,
    /// With `--partial`, until it is known who came.
    partial: Option<Plan>,
    pace: Pace,
    clock: AwakeClock,
    phase: Phase,
    phase_deadline: Awake,
    seats: BTreeMap<NodeId, Seat>,
    last_assignment: u32,
    failures: Failures,
    responders: Responders,
    shared: SharedRanges,
    /// What rounds of narrowing have asked so far, and how many there were.
    narrowed: Asked,
    rounds: u32,
    /// Whose connection tracking has been told to be tight.
    told_tight: BTreeSet<NodeId>,
    /// What sources will ask once the captures run.
    asks_again: Asks,
    /// Turns that have not begun, the next one first; filled when their time comes.
    turns: Option<VecDeque<Turn>>,
    /// The present turn.
    turn: Turn,
    actions: VecDeque<Action>,
}

impl Conductor {
    /// A run that begins now, at the start of its clock.
    pub(crate) fn new(settings: Settings) -> Self {
        let Settings {
            duties,
            shared,
            partial,
            pace,
            join_timeout,
        } = settings;
        let seats = duties.0.keys().map(|node| (*node, Seat::new())).collect();
        Self {
            duties,
            partial,
            pace,
            clock: AwakeClock::default(),
            phase: Phase::Joining,
            phase_deadline: Awake::default().plus(join_timeout),
            seats,
            last_assignment: 0,
            failures: Failures::default(),
            responders: Responders::default(),
            shared,
            narrowed: Asked::new(),
            rounds: 0,
            told_tight: BTreeSet::new(),
            asks_again: Asks::new(),
            turns: None,
            turn: Turn::default(),
            actions: VecDeque::from([Action::Enter(Phase::Joining)]),
        }
    }

    /// Takes one event.
    pub(crate) fn handle(&mut self, now: Moment, event: Event) {
        let now = self.clock.observe(now);
        if self.phase == Phase::Done {
            return;
        }
        self.note(now, event);
        self.give_up_the_silent(now);
        self.advance(now);
    }

    /// What to do next; `None` until the next event.
    pub(crate) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Where the run is.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether what a probe says is part of the run: it joined and was not given up.
    pub(crate) fn takes_part(&self, node: NodeId) -> bool {
        self.seats.get(&node).is_some_and(Seat::takes_part)
    }

    /// How many probes are expected.
    pub(crate) fn expected(&self) -> usize {
        self.seats.len()
    }

    fn note(&mut self, now: Awake, event: Event) {
        match event {
            Event::Joined(member) => self.joined(now, *member),
            Event::NotAdmitted { node, reason } => {
                if let Some(seat) = self.seats.get_mut(&node) {
                    seat.turned_away = Some(reason);
                }
            }
            Event::SessionOpened {
                node,
                last_closed_seq,
            } => self.session_opened(now, node, last_closed_seq),
            Event::SessionEnded(node) => self.session_ended(now, node),
            Event::Heard(node) => {
                self.participant(now, node);
            }
            Event::BatchStored(batch) => self.batch_stored(now, &batch),
            Event::BatchDuplicate(node, seq) => {
                if self.participant(now, node).is_some() {
                    self.record(SwarmEvent::Duplicate { node, seq });
                }
            }
            Event::Progress {
                node,
                assignment,
                state,
            } => {
                let Some(seat) = self.participant(now, node) else {
                    return;
                };
                if let Some(task) = seat.tasks.get_mut(&assignment) {
                    task.told = Some(state);
                }
                if let ProgressState::Done { last_seq } = state {
                    seat.closed_seq = seat.closed_seq.max(last_seq);
                }
                seat.close_finished_tasks();
            }
            Event::Refused {
                node,
                assignment,
                reason,
            } => {
                let Some(seat) = self.participant(now, node) else {
                    return;
                };
                if seat.tasks.remove(&assignment).is_some() {
                    self.record(SwarmEvent::Refused { node, reason });
                }
            }
            Event::ClockTold {
                node,
                number,
                exchange,
            } => self.clock_told(now, node, number, exchange),
            Event::Tick => {}
            Event::Interrupted => self.interrupted(now),
        }
    }

    fn interrupted(&mut self, now: Awake) {
        if self.phase >= Phase::WindingUp {
            return;
        }
        self.record(SwarmEvent::Interrupted);
        self.asks_again.clear();
        self.enter(now, Phase::WindingUp, budget::WINDING_UP);
        self.release(|work| matches!(work, Work::Ask(_) | Work::Errand(_)));
    }

    /// Lets ports be closed once nobody asks any more: a port that is closed under a test in flight looks rejected.
    fn wind_up(&mut self) {
        let asks = |seat: &Seat| seat.tasks.values().any(|task| matches!(task.work, Work::Ask(_)));
        if !self.seats.values().any(|seat| seat.takes_part() && asks(seat)) {
            self.release(|_| true);
        }
    }

    /// Goes on to the next phase for as long as the present one is over.
    fn advance(&mut self, now: Awake) {
        while self.phase != Phase::Done {
            if self.phase == Phase::WindingUp {
                self.wind_up();
            }
            if self.phase == Phase::InTurn {
                self.go_on_with_turn(now);
            }
            let overdue = self.phase_deadline <= now;
            if !overdue && !self.phase_is_over() {
                return;
            }
            if overdue {
                self.settle_overdue();
            }
            self.leave(now);
        }
    }

    fn phase_is_over(&self) -> bool {
        let every_task = |done: fn(&Task) -> bool| {
            self.seats
                .values()
                .filter(|seat| seat.takes_part())
                .all(|seat| seat.tasks.values().all(done))
        };
        match self.phase {
            Phase::Joining => self.seats.values().all(|seat| match seat.presence {
                Presence::Here => seat.facts,
                Presence::Expected | Presence::Away { .. } => false,
                Presence::NotJoined | Presence::Lost(_) | Presence::Late | Presence::Gone => true,
            }),
            // Nothing else is sent yet, which is the best moment to compare clocks.
            Phase::Arming => every_task(|task| task.told.is_some()) && !self.is_asking_clocks(),
            Phase::Looking => every_task(|task| task.told.is_some()),
            Phase::Examining => every_task(|task| !errands::ends(&task.work)),
            Phase::InTurn => self.turn_is_over(),
            // Arms and looks stay until they are released.
            Phase::Asking | Phase::Narrowing | Phase::AskingAgain => {
                every_task(|task| !matches!(task.work, Work::Ask(_)))
            }
            Phase::ReleasingLook => every_task(|task| !matches!(task.work, Work::Look(_))),
            Phase::ReleasingArm | Phase::Surveying | Phase::WindingUp => every_task(|_| false),
            Phase::Finishing => !self.seats.values().any(|seat| seat.presence == Presence::Here),
            Phase::Done => true,
        }
    }

    /// Gives up whoever did not do his share of the phase in time.
    fn settle_overdue(&mut self) {
        let nodes: Vec<NodeId> = self.seats.keys().copied().collect();
        for node in nodes {
            let Some(seat) = self.seats.get_mut(&node) else {
                continue;
            };
            match (self.phase, seat.presence) {
                (Phase::Joining, Presence::Expected) => {
                    seat.presence = Presence::NotJoined;
                    let refused = seat.turned_away.take();
                    self.record(SwarmEvent::NotJoined { node, refused });
                }
                (Phase::Joining, Presence::Away { .. }) => self.lose(node, LostWhy::StreamEnded),
                // Its tests are still under way while ports are about to be closed: what it will say of them tells of that,
                // and not of the network. It is not lost, for the run ends for everybody.
                (Phase::WindingUp, _)
                    if seat.tasks.values().any(|task| matches!(task.work, Work::Ask(_))) =>
                {
                    seat.presence = Presence::Gone;
                    seat.tasks.clear();
                    self.actions.push_back(Action::Finish {
                        node,
                        reason: RUN_IS_OVER,
                    });
                }
                // Without facts it can still be armed and asked.
                (Phase::Joining | Phase::WindingUp | Phase::Finishing, _) => {}
                _ if seat.tasks.values().any(|task| owes(self.phase, task)) => {
                    self.lose(node, LostWhy::Overdue)
                }
                _ => {}
            }
        }
    }

    /// Ends the present phase and begins the next.
    fn leave(&mut self, now: Awake) {
        match self.phase {
            Phase::Joining => self.begin_arming(now),
            Phase::Arming => {
                self.line_up_clocks();
                self.begin_asking(now);
            }
            Phase::Asking | Phase::Narrowing => self.narrow(now),
            Phase::Examining => self.begin_looking(now),
            Phase::Looking => self.begin_asking_again(now),
            Phase::AskingAgain => {
                self.enter(now, Phase::ReleasingLook, budget::RELEASING);
                self.release(|work| matches!(work, Work::Look(_)));
            }
            Phase::ReleasingLook => self.begin_releasing_arm(now),
            Phase::ReleasingArm | Phase::InTurn => self.next_turn(now),
            Phase::Surveying | Phase::WindingUp => self.begin_finishing(now),
            Phase::Finishing => {
                self.enter(now, Phase::Done, Duration::ZERO);
                self.record_what_was_closed();
                let took_ms = self.clock.last().ms();
                self.record(SwarmEvent::Finished { took_ms });
                self.actions.push_back(Action::Finished);
            }
            Phase::Done => {}
        }
    }

    fn begin_arming(&mut self, now: Awake) {
        if !self.seats.values().any(Seat::takes_part) {
            self.begin_finishing(now);
            return;
        }
        self.deal_anew();
        let here = self.seats.values().filter(|seat| seat.takes_part());
        let roster: Vec<Member> = here.filter_map(|seat| seat.member.clone()).collect();
        let not_here = self.seats.iter().filter(|(_, seat)| !seat.takes_part());
        let absent: BTreeSet<NodeId> = not_here.map(|(node, _)| *node).collect();
        self.duties.leave_out_of_errands(&absent);
        self.actions
            .push_back(Action::PublishRoster(self.clock.last(), roster));
        if !self.duties.has_work() {
            self.begin_finishing(now);
            return;
        }
        self.enter(now, Phase::Arming, budget::ARMING);
        for (node, duty) in self.duties.0.clone() {
            if !duty.arm.is_empty() {
                self.assign(node, Work::Arm(duty.arm));
            }
        }
        self.give_errands(errand::Moment::Beginning);
    }

    /// Gives what was theirs who stay away to those who came, as the report will plan it.
    fn deal_anew(&mut self) {
        let Some(plan) = self.partial.take() else { return };
        let stays_away =
            |(node, seat): (&NodeId, &Seat)| (seat.presence == Presence::NotJoined).then_some(*node);
        let absent: BTreeSet<NodeId> = self.seats.iter().filter_map(stays_away).collect();
        if !absent.is_empty() {
            let rest = plan.without(&absent);
            self.duties = Duties::of(&rest);
            self.shared = SharedRanges::of(&rest);
        }
    }

    fn begin_releasing_arm(&mut self, now: Awake) {
        self.enter(now, Phase::ReleasingArm, budget::RELEASING);
        self.release(|_| true);
    }

    fn begin_surveying(&mut self, now: Awake) {
        let nodes = self.failures.to_survey();
        if nodes.is_empty() {
            self.begin_finishing(now);
            return;
        }
        self.enter(now, Phase::Surveying, budget::SURVEYING);
        for node in nodes {
            self.assign(node, Work::Survey);
        }
    }

    fn begin_finishing(&mut self, now: Awake) {
        self.enter(now, Phase::Finishing, budget::FINISHING);
        for (node, seat) in &self.seats {
            if seat.takes_part() {
                self.actions.push_back(Action::Finish {
                    node: *node,
                    reason: RUN_IS_OVER,
                });
            }
        }
    }

    /// Gives work to a participant; nothing if it takes no part any more.
    fn assign(&mut self, node: NodeId, work: Work) -> Option<u32> {
        let seat = self.seats.get_mut(&node).filter(|seat| seat.takes_part())?;
        self.last_assignment += 1;
        let assignment = self.last_assignment;
        seat.tasks.insert(
            assignment,
            Task {
                work: work.clone(),
                told: None,
                released: false,
            },
        );
        if seat.presence == Presence::Here {
            self.actions.push_back(Action::Assign {
                node,
                assignment,
                work,
            });
        }
        Some(assignment)
    }

    fn release(&mut self, which: impl Fn(&Work) -> bool) {
        for (node, seat) in &mut self.seats {
            let here = seat.presence == Presence::Here;
            let due = |task: &Task| !task.released && which(&task.work);
            for (assignment, task) in seat.tasks.iter_mut().filter(|(_, task)| due(task)) {
                task.released = true;
                if here {
                    self.actions.push_back(Action::Release {
                        node: *node,
                        assignment: *assignment,
                    });
                }
            }
        }
    }

    fn enter(&mut self, now: Awake, phase: Phase, budget: Duration) {
        self.phase = phase;
        self.phase_deadline = now.plus(budget);
        self.actions.push_back(Action::Enter(phase));
    }

    /// How many batches each probe says there are: with it, the evidence shows what it lacks.
    fn record_what_was_closed(&mut self) {
        let closed = self.seats.iter().filter(|(_, seat)| seat.closed_seq > 0);
        let events: Vec<_> = closed
            .map(|(node, seat)| SwarmEvent::Closed {
                node: *node,
                last_seq: seat.closed_seq,
            })
            .collect();
        events.into_iter().for_each(|event| self.record(event));
    }

    fn record(&mut self, event: SwarmEvent) {
        self.actions.push_back(Action::Record(self.clock.last(), event));
    }
}

/// Whether an unfinished assignment is what the phase waits for.
fn owes(phase: Phase, task: &Task) -> bool {
    match phase {
        Phase::Arming | Phase::Looking => task.told.is_none(),
        Phase::Asking | Phase::Narrowing | Phase::AskingAgain => matches!(task.work, Work::Ask(_)),
        Phase::Examining => errands::ends(&task.work),
        Phase::InTurn => errands::ends(&task.work) || task.released,
        Phase::ReleasingLook => matches!(task.work, Work::Look(_)),
        Phase::ReleasingArm | Phase::Surveying => true,
        Phase::Joining | Phase::WindingUp | Phase::Finishing | Phase::Done => false,
    }
}

/// How often each side says something if it has nothing else to say: five times within a lease, so that a lost segment and
/// a busy second are not a lost probe.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(3);

/// How long a probe may be silent. A frozen host costs a run this much; a host that swaps stays in it.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// How long a probe whose stream ended may take to come back: a killed one never does, a restarted switch port takes
/// longer and is a finding.
const RECONNECT_GRACE: Duration = Duration::from_secs(5);

const RUN_IS_OVER: &str = "the run is over";
const GIVEN_UP: &str = "the coordinator has given this probe up in this run";

#[cfg(test)]
mod tests;
