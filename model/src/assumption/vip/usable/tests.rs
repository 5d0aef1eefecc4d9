//! Which faults explain who did not reach a VIP: nodes 1 to 3 take it in turn, 11 is on its link, 21 and 22 behind a router.

use super::*;
use crate::{
    assumption::{Opinion, vip::turn::Stay},
    observation::{Comparison, Reached, Stretch},
    report::stage::{self, CP, LB, Stage, W1},
};

const HOLDERS: [u8; 3] = [1, 2, 3];
const CALLERS: [u8; 6] = [1, 2, 3, 11, 21, 22];

fn node(last: u8) -> NodeId {
    NodeId::Address([10, 0, 0, last].into())
}

fn nodes(last: &[u8]) -> Vec<NodeId> {
    last.iter().copied().map(node).collect()
}

fn mac(holder: u8) -> String {
    format!("02:00:00:00:00:{holder:02x}")
}

/// What a caller met at a holder.
#[derive(Clone, Copy, PartialEq)]
enum Met {
    Answer,
    LateAnswer,
    /// The holder's own address answered.
    Silence,
    /// Nothing answered.
    Nothing,
}

/// A world in which this is what callers meet at holders, and this the link address to which they look in silence.
struct World {
    kept: Vec<Kept>,
    reached: BTreeMap<NodeId, Reached>,
}

fn world(met: impl Fn(u8, u8) -> Met, looks_at: impl Fn(u8) -> Option<u8>) -> World {
    let kept = HOLDERS.map(|holder| {
        let callers = CALLERS.iter().filter(|caller| **caller != holder);
        let heard = callers.filter_map(|caller| {
            let first_ms = match met(*caller, holder) {
                Met::Answer => 10,
                Met::LateAnswer => 9_000,
                Met::Silence | Met::Nothing => return None,
            };
            Some(CallerHeard {
                node: node(*caller),
                times: 5,
                first_ms,
            })
        });
        Kept {
            mac: mac(holder),
            callers: heard.collect(),
            ..Kept::default()
        }
    });
    let reached = CALLERS.map(|caller| {
        let silent = HOLDERS
            .iter()
            .any(|holder| *holder != caller && met(caller, *holder) == Met::Silence);
        let stretch = Stretch {
            from_ms: 0,
            until_ms: 10_000,
            asks: 30,
            answer: Answer::Silence,
            mac: looks_at(caller).map(mac),
        };
        let comparisons = HOLDERS.iter().map(|holder| Comparison {
            holder: node(*holder),
            asked: 3,
            answered: u32::from(met(caller, *holder) != Met::Nothing),
        });
        let seen = Reached {
            stretches: if silent { vec![stretch] } else { Vec::new() },
            comparisons: comparisons.collect(),
            ..Reached::default()
        };
        (node(caller), seen)
    });
    World {
        kept: kept.into(),
        reached: reached.into(),
    }
}

impl World {
    fn faults(&self) -> Vec<Fault> {
        let stays = HOLDERS.iter().zip(&self.kept).map(|(holder, kept)| Stay {
            holder: node(*holder),
            outcome: Outcome::Kept(Told { what: kept, line: 1 }),
        });
        let reached = self
            .reached
            .iter()
            .map(|(caller, seen)| (*caller, Told { what: seen, line: 2 }));
        let turn = Turn {
            vip: [10, 0, 0, 100].into(),
            port: 443,
            stays: stays.collect(),
            reached: reached.collect(),
        };
        faults_of(&turn, &|caller| caller != node(21) && caller != node(22))
    }
}

#[test]
fn where_everybody_reaches_everybody_nothing_is_wrong() {
    assert_eq!(world(|_, _| Met::Answer, |_| None).faults(), []);
}

#[test]
fn a_port_that_nobody_reaches_at_either_address_says_nothing_of_the_vip() {
    let met = |caller, _| if caller == 21 { Met::Nothing } else { Met::Answer };
    assert_eq!(world(met, |_| None).faults(), []);
}

#[test]
fn those_behind_a_router_who_reach_no_holder_are_one_fault_of_the_gateway() {
    let met = |caller, _| if caller > 20 { Met::Silence } else { Met::Answer };
    let expected = Fault::OffLink {
        holders: nodes(&HOLDERS),
        callers: nodes(&[21, 22]),
    };
    assert_eq!(world(met, |_| None).faults(), [expected]);
}

#[test]
fn one_neighbour_who_reaches_no_holder_is_a_fault_on_the_link() {
    let met = |caller, _| if caller == 11 { Met::Silence } else { Met::Answer };
    let expected = Fault::OnLink {
        holders: nodes(&HOLDERS),
        callers: nodes(&[11]),
    };
    assert_eq!(world(met, |_| None).faults(), [expected]);
}

#[test]
fn a_node_that_nobody_reaches_while_others_are_reached_at_once_has_its_own_trouble() {
    // Whether those on the link look to its predecessor, or found nobody at all.
    for looks_at in [Some(1), None] {
        let met = |_, holder| if holder == 2 { Met::Silence } else { Met::Answer };
        assert_eq!(
            world(met, |_| looks_at).faults(),
            [Fault::OnNode(node(2))],
            "{looks_at:?}"
        );
    }
    let first = |_, holder| if holder == 1 { Met::Silence } else { Met::Answer };
    assert_eq!(world(first, |_| None).faults(), [Fault::OnNode(node(1))]);
}

#[test]
fn announcements_that_nobody_takes_are_one_fault_although_entries_age() {
    // The first holder is found by asking; after it everybody keeps to it, until entries age in the last holder's time.
    let met = |caller, holder| match (caller, holder) {
        (_, 1) => Met::Answer,
        // Who has not talked to the first holder, since it was this node, finds the second by asking.
        (1, 2) => Met::Answer,
        (_, 2) => Met::Silence,
        _ => Met::LateAnswer,
    };
    let expected = Fault::NotLearned {
        holders: nodes(&[2]),
        callers: nodes(&[3, 11, 21, 22]),
    };
    assert_eq!(world(met, |_| Some(1)).faults(), [expected]);
}

#[test]
fn a_router_that_takes_no_announcement_is_told_of_alone() {
    let met = |caller, holder| {
        if caller > 20 && holder > 1 {
            Met::Silence
        } else {
            Met::Answer
        }
    };
    let looks_at = |caller| (caller < 20).then_some(3);
    let expected = Fault::NotLearned {
        holders: nodes(&[2, 3]),
        callers: nodes(&[21, 22]),
    };
    assert_eq!(world(met, looks_at).faults(), [expected]);
}

#[test]
fn where_nobody_reaches_anybody_it_is_no_single_node() {
    let expected = Fault::Nowhere {
        holders: nodes(&HOLDERS),
        callers: nodes(&CALLERS),
    };
    assert_eq!(world(|_, _| Met::Silence, |_| None).faults(), [expected]);
}

#[test]
fn a_stranger_at_the_vip_is_found_by_those_who_met_it() {
    let mut world = world(|_, _| Met::Answer, |_| None);
    let met = world.reached.get_mut(&node(11)).unwrap();
    met.stretches.push(Stretch {
        from_ms: 0,
        until_ms: 100,
        asks: 3,
        answer: Answer::Unproven,
        mac: None,
    });
    let expected = Fault::Foreign {
        callers: nodes(&[11]),
    };
    assert_eq!(world.faults(), [expected]);
}

#[test]
fn a_fault_is_looked_at_on_a_caller_and_on_the_vips_link_if_there_is_one() {
    let stage = Stage::new().with_ssh_elsewhere();
    let [holder, near, far] = [CP, LB, W1].map(stage::node);
    let concern = Concern {
        vips: BTreeSet::from([[10, 0, 0, 100].into()]),
        callers: BTreeSet::from([holder, near, far]),
        lines: BTreeSet::new(),
    };
    let command = |fault: Fault| match stage.looked_at(|scene| fault.ruling(scene, &concern)).opinion {
        Opinion::Fail(complaint) => complaint.fix.commands.concat(),
        other => panic!("{other:?}"),
    };
    let (holders, callers) = (vec![holder], vec![far]);
    assert_eq!(
        command(Fault::OnNode(holder)),
        "ssh -p 2222 172.31.0.2 ip neigh show 10.0.0.100"
    );
    assert_eq!(
        command(Fault::OffLink { holders, callers }),
        "ssh -p 2222 172.31.1.1 ip route get 10.0.0.100"
    );
    let callers = vec![far, near];
    assert_eq!(
        command(Fault::Foreign { callers }),
        "ssh -p 2222 172.31.0.2 ip neigh show 10.0.0.100"
    );
}
