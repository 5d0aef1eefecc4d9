//! Rules about sizes over paths as probes tell of them: four nodes in two subnets, 10.0.0.1 and .2, 10.0.1.1 and .2, of which
//! everybody measures the way to everybody.

mod tunnel;
mod unmeasured;

use std::{collections::BTreeMap, net::IpAddr};

use super::*;
use crate::{
    assumption::{
        Complaint, Opinion, Ruling, Scene,
        paths::stage::{ALL, everybody_tells},
    },
    cause::CauseKind,
    errand::{Errand, PathTarget},
    evidence::Group,
    id::NodeId,
    ledger::Ledger,
    observation::{FlowsSeen, PathMethod, PathSeen, Record, SizeSeen, TooBig},
    port::Family,
    profile,
    report::stage::{CP, LB, Stage, W1, W2, node},
};

const NEAR: [&str; 2] = [CP, LB];
const ROUTER: &str = "10.0.0.254";

/// What became of six packets of a size.
fn size(octets: u32, passes: bool) -> SizeSeen {
    SizeSeen {
        octets,
        sent: 6,
        answered: if passes { 6 } else { 0 },
        lost_alone: if passes { 0 } else { 6 },
        lost_both: 0,
        refused: None,
        told: None,
    }
}

/// A path that carries its interface's packets.
fn whole(dst: &str) -> PathSeen {
    let mut seen = PathSeen::not_measured(node(dst), Family::Ipv4, PathMethod::Stamp { port: 6081 });
    seen.mtu = Some(1500);
    seen.sizes = vec![size(1500, true)];
    seen
}

/// One that carries so much, with the word of a router or without.
fn limited(dst: &str, octets: u32, told: bool) -> PathSeen {
    let mut seen = whole(dst);
    seen.sizes = vec![size(octets, true), size(octets + 1, false), size(1500, false)];
    if told {
        let by = ROUTER.parse::<IpAddr>().ok();
        seen.told = vec![TooBig { mtu: octets, by }];
        seen.sizes[2].lost_alone = 1;
        seen.sizes[2].sent = 1;
        seen.sizes.remove(1);
    }
    seen
}

fn stage(seen: impl Fn(&str, &str) -> PathSeen) -> Stage {
    everybody_tells(&[Group::Reach, Group::Host], seen)
}

/// The MTU of a node's interface.
fn with_mtu(stage: Stage, on: &'static str, mtu: u32) -> Stage {
    stage.knows(on, move |facts| facts.interfaces[0].mtu = mtu)
}

fn judged(stage: &Stage, judge: fn(&Scene<'_>) -> Vec<Ruling>) -> Vec<Ruling> {
    let entries = stage.entries();
    let ledger = Ledger::replay(&entries).unwrap();
    let texts = profile::texts_for(&stage.inventory, Vec::new()).unwrap();
    judge(&Scene {
        inventory: &stage.inventory,
        profiles: &profile::all(&texts, None).unwrap(),
        plan: &stage.plan,
        ledger: &ledger,
        pairs: &[],
        configured: &[],
    })
}

/// How many rulings are of each kind, in letters.
fn said(rulings: &[Ruling]) -> BTreeMap<char, usize> {
    let mut said = BTreeMap::new();
    for ruling in rulings {
        let letter = match ruling.opinion {
            Opinion::Pass => 'p',
            Opinion::Warn(_) => 'w',
            Opinion::Fail(_) => 'f',
            Opinion::NotMeasured(_) => '-',
        };
        *said.entry(letter).or_default() += 1;
    }
    said
}

fn complaints(rulings: Vec<Ruling>) -> Vec<Complaint> {
    let complaint = |ruling: Ruling| match ruling.opinion {
        Opinion::Warn(complaint) | Opinion::Fail(complaint) => Some(complaint),
        Opinion::Pass | Opinion::NotMeasured(_) => None,
    };
    rulings.into_iter().filter_map(complaint).collect()
}

fn only(rulings: Vec<Ruling>) -> Complaint {
    let mut complaints = complaints(rulings);
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    complaints.remove(0)
}

fn crosses(src: &str, dst: &str) -> bool {
    NEAR.contains(&src) != NEAR.contains(&dst)
}

const JUDGES: [fn(&Scene<'_>) -> Vec<Ruling>; 6] = [
    interfaces::judge,
    path::judge,
    overlay::judge,
    told::judge,
    flows::judge,
    fragments::judge,
];

#[test]
fn paths_that_carry_what_interfaces_do_are_as_they_should_be() {
    let stage = stage(|_, dst| whole(dst));
    for judge in JUDGES {
        let rulings = judged(&stage, judge);
        assert!(said(&rulings).keys().all(|letter| *letter == 'p'), "{rulings:?}");
    }
}

#[test]
fn a_router_that_says_what_it_takes_is_one_honest_limit_that_is_too_small_for_the_overlay() {
    let stage = stage(|src, dst| match crosses(src, dst) {
        true => limited(dst, 1400, true),
        false => whole(dst),
    });
    let rulings = judged(&stage, path::judge);
    assert_eq!(said(&rulings)[&'w'], 1);
    let honest = only(rulings);
    assert_eq!(honest.cause.kind, CauseKind::MtuTooSmall);
    assert!(honest.cause.detail.contains(ROUTER), "{}", honest.cause.detail);
    let rulings = judged(&stage, overlay::judge);
    assert_eq!(said(&rulings)[&'f'], 1);
    assert_eq!(only(rulings).cause, honest.cause, "one cause in the same words");
    assert_eq!(said(&judged(&stage, told::judge)), BTreeMap::from([('p', 1)]));
}

#[test]
fn silence_about_large_packets_is_a_black_hole_between_the_two_sides() {
    let stage = stage(|src, dst| match crosses(src, dst) && !NEAR.contains(&src) {
        true => limited(dst, 1400, false),
        false => whole(dst),
    });
    let told = only(judged(&stage, path::judge));
    assert_eq!(told.cause.kind, CauseKind::PmtudBlackHole);
    let sides = [W1, W2, CP, LB].map(node);
    assert_eq!(
        told.cause.between,
        Some([sides[..2].to_vec(), sides[2..].to_vec()])
    );
    for judge in [overlay::judge, told::judge] {
        assert_eq!(only(judged(&stage, judge)).cause, told.cause);
    }
}

#[test]
fn large_echo_requests_that_a_live_node_leaves_unanswered_may_be_filtered_and_warn_of_no_direction() {
    let seen = |told: bool| {
        stage(move |src, dst| match (src, dst) {
            (CP, W1) => PathSeen {
                by: PathMethod::Echo,
                ..limited(dst, 1400, told)
            },
            _ => whole(dst),
        })
    };
    assert!(said(&judged(&seen(false), path::judge)).contains_key(&'f'));
    let stage = seen(false).live(W1);
    for judge in [path::judge, overlay::judge, told::judge] {
        assert_eq!(said(&judged(&stage, judge)).get(&'f'), None);
        let detail = only(judged(&stage, judge)).cause.detail;
        let names_both = detail.contains("echo requests above 1400 octets between 10.0.0.1 (")
            && detail.contains(" and 10.0.1.1 (");
        assert!(names_both, "{detail}");
    }
    let honest = only(judged(&seen(true).live(W1), path::judge));
    assert_eq!(honest.cause.kind, CauseKind::MtuTooSmall);
}

#[test]
fn loss_that_takes_small_packets_too_is_no_limit() {
    let stage = stage(|_, dst| {
        let mut seen = limited(dst, 1400, false);
        for size in seen.sizes.iter_mut().filter(|size| size.answered == 0) {
            (size.lost_alone, size.lost_both) = (3, 3);
        }
        seen
    });
    for judge in [path::judge, overlay::judge, told::judge] {
        assert_eq!(complaints(judged(&stage, judge)).len(), 0);
    }
}

#[test]
fn few_packets_that_were_lost_alone_are_no_limit_yet() {
    let stage = stage(|_, dst| {
        let mut seen = limited(dst, 1400, false);
        for size in &mut seen.sizes[1..] {
            (size.sent, size.lost_alone) = (5, 5);
        }
        seen
    });
    assert_eq!(complaints(judged(&stage, path::judge)).len(), 0);
}

#[test]
fn a_path_on_which_nothing_answers_is_neither_good_nor_bad() {
    let stage = stage(|src, dst| match (src, dst) {
        (CP, W1) => PathSeen::not_measured(node(W1), Family::Ipv4, PathMethod::Nothing),
        _ => whole(dst),
    });
    assert_eq!(
        said(&judged(&stage, path::judge)),
        BTreeMap::from([('p', 4), ('-', 1)])
    );
}

#[test]
fn one_interface_that_differs_is_one_cause_at_its_node_whichever_way_it_differs() {
    for mtu in [1400, 9000] {
        let own = |name: &str| if name == W1 { mtu } else { 1500 };
        let stage = stage(|src, dst| {
            let (own, far) = (own(src), own(dst));
            let mut seen = whole(dst);
            seen.mtu = Some(own);
            seen.sizes = match own > far {
                true => vec![size(far, true), size(far + 1, false), size(own, false)],
                false => vec![size(own, true)],
            };
            seen
        });
        let stage = with_mtu(stage, W1, mtu);
        let told = only(judged(&stage, interfaces::judge));
        assert_eq!(
            (told.cause.kind, told.cause.node),
            (CauseKind::MtuMismatch, Some(node(W1)))
        );
        assert_eq!(only(judged(&stage, overlay::judge)).cause, told.cause);
        assert_eq!(
            complaints(judged(&stage, path::judge)).len(),
            0,
            "both ends are as they say"
        );
    }
}

#[test]
fn a_subnet_of_another_mtu_is_said_to_lose_packets_only_if_it_was_seen_to() {
    let jumbo = |told: bool| {
        let stage = stage(move |src, dst| match crosses(src, dst) && !NEAR.contains(&src) {
            true => limited(dst, 1500, told),
            false => whole(dst),
        });
        let stage = [W1, W2]
            .into_iter()
            .fold(stage, |stage, on| with_mtu(stage, on, 9000));
        only(judged(&stage, interfaces::judge)).cause.detail
    };
    let (honest, silent) = (jumbo(true), jumbo(false));
    assert!(honest.contains("they are in other subnets"), "{honest}");
    assert!(silent.contains("is lost"), "{silent}");
}

#[test]
fn an_interface_that_leaves_pods_too_little_fails_and_is_told_once() {
    let odd = with_mtu(Stage::new(), W2, 1300);
    let rulings = judged(&odd, interfaces::judge);
    assert_eq!(said(&rulings)[&'f'], 1);
    assert_eq!(only(rulings).cause.kind, CauseKind::MtuMismatch);
    let all = |mtu| {
        ALL.into_iter()
            .fold(Stage::new(), |stage, on| with_mtu(stage, on, mtu))
    };
    let told = only(judged(&all(1329), interfaces::judge));
    assert_eq!(told.cause.kind, CauseKind::MtuTooSmall);
    assert!(told.cause.detail.contains("GENEVE"), "{}", told.cause.detail);
    assert_eq!(complaints(judged(&all(1330), interfaces::judge)).len(), 0);
}

#[test]
fn pods_that_are_set_to_get_more_than_interfaces_have_left_fail() {
    let fits = |pods: u32, change: fn(&mut Stage)| {
        let mut stage = stage(|_, dst| whole(dst));
        stage.inventory.pod_mtu = Some(pods);
        change(&mut stage);
        let mut complaints = complaints(judged(&stage, overlay::judge));
        assert!(complaints.len() < 2);
        complaints.pop()
    };
    let nothing: fn(&mut Stage) = |_| {};
    let dsr: fn(&mut Stage) = |stage| stage.inventory.direct_server_return = true;
    assert!(fits(1450, nothing).is_none());
    let told = fits(1451, nothing).unwrap();
    assert_eq!(told.cause.kind, CauseKind::MtuTooSmall);
    assert!(told.cause.detail.contains("1501"), "{}", told.cause.detail);
    assert!(fits(1438, dsr).is_none());
    let told = fits(1439, dsr).unwrap();
    assert!(told.cause.detail.contains("DSR"), "{}", told.cause.detail);
    let flat: fn(&mut Stage) = |stage| stage.inventory.flat = true;
    assert!(fits(1500, flat).is_none(), "pods without a tunnel");
}

#[test]
fn a_limit_that_leaves_room_for_what_pods_are_set_to_get_is_no_matter_of_the_overlay() {
    let mut stage = stage(|src, dst| match crosses(src, dst) {
        true => limited(dst, 1400, true),
        false => whole(dst),
    });
    stage.inventory.pod_mtu = Some(1350);
    assert_eq!(complaints(judged(&stage, overlay::judge)).len(), 0);
    assert_eq!(complaints(judged(&stage, path::judge)).len(), 1);
    stage.inventory.pod_mtu = Some(1351);
    assert_eq!(complaints(judged(&stage, overlay::judge)).len(), 1);
}

#[test]
fn fragments_that_stay_away_warn_and_fail_with_direct_server_return() {
    let mut stage = stage(|src, dst| {
        let mut seen = whole(dst);
        seen.fragments = Some(size(3028, !crosses(src, dst)));
        seen
    });
    let rulings = judged(&stage, fragments::judge);
    assert_eq!(said(&rulings)[&'w'], 1);
    assert_eq!(only(rulings).cause.kind, CauseKind::PathFilter);
    stage.inventory.direct_server_return = true;
    assert_eq!(said(&judged(&stage, fragments::judge))[&'f'], 1);
}

#[test]
fn large_datagrams_that_are_lost_again_from_some_source_ports_fail_and_chance_does_not() {
    let flows = |again_answered, beside_answered| FlowsSeen {
        octets: 1500,
        flows: 16,
        sent: 200,
        answered: 175,
        again_sent: 20,
        again_answered,
        beside_sent: 20,
        beside_answered,
    };
    let lossy = |seen: FlowsSeen| {
        let stage = stage(|src, dst| {
            let mut path = whole(dst);
            path.flows = Some(if crosses(src, dst) { seen } else { flows(20, 20) });
            path
        });
        complaints(judged(&stage, flows::judge)).len()
    };
    assert_eq!(lossy(flows(0, 20)), 1);
    assert_eq!(lossy(flows(10, 20)), 1);
    assert_eq!(lossy(flows(15, 20)), 0, "five of twenty");
    assert_eq!(lossy(flows(10, 12)), 0, "small ones are lost as well");
}

#[test]
fn what_no_probe_told_of_is_a_row_for_its_node() {
    let mut stage = stage(|_, dst| whole(dst));
    let missing = PathTarget {
        node: NodeId::Address("10.0.9.9".parse().unwrap()),
        family: Family::Ipv4,
        ports: Vec::new(),
    };
    if let Some(Errand::Path(errand)) = stage
        .plan
        .errands
        .get_mut(&node(CP))
        .and_then(|own| own.last_mut())
    {
        errand.paths.push(missing);
    }
    assert_eq!(said(&judged(&stage, path::judge))[&'-'], 1);
}

#[test]
fn what_is_set_and_seen_of_sizes_goes_where_ssh_goes() {
    let odd = with_mtu(stage(|_, dst| whole(dst)), W1, 9000).with_ssh_elsewhere();
    assert_eq!(
        only(judged(&odd, interfaces::judge)).fix.commands,
        ["ssh -p 2222 172.31.1.1 ip link set dev eth0 mtu 1500"]
    );
    let small = ALL
        .iter()
        .fold(stage(|_, dst| whole(dst)), |stage, on| with_mtu(stage, on, 1200));
    let fix = only(judged(&small.with_ssh_elsewhere(), interfaces::judge)).fix;
    assert_eq!(
        fix.commands[3],
        "ssh -p 2222 172.31.1.2 ip link set dev eth0 mtu 1500"
    );
    let narrow = stage(|src, dst| match crosses(src, dst) {
        true => limited(dst, 1400, true),
        false => whole(dst),
    });
    let fix = only(judged(&narrow.with_ssh_elsewhere(), path::judge)).fix;
    assert_eq!(
        fix.commands,
        [
            "ssh -p 2222 172.31.0.1 ping -M do -c 3 -s 1472 10.0.1.1",
            "ssh -p 2222 172.31.0.1 tracepath -n 10.0.1.1"
        ]
    );
}
