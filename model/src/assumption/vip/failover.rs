//! VIP-005: how long a VIP is away when it moves.

use super::turn::{Turn, is_on_link, turns};
use crate::{
    assumption::{Complaint, Explains, Ruling, Scene},
    cause::{Cause, CauseKind, Fix},
    id::NodeId,
    observation::{Answer, Kept, Reached},
    report::check::Check,
};

/// A VIP moves quickly.
pub(crate) const CHECK: Check = Check {
    id: "VIP-005",
    asserts: "when a VIP moves from one load balancer node to the next, those outside its subnet reach it again soon",
    how: "in the turns of VIP-003, by those who ask for the VIP ten times a second: from the last answer of the node that gave it \
          back to the first of the node that took it, less the time that this one spent on making sure that nobody has it",
    needs: "as VIP-003",
    rule: "passes up to 3 s, warns up to 10 s, fails above; a move after which a caller does not reach it at all is VIP-003's",
    remedy: "let gratuitous ARP through and have it taken, lower the gateway's ARP timeout, repeat announcements",
    source: "keepalived gives a VIP over after three missed advertisements of a second each (RFC 9568 section 6.1); what the \
             network adds to it is measured",
};

/// The slowest caller of a move.
struct Move {
    from: NodeId,
    to: NodeId,
    caller: NodeId,
    is_outside: bool,
    outage_ms: u32,
    lines: Vec<u32>,
}

/// Judges the moves of each VIP by the slowest; slow ones of several VIPs are one complaint.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let turns = turns(scene);
    let mut slow: Vec<(String, Move)> = Vec::new();
    let mut rulings = Vec::new();
    for turn in &turns {
        let Some(slowest) = slowest(scene, turn) else {
            continue;
        };
        if slowest.outage_ms > WARN_ABOVE_MS {
            slow.push((turn.vip.to_string(), slowest));
        } else {
            rulings.push(Ruling::pass(turn.vip.to_string(), said(scene, &slowest)));
        }
    }
    let vips: Vec<String> = slow.iter().map(|(vip, _)| vip.clone()).collect();
    let Some((vip, slowest)) = slow.into_iter().max_by_key(|(_, slowest)| slowest.outage_ms) else {
        return rulings;
    };
    let complaint = Complaint {
        cause: Cause {
            kind: CauseKind::VipUnreachable,
            node: None,
            between: Some([vec![slowest.caller], vec![slowest.from, slowest.to]]),
            detail: format!("{vip} is away for long when it moves: {}", said(scene, &slowest)),
        },
        fix: Fix {
            text: "Have gratuitous ARP for the VIP taken by switches and by the gateway of its subnet, and lower the gateway's ARP \
                   timeout."
                .to_owned(),
            commands: vec![scene.ssh(slowest.caller, &format!("ip neigh show {vip}"))],
        },
        evidence: slowest.lines,
        explains: Explains::default(),
    };
    let subject = vips.join(", ");
    rulings.push(if slowest.outage_ms > FAIL_ABOVE_MS {
        Ruling::fail(subject, complaint)
    } else {
        Ruling::warn(subject, complaint)
    });
    rulings
}

/// The slowest move as those outside the VIP's subnet saw it, or those inside where nobody is outside.
fn slowest(scene: &Scene<'_>, turn: &Turn<'_>) -> Option<Move> {
    let kept: Vec<_> = turn.kept().collect();
    let mut moves = Vec::new();
    for pair in kept.windows(2) {
        let [(from, _), (to, after)] = pair else { continue };
        for (caller, reached) in &turn.reached {
            if let Some(outage_ms) = outage(reached.what, *from, *to, after.what) {
                moves.push(Move {
                    from: *from,
                    to: *to,
                    caller: *caller,
                    is_outside: !is_on_link(scene, *caller, turn.vip),
                    outage_ms,
                    lines: vec![after.line, reached.line],
                });
            }
        }
    }
    moves
        .into_iter()
        .max_by_key(|moved| (moved.is_outside, moved.outage_ms, std::cmp::Reverse(moved.caller)))
}

/// From the last answer of one to the first of the other, less what the other spent before it took the address.
fn outage(reached: &Reached, from: NodeId, to: NodeId, after: &Kept) -> Option<u32> {
    let by = |holder| move |answer: Answer| answer == Answer::By { holder };
    let last = reached
        .stretches
        .iter()
        .rfind(|stretch| by(from)(stretch.answer))?;
    let first = reached.stretches.iter().find(|stretch| by(to)(stretch.answer))?;
    let away = first.from_ms.checked_sub(last.until_ms)?;
    Some(away.saturating_sub(after.probing_ms))
}

fn said(scene: &Scene<'_>, moved: &Move) -> String {
    let place = if moved.is_outside {
        "in another subnet"
    } else {
        "in the same subnet"
    };
    format!(
        "{} ms from {} to {} without an answer to {}, {place}, which asked ten times a second (the slowest; without the time in \
         which the new node made sure that nobody has the address)",
        moved.outage_ms,
        scene.name(moved.from),
        scene.name(moved.to),
        scene.name(moved.caller)
    )
}

/// Three missed advertisements of keepalived.
const WARN_ABOVE_MS: u32 = 3_000;
/// Clients of the API server give up after ten seconds.
const FAIL_ABOVE_MS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Stretch;

    fn node(last: u8) -> NodeId {
        NodeId::Address([10, 0, 0, last].into())
    }

    fn reached(stretches: &[(u32, u32, Option<u8>)]) -> Reached {
        let stretch = |(from_ms, until_ms, by): &(u32, u32, Option<u8>)| Stretch {
            from_ms: *from_ms,
            until_ms: *until_ms,
            asks: 2,
            answer: by.map_or(Answer::Silence, |by| Answer::By { holder: node(by) }),
            mac: None,
        };
        Reached {
            stretches: stretches.iter().map(stretch).collect(),
            ..Reached::default()
        }
    }

    fn outage_of(stretches: &[(u32, u32, Option<u8>)]) -> Option<u32> {
        let after = Kept {
            probing_ms: 600,
            ..Kept::default()
        };
        outage(&reached(stretches), node(1), node(2), &after)
    }

    #[test]
    fn an_outage_is_from_the_last_answer_of_one_to_the_first_of_the_other_less_the_probing() {
        let move_ = [(0, 900, Some(1)), (1_000, 1_900, None), (1_900, 2_600, Some(2))];
        assert_eq!(outage_of(&move_), Some(400));
    }

    #[test]
    fn a_move_that_takes_less_than_the_probing_is_no_negative_outage() {
        assert_eq!(outage_of(&[(0, 900, Some(1)), (1_400, 2_600, Some(2))]), Some(0));
    }

    #[test]
    fn who_was_not_answered_by_both_measured_nothing() {
        assert_eq!(outage_of(&[(0, 900, Some(1)), (1_000, 12_000, None)]), None);
        assert_eq!(outage_of(&[(1_000, 2_000, Some(2))]), None);
        assert_eq!(outage_of(&[(0, 900, Some(2)), (1_000, 2_000, Some(1))]), None);
    }
}
