//! Assignments under way. Each is in one stage; what blocks (binding thousands of ports, deriving keys, joining a thread) runs
//! on tokio's blocking threads and comes back as an operation's result, so that the session's loop never waits.
//!
//! ```text
//!              +----------+  bound    +------+  release, lease  +---------+
//!   arm  ----->|          |---------->| open |----------------->|         |
//!   look ----->| starting |  started  +------+                  | closing |---> finished
//!   ask  ----->|          |---------->| asking |-- all asked -->|         |
//!   errand --->|          |---------->| errand |-- it is done ->|         |
//!   survey --->|          |           +--------+                +---------+
//!              +----------+--- could not start ---> failed
//! ```
//!
//! Dropping [`Works`] ends everything: responders close their ports, runners stop their threads.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use plumbline_identity::key::AgreementKey;
use plumbline_model::{
    id::{NodeId, RunId},
    observation::Record,
};
use plumbline_proto::convert::{Progress, ProgressState, Roster};
use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior},
};

use crate::{
    errand::Errand,
    guard::{Permit, PermittedWork, Policy},
    responder::Responder,
    runner::{asking::Asking, look::Look, rates::Rates},
};
use begin::begin;

mod begin;

/// Who asks and answers: what every task of this probe needs.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) run: RunId,
    pub(super) node: NodeId,
    pub(super) agreement_key: AgreementKey,
    pub(super) policy: Arc<Policy>,
}

/// All assignments under way.
#[derive(Debug)]
pub(super) struct Works {
    identity: Arc<Identity>,
    /// Kept over all assignments: the network sees one node.
    rates: Arc<Rates>,
    running: BTreeMap<u32, Running>,
    operations: JoinSet<(u32, Result<Operation, String>)>,
    /// When runners are looked at.
    poll: Interval,
    progress_due: Instant,
}

/// What became of an assignment.
#[derive(Debug)]
pub(super) enum WorkEvent {
    /// It is open: responders listen, captures run. What it has seen so far is worth a batch.
    Ready { id: u32, records: Vec<Record> },
    /// It is over, and this is what it saw.
    Finished { id: u32, records: Vec<Record> },
    /// It could not start.
    Failed { id: u32, reason: String },
    /// How far runners are.
    Progress(Vec<Progress>),
}

#[derive(Debug)]
struct Running {
    stage: Stage,
    is_errand: bool,
    /// How long it may go on without a word from the coordinator.
    lease: Duration,
    /// When it ends at the latest.
    ends_at: Instant,
    /// Whether it is ending, or is to end as soon as it has started.
    leaving: bool,
    /// What the guard excluded; reported with what was seen.
    excluded: Vec<Record>,
}

#[derive(Debug)]
enum Stage {
    Starting,
    Open(Vec<Responder>),
    Looking(Look),
    /// A runner for each transport that is asked.
    Asking(Vec<Asking>),
    Errand(Errand),
    Closing,
}

/// The result of what blocked.
#[derive(Debug)]
enum Operation {
    Armed(Vec<Responder>, Vec<Record>),
    Looking(Look),
    Asking(Vec<Asking>),
    Errand(Errand),
    Seen(Vec<Record>),
}

impl Works {
    pub(super) fn new(identity: Arc<Identity>) -> Self {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            rates: Arc::new(Rates::new(&identity.policy)),
            identity,
            running: BTreeMap::new(),
            operations: JoinSet::new(),
            poll,
            progress_due: Instant::now(),
        }
    }

    /// Starts what the guard permits.
    pub(super) fn start(&mut self, id: u32, permit: Permit, roster: Arc<Roster>) {
        let identity = Arc::clone(&self.identity);
        let rates = Arc::clone(&self.rates);
        let lease = permit.lease;
        let is_errand = matches!(permit.work, PermittedWork::Errand(_));
        self.operations
            .spawn_blocking(move || (id, begin(permit.work, lease, &identity, &roster, &rates)));
        let running = Running {
            stage: Stage::Starting,
            is_errand,
            lease,
            ends_at: Instant::now() + permit.duration,
            leaving: false,
            excluded: permit.excluded,
        };
        self.running.insert(id, running);
    }

    /// Ends one assignment; its [`WorkEvent::Finished`] follows. Unknown ones are over already.
    pub(super) fn end(&mut self, id: u32) {
        let Some(running) = self.running.get_mut(&id) else {
            return;
        };
        running.leaving = true;
        match std::mem::replace(&mut running.stage, Stage::Closing) {
            Stage::Open(responders) => {
                self.operations.spawn_blocking(move || {
                    let heard = responders.into_iter().flat_map(Responder::release).collect();
                    (id, Ok(Operation::Seen(heard)))
                });
            }
            Stage::Looking(look) => {
                self.operations
                    .spawn_blocking(move || (id, Ok(Operation::Seen(look.finish()))));
            }
            Stage::Asking(runners) => {
                runners.iter().for_each(Asking::cancel);
                running.stage = Stage::Asking(runners);
            }
            // One that ends by itself is noticed when it has; to end an open one means to wait for its thread.
            Stage::Errand(errand) => {
                errand.stop();
                running.stage = Stage::Errand(errand);
            }
            // It ends when it has started.
            Stage::Starting => running.stage = Stage::Starting,
            Stage::Closing => {}
        }
    }

    /// Ends every assignment.
    pub(super) fn end_all(&mut self) {
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.end(id);
        }
    }

    /// Ends every assignment whose lease or time is over.
    pub(super) fn end_overdue(&mut self, last_heard: Instant, now: Instant) {
        let overdue: Vec<u32> = self
            .deadlines(last_heard)
            .filter(|(_, deadline)| *deadline <= now)
            .map(|(id, _)| id)
            .collect();
        for id in overdue {
            self.end(id);
        }
    }

    /// When the next assignment is overdue.
    pub(super) fn next_deadline(&self, last_heard: Instant) -> Option<Instant> {
        self.deadlines(last_heard).map(|(_, deadline)| deadline).min()
    }

    /// The coordinator was heard.
    pub(super) fn extend_leases(&self) {
        for running in self.running.values() {
            if let Stage::Asking(runners) = &running.stage {
                runners.iter().for_each(Asking::extend_lease);
            }
        }
    }

    /// Whether this assignment is under way.
    pub(super) fn is_running(&self, id: u32) -> bool {
        self.running.contains_key(&id)
    }

    /// How many errands are under way.
    pub(super) fn errands(&self) -> usize {
        self.running.values().filter(|running| running.is_errand).count()
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// How far everything is that has started.
    pub(super) fn progress(&self) -> Vec<Progress> {
        self.running
            .iter()
            .filter_map(|(id, running)| running.progress(*id))
            .collect()
    }

    /// What happens next; never, while nothing is under way. Cancel-safe: nothing is taken before it is returned.
    pub(super) async fn next_event(&mut self) -> WorkEvent {
        loop {
            let asking = self.running.values().any(|running| running.is_polled());
            let event = tokio::select! {
                Some(joined) = self.operations.join_next() => match joined {
                    Ok((id, result)) => self.on_operation(id, result),
                    // Operations are never aborted, so this one panicked: a bug, which the panic hook ends the process for.
                    Err(_) => None,
                },
                _ = self.poll.tick(), if asking => self.poll_runners(),
                else => std::future::pending().await,
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    fn on_operation(&mut self, id: u32, result: Result<Operation, String>) -> Option<WorkEvent> {
        let running = self.running.get_mut(&id)?;
        let leaving = running.leaving;
        let event = match result {
            Ok(Operation::Armed(responders, records)) => {
                running.stage = Stage::Open(responders);
                let records = records
                    .into_iter()
                    .chain(std::mem::take(&mut running.excluded))
                    .collect();
                Some(WorkEvent::Ready { id, records })
            }
            Ok(Operation::Looking(look)) => {
                running.stage = Stage::Looking(look);
                Some(WorkEvent::Ready {
                    id,
                    records: std::mem::take(&mut running.excluded),
                })
            }
            Ok(Operation::Asking(runners)) => {
                running.stage = Stage::Asking(runners);
                None
            }
            Ok(Operation::Errand(errand)) => {
                let tells = errand.tells_when_ready();
                running.stage = Stage::Errand(errand);
                tells.then(|| WorkEvent::Ready {
                    id,
                    records: std::mem::take(&mut running.excluded),
                })
            }
            Ok(Operation::Seen(records)) => {
                let excluded = self.running.remove(&id)?.excluded;
                Some(WorkEvent::Finished {
                    id,
                    records: records.into_iter().chain(excluded).collect(),
                })
            }
            Err(reason) => {
                self.running.remove(&id);
                Some(WorkEvent::Failed { id, reason })
            }
        };
        if leaving {
            self.end(id);
        }
        event
    }

    fn poll_runners(&mut self) -> Option<WorkEvent> {
        for (id, running) in &mut self.running {
            let id = *id;
            if matches!(&running.stage, Stage::Asking(runners) if runners.iter().all(Asking::is_finished))
                && let Stage::Asking(runners) = std::mem::replace(&mut running.stage, Stage::Closing)
            {
                self.operations.spawn_blocking(move || {
                    (
                        id,
                        Ok(Operation::Seen(
                            runners.into_iter().flat_map(Asking::finish).collect(),
                        )),
                    )
                });
            } else if matches!(&running.stage, Stage::Errand(errand) if errand.is_finished())
                && let Stage::Errand(errand) = std::mem::replace(&mut running.stage, Stage::Closing)
            {
                self.operations
                    .spawn_blocking(move || (id, Ok(Operation::Seen(errand.finish()))));
            }
        }
        let now = Instant::now();
        if now < self.progress_due {
            return None;
        }
        self.progress_due = now + PROGRESS;
        Some(WorkEvent::Progress(self.progress()))
    }

    fn deadlines(&self, last_heard: Instant) -> impl Iterator<Item = (u32, Instant)> + '_ {
        self.running
            .iter()
            .filter(|(_, running)| !running.leaving)
            .map(move |(id, running)| (*id, running.ends_at.min(last_heard + running.lease)))
    }
}

impl Running {
    /// Whether it has to be looked at to notice its end: a runner, an errand that ends by itself, one that was told to end.
    fn is_polled(&self) -> bool {
        match &self.stage {
            Stage::Asking(_) => true,
            Stage::Errand(errand) => self.leaving || !errand.is_open_ended(),
            Stage::Starting | Stage::Open(_) | Stage::Looking(_) | Stage::Closing => false,
        }
    }

    fn progress(&self, assignment: u32) -> Option<Progress> {
        let (state, done, total) = match &self.stage {
            Stage::Starting | Stage::Closing => return None,
            Stage::Open(_) | Stage::Looking(_) => (ProgressState::Ready, 0, 0),
            Stage::Errand(errand) if errand.tells_when_ready() => (ProgressState::Ready, 0, 0),
            Stage::Errand(_) => (ProgressState::Running, 0, 0),
            Stage::Asking(runners) => {
                let total = runners.iter().map(Asking::total).sum();
                let done: u64 = runners.iter().map(Asking::done).sum();
                (ProgressState::Running, done.min(total), total)
            }
        };
        Some(Progress {
            assignment,
            state,
            done,
            total,
        })
    }
}

/// How often a runner is looked at: what finishes is noticed within this time, and an idle probe does not poll at all.
const POLL: Duration = Duration::from_millis(20);

/// How often progress is told: a bar that moves four times a second looks alive.
const PROGRESS: Duration = Duration::from_millis(250);
