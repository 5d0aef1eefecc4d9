//! What happens in mid-run, and when: the coordinator's events are read to their end, and faults planted and healed on the
//! way.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Child, Command},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use plumbline_lab::{FaultId, Lab, LabChild};
use plumbline_model::id::NodeId;

use super::PATIENCE;
use crate::scenario::{Event, Happening, What};

/// Reads the coordinator's events to their end and lets happen what the scenario wants.
pub(super) fn follow(
    lab: &mut Lab,
    coordinator: &mut Child,
    events: &[Event],
    probes: &BTreeMap<NodeId, LabChild>,
) -> Result<String, String> {
    let stderr = coordinator
        .stderr
        .take()
        .ok_or("the coordinator has no standard error")?;
    let own = coordinator.id();
    let (sender, lines) = mpsc::sync_channel(LINES_AHEAD);
    let reader = thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            // Nobody takes lines any more once something went wrong.
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut script = Script::new(events);
    let mut log = String::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let until = script.next_due().map_or(deadline, |due| due.min(deadline));
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let line = line.map_err(|error| format!("read the coordinator's events: {error}"))?;
                let parsed: Option<serde_json::Value> = serde_json::from_str(&line).ok();
                if let Some(phase) = parsed.as_ref().and_then(|event| event["phase"].as_str()) {
                    script.entered(phase);
                }
                log.push_str(&line);
                log.push('\n');
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                // Only that it ends matters.
                let _ = coordinator.kill();
                return Err(format!(
                    "the coordinator did not end within {} s:\n{log}",
                    PATIENCE.as_secs()
                ));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        while let Some(step) = script.take_due() {
            script.after(step.perform(lab, own, probes)?);
        }
    }
    reader
        .join()
        .map_err(|_| "reading the coordinator's events panicked")?;
    match script.left() {
        Some(phase) => Err(format!("the run never came to phase {phase:?}:\n{log}")),
        None => Ok(log),
    }
}

/// What happens when.
struct Script<'a> {
    /// Whose phase has not come.
    waiting: Vec<&'a Event>,
    /// Whose phase has.
    due: Vec<(Instant, Step)>,
}

/// Something to do at a moment.
enum Step {
    Happen(Happening),
    Heal(FaultId),
}

impl<'a> Script<'a> {
    fn new(events: &'a [Event]) -> Self {
        Self {
            waiting: events.iter().collect(),
            due: Vec::new(),
        }
    }

    fn entered(&mut self, phase: &str) {
        let now = Instant::now();
        let (come, waiting) = self.waiting.drain(..).partition(|event| event.at == phase);
        self.waiting = waiting;
        let come: Vec<&Event> = come;
        self.due.extend(come.into_iter().map(|event| {
            let at = now + Duration::from_millis(event.after_ms);
            (at, Step::Happen(event.what.clone()))
        }));
    }

    fn next_due(&self) -> Option<Instant> {
        self.due.iter().map(|(at, _)| *at).min()
    }

    fn take_due(&mut self) -> Option<Step> {
        let now = Instant::now();
        let index = self.due.iter().position(|(at, _)| *at <= now)?;
        Some(self.due.remove(index).1)
    }

    fn after(&mut self, healing: Option<(Instant, FaultId)>) {
        self.due.extend(healing.map(|(at, id)| (at, Step::Heal(id))));
    }

    /// The phase of an event that never came. What is still planted goes with the lab.
    fn left(&self) -> Option<&str> {
        let planned = self.due.iter().any(|(_, step)| matches!(step, Step::Happen(_)));
        let waiting = self.waiting.first().map(|event| event.at.as_str());
        waiting.or_else(|| planned.then_some("after which something should happen"))
    }
}

impl Step {
    /// Does it; when what it planted is to be healed.
    fn perform(
        self,
        lab: &mut Lab,
        coordinator: u32,
        probes: &BTreeMap<NodeId, LabChild>,
    ) -> Result<Option<(Instant, FaultId)>, String> {
        match self {
            Self::Happen(Happening::Signal { what, to }) => {
                send(what, to, coordinator, probes)?;
                Ok(None)
            }
            Self::Happen(Happening::Fault { fault, heal_after_ms }) => {
                let id = lab
                    .apply(&fault)
                    .map_err(|error| format!("plant {fault:?}: {error}"))?;
                let healed = |after| (Instant::now() + Duration::from_millis(after), id);
                Ok(heal_after_ms.map(healed))
            }
            Self::Heal(id) => {
                lab.heal(id).map_err(|error| error.to_string())?;
                Ok(None)
            }
        }
    }
}

fn send(what: What, to: NodeId, coordinator: u32, probes: &BTreeMap<NodeId, LabChild>) -> Result<(), String> {
    let pid = match to {
        NodeId::Coordinator => coordinator,
        node => probes
            .get(&node)
            .ok_or_else(|| format!("{node} has no probe"))?
            .pid(),
    };
    let signal = |name: &str| -> Result<(), String> {
        let status = Command::new("kill")
            .args([format!("-{name}"), pid.to_string()])
            .status()
            .map_err(|error| format!("signal {pid}: {error}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("signal {pid}: kill ended with {status}"))
        }
    };
    match what {
        What::Kill => signal("KILL"),
        What::Freeze => signal("STOP"),
        What::Interrupt => signal("INT"),
        What::StopTenSeconds => {
            signal("STOP")?;
            thread::sleep(STOP);
            signal("CONT")
        }
    }
}

/// How long the coordinator sleeps in [`What::StopTenSeconds`].
const STOP: Duration = Duration::from_secs(10);
/// Lines of the coordinator that may wait for the test; then it waits itself.
const LINES_AHEAD: usize = 1024;
