//! What is told of name servers, of hand-made sights: three nodes with two servers each.

use super::*;
use crate::{
    errand::{DialErrand, Question, RecordType},
    evidence::{Group, SwarmKind},
    observation::Record,
    report::{
        Report, Status,
        stage::{Stage, node},
    },
};

const NODES: [&str; 3] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
const FIRST: &str = "10.9.0.53";
const SECOND: &str = "10.9.0.54";

fn answered(code: ResponseCode) -> Asking {
    Asking::Answered(Answered {
        code,
        told: Vec::new(),
        truncated: false,
        took_ms: 3,
    })
}

fn fine() -> Asking {
    answered(ResponseCode::NoSuchName)
}

/// Every node tells what came of asking these servers, alike over UDP and TCP; the inputs name those that are given.
fn told(given: &[&str], servers: &[&str], saw: impl Fn(&str, &str) -> Asking) -> Report {
    told_of_both(given, servers, |on, server| (saw(on, server), saw(on, server)))
}

fn told_of_both(given: &[&str], servers: &[&str], saw: impl Fn(&str, &str) -> (Asking, Asking)) -> Report {
    let mut stage = Stage::of(&NODES).with_inventory(|inventory| {
        inventory.outward.name_servers = given.iter().map(|server| server.parse().unwrap()).collect();
    });
    (stage.parameters.groups, stage.parameters.swarm) = (vec![Group::L3], SwarmKind::Joined);
    for on in NODES {
        let question = Question {
            server: None,
            name: "1.0.0.10.in-addr.arpa".to_owned(),
            record: RecordType::Ptr,
        };
        let errand = DialErrand {
            targets: vec![DialTarget::Question(question.clone())],
            ..DialErrand::default()
        };
        let own = stage.plan.errands.entry(node(on)).or_default();
        own.push(Errand::Dial(errand));
        stage = stage.tells(on, Record::Host(Box::default()));
        for server in servers {
            let (udp, tcp) = saw(on, server);
            let seen = NameSeen {
                server: server.parse().unwrap(),
                name: question.name.clone(),
                record: RecordType::Ptr,
                udp,
                tcp,
            };
            stage = stage.tells(on, Record::Dialled(Dialled::Name(seen)));
        }
    }
    let mut report = stage.report();
    report.findings.retain(|finding| finding.check == CHECK.id);
    report.checks.retain(|row| row.id == CHECK.id);
    report
}

/// The only finding: its status, its node, its sentence and its remedy.
fn only(report: &Report) -> (Status, Option<NodeId>, &str, &str) {
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    let finding = &report.findings[0];
    let (cause, fix) = (&finding.cause, &finding.fix);
    (finding.status, cause.node, &cause.detail, &fix.text)
}

#[test]
fn servers_that_answer_everybody_pass_whether_the_name_exists_or_not() {
    let report = told(&[SECOND], &[FIRST, SECOND], |_, _| fine());
    assert_eq!(report.findings, []);
    assert!(report.checks.iter().all(|row| row.status == Status::Pass));
    assert_eq!(report.checks.len(), NODES.len());
}

#[test]
fn servers_that_refuse_everybody_fail_with_what_they_say() {
    for code in [ResponseCode::Refused, ResponseCode::Other { rcode: 4 }] {
        let report = told(&[], &[FIRST], |_, _| answered(code));
        let (status, at, detail, _) = only(&report);
        assert_eq!((status, at), (Status::Fail, None));
        let word = if code == ResponseCode::Refused {
            "REFUSED"
        } else {
            "NOTIMP"
        };
        assert!(
            detail.contains(word) && detail.contains("all 3 nodes"),
            "{detail}"
        );
        assert!(!report.checks.iter().any(|row| row.status == Status::Pass));
    }
}

#[test]
fn servers_that_fail_at_the_one_question_warn_with_what_they_say() {
    let report = told(&[], &[FIRST, SECOND], |_, _| answered(ResponseCode::ServerFailed));
    let (status, _, detail, _) = only(&report);
    assert_eq!(status, Status::Warn);
    for word in ["SERVFAIL", FIRST, SECOND] {
        assert!(detail.contains(word), "{detail}");
    }
}

#[test]
fn one_of_several_that_refuses_warns() {
    let report = told(&[], &[FIRST, SECOND], |_, server| match server {
        FIRST => answered(ResponseCode::Refused),
        _ => fine(),
    });
    assert_eq!(only(&report).0, Status::Warn);
}

#[test]
fn every_server_of_a_node_that_nobody_answers_is_named() {
    let report = told(&[], &[FIRST, SECOND], |on, _| match on {
        "10.0.0.2" => Asking::Silent,
        _ => fine(),
    });
    let (status, at, detail, remedy) = only(&report);
    assert_eq!((status, at), (Status::Fail, Some(node("10.0.0.2"))));
    let said = format!("the name servers {FIRST}, {SECOND} do not answer 10.0.0.2");
    assert!(detail.starts_with(&said), "{detail}");
    assert!(remedy.contains("/etc/resolv.conf"), "{remedy}");
}

#[test]
fn what_the_inputs_name_is_to_be_mended_there() {
    let report = told(&[SECOND], &[FIRST, SECOND], |_, server| match server {
        SECOND => Asking::Silent,
        _ => fine(),
    });
    let (status, _, detail, remedy) = only(&report);
    assert_eq!(status, Status::Fail);
    assert!(detail.contains("answers none of the 3 nodes"), "{detail}");
    assert!(
        remedy.contains("external: name_servers") && !remedy.contains("resolv.conf"),
        "{remedy}"
    );
}

#[test]
fn nonsense_is_told_as_such() {
    let report = told_of_both(&[], &[FIRST, SECOND], |_, server| match server {
        FIRST => (Asking::Garbage, Asking::Refused),
        _ => (fine(), fine()),
    });
    let (status, _, detail, _) = only(&report);
    assert_eq!(status, Status::Warn);
    assert!(
        detail.contains("no answer to the question") && !detail.contains("not answer"),
        "{detail}"
    );
}

#[test]
fn a_server_that_is_named_twice_and_answered_once_is_no_contradiction() {
    let asked = std::cell::Cell::new(0);
    let report = told(&[FIRST], &[FIRST, FIRST], |_, _| {
        asked.set(asked.get() + 1);
        // Each sight is asked for twice: the first of a node is silent.
        if asked.get() % 4 < 2 {
            fine()
        } else {
            Asking::Silent
        }
    });
    let statuses: BTreeSet<Status> = report.checks.iter().map(|row| row.status).collect();
    assert_eq!(statuses.len(), 1, "{:#?}", report.checks);
}

#[test]
fn no_node_has_both_a_row_that_passes_and_one_that_does_not() {
    // Its own servers say nothing to anybody; the one that the inputs name answers.
    let report = told(&[SECOND], &[FIRST, SECOND], |_, server| match server {
        SECOND => fine(),
        _ => Asking::Silent,
    });
    assert_eq!(report.findings, []);
    let mut of: BTreeMap<&str, BTreeSet<Status>> = BTreeMap::new();
    for row in &report.checks {
        of.entry(&row.subject).or_default().insert(row.status);
    }
    assert!(of.values().all(|statuses| statuses.len() == 1), "{of:?}");
    assert_eq!(of.len(), 2 * NODES.len());
}

#[test]
fn a_word_over_udp_alone_warns() {
    let report = told_of_both(&[], &[FIRST], |_, _| (fine(), Asking::Silent));
    let (status, _, detail, _) = only(&report);
    assert_eq!(status, Status::Warn);
    assert!(detail.contains("over UDP and not over TCP"), "{detail}");
}
