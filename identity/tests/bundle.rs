//! Report directories: what is sealed is accepted, and whatever is altered is refused and named.

use std::{collections::BTreeMap, error::Error as _};

use plumbline_identity::{
    attest,
    bundle::{
        ATTESTATION_JSON, ATTESTATION_SIG, BundleFault, EVIDENCE_JSONL, FILES, MAX_FAULTS, REPORT_HTML,
        REPORT_JSON, ReportFiles, SIGNER_PEM, check, seal,
    },
    dsse::Envelope,
    key::SigningKey,
};
use plumbline_model::{
    evidence::{ANALYSIS_VERSION, Batch, LostWhy, Payload, SwarmEvent, SwarmRecord},
    id::RunId,
    report::{Report, Verdict},
};

mod sample;

use sample::{Sample, coordinator, line, member, node, probe, report, run, run_record, swarm};

/// Every fault with its causes, a line each.
fn told(files: &BTreeMap<String, Vec<u8>>) -> String {
    let faults = check(files, None).expect_err("the directory was altered");
    let mut text = String::new();
    for fault in &faults {
        text += &fault.to_string();
        let mut source = fault.source();
        while let Some(cause) = source {
            text += &format!(": {cause}");
            source = cause.source();
        }
        text.push('\n');
    }
    text
}

#[test]
fn a_sealed_report_is_accepted_and_gives_its_evidence() {
    let sample = Sample::new();
    let checked = check(&sample.directory(), None).unwrap();
    assert_eq!(
        (checked.lines, checked.evidence.len(), checked.run),
        (11, 11, run())
    );
    assert_eq!(checked.batches, BTreeMap::from([(node(1), 3), (node(2), 3)]));
    assert!(!checked.pinned);
    assert_eq!(checked.signer, coordinator().verifying_key().fingerprint());
    assert!(
        check(&sample.directory(), Some(&coordinator().verifying_key()))
            .unwrap()
            .pinned
    );
}

#[test]
fn another_signer_than_the_pinned_one_is_refused() {
    let faults = check(&Sample::new().directory(), Some(&probe(1).verifying_key())).unwrap_err();
    assert!(
        matches!(faults.as_slice(), [BundleFault::NotTrusted { .. }]),
        "{faults:?}"
    );
}

#[test]
fn a_signer_that_was_put_there_afterwards_is_named_and_not_the_lines_that_it_did_not_sign() {
    let mut files = Sample::new().directory();
    files.insert(
        SIGNER_PEM.to_owned(),
        probe(1).verifying_key().to_pem().into_bytes(),
    );
    let told = told(&files);
    assert!(told.starts_with("signer.pem: it is key "), "{told}");
    assert!(!told.contains("evidence.jsonl"), "{told}");
}

#[test]
fn a_missing_file_and_a_further_file_are_named() {
    for name in FILES {
        let mut files = Sample::new().directory();
        files.remove(name);
        assert!(
            told(&files).starts_with(&format!("{name}: the file is missing")),
            "{name}"
        );
    }
    let mut files = Sample::new().directory();
    files.insert("notes.txt".to_owned(), Vec::new());
    assert_eq!(told(&files), "notes.txt: the file does not belong to a report\n");
}

#[test]
fn changed_bits_all_over_each_file_are_refused_and_the_file_is_named() {
    let files = Sample::new().directory();
    for name in FILES {
        let bytes = &files[name];
        // Every byte would take minutes; steps of no round number meet every kind of place.
        for at in (0..bytes.len()).step_by(bytes.len() / 41 + 1) {
            let mut altered = files.clone();
            altered.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            let told = told(&altered);
            assert!(
                told.lines().any(|line| line.starts_with(name)),
                "byte {at} of {name}: {told}"
            );
        }
    }
}

#[test]
fn an_appended_byte_is_refused_in_every_file() {
    for name in FILES {
        for further in [b'\n', b' ', b'0'] {
            let mut files = Sample::new().directory();
            files.get_mut(name).unwrap().push(further);
            assert!(told(&files).contains(name), "{name} {further}");
        }
    }
}

#[test]
fn a_removed_batch_is_named_by_node_and_number() {
    let sample = Sample::new();
    let middle = told(&sample.altered(|lines| drop(lines.remove(6))));
    assert!(
        middle.contains("evidence.jsonl: batch 2 of node 10.0.0.1 is missing"),
        "{middle}"
    );
    let last = told(&sample.altered(|lines| drop(lines.remove(9))));
    assert!(
        last.contains("evidence.jsonl: batch 3 of node 10.0.0.2 is missing"),
        "{last}"
    );
    assert_eq!(last.matches("is missing").count(), 1, "{last}");
    let all =
        told(&sample.altered(|lines| {
            lines.retain(|line| batches_of_second_node().iter().all(|batch| batch != line))
        }));
    assert_eq!(all.matches("of node 10.0.0.2 is missing").count(), 3, "{all}");
}

fn batches_of_second_node() -> Vec<Vec<u8>> {
    let sample = Sample::new();
    [5, 7, 9]
        .iter()
        .map(|index| sample.lines[*index].clone())
        .collect()
}

#[test]
fn two_swapped_batches_are_named() {
    let sample = Sample::new();
    let of_one_node = told(&sample.altered(|lines| lines.swap(4, 6)));
    let expected = "evidence.jsonl:7: batch 1 of node 10.0.0.1 stands after batch 2 of the same node";
    assert!(of_one_node.contains(expected), "{of_one_node}");
    let of_two_nodes = told(&sample.altered(|lines| lines.swap(4, 5)));
    for expected in [
        "evidence.jsonl:6: batch 1 of node 10.0.0.1 stands here; it stood in line 5",
        "evidence.jsonl:5: batch 1 of node 10.0.0.2 stands here; it stood in line 6",
    ] {
        assert!(of_two_nodes.contains(expected), "{of_two_nodes}");
    }
}

#[test]
fn a_changed_batch_is_named_by_its_line_and_is_not_called_missing() {
    let sample = Sample::new();
    // The envelope's frame, the payload's frame, the payload's content, the signature.
    for at in [3, 80, 300, sample.lines[6].len() - 20] {
        let told = told(&sample.altered(|lines| lines[6][at] ^= 1));
        assert!(told.contains("\nevidence.jsonl:7: "), "byte {at}: {told}");
        assert!(!told.contains("is missing"), "byte {at}: {told}");
    }
}

#[test]
fn a_batch_that_is_there_twice_is_named() {
    let told = told(&Sample::resigned(|lines| lines.insert(7, lines[6].clone())));
    assert!(
        told.contains("evidence.jsonl:8: batch 2 of node 10.0.0.1 stands here a second time"),
        "{told}"
    );
}

#[test]
fn the_coordinator_cannot_speak_for_a_probe_nor_a_probe_for_another() {
    let batch = |signed_by: &SigningKey| {
        line(
            signed_by,
            &Payload::Batch(Batch {
                run: run(),
                node: node(1),
                seq: 1,
                previous: String::new(),
                roster_sha256: String::new(),
                assignment: 0,
                closed_unix_ms: 0,
                records: vec![],
            }),
        )
    };
    for key in [coordinator(), probe(2)] {
        let told = told(&Sample::resigned(|lines| lines[4] = batch(&key)));
        assert!(
            told.contains(
                "evidence.jsonl:5: batch 1 of node 10.0.0.1 does not hold: verify the envelope: it is signed by key"
            ),
            "{told}"
        );
    }
}

#[test]
fn a_probe_cannot_speak_for_the_coordinator() {
    let lost = swarm(SwarmEvent::Lost {
        node: node(2),
        why: LostWhy::Silent,
    });
    let told = told(&Sample::resigned(|lines| {
        lines.insert(10, line(&probe(1), &lost))
    }));
    assert!(
        told.contains(
            "evidence.jsonl:11: its envelope does not hold: verify the envelope: it is signed by key"
        ),
        "{told}"
    );
}

#[test]
fn gaps_and_broken_chains_are_refused_even_if_the_coordinator_signed_them() {
    let gap = told(&Sample::resigned(|lines| drop(lines.remove(6))));
    assert_eq!(gap, "evidence.jsonl: batch 2 of node 10.0.0.1 is missing\n");
    let other = Payload::Batch(Batch {
        run: run(),
        node: node(1),
        seq: 2,
        previous: String::new(),
        roster_sha256: String::new(),
        assignment: 0,
        closed_unix_ms: 0,
        records: vec![],
    });
    let broken = told(&Sample::resigned(|lines| lines[6] = line(&probe(1), &other)));
    assert!(
        broken.contains("evidence.jsonl:7: batch 2 of node 10.0.0.1 does not follow the batch before it"),
        "{broken}"
    );
}

#[test]
fn the_frame_of_the_evidence_is_checked() {
    let own = |payload: &Payload| line(&coordinator(), payload);
    let first = told(&Sample::resigned(|lines| drop(lines.remove(0))));
    assert!(
        first.contains("evidence.jsonl:1: it is not the run record that must stand first"),
        "{first}"
    );
    let second = told(&Sample::resigned(|lines| {
        lines.push(own(&run_record(ANALYSIS_VERSION)))
    }));
    assert!(
        second.contains("evidence.jsonl:12: it is a second run record"),
        "{second}"
    );
    let joined = swarm(SwarmEvent::Joined { member: member(1) });
    let twice = told(&Sample::resigned(|lines| lines.push(own(&joined))));
    assert!(
        twice.contains("evidence.jsonl:12: node 10.0.0.1 joins a second time"),
        "{twice}"
    );
    let not_joined = told(&Sample::resigned(|lines| drop(lines.remove(1))));
    assert!(
        not_joined.contains("batch 1 of node 10.0.0.1, which had not joined"),
        "{not_joined}"
    );
    let other = Payload::Swarm(SwarmRecord {
        run: RunId::from_bytes([0; 8]),
        at_ms: 0,
        event: SwarmEvent::Interrupted,
    });
    let of_another_run = told(&Sample::resigned(|lines| lines.push(own(&other))));
    assert!(
        of_another_run.contains("evidence.jsonl:12: it belongs to run 0000000000000000"),
        "{of_another_run}"
    );
    let no_roster = told(&Sample::resigned(|lines| drop(lines.remove(3))));
    assert!(
        no_roster.contains("refers to a roster that the evidence lacks"),
        "{no_roster}"
    );
}

#[test]
fn a_statement_that_flatters_the_report_is_refused() {
    let sample = Sample::new();
    let mut files = sample.directory();
    let flattering = Report {
        verdict: Verdict::Passed,
        ..report()
    };
    let sealed = seal(
        ReportFiles {
            report_json: &files[REPORT_JSON],
            report_html: &files[REPORT_HTML],
            evidence_jsonl: &files[EVIDENCE_JSONL],
        },
        &flattering,
        &coordinator(),
    );
    files.insert(ATTESTATION_JSON.to_owned(), sealed.attestation_json);
    files.insert(ATTESTATION_SIG.to_owned(), sealed.attestation_sig);
    assert_eq!(
        told(&files),
        "attestation.json: the statement does not say what the files say\n"
    );
}

#[test]
fn incomplete_is_attested_as_warned_with_the_exact_word_beside_it() {
    let files = Sample::new().directory();
    let envelope = Envelope::parse(&files[ATTESTATION_JSON]).unwrap();
    let statement = envelope
        .verify(&coordinator().verifying_key(), attest::PAYLOAD_TYPE)
        .unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&statement).unwrap();
    assert_eq!(statement["predicate"]["result"], "WARNED");
    assert_eq!(statement["subject"][0]["annotations"]["verdict"], "incomplete");
    assert_eq!(statement["subject"][3]["name"], "input:cluster.yaml");
}

#[test]
fn evidence_of_another_analysis_version_is_verified_but_not_read() {
    let sample = Sample::of_analysis(ANALYSIS_VERSION + 1);
    let checked = check(&sample.directory(), None).unwrap();
    assert_eq!(checked.analysis, ANALYSIS_VERSION + 1);
    assert!(checked.evidence.is_empty());
    let told = told(&sample.altered(|lines| drop(lines.remove(6))));
    assert!(told.contains("batch 2 of node 10.0.0.1 is missing"), "{told}");
}

#[test]
fn no_garbage_makes_the_check_panic() {
    for garbage in [
        &b""[..],
        b"\n",
        b"\n\n",
        b"{}",
        b"{}\n",
        b"\xff\xfe",
        b"null\n",
        b"[[[[[",
    ] {
        for name in FILES {
            let mut files = Sample::new().directory();
            files.insert(name.to_owned(), garbage.to_vec());
            assert!(check(&files, None).is_err(), "{name} {garbage:?}");
        }
    }
}

#[test]
fn a_list_of_faults_stays_readable() {
    let mut files = Sample::new().directory();
    files.insert(EVIDENCE_JSONL.to_owned(), b"x\n".repeat(1000));
    let faults = check(&files, None).unwrap_err();
    assert_eq!(faults.len(), MAX_FAULTS + 1);
    assert!(matches!(faults.last(), Some(BundleFault::More { .. })));
}
