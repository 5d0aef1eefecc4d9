//! The packet filter and the capture against the kernel: rules are written over netlink, read back as a probe reads them, and
//! what the model says of a packet is compared with what a connection meets.
//!
//! One process, since it must be single-threaded when it enters its namespaces; a machine that cannot hold a lab runs none of
//! it, says so, and fails if `PLUMBLINE_REQUIRE_LAB=1`.

#![expect(
    clippy::print_stdout,
    reason = "the results of a test binary without a harness"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test, which clippy cannot know without a harness"
)]

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Duration,
};

use plumbline_lab::{Entered, Lab, Stack, Topology};
use plumbline_model::{
    firewall::{Judgement, Packet, Ruleset},
    id::NodeId,
    observation::{End, Record},
    port::Family,
};
use plumbline_probe::{
    facts,
    runner::look::{self, Watched},
};
use plumbline_sys::{
    netlink::{Protocol, Socket},
    nft::{self, Action, Batch, Hook, Match, NewRule, Policy, Transport},
};

type Test = (&'static str, fn(&Lab));

const TESTS: &[Test] = &[
    (
        "rules_act_as_the_model_says_and_vanish_with_their_table",
        rules_act_as_the_model_says,
    ),
    (
        "a_drop_at_the_destination_is_seen_to_arrive",
        a_drop_at_the_destination_is_seen_to_arrive,
    ),
    (
        "a_drop_at_the_source_is_seen_never_to_leave",
        a_drop_at_the_source_is_seen_never_to_leave,
    ),
    ("a_refused_batch_changes_nothing", a_refused_batch_changes_nothing),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let tests: Vec<&Test> = TESTS.iter().filter(|(name, _)| wanted(name)).collect();
    println!("\nrunning {} tests", tests.len());
    let entered = plumbline_lab::capabilities()
        .map_err(|why| why.to_string())
        .and_then(|()| plumbline_lab::enter().map_err(|error| error.to_string()));
    let entered: Entered = match entered {
        Ok(entered) => entered,
        Err(why) => return cannot(&tests, &why),
    };
    let failed = tests
        .iter()
        .filter(|(name, test)| !passes(&entered, name, *test))
        .count();
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let passed = tests.len() - failed;
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n"
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn passes(entered: &Entered, name: &str, test: fn(&Lab)) -> bool {
    let hosts = [ASKING, ASKED].map(|host| host.parse().unwrap());
    let topology = Topology::from_addresses(&hosts, &[], Stack::Single).unwrap();
    let lab = Lab::up(entered, topology).unwrap_or_else(|error| panic!("{error}"));
    let passed = catch_unwind(AssertUnwindSafe(|| test(&lab))).is_ok();
    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    passed
}

/// Names and counts what cannot run here; with PLUMBLINE_REQUIRE_LAB=1 that is a failure.
fn cannot(tests: &[&Test], why: &str) -> ExitCode {
    for (name, _) in tests {
        println!("test {name} ... ignored, {why}");
    }
    let required = std::env::var_os("PLUMBLINE_REQUIRE_LAB").is_some_and(|value| value == "1");
    let (word, failed, ignored) = if required {
        ("FAILED", tests.len(), 0)
    } else {
        ("ok", 0, tests.len())
    };
    println!(
        "\ntest result: {word}. 0 passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out\n"
    );
    if required {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn rules_act_as_the_model_says(lab: &Lab) {
    let device = device(lab);
    let tcp = |first, last| Match::DestinationPorts(Transport::Tcp, first, last);
    let prefix = |text: &str, length| Match::Source(text.parse().unwrap(), length);
    change(lab, ASKED, |batch| {
        base_chain(batch, "input", Hook::Input);
        let rules = [
            (vec![tcp(7000, 7000)], Action::Drop),
            (vec![tcp(7001, 7003), prefix(ASKING, 32)], Action::RejectTcpReset),
            (vec![tcp(7004, 7004)], Action::RejectIcmp { code: 13 }),
            (vec![tcp(7005, 7005), prefix("10.91.0.0", 28)], Action::Drop),
            (
                vec![tcp(7006, 7006), Match::InInterface(device.clone())],
                Action::Drop,
            ),
            (
                vec![tcp(7007, 7007), Match::InInterface("elsewhere".to_owned())],
                Action::Drop,
            ),
            (
                vec![tcp(7008, 7008), Match::Destination(address(ASKING), 32)],
                Action::Drop,
            ),
            (vec![tcp(7009, 7009)], Action::Accept),
            (vec![tcp(7009, 7009)], Action::Drop),
            (
                vec![Match::DestinationPorts(Transport::Udp, 7010, 7010)],
                Action::Drop,
            ),
            (vec![tcp(7011, 7011), prefix("10.92.0.0", 16)], Action::Drop),
        ];
        for (matches, action) in rules {
            batch.append_rule(nft::Family::Inet, TABLE, "input", &NewRule { matches, action });
        }
    });
    let ruleset = ruleset(lab, ASKED);
    for port in 7000..7013 {
        let question = Packet::incoming_syn(&device, address(ASKING), address(ASKED), port);
        let said = ruleset.evaluate(&question);
        assert_eq!(met(lab, port), expected(&said), "port {port}: {said:?}");
    }
    change(lab, ASKED, |batch| {
        batch.delete_table(nft::Family::Inet, TABLE);
    });
    assert_eq!(self::ruleset(lab, ASKED).tables, []);
    assert_eq!(met(lab, 7000), Met::Connected);
}

fn a_drop_at_the_destination_is_seen_to_arrive(lab: &Lab) {
    change(lab, ASKED, |batch| {
        base_chain(batch, "input", Hook::Input);
        let matches = vec![Match::DestinationPorts(Transport::Tcp, 7000, 7000)];
        batch.append_rule(
            nft::Family::Inet,
            TABLE,
            "input",
            &NewRule {
                matches,
                action: Action::Drop,
            },
        );
    });
    let seen = seen_while(lab, || {
        assert_eq!(met(lab, 7000), Met::Silence);
        assert_eq!(met(lab, 7001), Met::Connected);
        assert_eq!(connect(lab, 7002), Met::Refused);
    });
    let at = |end, port| {
        seen.iter()
            .find(|seen| seen.0 == end && seen.1 == port)
            .map(|seen| seen.2)
    };
    let asked = |questions, answers, resets| Some([questions, answers, resets].map(|some| some > 0));
    for end in [End::Source, End::Destination] {
        assert_eq!(at(end, 7000), asked(1, 0, 0), "{end:?}");
        assert_eq!(at(end, 7001), asked(1, 1, 0), "{end:?}");
        assert_eq!(at(end, 7002), asked(1, 0, 1), "{end:?}");
        assert_eq!(at(end, 7003), asked(0, 0, 0), "{end:?}");
    }
}

fn a_drop_at_the_source_is_seen_never_to_leave(lab: &Lab) {
    change(lab, ASKING, |batch| {
        base_chain(batch, "output", Hook::Output);
        let matches = vec![Match::DestinationPorts(Transport::Tcp, 7000, 7000)];
        batch.append_rule(
            nft::Family::Inet,
            TABLE,
            "output",
            &NewRule {
                matches,
                action: Action::Drop,
            },
        );
    });
    let seen = seen_while(lab, || assert_eq!(met(lab, 7000), Met::Silence));
    assert!(seen.iter().all(|(_, _, parts)| *parts == [false; 3]), "{seen:?}");
    let question = Packet::outgoing_syn(&device(lab), address(ASKING), address(ASKED), 7000);
    assert!(ruleset(lab, ASKING).evaluate(&question).stopped_at().is_some());
}

fn a_refused_batch_changes_nothing(lab: &Lab) {
    let refused = lab
        .in_host(node(ASKED), || {
            let mut batch = Batch::new();
            base_chain(&mut batch, "input", Hook::Input);
            batch.delete_table(nft::Family::Inet, "absent");
            batch.commit(&mut Socket::open(Protocol::Netfilter).unwrap())
        })
        .unwrap();
    assert!(
        matches!(refused, Err(nft::WriteError::Refused { change: 2, .. })),
        "{refused:?}"
    );
    assert_eq!(ruleset(lab, ASKED).tables, []);
}

/// What a connection met.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    Connected,
    Refused,
    Unreachable,
    Silence,
}

fn expected(said: &Judgement) -> Met {
    match said {
        Judgement::Rejects {
            kind: plumbline_model::firewall::RejectKind::TcpReset,
            ..
        } => Met::Refused,
        Judgement::Rejects { .. } => Met::Unreachable,
        Judgement::Drops { .. } => Met::Silence,
        Judgement::Accepts => Met::Connected,
        // Without the right to list the legacy iptables nothing is surely accepted; no other doubt is in these rules.
        Judgement::Unknown { place: None, why } if why.contains("legacy") => Met::Connected,
        Judgement::Unknown { .. } => panic!("{said:?}"),
    }
}

/// What a connection to a port meets while something listens there.
fn met(lab: &Lab, port: u16) -> Met {
    let listener = lab
        .in_host(node(ASKED), || TcpListener::bind((address(ASKED), port)).unwrap())
        .unwrap();
    let met = connect(lab, port);
    if met == Met::Connected {
        // A connection that nobody accepted would be reset when its listener closes.
        listener.accept().unwrap();
    }
    met
}

fn connect(lab: &Lab, port: u16) -> Met {
    let target = SocketAddr::new(address(ASKED), port);
    match lab
        .in_host(node(ASKING), || TcpStream::connect_timeout(&target, SILENCE))
        .unwrap()
    {
        Ok(_) => Met::Connected,
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused => Met::Refused,
            ErrorKind::HostUnreachable => Met::Unreachable,
            ErrorKind::TimedOut => Met::Silence,
            _ => panic!("{error}"),
        },
    }
}

/// End, port, and whether questions, answers and resets were seen, while something is done.
fn seen_while(lab: &Lab, work: impl FnOnce()) -> Vec<(End, u16, [bool; 3])> {
    let start = |host: &str, peer: &str, end| {
        let watch = Watched {
            peer: node(peer),
            addresses: vec![address(peer)],
            end,
            family: Family::Ipv4,
            protocol: plumbline_model::port::Protocol::Tcp,
            ports: "7000-7003".parse().unwrap(),
        };
        lab.in_host(node(host), || look::start(vec![watch]).unwrap())
            .unwrap()
    };
    let looks = [
        start(ASKING, ASKED, End::Source),
        start(ASKED, ASKING, End::Destination),
    ];
    work();
    looks
        .into_iter()
        .flat_map(look::Look::finish)
        .flat_map(|record| match record {
            Record::Seen(seen) => {
                let parts = [seen.questions, seen.answers, seen.resets].map(|count| count > 0);
                seen.ports
                    .iter()
                    .map(|port| (seen.end, port, parts))
                    .collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

fn change(lab: &Lab, host: &str, fill: impl FnOnce(&mut Batch) + Send) {
    lab.in_host(node(host), || {
        let mut batch = Batch::new();
        fill(&mut batch);
        batch
            .commit(&mut Socket::open(Protocol::Netfilter).unwrap())
            .unwrap();
    })
    .unwrap();
}

fn base_chain(batch: &mut Batch, chain: &str, hook: Hook) {
    let family = nft::Family::Inet;
    batch
        .create_table(family, TABLE)
        .create_base_chain(family, TABLE, chain, hook, 0, Policy::Accept);
}

fn ruleset(lab: &Lab, host: &str) -> Ruleset {
    let facts = lab.in_host(node(host), facts::gather).unwrap();
    facts
        .ruleset
        .unwrap_or_else(|| panic!("{:?}", facts.ruleset_unread))
}

/// The interface of the asked host's address; both hosts call it alike.
fn device(lab: &Lab) -> String {
    let facts = lab.in_host(node(ASKED), facts::gather).unwrap();
    let own = |text: &String| text.split('/').next() == Some(ASKED);
    facts
        .interfaces
        .into_iter()
        .find(|interface| interface.addresses.iter().any(own))
        .unwrap()
        .name
}

fn node(text: &str) -> NodeId {
    text.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const ASKING: &str = "10.91.0.11";
const ASKED: &str = "10.91.0.12";
const TABLE: &str = "packet_filter_test";
/// Ten times what a handshake takes in a lab whose processors are busy, and shorter than the second attempt of the kernel.
const SILENCE: Duration = Duration::from_millis(500);
