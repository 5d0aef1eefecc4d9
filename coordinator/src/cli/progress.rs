//! How an audit's progress is shown on standard error: a bar on a terminal, lines elsewhere, JSON on request, or nothing.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use plumbline_model::evidence::LostWhy;

use crate::{
    audit::progress::{Event, Sink},
    conductor::Phase,
    render::printable,
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
        Manner::Human => Box::new(Lines { last_tests: None }),
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

#[derive(Debug)]
struct Lines {
    last_tests: Option<Instant>,
}

impl Sink for Lines {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Tests { done, total } => {
                if self.last_tests.is_none_or(|last| last.elapsed() >= LINE_INTERVAL) {
                    self.last_tests = Some(Instant::now());
                    say(&format!("{done} of {total} tests made"));
                }
            }
            Event::Joined { joined, expected, .. } if joined < expected => {}
            event => {
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
            Event::Tests { done, total } => {
                if self.bar.length() != Some(*total) {
                    self.bar.reset();
                    self.bar.set_length(*total);
                    self.bar.set_style(counting());
                }
                self.bar.set_position(*done);
            }
            Event::Joined { joined, expected, .. } => {
                self.bar
                    .set_message(format!("{joined} of {expected} probes joined"));
                self.bar.tick();
            }
            Event::Phase { phase } => {
                if let Some(words) = phase_words(*phase) {
                    self.bar.unset_length();
                    self.bar.set_style(spinning());
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

fn counting() -> ProgressStyle {
    ProgressStyle::with_template("{elapsed} {msg} {wide_bar} {human_pos}/{human_len}  {per_sec}  {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn sentence(event: &Event) -> Option<String> {
    Some(match event {
        Event::LabBuilding { hosts } => format!("building {hosts} hosts out of network namespaces"),
        Event::Listening {
            addresses,
            expected,
            join_file,
        } => {
            let file = join_file.as_ref().map_or_else(String::new, |file| {
                format!("; join strings are in {file}: on each node, `plumbline-probe join -` reads its own")
            });
            format!("waiting for {expected} probes on {}{file}", addresses.join(", "))
        }
        Event::Joined { joined, expected, .. } => format!("{joined} of {expected} probes joined"),
        Event::NotAdmitted { address, reason } => format!("{address} was not admitted: {reason}"),
        Event::CutOff { node, reason } => format!("the session of {node} was ended: {reason}"),
        Event::NotJoined { node, left_out: true } => {
            format!("{node} did not join in time and is left out")
        }
        Event::NotJoined {
            node,
            left_out: false,
        } => {
            format!(
                "{node} did not join in time; the audit goes on without it (is its probe running, can it reach this machine?)"
            )
        }
        Event::Lost { node, why } => {
            let why = match why {
                LostWhy::StreamEnded => "its connection ended and it did not come back",
                LostWhy::Silent => "it has fallen silent",
                LostWhy::Overdue => "it did not finish its work in time",
            };
            format!("{node} was given up: {why}; the audit goes on without it")
        }
        Event::Late { node } => format!("{node} came back too late and is not used again in this run"),
        Event::Refused { node, reason } => format!("{node} refused its assignment: {reason}"),
        Event::ConntrackTight { node, entries, limit } => format!(
            "{node} tracks {entries} of at most {limit} connections: tests take no more than half of what is left, and go \
             slower where that needs it (net.netfilter.nf_conntrack_max raises the limit)"
        ),
        Event::Phase { phase } => phase_words(*phase)?.to_owned(),
        Event::Tests { done, total } => format!("{done} of {total} tests made"),
        Event::Interrupted => "interrupted: what there is will be signed; once more ends at once".to_owned(),
        Event::Judging { lines } => format!("judging {lines} lines of evidence"),
    })
}

fn phase_words(phase: Phase) -> Option<&'static str> {
    Some(match phase {
        Phase::Joining => "waiting for probes",
        Phase::Arming => "binding the ports of the tables",
        Phase::Asking => "testing",
        Phase::Narrowing => "narrowing down which ports fail",
        Phase::Looking => "something failed: starting captures at both ends",
        Phase::AskingAgain => "testing again what failed, while both ends look",
        Phase::ReleasingLook => "collecting what the captures saw",
        Phase::ReleasingArm => "closing the ports",
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
