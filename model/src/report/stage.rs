//! Evidence made by hand for tests: a small cluster on which everything answers, apart from what a test says.
//!
//! Four nodes in two subnets: 10.0.0.1 (control plane) and 10.0.0.2 (load balancer), 10.0.1.1 and 10.0.1.2 (workers). With
//! [`Stage::dual`] 10.0.1.2 is also fd00:1::2, and so on. What is said of tests is said of TCP over IPv4, until
//! [`Stage::over`] says otherwise.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::{
    assumption::Scene,
    errand::Errand,
    evidence::{Entry, Parameters, SwarmEvent},
    firewall::Ruleset,
    id::{NodeId, Role},
    input::Understood,
    inventory::{ClusterType, Inventory, LoadBalancerMode, LoadBalancerType, Node},
    ledger::{Ledger, Transport},
    observation::{BindFailure, End, Heard, HostFacts, Listener, NodePorts, Reach, Record, Seen, Signal},
    plan::{Block, Expect, Plan, Sharing},
    port::{Family, PortSet, Protocol},
    profile::Severity,
    source::Diagnostic,
    waiver::Waiver,
};

use super::{Report, ReportError};

mod rulesets;
mod ssh;
mod testimony;

pub(crate) use rulesets::{
    firewalld_that_accepts, nft_that_draws_lots, nft_that_drops, nft_that_drops_answers, nft_that_drops_from,
    nft_that_limits,
};
pub(crate) use ssh::commands_by_ssh;
pub(crate) use testimony::{address_of, batches, numbered, parameters, run_id};

pub(crate) const CP: &str = "10.0.0.1";
pub(crate) const LB: &str = "10.0.0.2";
pub(crate) const W1: &str = "10.0.1.1";
pub(crate) const W2: &str = "10.0.1.2";

/// A run in the making.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) inventory: Inventory,
    /// What following calls speak of.
    transport: Transport,
    dual: bool,
    pub(crate) parameters: Parameters,
    /// What the checks over the file complained about.
    pub(crate) complaints: Vec<Diagnostic>,
    /// What somebody answers for.
    pub(crate) waivers: Vec<Waiver>,
    /// Live nodes with what they serve.
    live: BTreeMap<NodeId, Served>,
    without_ipv6: BTreeSet<NodeId>,
    exceptions: BTreeMap<(NodeId, NodeId), Vec<Reach>>,
    unbound: BTreeMap<(NodeId, Transport), Vec<(PortSet, BindFailure)>>,
    heard: BTreeMap<NodeId, Vec<Heard>>,
    seen: BTreeMap<NodeId, Vec<Seen>>,
    rulesets: BTreeMap<NodeId, Ruleset>,
    /// What differs in a node's facts when it joins, and when it is surveyed.
    at_first: BTreeMap<NodeId, Vec<Amendment>>,
    at_last: BTreeMap<NodeId, Vec<Amendment>>,
    absent: BTreeSet<NodeId>,
    silent: BTreeSet<NodeId>,
    without_responder: BTreeSet<NodeId>,
    events: Vec<SwarmEvent>,
    /// What else probes tell, of their hosts or errands.
    told: BTreeMap<NodeId, Vec<Record>>,
}

/// What a live node serves.
#[derive(Clone, Default)]
struct Served {
    listeners: Vec<Listener>,
    node_ports: Vec<NodePorts>,
}

type Amendment = std::rc::Rc<dyn Fn(&mut HostFacts)>;

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
            profile: "gdc-bare-metal".to_owned(),
            with: Vec::new(),
            options: BTreeMap::new(),
            variables: BTreeMap::new(),
            cluster_type: Some(ClusterType::User),
            version: "1.29.0".parse().unwrap(),
            nodes: participants
                .iter()
                .map(|id| Node {
                    id: *id,
                    ssh: id.address().unwrap(),
                    ssh_port: None,
                    name: None,
                    roles: BTreeSet::from([Role::Worker]),
                    version: "1.29.0".parse().unwrap(),
                    pool: "pool".to_owned(),
                    line: 1,
                    labels: BTreeMap::new(),
                })
                .collect(),
            vantages: Vec::new(),
            load_balancer_mode: LoadBalancerMode::Bundled,
            load_balancer_type: LoadBalancerType::Layer2,
            flat: false,
            direct_server_return: false,
            pod_mtu: None,
            control_plane_vip: None,
            ingress_vip: None,
            address_pools: Vec::new(),
            node_agent: false,
            pods: Vec::new(),
            services: Vec::new(),
            outward: crate::inventory::Outward::default(),
        };
        Self {
            plan: Plan {
                participants,
                blocks: Vec::new(),
                no_vantage: Vec::new(),
                not_tested: Vec::new(),
                errands: crate::errand::Errands::new(),
            },
            inventory,
            transport: (Family::Ipv4, Protocol::Tcp),
            dual: false,
            parameters: testimony::run_record().parameters,
            complaints: Vec::new(),
            waivers: Vec::new(),
            live: BTreeMap::new(),
            without_ipv6: BTreeSet::new(),
            at_first: BTreeMap::new(),
            at_last: BTreeMap::new(),
            exceptions: BTreeMap::new(),
            unbound: BTreeMap::new(),
            heard: BTreeMap::new(),
            seen: BTreeMap::new(),
            rulesets: BTreeMap::new(),
            absent: BTreeSet::new(),
            silent: BTreeSet::new(),
            without_responder: BTreeSet::new(),
            events: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    /// Every node has an IPv6 address, too.
    pub(crate) fn dual(mut self) -> Self {
        self.dual = true;
        self
    }

    /// What follows is said of this family and transport.
    pub(crate) fn over(mut self, family: Family, protocol: Protocol) -> Self {
        self.transport = (family, protocol);
        self
    }

    /// What a probe tells of its host is different in this from the first.
    pub(crate) fn knows(mut self, on: &str, amend: impl Fn(&mut HostFacts) + 'static) -> Self {
        let amendments = self.at_first.entry(node(on)).or_default();
        amendments.push(std::rc::Rc::new(amend));
        self
    }

    /// The probe is surveyed at the end, and what it tells then differs in this.
    pub(crate) fn learns(mut self, on: &str, amend: impl Fn(&mut HostFacts) + 'static) -> Self {
        let amendments = self.at_last.entry(node(on)).or_default();
        amendments.push(std::rc::Rc::new(amend));
        self
    }

    /// One more rule that must be open.
    pub(crate) fn rule(mut self, id: &str, ports_text: &str, from: &[&str], to: &[&str]) -> Self {
        self.plan.blocks.push(Block {
            rule: id.to_owned(),
            family: self.transport.0,
            protocol: self.transport.1,
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

    /// The rule that was added last is about ports that Services serve.
    pub(crate) fn through_services(mut self) -> Self {
        self.plan.blocks.last_mut().unwrap().through_services = true;
        self
    }

    /// The ports of the rule that was added last are shared among its sources.
    pub(crate) fn shared(mut self) -> Self {
        self.plan.blocks.last_mut().unwrap().sharing = Sharing::Strata;
        self
    }

    /// Each destination of the rule that was added last is tested by one source.
    pub(crate) fn by_one(mut self) -> Self {
        self.plan.blocks.last_mut().unwrap().sharing = Sharing::One;
        self
    }

    /// Kubernetes runs there: what it serves is said with [`Stage::serves`] and [`Stage::has_services`], and nobody listens
    /// elsewhere. Its services accept TCP, its other ports answer by RST, and nothing is sent to UDP.
    pub(crate) fn live(mut self, on: &str) -> Self {
        self.live.entry(node(on)).or_default();
        self
    }

    /// A service of a live node waits at all addresses.
    pub(crate) fn serves(mut self, on: &str, at: &str, process: &str) -> Self {
        let everywhere = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let listener = |address| Listener {
            protocol: self.transport.1,
            address,
            ports: ports(at),
            process: Some(process.to_owned()),
            pid: Some(4711),
        };
        let listeners = everywhere.map(listener);
        self.live.entry(node(on)).or_default().listeners.extend(listeners);
        self
    }

    /// NodePorts of Services on a live node.
    pub(crate) fn has_services(mut self, on: &str, at: &str) -> Self {
        let (family, protocol) = self.transport;
        let node_ports = NodePorts {
            family,
            protocol,
            ports: ports(at),
        };
        self.live.entry(node(on)).or_default().node_ports.push(node_ports);
        self
    }

    /// A node of a dual-stack stage that has no IPv6 address.
    pub(crate) fn without_ipv6(mut self, on: &str) -> Self {
        self.without_ipv6.insert(node(on));
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
        let (family, protocol) = self.transport;
        self.exceptions
            .entry((node(src), node(dst)))
            .or_default()
            .push(Reach {
                dst: node(dst),
                family,
                protocol,
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
        let (family, protocol) = self.transport;
        self.seen.entry(node(on)).or_default().push(Seen {
            end,
            peer: node(peer),
            family,
            protocol,
            ports: ports(at),
            questions,
            answers,
            resets,
            icmp_errors: 0,
        });
        self
    }

    pub(crate) fn hears(mut self, dst: &str, src: &str, at: &str, accepted: u32, proven: u32) -> Self {
        let (family, protocol) = self.transport;
        self.heard.entry(node(dst)).or_default().push(Heard {
            src: Some(node(src)),
            address: address_of(node(src), family),
            family,
            protocol,
            ports: ports(at),
            accepted,
            proven,
            unproven: 0,
            replayed: 0,
        });
        self
    }

    /// Datagrams of a source that do not prove its key.
    pub(crate) fn hears_noise(self, dst: &str, src: &str, at: &str, count: u32) -> Self {
        let mut stage = self.hears(dst, src, at, count, 0);
        let heard = stage.heard.get_mut(&node(dst)).and_then(|heard| heard.last_mut());
        heard.unwrap().unproven = count;
        stage
    }

    pub(crate) fn hears_a_stranger(mut self, dst: &str, address: &str, at: &str, proven: u32) -> Self {
        let (family, protocol) = self.transport;
        self.heard.entry(node(dst)).or_default().push(Heard {
            src: None,
            address: address.parse().unwrap(),
            family,
            protocol,
            ports: ports(at),
            accepted: proven,
            proven,
            unproven: 0,
            replayed: 0,
        });
        self
    }

    pub(crate) fn cannot_bind(mut self, on: &str, at: &str, why: BindFailure) -> Self {
        let key = (node(on), self.transport);
        self.unbound.entry(key).or_default().push((ports(at), why));
        self
    }

    pub(crate) fn filters(mut self, on: &str, ruleset: Ruleset) -> Self {
        self.rulesets.insert(node(on), ruleset);
        self
    }

    /// A probe that never joins.
    pub(crate) fn without(mut self, who: &str) -> Self {
        self.absent.insert(node(who));
        self.events.push(SwarmEvent::NotJoined {
            node: node(who),
            refused: None,
        });
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

    /// A probe is given an errand.
    pub(crate) fn sends(mut self, on: &str, errand: Errand) -> Self {
        self.plan.errands.entry(node(on)).or_default().push(errand);
        self
    }

    /// What else a probe tells.
    pub(crate) fn tells(mut self, on: &str, record: Record) -> Self {
        self.told.entry(node(on)).or_default().push(record);
        self
    }

    /// The cluster is another one.
    pub(crate) fn with_inventory(mut self, amend: impl FnOnce(&mut Inventory)) -> Self {
        amend(&mut self.inventory);
        self
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        numbered(self.payloads())
    }

    pub(crate) fn report(&self) -> Report {
        self.judge(&self.entries()).unwrap()
    }

    /// What somebody makes of it who looks at no test, without profiles.
    pub(crate) fn looked_at<T>(&self, look: impl FnOnce(&Scene<'_>) -> T) -> T {
        let entries = self.entries();
        look(&Scene {
            inventory: &self.inventory,
            profiles: &[],
            plan: &self.plan,
            ledger: &Ledger::replay(&entries).unwrap(),
            pairs: &[],
            configured: &[],
        })
    }

    pub(crate) fn judge(&self, entries: &[Entry]) -> Result<Report, ReportError> {
        let ledger = Ledger::replay(entries)?;
        let understood = Understood {
            inventory: self.inventory.clone(),
            declared: None,
            waivers: self.waivers.clone(),
            findings: self.complaints.clone(),
            checks: crate::cluster::Checks::default(),
        };
        Ok(super::assemble::judge(&understood, &[], &self.plan, &ledger))
    }
}
