//! Rules about echo requests and hops as probes tell of them: four nodes in two subnets, of which everybody measures the way to
//! everybody, and everything else is answered.

use super::*;
use crate::{
    assumption::{Complaint, Opinion, Ruling, Scene, paths::stage::everybody_tells},
    cause::CauseKind,
    evidence::Group,
    inventory::LoadBalancerType,
    observation::{EchoSeen, Hops, PathMethod, PathSeen, RouteEntry, RouteHop},
    port::Family,
    report::{
        Status,
        stage::{CP, LB, Stage, W1, W2, node},
    },
};

/// A path on which a responder answers, and echo requests or not.
fn path(dst: &str, echo: bool) -> PathSeen {
    let mut seen = PathSeen::not_measured(node(dst), Family::Ipv4, PathMethod::Stamp { port: 6081 });
    seen.echo = match echo {
        true => EchoSeen {
            sent: 1,
            answered: 1,
            denied: false,
        },
        false => EchoSeen {
            sent: 3,
            answered: 0,
            denied: false,
        },
    };
    seen
}

fn stage(seen: impl Fn(&str, &str) -> PathSeen) -> Stage {
    everybody_tells(&[Group::Reach, Group::L3], seen)
}

/// A route without a router, as an administrator makes it.
pub(super) fn on_device(to: &str, device: &str) -> RouteEntry {
    RouteEntry {
        to: to.parse().unwrap(),
        forwards: true,
        hops: vec![RouteHop {
            via: None,
            device: Some(device.to_owned()),
        }],
        metric: 0,
        protocol: STATIC,
    }
}

/// `RTPROT_STATIC`.
const STATIC: u8 = 4;

fn complaints(stage: &Stage, judge: fn(&Scene<'_>) -> Vec<Ruling>) -> Vec<Complaint> {
    let rulings = stage.looked_at(judge);
    let complaint = |ruling: Ruling| match ruling.opinion {
        Opinion::Warn(complaint) | Opinion::Fail(complaint) => Some(complaint),
        Opinion::Pass | Opinion::NotMeasured(_) => None,
    };
    rulings.into_iter().filter_map(complaint).collect()
}

#[test]
fn a_host_that_answers_everything_but_echo_requests_is_one_warning_at_it() {
    let stage = stage(|_, dst| path(dst, dst != W1));
    let told = complaints(&stage, echo::judge);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].cause.kind, told[0].cause.node),
        (CauseKind::HostFirewall, Some(node(W1)))
    );
    let report = stage.report();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(
        (report.findings[0].check.as_str(), report.findings[0].status),
        ("L3-001", Status::Warn)
    );
}

#[test]
fn echo_requests_that_vanish_with_other_packets_are_told_by_the_port_matrix_alone() {
    let stage = [CP, LB, W2]
        .into_iter()
        .fold(stage(|_, dst| path(dst, dst != W1)), |stage, src| {
            stage.silent(src, W1, "10250", None, None)
        });
    let report = stage.report();
    let checks: Vec<&str> = report
        .findings
        .iter()
        .map(|finding| finding.check.as_str())
        .collect();
    assert!(!checks.is_empty() && !checks.contains(&"L3-001"), "{checks:?}");
}

#[test]
fn echo_requests_are_judged_where_something_else_is_answered_only() {
    let stage = stage(|_, dst| {
        let mut seen = path(dst, false);
        seen.by = PathMethod::Nothing;
        seen
    });
    assert_eq!(
        complaints(&stage, echo::judge).len(),
        0,
        "nothing was seen of them"
    );
}

#[test]
fn a_router_between_load_balancer_and_control_plane_of_one_subnet_is_one_failure() {
    let apart = |forth, back| {
        stage(move |src, dst| {
            let mut seen = path(dst, true);
            let is_far = [(CP, LB), (LB, CP)].contains(&(src, dst));
            let (forth, back) = if is_far { (forth, back) } else { (1, 2) };
            seen.hops = Some(Hops { forth, back });
            seen
        })
    };
    let central = |mut stage: Stage| {
        use crate::id::Role;
        for own in &mut stage.inventory.nodes {
            if own.id == node(CP) {
                own.roles.insert(Role::ControlPlane);
            } else if own.id == node(LB) {
                own.roles.insert(Role::LoadBalancer);
            }
        }
        stage
    };
    let mut far = central(apart(1, 1));
    let told = complaints(&far, hops::judge);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].cause.kind, CauseKind::NotAdjacent);
    far.inventory.load_balancer_type = LoadBalancerType::Bgp;
    assert_eq!(complaints(&far, hops::judge).len(), 0, "nobody needs ARP");
    assert_eq!(complaints(&central(apart(0, 0)), hops::judge).len(), 0);
}

#[test]
fn sources_that_a_responder_heard_as_they_are_pass_and_others_are_the_matrixs() {
    let plain = Stage::new().report();
    let of = |report: &crate::report::Report, status| {
        let rows = report.checks.iter().filter(|row| row.id == "L3-002");
        rows.filter(|row| row.status == status).count()
    };
    assert_eq!(of(&plain, Status::Pass), 0, "not asked for");
    let mut stage = Stage::new();
    stage.parameters.groups = vec![Group::Reach, Group::L3];
    assert_eq!(of(&stage.report(), Status::Pass), 4);
}
