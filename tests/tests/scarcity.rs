//! What a host or a disk does not give: named in one message or one finding, with what to do, and never taken for the
//! network's fault.

use std::{
    fs,
    process::{Command, ExitCode},
};

use plumbline_lab::Entered;
use plumbline_model::{
    cause::CauseKind,
    plan::Expect,
    report::{ReachabilityRow, Report, Verdict},
};
use plumbline_tests::{
    gate,
    rehearsal::{self, FIRST, Finished, Rehearsal, SECOND, id},
    running::run,
    stage::Programs,
    trials::{self, Trial},
};

const TRIALS: &[Trial] = &[
    (
        "a_probe_with_too_few_descriptors_measures_less_and_blames_its_host",
        few_descriptors,
    ),
    (
        "a_probe_raises_the_usual_limit_of_descriptors_and_measures_everything",
        usual_descriptors,
    ),
    (
        "a_probe_that_may_not_bind_low_ports_says_so_and_measures_the_rest",
        no_privilege,
    ),
    (
        "a_disk_that_fills_during_the_run_ends_it_with_one_message_and_no_report",
        full_disk,
    ),
];

fn main() -> ExitCode {
    trials::main(TRIALS)
}

fn few_descriptors(entered: &Entered) -> Result<(), String> {
    let mut run = Rehearsal::start(entered, &[])?;
    let string = run.string(SECOND)?.to_owned();
    let poor = run.probe(SECOND, &["prlimit", "--nofile=64:64"], &string, &[])?;
    let rich = run.join(FIRST)?;
    let Finished { report, log, .. } = run.end(3)?;
    let said = poor.end()?.1;
    no_network_verdict(&report, &log)?;
    blames(&report, SECOND, "open files").map_err(|why| format!("{why}\n{log}\n{said}"))?;
    same(rich.end()?.0, Some(0))
}

/// What a login shell grants, with the hard limit well above it, and a range that needs more than it.
fn usual_descriptors(entered: &Entered) -> Result<(), String> {
    let mut run = Rehearsal::start(entered, &[])?;
    let mut probes = Vec::new();
    for node in [FIRST, SECOND] {
        let string = run.string(node)?.to_owned();
        probes.push(run.probe(node, &["prlimit", "--nofile=1024:8192"], &string, &[])?);
    }
    let Finished { report, log, .. } = run.end(0)?;
    let ports: u32 = must_answer(&report)
        .filter(|row| row.dst.to_string() == SECOND)
        .map(|row| row.ports.count())
        .sum();
    if ports <= 1_024 {
        return Err(format!(
            "a range of {ports} ports needs no more than the usual limit"
        ));
    }
    for row in must_answer(&report) {
        if row.outcome != "open" {
            return Err(format!("{row:?}\n{log}"));
        }
    }
    probes.iter().try_for_each(|probe| same(probe.end()?.0, Some(0)))
}

fn no_privilege(entered: &Entered) -> Result<(), String> {
    let mut run = Rehearsal::start(entered, &[])?;
    let string = run.string(SECOND)?.to_owned();
    // The program lies where its builder put it, which may be a directory that nobody else may enter: a copy does not.
    let place = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .map_err(|error| error.to_string())?;
    let program = place.path().join("plumbline-probe");
    fs::copy(Programs::from_env()?.probe, &program).map_err(|error| error.to_string())?;
    let through = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
    ];
    let humble = run.probe_of(SECOND, &through, &program, &string, &[])?;
    let other = run.join(FIRST)?;
    let Finished { report, log, .. } = run.end(3)?;
    let said = humble.end()?.1;
    no_network_verdict(&report, &log)?;
    blames(&report, SECOND, "CAP_NET_BIND_SERVICE").map_err(|why| format!("{why}\n{log}\n{said}"))?;
    let second = id(SECOND)?;
    let outcomes = |low: bool| {
        let rows = must_answer(&report).filter(move |row| row.dst == second);
        rows.filter(move |row| {
            row.ports
                .ranges()
                .iter()
                .all(|range| (range.last() < 1024) == low)
        })
        .map(|row| row.outcome.clone())
        .collect::<Vec<_>>()
    };
    if outcomes(true).is_empty() || outcomes(true).iter().any(|outcome| outcome == "open") {
        return Err(format!("low ports: {:?}", outcomes(true)));
    }
    if outcomes(false).is_empty() || outcomes(false).iter().any(|outcome| outcome != "open") {
        return Err(format!("other ports: {:?}", outcomes(false)));
    }
    same(other.end()?.0, Some(0))
}

fn full_disk(_: &Entered) -> Result<(), String> {
    // The mounts below need the machine's root, not that of a user namespace.
    if !gate::root("a_disk_that_fills_during_the_run_ends_it_with_one_message_and_no_report") {
        return Ok(());
    }
    let programs = Programs::from_env()?;
    // From room for nothing at all to room for the evidence but not for the report.
    for size in ["4k", "16k", "64k"] {
        let work = tempfile::tempdir().map_err(|error| error.to_string())?;
        let place = work.path().join("small");
        fs::create_dir(&place).map_err(|error| error.to_string())?;
        // What is left is told by the same shell, since the mount ends with it.
        let script = "set -e; mount -t tmpfs -o size=$1 none small; shift; set +e; \"$@\"; code=$?; ls -A small >&3; exit $code";
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg(format!("exec 3> left; {script}"))
            .args(["sh", size])
            .arg(&programs.plumbline)
            .arg("check")
            .arg(rehearsal::cluster())
            .args([
                "--swarm",
                "lab",
                "--quiet",
                "--nodes",
                &format!("{FIRST},{SECOND}"),
            ])
            .args(["--identity", "identity.pem", "--out", "small/report"])
            .current_dir(work.path());
        let ended = run(&mut command)?;
        let all = format!("{size}: {}{}", ended.stdout, ended.stderr);
        if ended.code != Some(2) {
            return Err(format!("it ended with {:?} instead of 2: {all}", ended.code));
        }
        let messages = ended.stderr.matches("plumbline: ").count();
        if messages != 1 || !ended.stderr.contains("No space left") || !ended.stderr.contains("small/") {
            return Err(format!(
                "one message with the file and the reason was expected: {all}"
            ));
        }
        let left = fs::read_to_string(work.path().join("left")).map_err(|error| error.to_string())?;
        if !left.is_empty() {
            return Err(format!("left on the full disk: {left}{all}"));
        }
    }
    Ok(())
}

/// Nothing between hosts failed, and nobody says it did.
fn no_network_verdict(report: &Report, log: &str) -> Result<(), String> {
    same(report.verdict, Verdict::Incomplete)?;
    for row in must_answer(report) {
        if !["open", "resource", "not_measured"].contains(&row.outcome.as_str()) {
            return Err(format!("{row:?}\n{log}"));
        }
    }
    for finding in &report.findings {
        if !matches!(
            finding.cause.kind,
            CauseKind::HostSetting | CauseKind::Capacity | CauseKind::Unmeasured
        ) {
            return Err(format!("{finding:?}\n{log}"));
        }
    }
    Ok(())
}

/// The tests of ports that must answer; of the others "closed" is what is wanted.
fn must_answer(report: &Report) -> impl Iterator<Item = &ReachabilityRow> {
    let rows = report.reachability.iter();
    rows.filter(|row| row.expect == Expect::Open)
}

/// A finding at this node names what is missing and says what to do about it.
fn blames(report: &Report, node: &str, words: &str) -> Result<(), String> {
    let node = id(node)?;
    let named = report.findings.iter().any(|finding| {
        let text = format!(
            "{} {} {:?}",
            finding.cause.detail, finding.fix.text, finding.fix.commands
        );
        finding.cause.node == Some(node) && text.contains(words) && !finding.fix.text.is_empty()
    });
    if named {
        Ok(())
    } else {
        Err(format!(
            "no finding at {node} says {words:?}: {:#?}",
            report.findings
        ))
    }
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("found {found:?}, expected {expected:?}"))
    }
}
