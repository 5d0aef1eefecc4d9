//! Faults after which somebody else answers, or is seen to ask.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use plumbline_lab::{Entered, Lab};
use plumbline_sys::route::Network;

use crate::{
    Connected, Listening, SILENT, Test, ask_udp, connect, dual, echo, listen, listen_at, node, plant,
};

pub(crate) const TESTS: &[Test] = &[
    (
        "translated_sources_are_seen_at_the_other_end",
        translated_sources_are_seen_at_the_other_end,
    ),
    (
        "translated_destinations_end_at_another_port_or_host",
        translated_destinations_end_at_another_port_or_host,
    ),
    (
        "a_middlebox_answers_for_an_ipv6_address",
        a_middlebox_answers_for_an_ipv6_address,
    ),
    (
        "another_host_answers_for_a_duplicate_address",
        another_host_answers_for_a_duplicate_address,
    ),
    (
        "a_twin_has_the_hardware_address_of_another",
        a_twin_has_the_hardware_address_of_another,
    ),
];

const A1: &str = "10.91.0.11";
const A2: &str = "10.91.0.12";
const A3: &str = "10.91.0.13";
const B1: &str = "10.92.0.11";
const A1_SIX: &str = "fd91:10:91::11";
const B1_SIX: &str = "fd91:10:92::11";
const REFUSED: Connected = Connected::No(ErrorKind::ConnectionRefused);

fn translated_sources_are_seen_at_the_other_end(entered: &Entered) {
    let mut lab = dual(entered, &[A1, A2, B1]);
    let (four, six) = (listen(&lab, B1, 7000), listen_at(&lab, B1, B1_SIX, 7000));
    let (udp, near) = (echo(&lab, B1, B1, 6081), listen(&lab, A2, 7000));
    let seen = |lab: &Lab, target: &Listening| seen_from(lab, A1, target).to_string();
    assert_eq!(seen(&lab, &four), A1);
    let id = plant(&mut lab, r#"{"fault":"source_nat"}"#);
    assert_eq!(seen(&lab, &four), "10.92.0.1");
    assert_eq!(seen(&lab, &six), "fd91:10:92::1");
    assert_eq!(ask_udp(&lab, A1, &udp), Ok("10.92.0.1".parse().unwrap()));
    assert_eq!(
        seen(&lab, &near),
        A1,
        "the router is not between hosts of one subnet"
    );
    lab.heal(id).unwrap();
    let id = plant(
        &mut lab,
        &format!(
            r#"{{"fault":"source_nat","from":"{A1}","to":"{B1}","address":"198.51.100.77","ports":"7000"}}"#
        ),
    );
    assert_eq!(seen(&lab, &four), "198.51.100.77");
    assert_eq!(seen(&lab, &six), A1_SIX);
    lab.heal(id).unwrap();
    let id = plant(
        &mut lab,
        &format!(r#"{{"fault":"source_nat","at":"{A1}","address":"10.91.0.99","to":"{B1}"}}"#),
    );
    // Nobody has the address, so no answer comes back: the lab's router asks for it in vain.
    assert_eq!(connect(&lab, A1, four.address), SILENT);
    assert_eq!(seen(&lab, &near), A1);
    lab.heal(id).unwrap();
    assert_eq!(seen(&lab, &four), A1);
}

fn translated_destinations_end_at_another_port_or_host(entered: &Entered) {
    let mut lab = dual(entered, &[A1, A2, B1]);
    // Nobody listens at the port that is asked for.
    let asked = SocketAddr::new(A1.parse().unwrap(), 10250);
    let asked_six = SocketAddr::new(A1_SIX.parse().unwrap(), 10250);
    let _elsewhere = listen(&lab, A2, 10250);
    let _other_port = listen(&lab, A1, 7001);
    let _other_port_six = listen_at(&lab, A1, A1_SIX, 7001);
    assert_eq!(connect(&lab, B1, asked), REFUSED);
    let to_host = format!(r#"{{"fault":"destination_nat","host":"{A1}","ports":"10250","to":"{A2}"}}"#);
    let to_port =
        format!(r#"{{"fault":"destination_nat","host":"{A1}","ports":"10250","to":"{A1}","port":7001}}"#);
    let at_host = format!(
        r#"{{"fault":"destination_nat","at":"{A1}","host":"{A1}","ports":"10250","to":"{A1}","port":7001}}"#
    );
    for text in [to_host, to_port, at_host] {
        let id = plant(&mut lab, &text);
        assert_eq!(connect(&lab, B1, asked), Connected::Yes, "{text}");
        assert_eq!(connect(&lab, B1, asked_six), REFUSED, "{text}");
        lab.heal(id).unwrap();
        assert_eq!(connect(&lab, B1, asked), REFUSED, "after {text}");
    }
    plant(
        &mut lab,
        &format!(
            r#"{{"fault":"destination_nat","host":"{A1}","ports":"10250","to":"{A1_SIX}","port":7001}}"#
        ),
    );
    assert_eq!(connect(&lab, B1, asked_six), Connected::Yes);
}

fn a_middlebox_answers_for_an_ipv6_address(entered: &Entered) {
    let mut lab = dual(entered, &[A1, A2, B1]);
    let target = SocketAddr::new(A1_SIX.parse().unwrap(), 443);
    assert_eq!(connect(&lab, B1, target), REFUSED);
    let id = plant(
        &mut lab,
        &format!(r#"{{"fault":"wrong_responder","host":"{A1}","ports":"443"}}"#),
    );
    assert_eq!(connect(&lab, B1, target), Connected::Yes);
    assert_eq!(
        connect(&lab, B1, SocketAddr::new(A1.parse().unwrap(), 443)),
        Connected::Yes
    );
    assert_eq!(connect(&lab, A2, target), REFUSED);
    lab.heal(id).unwrap();
    assert_eq!(connect(&lab, B1, target), REFUSED);
}

fn another_host_answers_for_a_duplicate_address(entered: &Entered) {
    let mut lab = dual(entered, &[A1, A2, A3, B1]);
    let targets = [listen(&lab, A1, 7000), listen_at(&lab, A1, A1_SIX, 7000)];
    // The stranger is asked first, and nobody listens there.
    let id = plant(
        &mut lab,
        &format!(r#"{{"fault":"duplicate_address","host":"{A1}"}}"#),
    );
    for target in &targets {
        assert_eq!(connect(&lab, A2, target.address), REFUSED, "{}", target.address);
        assert_eq!(connect(&lab, B1, target.address), REFUSED, "{}", target.address);
    }
    lab.heal(id).unwrap();
    let by = plant(
        &mut lab,
        &format!(r#"{{"fault":"duplicate_address","host":"{A1}","by":"{A3}","family":"ipv4"}}"#),
    );
    assert_eq!(
        connect(&lab, A3, targets[0].address),
        REFUSED,
        "it is its own address now"
    );
    assert_eq!(connect(&lab, A3, targets[1].address), Connected::Yes);
    lab.heal(by).unwrap();
    assert_eq!(connect(&lab, A3, targets[0].address), Connected::Yes);
}

fn a_twin_has_the_hardware_address_of_another(entered: &Entered) {
    let mut lab = dual(entered, &[A1, A2]);
    let mac = |lab: &Lab, host: &str| {
        let link = || Network::open().and_then(|mut network| network.link("eth0"));
        lab.in_host(node(host), link).unwrap().unwrap().unwrap().mac
    };
    let before = mac(&lab, A1);
    let id = plant(
        &mut lab,
        &format!(r#"{{"fault":"duplicate_mac","host":"{A1}","of":"{A2}"}}"#),
    );
    assert_eq!(mac(&lab, A1), mac(&lab, A2));
    lab.heal(id).unwrap();
    assert_eq!(mac(&lab, A1), before);
}

/// As whom the listener sees who connects.
fn seen_from(lab: &Lab, host: &str, target: &Listening) -> IpAddr {
    let client = lab
        .in_host(node(host), || {
            TcpStream::connect_timeout(&target.address, Duration::from_secs(3))
        })
        .unwrap();
    let accepted = target.accept();
    drop(client.unwrap());
    accepted.ip()
}
