//! What keeps a transfer from being tried, and what becomes of the run: a ring of one pair.

use super::*;
use crate::{
    evidence::SwarmKind,
    observation::{HostSettings, Record},
    report::{
        Report, Status, Verdict,
        stage::{CP, LB, Stage, node},
    },
};

/// Both ends told how it went, and how they are set up.
fn told(outcome: &Transfer, groups: &[Group], settings: &HostSettings) -> Report {
    let mut stage = Stage::of(&[CP, LB]);
    stage.parameters.groups = groups.to_vec();
    (stage.parameters.active, stage.parameters.swarm) = (true, SwarmKind::Joined);
    for (on, peer, takes) in [(LB, CP, true), (CP, LB, false)] {
        let errand = TunnelErrand {
            turn: 1,
            encapsulation: Encapsulation::Geneve,
            port: 6081,
            peer: node(peer),
            takes,
        };
        stage = stage.sends(on, Errand::Inspect).sends(on, Errand::Tunnel(errand));
        stage = stage.tells(on, Record::Host(Box::new(settings.clone()))).tells(
            on,
            Record::Tunnel(TunnelSeen {
                turn: 1,
                encapsulation: Encapsulation::Geneve,
                port: 6081,
                peer: node(peer),
                took: takes,
                outcome: outcome.clone(),
            }),
        );
    }
    let mut report = stage.report();
    report.checks.retain(|row| row.id == CHECK.id);
    report.findings.retain(|finding| finding.check == CHECK.id);
    report
}

#[test]
fn a_tunnel_that_was_asked_for_and_has_no_device_leaves_the_run_incomplete_and_is_one_finding() {
    let report = told(&Transfer::NoDevice, &[Group::Host], &HostSettings::default());
    assert_eq!((report.verdict, report.findings.len()), (Verdict::Incomplete, 1));
    let finding = &report.findings[0];
    assert_eq!((finding.status, finding.cause.node), (Status::NotMeasured, None));
    for word in [CP, LB, "has no GENEVE device", "modprobe geneve"] {
        assert!(finding.cause.detail.contains(word), "{}", finding.cause.detail);
    }
}

#[test]
fn a_kernel_without_the_module_is_told_by_the_check_of_kernels_alone() {
    let mut settings = HostSettings::default();
    settings.modules.insert("geneve".to_owned(), ModuleState::Absent);
    let report = told(&Transfer::NoDevice, &[Group::Host], &settings);
    assert_eq!(report.findings, []);
    assert_eq!(report.checks[0].status, Status::NotMeasured);
    assert!(report.checks[0].detail.contains("SYS-003"), "{:?}", report.checks);
}

#[test]
fn the_kernel_of_the_machine_that_a_node_is_a_part_of_is_a_row_alone() {
    let mut settings = HostSettings::default();
    settings.machine.is_part = Some(true);
    let report = told(&Transfer::NoDevice, &[Group::Host], &settings);
    assert_eq!(report.findings, []);
    assert!(report.checks[0].detail.contains("GENEVE"), "{:?}", report.checks);
}

#[test]
fn a_port_that_is_held_is_told_by_the_port_matrix_if_there_is_one() {
    let alone = told(&Transfer::PortHeld, &[Group::Host], &HostSettings::default());
    assert_eq!((alone.verdict, alone.findings.len()), (Verdict::Incomplete, 1));
    assert_eq!(alone.findings[0].cause.node, Some(node(LB)));
    let groups = [Group::Reach, Group::Host];
    assert_eq!(
        told(&Transfer::PortHeld, &groups, &HostSettings::default()).findings,
        []
    );
}
