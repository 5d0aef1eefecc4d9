//! Faults of a host's own routes, addresses, settings and tables.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use plumbline_lab::{Entered, FaultError, FurtherNetwork, Lab, Stack, Topology};
use plumbline_sys::ns::{Privilege, sysctl};

use crate::{Connected, SILENT, Test, connect, dual, fault, listen, listen_at, node, parsed, plant, until};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_strict_host_takes_nothing_by_the_way_that_it_would_not_go",
        a_strict_host_takes_nothing_by_the_way_that_it_would_not_go,
    ),
    (
        "bad_routes_of_a_host_have_their_own_errors",
        bad_routes_of_a_host_have_their_own_errors,
    ),
    ("icmp_errors_can_be_rationed", icmp_errors_can_be_rationed),
    (
        "connections_beyond_a_limit_are_silent",
        connections_beyond_a_limit_are_silent,
    ),
    (
        "a_full_table_takes_no_new_connection",
        a_full_table_takes_no_new_connection,
    ),
    (
        "a_host_without_ipv6_is_reached_by_ipv4_alone",
        a_host_without_ipv6_is_reached_by_ipv4_alone,
    ),
    (
        "a_udp_port_can_be_taken_in_both_families",
        a_udp_port_can_be_taken_in_both_families,
    ),
];

const A1: &str = "10.91.0.11";
const A2: &str = "10.91.0.12";
const A3: &str = "10.91.0.13";
const B1: &str = "10.92.0.11";
const A1_SIX: &str = "fd91:10:91::11";
const B1_SIX: &str = "fd91:10:92::11";
const REFUSED: Connected = Connected::No(ErrorKind::ConnectionRefused);

fn a_strict_host_takes_nothing_by_the_way_that_it_would_not_go(entered: &Entered) {
    let storage = FurtherNetwork {
        network: "10.93.0.0/24".parse().unwrap(),
        gateway: None,
        hosts: [(A1, "10.93.0.11"), (A2, "10.93.0.12")]
            .map(|(host, address)| (host.parse().unwrap(), address.parse().unwrap()))
            .into(),
    };
    let topology = Topology::from_addresses(&parsed(&[A1, A2, A3]), &[], Stack::Single)
        .and_then(|topology| topology.with_further(storage))
        .unwrap();
    let mut lab = Lab::up(entered, topology).unwrap();
    let target = listen(&lab, A1, 7000);
    // Loose, the way back may differ.
    plant(
        &mut lab,
        &format!(r#"{{"fault":"detour","host":"{A1}","to":"{A2}","via":"10.93.0.12"}}"#),
    );
    assert_eq!(connect(&lab, A2, target.address), Connected::Yes);
    let strict = plant(
        &mut lab,
        &format!(r#"{{"fault":"reverse_path_filter","host":"{A1}"}}"#),
    );
    assert_eq!(connect(&lab, A2, target.address), SILENT);
    assert_eq!(connect(&lab, A3, target.address), Connected::Yes);
    lab.heal(strict).unwrap();
    assert_eq!(connect(&lab, A2, target.address), Connected::Yes);
}

fn bad_routes_of_a_host_have_their_own_errors(entered: &Entered) {
    let mut lab = dual(entered, &[A1, A2, B1]);
    let (near, far) = (listen(&lab, A2, 7000), listen(&lab, B1, 7000));
    let six = listen_at(&lab, B1, B1_SIX, 7000);
    for (with, expected) in [
        ("unreachable", ErrorKind::HostUnreachable),
        ("prohibit", ErrorKind::PermissionDenied),
        ("blackhole", ErrorKind::InvalidInput),
        ("missing", ErrorKind::NetworkUnreachable),
    ] {
        let text = format!(r#"{{"fault":"host_route","host":"{A1}","to":"10.92.0.0/24","with":"{with}"}}"#);
        let id = plant(&mut lab, &text);
        assert_eq!(connect(&lab, A1, far.address), Connected::No(expected), "{text}");
        assert_ne!(connect(&lab, A1, six.address), Connected::Yes, "{text}");
        assert_eq!(connect(&lab, A1, near.address), Connected::Yes, "{text}");
        assert_eq!(connect(&lab, A2, far.address), Connected::Yes, "{text}");
        lab.heal(id).unwrap();
        assert_eq!(connect(&lab, A1, far.address), Connected::Yes, "after {text}");
        assert_eq!(connect(&lab, A1, six.address), Connected::Yes, "after {text}");
    }
}

fn icmp_errors_can_be_rationed(entered: &Entered) {
    const ASKED: u16 = 60;
    let mut lab = dual(entered, &[A1, B1]);
    // Nobody listens, so that each question is worth an error of the host.
    let errors = |lab: &Lab, address: &str| {
        let count = || -> io::Result<usize> {
            let mut errors = 0;
            for port in 7000..7000 + ASKED {
                let socket = UdpSocket::bind(if address.contains(':') {
                    "[::]:0"
                } else {
                    "0.0.0.0:0"
                })?;
                socket.connect((address, port))?;
                socket.set_read_timeout(Some(Duration::from_millis(20)))?;
                socket.send(b"x")?;
                let answer = socket.recv(&mut [0; 8]);
                errors +=
                    usize::from(answer.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused));
            }
            Ok(errors)
        };
        lab.in_host(node(B1), count).unwrap().unwrap()
    };
    let free = plant(
        &mut lab,
        &format!(r#"{{"fault":"icmp_rate_limit","at":"{A1}","interval_ms":0}}"#),
    );
    for address in [A1, A1_SIX] {
        // Everybody on the way learns the hardware addresses, which takes its time.
        let target = SocketAddr::new(address.parse().unwrap(), 7000);
        assert_eq!(connect(&lab, B1, target), REFUSED);
    }
    assert_eq!(errors(&lab, A1), usize::from(ASKED));
    assert_eq!(errors(&lab, A1_SIX), usize::from(ASKED));
    lab.heal(free).unwrap();
    plant(
        &mut lab,
        &format!(r#"{{"fault":"icmp_rate_limit","at":"{A1}","interval_ms":1000}}"#),
    );
    // A burst of about six, then one a second; asking takes little more than one.
    assert!((1..20).contains(&errors(&lab, A1)));
    assert!((1..20).contains(&errors(&lab, A1_SIX)));
    let on_router = plant(&mut lab, r#"{"fault":"icmp_rate_limit","interval_ms":1000}"#);
    let limit = |lab: &Lab| {
        lab.in_router(|| sysctl("net/ipv4/icmp_ratelimit"))
            .unwrap()
            .unwrap()
    };
    assert_eq!(limit(&lab), "1000");
    lab.heal(on_router).unwrap();
    assert_eq!(limit(&lab), "0");
}

fn connections_beyond_a_limit_are_silent(entered: &Entered) {
    let mut lab = dual(entered, &[A1, A2]);
    let (limited, other) = (listen(&lab, A1, 7000), listen(&lab, A1, 7001));
    let id = plant(
        &mut lab,
        &format!(r#"{{"fault":"connection_limit","host":"{A1}","most":2,"ports":"7000"}}"#),
    );
    let held: Vec<TcpStream> = (0..2)
        .map(|_| {
            lab.in_host(node(A2), || TcpStream::connect(limited.address))
                .unwrap()
                .unwrap()
        })
        .collect();
    assert_eq!(connect(&lab, A2, limited.address), SILENT);
    assert_eq!(connect(&lab, A2, other.address), Connected::Yes);
    lab.heal(id).unwrap();
    assert_eq!(connect(&lab, A2, limited.address), Connected::Yes);
    drop(held);
}

fn a_full_table_takes_no_new_connection(entered: &Entered) {
    let mut lab = dual(entered, &[A1, A2]);
    let (full, other) = (listen(&lab, A1, 7000), listen(&lab, A2, 7000));
    let text = format!(r#"{{"fault":"conntrack_full","host":"{A1}"}}"#);
    if entered.privilege() == Privilege::UserNamespace {
        assert!(matches!(lab.apply(&fault(&text)), Err(FaultError::NotRoot)));
        return;
    }
    let id = plant(&mut lab, &text);
    assert_eq!(connect(&lab, A2, full.address), SILENT);
    // A host that tracks nothing has no table to fill.
    assert_eq!(connect(&lab, A2, other.address), Connected::Yes);
    lab.heal(id).unwrap();
    assert_eq!(connect(&lab, A2, full.address), Connected::Yes);
}

fn a_host_without_ipv6_is_reached_by_ipv4_alone(entered: &Entered) {
    let mut lab = dual(entered, &[A1, A2, B1]);
    let (four, far) = (listen(&lab, A1, 7000), listen_at(&lab, B1, B1_SIX, 7000));
    let id = plant(&mut lab, &format!(r#"{{"fault":"missing_ipv6","host":"{A1}"}}"#));
    let six = SocketAddr::new(A1_SIX.parse().unwrap(), 7000);
    assert_eq!(connect(&lab, A2, four.address), Connected::Yes);
    assert_eq!(connect(&lab, A2, six), SILENT);
    assert_ne!(connect(&lab, A1, far.address), Connected::Yes);
    lab.heal(id).unwrap();
    let six = listen_at(&lab, A1, A1_SIX, 7000);
    until(Duration::from_secs(10), || {
        (connect(&lab, A2, six.address) == Connected::Yes).then_some(())
    });
    assert_eq!(connect(&lab, A1, far.address), Connected::Yes);
}

fn a_udp_port_can_be_taken_in_both_families(entered: &Entered) {
    let mut lab = dual(entered, &[A1]);
    let bind = |lab: &Lab, address: &'static str| {
        let outcome = lab
            .in_host(node(A1), || UdpSocket::bind((address, 7946)))
            .unwrap();
        outcome.map(drop).map_err(|error| error.kind())
    };
    let id = plant(
        &mut lab,
        &format!(r#"{{"fault":"port_taken","host":"{A1}","transport":"udp","port":7946}}"#),
    );
    assert_eq!(bind(&lab, A1), Err(ErrorKind::AddrInUse));
    assert_eq!(bind(&lab, A1_SIX), Err(ErrorKind::AddrInUse));
    lab.heal(id).unwrap();
    assert_eq!(bind(&lab, A1), Ok(()));
    assert_eq!(bind(&lab, A1_SIX), Ok(()));
}
