//! The house's own commands: one for everything that CI runs, so that CI does nothing that people cannot.

#![expect(
    clippy::print_stdout,
    reason = "a command for people: what it does is told on standard output"
)]

mod check;
mod dist;
mod r#gen;
mod test;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// What a step ends with: nothing, or one sentence that says what failed.
type Task = Result<(), String>;

const USAGE: &str = "\
usage: cargo xtask COMMAND
  check               format, generated files, crate arrows, licences, lints, documentation
  test [--install]    every tier of tests; --install fetches the foreign programs that they compare with
  gen [--check]       generate what is checked in from its source
  dist                the binaries as they are shipped
  bench NAME          connect, echo, scan: against other programs; model, lab: how long; wire: how many octets";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Every command speaks of paths below the root.
    if let Err(error) = std::env::set_current_dir(root()) {
        println!("xtask: enter {}: {error}", root().display());
        return ExitCode::FAILURE;
    }
    let result = match arguments.as_slice() {
        ["check"] => check::check(),
        ["test"] => test::test(false),
        ["test", "--install"] => test::test(true),
        ["gen"] => generate(false),
        ["gen", "--check"] => generate(true),
        ["dist"] => dist::dist(),
        ["bench", name] => run(&mut cargo(&[
            "bench",
            "--locked",
            "--package",
            "plumbline-benches",
            "--bench",
            name,
        ])),
        _ => {
            println!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(check: bool) -> Task {
    r#gen::generate(check).map_err(|error| {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

fn run(command: &mut Command) -> Task {
    let shown = || {
        let arguments: Vec<_> = command
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        format!(
            "{} {}",
            command.get_program().to_string_lossy(),
            arguments.join(" ")
        )
    };
    let shown = shown();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown} ended with {status}")),
        Err(error) => Err(format!("run {shown}: {error}")),
    }
}

/// Every file below a folder with this ending, by path.
fn files_below(folder: &str, ending: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).map_err(|error| format!("read {}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry
                .map_err(|error| format!("read {}: {error}", folder.display()))?
                .path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    Ok(found)
}
