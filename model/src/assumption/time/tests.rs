use std::net::Ipv4Addr;

use super::offset::{Standing, Verdict, compare};
use crate::{
    id::NodeId,
    ledger::{Clock, Told},
};

fn node(last: u8) -> NodeId {
    NodeId::Address(Ipv4Addr::new(10, 0, 0, last).into())
}

/// Clocks by their milliseconds ahead of the coordinator's, with round trips of so many milliseconds.
fn standings(round_trip_ms: u64, offsets_ms: &[i64]) -> Vec<Standing> {
    let clock = |(last, offset_ms): (u8, &i64)| {
        let what = Clock {
            offset_us: offset_ms * 1_000,
            round_trip_us: round_trip_ms * 1_000,
            samples: 16,
        };
        (node(last), Told { what, line: 7 })
    };
    let clocks: Vec<_> = (1..).zip(offsets_ms).map(clock).collect();
    compare(&clocks)
}

fn verdicts(round_trip_ms: u64, offsets_ms: &[i64]) -> Vec<Verdict> {
    let standings = standings(round_trip_ms, offsets_ms);
    standings.iter().map(|standing| standing.verdict).collect()
}

use Verdict::{Agrees, Apart, FarApart, Unclear};

#[test]
fn the_odd_one_out_is_named_wherever_the_coordinator_stands() {
    assert_eq!(verdicts(2, &[0, 90_000, 1]), [Agrees, FarApart, Agrees]);
    assert_eq!(verdicts(2, &[-90_000, 0, -90_001]), [Agrees, FarApart, Agrees]);
}

#[test]
fn of_two_nodes_the_one_that_is_further_from_the_coordinator_is_named() {
    assert_eq!(verdicts(2, &[90_000, 3]), [FarApart, Agrees]);
    assert_eq!(verdicts(2, &[-3, -90_000]), [Agrees, FarApart]);
}

#[test]
fn a_node_is_not_blamed_for_another_that_is_further_off() {
    assert_eq!(
        verdicts(2, &[0, 0, 0, 90_000, 300]),
        [Agrees, Agrees, Agrees, FarApart, Apart]
    );
}

#[test]
fn two_that_are_off_in_both_directions_are_a_pair_that_is_far_apart() {
    assert_eq!(verdicts(2, &[-600, 0, 600]), [FarApart, Agrees, FarApart]);
    assert_eq!(verdicts(2, &[0, 600, 0]), [Agrees, Apart, Agrees]);
}

#[test]
fn what_lies_within_the_round_trip_is_held_against_nobody() {
    assert_eq!(verdicts(80, &[0, 150, 0]), [Agrees, Agrees, Agrees]);
    assert_eq!(verdicts(700, &[0, 150, 0]), [Unclear, Unclear, Agrees]);
    assert_eq!(verdicts(2_000, &[0, 90_000, 0]), [Unclear, FarApart, Agrees]);
}

#[test]
fn one_clock_is_compared_with_nobody() {
    assert_eq!(standings(1, &[5]), []);
}
