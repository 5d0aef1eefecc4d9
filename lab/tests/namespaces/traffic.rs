//! Faults of chosen traffic, in both families and transports, on hosts, the router and switches.

use std::{io::ErrorKind, thread, time::Duration};

use plumbline_lab::{Entered, FaultError};

use crate::{
    Connected, SILENT, Test, ask_udp, connect, dual, echo, fault, listen, listen_at, node, outcome, plant,
    until,
};

pub(crate) const TESTS: &[Test] = &[
    (
        "each_way_to_reject_has_its_own_error_in_ipv6",
        each_way_to_reject_has_its_own_error_in_ipv6,
    ),
    (
        "a_fault_that_names_a_host_holds_for_both_of_its_addresses",
        a_fault_that_names_a_host_holds_for_both_of_its_addresses,
    ),
    ("a_fault_of_udp_leaves_tcp_alone", a_fault_of_udp_leaves_tcp_alone),
    (
        "a_switch_that_drops_does_so_in_one_direction",
        a_switch_that_drops_does_so_in_one_direction,
    ),
    (
        "isolated_hosts_reach_everybody_but_each_other",
        isolated_hosts_reach_everybody_but_each_other,
    ),
];

const A1: &str = "10.91.0.11";
const A2: &str = "10.91.0.12";
const A3: &str = "10.91.0.13";
const B1: &str = "10.92.0.11";
const A1_SIX: &str = "fd91:10:91::11";
const A2_SIX: &str = "fd91:10:91::12";
const B1_SIX: &str = "fd91:10:92::11";
const REFUSED: Connected = Connected::No(ErrorKind::ConnectionRefused);

fn each_way_to_reject_has_its_own_error_in_ipv6(entered: &Entered) {
    let mut lab = dual(entered, &[A1, B1]);
    // A host says no more than one error a second otherwise, and the next would come late.
    plant(
        &mut lab,
        &format!(r#"{{"fault":"icmp_rate_limit","at":"{A1}","interval_ms":0}}"#),
    );
    let ways = [
        ("net_unreachable", ErrorKind::NetworkUnreachable),
        ("host_unreachable", ErrorKind::HostUnreachable),
        ("admin_prohibited", ErrorKind::PermissionDenied),
        ("policy_fail", ErrorKind::PermissionDenied),
        ("reject_route", ErrorKind::PermissionDenied),
        ("port_unreachable", ErrorKind::ConnectionRefused),
        ("tcp_reset", ErrorKind::ConnectionRefused),
    ];
    let mut targets = Vec::new();
    for (port, (with, expected)) in (7000..).zip(ways) {
        let on_path = port + 100;
        plant(
            &mut lab,
            &format!(r#"{{"fault":"host_reject","host":"{A1}","with":"{with}","ports":"{port}"}}"#),
        );
        plant(
            &mut lab,
            &format!(
                r#"{{"fault":"path_reject","from":"{B1}","to":"{A1}","with":"{with}","ports":"{on_path}"}}"#
            ),
        );
        targets.extend([port, on_path].map(|port| (listen_at(&lab, A1, A1_SIX, port), expected)));
    }
    // All at once: an error that comes before connect has returned counts only when the question is repeated.
    let reached: Vec<Connected> = lab
        .in_host(node(B1), || {
            thread::scope(|scope| {
                let asking: Vec<_> = targets
                    .iter()
                    .map(|(target, _)| scope.spawn(|| outcome(target.address)))
                    .collect();
                asking.into_iter().map(|thread| thread.join().unwrap()).collect()
            })
        })
        .unwrap();
    for ((target, expected), reached) in targets.iter().zip(reached) {
        assert_eq!(reached, Connected::No(*expected), "{}", target.address);
    }
    let wordless = format!(r#"{{"fault":"host_reject","host":"{A1}","family":"ipv4","with":"policy_fail"}}"#);
    assert!(matches!(
        lab.apply(&fault(&wordless)),
        Err(FaultError::NoSuchReject(_))
    ));
}

fn a_fault_that_names_a_host_holds_for_both_of_its_addresses(entered: &Entered) {
    let mut lab = dual(entered, &[A1, A2, B1]);
    let (four, six) = (listen(&lab, A1, 7000), listen_at(&lab, A1, A1_SIX, 7000));
    let both = plant(
        &mut lab,
        &format!(
            r#"{{"fault":"path_reject","from":"10.92.0.0/24","to":"{A1}","with":"port_unreachable","transport":"tcp"}}"#
        ),
    );
    assert_eq!(connect(&lab, B1, four.address), REFUSED);
    assert_eq!(connect(&lab, B1, six.address), REFUSED);
    assert_eq!(connect(&lab, A2, six.address), Connected::Yes);
    lab.heal(both).unwrap();
    let one = plant(
        &mut lab,
        &format!(
            r#"{{"fault":"host_reject","host":"{A1}","family":"ipv6","with":"tcp_reset","from":"{A2}"}}"#
        ),
    );
    assert_eq!(connect(&lab, A2, four.address), Connected::Yes);
    assert_eq!(connect(&lab, A2, six.address), REFUSED);
    assert_eq!(connect(&lab, B1, six.address), Connected::Yes);
    lab.heal(one).unwrap();
}

fn a_fault_of_udp_leaves_tcp_alone(entered: &Entered) {
    let mut lab = dual(entered, &[A1, B1]);
    let tcp = listen(&lab, A1, 6081);
    let (four, six) = (echo(&lab, A1, A1, 6081), echo(&lab, A1, A1_SIX, 6081));
    let id = plant(
        &mut lab,
        &format!(r#"{{"fault":"host_drop","host":"{A1}","transport":"udp","ports":"6081"}}"#),
    );
    assert_eq!(ask_udp(&lab, B1, &four), Err(ErrorKind::WouldBlock));
    assert_eq!(ask_udp(&lab, B1, &six), Err(ErrorKind::WouldBlock));
    assert_eq!(connect(&lab, B1, tcp.address), Connected::Yes);
    lab.heal(id).unwrap();
    assert_eq!(ask_udp(&lab, B1, &four), Ok(B1.parse().unwrap()));
    assert_eq!(ask_udp(&lab, B1, &six), Ok(B1_SIX.parse().unwrap()));
}

fn a_switch_that_drops_does_so_in_one_direction(entered: &Entered) {
    let mut lab = dual(entered, &[A1, A2, A3]);
    let (there, back) = (listen(&lab, A2, 7000), listen(&lab, A1, 7000));
    let (other, six) = (listen(&lab, A2, 7001), listen_at(&lab, A2, A2_SIX, 7000));
    let id = plant(
        &mut lab,
        &format!(r#"{{"fault":"switch_drop","from":"{A1}","to":"{A2}","ports":"7000"}}"#),
    );
    assert_eq!(connect(&lab, A1, there.address), SILENT);
    assert_eq!(connect(&lab, A1, six.address), SILENT);
    assert_eq!(connect(&lab, A1, other.address), Connected::Yes);
    assert_eq!(connect(&lab, A2, back.address), Connected::Yes);
    assert_eq!(connect(&lab, A3, there.address), Connected::Yes);
    lab.heal(id).unwrap();
    let id = plant(
        &mut lab,
        &format!(r#"{{"fault":"switch_drop","from":"{A1}","to":"{A2}","family":"ipv6","transport":"tcp"}}"#),
    );
    assert_eq!(connect(&lab, A1, six.address), SILENT);
    assert_eq!(connect(&lab, A1, there.address), Connected::Yes);
    lab.heal(id).unwrap();
    let across = format!(r#"{{"fault":"switch_drop","from":"{A1}","to":"{B1}"}}"#);
    assert!(lab.apply(&fault(&across)).is_err(), "no such host");
}

fn isolated_hosts_reach_everybody_but_each_other(entered: &Entered) {
    let mut lab = dual(entered, &[A1, A2, A3, B1]);
    let targets = [A1, A2, A3].map(|host| listen(&lab, host, 7000));
    let id = plant(
        &mut lab,
        &format!(r#"{{"fault":"isolated","hosts":["{A1}","{A2}"]}}"#),
    );
    assert_eq!(connect(&lab, A1, targets[1].address), SILENT);
    assert_eq!(connect(&lab, A1, targets[2].address), Connected::Yes);
    assert_eq!(connect(&lab, A3, targets[1].address), Connected::Yes);
    assert_eq!(connect(&lab, B1, targets[0].address), Connected::Yes);
    lab.heal(id).unwrap();
    until(Duration::from_secs(10), || {
        (connect(&lab, A1, targets[1].address) == Connected::Yes).then_some(())
    });
    let across = format!(r#"{{"fault":"isolated","hosts":["{A1}","{B1}"]}}"#);
    assert!(matches!(
        lab.apply(&fault(&across)),
        Err(FaultError::NoSwitchBetween { .. })
    ));
}
