//! Clusters and evidence of any size, without a network: what the pure half of an audit is timed with.

use std::{collections::BTreeMap, fmt::Write as _, net::Ipv4Addr};

use plumbline_model::{
    cluster,
    evidence::{
        ANALYSIS_VERSION, Batch, Entry, Group, Member, Parameters, Payload, RunRecord, SwarmEvent, SwarmKind,
        SwarmRecord,
    },
    id::{NodeId, RunId},
    input::{InputText, Purpose},
    inventory::Inventory,
    observation::{Armed, Heard, HostFacts, Reach, Record, Signal},
    plan::{Plan, Target},
    port::{Family, PortSet, Protocol},
    profile::{self, Profile},
    source::SourceText,
};

/// A hybrid cluster file: three control plane nodes, the rest workers.
pub fn cluster_file(nodes: u32) -> SourceText {
    let address =
        |index: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 40, 1, 0)) + index + index / 200 * 56);
    let mut text = String::from(
        "sshPrivateKeyPath: /root/.ssh/id_rsa\n---\napiVersion: baremetal.cluster.gke.io/v1\nkind: Cluster\nmetadata:\n  \
         name: big\n  namespace: cluster-big\nspec:\n  type: hybrid\n  anthosBareMetalVersion: 1.29.400-gke.1\n  \
         controlPlane:\n    nodePoolSpec:\n      nodes:\n",
    );
    for index in 1..=3 {
        let _ = writeln!(text, "      - address: {}", address(index));
    }
    text.push_str(
        "  clusterNetwork:\n    pods:\n      cidrBlocks:\n      - 192.168.0.0/16\n    services:\n      cidrBlocks:\n      \
         - 10.96.0.0/20\n  loadBalancer:\n    mode: bundled\n    ports:\n      controlPlaneLBPort: 443\n    vips:\n      \
         controlPlaneVIP: 10.40.0.8\n      ingressVIP: 10.40.0.9\n    addressPools:\n    - name: pool1\n      addresses:\n      \
         - 10.40.0.9-10.40.0.20\n---\napiVersion: baremetal.cluster.gke.io/v1\nkind: NodePool\nmetadata:\n  name: workers\n  \
         namespace: cluster-big\nspec:\n  clusterName: big\n  nodes:\n",
    );
    for index in 4..=nodes {
        let _ = writeln!(text, "  - address: {}", address(index));
    }
    SourceText {
        name: "big.yaml".to_owned(),
        text,
    }
}

/// The parameters of an audit over a real network, with its default rates.
pub fn parameters() -> Parameters {
    Parameters {
        swarm: SwarmKind::Joined,
        groups: vec![Group::Config, Group::Access, Group::Reach],
        nodes: Vec::new(),
        exclude: Vec::new(),
        version: None,
        exhaustive: false,
        seed: 0,
        attempts: 3,
        attempt_timeout_ms: 600,
        max_rate_node: 200,
        max_rate_pair: 20,
        partial: false,
        retest: None,
        active: false,
    }
}

/// Reads and plans, as the coordinator does.
///
/// # Panics
/// If the file of [`cluster_file`] does not read, which is a bug.
pub fn plan(cluster_text: &SourceText) -> (Inventory, Plan) {
    let read = cluster::read(cluster_text).expect("the synthetic cluster file reads");
    let inventory = Inventory::derive(&read.cluster);
    let text = profile::builtin("gdc-bare-metal").expect("the profile is built in");
    let profile: Profile = profile::read(&text).expect("the built-in profile reads");
    let plan = Plan::new(&inventory, &[profile], &parameters());
    (inventory, plan)
}

/// The evidence of a run in which every test of every pair was answered, but for one port of one node.
///
/// # Panics
/// As [`plan`].
pub fn evidence(nodes: u32) -> Vec<Entry> {
    let cluster_text = cluster_file(nodes);
    let (_, plan) = plan(&cluster_text);
    let run = run();
    let mut log = Log {
        entries: Vec::new(),
        run: run.clone(),
        chains: BTreeMap::new(),
    };
    log.push(Payload::Run(Box::new(RunRecord {
        run,
        analysis: ANALYSIS_VERSION,
        coordinator_version: "bench".to_owned(),
        started_unix_ms: 1_700_000_000_000,
        inputs: vec![InputText::new(Purpose::Cluster, cluster_text)],
        profiles: vec![profile::builtin("gdc-bare-metal").expect("the profile is built in")],
        parameters: parameters(),
    })));
    for member in members(&plan) {
        log.swarm(SwarmEvent::Joined { member });
    }
    for node in &plan.participants {
        log.batch(*node, vec![Record::Facts(Box::default() as Box<HostFacts>)]);
        log.batch(*node, armed(&plan, *node));
    }
    let silent = plan.participants[plan.participants.len() / 2];
    let mut heard = Heards::default();
    let index = plan.index();
    for node in &plan.participants {
        let reached = reached(&index.targets_from(*node), silent);
        heard.add(*node, &reached);
        log.batch(*node, reached);
    }
    for node in &plan.participants {
        log.batch(*node, heard.take(*node));
    }
    log.swarm(SwarmEvent::Finished { took_ms: 60_000 });
    log.entries
}

/// The run of every synthetic evidence.
///
/// # Panics
/// Never: the id is a constant.
pub fn run() -> RunId {
    "00000000000000aa".parse().expect("16 hexadecimal digits")
}

/// Everybody who takes part. Keys are of the right length and nothing else.
pub fn members(plan: &Plan) -> Vec<Member> {
    let member = |node: &NodeId| Member {
        node: *node,
        addresses: vec![node.address().unwrap_or_else(|| [198, 51, 100, 2].into())],
        tls_key_sha256: "5a".repeat(32),
        signing_key: "04".repeat(65),
        agreement_key: "a5".repeat(32),
        data_ipv6: None,
    };
    plan.participants.iter().map(member).collect()
}

/// What a node binds: everything.
pub fn armed(plan: &Plan, node: NodeId) -> Vec<Record> {
    let set = |protocol| Armed {
        family: Family::Ipv4,
        protocol,
        ports: plan.ports_at(node, Family::Ipv4, protocol),
        refused: Vec::new(),
    };
    [Protocol::Tcp, Protocol::Udp]
        .map(|protocol| Record::Armed(set(protocol)))
        .into()
}

/// What a source saw, one record for each peer, transport and equal outcome, as a probe writes it: everything answered but
/// one port of one node, and the port that must not. sshd stands on its own port and is only connected to.
pub fn reached(targets: &[Target], silent: NodeId) -> Vec<Record> {
    let mut by_peer: BTreeMap<(NodeId, Family, Protocol, Signal), PortSet> = BTreeMap::new();
    for target in targets {
        for dst in &target.destinations {
            for port in target.ports.iter() {
                let signal = match port {
                    SILENT_PORT if *dst == silent => Signal::Silence,
                    SSH_PORT if target.protocol == Protocol::Tcp => Signal::Connected,
                    LOOPBACK_PORT => Signal::Refused,
                    _ => Signal::Verified,
                };
                let key = (*dst, target.family, target.protocol, signal);
                by_peer.entry(key).or_default().insert_port(port);
            }
        }
    }
    let record = |((dst, family, protocol, signal), ports)| {
        let (attempts, answered) = match signal {
            Signal::Silence => (3, 0),
            Signal::Refused => (1, 0),
            _ => (1, 1),
        };
        Record::Reach(Reach {
            dst,
            family,
            protocol,
            ports,
            signal,
            attempts,
            answered,
            second_look: false,
            from: None,
        })
    };
    by_peer.into_iter().map(record).collect()
}

/// What destinations heard: everything that was verified, each port once.
#[derive(Debug, Default)]
pub struct Heards(BTreeMap<NodeId, Vec<(NodeId, Family, Protocol, PortSet)>>);

impl Heards {
    /// Notes what a source reached.
    pub fn add(&mut self, source: NodeId, reached: &[Record]) {
        for record in reached {
            if let Record::Reach(reach) = record
                && reach.signal == Signal::Verified
            {
                let heard = (source, reach.family, reach.protocol, reach.ports.clone());
                self.0.entry(reach.dst).or_default().push(heard);
            }
        }
    }

    /// What a destination heard.
    pub fn take(&mut self, destination: NodeId) -> Vec<Record> {
        let record = |(source, family, protocol, ports): (NodeId, Family, Protocol, PortSet)| {
            Record::Heard(Heard {
                src: Some(source),
                address: source.address().unwrap_or_else(|| [198, 51, 100, 2].into()),
                family,
                protocol,
                ports,
                accepted: 1,
                proven: 1,
                unproven: 0,
                replayed: 0,
            })
        };
        let heard = self.0.remove(&destination).unwrap_or_default();
        heard.into_iter().map(record).collect()
    }
}

/// A port that every node must answer on.
const SILENT_PORT: u16 = 10_256;

/// A port of loopback scope, which must not answer over the network.
const LOOPBACK_PORT: u16 = 9_101;
/// Held by the node's own sshd.
const SSH_PORT: u16 = 22;

struct Log {
    entries: Vec<Entry>,
    run: RunId,
    chains: BTreeMap<NodeId, (u64, String)>,
}

impl Log {
    fn push(&mut self, payload: Payload) {
        let line = u32::try_from(self.entries.len() + 1).expect("fewer than four billion lines");
        self.entries.push(Entry { line, payload });
    }

    fn swarm(&mut self, event: SwarmEvent) {
        self.push(Payload::Swarm(SwarmRecord {
            run: self.run.clone(),
            at_ms: 0,
            event,
        }));
    }

    fn batch(&mut self, node: NodeId, records: Vec<Record>) {
        let (seq, previous) = self.chains.remove(&node).unwrap_or((0, String::new()));
        let payload = Payload::Batch(Batch {
            run: self.run.clone(),
            node,
            seq: seq + 1,
            previous,
            roster_sha256: String::new(),
            assignment: 0,
            closed_unix_ms: 1_700_000_000_000,
            records,
        });
        let digest = payload.digest();
        self.chains.insert(node, (seq + 1, digest));
        self.push(payload);
    }
}
