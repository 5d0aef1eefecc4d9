//! Paths made by hand for tests: four nodes in two subnets, 10.0.0.1 and .2, 10.0.1.1 and .2.

use crate::{
    errand::{Errand, PathErrand, PathTarget},
    evidence::Group,
    observation::{PathSeen, Record},
    port::Family,
    report::stage::{CP, LB, Stage, W1, W2, node},
};

pub(in crate::assumption) const ALL: [&str; 4] = [CP, LB, W1, W2];

/// A run in which everybody was asked for the path to everybody, and told of it.
pub(in crate::assumption) fn everybody_tells(
    groups: &[Group],
    seen: impl Fn(&str, &str) -> PathSeen,
) -> Stage {
    let mut stage = Stage::new();
    stage.parameters.groups = groups.to_vec();
    for src in ALL {
        let others = || ALL.into_iter().filter(|dst| *dst != src);
        let target = |dst| PathTarget {
            node: node(dst),
            family: Family::Ipv4,
            ports: vec![6081],
        };
        let errand = PathErrand {
            paths: others().map(target).collect(),
            ..PathErrand::default()
        };
        let own = stage.plan.errands.entry(node(src)).or_default();
        own.push(Errand::Path(errand));
        for dst in others() {
            stage = stage.tells(src, Record::Path(seen(src, dst)));
        }
    }
    stage
}
