//! Who may join, with the real programs on the hosts of a lab: each node once, from its own addresses, in time, with the
//! string that this coordinator made for it, and nobody learns the string from a process list or a log.

use std::{fs, os::unix::fs::PermissionsExt as _, process::ExitCode};

use plumbline_identity::join::JoinString;
use plumbline_lab::Entered;
use plumbline_model::{
    cause::CauseKind,
    id::NodeId,
    report::{ReachabilityRow, Verdict},
};
use plumbline_tests::{
    rehearsal::{BYSTANDER, FIRST, Probe, Rehearsal, SECOND, id},
    trials::{self, Trial},
};

const TRIALS: &[Trial] = &[
    (
        "a_join_string_used_twice_is_refused_and_the_run_goes_on",
        used_twice,
    ),
    (
        "a_join_string_used_from_another_address_is_refused_and_stays_good",
        from_elsewhere,
    ),
    (
        "an_expired_join_string_is_refused_and_its_node_is_named_in_the_report",
        expired,
    ),
    (
        "who_stays_away_of_a_partial_run_is_listed_and_not_missed",
        stays_away,
    ),
    (
        "a_changed_pin_is_refused_by_the_probe_before_it_says_anything",
        changed_pin,
    ),
    (
        "a_join_string_of_another_coordinator_is_refused_on_both_sides",
        other_coordinator,
    ),
    (
        "a_join_string_for_another_run_or_node_is_refused_by_the_coordinator",
        rewritten,
    ),
    (
        "a_join_string_that_was_cut_or_mistyped_is_told_so_without_being_quoted",
        garbled,
    ),
    ("the_join_file_is_complete_and_its_owners_alone", join_file),
    ("no_secret_is_in_a_process_list_or_a_log", no_secret),
];

fn main() -> ExitCode {
    trials::main(TRIALS)
}

fn used_twice(entered: &Entered) -> Result<(), String> {
    let mut run = Rehearsal::start(entered, &[])?;
    let first = run.join(FIRST)?;
    run.joined(FIRST)?;
    let second = run.join(FIRST)?;
    is_refused(&second, "was used before")?;
    not_admitted(&mut run, "was used before")?;
    let other = run.join(SECOND)?;
    all_measured(&run.end(0)?.report)?;
    ended_well(&[&first, &other])
}

fn from_elsewhere(entered: &Entered) -> Result<(), String> {
    let mut run = Rehearsal::start(entered, &[])?;
    let stolen = run.string(FIRST)?.to_owned();
    for host in [BYSTANDER, SECOND] {
        let thief = run.probe(host, &[], &stolen, &[])?;
        is_refused(&thief, &format!("came from {host}"))?;
        not_admitted(&mut run, &format!("came from {host}"))?;
    }
    let probes = [run.join(FIRST)?, run.join(SECOND)?];
    all_measured(&run.end(0)?.report)?;
    ended_well(&probes.each_ref())
}

fn expired(entered: &Entered) -> Result<(), String> {
    // Slow enough that the run is still under way when the late one comes.
    let mut run = Rehearsal::start(entered, &["--join-timeout", "3", "--max-rate", "300"])?;
    let present = run.join(FIRST)?;
    let what = format!("{SECOND} to be given up");
    run.coordinator.wait_for_event(&what, |event| {
        event["event"] == "not_joined" && event["node"] == SECOND
    })?;
    run.coordinator.wait_for_phase("asking")?;
    let late = run.join(SECOND)?;
    is_refused(&late, "expired")?;
    let report = run.end(3)?.report;
    is(report.verdict, Verdict::Incomplete)?;
    let second = id(SECOND)?;
    let named = report
        .findings
        .iter()
        .any(|finding| finding.cause.kind == CauseKind::ProbeLost && finding.cause.node == Some(second));
    if !named {
        return Err(format!("no finding names {SECOND}: {:?}", report.findings));
    }
    ended_well(&[&present])
}

fn stays_away(entered: &Entered) -> Result<(), String> {
    // Every group, as by default: nothing of the absent is missed in any.
    let groups = "access,reach,l2,l3,host,external";
    let mut run = Rehearsal::start(entered, &["--join-timeout", "3", "--partial", "--only", groups])?;
    let present = run.join(FIRST)?;
    let report = run.end(0)?.report;
    is(report.verdict, Verdict::Warned)?;
    let absent: Vec<NodeId> = report.absent.iter().map(|absent| absent.node).collect();
    is(absent, vec![id(SECOND)?])?;
    is(report.findings.len(), 0)?;
    is(report.coverage.measured, report.coverage.planned)?;
    let second = id(SECOND)?;
    let of_second = |row: &&ReachabilityRow| row.src == second || row.dst == second;
    if let Some(row) = report.reachability.iter().find(of_second) {
        return Err(format!("{SECOND} stayed away and is judged: {row:?}"));
    }
    ended_well(&[&present])
}

fn changed_pin(entered: &Entered) -> Result<(), String> {
    let mut run = Rehearsal::start(entered, &[])?;
    let mut changed: JoinString = parse(run.string(FIRST)?)?;
    changed.pin[0] ^= 1;
    let deceived = run.probe(FIRST, &[], &changed.to_text(), &[])?;
    is_refused(&deceived, "pin")?;
    // Nothing of it reached the coordinator: the string is still good.
    let probes = [run.join(FIRST)?, run.join(SECOND)?];
    let log = run.end(0)?.log;
    if log.contains("not_admitted") {
        return Err(format!("the coordinator heard of it:\n{log}"));
    }
    ended_well(&probes.each_ref())
}

fn other_coordinator(entered: &Entered) -> Result<(), String> {
    let mut run = Rehearsal::start(entered, &[])?;
    let (mut rival, rivals) = run.rival()?;
    let ours: JoinString = parse(run.string(FIRST)?)?;
    let theirs: JoinString = parse(rivals.get(&id(FIRST)?).ok_or("the rival's file lacks the node")?)?;
    // Our string, at their door: the probe sees that they are not who its string pins.
    let astray = JoinString {
        coordinator: theirs.coordinator.clone(),
        ..ours.clone()
    };
    is_refused(&run.probe(FIRST, &[], &astray.to_text(), &[])?, "pin")?;
    // The same with their pin: they see that the string is for a run of somebody else.
    let lured = JoinString {
        pin: theirs.pin,
        ..astray.clone()
    };
    is_refused(&run.probe(FIRST, &[], &lured.to_text(), &[])?, "another run")?;
    // And with their run: the one-time key is not theirs.
    let forged = JoinString {
        run: theirs.run.clone(),
        ..lured
    };
    is_refused(
        &run.probe(FIRST, &[], &forged.to_text(), &[])?,
        "one-time key does not verify",
    )?;
    let told = rival.wait_for_event("the forgery", |event| {
        event["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("one-time key does not verify"))
    })?;
    is(told["address"].as_str(), Some(FIRST))?;
    // Neither has lost its own.
    let probes = [run.join(FIRST)?, run.join(SECOND)?];
    run.end(0)?;
    ended_well(&probes.each_ref())
}

fn rewritten(entered: &Entered) -> Result<(), String> {
    let mut run = Rehearsal::start(entered, &[])?;
    let string: JoinString = parse(run.string(FIRST)?)?;
    // The second node's key is not in the first one's string, whatever the string says.
    let other_node = JoinString {
        node: id(SECOND)?,
        ..string.clone()
    };
    is_refused(
        &run.probe(SECOND, &[], &other_node.to_text(), &[])?,
        "one-time key does not verify",
    )?;
    let stranger = JoinString {
        node: id(BYSTANDER)?,
        ..string.clone()
    };
    is_refused(
        &run.probe(BYSTANDER, &[], &stranger.to_text(), &[])?,
        "is not part of this run",
    )?;
    let vantage = JoinString {
        node: NodeId::Coordinator,
        ..string
    };
    is_refused(&run.probe(FIRST, &[], &vantage.to_text(), &[])?, "join:")?;
    let mistaken = run.string(FIRST)?.to_owned();
    let mistaken = run.probe(SECOND, &[], &mistaken, &["--node", SECOND])?;
    is_usage(
        &mistaken,
        &format!("is for node {FIRST}, this node is {SECOND}"),
        &run,
    )?;
    let probes = [run.join(FIRST)?, run.join(SECOND)?];
    run.end(0)?;
    ended_well(&probes.each_ref())
}

fn garbled(entered: &Entered) -> Result<(), String> {
    let mut run = Rehearsal::start(entered, &[])?;
    let string = run.string(FIRST)?.to_owned();
    let middle = string.len() / 2;
    let swapped = if string.as_bytes()[middle] == b'A' {
        "B"
    } else {
        "A"
    };
    let mistyped = format!("{}{swapped}{}", &string[..middle], &string[middle + 1..]);
    for (garbled, words) in [
        (string[..middle].to_owned(), "its end is missing"),
        (string[..string.len() - 1].to_owned(), "its end is missing"),
        (mistyped, "a character was changed"),
        (format!("{string}{string}"), "read the join string"),
        (
            format!("{} {}", &string[..middle], &string[middle..]),
            "white space",
        ),
        (string[1..].to_owned(), "does not start with `plumbline-join-1.`"),
        (String::new(), "it is empty"),
        ("x".repeat(10_000), "more than"),
    ] {
        is_usage(&run.probe(FIRST, &[], &garbled, &[])?, words, &run)?;
    }
    let probes = [run.join(FIRST)?, run.join(SECOND)?];
    run.end(0)?;
    ended_well(&probes.each_ref())
}

fn join_file(entered: &Entered) -> Result<(), String> {
    let run = Rehearsal::start(entered, &[])?;
    let path = run.work().join("join.json");
    let mode = fs::metadata(&path)
        .map_err(|error| error.to_string())?
        .permissions()
        .mode();
    is(mode & 0o7777, 0o600)?;
    let nodes: Vec<NodeId> = run.strings.keys().copied().collect();
    is(nodes, vec![id(FIRST)?, id(SECOND)?])?;
    for (node, string) in &run.strings {
        let string: JoinString = parse(string)?;
        is(string.node, *node)?;
        is(
            string.coordinator.iter().map(|address| address.ip()).collect(),
            vec![run.lab.admin_address()],
        )?;
    }
    let drafts = fs::read_dir(run.work()).map_err(|error| error.to_string())?;
    for entry in drafts.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(".join") {
            return Err(format!("{name} was left beside the join file"));
        }
    }
    Ok(())
}

fn no_secret(entered: &Entered) -> Result<(), String> {
    let mut run = Rehearsal::start(entered, &["--max-rate", "2000"])?;
    let mut secrets = Vec::new();
    for string in run.strings.values() {
        // The body between the two dots: whatever of it appears, more than its public beginning must not.
        let body = string.split('.').nth(1).ok_or("a join string without a body")?;
        let quarter = body.len() / 4;
        secrets.extend((1..4).map(|index| body[index * quarter..(index + 1) * quarter].to_owned()));
    }
    let first = run.string(FIRST)?.to_owned();
    let second = run.string(SECOND)?.to_owned();
    let probes = [
        run.probe(FIRST, &[], &first, &["-vv"])?,
        run.probe(SECOND, &[], &second, &["-vv"])?,
    ];
    run.coordinator.wait_for_phase("asking")?;
    // Every process of the machine, so that the coordinator's own vantage is among them.
    let mut looked_at = 0;
    for entry in fs::read_dir("/proc")
        .map_err(|error| error.to_string())?
        .filter_map(Result::ok)
    {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        for file in ["cmdline", "environ", "comm"] {
            // A process that ended meanwhile shows nothing any more.
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some(secret) = secrets.iter().find(|secret| text.contains(secret.as_str())) {
                return Err(format!("{file} of process {pid} holds {secret}: {text}"));
            }
            looked_at += usize::from(!bytes.is_empty());
        }
    }
    if looked_at < 9 {
        return Err(format!("only {looked_at} files of processes could be read"));
    }
    let finished = run.end(0)?;
    let mut texts = vec![finished.log];
    for probe in &probes {
        let (code, said) = probe.end()?;
        is(code, Some(0))?;
        if said.is_empty() {
            return Err("a probe at -vv says nothing, so nothing was looked at".to_owned());
        }
        texts.push(said);
    }
    for name in ["report.json", "report.html", "evidence.jsonl"] {
        let path = finished.work.path().join("report").join(name);
        texts.push(fs::read_to_string(path).map_err(|error| error.to_string())?);
    }
    for text in &texts {
        if let Some(secret) = secrets.iter().find(|secret| text.contains(secret.as_str())) {
            return Err(format!("a log holds {secret}"));
        }
    }
    Ok(())
}

/// A probe ends with 4 and says why.
fn is_refused(probe: &Probe, words: &str) -> Result<(), String> {
    match probe.end()? {
        (Some(4), said) if said.contains(words) => Ok(()),
        (code, said) => Err(format!(
            "a probe ended with {code:?} instead of 4 and {words:?}:\n{said}"
        )),
    }
}

/// A probe ends with 2 and one line that says why, and does not quote what it was given.
fn is_usage(probe: &Probe, words: &str, run: &Rehearsal) -> Result<(), String> {
    let (code, said) = probe.end()?;
    let quoted = run.strings.values().any(|string| {
        let body = &string["plumbline-join-1.".len()..];
        said.contains(&body[..body.len() / 4]) || said.contains(&body[body.len() * 3 / 4..])
    });
    if code != Some(2) || !said.contains(words) || said.lines().count() != 1 || quoted {
        return Err(format!(
            "a probe ended with {code:?} instead of 2 and one line with {words:?}:\n{said}"
        ));
    }
    Ok(())
}

fn not_admitted(run: &mut Rehearsal, words: &str) -> Result<(), String> {
    let what = format!("the coordinator to say that {words}");
    run.coordinator
        .wait_for_event(&what, |event| {
            event["event"] == "not_admitted"
                && event["reason"]
                    .as_str()
                    .is_some_and(|reason| reason.contains(words))
        })
        .map(|_| ())
}

fn ended_well(probes: &[&Probe]) -> Result<(), String> {
    for probe in probes {
        match probe.end()? {
            (Some(0), _) => {}
            (code, said) => return Err(format!("a probe of the run ended with {code:?}:\n{said}")),
        }
    }
    Ok(())
}

fn all_measured(report: &plumbline_model::report::Report) -> Result<(), String> {
    is(report.verdict, Verdict::Passed)?;
    is(report.findings.len(), 0)
}

fn parse(string: &str) -> Result<JoinString, String> {
    string.parse().map_err(|error| format!("{error}"))
}

fn is<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("found {found:?}, expected {expected:?}"))
    }
}
