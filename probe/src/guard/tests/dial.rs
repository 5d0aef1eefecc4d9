//! Strangers.

use plumbline_model::{
    errand::{
        Anchors, Depth, DialErrand, DialTarget, PeerTarget, ProxyServer, Question, RecordType, Site, Via,
    },
    observation::UndoneWhy,
};

use super::*;

fn site(host: &str, via: Via) -> DialTarget {
    DialTarget::Site(Site {
        host: host.to_owned(),
        port: 443,
        via,
        anchors: Anchors::Public,
    })
}

fn question(server: &str) -> DialTarget {
    DialTarget::Question(Question {
        server: Some(server.parse().unwrap()),
        name: "mirror.example".to_owned(),
        record: RecordType::A,
    })
}

fn peer(address: &str) -> DialTarget {
    DialTarget::Peer(PeerTarget {
        address: address.parse().unwrap(),
        local_as: 65_001,
        peer_as: 65_000,
        depth: Depth::Open,
    })
}

/// What of some targets may be asked.
fn left(policy: &str, targets: &[DialTarget], standing: &Standing) -> Result<Vec<DialTarget>, UndoneWhy> {
    let errand = Errand::Dial(DialErrand {
        targets: targets.to_vec(),
        proxy: Some(ProxyServer {
            host: "10.9.0.9".to_owned(),
            port: 3128,
            login: None,
        }),
        roots: Vec::new(),
    });
    match guard(policy).permit_errand(errand, &everybody(), standing)? {
        Errand::Dial(errand) => Ok(errand.targets),
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_no_host_can_be_is_not_asked() {
    let plain = [site("a.example", Via::Direct), question("10.9.0.53")];
    let none = [
        site("127.0.0.1", Via::Direct),
        site("169.254.169.254", Via::Direct),
        question("127.0.0.53"),
        peer("224.0.0.5"),
    ];
    let all = [plain.as_slice(), &none].concat();
    assert_eq!(left("", &all, &Standing::Bare).unwrap(), plain);
    assert_eq!(left("", &none, &Standing::Bare), Err(UndoneWhy::Policy));
}

#[test]
fn a_policy_with_networks_keeps_strangers_out_unless_it_says_otherwise() {
    let targets = [
        site("a.example", Via::Direct),
        question("10.9.0.53"),
        question("10.8.0.53"),
    ];
    let networks = "networks: [10.9.0.0/16]";
    assert_eq!(left(networks, &targets, &Standing::Bare), Err(UndoneWhy::Policy));
    assert_eq!(
        left("dial: false", &targets, &Standing::Bare),
        Err(UndoneWhy::Policy)
    );
    let with = format!("{networks}\ndial: true");
    assert_eq!(left(&with, &targets, &Standing::Bare).unwrap(), targets[..2]);
}

#[test]
fn a_policy_with_ports_holds_for_the_proxy_too() {
    let targets = [site("a.example", Via::Direct), site("b.example", Via::Proxy)];
    assert_eq!(
        left("ports: 443", &targets, &Standing::Bare).unwrap(),
        targets[..1]
    );
    assert_eq!(
        left("ports: 3128", &targets, &Standing::Bare),
        Err(UndoneWhy::Policy),
        "the site's port counts, too"
    );
    assert_eq!(
        left("ports: 443,3128", &targets, &Standing::Bare).unwrap(),
        targets
    );
}

#[test]
fn a_proxy_outside_the_networks_is_not_asked_and_none_leads_outside_them() {
    let inside = [site("b.example", Via::Proxy), site("10.9.0.1", Via::Proxy)];
    let outside = [site("10.8.0.1", Via::Proxy), site("169.254.169.254", Via::Proxy)];
    let all = [inside.as_slice(), &outside].concat();
    let with = "networks: [10.9.0.0/24]\ndial: true";
    assert_eq!(left(with, &all, &Standing::Bare).unwrap(), inside);
    let elsewhere = "networks: [10.7.0.0/16]\ndial: true";
    assert_eq!(left(elsewhere, &all, &Standing::Bare), Err(UndoneWhy::Policy));
}

#[test]
fn what_a_name_leads_to_is_held_to_the_policy_as_an_address_is() {
    let allows = |policy: &str, to: &str| {
        let policy = if policy.is_empty() {
            Policy::default()
        } else {
            Policy::parse(policy).unwrap()
        };
        policy.allows(to.parse().unwrap(), false)
    };
    assert!(allows("", "10.9.0.1:443"));
    assert!(!allows("", "127.0.0.1:443") && !allows("", "169.254.169.254:443"));
    let networks = "networks: [10.9.0.0/16]\ndial: true";
    assert!(allows(networks, "10.9.0.1:443"));
    assert!(!allows(networks, "10.8.0.1:443"));
    assert!(!allows("ports: 22", "10.9.0.1:443"));
}

#[test]
fn no_live_node_connects_to_a_router_and_a_policy_keeps_others_from_saying_anything() {
    let live = Standing::Live { listeners: None };
    let router = peer("10.9.0.1");
    assert_eq!(
        left("", std::slice::from_ref(&router), &live),
        Err(UndoneWhy::Live)
    );
    let both = [question("10.9.0.53"), router.clone()];
    assert_eq!(left("", &both, &live).unwrap(), both[..1]);
    let targets = left("active: false", &[router], &Standing::Bare).unwrap();
    assert!(
        matches!(&targets[..], [DialTarget::Peer(peer)] if peer.depth == Depth::Connect),
        "{targets:?}"
    );
}

#[test]
fn no_more_than_sixteen_routers_are_left_whatever_else_is_asked_for() {
    let mut targets: Vec<DialTarget> = (1..=40).map(|last| peer(&format!("10.9.0.{last}"))).collect();
    targets.insert(0, peer("224.0.0.5"));
    targets.push(question("10.9.0.53"));
    let allowed = left("", &targets, &Standing::Bare).unwrap();
    let expected: Vec<DialTarget> = [&targets[1..=16], &targets[41..]].concat();
    assert_eq!(allowed, expected);
}
