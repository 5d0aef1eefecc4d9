//! SIGINT and SIGTERM in every phase: what there is gets signed, the exit code is 3, nothing is left behind, nothing hangs.

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use plumbline_lab::{Entered, Fault, Lab};
use plumbline_model::{
    canonical,
    input::Purpose,
    report::{Report, Verdict},
};
use plumbline_tests::{
    rehearsal::{self, FIRST, Rehearsal, SECOND, id},
    running::{Running, processes_with},
    stage::{self, Programs},
    trials::{self, Trial},
};
use rustix::process::Signal;
use tempfile::TempDir;

const TRIALS: &[Trial] = &[
    (
        "while_the_lab_is_built_a_signal_ends_the_command_without_a_report",
        while_building,
    ),
    (
        "while_probes_join_a_signal_ends_in_a_signed_report",
        while_joining,
    ),
    (
        "while_nobody_has_joined_a_signal_ends_in_a_signed_report_of_nothing",
        while_waiting,
    ),
    (
        "while_ports_are_bound_a_signal_ends_in_a_signed_report",
        while_arming,
    ),
    ("while_tests_run_sigint_ends_in_a_signed_report", while_asking),
    (
        "while_tests_run_sigterm_ends_in_a_signed_report",
        while_asking_terminated,
    ),
    (
        "while_both_ends_look_a_signal_ends_in_a_signed_report",
        while_looking,
    ),
    (
        "while_ports_are_closed_a_signal_ends_in_a_signed_report",
        while_releasing,
    ),
    (
        "while_probes_go_home_a_signal_ends_in_a_signed_report",
        while_finishing,
    ),
    ("a_signal_after_the_run_is_over_costs_nothing", while_judging),
    ("the_second_signal_ends_at_once_and_leaves_nothing", twice),
];

fn main() -> ExitCode {
    trials::main(TRIALS)
}

fn while_building(_: &Entered) -> Result<(), String> {
    let mut audit = Audit::start(&[])?;
    audit
        .coordinator
        .wait_for_event("the lab", |event| event["event"] == "lab_building")?;
    audit.coordinator.signal(Signal::INT)?;
    let log = audit.ends_without_report()?;
    says(&log, "interrupted before any probe joined")
}

fn while_joining(_: &Entered) -> Result<(), String> {
    in_phase("joining", Signal::TERM, Verdict::Incomplete)
}

fn while_arming(_: &Entered) -> Result<(), String> {
    in_phase("arming", Signal::INT, Verdict::Incomplete)
}

fn while_asking(_: &Entered) -> Result<(), String> {
    // Tests in flight must not see ports close under them and be taken for failures; where each is, chance decides.
    (0..CHANCES).try_for_each(|_| in_phase("asking", Signal::INT, Verdict::Incomplete))
}

fn while_asking_terminated(_: &Entered) -> Result<(), String> {
    (0..CHANCES).try_for_each(|_| in_phase("asking", Signal::TERM, Verdict::Incomplete))
}

fn while_releasing(_: &Entered) -> Result<(), String> {
    // Every test was made: what there is, is whole, and yet the run was ended by hand.
    in_phase("releasing_arm", Signal::INT, Verdict::Passed)
}

fn while_finishing(_: &Entered) -> Result<(), String> {
    in_phase("finishing", Signal::TERM, Verdict::Passed)
}

fn while_waiting(_: &Entered) -> Result<(), String> {
    let programs = Programs::from_env()?;
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut command = Command::new(&programs.plumbline);
    command
        .arg("check")
        .arg(rehearsal::cluster())
        .args([
            "--swarm",
            "joined",
            "--listen",
            "127.0.0.1:0",
            "--join-file",
            "join.json",
            "--json-events",
        ])
        .args([
            "--identity",
            "identity.pem",
            "--out",
            "report",
            "--exclude",
            "coordinator",
        ]);
    let mut audit = Audit::of(programs, work, &mut command)?;
    audit.coordinator.wait_for_phase("joining")?;
    audit.coordinator.signal(Signal::INT)?;
    let report = audit.ends_in_report(3)?;
    is(report.verdict, Verdict::Incomplete)?;
    is(report.coverage.measured, 0)
}

fn while_looking(entered: &Entered) -> Result<(), String> {
    let (topology, _) = stage::topology(&[(Purpose::Cluster, rehearsal::cluster())])?;
    for phase in ["looking", "asking_again"] {
        let mut lab = Lab::up(entered, topology.clone()).map_err(|error| error.to_string())?;
        let fault = Fault::HostDrop {
            host: id(SECOND)?,
            family: None,
            transport: None,
            ports: Some("10250".parse().map_err(|error| format!("{error}"))?),
            from: None,
        };
        lab.apply(&fault).map_err(|error| error.to_string())?;
        let mut run = Rehearsal::start_in(lab, &[])?;
        let probes = [run.join(FIRST)?, run.join(SECOND)?];
        run.coordinator.wait_for_phase(phase)?;
        run.coordinator.signal(Signal::INT)?;
        let report = run.end(3)?.report;
        // What failed before the signal failed, whatever the second look would have added.
        let failed = report
            .findings
            .iter()
            .any(|finding| finding.affects.iter().any(|affected| affected.port == 10250));
        if !failed {
            return Err(format!("{phase}: the failure is lost: {:?}", report.findings));
        }
        for probe in probes {
            is(probe.end()?.0, Some(0))?;
        }
    }
    Ok(())
}

fn while_judging(_: &Entered) -> Result<(), String> {
    let mut audit = Audit::start(&[])?;
    audit.coordinator.wait_for_phase("done")?;
    // It may have ended by itself, which is as good.
    let _ = audit.coordinator.signal(Signal::INT);
    let report = audit.ends_in_report(0)?;
    is(report.verdict, Verdict::Passed)
}

fn twice(_: &Entered) -> Result<(), String> {
    let mut audit = Audit::start(&["--max-rate", "50"])?;
    audit.coordinator.wait_for_phase("asking")?;
    // Two different ones: a signal that comes again before the first was taken counts once.
    audit.coordinator.signal(Signal::INT)?;
    audit.coordinator.signal(Signal::TERM)?;
    let log = audit.ends_without_report()?;
    says(&log, "interrupted twice, and nothing was signed")
}

fn in_phase(phase: &str, signal: Signal, verdict: Verdict) -> Result<(), String> {
    // Slow where the tests themselves are to be met.
    let arguments: &[&str] = if phase == "asking" {
        &["--max-rate", "50"]
    } else {
        &[]
    };
    let mut audit = Audit::start(arguments)?;
    audit.coordinator.wait_for_phase(phase)?;
    audit.coordinator.signal(signal)?;
    let report = if verdict == Verdict::Passed {
        audit.ends_as_heard()?
    } else {
        audit.ends_in_report(3)?
    };
    is(report.verdict, verdict)
}

/// A small audit with a lab of its own, in a directory of its own.
struct Audit {
    coordinator: Running,
    programs: Programs,
    work: TempDir,
    /// What every process of the audit has in its environment.
    mark: String,
}

impl Audit {
    fn start(arguments: &[&str]) -> Result<Self, String> {
        let programs = Programs::from_env()?;
        let work = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut command = Command::new(&programs.plumbline);
        command
            .arg("check")
            .arg(rehearsal::cluster())
            .args([
                "--swarm",
                "lab",
                "--json-events",
                "--nodes",
                &format!("{FIRST},{SECOND}"),
            ])
            .args(["--identity", "identity.pem", "--out", "report"])
            .args(arguments);
        Self::of(programs, work, &mut command)
    }

    fn of(programs: Programs, work: TempDir, command: &mut Command) -> Result<Self, String> {
        let mark = work.path().display().to_string();
        command.current_dir(work.path()).env(MARK, &mark);
        Ok(Self {
            coordinator: Running::start(command)?,
            programs,
            work,
            mark,
        })
    }

    /// The signal met the last moments of a run in which all was measured: 3 if it was heard before the end, 0 if not, and
    /// a report that verifies.
    fn ends_as_heard(self) -> Result<Report, String> {
        self.ends(|log| {
            if log.contains(r#"{"event":"interrupted"}"#) {
                3
            } else {
                0
            }
        })
    }

    /// It ends with this code and a report that verifies.
    fn ends_in_report(self, code: i32) -> Result<Report, String> {
        self.ends(|_| code)
    }

    fn ends(self, code: impl Fn(&str) -> i32) -> Result<Report, String> {
        let Self {
            coordinator,
            programs,
            work,
            mark,
        } = self;
        let signalled = Instant::now();
        let ended = coordinator.end()?;
        let log = format!("{}\n{}", ended.stdout, ended.stderr);
        let code = code(&log);
        if ended.code != Some(code) {
            return Err(format!(
                "it ended with {:?} instead of {code}:\n{log}",
                ended.code
            ));
        }
        in_time(signalled)?;
        match stage::verify(&programs, &work.path().join("report"))? {
            (Some(0), _) => {}
            (code, text) => return Err(format!("verify ended with {code:?}:\n{text}\n{log}")),
        }
        nothing_is_left(work.path(), &mark, &["identity.pem", "join.json", "report"])?;
        let bytes = fs::read(work.path().join("report/report.json")).map_err(|error| error.to_string())?;
        canonical::decode(&bytes).map_err(|error| format!("read report.json: {error}"))
    }

    /// It ends with 3 and nothing under the report's name; gives what it said.
    fn ends_without_report(self) -> Result<String, String> {
        let Self {
            coordinator,
            work,
            mark,
            ..
        } = self;
        let signalled = Instant::now();
        let ended = coordinator.end()?;
        if ended.code != Some(3) {
            return Err(format!(
                "it ended with {:?} instead of 3:\n{}",
                ended.code, ended.stderr
            ));
        }
        in_time(signalled)?;
        nothing_is_left(work.path(), &mark, &["identity.pem"])?;
        Ok(ended.stderr)
    }
}

fn in_time(signalled: Instant) -> Result<(), String> {
    let took = signalled.elapsed();
    if took > BOUND {
        return Err(format!("it went on for {} s after the signal", took.as_secs()));
    }
    Ok(())
}

/// No file but these, and no process of the audit.
fn nothing_is_left(work: &Path, mark: &str, files: &[&str]) -> Result<(), String> {
    for entry in fs::read_dir(work)
        .map_err(|error| error.to_string())?
        .filter_map(Result::ok)
    {
        if !files.iter().any(|name| entry.file_name() == **name) {
            return Err(format!("{} was left behind", entry.path().display()));
        }
    }
    let left = processes_with(MARK, mark).map_err(|error| error.to_string())?;
    if left.is_empty() {
        Ok(())
    } else {
        Err(format!("processes live on: {left:?}"))
    }
}

fn says(log: &str, words: &str) -> Result<(), String> {
    if log.contains(words) {
        Ok(())
    } else {
        Err(format!("{words:?} is missing:\n{log}"))
    }
}

fn is<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("found {found:?}, expected {expected:?}"))
    }
}

/// The variable that marks an audit's processes.
const MARK: &str = "PLUMBLINE_TEST_AUDIT";
/// Enough that one of them meets a test in flight.
const CHANCES: u32 = 4;
/// How long a signal may take to end the run.
const BOUND: Duration = Duration::from_secs(30);
