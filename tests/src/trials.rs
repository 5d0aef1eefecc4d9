//! Tests that enter network namespaces. Entering needs a process of one thread, which the usual harness never is: so each
//! trial is this same program, started again for it alone. They take turns, since the hosts of one lab share the cores.

use std::{
    io::Write as _,
    process::{Command, ExitCode},
};

use plumbline_lab::Entered;

use crate::gate;

/// One test by name. It fails by an `Err` that says what was found, or by a panic.
pub type Trial = (&'static str, fn(&Entered) -> Result<(), String>);

/// Runs the trials that the arguments choose, as a test binary's `main` does.
pub fn main(trials: &[Trial]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name] = arguments.as_slice()
        && flag == TRIAL
    {
        return one(trials, name);
    }
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_chosen = |name: &str| {
        let fits = |filter: &&String| {
            if exact {
                name == **filter
            } else {
                name.contains(filter.as_str())
            }
        };
        filters.is_empty() || filters.iter().any(fits)
    };
    let chosen: Vec<&'static str> = trials
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| is_chosen(name))
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for name in &chosen {
            say(&format!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    say(&format!("\nrunning {} tests", chosen.len()));
    let ignored = trials.len() - chosen.len();
    match gate::lab_available() {
        Ok(()) => turns(&chosen, ignored),
        Err(why) => none(&chosen, &why),
    }
}

fn one(trials: &[Trial], name: &str) -> ExitCode {
    let Some((_, trial)) = trials.iter().find(|(known, _)| *known == name) else {
        say(&format!("there is no trial {name}"));
        return ExitCode::FAILURE;
    };
    let entered = plumbline_lab::enter().map_err(|error| format!("enter a network namespace: {error}"));
    match entered.and_then(|entered| trial(&entered)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&why);
            ExitCode::FAILURE
        }
    }
}

fn turns(chosen: &[&'static str], filtered: usize) -> ExitCode {
    let mut failed = Vec::new();
    for name in chosen {
        let output =
            std::env::current_exe().and_then(|program| Command::new(program).args([TRIAL, name]).output());
        let why = match output {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(
                String::from_utf8_lossy(&output.stdout).into_owned()
                    + &String::from_utf8_lossy(&output.stderr),
            ),
            Err(error) => Some(format!("start the trial: {error}")),
        };
        say(&format!(
            "test {name} ... {}",
            if why.is_none() { "ok" } else { "FAILED" }
        ));
        failed.extend(why.map(|why| (name, why)));
    }
    for (name, why) in &failed {
        say(&format!("\n---- {name} ----\n{why}"));
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    say(&format!(
        "\ntest result: {word}. {} passed; {} failed; 0 ignored; 0 measured; {filtered} filtered out\n",
        chosen.len() - failed.len(),
        failed.len()
    ));
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Names and counts what cannot run here.
fn none(chosen: &[&'static str], why: &str) -> ExitCode {
    for name in chosen {
        say(&format!("test {name} ... ignored, {why}"));
    }
    let required = gate::is_required() && !chosen.is_empty();
    let (word, failed, ignored) = if required {
        ("FAILED", chosen.len(), 0)
    } else {
        ("ok", 0, chosen.len())
    };
    say(&format!(
        "\ntest result: {word}. 0 passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out\n"
    ));
    if required {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn say(line: &str) {
    // A closed standard output leaves nobody to tell.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// With this argument and a name the program is that one trial.
const TRIAL: &str = "--trial";
