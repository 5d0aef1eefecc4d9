//! Whether the nodes agree on the time.

use crate::{
    assumption::{Complaint, Explains, Lack, Ruling, Scene},
    cause::{Cause, CauseKind, Fix},
    id::NodeId,
    ledger::{Clock, Told},
    report::check::Check,
};

/// The nodes' clocks tell the same time.
pub(crate) const CHECK: Check = Check {
    id: "TIME-001",
    asserts: "the wall clocks of the nodes tell the same time, so that certificates, tokens, leases and logs do",
    how: "the coordinator asks each probe 16 times for the time over the control stream, and keeps the exchange with the \
          shortest round trip (four timestamps, as NTP does); nothing else is sent",
    needs: "nothing",
    rule: "fails if two nodes are more than 1 s apart, warns if more than 100 ms; the error, half of each round trip, is taken \
           off first; not measured if that error is so large that 500 ms could hide in it. Named is the node that is away \
           from the most",
    remedy: "let every node take its time from the same NTP servers, and step the clock of the one that is wrong",
    source: "RFC 5905 section 8; etcd and Kubernetes certificates are valid by the wall clock",
};

/// How far two clocks may be apart.
const NOTICED_US: i64 = 100_000;

/// Beyond it a comparison says too little to be called one.
const COMPARABLE_US: i64 = 500_000;

/// Tokens and certificates that one node has just made are not yet valid on the other.
const BROKEN_US: i64 = 1_000_000;

/// Judges every node whose clock was asked for.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let nodes: Vec<NodeId> = scene.nodes().collect();
    let read = |node: &NodeId| Some((*node, scene.log(*node).ok()?.clock?));
    let clocks: Vec<(NodeId, Told<Clock>)> = nodes.iter().filter_map(read).collect();
    // One clock agrees with nobody.
    if nodes.len() < 2 {
        return Vec::new();
    }
    let standings = compare(&clocks);
    let ruling = |node: NodeId| {
        if let Some(standing) = standings.iter().find(|standing| standing.node == node) {
            return Some(standing.ruling(scene));
        }
        let lack = match scene.log(node) {
            Err(lack) => lack,
            Ok(log) if log.clock.is_none() => {
                Lack::Other(Some(node), "its probe did not tell what time it is".to_owned())
            }
            // Nobody else told, which is said of them.
            Ok(_) => return None,
        };
        Some(Ruling::not_measured(scene.name(node), lack))
    };
    nodes.into_iter().filter_map(ruling).collect()
}

/// How a node's clock stands to the others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) node: NodeId,
    pub(super) line: u32,
    /// The node whose clock is in the middle, and how far this one is ahead of it.
    pub(super) reference: NodeId,
    pub(super) skew_us: i64,
    /// By how much that may be wrong, either way.
    pub(super) bound_us: i64,
    pub(super) verdict: Verdict,
}

/// What a difference means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Agrees,
    /// The round trips are too long to tell.
    Unclear,
    /// Apart by more than [`NOTICED_US`] for certain.
    Apart,
    /// Apart by more than [`BROKEN_US`] for certain.
    FarApart,
}

/// Compares clocks with the one in the middle: of an even number, the one of the two middle ones that is nearer to the
/// coordinator's.
pub(super) fn compare(clocks: &[(NodeId, Told<Clock>)]) -> Vec<Standing> {
    let mut by_offset = clocks.to_vec();
    by_offset.sort_unstable_by_key(|(node, told)| (told.what.offset_us, *node));
    let count = by_offset.len();
    if count < 2 {
        return Vec::new();
    }
    let (lower, upper) = (&by_offset[(count - 1) / 2], &by_offset[count / 2]);
    let nearer = upper.1.what.offset_us.unsigned_abs() < lower.1.what.offset_us.unsigned_abs();
    let (reference, middle) = if nearer { *upper } else { *lower };
    let apart = |one: Clock, other: Clock| {
        let skew = one.offset_us.saturating_sub(other.offset_us);
        let error = one.round_trip_us.saturating_add(other.round_trip_us) / 2;
        (skew, i64::try_from(error).unwrap_or(i64::MAX))
    };
    let certain = |(skew, error): (i64, i64)| skew.saturating_abs().saturating_sub(error);
    let from_middle = |clock: Clock| apart(clock, middle.what);
    // Of two that disagree, the one that is further from the middle is at fault.
    let worst = |own: Clock| {
        let distance = from_middle(own).0.saturating_abs();
        let nearer = clocks.iter().map(|(_, told)| told.what);
        let nearer = nearer.filter(|other| from_middle(*other).0.saturating_abs() <= distance);
        nearer
            .map(|other| certain(apart(own, other)))
            .max()
            .unwrap_or_default()
    };
    let standing = |(node, told): &(NodeId, Told<Clock>)| {
        let (skew_us, bound_us) = match *node == reference {
            true => (0, 0),
            false => from_middle(told.what),
        };
        let verdict = match certain((skew_us, bound_us)) {
            NOTICED_US.. if worst(told.what) > BROKEN_US => Verdict::FarApart,
            sure if sure > NOTICED_US => Verdict::Apart,
            _ if skew_us.saturating_abs().saturating_add(bound_us) > COMPARABLE_US => Verdict::Unclear,
            _ => Verdict::Agrees,
        };
        Standing {
            node: *node,
            line: told.line,
            reference,
            skew_us,
            bound_us,
            verdict,
        }
    };
    clocks.iter().map(standing).collect()
}

impl Standing {
    fn ruling(&self, scene: &Scene<'_>) -> Ruling {
        let subject = scene.name(self.node);
        if self.node == self.reference {
            return Ruling::pass(
                subject,
                "its clock is the one in the middle, which the others are compared with",
            );
        }
        let seen = format!(
            "its clock is {} {} that of {} (\u{b1} {})",
            seconds(self.skew_us),
            if self.skew_us < 0 { "behind" } else { "ahead of" },
            scene.name(self.reference),
            seconds(self.bound_us),
        );
        match self.verdict {
            Verdict::Agrees => Ruling::pass(subject, seen),
            Verdict::Unclear => Ruling::not_measured(
                subject,
                Lack::Other(
                    Some(self.node),
                    format!("{seen}: the round trips to the probes are too long to compare clocks"),
                ),
            ),
            Verdict::Apart => Ruling::warn(subject, self.complaint(scene)),
            Verdict::FarApart => Ruling::fail(subject, self.complaint(scene)),
        }
    }

    fn complaint(&self, scene: &Scene<'_>) -> Complaint {
        let direction = if self.skew_us < 0 { "behind" } else { "ahead of" };
        Complaint {
            cause: Cause {
                kind: CauseKind::Clock,
                node: Some(self.node),
                between: None,
                detail: format!(
                    "the clock of {} is {} {direction} that of the other nodes (compared with {}, \u{b1} {})",
                    scene.name(self.node),
                    seconds(self.skew_us),
                    scene.name(self.reference),
                    seconds(self.bound_us),
                ),
            },
            fix: Fix {
                text: "Give the node the NTP servers that the other nodes have, and step its clock; a step backwards is best \
                       made before anything of Kubernetes runs there."
                    .to_owned(),
                commands: ["chronyc sources -v", "chronyc makestep", "timedatectl"]
                    .map(str::to_owned)
                    .to_vec(),
            },
            evidence: vec![self.line],
            explains: Explains::default(),
        }
    }
}

/// Microseconds for a person, without the sign.
fn seconds(us: i64) -> String {
    let us = us.unsigned_abs();
    match us {
        0..1_000 => format!("{us} \u{b5}s"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{}.{:03} s", us / 1_000_000, us / 1_000 % 1_000),
    }
}
