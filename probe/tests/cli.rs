//! The command line from outside: exit codes, and what is never printed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use plumbline_identity::join::{JoinString, OneTimeKey};
use plumbline_model::id::{NodeId, RunId};

/// A good join string for a coordinator that is not there: the port was free a moment ago.
fn join_string(node: NodeId) -> String {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let join = JoinString {
        coordinator: vec![nobody],
        run: RunId::from_bytes([1; 8]),
        node,
        one_time_key: OneTimeKey::generate().unwrap(),
        pin: [2; 32],
        expires_unix_s: 0,
    };
    join.to_text().to_string()
}

fn probe(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plumbline-probe"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A probe that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_join_string_that_does_not_read_is_a_usage_error_and_is_not_repeated() {
    let secret = "plumbline-join-1.c2VjcmV0IHNlY3JldCBzZWNyZXQ.00000000";
    for arguments in [["join", "-"], ["join", secret]] {
        let output = probe(&arguments, &format!("{secret}\n"));
        assert_eq!(output.status.code(), Some(2));
        let said = stderr(&output);
        assert!(
            said.contains("join string") && !said.contains("c2VjcmV0"),
            "{said}"
        );
    }
}

#[test]
fn an_endless_line_on_standard_input_is_not_swallowed() {
    let output = probe(&["join", "-"], &"x".repeat(100_000));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("one line only"), "{}", stderr(&output));
}

#[test]
fn a_join_string_for_another_node_is_refused() {
    let text = join_string(NodeId::Coordinator);
    let output = probe(&["join", "-", "--node", "10.0.0.2"], &text);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("10.0.0.2"), "{}", stderr(&output));
}

#[test]
fn a_policy_that_does_not_read_stops_the_probe_before_it_dials() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    writeln!(policy.as_file(), "networks: [10.0.0.0/8]\nport: 22").unwrap();
    let path = policy.path().to_str().unwrap();
    let output = probe(
        &["join", "-", "--policy", path],
        &join_string(NodeId::Coordinator),
    );
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains(path) && said.contains("line 2"), "{said}");
}

#[test]
fn a_probe_that_finds_no_coordinator_ends_with_its_time_to_live() {
    let text = join_string(NodeId::Coordinator);
    let output = probe(&["-vv", "join", "-", "--ttl", "1"], &text);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let secret = text.split('.').nth(1).unwrap();
    assert!(!stderr(&output).contains(secret), "the join string was logged");
}

#[test]
fn a_closed_standard_error_is_no_bug() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plumbline-probe"))
        .args(["-vv", "join", "-", "--ttl", "1"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    writeln!(
        child.stdin.take().unwrap(),
        "{}",
        join_string(NodeId::Coordinator)
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_signal_ends_the_probe_with_a_word() {
    let text = join_string(NodeId::Coordinator);
    let mut child = Command::new(env!("CARGO_BIN_EXE_plumbline-probe"))
        .args(["-v", "join", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{text}").unwrap();
    // It has taken its signals before it dials, and says at this level when that fails.
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("connect to") {
        line.clear();
        assert_ne!(
            std::io::BufRead::read_line(&mut said, &mut line).unwrap(),
            0,
            "the probe ended early"
        );
    }
    let killed = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut said, &mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{rest}");
    assert!(rest.contains("stopped by a signal"), "{rest}");
}

#[test]
fn its_version_is_the_packages() {
    let output = probe(&["--version"], "");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("plumbline-probe {}\n", env!("CARGO_PKG_VERSION"))
    );
}
