//! The lab tier: every file in `tests/scenarios/` is run with the real programs in network namespaces.
//!
//! This program starts itself once for each scenario, since a process must be single-threaded when it enters its
//! namespaces. A few scenarios run at the same time, as most of their time is waiting; `PLUMBLINE_LAB_JOBS` says how many.
//! Those that change a setting of the whole machine, or have many hosts, have it to themselves. With
//! `PLUMBLINE_LAB_REPEAT=50` each is run fifty times and every run counts: what fails once in fifty is a defect.

#![expect(
    clippy::print_stdout,
    reason = "the results of a test binary without a harness"
)]

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use plumbline_lab::{Entered, Lab};
use plumbline_tests::{
    gate::is_required,
    outside,
    scenario::{Expectation, Scenario, tests_dir},
    stage::{self, Programs, firewalld::Firewalls, live::Living, routers::Router},
    stand_in::{self, STAND_IN},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [flag, path] if flag == "--scenario" => match run(Path::new(path)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("{error}");
                ExitCode::FAILURE
            }
        },
        [flag, log, service] if flag == STAND_IN => stand_in::main(Path::new(log), service),
        [flag] if flag == "--list" => {
            for path in scenarios() {
                println!("{}: test", name(&path));
            }
            ExitCode::SUCCESS
        }
        filters => all(filters),
    }
}

fn all(filters: &[String]) -> ExitCode {
    let wanted: Vec<&String> = filters.iter().filter(|filter| !filter.starts_with('-')).collect();
    let paths: Vec<PathBuf> = scenarios()
        .into_iter()
        .filter(|path| wanted.is_empty() || wanted.iter().any(|filter| name(path).contains(filter.as_str())))
        .collect();
    println!("\nrunning {} tests", paths.len());
    if let Err(unavailable) = plumbline_lab::capabilities() {
        return cannot(&paths, &unavailable.to_string());
    }
    let lacks = |path: &PathBuf| !missing_programs(path).is_empty();
    let (lacking, ready): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(lacks);
    let (alone, together): (Vec<_>, Vec<_>) = ready.into_iter().partition(|path| is_alone(path));
    let mut failed = run_all(together, positive("PLUMBLINE_LAB_JOBS").unwrap_or(JOBS));
    failed.extend(run_all(alone, 1));
    let ignored = ignore(lacking, &mut failed);
    let passed = paths.len() - failed.len() - ignored;
    for (name, why) in &failed {
        println!("\n---- scenario::{name} ----\n{why}");
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {} failed; {ignored} ignored; 0 measured; 0 filtered out\n",
        failed.len()
    );
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs scenarios, so many at a time; what became of those that failed.
fn run_all(mut paths: Vec<PathBuf>, jobs: u32) -> Vec<(String, String)> {
    paths.reverse();
    let (waiting, failed) = (Mutex::new(paths), Mutex::new(Vec::new()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(path) = next() {
                    let name = name(&path);
                    let started = Instant::now();
                    let why = why_it_fails(&path);
                    let word = if why.is_none() { "ok" } else { "FAILED" };
                    println!(
                        "test scenario::{name} ... {word} ({:.1} s)",
                        started.elapsed().as_secs_f32()
                    );
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.extend(why.map(|why| (name, why)));
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn why_it_fails(path: &Path) -> Option<String> {
    let output = std::env::current_exe()
        .and_then(|program| Command::new(program).arg("--scenario").arg(path).output());
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            Some(said + &String::from_utf8_lossy(&output.stderr))
        }
        Err(error) => Some(format!("start the scenario: {error}")),
    }
}

/// A file that does not read fails when it runs.
fn is_alone(path: &Path) -> bool {
    Scenario::read(path).is_ok_and(|scenario| scenario.alone)
}

/// Programs that a scenario takes and that are not on this machine.
fn missing_programs(path: &Path) -> Vec<&'static str> {
    Scenario::read(path).map_or_else(|_| Vec::new(), |scenario| scenario.missing_programs())
}

/// Names scenarios for which this machine lacks programs, and counts them; with PLUMBLINE_REQUIRE_LAB=1 each is a failure.
fn ignore(lacking: Vec<PathBuf>, failed: &mut Vec<(String, String)>) -> usize {
    let mut ignored = 0;
    for path in lacking {
        let missing = missing_programs(&path).join(", ");
        let why = format!("{missing} missing: run `cargo xtask test --install`");
        println!("test scenario::{} ... ignored, {why}", name(&path));
        if is_required() {
            failed.push((name(&path), why));
        } else {
            ignored += 1;
        }
    }
    ignored
}

/// A number of the environment, if it is one and not 0.
fn positive(variable: &str) -> Option<u32> {
    let text = std::env::var(variable).ok()?;
    text.parse().ok().filter(|number| *number > 0)
}

/// Names and counts what cannot run here; with PLUMBLINE_REQUIRE_LAB=1 that is a failure.
fn cannot(paths: &[PathBuf], why: &str) -> ExitCode {
    for path in paths {
        println!("test scenario::{} ... ignored, {why}", name(path));
    }
    let required = is_required();
    let (word, failed, ignored) = if required {
        ("FAILED", paths.len(), 0)
    } else {
        ("ok", 0, paths.len())
    };
    println!(
        "\ntest result: {word}. 0 passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out\n"
    );
    if required {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn scenarios() -> Vec<PathBuf> {
    let folder = tests_dir().join("scenarios");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("tests/scenarios is part of the repository")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn run(path: &Path) -> Result<(), String> {
    let entered = plumbline_lab::enter().map_err(|error| error.to_string())?;
    let programs = Programs::from_env()?;
    let scenario = Scenario::read(path)?;
    let times = positive("PLUMBLINE_LAB_REPEAT").unwrap_or(scenario.times);
    let mut failed = Vec::new();
    for turn in 1..=times {
        if let Err(why) = once(&entered, &programs, &scenario) {
            failed.push(format!("run {turn} of {times}: {why}"));
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let count = failed.len();
    Err(format!(
        "{}\n{count} of {times} runs failed\n{}",
        scenario.about,
        failed.join("\n")
    ))
}

fn once(entered: &Entered, programs: &Programs, scenario: &Scenario) -> Result<(), String> {
    let topology = scenario.topology()?;
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut lab = Lab::up(entered, topology).map_err(|error| error.to_string())?;
    for fault in &scenario.faults {
        lab.apply(fault)
            .map_err(|error| format!("plant {fault:?}: {error}"))?;
    }
    let firewalls = Firewalls::start(&mut lab, &scenario.firewalld, work.path())?;
    outside::open(&lab, &scenario.outside)?;
    stage::prepare(&lab, &scenario.prepare)?;
    let mut living = Vec::new();
    for live in &scenario.live {
        living.push(Living::start(&mut lab, live, work.path())?);
    }
    let mut routers = Vec::new();
    for speaker in &scenario.bgp {
        routers.push(Router::start(&lab, speaker, work.path())?);
    }
    let outcome = stage::audit(&mut lab, programs, scenario, work.path())?;
    let mut differences = held_against(&scenario.expect, programs, &outcome)?;
    let mut log = outcome.log;
    if let (Some(expect), Some(report)) = (&scenario.mended, &outcome.report) {
        let again = work.path().join("again");
        std::fs::create_dir(&again).map_err(|error| error.to_string())?;
        let left = match firewalls.mend(&lab, report) {
            Ok(()) => {
                let outcome = stage::audit(&mut lab, programs, scenario, &again)?;
                log.push_str(&outcome.log);
                held_against(expect, programs, &outcome)?
            }
            Err(why) => vec![why],
        };
        differences.extend(
            left.into_iter()
                .map(|difference| format!("once mended: {difference}")),
        );
    }
    drop(routers);
    for living in &living {
        differences.extend(living.disturbances(&lab)?);
    }
    if differences.is_empty() {
        return Ok(());
    }
    let kept = keep(work, scenario);
    Err(format!("{}\n{log}\n({kept})", differences.join("\n")))
}

/// In what an audit differs from what must come out of it. Its report has to verify, too.
fn held_against(
    expect: &Expectation,
    programs: &Programs,
    outcome: &stage::Outcome,
) -> Result<Vec<String>, String> {
    let Some(report) = &outcome.report else {
        return Ok(vec!["no report".to_owned()]);
    };
    let mut differences = expect.differences(outcome.exit, report);
    let (code, printed) = stage::verify(programs, &outcome.out)?;
    if code != Some(0) {
        differences.push(format!("verify ended with {code:?}: {printed}"));
    }
    Ok(differences)
}

/// What a failed scenario leaves behind stays where `PLUMBLINE_KEEP` says, if it says anything.
fn keep(work: tempfile::TempDir, scenario: &Scenario) -> String {
    if std::env::var_os("PLUMBLINE_KEEP").is_some() {
        work.keep().display().to_string()
    } else {
        format!(
            "with PLUMBLINE_KEEP=1 the report of {:?} is kept",
            scenario.cluster
        )
    }
}

/// How many scenarios run at the same time. Two keep two cores busy while the others wait for what does not come.
const JOBS: u32 = 2;
