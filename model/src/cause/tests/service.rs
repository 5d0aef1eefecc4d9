//! Who listens where it should not, and who does not where it should.

use super::*;
use crate::observation::{HostFacts, Listener};

fn listens(process: &'static str, pid: u32, at: &'static str, port: &'static str) -> impl Fn(&mut HostFacts) {
    move |facts| {
        facts.listeners.push(Listener {
            protocol: Protocol::Tcp,
            address: at.parse().unwrap(),
            ports: port.parse().unwrap(),
            process: Some(process.to_owned()),
            pid: Some(pid),
        });
    }
}

#[test]
fn a_port_that_must_not_answer_is_told_with_the_process_that_does() {
    let report = Stage::new()
        .rule("node.healthz", "10248", &[CP], &[W1])
        .that_blocks()
        .knows(W1, listens("kubelet", 812, "::", "10248"))
        .knows(W1, listens("sshd", 1, "::", "22"))
        .report();
    let finding = only(&report);
    assert_eq!(finding.cause.kind, CauseKind::Exposure);
    let detail = &finding.cause.detail;
    assert!(detail.contains("kubelet (pid 812)"), "{detail}");
    assert!(!detail.contains("sshd"), "{detail}");
    assert_eq!(finding.fix.commands, ["ss -H -l -n -p --tcp 'sport = :10248'"]);
}

#[test]
fn a_service_that_listens_on_loopback_only_is_named_where_nothing_listens() {
    let report = Stage::new()
        .live(W1)
        .serves(W1, "4240", "cilium-agent")
        .knows(W1, listens("kubelet", 812, "127.0.0.1", "10250"))
        .report();
    let finding = only(&report);
    assert_eq!(finding.cause.kind, CauseKind::NoListener);
    let detail = &finding.cause.detail;
    assert!(
        detail.contains("kubelet (pid 812) listens on 10250/tcp at 127.0.0.1 only"),
        "{detail}"
    );
}

#[test]
fn nobody_is_named_where_nobody_listens() {
    let report = Stage::new().live(W1).serves(W1, "4240", "cilium-agent").report();
    let detail = &only(&report).cause.detail;
    assert!(!detail.contains("only") && !detail.contains("cilium"), "{detail}");
}

#[test]
fn nobody_is_told_to_kill_init_or_a_process_group_for_a_port_that_is_held() {
    let remedy = |pid: u32| {
        let why = BindFailure::Taken {
            process: Some("systemd".to_owned()),
            pid: Some(pid),
        };
        let report = Stage::new().cannot_bind(W1, "10250", why).report();
        let fix = &only(&report).fix;
        format!("{} {}", fix.text, fix.commands.join("; "))
    };
    assert!(remedy(4711).contains("kill 4711"));
    let init = remedy(1);
    assert!(init.contains("systemctl list-sockets"), "{init}");
    for said in [init, remedy(0)] {
        assert!(!said.contains("kill"), "{said}");
    }
}
