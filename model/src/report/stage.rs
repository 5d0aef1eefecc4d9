//! Evidence made by hand for tests: a small cluster on which everything answers, apart from what a test says.
//!
//! Four nodes in two subnets: 10.0.0.1 (control plane) and 10.0.0.2 (load balancer), 10.0.1.1 and 10.0.1.2 (workers).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    evidence::{
        ANALYSIS_VERSION, Batch, Entry, Group, Member, Parameters, Payload, RunRecord, SwarmEvent, SwarmKind,
        SwarmRecord,
    },
    firewall::{
        Base, Chain, CompareOp, Expression, Hook, InterfaceIndex, PayloadBase, Policy, RejectWith, Rule,
        Ruleset, Table, TableFamily, Verdict,
    },
    id::{NodeId, Role, RunId},
    inventory::{ClusterType, Inventory, LoadBalancerMode, LoadBalancerType, Node},
    ledger::Ledger,
    observation::{
        Armed, BindFailure, End, Heard, HostFacts, Interface, NotBound, Reach, Record, Seen, Signal,
    },
    plan::{Block, Expect, Plan, Sharing},
    port::{Family, PortSet, Protocol},
    profile::Severity,
    source::SourceText,
};

use super::{Report, ReportError};

pub(crate) const CP: &str = "10.0.0.1";
pub(crate) const LB: &str = "10.0.0.2";
pub(crate) const W1: &str = "10.0.1.1";
pub(crate) const W2: &str = "10.0.1.2";

/// A run in the making.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    inventory: Inventory,
    exceptions: BTreeMap<(NodeId, NodeId), Vec<Reach>>,
    unbound: BTreeMap<NodeId, Vec<(PortSet, BindFailure)>>,
    heard: BTreeMap<NodeId, Vec<Heard>>,
    seen: BTreeMap<NodeId, Vec<Seen>>,
    rulesets: BTreeMap<NodeId, Ruleset>,
    absent: BTreeSet<NodeId>,
    silent: BTreeSet<NodeId>,
    without_responder: BTreeSet<NodeId>,
    events: Vec<SwarmEvent>,
}

pub(crate) fn node(text: &str) -> NodeId {
    text.parse().unwrap()
}

pub(crate) fn ports(text: &str) -> PortSet {
    text.parse().unwrap()
}

impl Stage {
    /// The cluster of four: kubelet (10250) and 4240 everywhere, 6444 on the control plane, NodePorts of the workers, which
    /// only warn.
    pub(crate) fn new() -> Self {
        let all = [CP, LB, W1, W2];
        Self::of(&all)
            .rule("node.kubelet", "10250", &all, &all)
            .rule("node.health", "4240", &all, &all)
            .rule("cp.api", "6444", &[LB, W1, W2], &[CP])
    }

    pub(crate) fn of(nodes: &[&str]) -> Self {
        let participants: Vec<NodeId> = nodes.iter().map(|text| node(text)).collect();
        let inventory = Inventory {
            name: "hand-made".to_owned(),
            cluster_type: ClusterType::User,
            version: "1.29.0".parse().unwrap(),
            nodes: participants
                .iter()
                .map(|id| Node {
                    id: *id,
                    ssh: id.address().unwrap(),
                    roles: BTreeSet::from([Role::Worker]),
                    version: "1.29.0".parse().unwrap(),
                    pool: "pool".to_owned(),
                    line: 1,
                })
                .collect(),
            load_balancer_mode: LoadBalancerMode::Bundled,
            load_balancer_type: LoadBalancerType::Layer2,
            control_plane_lb_port: 443,
            control_plane_vip: None,
            ingress_vip: None,
            node_agent: false,
            pods: Vec::new(),
            services: Vec::new(),
        };
        Self {
            plan: Plan {
                participants,
                blocks: Vec::new(),
                no_vantage: Vec::new(),
            },
            inventory,
            exceptions: BTreeMap::new(),
            unbound: BTreeMap::new(),
            heard: BTreeMap::new(),
            seen: BTreeMap::new(),
            rulesets: BTreeMap::new(),
            absent: BTreeSet::new(),
            silent: BTreeSet::new(),
            without_responder: BTreeSet::new(),
            events: Vec::new(),
        }
    }

    /// One more rule that must be open.
    pub(crate) fn rule(mut self, id: &str, ports_text: &str, from: &[&str], to: &[&str]) -> Self {
        self.plan.blocks.push(Block {
            rule: id.to_owned(),
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            ports: ports(ports_text),
            sharing: Sharing::Exhaustive,
            sources: from.iter().map(|text| node(text)).collect(),
            destinations: to.iter().map(|text| node(text)).collect(),
            expect: Expect::Open,
            severity: Severity::Fail,
            through_services: false,
            purpose: "test".to_owned(),
        });
        self
    }

    /// The rule that was added last can only warn.
    pub(crate) fn that_warns(mut self) -> Self {
        self.plan.blocks.last_mut().unwrap().severity = Severity::Warn;
        self
    }

    /// The rule that was added last is about ports that must not answer.
    pub(crate) fn that_blocks(mut self) -> Self {
        self.plan.blocks.last_mut().unwrap().expect = Expect::Blocked;
        self
    }

    /// What a source sees of some ports, in the first look, after three attempts without an answer.
    pub(crate) fn sees(self, src: &str, dst: &str, at: &str, signal: Signal) -> Self {
        self.looks(src, dst, at, signal, 3, 0, false)
    }

    /// What it sees in the second look.
    pub(crate) fn sees_again(self, src: &str, dst: &str, at: &str, signal: Signal) -> Self {
        let answered = u32::from(signal == Signal::Verified);
        self.looks(src, dst, at, signal, 1, answered, true)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where a whole record is spelled out"
    )]
    pub(crate) fn looks(
        mut self,
        src: &str,
        dst: &str,
        at: &str,
        signal: Signal,
        attempts: u32,
        answered: u32,
        second_look: bool,
    ) -> Self {
        self.exceptions
            .entry((node(src), node(dst)))
            .or_default()
            .push(Reach {
                dst: node(dst),
                family: Family::Ipv4,
                protocol: Protocol::Tcp,
                ports: ports(at),
                signal,
                attempts,
                answered,
                second_look,
                from: None,
            });
        self
    }

    /// Silence in both looks, with captures: (questions, answers) at the source and at the destination.
    pub(crate) fn silent(
        self,
        src: &str,
        dst: &str,
        at: &str,
        at_source: Option<(u32, u32)>,
        at_destination: Option<(u32, u32)>,
    ) -> Self {
        let mut out = self
            .sees(src, dst, at, Signal::Silence)
            .sees_again(src, dst, at, Signal::Silence);
        if let Some((questions, answers)) = at_source {
            out = out.captures(src, End::Source, dst, at, questions, answers, 0);
        }
        if let Some((questions, answers)) = at_destination {
            out = out.captures(dst, End::Destination, src, at, questions, answers, 0);
        }
        out
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where a whole record is spelled out"
    )]
    pub(crate) fn captures(
        mut self,
        on: &str,
        end: End,
        peer: &str,
        at: &str,
        questions: u32,
        answers: u32,
        resets: u32,
    ) -> Self {
        self.seen.entry(node(on)).or_default().push(Seen {
            end,
            peer: node(peer),
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            ports: ports(at),
            questions,
            answers,
            resets,
            icmp_errors: 0,
        });
        self
    }

    pub(crate) fn hears(mut self, dst: &str, src: &str, at: &str, accepted: u32, proven: u32) -> Self {
        self.heard.entry(node(dst)).or_default().push(Heard {
            src: Some(node(src)),
            address: node(src).address().unwrap(),
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            ports: ports(at),
            accepted,
            proven,
            unproven: 0,
            replayed: 0,
        });
        self
    }

    pub(crate) fn hears_a_stranger(mut self, dst: &str, address: &str, at: &str, proven: u32) -> Self {
        self.heard.entry(node(dst)).or_default().push(Heard {
            src: None,
            address: address.parse().unwrap(),
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            ports: ports(at),
            accepted: proven,
            proven,
            unproven: 0,
            replayed: 0,
        });
        self
    }

    pub(crate) fn cannot_bind(mut self, on: &str, at: &str, why: BindFailure) -> Self {
        self.unbound.entry(node(on)).or_default().push((ports(at), why));
        self
    }

    pub(crate) fn filters(mut self, on: &str, ruleset: Ruleset) -> Self {
        self.rulesets.insert(node(on), ruleset);
        self
    }

    /// A probe that never joins.
    pub(crate) fn without(mut self, who: &str) -> Self {
        self.absent.insert(node(who));
        self.events.push(SwarmEvent::NotJoined { node: node(who) });
        self
    }

    /// A probe that joins and reports nothing of its tests.
    pub(crate) fn reports_nothing(mut self, who: &str) -> Self {
        self.silent.insert(node(who));
        self
    }

    /// A probe that does not say what it bound.
    pub(crate) fn tells_of_no_responder(mut self, who: &str) -> Self {
        self.without_responder.insert(node(who));
        self
    }

    pub(crate) fn event(mut self, event: SwarmEvent) -> Self {
        self.events.push(event);
        self
    }

    /// The evidence's payloads: the run record, the swarm's events, each node's batches, the end.
    pub(crate) fn payloads(&self) -> Vec<Payload> {
        let mut out = vec![Payload::Run(Box::new(run_record()))];
        let swarm = |event| {
            Payload::Swarm(SwarmRecord {
                run: run_id(),
                at_ms: 3_000,
                event,
            })
        };
        let here = || {
            self.plan
                .participants
                .iter()
                .filter(|id| !self.absent.contains(id))
        };
        out.extend(here().map(|id| swarm(SwarmEvent::Joined { member: member(*id) })));
        out.extend(self.events.iter().cloned().map(swarm));
        for id in here() {
            out.extend(batches(*id, self.records(*id)).into_iter().map(Payload::Batch));
        }
        out.push(swarm(SwarmEvent::Finished { took_ms: 12_345 }));
        out
    }

    /// What one probe tells, batch by batch.
    fn records(&self, id: NodeId) -> Vec<Vec<Record>> {
        let mut planned_here = PortSet::new();
        let mut reach = Vec::new();
        for &other in &self.plan.participants {
            let mut asked = PortSet::new();
            for block in &self.plan.blocks {
                planned_here.extend(&block.ports_for(other, id));
                asked.extend(&block.ports_for(id, other));
            }
            let exceptions = self.exceptions.get(&(id, other)).map_or(&[][..], Vec::as_slice);
            for exception in exceptions.iter().filter(|reach| !reach.second_look) {
                asked = asked.difference(&exception.ports);
            }
            if !asked.is_empty() && !self.silent.contains(&id) {
                reach.push(Record::Reach(Reach {
                    dst: other,
                    family: Family::Ipv4,
                    protocol: Protocol::Tcp,
                    ports: asked,
                    signal: Signal::Verified,
                    attempts: 1,
                    answered: 1,
                    second_look: false,
                    from: None,
                }));
            }
            reach.extend(exceptions.iter().cloned().map(Record::Reach));
        }
        let unbound = self.unbound.get(&id).map_or(&[][..], Vec::as_slice);
        let refused: Vec<NotBound> = unbound
            .iter()
            .map(|(ports, why)| NotBound {
                ports: ports.clone(),
                why: why.clone(),
            })
            .collect();
        for refused in &refused {
            planned_here = planned_here.difference(&refused.ports);
        }
        let armed = Armed {
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            ports: planned_here,
            refused,
        };
        let heard = self
            .heard
            .get(&id)
            .into_iter()
            .flatten()
            .cloned()
            .map(Record::Heard);
        let seen = self
            .seen
            .get(&id)
            .into_iter()
            .flatten()
            .cloned()
            .map(Record::Seen);
        let arms = !self.without_responder.contains(&id);
        vec![
            vec![Record::Facts(Box::new(self.facts(id)))],
            arms.then_some(Record::Armed(armed)).into_iter().collect(),
            reach,
            heard.chain(seen).collect(),
        ]
    }

    fn facts(&self, id: NodeId) -> HostFacts {
        let address = id.address().unwrap();
        HostFacts {
            hostname: format!("host-{}", address.to_string().replace('.', "-")),
            interfaces: vec![Interface {
                name: "eth0".to_owned(),
                up: true,
                mtu: 1500,
                addresses: vec![format!("{address}/24")],
                ..Interface::default()
            }],
            ruleset: self.rulesets.get(&id).cloned(),
            open_files: 65_536,
            ..HostFacts::default()
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        numbered(self.payloads())
    }

    pub(crate) fn report(&self) -> Report {
        self.judge(&self.entries()).unwrap()
    }

    pub(crate) fn judge(&self, entries: &[Entry]) -> Result<Report, ReportError> {
        let ledger = Ledger::replay(entries)?;
        Ok(super::assemble::judge(&self.inventory, &[], &self.plan, &ledger))
    }
}

pub(crate) fn numbered(payloads: Vec<Payload>) -> Vec<Entry> {
    payloads
        .into_iter()
        .zip(1..)
        .map(|(payload, line)| Entry { line, payload })
        .collect()
}

/// Chains batches as a probe does.
pub(crate) fn batches(id: NodeId, records: Vec<Vec<Record>>) -> Vec<Batch> {
    let mut previous = String::new();
    let mut out = Vec::new();
    for (records, seq) in records.into_iter().zip(1..) {
        let batch = Batch {
            run: run_id(),
            node: id,
            seq,
            previous,
            roster_sha256: String::new(),
            assignment: 0,
            closed_unix_ms: 1_700_000_000_000,
            records,
        };
        previous = Payload::Batch(batch.clone()).digest();
        out.push(batch);
    }
    out
}

pub(crate) fn run_id() -> RunId {
    "0123456789abcdef".parse().unwrap()
}

pub(crate) fn run_record() -> RunRecord {
    RunRecord {
        run: run_id(),
        analysis: ANALYSIS_VERSION,
        coordinator_version: "0.1.0".to_owned(),
        started_unix_ms: 1_709_210_096_007,
        inputs: vec![SourceText {
            name: "cluster.yaml".to_owned(),
            text: "abc".to_owned(),
        }],
        profiles: Vec::new(),
        parameters: Parameters {
            swarm: SwarmKind::Lab,
            groups: vec![Group::Reach],
            nodes: Vec::new(),
            exclude: Vec::new(),
            version: None,
            exhaustive: false,
            seed: 1,
            attempts: 3,
            attempt_timeout_ms: 600,
            max_rate_node: 0,
            max_rate_pair: 0,
            partial: false,
            retest: None,
        },
    }
}

fn member(id: NodeId) -> Member {
    Member {
        node: id,
        addresses: id.address().into_iter().collect::<Vec<IpAddr>>(),
        tls_key_sha256: String::new(),
        signing_key: String::new(),
        agreement_key: String::new(),
        data_ipv6: None,
    }
}

/// An nftables input chain with one rule for each entry: ports to drop, by handle from 1.
pub(crate) fn nft_that_drops(hook: Hook, ports: &[u16]) -> Ruleset {
    let name = if hook == Hook::Output { "output" } else { "input" };
    let rules = ports
        .iter()
        .zip(1..)
        .map(|(port, handle)| {
            rule(
                handle,
                &[destination_port(*port)[..].to_vec(), vec![stop()]].concat(),
            )
        })
        .collect();
    ruleset("filter", vec![chain(name, Some(hook), rules)])
}

/// An nftables input chain that drops one port from one source.
pub(crate) fn nft_that_drops_from(source: &str, port: u16) -> Ruleset {
    let IpAddr::V4(address) = source.parse().unwrap() else {
        panic!("an IPv4 stage")
    };
    let from = [
        Expression::Payload {
            base: PayloadBase::Network,
            offset: 12,
            length: 4,
            to: 1,
        },
        Expression::Compare {
            from: 1,
            op: CompareOp::Eq,
            data: address.octets().to_vec().into(),
        },
    ];
    let drops = [&from[..], &destination_port(port)[..], &[stop()]].concat();
    ruleset(
        "filter",
        vec![chain("input", Some(Hook::Input), vec![rule(1, &drops)])],
    )
}

/// An nftables output chain that drops answers from one port.
pub(crate) fn nft_that_drops_answers(port: u16) -> Ruleset {
    let from_port = [
        Expression::Payload {
            base: PayloadBase::Transport,
            offset: 0,
            length: 2,
            to: 1,
        },
        Expression::Compare {
            from: 1,
            op: CompareOp::Eq,
            data: port.to_be_bytes().to_vec().into(),
        },
    ];
    let drops = [&from_port[..], &[stop()]].concat();
    ruleset(
        "filter",
        vec![chain("output", Some(Hook::Output), vec![rule(1, &drops)])],
    )
}

/// firewalld with the data interface in zone public, which lets some ports in and rejects the rest.
pub(crate) fn firewalld_that_accepts(ports: &[u16]) -> Ruleset {
    let accept = || Expression::Verdict {
        verdict: Verdict::Accept,
    };
    let allow = ports
        .iter()
        .zip(1..)
        .map(|(port, handle)| {
            rule(
                handle,
                &[destination_port(*port)[..].to_vec(), vec![accept()]].concat(),
            )
        })
        .collect();
    let jump = |chain: &str| Expression::Verdict {
        verdict: Verdict::Jump {
            chain: chain.to_owned(),
        },
    };
    let reject = Expression::Reject {
        with: RejectWith::Icmpx { code: 3 },
    };
    let input = vec![rule(90, &[jump("filter_IN_public")]), rule(91, &[reject])];
    let public = vec![rule(80, &[jump("filter_IN_public_allow")])];
    ruleset(
        "firewalld",
        vec![
            chain("filter_INPUT", Some(Hook::Input), input),
            chain("filter_IN_public", None, public),
            chain("filter_IN_public_allow", None, allow),
        ],
    )
}

fn destination_port(port: u16) -> [Expression; 2] {
    [
        Expression::Payload {
            base: PayloadBase::Transport,
            offset: 2,
            length: 2,
            to: 1,
        },
        Expression::Compare {
            from: 1,
            op: CompareOp::Eq,
            data: port.to_be_bytes().to_vec().into(),
        },
    ]
}

fn stop() -> Expression {
    Expression::Verdict {
        verdict: Verdict::Drop,
    }
}

fn rule(handle: u64, expressions: &[Expression]) -> Rule {
    Rule {
        handle,
        expressions: expressions.to_vec(),
        comment: None,
    }
}

fn chain(name: &str, hook: Option<Hook>, rules: Vec<Rule>) -> Chain {
    let base = hook.map(|hook| Base {
        hook,
        priority: 0,
        kind: "filter".to_owned(),
        policy: Policy::Accept,
        devices: Vec::new(),
    });
    Chain {
        name: name.to_owned(),
        base,
        rules,
    }
}

fn ruleset(table: &str, chains: Vec<Chain>) -> Ruleset {
    Ruleset {
        generation: 1,
        tables: vec![Table {
            family: TableFamily::Inet,
            name: table.to_owned(),
            dormant: false,
            chains,
            sets: Vec::new(),
        }],
        interfaces: vec![InterfaceIndex {
            index: 2,
            name: "eth0".to_owned(),
        }],
        legacy_tables: Vec::new(),
    }
}
