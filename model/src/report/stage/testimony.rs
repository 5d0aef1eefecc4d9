//! What the probes of a stage testify, and what the coordinator writes down.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
};

use crate::{
    evidence::{
        ANALYSIS_VERSION, Batch, Entry, Group, Member, Parameters, Payload, RunRecord, SwarmEvent, SwarmKind,
        SwarmRecord,
    },
    id::{NodeId, RunId},
    input::{InputText, Purpose},
    ledger::Transport,
    observation::{
        Armed, BindFailure, HostFacts, Interface, Life, NotBound, NotTried, Reach, Record, Signal,
    },
    plan::{Block, Expect, Plan},
    port::{Family, PortSet, Protocol},
    verdict::served_ports,
};

use super::{Amendment, Stage};

impl Stage {
    /// The evidence's payloads: the run record, the swarm's events, each node's batches, the end.
    pub(crate) fn payloads(&self) -> Vec<Payload> {
        let run = RunRecord {
            parameters: self.parameters.clone(),
            ..run_record()
        };
        let mut out = vec![Payload::Run(Box::new(run))];
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
        out.extend(here().map(|id| {
            swarm(SwarmEvent::Joined {
                member: member(*id, self.ipv6(*id)),
            })
        }));
        out.extend(self.events.iter().cloned().map(swarm));
        for id in here() {
            out.extend(batches(*id, self.records(*id)).into_iter().map(Payload::Batch));
        }
        out.push(swarm(SwarmEvent::Finished { took_ms: 12_345 }));
        out
    }

    /// What one probe tells, batch by batch.
    fn records(&self, id: NodeId) -> Vec<Vec<Record>> {
        let transports: BTreeSet<Transport> = self
            .plan
            .blocks
            .iter()
            .map(|block| (block.family, block.protocol))
            .collect();
        let mut armed = Vec::new();
        let mut reach = Vec::new();
        for transport in transports {
            armed.push(Record::Armed(self.armed(id, transport)));
            reach.extend(self.reach(id, transport));
        }
        let arms = !self.without_responder.contains(&id);
        let heard = self.heard.get(&id).into_iter().flatten().cloned();
        let seen = self.seen.get(&id).into_iter().flatten().cloned();
        let mut batches = vec![
            vec![Record::Facts(Box::new(self.facts(id, &[&self.at_first])))],
            if arms { armed } else { Vec::new() },
            reach,
            heard.map(Record::Heard).chain(seen.map(Record::Seen)).collect(),
        ];
        if let Some(told) = self.told.get(&id) {
            batches.push(told.clone());
        }
        if self.at_last.contains_key(&id) {
            let facts = self.facts(id, &[&self.at_first, &self.at_last]);
            batches.push(vec![Record::Facts(Box::new(facts))]);
        }
        batches
    }

    fn armed(&self, id: NodeId, transport: Transport) -> Armed {
        let (family, protocol) = transport;
        let mut bound = self.plan.ports_at(id, family, protocol);
        let mut refused = Vec::new();
        let mut refuse = |ports: &PortSet, why: &BindFailure| {
            bound = bound.difference(ports);
            refused.push(NotBound {
                ports: ports.clone(),
                why: why.clone(),
            });
        };
        for (ports, why) in self.unbound.get(&(id, transport)).into_iter().flatten() {
            refuse(ports, why);
        }
        let mut left = bound.clone();
        if self.lacks_address(id, family) && !left.is_empty() {
            refused.push(NotBound {
                ports: std::mem::take(&mut left),
                why: BindFailure::AddressMissing,
            });
        }
        if let Some(served) = self.live.get(&id) {
            for listener in served.listeners.iter().filter(|own| own.protocol == protocol) {
                let ports = listener.ports.intersection(&left);
                left = left.difference(&ports);
                let (process, pid) = (listener.process.clone(), listener.pid);
                let why = BindFailure::Service { process, pid };
                refused.extend((!ports.is_empty()).then_some(NotBound { ports, why }));
            }
            if !left.is_empty() {
                refused.push(NotBound {
                    ports: std::mem::take(&mut left),
                    why: BindFailure::NoListener,
                });
            }
        }
        Armed {
            family,
            protocol,
            ports: left,
            refused,
        }
    }

    fn lacks_address(&self, id: NodeId, family: Family) -> bool {
        family == Family::Ipv6 && self.ipv6(id).is_none()
    }

    fn reach(&self, id: NodeId, transport: Transport) -> Vec<Record> {
        let mut out = Vec::new();
        for &other in &self.plan.participants {
            let of_pair = self.exceptions.get(&(id, other)).map_or(&[][..], Vec::as_slice);
            let exceptions: Vec<&Reach> = of_pair
                .iter()
                .filter(|reach| (reach.family, reach.protocol) == transport)
                .collect();
            let mut told = PortSet::new();
            for exception in exceptions.iter().filter(|reach| !reach.second_look) {
                told.extend(&exception.ports);
            }
            if !self.silent.contains(&id) {
                for (ports, signal) in self.unless_told(id, other, transport) {
                    let ports = ports.difference(&told);
                    out.extend((!ports.is_empty()).then(|| answered(other, transport, ports, signal)));
                }
            }
            out.extend(exceptions.into_iter().cloned().map(Record::Reach));
        }
        out
    }

    /// What a probe sees of another where no test says otherwise: everything answers.
    fn unless_told(&self, id: NodeId, other: NodeId, transport: Transport) -> Vec<(PortSet, Signal)> {
        let (family, protocol) = transport;
        let (mut asked, mut blocked) = (PortSet::new(), PortSet::new());
        let plan = self.plan_of_those_who_came();
        let of_transport = |block: &&Block| (block.family, block.protocol) == transport;
        for block in plan.blocks.iter().filter(of_transport) {
            let ports = match block.expect {
                Expect::Open => &mut asked,
                Expect::Blocked => &mut blocked,
            };
            ports.extend(&block.ports_for(id, other));
        }
        if self.lacks_address(id, family) || self.lacks_address(other, family) {
            asked.extend(&blocked);
            let why = NotTried::NoAddress;
            return vec![(asked, Signal::NotTried { why })];
        }
        let mut out = vec![(blocked, Signal::Connected)];
        if !self.live.contains_key(&other) {
            out.push((asked, Signal::Verified));
        } else if protocol == Protocol::Tcp {
            let facts = self.facts(other, &[&self.at_first]);
            let served = served_ports(&facts, address_of(other, family), protocol);
            let services = self.plan.service_ports_at(other, family, protocol);
            let closed = asked.difference(&served).difference(&services);
            out.push((asked.intersection(&served), Signal::Connected));
            out.push((closed, Signal::Refused));
        }
        out
    }

    /// As a coordinator deals it out.
    fn plan_of_those_who_came(&self) -> Plan {
        if self.parameters.partial {
            self.plan.without(&self.absent)
        } else {
            self.plan.clone()
        }
    }

    fn facts(&self, id: NodeId, amendments: &[&BTreeMap<NodeId, Vec<Amendment>>]) -> HostFacts {
        let address = id.address().unwrap();
        let mut addresses = vec![format!("{address}/24")];
        if let Some(v6) = self.ipv6(id) {
            addresses.push(format!("{v6}/64"));
        }
        let served = self.live.get(&id).cloned();
        let mut facts = HostFacts {
            life: served.as_ref().map_or(Life::Bare, |_| Life::Live),
            listeners: served
                .as_ref()
                .map_or_else(Vec::new, |served| served.listeners.clone()),
            node_ports: served.map_or_else(Vec::new, |served| served.node_ports),
            hostname: format!("host-{}", address.to_string().replace('.', "-")),
            interfaces: vec![Interface {
                name: "eth0".to_owned(),
                up: true,
                mtu: 1500,
                addresses,
                ..Interface::default()
            }],
            ruleset: self.rulesets.get(&id).cloned(),
            open_files: 65_536,
            ..HostFacts::default()
        };
        let of_node = amendments.iter().filter_map(|by_node| by_node.get(&id)).flatten();
        for amend in of_node {
            amend(&mut facts);
        }
        facts
    }

    fn ipv6(&self, id: NodeId) -> Option<Ipv6Addr> {
        (self.dual && !self.without_ipv6.contains(&id)).then(|| ipv6_of(id))
    }
}

/// One attempt, as everybody answers it.
fn answered(dst: NodeId, (family, protocol): Transport, ports: PortSet, signal: Signal) -> Record {
    let attempts = u32::from(!matches!(signal, Signal::NotTried { .. }));
    let is_answer = matches!(signal, Signal::Verified | Signal::Connected);
    Record::Reach(Reach {
        dst,
        family,
        protocol,
        ports,
        signal,
        attempts,
        answered: u32::from(is_answer),
        second_look: false,
        from: None,
    })
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
        inputs: vec![InputText {
            purpose: Purpose::Cluster,
            name: "cluster.yaml".to_owned(),
            text: "abc".to_owned(),
        }],
        profiles: Vec::new(),
        parameters: parameters(vec![Group::Reach]),
    }
}

/// Of a run in a lab, without limits.
pub(crate) fn parameters(groups: Vec<Group>) -> Parameters {
    Parameters {
        swarm: SwarmKind::Lab,
        groups,
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
        active: false,
    }
}

fn member(id: NodeId, data_ipv6: Option<Ipv6Addr>) -> Member {
    let addresses = id.address().into_iter().chain(data_ipv6.map(IpAddr::V6));
    Member {
        node: id,
        addresses: addresses.collect(),
        tls_key_sha256: String::new(),
        signing_key: String::new(),
        agreement_key: String::new(),
        data_ipv6,
    }
}

/// The address of a node of the stage in a family.
pub(crate) fn address_of(id: NodeId, family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => id.address().unwrap(),
        Family::Ipv6 => ipv6_of(id).into(),
    }
}

/// 10.0.1.2 is fd00:1::2.
fn ipv6_of(id: NodeId) -> Ipv6Addr {
    let Some(IpAddr::V4(v4)) = id.address() else {
        panic!("nodes of a stage are known by IPv4 addresses")
    };
    let [_, _, subnet, host] = v4.octets();
    Ipv6Addr::new(0xfd00, subnet.into(), 0, 0, 0, 0, 0, host.into())
}
