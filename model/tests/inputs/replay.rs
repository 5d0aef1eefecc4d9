//! Evidence told in another order, or twice: probes' batches arrive as the network lets them, and what follows from them must
//! not depend on it.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
};

use plumbline_model::{
    canonical,
    evidence::{ANALYSIS_VERSION, Entry, Payload},
    id::NodeId,
    inventory::Inventory,
    observation::Record,
    plan::Plan,
    port::{Family, PortSet, Protocol},
    report::{self, Report},
    source::SourceText,
};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use crate::{gdc, parameters};

/// Two subnets, four nodes, every role.
const CLUSTER: &str = "\
sshPrivateKeyPath: /root/.ssh/id_rsa
---
apiVersion: baremetal.cluster.gke.io/v1
kind: Cluster
metadata:
  name: replayed
  namespace: cluster-replayed
spec:
  type: hybrid
  anthosBareMetalVersion: 1.29.400-gke.1
  controlPlane:
    nodePoolSpec:
      nodes:
      - address: 10.40.1.1
      - address: 10.40.1.2
      - address: 10.40.1.3
  clusterNetwork:
    pods:
      cidrBlocks:
      - 192.168.0.0/16
    services:
      cidrBlocks:
      - 10.96.0.0/20
  loadBalancer:
    mode: bundled
    ports:
      controlPlaneLBPort: 443
    vips:
      controlPlaneVIP: 10.40.1.8
      ingressVIP: 10.40.1.9
    addressPools:
    - name: pool1
      addresses:
      - 10.40.1.9-10.40.1.20
---
apiVersion: baremetal.cluster.gke.io/v1
kind: NodePool
metadata:
  name: workers
  namespace: cluster-replayed
spec:
  clusterName: replayed
  nodes:
  - address: 10.40.2.1
  - address: 10.40.2.2
";

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_in_which_nodes_are_heard_changes_no_sentence_of_the_report(
        testimony in testimonies(),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 100),
    ) {
        let first = judged(&in_turn(&testimony, &[]));
        let second = judged(&in_turn(&testimony, &order));
        prop_assert_eq!(first, second);
    }

    #[test]
    fn a_batch_that_is_told_twice_counts_once(
        testimony in testimonies(),
        repeated in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..9),
    ) {
        let once = in_turn(&testimony, &[]);
        let mut twice = once.clone();
        for (which, later) in &repeated {
            let from = which.index(twice.len());
            if matches!(twice[from], Payload::Batch(_)) {
                // Anywhere behind the first time, before the end.
                let at = from + 1 + later.index(twice.len() - from - 1);
                twice.insert(at, twice[from].clone());
            }
        }
        let (mut first, mut second) = (judged(&once), judged(&twice));
        let told = first["coverage"]["duplicate_batches"].take();
        let again = second["coverage"]["duplicate_batches"].take();
        prop_assert_eq!((told, again), (json!(0), json!(twice.len() - once.len())));
        prop_assert_eq!(first, second);
    }

    #[test]
    fn a_report_is_a_function_of_its_evidence_and_survives_its_encoding(testimony in testimonies()) {
        let entries = numbered(&in_turn(&testimony, &[]));
        let report = report::report(&entries).unwrap();
        let bytes = canonical::encode(&report);
        prop_assert_eq!(&canonical::encode(&report::report(&entries).unwrap()), &bytes);
        prop_assert_eq!(canonical::decode::<Report>(&bytes).unwrap(), report);
    }
}

/// What each node says, in its own order.
pub(crate) type Testimony = BTreeMap<NodeId, Vec<Payload>>;

/// The report without the numbers of lines: that there are as many of them is said, which they are is not.
fn judged(payloads: &[Payload]) -> Value {
    let report = report::report(&numbered(payloads)).unwrap_or_else(|error| panic!("{error}"));
    let mut value = serde_json::to_value(&report).expect("a report is JSON");
    for finding in value["findings"].as_array_mut().into_iter().flatten() {
        finding["evidence"] = json!(finding["evidence"].as_array().map(Vec::len));
    }
    value
}

fn numbered(payloads: &[Payload]) -> Vec<Entry> {
    (1..)
        .zip(payloads)
        .map(|(line, payload)| Entry {
            line,
            payload: payload.clone(),
        })
        .collect()
}

/// The run record, everybody's batches, the end. The next batch is taken from whom `order` says, from the first who has one
/// where it says nothing.
fn in_turn(testimony: &Testimony, order: &[prop::sample::Index]) -> Vec<Payload> {
    let mut queues: Vec<VecDeque<Payload>> =
        testimony.values().map(|batches| batches.clone().into()).collect();
    let mut payloads = vec![run_record()];
    payloads.extend(testimony.keys().map(|node| joined(*node)));
    let mut order = order.iter();
    while !queues.is_empty() {
        let turn = order.next().map_or(0, |turn| turn.index(queues.len()));
        match queues[turn].pop_front() {
            Some(batch) => payloads.push(batch),
            None => drop(queues.remove(turn)),
        }
    }
    payloads.push(swarm(60_000, &json!({ "is": "finished", "took_ms": 60_000 })));
    payloads
}

fn joined(node: NodeId) -> Payload {
    let member = json!({
        "node": node, "addresses": [node.address().unwrap_or(WORKSTATION)],
        "tls_key_sha256": "00".repeat(32), "signing_key": "04".repeat(65), "agreement_key": "00".repeat(32),
    });
    swarm(0, &json!({ "is": "joined", "member": member }))
}

fn swarm(at_ms: u64, event: &Value) -> Payload {
    from_json(json!({ "type": "swarm", "run": RUN, "at_ms": at_ms, "event": event }))
}

fn run_record() -> Payload {
    let cluster = SourceText {
        name: "cluster.yaml".to_owned(),
        text: CLUSTER.to_owned(),
    };
    from_json(json!({
        "type": "run",
        "run": RUN,
        "analysis": ANALYSIS_VERSION,
        "coordinator_version": "0.1.0",
        "started_unix_ms": 1_700_000_000_000_u64,
        "inputs": [cluster],
        "profiles": [plumbline_model::profile::builtin("gdc-bare-metal")],
        "parameters": parameters(),
    }))
}

/// Everybody's testimony: what is bound, heard and reached, with faults at random.
pub(crate) fn testimonies() -> impl Strategy<Value = Testimony> {
    let (_, plan) = plan();
    let nodes = plan.participants.clone();
    let fault = (
        select(nodes.clone()),
        select(nodes),
        select(PORTS.to_vec()),
        signals(),
        any::<bool>(),
    );
    let faults = proptest::collection::vec(fault, 0..12);
    (faults, 1..4_usize).prop_map(move |(faults, chunks)| {
        let mut testimony = Testimony::new();
        for node in &plan.participants {
            let mut records = vec![json!({ "kind": "facts" })];
            for (family, protocol) in TRANSPORTS {
                let ports = plan.ports_at(*node, family, protocol);
                records.push(json!({
                    "kind": "armed", "family": family, "protocol": protocol, "ports": ports, "refused": []
                }));
            }
            for (from, to, port, signal, heard) in &faults {
                if from == node {
                    records.push(reach(
                        *to,
                        Protocol::Tcp,
                        &[*port].into_iter().collect(),
                        signal,
                        false,
                    ));
                    records.push(reach(
                        *to,
                        Protocol::Tcp,
                        &[*port].into_iter().collect(),
                        signal,
                        true,
                    ));
                }
                if to == node && from.address().is_some() {
                    records.push(heard_record(*from, *port, u32::from(*heard)));
                    records.push(seen_record(*from, *port, u32::from(*heard)));
                }
            }
            records.extend(answered(&plan, *node, &faults));
            testimony.insert(*node, chain(*node, &records, chunks));
        }
        testimony
    })
}

/// What a node reaches, but for what faults say of it.
fn answered(plan: &Plan, node: NodeId, faults: &[(NodeId, NodeId, u16, Value, bool)]) -> Vec<Value> {
    let mut records = Vec::new();
    for target in plan.targets_from(node) {
        for to in &target.destinations {
            let failing: PortSet = faults
                .iter()
                .filter(|fault| target.protocol == Protocol::Tcp && (fault.0, fault.1) == (node, *to))
                .map(|fault| fault.2)
                .collect();
            let ports = target.ports.difference(&failing);
            records.push(reach(
                *to,
                target.protocol,
                &ports,
                &json!({ "is": "verified" }),
                false,
            ));
        }
    }
    records
}

/// Batches of a node: its records in so many parts, each naming the one before.
fn chain(node: NodeId, records: &[Value], chunks: usize) -> Vec<Payload> {
    let mut previous = String::new();
    let parts = records.chunks(records.len().div_ceil(chunks));
    (1_u64..)
        .zip(parts)
        .map(|(seq, records)| {
            let records: Vec<Record> = records.iter().cloned().filter_map(facts_are_default).collect();
            let batch: Payload = from_json(json!({
                "type": "batch", "run": RUN, "node": node, "seq": seq, "previous": previous, "roster_sha256": "",
                "assignment": 1, "closed_unix_ms": 1_700_000_000_000_u64 + seq, "records": records,
            }));
            previous = batch.digest();
            batch
        })
        .collect()
}

fn facts_are_default(record: Value) -> Option<Record> {
    if record["kind"] == "facts" {
        return Some(Record::Facts(Box::default()));
    }
    Some(from_json(record))
}

fn reach(to: NodeId, protocol: Protocol, ports: &PortSet, signal: &Value, second_look: bool) -> Value {
    let (attempts, answered) = if signal["is"] == "verified" {
        (1, 1)
    } else {
        (3, 0)
    };
    json!({
        "kind": "reach", "dst": to, "family": "ipv4", "protocol": protocol, "ports": ports, "signal": signal,
        "attempts": attempts, "answered": answered, "second_look": second_look,
    })
}

fn heard_record(from: NodeId, port: u16, heard: u32) -> Value {
    json!({
        "kind": "heard", "src": from, "address": from.address(), "family": "ipv4", "protocol": "tcp",
        "ports": port.to_string(), "accepted": heard, "proven": 0, "unproven": 0,
    })
}

fn seen_record(from: NodeId, port: u16, seen: u32) -> Value {
    json!({
        "kind": "seen", "end": "destination", "peer": from, "family": "ipv4", "protocol": "tcp",
        "ports": port.to_string(), "questions": seen, "answers": 0, "resets": 0, "icmp_errors": 0,
    })
}

fn signals() -> impl Strategy<Value = Value> {
    select(vec![
        json!({ "is": "silence" }),
        json!({ "is": "silence" }),
        json!({ "is": "refused" }),
        json!({ "is": "no_route" }),
        json!({ "is": "neighbor_unresolved" }),
        json!({ "is": "exhausted", "errno": 24 }),
        json!({ "is": "not_tried", "why": "lease" }),
        json!({ "is": "unproven", "how": "bad_proof" }),
        json!({ "is": "icmp", "icmp_type": 3, "code": 13, "offender": "10.40.1.254" }),
    ])
}

fn plan() -> (Inventory, Plan) {
    let inventory = crate::inventory(CLUSTER);
    let plan = Plan::new(&inventory, &[gdc()], &parameters());
    (inventory, plan)
}

fn from_json<T: serde::de::DeserializeOwned>(value: Value) -> T {
    let text = value.to_string();
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}: {text}"))
}

const WORKSTATION: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2));
const RUN: &str = "00000000000000aa";
const TRANSPORTS: [(Family, Protocol); 2] = [(Family::Ipv4, Protocol::Tcp), (Family::Ipv4, Protocol::Udp)];
/// A port of every role, and two of the range.
const PORTS: [u16; 6] = [22, 4240, 10_250, 6444, 30_000, 31_234];
