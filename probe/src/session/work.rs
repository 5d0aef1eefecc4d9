//! Assignments under way. Each is in one stage; what blocks (binding thousands of ports, deriving keys, joining a thread) runs
//! on tokio's blocking threads and comes back as an operation's result, so that the session's loop never waits.
//!
//! ```text
//!              +----------+  bound    +------+  release, lease  +---------+
//!   arm  ----->|          |---------->| open |----------------->|         |
//!   look ----->| starting |  started  +------+                  | closing |---> finished
//!   ask  ----->|          |---------->| asking |-- all asked -->|         |
//!   survey --->|          |           +--------+                +---------+
//!              +----------+--- could not start ---> failed
//! ```
//!
//! Dropping [`Works`] ends everything: responders close their ports, runners stop their threads.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use plumbline_identity::{key::AgreementKey, pair::pair_key};
use plumbline_model::{
    evidence::Member,
    id::{NodeId, RunId},
    observation::Record,
    port::{Family, PortSet, Protocol},
};
use plumbline_proto::convert::{Progress, ProgressState, Roster, Watch};
use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior},
};

use crate::{
    error_chain::chain,
    facts,
    guard::{Endpoint, Opening, Permit, PermittedAsk, PermittedWork},
    responder::{ArmTask, Caller, Responder, tcp, udp},
    runner::{
        asking::{AskTarget, AskTask, Asking, Occupant, Peer},
        look::{self, Look, Watched},
        rates::Rates,
        tcp::start,
    },
};

/// Who asks and answers: what every task of this probe needs.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) run: RunId,
    pub(super) node: NodeId,
    pub(super) agreement_key: AgreementKey,
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
    Asking(Asking),
    Closing,
}

/// The result of what blocked.
#[derive(Debug)]
enum Operation {
    Armed(Vec<Responder>, Vec<Record>),
    Looking(Look),
    Asking(Asking),
    Seen(Vec<Record>),
}

impl Works {
    pub(super) fn new(identity: Arc<Identity>) -> Self {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            identity,
            rates: Arc::default(),
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
        self.operations
            .spawn_blocking(move || (id, begin(permit.work, lease, &identity, &roster, &rates)));
        let running = Running {
            stage: Stage::Starting,
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
            Stage::Asking(asking) => {
                asking.cancel();
                running.stage = Stage::Asking(asking);
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
            if let Stage::Asking(asking) = &running.stage {
                asking.extend_lease();
            }
        }
    }

    /// Whether this assignment is under way.
    pub(super) fn is_running(&self, id: u32) -> bool {
        self.running.contains_key(&id)
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
            let asking = self
                .running
                .values()
                .any(|running| matches!(running.stage, Stage::Asking(_)));
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
            Ok(Operation::Asking(asking)) => {
                running.stage = Stage::Asking(asking);
                None
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
            if matches!(&running.stage, Stage::Asking(asking) if asking.is_finished())
                && let Stage::Asking(asking) = std::mem::replace(&mut running.stage, Stage::Closing)
            {
                self.operations
                    .spawn_blocking(move || (id, Ok(Operation::Seen(asking.finish()))));
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
    fn progress(&self, assignment: u32) -> Option<Progress> {
        let (state, done, total) = match &self.stage {
            Stage::Starting | Stage::Closing => return None,
            Stage::Open(_) | Stage::Looking(_) => (ProgressState::Ready, 0, 0),
            Stage::Asking(asking) => {
                let total = asking.total();
                (ProgressState::Running, asking.done().min(total), total)
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

/// Does what blocks at the start of an assignment.
fn begin(
    work: PermittedWork,
    lease: Duration,
    identity: &Identity,
    roster: &Roster,
    rates: &Arc<Rates>,
) -> Result<Operation, String> {
    match work {
        PermittedWork::Arm(openings) => open_responders(openings, identity, roster),
        PermittedWork::Ask(ask) => {
            let task = ask_task(ask, lease, identity, roster, rates)?;
            start(task)
                .map(Operation::Asking)
                .map_err(|error| format!("start the runner: {error}"))
        }
        PermittedWork::Look(watches) => look::start(watched(watches, identity, roster))
            .map(Operation::Looking)
            .map_err(|error| chain(&error)),
        PermittedWork::Survey => Ok(Operation::Seen(vec![Record::Facts(Box::new(facts::gather()))])),
    }
}

/// What the capture has to watch for. Only TCP and UDP are counted: another transport gets no rows, never rows of zeros.
fn watched(watches: Vec<Watch>, identity: &Identity, roster: &Roster) -> Vec<Watched> {
    let members: BTreeMap<NodeId, &Member> = others(identity, roster)
        .map(|(_, member)| (member.node, member))
        .collect();
    watches
        .into_iter()
        .filter(|watch| matches!(watch.protocol, Protocol::Tcp | Protocol::Udp))
        .filter_map(|watch| {
            Some(Watched {
                peer: watch.peer,
                addresses: members.get(&watch.peer)?.addresses.clone(),
                end: watch.end,
                family: watch.family,
                protocol: watch.protocol,
                ports: watch.ports,
            })
        })
        .collect()
}

fn open_responders(
    openings: Vec<Opening>,
    identity: &Identity,
    roster: &Roster,
) -> Result<Operation, String> {
    let callers: Vec<Caller> = others(identity, roster)
        .map(|(index, member)| {
            Ok(Caller {
                index,
                node: member.node,
                addresses: member.addresses.clone(),
                key: key(identity, member, member.node, identity.node)?,
            })
        })
        .collect::<Result<_, String>>()?;
    let own_index = own_index(identity, roster)?;
    let mut responders = Vec::new();
    let mut records = Vec::new();
    for opening in openings {
        let Opening {
            address,
            protocol,
            ports,
        } = opening;
        let task = ArmTask {
            run: identity.run.to_bytes(),
            own_index,
            address,
            ports,
            callers: callers.clone(),
        };
        // The guard permits no other transport.
        let arm = if protocol == Protocol::Udp {
            udp::arm
        } else {
            tcp::arm
        };
        let (responder, armed) =
            arm(task).map_err(|error| format!("open the responder on {address}: {error}"))?;
        responders.push(responder);
        records.push(Record::Armed(armed));
    }
    Ok(Operation::Armed(responders, records))
}

fn ask_task(
    ask: PermittedAsk,
    lease: Duration,
    identity: &Identity,
    roster: &Roster,
    rates: &Arc<Rates>,
) -> Result<AskTask, String> {
    let members: BTreeMap<NodeId, (u32, &Member)> = others(identity, roster)
        .map(|(index, member)| (member.node, (index, member)))
        .collect();
    let mut targets = Vec::new();
    let ours = ask.targets.into_iter().map(|target| (target, false));
    let theirs = ask.live_services.into_iter().map(|target| (target, true));
    for ((Endpoint { node, address, .. }, ports), is_theirs) in ours.chain(theirs) {
        // The guard took every target from this roster.
        let Some((index, member)) = members.get(&node) else {
            continue;
        };
        let peer = Peer {
            index: *index,
            node,
            address,
            key: key(identity, member, identity.node, node)?,
        };
        let of_occupants = by_occupant(ports, is_theirs).into_iter();
        targets.extend(of_occupants.map(|(occupant, ports)| AskTarget {
            peer: peer.clone(),
            ports,
            occupant,
        }));
    }
    let data_address = |family| roster.member(identity.node)?.data_address(family);
    Ok(AskTask {
        run: identity.run.to_bytes(),
        own_index: own_index(identity, roster)?,
        members: u32::try_from(roster.members().len()).unwrap_or(u32::MAX),
        // What will really be sent leaves from the address that the kernel chooses, so that the tests do, too. On loopback
        // every node has the same choice, and only its own address tells it from the others.
        local: identity.node.address().filter(IpAddr::is_loopback),
        data_addresses: [Family::Ipv4, Family::Ipv6]
            .into_iter()
            .filter_map(data_address)
            .collect(),
        targets,
        attempts: ask.attempts,
        attempt_timeout: ask.attempt_timeout,
        max_rate_node: ask.max_rate_node.map_or(0, Into::into),
        max_rate_pair: ask.max_rate_pair.map_or(0, Into::into),
        rates: Arc::clone(rates),
        second_look: ask.second_look,
        lease,
    })
}

/// The ports of a target by who is expected there.
fn by_occupant(ports: PortSet, is_theirs: bool) -> Vec<(Occupant, PortSet)> {
    if !is_theirs {
        return vec![(Occupant::Responder, ports)];
    }
    let ssh = PortSet::from_iter([SSH_PORT]);
    let others = ports.difference(&ssh);
    let parts = [
        (Occupant::Service, others),
        (Occupant::Sshd, ports.intersection(&ssh)),
    ];
    parts.into_iter().filter(|(_, ports)| !ports.is_empty()).collect()
}

/// Everybody else on the roster, with the index by which the wire knows them.
fn others<'a>(identity: &'a Identity, roster: &'a Roster) -> impl Iterator<Item = (u32, &'a Member)> {
    (0..)
        .zip(roster.members())
        .filter(|(_, member)| member.node != identity.node)
}

fn own_index(identity: &Identity, roster: &Roster) -> Result<u32, String> {
    let at = roster
        .members()
        .iter()
        .position(|member| member.node == identity.node);
    at.and_then(|at| u32::try_from(at).ok())
        .ok_or_else(|| "this node is not on the roster".to_owned())
}

fn key(identity: &Identity, peer: &Member, from: NodeId, to: NodeId) -> Result<[u8; 32], String> {
    let public = public_key(&peer.agreement_key)
        .ok_or_else(|| format!("the agreement key of {} is not 64 hexadecimal digits", peer.node))?;
    pair_key(&identity.agreement_key, &public, &identity.run, from, to)
        .map(|key| *key.as_bytes())
        .map_err(|error| format!("the agreement key of {}: {error}", peer.node))
}

fn public_key(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 2 * key.len() {
        return None;
    }
    for (index, octet) in key.iter_mut().enumerate() {
        *octet = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(key)
}

/// Where an SSH server is expected if no responder of ours stands there.
const SSH_PORT: u16 = 22;

/// How often a runner is looked at: what finishes is noticed within this time, and an idle probe does not poll at all.
const POLL: Duration = Duration::from_millis(20);

/// How often progress is told: a bar that moves four times a second looks alive.
const PROGRESS: Duration = Duration::from_millis(250);
