//! What an audit tells while it runs: one event type, as many renderers as there are ways to show it.

use std::net::IpAddr;

use plumbline_model::{evidence::LostWhy, id::NodeId};
use serde::Serialize;

use crate::conductor::Phase;

/// Something to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// A lab is being built.
    LabBuilding {
        /// How many hosts.
        hosts: usize,
    },
    /// Probes are waited for.
    Listening {
        /// Where they find the coordinator.
        addresses: Vec<String>,
        /// How many are expected, a probe of this machine among them.
        expected: usize,
        /// Whether one of them is this machine's own, which nobody has to start.
        own: bool,
        /// The file with the join strings, if one was written.
        #[serde(skip_serializing_if = "Option::is_none")]
        join_file: Option<String>,
        /// Whether there was a join file of that name, which is gone now.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        replaced: bool,
    },
    /// Probes are still waited for: now and then, as long as some are missing.
    Waiting {
        /// Who has not joined, ascending: the first [`NAMED`] of them.
        missing: Vec<NodeId>,
        /// How many have not joined.
        total: usize,
        /// How long they may still take, in seconds.
        left_s: u64,
    },
    /// A probe joined.
    Joined {
        /// Who.
        node: NodeId,
        /// How many so far.
        joined: usize,
        /// Of how many.
        expected: usize,
    },
    /// Somebody was not admitted: a join string that was used before, or comes from another address, or is none of ours.
    NotAdmitted {
        /// From where he came.
        address: IpAddr,
        /// Why.
        reason: String,
    },
    /// A session was ended because of what its probe did; the probe may come back.
    CutOff {
        /// Whose.
        node: NodeId,
        /// What it did.
        reason: String,
    },
    /// A probe did not join in time.
    NotJoined {
        /// Who.
        node: NodeId,
        /// Whether the audit goes on as if it had not been asked for (`--partial`).
        left_out: bool,
    },
    /// A probe was given up.
    Lost {
        /// Who.
        node: NodeId,
        /// Why.
        why: LostWhy,
    },
    /// A probe came back after it had been given up.
    Late {
        /// Who.
        node: NodeId,
    },
    /// A probe refused an assignment.
    Refused {
        /// Who.
        node: NodeId,
        /// In its words.
        reason: String,
    },
    /// A host's connection tracking has little room, and tests that involve it go slower for it.
    ConntrackTight {
        /// Whose.
        node: NodeId,
        /// Connections that it tracks.
        entries: u32,
        /// How many it can track.
        limit: u32,
    },
    /// A phase began.
    Phase {
        /// Which.
        phase: Phase,
    },
    /// How far the tests of the present phase are; at most a few times a second.
    Tests(Pace),
    /// The tests of a phase are over.
    Tested {
        /// Which phase.
        phase: Phase,
        /// How many were made.
        done: u64,
        /// How long they took, in milliseconds.
        took_ms: u64,
    },
    /// The user interrupted: what there is gets signed.
    Interrupted,
    /// The run is over and the report is being made.
    Judging {
        /// Lines of evidence.
        lines: usize,
    },
}

/// How far the tests of a phase are, over all probes. Later phases have tests of their own: what failed is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Pace {
    /// Which phase.
    pub(crate) phase: Phase,
    /// Made.
    pub(crate) done: u64,
    /// To be made in this phase.
    pub(crate) total: u64,
    /// Made a second, over the last seconds; absent in the first moment of a phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_per_s: Option<u64>,
    /// Seconds left at this rate; absent while nothing comes to an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) eta_s: Option<u64>,
}

/// How many of the missing are named: enough to go and look, few enough for a line.
pub(crate) const NAMED: usize = 8;

/// Shows events. Called from the run's own task: it must not block for long.
pub(crate) trait Sink: Send {
    /// Shows one event.
    fn show(&mut self, event: &Event);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One event of each kind, with every field that it can have.
    fn every() -> Vec<Event> {
        let node: NodeId = "10.0.0.1".parse().unwrap();
        let reason = String::new;
        let pace = Pace {
            phase: Phase::Asking,
            done: 1,
            total: 2,
            rate_per_s: Some(3),
            eta_s: Some(4),
        };
        vec![
            Event::LabBuilding { hosts: 1 },
            Event::Listening {
                addresses: Vec::new(),
                expected: 1,
                own: true,
                join_file: Some(reason()),
                replaced: true,
            },
            Event::Waiting {
                missing: vec![node],
                total: 1,
                left_s: 1,
            },
            Event::Joined {
                node,
                joined: 1,
                expected: 1,
            },
            Event::NotAdmitted {
                address: [10, 0, 0, 1].into(),
                reason: reason(),
            },
            Event::CutOff {
                node,
                reason: reason(),
            },
            Event::NotJoined { node, left_out: true },
            Event::Lost {
                node,
                why: LostWhy::Silent,
            },
            Event::Late { node },
            Event::Refused {
                node,
                reason: reason(),
            },
            Event::ConntrackTight {
                node,
                entries: 1,
                limit: 1,
            },
            Event::Phase { phase: Phase::Asking },
            Event::Tests(pace),
            Event::Tested {
                phase: Phase::Asking,
                done: 1,
                took_ms: 1,
            },
            Event::Interrupted,
            Event::Judging { lines: 1 },
        ]
    }

    /// The place of an event in [`every`]; a further kind of event is missing here first.
    fn place(event: &Event) -> usize {
        match event {
            Event::LabBuilding { .. } => 0,
            Event::Listening { .. } => 1,
            Event::Waiting { .. } => 2,
            Event::Joined { .. } => 3,
            Event::NotAdmitted { .. } => 4,
            Event::CutOff { .. } => 5,
            Event::NotJoined { .. } => 6,
            Event::Lost { .. } => 7,
            Event::Late { .. } => 8,
            Event::Refused { .. } => 9,
            Event::ConntrackTight { .. } => 10,
            Event::Phase { .. } => 11,
            Event::Tests(_) => 12,
            Event::Tested { .. } => 13,
            Event::Interrupted => 14,
            Event::Judging { .. } => 15,
        }
    }

    #[test]
    fn every_event_and_field_is_documented() {
        let document = include_str!("../../../docs/events.md");
        for (index, event) in every().iter().enumerate() {
            assert_eq!(place(event), index);
            let json = serde_json::to_value(event).unwrap();
            let name = json["event"].as_str().unwrap();
            let row = document
                .lines()
                .find(|line| line.starts_with(&format!("| `{name}` |")))
                .unwrap_or_else(|| panic!("docs/events.md has no row for {name}"));
            for field in json.as_object().unwrap().keys().filter(|field| *field != "event") {
                assert!(
                    row.contains(&format!("`{field}`")),
                    "{name}: {field} is not in {row}"
                );
            }
        }
    }
}
