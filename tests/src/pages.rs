//! Reports of any size with failures of several kinds, made without a run, and the pages that the program under test makes of
//! them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use plumbline_model::{canonical, report::Report};
use serde_json::{Value, json};

use crate::{running::run, stage::Programs};

/// Rules of which every pair has a row: rule, protocol, ports.
const RULES: [(&str, &str, &str); 6] = [
    ("cp.apiserver", "tcp", "6444"),
    ("w.kubelet", "tcp", "10250"),
    ("w.node-exporter", "tcp", "9100"),
    ("w.nodehealth", "tcp", "10256"),
    ("w.nodeport", "tcp", ""),
    ("w.geneve", "udp", "6081"),
];

/// A name that would be markup if it were not escaped.
pub const HOSTILE: &str = "<img src=x onerror=alert(1)></script><script>alert(2)</script>";

/// A page on the disk.
#[derive(Debug)]
pub struct Page {
    /// Where it is.
    pub file: PathBuf,
    /// Its size.
    pub octets: u64,
}

impl Page {
    /// Makes the page of a report, as a file of this name in a folder.
    ///
    /// # Panics
    /// If the report does not read or the program refuses.
    pub fn of(folder: &Path, name: &str, report: Value) -> Self {
        let report: Report = serde_json::from_value(report).expect("the report reads");
        let source = tempfile::tempdir().expect("a folder");
        fs::write(source.path().join("report.json"), canonical::encode(&report))
            .expect("the report is written");
        let programs = Programs::from_env().expect("the programs are named");
        let mut command = Command::new(programs.plumbline);
        command
            .arg("render")
            .arg(source.path())
            .args(["--format", "html"]);
        let ended = run(&mut command).expect("the program runs");
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let file = folder.join(format!("{name}.html"));
        fs::write(&file, &ended.stdout).expect("the page is written");
        Self {
            octets: ended.stdout.len() as u64,
            file,
        }
    }
}

/// The id of the node at a place, from 0.
pub fn node(place: usize) -> String {
    format!("10.0.{}.{}", place / 200, place % 200 + 1)
}

/// Everything is as it should be.
pub fn passed(nodes: usize) -> Value {
    report(nodes, "passed", &[], |_, _, _| ("open", json!({})))
}

/// Failures of several kinds:
///
/// * F1: the second node's packet filter rejects 10250/tcp of everybody;
/// * F2: no UDP from rack r0 to rack r1;
/// * F3: nothing at all reaches the third node from others than the first;
/// * F4: a line of the cluster file;
/// * F5: 9100/tcp of the first node is closed, and somebody answers for it;
/// * F6: what the last node asks was not measured.
pub fn failed(nodes: usize) -> Value {
    let last = nodes - 1;
    let mut affects: [Vec<Value>; 6] = Default::default();
    let mut judge = |source: usize, destination: usize, rule: usize| {
        let (_, protocol, ports) = RULES[rule];
        let port: u16 = ports
            .parse()
            .unwrap_or_else(|_| 30_000 + u16::try_from(source).unwrap_or(0));
        let affect = json!({
            "src": node(source), "dst": node(destination), "family": "ipv4", "protocol": protocol, "port": port,
        });
        let (finding, outcome, beside) = match (source, destination) {
            (from, _) if from == last && nodes > 3 => (5, "not_measured", json!({"why": "probe_lost"})),
            (1.., 2) => (2, "filtered", json!({})),
            (_, 1) if rule == 1 => (
                0,
                "rejected",
                json!({"icmp_type": 3, "icmp_code": 13, "offender": node(1)}),
            ),
            (_, 0) if rule == 2 => (4, "closed", json!({})),
            (from, to) if rule == 5 && from % 4 == 0 && to % 4 == 1 => (1, "filtered_forward", json!({})),
            _ => return ("open", json!({})),
        };
        affects[finding].push(affect);
        (outcome, beside)
    };
    let mut report = report(nodes, "failed", &[], &mut judge);
    report["findings"] = findings(nodes, &affects);
    report
}

fn findings(nodes: usize, affects: &[Vec<Value>; 6]) -> Value {
    let all: Vec<String> = (0..nodes).map(node).collect();
    let cause = |kind: &str, detail: String| json!({"kind": kind, "detail": detail});
    let at = |mut cause: Value, at: usize| {
        cause["node"] = json!(node(at));
        cause
    };
    let causes = [
        at(
            cause(
                "host_firewall",
                format!("firewalld zone public on {} lacks 10250/tcp", node(1)),
            ),
            1,
        ),
        cause(
            "path_filter",
            "6081/udp from rack r0 to rack r1 is dropped on the way".to_owned(),
        ),
        at(cause("host_setting", format!("nothing reaches {}", node(2))), 2),
        cause(
            "config",
            "the pod network 192.168.0.0/16 overlaps the nodes' network".to_owned(),
        ),
        at(
            cause("no_listener", format!("9100/tcp of {} is closed", node(0))),
            0,
        ),
        at(
            cause("probe_lost", format!("the probe of {} was lost", node(nodes - 1))),
            nodes - 1,
        ),
    ];
    let mut findings = Vec::new();
    for (place, mut cause) in causes.into_iter().enumerate() {
        if place == 1 {
            cause["between"] = json!([all, [node(1)]]);
        }
        let mut finding = json!({
            "id": format!("F{}", place + 1), "check": "PORT-001", "status": "fail", "severity": "fail", "cause": cause,
            "affects": affects[place], "affects_total": affects[place].len(), "attempts": 3 * affects[place].len(),
            "evidence": [7, 12, 13, 14, 40],
            "fix": {
                "text": "Add the port to the zone, at once and for the next start.",
                "commands": ["firewall-cmd --zone=public --add-port=10250/tcp", "firewall-cmd --permanent --zone=public --add-port=10250/tcp"],
            },
        });
        match place {
            3 => {
                finding["check"] = json!("CFG-010");
                finding["places"] = json!([{"file": "cluster.yaml", "line": 12, "column": 7}]);
            }
            4 => {
                finding["waived"] = json!({
                    "check": "PORT-001", "selector": {}, "owner": "team storage",
                    "reason": "the exporter comes with the next release", "expires": "2030-01-31", "line": 3,
                });
            }
            5 => finding["status"] = json!("not_measured"),
            _ => {}
        }
        findings.push(finding);
    }
    json!(findings)
}

/// A hundred causes, each of one test.
pub fn hundred() -> Value {
    let mut report = failed(30);
    let like = report["findings"][0].clone();
    let findings: Vec<Value> = (0..100)
        .map(|place| {
            let mut finding = like.clone();
            finding["id"] = json!(format!("F{}", place + 1));
            finding["cause"]["node"] = json!(node(place % 30));
            finding["cause"]["detail"] = json!(format!(
                "the packet filter of {} stops {}/tcp",
                node(place % 30),
                1000 + place
            ));
            finding
        })
        .collect();
    report["findings"] = json!(findings);
    report
}

/// Nobody answered: nothing was measured, nothing is known.
pub fn incomplete(nodes: usize) -> Value {
    let mut report = report(nodes, "incomplete", &[], |_, _, _| {
        ("not_measured", json!({"why": "probe_lost"}))
    });
    report["not_measured"] = json!([{"what": "every test of 10.0.0.1", "why": "its probe was lost"}]);
    report
}

type Outcome = (&'static str, Value);

fn report(
    nodes: usize,
    verdict: &str,
    findings: &[Value],
    mut judge: impl FnMut(usize, usize, usize) -> Outcome,
) -> Value {
    let mut rows = Vec::new();
    for source in 0..nodes {
        for destination in (0..nodes).filter(|destination| *destination != source) {
            for (rule, (name, protocol, ports)) in RULES.iter().enumerate() {
                let (outcome, beside) = judge(source, destination, rule);
                let ports = if ports.is_empty() {
                    stratum(source, nodes)
                } else {
                    (*ports).to_owned()
                };
                let mut row = json!({
                    "src": node(source), "dst": node(destination), "family": "ipv4", "protocol": protocol, "ports": ports,
                    "rule": name, "expect": "open", "outcome": outcome, "attempts": if outcome == "open" { 1 } else { 3 },
                });
                let beside = beside.as_object().cloned().unwrap_or_default();
                row.as_object_mut().expect("an object").extend(beside);
                rows.push(row);
            }
        }
    }
    let tests = rows.len();
    json!({
        "schema": "plumbline.report/v1", "verdict": verdict, "run": "0123456789abcdef", "cluster": "shop",
        "version": "1.29.400-gke.1", "swarm": "joined", "started": "2026-01-01T00:00:00.000Z",
        "finished": "2026-01-01T00:01:30.000Z", "coordinator_version": "0.1.0", "analysis": 2, "inputs": [],
        "nodes": (0..nodes).map(member).collect::<Vec<_>>(), "absent": [], "findings": findings, "reachability": rows,
        "latency": [], "throughput": [],
        "checks": (0..nodes).map(|place| json!({
            "id": "SYS-001", "status": if place == 1 { "warn" } else { "pass" }, "subject": node(place), "detail": "its clock",
        })).collect::<Vec<_>>(),
        "not_measured": [],
        "coverage": {
            "planned": tests, "measured": tests, "inferred": 0, "no_service": 0, "pairs": nodes * (nodes - 1),
            "missing_batches": 0, "duplicate_batches": 0, "late_probes": 0, "no_vantage": [],
        },
    })
}

/// One source's share of the range of NodePorts, as a run shares it out.
fn stratum(source: usize, nodes: usize) -> String {
    let step = nodes.clamp(2, 96);
    let ports: Vec<String> = (30_000 + source % step..=32_767)
        .step_by(step)
        .map(|port| port.to_string())
        .collect();
    ports.join(",")
}

fn member(place: usize) -> Value {
    let roles = if place < 3 {
        json!(["control_plane", "load_balancer"])
    } else {
        json!(["worker"])
    };
    let host = if place == 1 {
        HOSTILE.to_owned()
    } else {
        format!("node-{place}")
    };
    json!({
        "id": node(place), "roles": roles, "version": "1.29.400-gke.1",
        "labels": {"rack": format!("r{}", place % 4), "zone": format!("z{}", place % 2)},
        "facts": {
            "hostname": host, "kernel": "6.1.0-13-amd64", "os": "Debian GNU/Linux 12 (bookworm)", "probe_version": "0.1.0",
            "life": "bare", "capabilities": {"bind_low_ports": true, "capture": true, "read_ruleset": true},
            "interfaces": [{
                "name": "eth0", "mac": "02:00:00:00:00:01", "mtu": 1500, "up": true, "addresses": [format!("{}/24", node(place))],
            }],
            "gateways": ["10.0.0.254"], "firewalld": place == 1, "open_files": 1024,
        },
    })
}
