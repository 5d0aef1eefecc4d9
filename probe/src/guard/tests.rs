use std::{collections::BTreeMap, num::NonZeroU32};

use plumbline_model::{
    observation::{BindFailure, NotTried, Signal},
    plan::Target,
    port::{Family, PortSet, Protocol},
};
use plumbline_proto::convert::{ArmPorts, Ask};

use super::{arm::EPROTONOSUPPORT, *};

mod active;
mod dial;

const OWN: &str = "10.0.0.2";

fn own() -> Own {
    let member = member(OWN);
    Own {
        node: member.node,
        tls_key_sha256: member.tls_key_sha256,
        signing_key: member.signing_key,
        agreement_key: member.agreement_key,
    }
}

fn member(node: &str) -> Member {
    let node: NodeId = node.parse().unwrap();
    Member {
        node,
        addresses: vec![node.address().unwrap_or_else(|| [10, 0, 0, 1].into())],
        tls_key_sha256: "ab".repeat(32),
        signing_key: format!("04{}", "cd".repeat(64)),
        agreement_key: "ef".repeat(32),
        data_ipv6: None,
    }
}

fn roster(members: Vec<Member>) -> Roster {
    Roster::new(members).unwrap()
}

fn everybody() -> Roster {
    roster(vec![
        member(OWN),
        member("10.0.0.3"),
        member("10.0.1.4"),
        member("coordinator"),
    ])
}

fn guard(policy: &str) -> Guard {
    let policy = if policy.is_empty() {
        Policy::default()
    } else {
        Policy::parse(policy).unwrap()
    };
    Guard::new(policy, own())
}

fn ports(text: &str) -> PortSet {
    text.parse().unwrap()
}

fn ask(destinations: &[&str], ask_ports: &str) -> Ask {
    Ask {
        targets: vec![Target {
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            ports: ports(ask_ports),
            destinations: destinations.iter().map(|node| node.parse().unwrap()).collect(),
        }],
        live_services: Vec::new(),
        attempts: 3,
        attempt_timeout: Duration::from_secs(1),
        max_rate_node: NonZeroU32::new(200),
        max_rate_pair: None,
        second_look: false,
    }
}

fn arm(protocol: Protocol, arm_ports: &str) -> Work {
    Work::Arm(vec![ArmPorts {
        family: Family::Ipv4,
        protocol,
        ports: ports(arm_ports),
    }])
}

fn permit(guard: &Guard, work: Work, standing: &Standing) -> Result<Permit, Refused> {
    guard.permit(
        Assignment {
            id: 1,
            lease: Duration::from_secs(7200),
            work,
        },
        &everybody(),
        standing,
    )
}

fn endpoint(node: &str) -> Endpoint {
    Endpoint {
        node: node.parse().unwrap(),
        address: node.parse().unwrap(),
        protocol: Protocol::Tcp,
    }
}

fn asked(permit: &Permit) -> &PermittedAsk {
    let PermittedWork::Ask(ask) = &permit.work else {
        panic!("{permit:?}")
    };
    ask
}

fn not_bound(permit: &Permit) -> Vec<(String, BindFailure)> {
    let of_record = |record: &Record| match record {
        Record::Armed(armed) => armed
            .refused
            .iter()
            .map(|no| (no.ports.to_string(), no.why.clone()))
            .collect(),
        other => panic!("{other:?}"),
    };
    permit
        .excluded
        .iter()
        .flat_map(|record| -> Vec<_> { of_record(record) })
        .collect()
}

#[test]
fn a_roster_with_this_node_as_it_is_and_plain_addresses_is_worked_with() {
    assert_eq!(guard("").check_roster(&everybody()), Ok(()));
}

#[test]
fn a_roster_without_this_node_or_with_another_key_of_it_is_refused() {
    let guard = guard("");
    assert_eq!(
        guard.check_roster(&roster(vec![member("10.0.0.3")])),
        Err(RosterRefused::NotOnIt)
    );
    for key in ["TLS", "signing", "agreement"] {
        let mut own = member(OWN);
        let field = match key {
            "TLS" => &mut own.tls_key_sha256,
            "signing" => &mut own.signing_key,
            _ => &mut own.agreement_key,
        };
        *field = field.replace(['a', 'c', 'e'], "0");
        let refused = guard.check_roster(&roster(vec![own, member("10.0.0.3")]));
        assert_eq!(refused, Err(RosterRefused::OtherKey(key)));
    }
}

#[test]
fn a_roster_with_an_address_that_no_node_has_is_refused() {
    let hostile = [
        "0.0.0.0",
        "127.0.0.1",
        "169.254.169.254",
        "224.0.0.18",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "ff02::1",
        "::ffff:10.0.0.9",
        "fd00:ec2::254",
    ];
    for address in hostile {
        let mut second = member("10.0.0.3");
        second.addresses.push(address.parse().unwrap());
        let refused = guard("").check_roster(&roster(vec![member(OWN), second]));
        assert!(
            matches!(refused, Err(RosterRefused::Address { .. })),
            "{address}: {refused:?}"
        );
    }
}

#[test]
fn a_roster_that_moves_a_node_to_another_data_address_is_refused() {
    let mut moved = member("10.0.0.3");
    moved.addresses = vec!["192.0.2.66".parse().unwrap()];
    let refused = guard("").check_roster(&roster(vec![member(OWN), moved]));
    assert!(
        matches!(refused, Err(RosterRefused::OtherAddress(_))),
        "{refused:?}"
    );
}

#[test]
fn loopback_peers_are_peers_only_of_a_loopback_node() {
    let on_loopback = Guard::new(
        Policy::default(),
        Own {
            node: "127.0.0.2".parse().unwrap(),
            ..own()
        },
    );
    let all = roster(vec![member("127.0.0.2"), member("127.0.0.3")]);
    assert_eq!(on_loopback.check_roster(&all), Ok(()));
}

#[test]
fn without_a_policy_everything_on_the_roster_may_be_asked_for_an_hour_without_a_word() {
    let permit = permit(
        &guard(""),
        Work::Ask(ask(&["10.0.0.3", "10.0.1.4"], "22,443")),
        &Standing::Bare,
    )
    .unwrap();
    assert_eq!((asked(&permit).targets.len(), permit.excluded.len()), (2, 0));
    assert_eq!(permit.lease, Duration::from_secs(3600));
    assert_eq!(asked(&permit).max_rate_node, NonZeroU32::new(200));
}

#[test]
fn what_the_policy_excludes_is_named_and_the_rest_is_done() {
    let guard = guard(
        "networks: [10.0.0.0/24]\nports: 22,100-200\nmax_rate: 50\nmax_rate_pair: 5\nmax_lease_s: 60\n",
    );
    let permit = permit(
        &guard,
        Work::Ask(ask(&["10.0.0.3", "10.0.1.4"], "22,150-250")),
        &Standing::Bare,
    )
    .unwrap();
    let key = endpoint("10.0.0.3");
    assert_eq!(
        asked(&permit).targets,
        BTreeMap::from([(key, ports("22,150-200"))])
    );
    let excluded: Vec<_> = permit
        .excluded
        .iter()
        .map(|record| match record {
            Record::Reach(reach) => (
                reach.dst.to_string(),
                reach.ports.to_string(),
                reach.signal.clone(),
            ),
            other => panic!("{other:?}"),
        })
        .collect();
    let policy = Signal::NotTried {
        why: NotTried::Policy,
    };
    let expected = [
        ("10.0.0.3".to_owned(), "201-250".to_owned(), policy.clone()),
        ("10.0.1.4".to_owned(), "22,150-250".to_owned(), policy),
    ];
    assert_eq!(excluded, expected);
    assert_eq!(
        (asked(&permit).max_rate_node, asked(&permit).max_rate_pair),
        (NonZeroU32::new(50), NonZeroU32::new(5))
    );
    assert_eq!(permit.lease, Duration::from_secs(60));
}

#[test]
fn testing_oneself_or_the_coordinator_is_refused_whole_and_every_test_is_accounted_for() {
    let asked = ask(&["10.0.0.3", OWN], "22");
    assert_eq!(
        permit(&guard(""), Work::Ask(asked.clone()), &Standing::Bare),
        Err(Refused::Itself)
    );
    assert_eq!(nothing_tried(&Work::Ask(asked)).len(), 2);
    let coordinator = Work::Ask(ask(&["coordinator"], "22"));
    assert_eq!(
        permit(&guard(""), coordinator, &Standing::Bare),
        Err(Refused::Coordinator)
    );
}

fn listener(protocol: Protocol, address: &str, of_ports: &str, process: &str) -> Listener {
    Listener {
        protocol,
        address: address.parse().unwrap(),
        ports: ports(of_ports),
        process: Some(process.to_owned()),
        pid: Some(7),
    }
}

fn service(process: &str) -> BindFailure {
    BindFailure::Service {
        process: Some(process.to_owned()),
        pid: Some(7),
    }
}

#[test]
fn a_live_node_binds_nothing_and_says_for_each_port_who_waits_there() {
    let listeners = vec![
        listener(Protocol::Tcp, OWN, "2379-2380", "etcd"),
        listener(Protocol::Tcp, "0.0.0.0", "22,10256", "sshd"),
        // At other addresses, in another family, of another transport: nobody at the data address.
        listener(Protocol::Tcp, "127.0.0.1", "10248", "kubelet"),
        listener(Protocol::Tcp, "::", "10249", "kube-proxy"),
        listener(Protocol::Udp, "0.0.0.0", "10250", "flanneld"),
    ];
    let live = Standing::Live {
        listeners: Some(listeners),
    };
    let permit = permit(&guard(""), arm(Protocol::Tcp, "22,2379,10248-10250"), &live).unwrap();
    assert_eq!(permit.work, PermittedWork::Arm(Vec::new()));
    let expected = [
        ("2379".to_owned(), service("etcd")),
        ("22".to_owned(), service("sshd")),
        ("10248-10250".to_owned(), BindFailure::NoListener),
    ];
    assert_eq!(not_bound(&permit), expected);
}

#[test]
fn a_live_node_whose_sockets_cannot_be_read_still_binds_nothing() {
    let live = Standing::Live { listeners: None };
    let permit = permit(&guard(""), arm(Protocol::Tcp, "22,6443"), &live).unwrap();
    assert_eq!(permit.work, PermittedWork::Arm(Vec::new()));
    assert_eq!(not_bound(&permit), [("22,6443".to_owned(), BindFailure::Live)]);
}

fn dual_stack(node: &str, data_ipv6: &str) -> Member {
    let mut member = member(node);
    let data_ipv6 = data_ipv6.parse().unwrap();
    member.addresses.push(IpAddr::V6(data_ipv6));
    member.data_ipv6 = Some(data_ipv6);
    member
}

fn permit_ipv6(own: Member) -> (Permit, Permit) {
    let roster = roster(vec![own, dual_stack("10.0.0.3", "fd00::3"), member("10.0.1.4")]);
    assert_eq!(guard("").check_roster(&roster), Ok(()));
    let mut asked = ask(&["10.0.0.3", "10.0.1.4"], "443");
    asked.targets[0].family = Family::Ipv6;
    let armed = Work::Arm(vec![ArmPorts {
        family: Family::Ipv6,
        protocol: Protocol::Tcp,
        ports: ports("443"),
    }]);
    let permit = |work| {
        let assignment = Assignment {
            id: 1,
            lease: Duration::from_secs(60),
            work,
        };
        guard("").permit(assignment, &roster, &Standing::Bare).unwrap()
    };
    (permit(armed), permit(Work::Ask(asked)))
}

fn untried(permit: &Permit) -> Vec<(String, NotTried)> {
    let of_record = |record: &Record| match record {
        Record::Reach(reach) => match reach.signal {
            Signal::NotTried { why } => (reach.dst.to_string(), why),
            _ => panic!("{reach:?}"),
        },
        other => panic!("{other:?}"),
    };
    permit.excluded.iter().map(of_record).collect()
}

#[test]
fn a_family_is_opened_and_asked_at_data_addresses_of_it_alone() {
    let (armed, permitted) = permit_ipv6(dual_stack(OWN, "fd00::2"));
    let PermittedWork::Arm(openings) = &armed.work else {
        panic!("{armed:?}")
    };
    assert_eq!(openings[0].address, "fd00::2".parse::<IpAddr>().unwrap());
    let addresses: Vec<IpAddr> = asked(&permitted).targets.keys().map(|to| to.address).collect();
    assert_eq!(addresses, ["fd00::3".parse::<IpAddr>().unwrap()]);
    assert_eq!(
        untried(&permitted),
        [("10.0.1.4".to_owned(), NotTried::NoAddress)]
    );
}

#[test]
fn a_node_without_an_address_of_the_family_neither_opens_nor_asks_in_it() {
    let (armed, permitted) = permit_ipv6(member(OWN));
    assert_eq!(
        not_bound(&armed),
        [("443".to_owned(), BindFailure::AddressMissing)]
    );
    assert!(asked(&permitted).targets.is_empty());
    assert_eq!(untried(&permitted).len(), 2);
}

#[test]
fn a_roster_with_an_ipv6_data_address_that_is_none_of_the_node_s_is_refused() {
    let mut strange = dual_stack("10.0.0.3", "fd00::3");
    strange.data_ipv6 = Some("fd00::4".parse().unwrap());
    assert!(matches!(
        guard("").check_roster(&roster(vec![member(OWN), strange])),
        Err(RosterRefused::OtherIpv6(_))
    ));
}

#[test]
fn a_bare_node_binds_its_data_address_within_its_policy() {
    let permit = permit(
        &guard("ports: 6443"),
        arm(Protocol::Tcp, "22,6443"),
        &Standing::Bare,
    )
    .unwrap();
    assert_eq!(
        permit.work,
        PermittedWork::Arm(vec![Opening {
            address: OWN.parse().unwrap(),
            protocol: Protocol::Tcp,
            ports: ports("6443")
        }])
    );
    assert_eq!(not_bound(&permit), [("22".to_owned(), BindFailure::Policy)]);
}

#[test]
fn the_same_port_of_both_transports_is_two_tests() {
    let mut asked = ask(&["10.0.0.3"], "6081");
    let udp = Target {
        protocol: Protocol::Udp,
        ..asked.targets[0].clone()
    };
    asked.targets.push(udp);
    let permit = permit(&guard(""), Work::Ask(asked), &Standing::Bare).unwrap();
    let PermittedWork::Ask(permitted) = permit.work else {
        panic!("{permit:?}")
    };
    let transports: Vec<Protocol> = permitted
        .targets
        .keys()
        .map(|endpoint| endpoint.protocol)
        .collect();
    assert_eq!(
        (transports, permit.excluded),
        (vec![Protocol::Tcp, Protocol::Udp], vec![])
    );
}

#[test]
fn what_this_build_cannot_test_is_said_and_not_skipped() {
    let armed = permit(&guard(""), arm(Protocol::Ip(4), "6081"), &Standing::Bare).unwrap();
    let errno = EPROTONOSUPPORT;
    assert_eq!(
        not_bound(&armed),
        [("6081".to_owned(), BindFailure::Other { errno })]
    );
    let mut asked = ask(&["10.0.0.3"], "6081");
    // Nothing is ever said to a service over UDP.
    asked.targets[0].protocol = Protocol::Udp;
    asked.live_services = std::mem::take(&mut asked.targets);
    let permit = permit(&guard(""), Work::Ask(asked), &Standing::Bare).unwrap();
    let [Record::Reach(reach)] = permit.excluded.as_slice() else {
        panic!("{permit:?}")
    };
    assert_eq!(
        reach.signal,
        Signal::NotTried {
            why: NotTried::Unsupported
        }
    );
}

#[test]
fn the_coordinators_own_vantage_opens_no_ports() {
    let guard = Guard::new(
        Policy::default(),
        Own {
            node: NodeId::Coordinator,
            ..own()
        },
    );
    assert_eq!(
        permit(&guard, arm(Protocol::Tcp, "22"), &Standing::Bare),
        Err(Refused::Vantage)
    );
}

#[test]
fn captures_may_be_forbidden() {
    assert_eq!(
        permit(&guard("capture: false"), Work::Look(Vec::new()), &Standing::Bare),
        Err(Refused::Capture)
    );
}

#[test]
fn a_policy_that_is_not_understood_is_refused_with_its_line() {
    for (text, word) in [
        ("", "empty"),
        ("networks: [10.0.0.0/33]", "line 1"),
        ("max_rate: 10\nmax_raet: 5", "max_raet"),
        ("max_rate: 10\nports: 5-3", "line 2"),
        ("max_rate: 0", "max_rate is 0"),
        ("max_lease_s: 0", "max_lease_s is 0"),
        ("max_rate: 1\nmax_rate: 2", "max_rate"),
        ("- networks", "line 1"),
    ] {
        let message = Policy::parse(text).unwrap_err();
        assert!(message.contains(word), "{text:?}: {message}");
    }
}

#[test]
fn a_policy_narrows_and_never_widens() {
    let policy = Policy::parse("max_lease_s: 4000000000\nmax_duration_s: 4000000000").unwrap();
    assert_eq!(policy, Policy::default());
}

#[test]
fn services_of_the_peers_are_kept_apart_from_responders_of_ours() {
    // Port 22 is named both ways by a coordinator that errs: as a service it is spared.
    let mut both = ask(&["10.0.0.3"], "22,6443");
    both.live_services = ask(&["10.0.0.3"], "22").targets;
    let permit = permit(&guard(""), Work::Ask(both), &Standing::Bare).unwrap();
    let key = endpoint("10.0.0.3");
    assert_eq!(asked(&permit).targets, BTreeMap::from([(key, ports("6443"))]));
    assert_eq!(asked(&permit).live_services, BTreeMap::from([(key, ports("22"))]));
}
