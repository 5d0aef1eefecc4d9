use std::{cmp::Reverse, collections::BTreeSet};

use serde_json::Value;

use crate::{
    canonical,
    evidence::{Payload, SwarmEvent},
    firewall::Ruleset,
    ledger::{Ledger, Told},
    observation::{BindFailure, HostFacts, Neighbor, NotTried, Signal},
    plan::NoVantage,
    port::{Family, Protocol},
    profile::{Destination, Source},
    report::{
        MAX_AFFECTS, MAX_EVIDENCE, ReachabilityRow, Report, ReportError, Status, Verdict, check,
        stage::{CP, LB, Stage, W1, W2, batches, node, numbered, ports, run_id},
    },
    source::{Diagnostic, Gravity},
    waiver::{Selector, Waiver},
};

mod live;
mod partial;
mod rolled_out;
mod schema;
mod stated;
mod waived;

use self::schema::{schema, validate};

/// A run on which much of what a report can say is said.
fn eventful() -> Stage {
    let rejected = Signal::Icmp {
        icmp_type: 3,
        code: 13,
        offender: Some("10.0.0.254".parse().unwrap()),
    };
    let taken = BindFailure::Taken {
        process: Some("nc".to_owned()),
        pid: Some(7),
    };
    let answered_from = Signal::AnsweredFrom {
        address: "192.0.2.1".parse().unwrap(),
    };
    let mut stage = Stage::new()
        .rule("worker.nodeport", "30000-32767", &[LB], &[W1])
        .that_warns()
        .sees(LB, W1, "30000-30004", rejected)
        .silent(LB, W1, "30005-30100", Some((1, 0)), Some((0, 0)))
        .silent(W1, LB, "10250", Some((1, 0)), Some((1, 0)))
        .sees(LB, W1, "10250", Signal::Silence)
        .sees_again(LB, W1, "10250", Signal::Verified)
        .sees(CP, LB, "4240", Signal::Exhausted { errno: 24 })
        .cannot_bind(CP, "6444", taken)
        .without(W2)
        .over(Family::Ipv4, Protocol::Udp)
        .rule("node.geneve", "6081", &[CP], &[LB])
        .sees(CP, LB, "6081", answered_from)
        .over(Family::Ipv4, Protocol::Tcp);
    stage.plan.no_vantage.push(NoVantage {
        rule: "cp.ssh".to_owned(),
        source: Source::AdminClusterNodes,
        destination: Destination::ControlPlane,
        protocol: Protocol::Tcp,
        ports: ports("22"),
        remedy: "give --admin-cluster".to_owned(),
    });
    stage.complaints.push(Diagnostic {
        file: "cluster.yaml".to_owned(),
        line: 47,
        column: 24,
        message: "controlPlaneVIP 10.0.0.8 is inside the address pool 10.0.0.0/28 (line 53)".to_owned(),
        help: Some("choose an address outside the pools, or shrink the pool".to_owned()),
        gravity: Gravity::Contradiction,
        check: Some(check::CFG_VIP_OUTSIDE_POOLS.id),
    });
    let selector = Selector {
        file: Some("cluster.yaml".to_owned()),
        line: Some(47),
        ..Selector::default()
    };
    stage
        .waivers
        .push(waiver(check::CFG_VIP_OUTSIDE_POOLS.id, selector, "2024-03-31"));
    stage
}

/// A waiver; the stage's runs start on 2024-02-29.
fn waiver(check: &str, selector: Selector, expires: &str) -> Waiver {
    Waiver {
        check: check.to_owned(),
        selector,
        owner: "jo@example.com".to_owned(),
        reason: "mended with the next change".to_owned(),
        expires: expires.to_owned(),
        line: 3,
    }
}

/// Runs that between them say whatever a report can say.
fn telling() -> [Stage; 5] {
    [
        Stage::new(),
        eventful(),
        live::cluster(),
        partial::retest(),
        rolled_out::cluster(),
    ]
}

#[test]
fn a_report_follows_its_published_schema() {
    for stage in telling() {
        let report = serde_json::to_value(stage.report()).unwrap();
        let schema = schema();
        let mut complaints = Vec::new();
        validate(&schema, &schema, &report, "report", &mut complaints);
        assert_eq!(complaints, Vec::<String>::new());
    }
}

#[test]
fn every_field_that_a_report_can_have_is_in_one_that_is_checked() {
    // Otherwise the test above would prove little.
    let reports = telling().map(|stage| serde_json::to_value(stage.report()).unwrap());
    let schema = schema();
    for (definition, place) in [
        ("reachability", "/reachability"),
        ("finding", "/findings"),
        ("waiver_row", "/waivers"),
        ("check", "/checks"),
        ("not_measured", "/not_measured"),
        ("no_vantage", "/coverage/no_vantage"),
        ("absent", "/absent"),
        ("retest", "/retest"),
        ("change", "/retest/changes"),
    ] {
        let wanted: BTreeSet<&String> = schema["$defs"][definition]["properties"]
            .as_object()
            .unwrap()
            .keys()
            .collect();
        let told = reports.iter().filter_map(|report| report.pointer(place));
        let objects = told.flat_map(|told| match told {
            Value::Array(items) => items.iter().collect(),
            one => vec![one],
        });
        let had: BTreeSet<&String> = objects
            .flat_map(|item| item.as_object().unwrap().keys())
            .collect();
        assert_eq!(had, wanted, "{definition}");
    }
}

#[test]
fn the_schema_refuses_what_is_missing_misspelt_or_null() {
    let schema = schema();
    let good = serde_json::to_value(eventful().report()).unwrap();
    let mut spoilt = Vec::new();
    let mut spoil = |change: fn(&mut Value)| {
        let mut report = good.clone();
        change(&mut report);
        spoilt.push(report);
    };
    spoil(|report| report["verdict"] = "fine".into());
    spoil(|report| report["finished"] = Value::Null);
    spoil(|report| report["extra"] = 1.into());
    spoil(|report| report["findings"][0]["cause"]["kind"] = "gremlins".into());
    spoil(|report| report["reachability"][0]["attempts"] = (-1).into());
    spoil(|report| report["findings"][0]["cause"]["between"] = Value::Array(Vec::new()));
    spoil(|report| _ = report.as_object_mut().unwrap().remove("coverage"));
    for report in spoilt {
        let mut complaints = Vec::new();
        validate(&schema, &schema, &report, "report", &mut complaints);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
    }
}

#[test]
fn a_report_survives_its_canonical_encoding() {
    let report = eventful().report();
    let bytes = canonical::encode(&report);
    assert_eq!(canonical::decode::<Report>(&bytes).unwrap(), report);
    assert!(
        !bytes.windows(6).any(|six| six == b":null,"),
        "absent, never null"
    );
}

#[test]
fn times_are_rfc_3339_in_utc() {
    let report = Stage::new().report();
    assert_eq!(report.started, "2024-02-29T12:34:56.007Z");
    assert_eq!(report.finished.as_deref(), Some("2024-02-29T12:35:08.352Z"));
}

#[test]
fn every_planned_test_is_counted_once_and_is_under_a_row_of_each_of_its_rules() {
    let stage = eventful().rule("node.kubelet-too", "10250", &[CP], &[LB]);
    let report = stage.report();
    // 12 pairs x 2 ports, 3 tests of 6444, 2768 NodePorts, GENEVE once; the second kubelet rule asks nothing new.
    assert_eq!(
        (report.coverage.planned, report.coverage.pairs),
        (24 + 3 + 2768 + 1, 12)
    );
    let rows: u64 = report
        .reachability
        .iter()
        .map(|row| u64::from(row.ports.count()))
        .sum();
    assert_eq!(rows, report.coverage.planned + 1);
    let unmeasured: u64 = report
        .reachability
        .iter()
        .filter(|row| ["not_measured", "resource"].contains(&row.outcome.as_str()))
        .map(|row| u64::from(row.ports.count()))
        .sum();
    assert_eq!(report.coverage.measured, report.coverage.planned - unmeasured);
}

#[test]
fn findings_come_worst_first_and_are_numbered_in_that_order() {
    let report = eventful().report();
    let order: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.waived.is_some(), Reverse(finding.status)))
        .collect();
    assert!(order.is_sorted(), "{order:?}");
    let ids: Vec<&str> = report
        .findings
        .iter()
        .map(|finding| finding.id.as_str())
        .collect();
    let numbered: Vec<String> = (1..=ids.len()).map(|number| format!("F{number}")).collect();
    assert_eq!(ids, numbered);
}

#[test]
fn a_rule_without_a_vantage_warns() {
    let mut stage = Stage::new();
    stage.plan.no_vantage = eventful().plan.no_vantage;
    let report = stage.report();
    assert_eq!((report.verdict, report.findings.len()), (Verdict::Warned, 0));
    assert!(
        report
            .checks
            .iter()
            .any(|row| row.id == "PLAN-001" && row.status == Status::Warn)
    );
}

#[test]
fn what_a_finding_lists_is_capped_and_spread_over_its_pairs() {
    let stage = Stage::of(&[CP, LB, W1, W2]).rule("worker.nodeport", "1025-65534", &[CP, LB, W2], &[W1]);
    let stage = [CP, LB, W2].iter().fold(stage, |stage, src| {
        stage.silent(src, W1, "1025-65534", Some((1, 0)), Some((1, 0)))
    });
    let report = stage.report();
    let finding = &report.findings[0];
    assert_eq!((finding.affects_total, report.findings.len()), (3 * 64_510, 1));
    assert!(finding.affects.len() <= MAX_AFFECTS && finding.affects.len() > MAX_AFFECTS - 3);
    for src in [CP, LB, W2] {
        let listed = finding
            .affects
            .iter()
            .filter(|affect| affect.src == node(src))
            .count();
        assert_eq!(listed, MAX_AFFECTS / 3);
    }
    assert!(!finding.evidence.is_empty() && finding.evidence.len() <= MAX_EVIDENCE);
    assert!(finding.evidence.is_sorted());
}

#[test]
fn reports_do_not_depend_on_how_batches_of_different_nodes_are_interleaved() {
    let stage = eventful();
    let payloads = stage.payloads();
    let plain = without_lines(stage.judge(&numbered(payloads.clone())).unwrap());
    let mut generator = Generator(42);
    for _ in 0..50 {
        let shuffled = interleave(&payloads, &mut generator);
        assert_ne!(shuffled, payloads);
        assert_eq!(without_lines(stage.judge(&numbered(shuffled)).unwrap()), plain);
    }
}

#[test]
fn a_batch_that_arrives_twice_is_applied_once() {
    let stage = eventful();
    let mut payloads = stage.payloads();
    let plain = stage.judge(&numbered(payloads.clone())).unwrap();
    let again: Vec<Payload> = payloads
        .iter()
        .filter(|payload| matches!(payload, Payload::Batch(_)))
        .cloned()
        .collect();
    let count = u64::try_from(again.len()).unwrap();
    payloads.extend(again);
    let mut twice = stage.judge(&numbered(payloads)).unwrap();
    assert_eq!(twice.coverage.duplicate_batches, count);
    twice.coverage.duplicate_batches = 0;
    assert_eq!(twice, plain);
}

#[test]
fn a_batch_that_is_missing_swapped_or_altered_breaks_the_chain() {
    let stage = Stage::new();
    let payloads = stage.payloads();
    let firsts: Vec<usize> = (0..payloads.len())
        .filter(|index| batch_of(&payloads[*index]) == Some(node(CP)))
        .collect();
    let mut removed = payloads.clone();
    removed.remove(firsts[1]);
    let mut swapped = payloads.clone();
    swapped.swap(firsts[1], firsts[2]);
    let mut altered = payloads.clone();
    if let Payload::Batch(batch) = &mut altered[firsts[0]] {
        batch.closed_unix_ms += 1;
    }
    let mut replaced = payloads.clone();
    let other = batches(node(CP), vec![vec![]]).remove(0);
    replaced.push(Payload::Batch(other));
    for spoilt in [removed, swapped, altered, replaced] {
        let refused = stage.judge(&numbered(spoilt)).unwrap_err();
        assert!(
            matches!(refused, ReportError::BrokenChain { node: found, .. } if found == node(CP)),
            "{refused}"
        );
    }
}

#[test]
fn batches_that_a_probe_closed_and_nobody_has_are_missing_and_make_the_run_incomplete() {
    let report = Stage::new()
        .event(SwarmEvent::Closed {
            node: node(CP),
            last_seq: 6,
        })
        .report();
    assert_eq!(
        (report.coverage.missing_batches, report.verdict),
        (2, Verdict::Incomplete)
    );
    let report = Stage::new()
        .event(SwarmEvent::Closed {
            node: node(CP),
            last_seq: 4,
        })
        .report();
    assert_eq!(
        (report.coverage.missing_batches, report.verdict),
        (0, Verdict::Passed)
    );
}

#[test]
fn evidence_of_another_run_without_a_head_or_with_two_is_refused() {
    let stage = Stage::new();
    let payloads = stage.payloads();
    let judge = |payloads: Vec<Payload>| stage.judge(&numbered(payloads)).unwrap_err();
    assert_eq!(judge(Vec::new()), ReportError::NoRunRecord);
    assert_eq!(judge(payloads[1..].to_vec()), ReportError::NoRunRecord);
    let mut two = payloads.clone();
    two.push(payloads[0].clone());
    assert!(matches!(judge(two), ReportError::SecondRunRecord { .. }));
    let mut other = payloads.clone();
    if let Payload::Swarm(record) = &mut other[1] {
        record.run = "ffffffffffffffff".parse().unwrap();
    }
    assert_eq!(judge(other), ReportError::OtherRun { line: 2 });
    let mut newer = payloads;
    if let Payload::Run(run) = &mut newer[0] {
        run.analysis += 1;
        assert_eq!(run.run, run_id());
    }
    assert!(matches!(judge(newer), ReportError::OtherAnalysis { .. }));
}

#[test]
fn two_hundred_nodes_with_one_that_drops_make_one_finding() {
    let names: Vec<String> = (0..200)
        .map(|index| format!("10.0.{}.{}", index / 50, index % 50 + 1))
        .collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut stage =
        Stage::of(&all)
            .rule("node.kubelet", "10250", &all, &all)
            .rule("node.health", "4240", &all, &all);
    for src in all.iter().filter(|src| **src != all[7]) {
        stage = stage.silent(src, all[7], "10250", Some((1, 0)), Some((1, 0)));
    }
    let report = stage.report();
    assert_eq!(
        (report.findings.len(), report.findings[0].affects_total),
        (1, 199)
    );
    assert_eq!(report.findings[0].cause.node, Some(node(all[7])));
    assert_eq!(
        (report.coverage.planned, report.coverage.pairs),
        (200 * 199 * 2, 200 * 199)
    );
    assert_eq!(report.coverage.measured, report.coverage.planned);
}

fn batch_of(payload: &Payload) -> Option<crate::id::NodeId> {
    match payload {
        Payload::Batch(batch) => Some(batch.node),
        _ => None,
    }
}

/// Batches in another order that keeps each node's own; what is no batch stays where it is.
fn interleave(payloads: &[Payload], generator: &mut Generator) -> Vec<Payload> {
    let mut queues: Vec<Vec<Payload>> = Vec::new();
    for payload in payloads.iter().rev() {
        let Some(of) = batch_of(payload) else { continue };
        match queues.iter_mut().find(|queue| batch_of(&queue[0]) == Some(of)) {
            Some(queue) => queue.push(payload.clone()),
            None => queues.push(vec![payload.clone()]),
        }
    }
    let next = |generator: &mut Generator, queues: &mut Vec<Vec<Payload>>| {
        queues.retain(|queue| !queue.is_empty());
        let index = generator.below(queues.len());
        queues[index].pop().unwrap()
    };
    payloads
        .iter()
        .map(|payload| match batch_of(payload) {
            Some(_) => next(generator, &mut queues),
            None => payload.clone(),
        })
        .collect()
}

fn without_lines(mut report: Report) -> Report {
    for finding in &mut report.findings {
        finding.evidence.clear();
    }
    report
}

/// SplitMix64: chance with a seed.
struct Generator(u64);

impl Generator {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}

#[test]
fn facts_of_the_last_look_reach_the_report_without_packet_filter_and_neighbours() {
    let filter = || Some(Ruleset::default());
    let stage = Stage::new()
        .knows(CP, move |facts| facts.ruleset = filter())
        .learns(CP, |facts| {
            facts.counters.insert("TcpExt.ListenDrops".to_owned(), 7);
            facts.neighbors.push(Neighbor {
                address: W1.parse().unwrap(),
                mac: "02:00:00:00:00:01".to_owned(),
                interface: "eth0".to_owned(),
            });
        });
    let report = stage.report();
    let told = report.nodes[0].facts.as_ref().unwrap();
    assert_eq!(
        (
            told.hostname.as_str(),
            &told.ruleset,
            told.neighbors.len(),
            told.counters.len()
        ),
        ("host-10-0-0-1", &None, 0, 1)
    );
}

#[test]
fn what_counters_stood_at_first_and_last_is_kept_apart() {
    let count = |facts: &mut HostFacts, count| {
        facts.counters.insert("TcpExt.ListenDrops".to_owned(), count);
    };
    let stage = Stage::new()
        .knows(CP, move |facts| count(facts, 3))
        .learns(CP, move |facts| count(facts, 10));
    let entries = stage.entries();
    let ledger = Ledger::replay(&entries).unwrap();
    let log = ledger.node(node(CP)).unwrap();
    let drops = |facts: Option<Told<&HostFacts>>| facts.unwrap().what.counters["TcpExt.ListenDrops"];
    assert_eq!((drops(log.facts_first), drops(log.facts)), (3, 10));
}

#[test]
fn an_error_that_was_let_through_once_is_not_undone_by_silence_at_another_pace() {
    let error = || Signal::Icmp {
        icmp_type: 3,
        code: 13,
        offender: Some("10.0.0.254".parse().unwrap()),
    };
    let silent = Stage::new().sees(LB, CP, "10250", Signal::Silence);
    let word = |stage: Stage| {
        let rows = stage.report().reachability;
        let is_it = |row: &&ReachabilityRow| row.src == node(LB) && row.ports == ports("10250");
        rows.iter().find(is_it).unwrap().outcome.clone()
    };
    let both = [
        silent
            .clone()
            .sees_again(LB, CP, "10250", error())
            .sees_again(LB, CP, "10250", Signal::Silence),
        silent
            .sees_again(LB, CP, "10250", Signal::Silence)
            .sees_again(LB, CP, "10250", error()),
    ];
    assert_eq!(both.map(word), ["rejected", "rejected"]);
}

#[test]
fn what_was_tried_is_not_forgotten_because_a_second_trial_was_not_made() {
    let why = NotTried::Cancelled;
    let stage =
        Stage::new()
            .sees(LB, CP, "10250", Signal::Silence)
            .sees(LB, CP, "10250", Signal::NotTried { why });
    let rows = stage.report().reachability;
    assert!(
        rows.iter()
            .any(|row| row.src == node(LB) && row.outcome == "filtered")
    );
}
