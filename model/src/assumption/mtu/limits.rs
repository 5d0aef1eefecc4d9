//! Places on the way that take less than the interfaces at both ends: found once for every check of paths.
//!
//! A limit is believed if somebody told of it (ICMP), or if the largest packet stayed away time after time while the small one
//! behind it did not. Loss that does not look at the size, and a machine that is too busy to answer, are no limits.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    assumption::{
        Complaint, Explains, Scene,
        paths::{self, Pair, Path, Spot, spots},
    },
    cause::{Cause, CauseKind, Fix},
    observation::{PathMethod, SizeSeen, TooBig},
};

use super::overhead;

/// A place that takes less than the interfaces do.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) spot: Spot,
    /// The least that passes any of the paths.
    pub(super) carries: u32,
    /// The interfaces' MTU.
    pub(super) expected: u32,
    /// Whether nobody told of it on at least one of the paths.
    pub(super) silent: bool,
    /// Whether nothing but echo requests beside live nodes shows that it is silent: filters that drop large ones are common there,
    /// nothing else can be sent, and an answer that stays away does not say on which way it was lost.
    pub(super) only_echo: bool,
    /// The one that told of it.
    by: Option<TooBig>,
    families: &'static str,
    lines: BTreeSet<u32>,
}

/// How a path carries what its interfaces do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// As much as both.
    Whole(u32),
    /// Less.
    Less {
        carries: u32,
        expected: u32,
        told: Option<TooBig>,
    },
    /// It cannot be said: nothing answered, or loss hides it.
    Unknown,
}

/// How a path stands.
pub(super) fn standing(scene: &Scene<'_>, path: &Path<'_>) -> Standing {
    let seen = path.seen.what;
    let (Some(own), true) = (seen.mtu, path.is_measured()) else {
        return Standing::Unknown;
    };
    let far = paths::interface(scene, path.dst, path.family).map_or(own, |interface| interface.mtu);
    let expected = own.min(far);
    let carries = seen.carries();
    if carries.is_some_and(|carries| carries >= expected.min(LARGEST_TRIED)) {
        return Standing::Whole(expected);
    }
    let told = seen
        .told
        .iter()
        .filter(|told| (LEAST_TOLD..expected).contains(&told.mtu))
        .min_by_key(|told| told.mtu)
        .copied();
    let is_believed = |size: &&SizeSeen| size.octets >= expected.min(own) && is_lost_by_size(size);
    let lost = seen.sizes.iter().find(is_believed);
    match (carries, told, lost) {
        (None, None, None) => Standing::Unknown,
        (_, Some(_), _) | (_, _, Some(_)) => Standing::Less {
            carries: carries.or_else(|| told.map(|told| told.mtu)).unwrap_or(SMALL),
            expected,
            told,
        },
        (Some(_), None, None) => Standing::Unknown,
    }
}

/// Whether packets of a size are lost for their size: always, often enough, and while small ones pass.
pub(super) fn is_lost_by_size(size: &SizeSeen) -> bool {
    size.answered == 0 && size.lost_alone >= SURE && size.lost_both * 2 <= size.lost_alone
}

/// Every place, the worst first.
pub(super) fn limits(scene: &Scene<'_>, all: &[Path<'_>]) -> Vec<Limit> {
    let mut measured = BTreeSet::new();
    let mut short: BTreeMap<Pair, Vec<(&Path<'_>, Standing)>> = BTreeMap::new();
    for path in all {
        match standing(scene, path) {
            Standing::Unknown => {}
            Standing::Whole(_) => {
                measured.insert(path.pair());
            }
            less @ Standing::Less { .. } => {
                measured.insert(path.pair());
                short.entry(path.pair()).or_default().push((path, less));
            }
        }
    }
    let bad: BTreeSet<Pair> = short.keys().copied().collect();
    let places = spots(&measured, &bad, |node| paths::subnet(scene, node));
    places
        .into_iter()
        .map(|spot| limit(scene, spot, &short))
        .collect()
}

fn limit(scene: &Scene<'_>, spot: Spot, short: &BTreeMap<Pair, Vec<(&Path<'_>, Standing)>>) -> Limit {
    let of_spot: Vec<&(&Path<'_>, Standing)> = spot
        .pairs
        .iter()
        .filter_map(|pair| short.get(pair))
        .flatten()
        .collect();
    let mut limit = Limit {
        carries: u32::MAX,
        expected: 0,
        silent: false,
        only_echo: true,
        by: None,
        families: paths::families(of_spot.iter().map(|(path, _)| *path)),
        lines: of_spot.iter().map(|(path, _)| path.seen.line).collect(),
        spot,
    };
    for (path, standing) in of_spot {
        if let Standing::Less {
            carries,
            expected,
            told,
        } = standing
        {
            limit.carries = limit.carries.min(*carries);
            limit.expected = limit.expected.max(*expected);
            limit.silent |= told.is_none();
            limit.only_echo &= told.is_some() || is_doubtful(scene, path);
            limit.by = limit.by.or(*told);
        }
    }
    limit
}

/// Whether it was measured by echo requests because one end is live.
fn is_doubtful(scene: &Scene<'_>, path: &Path<'_>) -> bool {
    let is_live = |node| scene.ledger.is_live(node);
    path.seen.what.by == PathMethod::Echo && (is_live(path.src) || is_live(path.dst))
}

impl Limit {
    /// Where, for a row.
    pub(super) fn subject(&self, scene: &Scene<'_>) -> String {
        match self.spot.node {
            Some(node) => scene.name(node),
            None if self.spot.from == self.spot.to => paths::side(scene, &self.spot.from),
            None => format!(
                "{} {} {}",
                paths::side(scene, &self.spot.from),
                if self.spot.both_ways || self.is_guess() {
                    "and"
                } else {
                    "to"
                },
                paths::side(scene, &self.spot.to)
            ),
        }
    }

    /// Whether it may be a filter of echo requests, and no limit of packets.
    pub(super) fn is_guess(&self) -> bool {
        self.silent && self.only_echo && self.by.is_none()
    }

    /// What is said of it, in whichever check.
    pub(super) fn complaint(&self, scene: &Scene<'_>) -> Complaint {
        let kind = match self.silent {
            true => CauseKind::PmtudBlackHole,
            false => CauseKind::MtuTooSmall,
        };
        let between = match self.spot.node {
            Some(_) => None,
            None => Some([self.spot.from.clone(), self.spot.to.clone()]),
        };
        Complaint {
            cause: Cause {
                kind,
                node: self.spot.node,
                between,
                detail: self.detail(scene),
            },
            fix: self.fix(scene),
            evidence: self.lines.iter().copied().collect(),
            explains: Explains::default(),
        }
    }

    fn detail(&self, scene: &Scene<'_>) -> String {
        let (carries, expected) = (self.carries, self.expected);
        let families = self.families;
        let place = self.place(scene);
        let became = match (self.silent, self.by) {
            _ if self.is_guess() => format!(
                "{families} echo requests above {carries} octets {place} stay without an answer, and no ICMP error says why, though \
                 the interfaces at both ends have an MTU of {expected}: a filter of large echo requests, or packets of that size are \
                 lost on the way there or back"
            ),
            (true, None) => format!(
                "{families} packets above {carries} octets {place} vanish, and no ICMP error says why, though the interfaces at both \
                 ends have an MTU of {expected}: connections open and then hang"
            ),
            (true, Some(told)) => format!(
                "{families} packets above {carries} octets {place} are lost, though the interfaces at both ends have an MTU of \
                 {expected}; {} says so in one direction only; in the other they vanish without an ICMP error",
                named(told)
            ),
            (false, told) => format!(
                "the path {place} carries {families} packets of {carries} octets at most, though the interfaces at both ends have an \
                 MTU of {expected}, as {} says",
                told.map_or_else(|| "an ICMP error".to_owned(), named)
            ),
        };
        match overhead::of(scene) {
            Some(overhead) => {
                let inner = overhead.inner(scene, expected);
                let whole = overhead.full(scene, expected);
                format!(
                    "{became}. With {} a pod's full packet of {inner} octets takes {whole}",
                    overhead.what
                )
            }
            None => became,
        }
    }

    fn place(&self, scene: &Scene<'_>) -> String {
        let spot = &self.spot;
        match (spot.node, spot.both_ways) {
            (Some(node), false) if self.is_guess() => format!("between {} and others", scene.name(node)),
            (None, false) if self.is_guess() && spot.from != spot.to => format!(
                "between {} and {}",
                paths::side(scene, &spot.from),
                paths::side(scene, &spot.to)
            ),
            (Some(node), true) => format!("to and from {}", scene.name(node)),
            (Some(node), false) if spot.from == [node] => format!("from {}", scene.name(node)),
            (Some(node), false) => format!("to {}", scene.name(node)),
            (None, _) if spot.from == spot.to => format!("on the link of {}", paths::side(scene, &spot.from)),
            (None, both_ways) => format!(
                "from {} to {}{}",
                paths::side(scene, &spot.from),
                paths::side(scene, &spot.to),
                if both_ways { " and back" } else { "" }
            ),
        }
    }

    fn fix(&self, scene: &Scene<'_>) -> Fix {
        let (carries, expected) = (self.carries, self.expected);
        let by = self.by.and_then(|told| told.by);
        let whose = match (by, self.spot.node) {
            (Some(router), _) => format!("the link behind {router}"),
            (None, Some(node)) => format!("the switch port and the link of {}", scene.name(node)),
            (None, None) => "every switch and router on the way".to_owned(),
        };
        let text = if self.is_guess() {
            format!(
                "See whether other packets of that size pass. If they do, let large echo requests through the packet filter that drops \
                 them; if they do not, raise the MTU of {whose} to {expected}, and let ICMP type 3 code 4 and ICMPv6 type 2 through."
            )
        } else if self.silent {
            format!(
                "Raise the MTU of {whose} to {expected}, and let ICMP type 3 code 4 and ICMPv6 type 2 through every packet filter on \
                 the way; or set the nodes' interfaces to {carries}."
            )
        } else {
            format!("Raise the MTU of {whose} to {expected}, or set the nodes' interfaces to {carries}.")
        };
        let (Some(src), Some(dst)) = (
            self.spot.pairs.first().map(|pair| pair.0),
            self.spot.pairs.first().and_then(|pair| pair.1.address()),
        ) else {
            return Fix {
                text,
                commands: Vec::new(),
            };
        };
        let headers = if dst.is_ipv4() { 28 } else { 48 };
        let full = format!("ping -M do -c 3 -s {} {dst}", expected.saturating_sub(headers));
        Fix {
            text: format!("{text} To see it:"),
            commands: vec![
                scene.ssh(src, &full),
                scene.ssh(src, &format!("tracepath -n {dst}")),
            ],
        }
    }
}

fn named(told: TooBig) -> String {
    match told.by {
        Some(by) => format!("{by} (next hop's MTU {})", told.mtu),
        None => format!("an ICMP error (next hop's MTU {})", told.mtu),
    }
}

/// Large packets that stayed away alone until their size is believed to be the reason: what probes try at least.
const SURE: u32 = 6;
/// Packets of this size found the path.
const SMALL: u32 = 160;
/// No link of the internet has less (RFC 791): who tells of less is not believed.
const LEAST_TOLD: u32 = 68;
/// Probes try no larger packets.
const LARGEST_TRIED: u32 = 9216;
