use plumbline_identity::redaction::RedactionKey;
use plumbline_model::report::Report;
use proptest::prelude::*;
use serde_json::json;

use super::{
    RedactError,
    names::Names,
    pseudonym::{Kind, Pseudonyms},
    redact,
};
use crate::render::{self, Extent, Style};

fn key() -> RedactionKey {
    RedactionKey::from_text(&format!("plumbline-redaction-v1 {}\n", "07".repeat(32))).unwrap()
}

/// A report in which every kind of identifier stands in every place that people can put it.
fn telling(v4: &str, v6: &str, mac: &str, name: &str) -> Report {
    let text = format!(
        "zone {name} on {v4} drops {v4}-{v4} and {v4}/24, {v6}/64, [{v6}]:22, {v4}:22 ({mac}); {name}. file /srv/{name}/x.yaml:3: \
         {name}@{v4} ip-{}",
        v4.replace('.', "-")
    );
    let node = |id: &str| {
        json!({
            "id": id, "roles": ["worker"], "version": "1.29", "labels": {"rack": name, name: "x7q"},
            "facts": {
                "hostname": name, "kernel": format!("6.1.0-{name}"), "os": "Debian GNU/Linux 12 (bookworm)",
                "probe_version": "0.1.0", "life": "bare",
                "capabilities": {"bind_low_ports": true, "capture": true, "read_ruleset": true},
                "interfaces": [{"name": "eth0", "mac": mac, "mtu": 1500, "up": true, "addresses": [format!("{v4}/24")]}],
                "gateways": [v4], "firewalld": true, "open_files": 1024,
            },
        })
    };
    let waiver = json!({
        "check": "PORT-001", "selector": {"node": v4, "file": name}, "owner": name, "reason": format!("{name} asked for {v4}"), "expires": "2027-01-31",
        "line": 3,
    });
    serde_json::from_value(json!({
        "schema": "plumbline.report/v1", "verdict": "failed", "run": "0123456789abcdef", "cluster": name, "version": "1.29",
        "swarm": "joined", "started": "2026-01-01T00:00:00.000Z", "coordinator_version": "0.1.0", "analysis": 3,
        "inputs": [{"name": format!("/srv/{name}/x.yaml"), "sha256": "00"}, {"name": "gdc-bare-metal", "sha256": "00"}],
        "nodes": [node(v4), node(v6)], "absent": [{"node": v4, "why": text}],
        "findings": [{
            "id": "F1", "check": "PORT-001", "status": "fail", "severity": "fail",
            "cause": {"kind": "host_firewall", "node": v4, "detail": text, "between": [[v4], [v6]]},
            "nodes": [v4, v6],
            "places": [{"file": format!("/srv/{name}/x.yaml"), "line": 3, "column": 1}],
            "affects": [{"src": v4, "dst": v6, "family": "ipv4", "protocol": "tcp", "port": 22}],
            "affects_total": 1, "attempts": 3, "evidence": [1], "fix": {"text": text, "commands": [text]},
            "waived": waiver,
        }],
        "waivers": [{"waiver": waiver, "standing": "in_force", "findings": 1}],
        "reachability": [{
            "src": v4, "dst": v6, "family": "ipv4", "protocol": "tcp", "ports": "22", "rule": "cp.ssh", "expect": "open",
            "outcome": "rejected", "attempts": 3, "offender": v4,
        }],
        "latency": [], "throughput": [],
        "checks": [{"id": "PORT-001", "status": "fail", "subject": v4, "detail": text}],
        "not_measured": [{"what": text, "why": text}],
        "coverage": {
            "planned": 1, "measured": 1, "inferred": 0, "no_service": 0, "pairs": 1, "missing_batches": 0,
            "duplicate_batches": 0, "late_probes": 0, "no_vantage": [],
        },
    }))
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_identifier_survives_in_any_file(
        v4 in (11_u8..200, 0_u8.., 0_u8.., 1_u8..).prop_map(|(a, b, c, d)| format!("{a}.{b}.{c}.{d}")),
        v6 in (1_u16.., 1_u16..).prop_map(|(a, b)| format!("fd00:{a:x}::{b:x}")),
        mac in (0_u8.., 0_u8.., 0_u8..).prop_map(|(a, b, c)| format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")),
        name in "q[a-z]{3}x[0-9]{2}(-[a-z]{2}[0-9])?",
    ) {
        prop_assume!(!v4.starts_with("127."));
        let v6 = v6.parse::<std::net::Ipv6Addr>().unwrap().to_string();
        let report = telling(&v4, &v6, &mac, &name);
        let redacted = redact(&report, &[], &key()).unwrap();
        let json = String::from_utf8(render::json(&redacted)).unwrap();
        for file in [&json, &render::html(&redacted)] {
            for original in [&v4, &v6, &mac, &name, &v4.replace('.', "-")] {
                prop_assert!(!file.contains(original.as_str()), "{original}: {json}");
            }
        }
    }
}

#[test]
fn causes_stay_readable_and_the_same_thing_has_the_same_pseudonym() {
    let report = telling("10.0.0.4", "fd00::4", "52:54:00:00:00:01", "acme");
    let redacted = redact(&report, &[], &key()).unwrap();
    let finding = &redacted.findings[0];
    let node = finding.cause.node.unwrap().to_string();
    assert!(node.starts_with("24") || node.starts_with("25"), "{node}");
    assert!(
        finding.cause.detail.starts_with("zone host_") || finding.cause.detail.starts_with("zone "),
        "{}",
        finding.cause.detail
    );
    assert!(
        finding
            .cause
            .detail
            .contains(&format!(" on {node} drops {node}-{node} and {node}/24, ")),
        "{}",
        finding.cause.detail
    );
    assert!(finding.cause.detail.contains(&format!("{node}:22")));
    assert!(redacted.nodes.iter().any(|it| it.id.to_string() == node));
    assert_eq!(redacted.inputs[1].name, "gdc-bare-metal");
    assert_eq!(
        redacted.nodes[0].facts.as_ref().unwrap().os,
        "Debian GNU/Linux 12 (bookworm)"
    );
    assert_eq!(redacted.reachability[0].rule, "cp.ssh");
    assert_eq!(
        redact(&report, &[], &key()).unwrap(),
        redacted,
        "it is a function of report and key"
    );
    let other = redact(&report, &[], &RedactionKey::fresh().unwrap()).unwrap();
    assert_ne!(other.nodes[0].id, redacted.nodes[0].id);
}

#[test]
fn sentences_of_ours_survive() {
    let key = key();
    let mut pseudonyms = Pseudonyms::new(&key, Names::default());
    for sentence in [
        "the firewall drops 11000/tcp: the source's SYN was seen at its interface and not by the responder",
        "run on the node: nft add rule inet filter input tcp dport 11000 accept",
        "firewall-cmd --permanent --zone=public --add-port=11000/tcp",
        "the destination's probe did not join or was lost",
        "36 tests from 3 nodes, ports 22,30000-32767",
    ] {
        assert_eq!(pseudonyms.text(sentence), sentence);
    }
    assert_eq!(
        pseudonyms.text("listen on 127.0.0.1:80 and [::]:80"),
        "listen on 127.0.0.1:80 and [::]:80"
    );
}

#[test]
fn names_that_are_addresses_are_replaced_by_addresses() {
    let (v4, v6, mac) = ("10.0.0.4", "fd00::4", "52:54:00:00:00:01");
    for name in [v4, v6, mac, "10.0.0.0/24", "fd00::/64"] {
        let redacted = redact(&telling(v4, v6, mac, name), &[], &key()).unwrap();
        let json = String::from_utf8(render::json(&redacted)).unwrap();
        for original in [v4, v6, mac, "10.0.0.0", "fd00::/64"] {
            assert!(
                !json.contains(original),
                "{original} of a host called {name}: {json}"
            );
        }
    }
}

#[test]
fn nothing_stands_in_the_order_of_the_original() {
    let original = |reversed: bool| {
        let mut report = telling("10.0.0.4", "fd00::4", "52:54:00:00:00:01", "acme");
        let vantage = |id: &str, source: &str| json!({"id": id, "name": "acme", "stands_for": ["admin_workstation", source]});
        let mut vantages: Vec<_> = (1..9_u8)
            .map(|n| vantage(&format!("10.0.1.{n}"), "storage"))
            .collect();
        let mut findings = vec![report.findings[0].clone(); 6];
        for (number, finding) in (1_u8..).zip(&mut findings) {
            finding.waived = None;
            finding.cause.node = Some(format!("10.0.2.{number}").parse().unwrap());
            finding.places.clear();
        }
        if reversed {
            vantages.reverse();
            findings.reverse();
        }
        report.vantages = serde_json::from_value(json!(vantages)).unwrap();
        report.findings = findings;
        report
    };
    let redacted = redact(&original(false), &[], &key()).unwrap();
    assert!(redacted.vantages.is_sorted_by_key(|vantage| vantage.id));
    assert!(
        redacted
            .vantages
            .iter()
            .all(|vantage| vantage.stands_for.is_sorted())
    );
    let ids: Vec<&str> = redacted
        .findings
        .iter()
        .map(|finding| finding.id.as_str())
        .collect();
    assert_eq!(ids, ["F1", "F2", "F3", "F4", "F5", "F6"]);
    assert_eq!(redact(&original(true), &[], &key()).unwrap(), redacted);
}

#[test]
fn a_redacted_report_says_so_in_every_format_that_says_its_scope() {
    let report = telling("10.0.0.4", "fd00::4", "52:54:00:00:00:01", "acme");
    let redacted = redact(&report, &[], &key()).unwrap();
    assert!(redacted.redacted && !report.redacted);
    const SAID: &str = "REDACTED: addresses and names are pseudonyms";
    for (of, is_said) in [(&report, false), (&redacted, true)] {
        assert_eq!(render::html(of).contains(SAID), is_said);
        assert_eq!(render::markdown(of, Extent::Brief).contains(SAID), is_said);
        assert_eq!(
            render::text(of, Style::Plain, Extent::Brief).contains(SAID),
            is_said
        );
    }
}

#[test]
fn no_pseudonym_is_an_address_or_a_name_of_the_original() {
    let key = key();
    let stands_for = |name: &str| Pseudonyms::new(&key, Names::default()).name(Kind::Name, name);
    let (address, word) = (stands_for("10.0.0.4"), stands_for("acme"));

    // Met before: what stands for the other one is derived once more.
    let mut pseudonyms = Pseudonyms::new(&key, Names::default());
    for (met, name, taken) in [(&address, "10.0.0.4", &address), (&word, "acme", &word)] {
        pseudonyms.name(Kind::Name, met);
        assert_ne!(pseudonyms.name(Kind::Name, name), *taken);
    }
    assert!(!pseudonyms.is_ambiguous());

    // A field of the report, wherever it stands.
    let report = telling("10.0.0.4", &stands_for("fd00::4"), "52:54:00:00:00:01", "acme");
    let mut of_another = report.clone();
    of_another.excluded = vec![address.parse().unwrap()];
    let redacted = redact(&of_another, &[], &key).unwrap();
    assert!(redacted.nodes.iter().all(|node| node.id.to_string() != address));

    // Met only in a sentence and too late: nothing ambiguous is shown.
    let mut late = report;
    late.not_measured[0].why = format!("{address} did not answer");
    assert!(matches!(redact(&late, &[], &key), Err(RedactError::Ambiguous)));
}
