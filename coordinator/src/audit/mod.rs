//! One audit from its inputs to its report: starts the swarm, drives the run, keeps the evidence and has it judged.
//!
//! Tasks: those of the service, and of the swarm; both end before [`run`] returns, whatever it returns. SIGINT or SIGTERM once
//! ends the run and signs what there is; twice ends it at once.

mod driver;
mod evidence;
mod interrupt;
mod ledger;
pub(crate) mod progress;
mod tally;

use std::{
    io,
    path::PathBuf,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use plumbline_identity::key::SigningKey;
use plumbline_model::{
    evidence::{ANALYSIS_VERSION, Parameters, Payload, RunRecord},
    id::RunId,
    input::InputText,
    inventory::Inventory,
    plan::Plan,
    report::{self, Report, ReportError},
    source::SourceText,
};

pub(crate) use self::driver::RunError;
use self::{
    driver::{Driver, State},
    evidence::{EvidenceLog, SpoolError},
    interrupt::Interrupts,
    progress::{Event, Sink},
};
use crate::{
    conductor::{Conductor, Duties, Pace, Settings, SharedRanges},
    exit::Exit,
    swarm::{self, Swarm, SwarmError, SwarmOptions},
};

/// What an audit is made of.
pub(crate) struct CheckOptions {
    /// The run; also part of the default name of the report directory.
    pub(crate) run: RunId,
    /// The cluster file, and what else the user handed over.
    pub(crate) inputs: Vec<InputText>,
    /// The profiles, in the order in which they apply.
    pub(crate) profiles: Vec<SourceText>,
    /// What the cluster file says.
    pub(crate) inventory: Inventory,
    /// What is to be tested: of this inventory, these profiles and these parameters.
    pub(crate) plan: Plan,
    /// What was asked for.
    pub(crate) parameters: Parameters,
    /// Where probes come from; nobody is needed for checks over the file alone.
    pub(crate) swarm: Option<SwarmOptions>,
    /// The coordinator's persistent key, which signs its lines of evidence.
    pub(crate) key: SigningKey,
    /// An empty directory of the user's file system, where evidence is spooled.
    pub(crate) spool: PathBuf,
    /// Who shows progress.
    pub(crate) sink: Box<dyn Sink>,
}

/// An audit that came to its end, or was brought to it by its user.
#[derive(Debug)]
pub(crate) struct Audited {
    /// The report.
    pub(crate) report: Report,
    /// The bytes of `evidence.jsonl`, of which the report was made.
    pub(crate) evidence: Vec<u8>,
    /// Whether the user ended it.
    pub(crate) interrupted: bool,
}

impl Audited {
    /// The exit code: an interrupted audit is incomplete whatever it found.
    pub(crate) fn exit(&self) -> Exit {
        if self.interrupted {
            Exit::Incomplete
        } else {
            self.report.verdict.into()
        }
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// The process cannot catch signals.
    #[error("catch signals")]
    Signals(#[source] io::Error),
    /// The swarm could not be started.
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// The evidence cannot be written.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The run broke off.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The evidence makes no report: a bug, since this program wrote it.
    #[error("judge the evidence")]
    Report(#[source] ReportError),
    /// A thread of the audit ended: a bug.
    #[error("judge the evidence: its thread has ended")]
    Thread(#[source] tokio::task::JoinError),
}

impl CheckError {
    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Swarm(SwarmError::Abandoned) | Self::Run(RunError::Abandoned) => Exit::Incomplete,
            Self::Run(RunError::Roster(_) | RunError::ServiceEnded) | Self::Report(_) | Self::Thread(_) => {
                Exit::Bug
            }
            Self::Signals(_) | Self::Swarm(_) | Self::Spool(_) | Self::Run(RunError::Spool(_)) => Exit::Usage,
        }
    }
}

/// Audits.
///
/// # Errors
/// If the swarm cannot be started, the evidence cannot be kept, or the user interrupts twice. Probes that fail are no
/// error: they are in the report.
pub(crate) async fn run(options: CheckOptions) -> Result<Audited, CheckError> {
    let CheckOptions {
        run,
        inputs,
        profiles,
        inventory,
        plan,
        parameters,
        swarm,
        key,
        spool,
        mut sink,
    } = options;
    let mut interrupts = Interrupts::catch().map_err(CheckError::Signals)?;
    let started = Instant::now();
    let mut evidence = EvidenceLog::create(&spool, key)?;
    evidence.record(Payload::Run(Box::new(RunRecord {
        run: run.clone(),
        analysis: ANALYSIS_VERSION,
        coordinator_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_ms: now_unix_ms(),
        inputs,
        profiles,
        parameters: parameters.clone(),
    })))?;
    let mut interrupted = false;
    if let Some(swarm) = swarm.filter(|_| !plan.participants.is_empty()) {
        let starting = swarm::start(swarm, &run, &inventory, &plan.participants, sink.as_mut());
        let Swarm {
            mut service,
            join_timeout,
            guard,
        } = tokio::select! {
            started = starting => started?,
            () = interrupts.next() => return Err(SwarmError::Abandoned.into()),
        };
        let pace = Pace::of_run(&parameters);
        let settings = Settings {
            duties: Duties::of(&plan),
            shared: SharedRanges::of(&plan),
            partial: parameters.partial.then_some(plan),
            pace,
            join_timeout,
        };
        let driver = Driver {
            run,
            started,
            conductor: Conductor::new(settings),
            partial: parameters.partial,
            service: &mut service,
            evidence: &mut evidence,
            interrupts: &mut interrupts,
            sink: sink.as_mut(),
            state: State::new(),
        };
        let outcome = driver.run().await;
        service.shut_down().await;
        guard.end().await;
        interrupted = outcome?;
    }
    let (entries, evidence) = evidence.finish();
    sink.show(&Event::Judging { lines: entries.len() });
    // Judging a large run takes seconds of pure computing.
    let report = tokio::task::spawn_blocking(move || report::report(&entries)).await;
    let report = report.map_err(CheckError::Thread)?.map_err(CheckError::Report)?;
    Ok(Audited {
        report,
        evidence,
        interrupted,
    })
}

/// Wall time, for the report's start. A clock before 1970 counts as 1970.
fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
