//! Probes that do what they are told, so that a run can be played without any.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use plumbline_model::{
    evidence::{Batch, Member, SwarmEvent},
    id::{NodeId, RunId},
    observation::{Armed, Capabilities, Conntrack, HostFacts, NotBound, Reach, Record, Signal},
    plan::Target,
    port::{Family, PortSet, Protocol},
};
use plumbline_proto::convert::{ArmPorts, Ask, ProgressState, Work};

use crate::conductor::{
    Action, Conductor, Duties, Event, Exchange, Moment, Pace, Phase, Settings, SharedRanges, duties::Duty,
};

pub(super) fn node(last: u8) -> NodeId {
    NodeId::Address(Ipv4Addr::new(10, 0, 0, last).into())
}

/// A member with an address in either family.
pub(super) fn member(of: NodeId) -> Member {
    let data_ipv6 = of.address().and_then(|address| match address {
        IpAddr::V4(v4) => Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, v4.octets()[3].into())),
        IpAddr::V6(_) => None,
    });
    Member {
        node: of,
        addresses: of
            .address()
            .into_iter()
            .chain(data_ipv6.map(IpAddr::V6))
            .collect(),
        tls_key_sha256: String::new(),
        signing_key: String::new(),
        agreement_key: String::new(),
        data_ipv6,
    }
}

pub(super) fn ports(text: &str) -> PortSet {
    text.parse().unwrap()
}

pub(super) const TCP4: (Family, Protocol) = (Family::Ipv4, Protocol::Tcp);
pub(super) const UDP4: (Family, Protocol) = (Family::Ipv4, Protocol::Udp);
pub(super) const TCP6: (Family, Protocol) = (Family::Ipv6, Protocol::Tcp);
pub(super) const UDP6: (Family, Protocol) = (Family::Ipv6, Protocol::Udp);

/// Everybody binds 443 and asks everybody else.
pub(super) fn mesh(size: u8) -> Settings {
    mesh_of(size, &[(TCP4, "443")], &[])
}

/// Everybody binds the open ports, and asks everybody else for these and for the blocked ones.
pub(super) fn mesh_of(
    size: u8,
    open: &[((Family, Protocol), &str)],
    blocked: &[((Family, Protocol), &str)],
) -> Settings {
    let nodes: Vec<NodeId> = (1..=size).map(node).collect();
    let target = |of: NodeId, (family, protocol), text: &str| Target {
        family,
        protocol,
        ports: ports(text),
        destinations: nodes.iter().copied().filter(|other| *other != of).collect(),
    };
    let duty = |of: NodeId| {
        let arm = open.iter().map(|((family, protocol), text)| ArmPorts {
            family: *family,
            protocol: *protocol,
            ports: ports(text),
        });
        let targets = open.iter().chain(blocked);
        Duty {
            arm: arm.collect(),
            targets: targets
                .map(|(transport, text)| target(of, *transport, text))
                .collect(),
            services: Vec::new(),
            errands: Vec::new(),
        }
    };
    Settings {
        duties: Duties(nodes.iter().map(|of| (*of, duty(*of))).collect()),
        shared: SharedRanges::default(),
        partial: None,
        pace: Pace {
            attempts: 3,
            attempt_timeout: Duration::from_secs(1),
            max_rate_node: None,
            max_rate_pair: None,
        },
        join_timeout: Duration::from_secs(60),
    }
}

/// A clock that is 90 s ahead, asked over a path that takes 1 ms there and 1 ms back.
const AHEAD: Exchange = Exchange {
    asked_us: 1_000_000,
    read_us: 91_001_000,
    written_us: 91_001_000,
    heard_us: 1_002_000,
};

/// One test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) src: NodeId,
    pub(super) dst: NodeId,
    pub(super) family: Family,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    /// Whether it says hello.
    pub(super) speaks: bool,
    pub(super) second_look: bool,
}

pub(super) type Network = Box<dyn Fn(&Test) -> Signal>;

/// A network in which these pairs find silence.
pub(super) fn silent(pairs: &[(NodeId, NodeId)]) -> Network {
    let pairs = pairs.to_vec();
    Box::new(move |test| {
        if pairs.contains(&(test.src, test.dst)) {
            Signal::Silence
        } else {
            Signal::Verified
        }
    })
}

/// A run with probes that do what they are told, except those that a test leaves out.
pub(super) struct Rehearsal {
    pub(super) conductor: Conductor,
    pub(super) now_ms: u64,
    pub(super) seq: BTreeMap<NodeId, u64>,
    /// Probes that say nothing at all.
    pub(super) frozen: BTreeSet<NodeId>,
    /// A probe that says nothing from a phase on.
    pub(super) frozen_from: Option<(Phase, NodeId)>,
    /// Probes whose tests go on until they are told to stop, and a while longer.
    pub(super) busy: BTreeSet<NodeId>,
    /// Whether errands in turn go on until a test ends them.
    pub(super) holds_turns: bool,
    /// Whose connection tracking was told to be tight.
    pub(super) tight: Vec<NodeId>,
    /// How often somebody was asked what time it is.
    pub(super) clocks_asked: u32,
    /// What was released, in this order.
    pub(super) releases: Vec<(NodeId, u32)>,
    /// What a test comes to.
    pub(super) network: Network,
    /// What a node could not bind.
    pub(super) refused: BTreeMap<NodeId, Vec<NotBound>>,
    pub(super) phases: Vec<Phase>,
    pub(super) events: Vec<SwarmEvent>,
    pub(super) works: Vec<(NodeId, Work)>,
    pub(super) finished: bool,
}

impl Rehearsal {
    pub(super) fn new(settings: Settings) -> Self {
        let mut stage = Self {
            conductor: Conductor::new(settings),
            now_ms: 0,
            seq: BTreeMap::new(),
            frozen: BTreeSet::new(),
            frozen_from: None,
            busy: BTreeSet::new(),
            holds_turns: false,
            tight: Vec::new(),
            clocks_asked: 0,
            releases: Vec::new(),
            network: Box::new(|_| Signal::Verified),
            refused: BTreeMap::new(),
            phases: Vec::new(),
            events: Vec::new(),
            works: Vec::new(),
            finished: false,
        };
        stage.obey();
        stage
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.conductor
            .handle(Moment::after_start(Duration::from_millis(self.now_ms)), event);
        self.obey();
    }

    pub(super) fn join(&mut self, who: NodeId) {
        self.join_as(member(who));
    }

    pub(super) fn join_as(&mut self, member: Member) {
        self.join_with(member, None);
    }

    pub(super) fn join_with(&mut self, member: Member, conntrack: Option<Conntrack>) {
        let who = member.node;
        self.tell(Event::Joined(Box::new(member)));
        self.tell(Event::SessionOpened {
            node: who,
            last_closed_seq: 0,
        });
        let facts = HostFacts {
            capabilities: Capabilities {
                capture: true,
                ..Capabilities::default()
            },
            conntrack,
            ..HostFacts::default()
        };
        self.batch(who, vec![Record::Facts(Box::new(facts))]);
    }

    pub(super) fn batch(&mut self, who: NodeId, records: Vec<Record>) -> u64 {
        let seq = self.seq.entry(who).or_default();
        *seq += 1;
        let batch = Batch {
            run: RunId::from_bytes([7; 8]),
            node: who,
            seq: *seq,
            previous: String::new(),
            roster_sha256: String::new(),
            assignment: 0,
            closed_unix_ms: 0,
            records,
        };
        let seq = *seq;
        self.tell(Event::BatchStored(Box::new(batch)));
        seq
    }

    pub(super) fn progress(&mut self, who: NodeId, assignment: u32, state: ProgressState) {
        self.tell(Event::Progress {
            node: who,
            assignment,
            state,
        });
    }

    /// Time passes in the steps of the driver; everybody who is not frozen gives signs of life.
    pub(super) fn wait(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while self.now_ms < until && !self.finished {
            self.now_ms += 250;
            let awake: Vec<NodeId> = self
                .seq
                .keys()
                .copied()
                .filter(|who| !self.frozen.contains(who))
                .collect();
            for who in awake {
                self.tell(Event::Heard(who));
            }
            self.tell(Event::Tick);
        }
    }

    pub(super) fn obey(&mut self) {
        while let Some(action) = self.conductor.next_action() {
            match action {
                Action::Enter(phase) => {
                    self.phases.push(phase);
                    if let Some((_, who)) = self.frozen_from.filter(|(from, _)| *from == phase) {
                        self.frozen.insert(who);
                    }
                }
                Action::Record(_, event) => self.events.push(event),
                Action::Finished => self.finished = true,
                Action::Assign {
                    node,
                    assignment,
                    work,
                } => {
                    self.works.push((node, work.clone()));
                    let goes_on = self.busy.contains(&node) && matches!(work, Work::Ask(_));
                    if !self.frozen.contains(&node) && !goes_on {
                        self.work(node, assignment, work);
                    }
                }
                Action::Release { node, assignment } if !self.frozen.contains(&node) => {
                    self.releases.push((node, assignment));
                    if self.busy.contains(&node) {
                        continue;
                    }
                    let last_seq = self.seq.get(&node).copied().unwrap_or(0);
                    self.progress(node, assignment, ProgressState::Done { last_seq });
                }
                Action::Finish { node, .. } if !self.frozen.contains(&node) => {
                    self.tell(Event::SessionEnded(node));
                }
                Action::AskClock { node, number } if !self.frozen.contains(&node) => {
                    self.clocks_asked += 1;
                    self.tell(Event::ClockTold {
                        node,
                        number,
                        exchange: AHEAD,
                    });
                }
                Action::AskClock { .. }
                | Action::Release { .. }
                | Action::Finish { .. }
                | Action::PublishRoster(..) => {}
                Action::Tight(tight) => self.tight.push(tight.node),
            }
        }
    }

    pub(super) fn work(&mut self, who: NodeId, assignment: u32, work: Work) {
        match work {
            Work::Arm(sets) => {
                let refused = self.refused.get(&who).cloned().unwrap_or_default();
                let armed = sets.into_iter().map(|set| {
                    let refused = refused.iter().map(|not_bound| NotBound {
                        ports: not_bound.ports.intersection(&set.ports),
                        why: not_bound.why.clone(),
                    });
                    let refused: Vec<NotBound> = refused.collect();
                    let mut ports = set.ports;
                    for not_bound in &refused {
                        ports = ports.difference(&not_bound.ports);
                    }
                    Record::Armed(Armed {
                        family: set.family,
                        protocol: set.protocol,
                        ports,
                        refused,
                    })
                });
                let armed: Vec<Record> = armed.collect();
                self.batch(who, armed);
                self.progress(who, assignment, ProgressState::Ready);
            }
            Work::Look(_) => self.progress(who, assignment, ProgressState::Ready),
            Work::Errand(errand) if self.holds_turns && errand.turn().is_some() => {}
            Work::Errand(errand) if errand.is_open_ended() => {
                self.progress(who, assignment, ProgressState::Ready);
            }
            Work::Errand(_) => {
                self.progress(who, assignment, ProgressState::Done { last_seq: 0 });
            }
            Work::Survey => {
                let last_seq = self.batch(who, vec![Record::Facts(Box::default())]);
                self.progress(who, assignment, ProgressState::Done { last_seq });
            }
            Work::Ask(ask) => {
                let records = tests(who, &ask).into_iter().map(|test| {
                    let dead = self.frozen.contains(&test.dst);
                    let signal = if dead {
                        Signal::Silence
                    } else {
                        (self.network)(&test)
                    };
                    Record::Reach(Reach {
                        dst: test.dst,
                        family: test.family,
                        protocol: test.protocol,
                        ports: PortSet::from_iter([test.port]),
                        signal,
                        attempts: ask.attempts,
                        answered: 0,
                        second_look: ask.second_look,
                        from: None,
                    })
                });
                let records: Vec<Record> = records.collect();
                let last_seq = self.batch(who, records);
                self.progress(who, assignment, ProgressState::Done { last_seq });
            }
        }
    }

    /// How many errands were released.
    pub(super) fn releases_of_errands(&self) -> usize {
        let is_errand = |assignment: &u32| {
            let given = usize::try_from(*assignment).unwrap();
            matches!(self.works.get(given - 1), Some((_, Work::Errand(_))))
        };
        let released = self.releases.iter().map(|(_, assignment)| assignment);
        released.filter(|assignment| is_errand(assignment)).count()
    }

    /// What was asked, in this order.
    pub(super) fn asked(&self) -> Vec<(NodeId, &Ask)> {
        let asks = self.works.iter().filter_map(|(who, work)| match work {
            Work::Ask(ask) => Some((*who, ask)),
            _ => None,
        });
        asks.collect()
    }

    pub(super) fn surveyed(&self) -> Vec<NodeId> {
        self.works
            .iter()
            .filter(|(_, work)| *work == Work::Survey)
            .map(|(who, _)| *who)
            .collect()
    }
}

/// The tests of an assignment, one by one.
pub(super) fn tests(src: NodeId, ask: &Ask) -> Vec<Test> {
    let mut tests = Vec::new();
    for (targets, speaks) in [(&ask.targets, true), (&ask.live_services, false)] {
        for target in targets {
            for dst in &target.destinations {
                tests.extend(target.ports.iter().map(|port| Test {
                    src,
                    dst: *dst,
                    family: target.family,
                    protocol: target.protocol,
                    port,
                    speaks,
                    second_look: ask.second_look,
                }));
            }
        }
    }
    tests
}
