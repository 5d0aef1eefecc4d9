//! Searches on paths that are made up.

use super::*;

/// Searches until the end, on a path that does this with packets of a size.
fn search(full: u32, mut path: impl FnMut(u32) -> Trial) -> Search {
    let mut search = Search::new(full, 140);
    for _ in 0..1000 {
        let Some(octets) = search.next() else {
            return search;
        };
        let trial = path(octets);
        search.note(octets, trial);
    }
    panic!("it never ends");
}

fn silent_above(mtu: u32) -> impl FnMut(u32) -> Trial {
    move |octets| {
        if octets <= mtu {
            Trial::Passed
        } else {
            Trial::LostAlone
        }
    }
}

#[test]
fn a_sound_path_takes_one_trial() {
    let search = search(1500, silent_above(9000));
    assert_eq!((search.passes(), search.trials), (Some(1500), 1));
}

#[test]
fn a_silent_limit_is_found_to_the_octet() {
    for mtu in [141, 575, 1279, 1280, 1399, 1400, 1401, 1447, 1499, 1500, 8999] {
        let search = search(9000, silent_above(mtu));
        assert_eq!(search.passes(), Some(mtu));
        assert!(search.trials <= 80, "{mtu}: {}", search.trials);
    }
}

#[test]
fn a_limit_that_is_told_of_takes_two_trials() {
    let search = search(1500, |octets| {
        if octets <= 1387 {
            Trial::Passed
        } else {
            Trial::Told(1387)
        }
    });
    assert_eq!((search.passes(), search.trials), (Some(1387), 2));
}

#[test]
fn who_tells_of_more_than_he_has_is_not_believed() {
    let search = search(1500, |octets| match octets {
        0..=1300 => Trial::Passed,
        1301..=1400 => Trial::LostAlone,
        _ => Trial::Told(1400),
    });
    assert_eq!(search.passes(), Some(1300));
}

#[test]
fn a_path_that_answers_nothing_any_more_is_left_alone() {
    let search = search(1500, |_| Trial::LostBoth);
    assert_eq!((search.passes(), search.trials), (None, MAX_MUTE));
    assert!(!search.tallies().any(|(_, tally)| tally.is_lost_alone()));
}

#[test]
fn loss_by_chance_is_no_limit() {
    // Every third packet arrives, whatever its size.
    let mut sent = 0u32;
    let search = search(1500, |_| {
        let mut arrives = || {
            sent = sent.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            (sent >> 16).is_multiple_of(3)
        };
        match (arrives(), arrives()) {
            (true, _) => Trial::Passed,
            (false, true) => Trial::LostAlone,
            (false, false) => Trial::LostBoth,
        }
    });
    assert!(search.passes() == Some(1500) || !search.tallies().any(|(_, tally)| tally.is_lost_alone()));
}

#[test]
fn an_interface_that_takes_less_than_it_says_is_believed() {
    let search = search(1500, |octets| {
        if octets <= 1400 {
            Trial::Passed
        } else {
            Trial::Refused(1400)
        }
    });
    assert_eq!(search.passes(), Some(1400));
}
