//! How an audit's progress is shown on standard error: a bar on a terminal, lines elsewhere, JSON on request, or nothing.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use plumbline_model::{evidence::LostWhy, id::NodeId};

use crate::{
    audit::progress::{Event, Pace, Sink},
    conductor::Phase,
    render::{count, counted, printable},
};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// A bar on a terminal, lines otherwise.
    Human,
    /// One JSON object a line.
    Json,
    /// Not at all.
    Quiet,
}

/// The sink for a manner.
pub(super) fn sink(manner: Manner) -> Box<dyn Sink> {
    match manner {
        Manner::Quiet => Box::new(Quiet),
        Manner::Json => Box::new(Json),
        Manner::Human if io::stderr().is_terminal() => Box::new(Bar::new()),
        Manner::Human => Box::new(Lines::default()),
    }
}

/// Between two lines about the number of tests: often enough to see life, seldom enough for a log.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Quiet;

impl Sink for Quiet {
    fn show(&mut self, _: &Event) {}
}

#[derive(Debug)]
struct Json;

impl Sink for Json {
    fn show(&mut self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            say(&line);
        }
    }
}

#[derive(Debug, Default)]
struct Lines {
    last_tests: Option<Instant>,
    last_phase: Option<Phase>,
}

impl Lines {
    /// Whether a phase begins that is not under way already: each turn of `--active` begins the phase of turns again.
    fn is_news(&mut self, event: &Event) -> bool {
        match event {
            Event::Phase { phase } => self.last_phase.replace(*phase) != Some(*phase),
            _ => true,
        }
    }
}

impl Sink for Lines {
    fn show(&mut self, event: &Event) {
        match event {
            // The first one says how much there is to do, which the phase's own line does not.
            Event::Tests(_) if self.last_tests.is_some_and(|last| last.elapsed() < LINE_INTERVAL) => {}
            Event::Joined { joined, expected, .. } if joined < expected => {}
            event if !self.is_news(event) => {}
            event => {
                if matches!(event, Event::Tests(_)) {
                    self.last_tests = Some(Instant::now());
                }
                if let Some(sentence) = sentence(event) {
                    say(&sentence);
                }
            }
        }
    }
}

#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(spinning());
        Self { bar }
    }
}

impl Sink for Bar {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Tests(pace) => {
                if self.bar.length().is_none() {
                    self.bar.set_style(counting());
                }
                self.bar.set_length(pace.total);
                self.bar.set_prefix(speed(pace));
                self.bar.set_position(pace.done);
            }
            Event::Joined { joined, expected, .. } => {
                self.bar
                    .set_message(format!("{joined} of {} joined", counted(*expected, "probe")));
                self.bar.tick();
            }
            waiting @ Event::Waiting { .. } => {
                if let Some(sentence) = sentence(waiting) {
                    self.bar.set_message(printable(&sentence));
                    self.bar.tick();
                }
            }
            Event::Phase { phase } => {
                if let Some(words) = phase_words(*phase) {
                    self.bar.unset_length();
                    self.bar.set_style(spinning());
                    self.bar.set_prefix("");
                    self.bar.set_message(words);
                    self.bar.tick();
                }
            }
            event => {
                if let Some(sentence) = sentence(event) {
                    self.bar.println(printable(&sentence));
                }
            }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn spinning() -> ProgressStyle {
    ProgressStyle::with_template("{elapsed} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The prefix holds rate and time left: ours, over the last seconds of this phase.
fn counting() -> ProgressStyle {
    ProgressStyle::with_template("{elapsed} {msg} {wide_bar} {human_pos}/{human_len}{prefix}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// `, 240/s, 1 min 5 s left`, as far as it is known.
fn speed(pace: &Pace) -> String {
    let rate = pace.rate_per_s.map(|rate| format!(", {rate}/s"));
    let left = pace.eta_s.map(|seconds| format!(", {} left", span(seconds)));
    format!("{}{}", rate.unwrap_or_default(), left.unwrap_or_default())
}

/// A time for people.
fn span(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

fn sentence(event: &Event) -> Option<String> {
    Some(match event {
        Event::LabBuilding { hosts } => {
            format!("building {} out of network namespaces", counted(*hosts, "host"))
        }
        Event::Listening {
            addresses,
            expected,
            own,
            join_file,
            replaced,
        } => {
            let nodes = expected.saturating_sub(usize::from(*own));
            let also = if *own { " (and this machine)" } else { "" };
            let file = where_join_strings_are(join_file.as_deref(), *replaced);
            let at = addresses.join(", ");
            format!("waiting for {}{also} on {at}{file}", counted(nodes, "node"))
        }
        Event::Waiting {
            missing,
            total,
            left_s,
        } => format!(
            "still waiting for {}, for {} at most",
            first_of(missing, *total),
            span(*left_s)
        ),
        Event::Joined { joined, expected, .. } => {
            format!("{joined} of {} joined", counted(*expected, "probe"))
        }
        Event::NotAdmitted { address, reason } => format!("{address} was not admitted: {reason}"),
        Event::CutOff { node, reason } => format!("the session of {} was ended: {reason}", who(*node)),
        Event::NotJoined { node, left_out: true } => {
            format!("{} did not join in time and is left out", who(*node))
        }
        Event::NotJoined {
            node,
            left_out: false,
        } => {
            format!(
                "{} did not join in time; the audit goes on without it (is its probe running, can it reach this machine?)",
                who(*node)
            )
        }
        Event::Lost { node, why } => {
            let (who, why) = (who(*node), why_lost(*why));
            format!("{who} was given up: {why}; the audit goes on without it")
        }
        Event::Late { node } => format!(
            "{} came back too late and is not used again in this run",
            who(*node)
        ),
        Event::Refused { node, reason } => format!("{} refused its assignment: {reason}", who(*node)),
        Event::ConntrackTight { node, entries, limit } => format!(
            "{node} tracks {entries} of at most {limit} connections: tests take no more than half of what is left, and go \
             slower where that needs it (on that node, sysctl -w net.netfilter.nf_conntrack_max=N raises the limit)"
        ),
        Event::Phase { phase } => phase_words(*phase)?.to_owned(),
        Event::Tests(pace) => format!(
            "{}: {} of {}{}",
            phase_words(pace.phase)?,
            pace.done,
            count(pace.total, "test"),
            speed(pace)
        ),
        Event::Tested { phase, done, took_ms } => format!(
            "{}: {} in {}.{} s",
            phase_words(*phase)?,
            count(*done, "test"),
            took_ms / 1000,
            took_ms % 1000 / 100
        ),
        Event::Interrupted => "interrupted: what there is will be signed; once more ends at once".to_owned(),
        Event::Judging { lines } => format!("judging {} of evidence", counted(*lines, "line")),
    })
}

fn where_join_strings_are(join_file: Option<&str>, replaced: bool) -> String {
    let before = if replaced {
        ", in place of those of an earlier run"
    } else {
        ""
    };
    let said = |file| {
        format!("; join strings are in {file}{before}: on each node, `plumbline-probe join -` reads its own")
    };
    join_file.map_or_else(String::new, said)
}

/// The first few of so many nodes.
fn first_of(nodes: &[NodeId], total: usize) -> String {
    let names: Vec<String> = nodes.iter().map(|node| who(*node)).collect();
    let names = names.join(", ");
    match total.saturating_sub(nodes.len()) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

fn why_lost(why: LostWhy) -> &'static str {
    match why {
        LostWhy::StreamEnded => "its connection ended and it did not come back",
        LostWhy::Silent => "it has fallen silent",
        LostWhy::Overdue => "it did not finish its work in time",
    }
}

/// A participant in a sentence.
fn who(node: NodeId) -> String {
    match node {
        NodeId::Coordinator => "this machine's own probe".to_owned(),
        NodeId::Address(address) => address.to_string(),
    }
}

fn phase_words(phase: Phase) -> Option<&'static str> {
    Some(match phase {
        Phase::Joining => "waiting for probes",
        Phase::Arming => "preparing the nodes",
        Phase::Asking => "testing",
        Phase::Narrowing => "narrowing down which ports fail",
        Phase::Looking => "something failed: starting captures at both ends",
        Phase::AskingAgain => "testing again what failed, while both ends look",
        Phase::ReleasingLook => "collecting what the captures saw",
        Phase::ReleasingArm => "closing what was opened",
        Phase::Examining => "looking at layers 2 and 3, paths and the outside",
        Phase::InTurn => "doing what --active allows, VIPs and tunnels, one after the other",
        Phase::Surveying => "reading the packet filters of nodes with failures",
        Phase::WindingUp => "winding up",
        Phase::Finishing => "sending the probes home",
        Phase::Done => return None,
    })
}

fn say(line: &str) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{}", printable(line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_in_words_names_its_phase_its_rate_and_the_time_left() {
        let pace = Pace {
            phase: Phase::Asking,
            done: 1_200,
            total: 16_995,
            rate_per_s: Some(240),
            eta_s: Some(66),
        };
        assert_eq!(
            sentence(&Event::Tests(pace)).unwrap(),
            "testing: 1200 of 16995 tests, 240/s, 1 min 6 s left"
        );
        let first = Pace {
            done: 0,
            rate_per_s: None,
            eta_s: None,
            ..pace
        };
        assert_eq!(
            sentence(&Event::Tests(first)).unwrap(),
            "testing: 0 of 16995 tests"
        );
        assert_eq!(span(3_660), "1 h 1 min");
    }

    #[test]
    fn a_phase_that_begins_again_for_each_turn_is_told_once() {
        let mut lines = Lines::default();
        let mut news = |phase| lines.is_news(&Event::Phase { phase });
        assert!(news(Phase::Arming));
        assert!(news(Phase::InTurn));
        assert!(!news(Phase::InTurn) && !news(Phase::InTurn));
        assert!(news(Phase::Surveying));
    }

    #[test]
    fn who_is_waited_for_is_named_and_the_rest_counted() {
        let waiting = Event::Waiting {
            missing: vec!["10.0.0.7".parse().unwrap(), NodeId::Coordinator],
            total: 5,
            left_s: 130,
        };
        assert_eq!(
            sentence(&waiting).unwrap(),
            "still waiting for 10.0.0.7, this machine's own probe and 3 more, for 2 min 10 s at most"
        );
        let listening = Event::Listening {
            addresses: vec!["10.0.0.9:7443".to_owned()],
            expected: 5,
            own: true,
            join_file: None,
            replaced: false,
        };
        assert_eq!(
            sentence(&listening).unwrap(),
            "waiting for 4 nodes (and this machine) on 10.0.0.9:7443"
        );
    }

    #[test]
    fn an_event_as_json_is_flat() {
        let pace = Pace {
            phase: Phase::Narrowing,
            done: 1,
            total: 2,
            rate_per_s: Some(3),
            eta_s: Some(4),
        };
        assert_eq!(
            serde_json::to_string(&Event::Tests(pace)).unwrap(),
            r#"{"event":"tests","phase":"narrowing","done":1,"total":2,"rate_per_s":3,"eta_s":4}"#
        );
    }
}
