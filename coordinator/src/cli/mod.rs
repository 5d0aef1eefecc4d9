//! The command line: arguments to typed options, results to text and an exit code. Each command has a file; what they do
//! lives elsewhere.

mod check;
mod demo;
mod earlier;
mod inputs;
mod plan;
mod profiles;
mod progress;
mod redact;
mod render;
mod shell;
mod verify;

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use plumbline_model::source::SourceText;

use crate::{
    exit::Exit,
    render::{Style, printable},
};

/// Proves a network before a cluster is built on it.
#[derive(Debug, Parser)]
#[command(name = "plumbline", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One audit of a cluster file: the verdict, and a signed report.
    Check(Box<check::CheckArgs>),
    /// The whole job on a sample cluster in namespaces of this machine, with faults planted: found = planted?
    Demo(demo::DemoArgs),
    /// What an audit would send, and how long it would take. Nothing is sent.
    Plan(plan::PlanArgs),
    /// The port tables that Plumbline knows.
    #[command(subcommand)]
    Profiles(profiles::ProfilesCommand),
    /// Proves that a report is what was measured: signatures, digests, and the verdict computed again.
    Verify(verify::VerifyArgs),
    /// Prints a report directory in another format.
    Render(render::RenderArgs),
    /// A report without addresses and names, which still verifies: for those who must not know whose it is.
    Redact(redact::RedactArgs),
    /// What a shell needs to complete commands and options.
    Completions(shell::CompletionsArgs),
    /// Manual pages.
    Man(shell::ManArgs),
    /// Runs a probe: the same as the program plumbline-probe.
    Probe(plumbline_probe::cli::ProbeArgs),
}

const AFTER_HELP: &str = "\
Exit codes: 0 passed (warnings allowed), 1 failed, 2 usage or unreadable input, 3 incomplete (something planned was not \
measured), 4 verification failed, 70 a bug.

Examples:
  plumbline demo                                     see it work on this machine
  plumbline check cluster.yaml --only config         what is wrong in the file; asks nobody
  plumbline plan cluster.yaml                        what would be sent
  plumbline check cluster.yaml --swarm joined \\
      --listen 10.0.0.9:7443 --join-file join.json   audit; you start the probes with the strings
  plumbline check cluster.yaml ... --retest DIR      again, but only what failed in that report
  plumbline verify DIR                               prove a report
  plumbline render DIR --format junit                for a pipeline; also markdown, csv, text, json
  plumbline redact DIR --out OUT                     for those who must not know whose it is";

/// Reads the arguments and runs the command.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers on stdout with 0; everything else is clap's message on stderr with 2.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Passed.into()
            };
        }
    };
    let result = match cli.command {
        Command::Check(args) => check::check(*args),
        Command::Demo(args) => demo::demo(&args),
        Command::Plan(args) => plan::plan(&args),
        Command::Profiles(command) => profiles::profiles(&command),
        Command::Verify(args) => verify::verify(&args),
        Command::Render(args) => render::render(&args),
        Command::Redact(args) => redact::redact(&args),
        Command::Completions(args) => shell::completions(&args),
        Command::Man(args) => shell::man(&args),
        Command::Probe(args) => return plumbline_probe::cli::run(args),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            remark(&failure.to_string());
            failure.exit.into()
        }
    }
}

/// Why a command could not do its work: the chain of errors for a person, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// A failure of usage, input or output (exit code 2). The chain of sources is written out once, here.
    pub(crate) fn usage(error: &dyn std::error::Error) -> Self {
        Self {
            exit: Exit::Usage,
            message: chain(error),
        }
    }

    /// A failure with an exit code of its own.
    pub(crate) fn with(exit: Exit, error: &dyn std::error::Error) -> Self {
        Self {
            exit,
            message: chain(error),
        }
    }

    /// A failure with an exit code and a message of its own.
    pub(crate) fn message(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// A failure of usage with a message of its own.
    pub(crate) fn usage_message(message: impl Into<String>) -> Self {
        Self::message(Exit::Usage, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The message of an error and of all that caused it, `a: b: c`.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A remark beside the result.
pub(crate) fn remark(text: &str) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(io::stderr().lock(), "plumbline: {}", printable(text));
}

/// Runs an asynchronous command to its end.
pub(crate) fn block_on<F: Future>(work: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage_message(format!("start the runtime: {error}")))?;
    Ok(runtime.block_on(work))
}

/// Prints a result. A reader that closed the pipe (`| head`) is content, not a failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::usage_message(format!(
            "write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Colours only on a terminal, and never against NO_COLOR (no-color.org).
pub(crate) fn stdout_style() -> Style {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && io::stdout().is_terminal() {
        Style::Colour
    } else {
        Style::Plain
    }
}

/// Input files above this are refused before they are read: the largest real cluster file is under a megabyte.
const MAX_INPUT_BYTES: u64 = 16 * 1024 * 1024;

/// Reads an input file as text.
pub(crate) fn read_text(path: &Path) -> Result<SourceText, Failure> {
    let name = path.display().to_string();
    let unreadable = |error: io::Error| Failure::usage_message(format!("read {name}: {error}"));
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(Failure::usage_message(format!(
            "read {name}: it is a directory; give a file in it (bmctl keeps a cluster's in bmctl-workspace/NAME/NAME.yaml)"
        )));
    }
    if metadata.len() > MAX_INPUT_BYTES {
        return Err(too_large(&name));
    }
    let mut bytes = Vec::new();
    // The length of a pipe or of a growing file is not known beforehand, so the bound holds while reading, too.
    let file = std::fs::File::open(path).map_err(unreadable)?;
    io::Read::read_to_end(&mut io::Read::take(file, MAX_INPUT_BYTES + 1), &mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        return Err(too_large(&name));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceText { name, text }),
        Err(error) => Err(no_text(&name, error.as_bytes(), error.utf8_error().valid_up_to())),
    }
}

/// What a file is that is not UTF-8, by its first octets, and what to do about it.
fn no_text(name: &str, bytes: &[u8], valid_up_to: usize) -> Failure {
    const PACKED: [(&[u8], &str); 4] = [
        (b"\x1f\x8b", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"\xfd7zXZ", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
    ];
    if let Some((_, format)) = PACKED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Failure::usage_message(format!(
            "read {name}: it is packed ({format}); unpack it and give the file inside"
        ));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Failure::usage_message(format!(
            "read {name}: it is written in UTF-16; save it as UTF-8 (`iconv -f UTF-16 -t UTF-8 {name}`)"
        ));
    }
    let before = &bytes[..valid_up_to];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    Failure::usage_message(format!(
        "read {name}:{line}:{column}: the octet 0x{:02X} is no UTF-8; if the file is of an older editor, save it as UTF-8 (`iconv \
         -f LATIN1 -t UTF-8 {name}`)",
        bytes.get(valid_up_to).copied().unwrap_or_default()
    ))
}

fn too_large(name: &str) -> Failure {
    Failure::usage_message(format!(
        "read {name}: it is larger than {} MiB, which no cluster file is",
        MAX_INPUT_BYTES / (1024 * 1024)
    ))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }
}
