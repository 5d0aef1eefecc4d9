//! Clusters and evidence of any size, without a network: what the pure half of an audit is timed with.

use std::{collections::BTreeMap, fmt::Write as _, net::Ipv4Addr};

use plumbline_model::{
    cluster,
    evidence::{
        ANALYSIS_VERSION, Batch, Entry, Group, Parameters, Payload, RunRecord, SwarmEvent, SwarmKind,
        SwarmRecord,
    },
    id::{NodeId, RunId},
    inventory::Inventory,
    observation::{Armed, HostFacts, Reach, Record, Signal},
    plan::Plan,
    port::{Family, Protocol},
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
    }
}

/// Reads and plans, as the coordinator does.
///
/// # Panics
/// If the file of [`cluster_file`] does not read, which is a bug.
pub fn plan(cluster_text: &SourceText) -> (Inventory, Plan) {
    let cluster = cluster::read(cluster_text).expect("the synthetic cluster file reads");
    let inventory = Inventory::derive(&cluster);
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
    let run: RunId = "00000000000000aa".parse().expect("16 hexadecimal digits");
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
        inputs: vec![cluster_text],
        profiles: vec![profile::builtin("gdc-bare-metal").expect("the profile is built in")],
        parameters: parameters(),
    })));
    let silent = plan.participants[plan.participants.len() / 2];
    for node in &plan.participants {
        log.batch(*node, vec![Record::Facts(Box::default() as Box<HostFacts>)]);
        let ports = plan.ports_at(*node, Family::Ipv4, Protocol::Tcp);
        log.batch(
            *node,
            vec![Record::Armed(Armed {
                family: Family::Ipv4,
                protocol: Protocol::Tcp,
                ports,
                refused: Vec::new(),
            })],
        );
    }
    for node in &plan.participants {
        log.batch(*node, reaches(&plan, *node, silent));
    }
    log.swarm(SwarmEvent::Finished { took_ms: 60_000 });
    log.entries
}

/// A port that every node must answer on.
const SILENT_PORT: u16 = 10_256;

fn reaches(plan: &Plan, source: NodeId, silent: NodeId) -> Vec<Record> {
    let mut records = Vec::new();
    for target in plan.targets_from(source) {
        for dst in &target.destinations {
            let (mut quiet, mut open) = (Vec::new(), Vec::new());
            for port in target.ports.iter() {
                if *dst == silent && port == SILENT_PORT {
                    quiet.push(port)
                } else {
                    open.push(port)
                }
            }
            for (ports, signal, attempts) in [(open, Signal::Verified, 1), (quiet, Signal::Silence, 3)] {
                if !ports.is_empty() {
                    records.push(Record::Reach(Reach {
                        dst: *dst,
                        family: target.family,
                        protocol: target.protocol,
                        ports: ports.into_iter().collect(),
                        answered: u32::from(signal == Signal::Verified),
                        signal,
                        attempts,
                        second_look: false,
                        from: None,
                    }));
                }
            }
        }
    }
    records
}

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
