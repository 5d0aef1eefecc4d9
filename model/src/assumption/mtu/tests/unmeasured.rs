//! Paths of which nothing can be said: never a pass, and told once.

use super::*;
use crate::assumption::Lack;

/// Loss of small packets and large ones alike.
fn hidden(dst: &str) -> PathSeen {
    let mut seen = whole(dst);
    seen.sizes = vec![size(1500, false)];
    (seen.sizes[0].lost_alone, seen.sizes[0].lost_both) = (3, 3);
    seen
}

fn lacks(rulings: Vec<Ruling>) -> Vec<Lack> {
    let lack = |ruling: Ruling| match ruling.opinion {
        Opinion::NotMeasured(lack) => Some(lack),
        _ => None,
    };
    rulings.into_iter().filter_map(lack).collect()
}

#[test]
fn a_node_all_of_whose_paths_lose_packets_of_every_size_makes_the_run_incomplete() {
    let one = stage(|src, dst| match (src, dst) {
        (CP, W1) => hidden(dst),
        _ => whole(dst),
    });
    let told = lacks(judged(&one, path::judge));
    assert!(matches!(told.as_slice(), [Lack::ToldElsewhere(_)]), "{told:?}");
    for bad in [hidden, |dst: &str| {
        PathSeen::not_measured(node(dst), Family::Ipv4, PathMethod::Nothing)
    }] {
        let all = stage(|src, dst| match src {
            CP => bad(dst),
            _ => whole(dst),
        });
        let told = lacks(judged(&all, path::judge));
        let [Lack::Other(Some(at), _)] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert_eq!(*at, node(CP));
    }
}

#[test]
fn paths_that_no_probe_told_of_are_one_finding_of_the_run() {
    let mut stage = stage(|_, dst| whole(dst));
    for on in [CP, W1] {
        let own = stage.plan.errands.get_mut(&node(on)).unwrap();
        let Some(Errand::Path(errand)) = own.last_mut() else {
            panic!("{own:?}")
        };
        errand.paths.push(PathTarget {
            node: node(W2),
            family: Family::Ipv6,
            ports: Vec::new(),
        });
    }
    let findings = stage.report().findings;
    let of_paths = |detail: &&String| detail.contains("MTU-002");
    let told: Vec<&String> = findings
        .iter()
        .map(|finding| &finding.cause.detail)
        .filter(of_paths)
        .collect();
    let [told] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(
        told.contains("the probes of 2 nodes told nothing of 2 paths"),
        "{told}"
    );
}

#[test]
fn paths_to_a_probe_that_is_gone_are_told_by_that() {
    let stage = stage(|_, dst| whole(dst)).without(W2);
    let told = lacks(judged(&stage, path::judge));
    let is_told = |lack: &Lack| matches!(lack, Lack::ToldElsewhere(_) | Lack::ProbeGone(_));
    assert!(!told.is_empty() && told.iter().all(is_told), "{told:?}");
}
