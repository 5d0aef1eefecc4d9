//! The probe's command line, the same as `plumbline-probe ...` and `plumbline probe ...`.
//!
//! The join string is a secret for as long as its one-time key is unused. `join -` reads it from standard input, where no
//! process list shows it; it is never logged.

use std::{
    io::{self, Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use plumbline_identity::join::{JoinString, JoinStringError};
use plumbline_model::id::NodeId;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tracing::{error, info, level_filters::LevelFilter, warn};

use crate::{
    error_chain::chain,
    guard::{Policy, PolicyError},
    session::{self, End, Settings},
};

/// A probe of Plumbline: tests the network from this node for a coordinator, and vanishes.
#[derive(Debug, Parser)]
#[command(name = "plumbline-probe", version, after_help = EXIT_CODES)]
pub struct ProbeArgs {
    /// What to do.
    #[command(subcommand)]
    command: Command,
    /// Say more on standard error; twice for everything.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// Say only what went wrong.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Join a run and serve it until it is over.
    Join(JoinArgs),
}

#[derive(Args)]
struct JoinArgs {
    /// The join string of this node, or `-` to read it as one line from standard input, which keeps it out of the process
    /// list.
    #[arg(value_name = "STRING|-")]
    string: String,
    /// Refuse a join string that is for another node than this (an IP address, or `coordinator`).
    #[arg(long, value_name = "ID")]
    node: Option<NodeId>,
    /// End after this many seconds, whatever happens.
    #[arg(long, value_name = "S", default_value_t = DEFAULT_TTL_S, value_parser = clap::value_parser!(u64).range(1..=MAX_TTL_S))]
    ttl: u64,
    /// End when the coordinator has not been heard for this many seconds; otherwise the probe tries until its time to live is
    /// over. A coordinator that starts its own probes says so, lest they outlive it.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=MAX_TTL_S))]
    give_up: Option<u64>,
    /// What this host allows, in YAML: networks, ports, max_rate, max_rate_pair, max_lease_s, max_duration_s, capture.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// What the end of a probe left behind.
fn unconfirmed_words(batches: usize) -> String {
    match batches {
        0 => String::new(),
        1 => "; 1 batch of testimony was never confirmed".to_owned(),
        batches => format!("; {batches} batches of testimony were never confirmed"),
    }
}

/// Why a probe does not even try.
#[derive(Debug, thiserror::Error)]
enum UsageError {
    #[error("read the join string from standard input")]
    Stdin(#[source] io::Error),
    #[error(
        "read the join string from standard input: it has more than {MAX_LINE} characters; give one line only"
    )]
    LongLine,
    #[error("read the join string from standard input: it is not text")]
    NotText,
    #[error(transparent)]
    JoinString(#[from] JoinStringError),
    #[error(
        "join: the join string is for node {of}, this node is {node}; use the one of {node} from the join file"
    )]
    OtherNode { of: NodeId, node: NodeId },
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Runs the probe to its end and says how it ended: 0 finished, 2 usage, 3 lost or stopped, 4 refused, 70 a bug.
pub fn run(args: ProbeArgs) -> ExitCode {
    install_panic_hook();
    install_log(args.verbose, args.quiet);
    let Command::Join(join) = args.command;
    let settings = match settings(&join) {
        Ok(settings) => settings,
        Err(error) => {
            error!("failed to {}", chain(&error));
            return ExitCode::from(USAGE);
        }
    };
    // Thousands of ports are bound at once; what the administrator allows is taken before anything is opened.
    plumbline_sys::limits::raise_open_files();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!("failed to start: {error}");
            return ExitCode::from(LOST);
        }
    };
    let code = runtime.block_on(live(settings));
    // Threads that still bind or count end with their task; none is worth waiting for longer.
    runtime.shutdown_timeout(SHUTDOWN_TIME);
    code
}

impl std::fmt::Debug for JoinArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinArgs")
            .field("node", &self.node)
            .field("ttl", &self.ttl)
            .field("give_up", &self.give_up)
            .finish_non_exhaustive()
    }
}

fn settings(args: &JoinArgs) -> Result<Settings, UsageError> {
    let join: JoinString = match args.string.as_str() {
        "-" => read_line()?.trim().parse()?,
        string => string.parse()?,
    };
    if let Some(node) = args.node
        && node != join.node
    {
        return Err(UsageError::OtherNode { of: join.node, node });
    }
    let policy = args
        .policy
        .as_deref()
        .map(Policy::load)
        .transpose()?
        .unwrap_or_default();
    Ok(Settings {
        join,
        policy,
        ttl: Duration::from_secs(args.ttl),
        give_up: args.give_up.map(Duration::from_secs),
    })
}

/// One line from standard input. Reads octet by octet: what follows the line is not ours, and a peer may keep the pipe open.
fn read_line() -> Result<String, UsageError> {
    let mut line = Vec::with_capacity(MAX_LINE);
    for octet in io::stdin().lock().bytes() {
        match octet.map_err(UsageError::Stdin)? {
            b'\n' => break,
            _ if line.len() == MAX_LINE => return Err(UsageError::LongLine),
            octet => line.push(octet),
        }
    }
    String::from_utf8(line).map_err(|_| UsageError::NotText)
}

async fn live(settings: Settings) -> ExitCode {
    let (sender, stop) = mpsc::channel(1);
    let signals = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => tokio::spawn(forward_signals(terminate, interrupt, sender)),
        (Err(error), _) | (_, Err(error)) => {
            error!("failed to listen for signals: {error}");
            return ExitCode::from(LOST);
        }
    };
    // Which of the two it was is in the times of the log.
    let over = match settings.give_up {
        Some(patience) => format!(
            "the coordinator was not heard for {} s (--give-up), or the time to live is over (--ttl)",
            patience.as_secs()
        ),
        None => "the time to live is over (--ttl)".to_owned(),
    };
    let ended = session::run(settings, stop).await;
    signals.abort();
    match ended {
        Ok(End::Finished { reason }) => {
            info!("finished: {reason}");
            ExitCode::SUCCESS
        }
        Ok(End::NeverWelcomed) => {
            warn!(
                "{over}, and no coordinator had answered: nothing was tested (is it running, can this host reach it?)"
            );
            ExitCode::from(LOST)
        }
        Ok(End::Expired { unconfirmed }) => {
            warn!("{over}{}", unconfirmed_words(unconfirmed));
            ExitCode::from(LOST)
        }
        Ok(End::Stopped { unconfirmed }) => {
            warn!("stopped by a signal{}", unconfirmed_words(unconfirmed));
            ExitCode::from(LOST)
        }
        Ok(End::Refused { reason }) => {
            error!("failed to {reason}");
            ExitCode::from(REFUSED)
        }
        Err(error) => {
            error!("failed to {}", chain(&error));
            ExitCode::from(LOST)
        }
    }
}

async fn forward_signals(mut terminate: Signal, mut interrupt: Signal, stop: mpsc::Sender<()>) {
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if stop.send(()).await.is_err() {
            return;
        }
    }
}

fn install_log(verbose: u8, quiet: bool) {
    let level = match verbose {
        0 if quiet => LevelFilter::WARN,
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    // HTTP/2 and TLS are told of only when everything is asked for.
    let others = if verbose < 2 {
        LevelFilter::WARN
    } else {
        LevelFilter::DEBUG
    };
    let targets = tracing_subscriber::filter::Targets::new()
        .with_target("plumbline_probe", level)
        .with_default(others);
    let format = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        // Complaining about a closed standard error on standard error would panic.
        .log_internal_errors(false)
        .with_target(false)
        .without_time();
    use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};
    // A second installation is a test's or the coordinator's, and theirs is as good.
    let _ = tracing_subscriber::registry()
        .with(format.with_filter(targets))
        .try_init();
}

/// A panic on any thread ends the process with the code of a bug, in every build.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let _ = writeln!(io::stderr(), "plumbline-probe: a bug, please report it: {panic}");
        std::process::exit(BUG.into());
    }));
}

/// Usage, or input that does not read.
const USAGE: u8 = 2;

/// The time to live is over, the host gives nothing to start with, or a signal came: the run did not finish here.
const LOST: u8 = 3;

/// Refused by the coordinator, or the coordinator is not the pinned one.
const REFUSED: u8 = 4;

/// A bug.
const BUG: u8 = 70;

const EXIT_CODES: &str = "Exit codes: 0 the run is over; 2 usage; 3 the time to live is over, or a signal came; 4 refused by the \
                          coordinator, or it is not the one the join string pins; 70 a bug";

/// An audit takes minutes. What an hour does not finish was forgotten.
const DEFAULT_TTL_S: u64 = 3600;

/// A month: longer-lived probes are started by a service manager that starts them again.
const MAX_TTL_S: u64 = 31 * 24 * 3600;

/// The longest join string has about a thousand characters.
const MAX_LINE: usize = 8192;

/// Threads of responders and runners look at their end several times a second.
const SHUTDOWN_TIME: Duration = Duration::from_secs(1);
