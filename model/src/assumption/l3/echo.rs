//! L3-001: nodes reach each other, by ICMP as well.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    assumption::{
        Complaint, Explains, Lack, Ruling, Scene,
        l2::Survey,
        paths::{self, Pair, Path, Spot, spots},
    },
    cause::{Cause, CauseKind, Fix},
    id::NodeId,
    observation::PathMethod,
    port::Family,
    report::check::Check,
    verdict::{Cell, Outcome},
};

/// Nodes reach each other, by ICMP as well.
pub(crate) const CHECK: Check = Check {
    id: "L3-001",
    asserts: "every node answers every other, by UDP or TCP and by ICMP echo",
    how: "up to three small echo requests to each node, in both families, from an unprivileged socket where net.ipv4.ping_group_range \
          allows it, else from a raw one; UDP and TCP by the port matrix",
    needs: "net.ipv4.ping_group_range, or CAP_NET_RAW",
    rule: "warns if echo requests stay without an answer where everything else is answered; where other packets are not, either, the \
           port matrix tells",
    remedy: "let ICMP echo requests and their answers pass: people and health checks (Cilium's) look for nodes with them",
    source: "RFC 1122 section 3.2.2.6, RFC 4890 section 4.3.1; cilium/cilium: System requirements, Firewall rules",
};

/// Judges every path; what several have in common is one complaint.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let all = paths::told(scene);
    let mut rulings = Vec::new();
    let denied: BTreeSet<NodeId> = all
        .iter()
        .filter(|path| path.seen.what.echo.denied)
        .map(|path| path.src)
        .collect();
    for node in denied {
        rulings.push(Ruling::not_measured(
            scene.name(node),
            Lack::Capability(node, "CAP_NET_RAW"),
        ));
    }
    let asked: Vec<Path<'_>> = all
        .into_iter()
        .filter(|path| path.seen.what.echo.sent > 0)
        .collect();
    let is_answered = |path: &Path<'_>| path.seen.what.echo.answered > 0;
    // Of two with one link address the one gets what is for the other: that is L2-006's.
    let cloned = Survey::of(scene).cloned();
    let elsewhere = Elsewhere::of(scene);
    let is_blocked = |path: &&Path<'_>| {
        let is_cloned = cloned.contains(&path.src) || cloned.contains(&path.dst);
        !is_answered(path) && !is_cloned && elsewhere.answers(path) && !elsewhere.is_silent(path)
    };
    let judged = asked.iter().filter(|path| is_answered(path) || is_blocked(path));
    let measured: BTreeSet<Pair> = judged.map(Path::pair).collect();
    let blocked: Vec<&Path<'_>> = asked.iter().filter(is_blocked).collect();
    let bad: BTreeSet<Pair> = blocked.iter().map(|path| path.pair()).collect();
    rulings.extend(
        spots(&measured, &bad, |node| paths::subnet(scene, node))
            .into_iter()
            .map(|spot| ruling(scene, spot, &blocked)),
    );
    let good: Vec<Path<'_>> = asked.iter().filter(|path| is_answered(path)).copied().collect();
    rulings.extend(paths::passes(scene, &good, |paths| {
        format!(
            "{} echo requests are answered",
            paths::families(paths.iter().copied())
        )
    }));
    let mute: Vec<Path<'_>> = asked
        .iter()
        .filter(|path| !is_answered(path) && !is_blocked(path))
        .copied()
        .collect();
    rulings.extend(silent(scene, &mute));
    rulings.extend(paths::untold(scene));
    rulings
}

/// What became of other packets, of pairs that the port matrix has: gone through once, for clusters have many pairs.
struct Elsewhere {
    /// Some test was answered.
    open: BTreeSet<(NodeId, NodeId, Family)>,
    /// Some test was not.
    silent: BTreeSet<(NodeId, NodeId, Family)>,
}

impl Elsewhere {
    fn of(scene: &Scene<'_>) -> Self {
        let pairs_with = |holds: fn(&Cell) -> bool| {
            let pairs = scene.pairs.iter();
            let held = pairs.filter(|pair| pair.cells.iter().any(holds));
            held.map(|pair| (pair.src, pair.dst, pair.transport.0)).collect()
        };
        Self {
            open: pairs_with(|cell| cell.outcome.is_open()),
            silent: pairs_with(is_silent),
        }
    }

    /// Whether the destination answered anything else of the source in this family.
    fn answers(&self, path: &Path<'_>) -> bool {
        let by_stamp = matches!(path.seen.what.by, PathMethod::Stamp { .. });
        by_stamp || self.open.contains(&(path.src, path.dst, path.family))
    }

    /// Whether other packets on the way there and back vanish as well: whatever drops these may drop echo requests, and is one
    /// cause.
    fn is_silent(&self, path: &Path<'_>) -> bool {
        let (there, back) = (
            (path.src, path.dst, path.family),
            (path.dst, path.src, path.family),
        );
        self.silent.contains(&there) || self.silent.contains(&back)
    }
}

fn is_silent(cell: &Cell) -> bool {
    matches!(
        cell.outcome,
        Outcome::FilteredForward
            | Outcome::FilteredReturn
            | Outcome::Filtered
            | Outcome::Rejected { .. }
            | Outcome::LocalBlocked
            | Outcome::NoRoute
            | Outcome::NeighborUnresolved
    )
}

/// Rows of paths on which other packets are not answered, either: one for each node that asked.
fn silent(scene: &Scene<'_>, paths: &[Path<'_>]) -> Vec<Ruling> {
    let mut by_source: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
    for path in paths {
        by_source.entry(path.src).or_default().insert(path.dst);
    }
    let ruling = |(src, to): (NodeId, BTreeSet<NodeId>)| {
        let to: Vec<NodeId> = to.into_iter().collect();
        let subject = format!("{} to {}", scene.name(src), paths::side(scene, &to));
        let why =
            "echo requests are not answered there, and neither are all other packets: see the port matrix";
        Ruling::not_measured(subject, Lack::ToldElsewhere(why.to_owned()))
    };
    by_source.into_iter().map(ruling).collect()
}

fn ruling(scene: &Scene<'_>, spot: Spot, blocked: &[&Path<'_>]) -> Ruling {
    let own: Vec<&Path<'_>> = blocked
        .iter()
        .copied()
        .filter(|path| spot.pairs.contains(&path.pair()))
        .collect();
    let families = paths::families(own.iter().copied());
    let (from, to) = (paths::side(scene, &spot.from), paths::side(scene, &spot.to));
    let (subject, detail) = match spot.node {
        Some(node) if spot.to == [node] || spot.both_ways => (
            scene.name(node),
            format!(
                "{} answers no {families} echo requests (ping), though other packets pass",
                scene.name(node)
            ),
        ),
        Some(node) => (
            scene.name(node),
            format!(
                "no {families} echo request (ping) of {} is answered, though other packets pass",
                scene.name(node)
            ),
        ),
        None => (
            format!("{from} to {to}"),
            format!(
                "{families} echo requests (ping) from {from} to {to}{} are not answered, though other packets pass",
                if spot.both_ways { " and back" } else { "" }
            ),
        ),
    };
    let complaint = Complaint {
        cause: Cause {
            kind: match spot.node {
                Some(_) => CauseKind::HostFirewall,
                None => CauseKind::PathFilter,
            },
            node: spot.node,
            between: spot.node.is_none().then(|| [spot.from.clone(), spot.to.clone()]),
            detail,
        },
        fix: Fix {
            text: "Let echo requests pass in the packet filter (ICMP type 8, ICMPv6 type 128), and see that the kernel is not told to \
                   ignore them (net.ipv4.icmp_echo_ignore_all, net.ipv6.icmp.echo_ignore_all)."
                .to_owned(),
            commands: spot
                .node
                .map(|node| scene.ssh(node, "sysctl net.ipv4.icmp_echo_ignore_all net.ipv6.icmp.echo_ignore_all"))
                .into_iter()
                .collect(),
        },
        evidence: own.iter().map(|path| path.seen.line).collect(),
        explains: Explains::default(),
    };
    Ruling::warn(subject, complaint)
}
