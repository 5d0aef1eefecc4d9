//! `plumbline check`: arguments to an audit, an audit to a report directory, a line or ten for the terminal.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use plumbline_identity::{
    bundle::{self, ReportFiles},
    key::SigningKey,
};
use plumbline_model::{evidence::SwarmKind, id::RunId, report::Report};

use super::{
    Failure, earlier,
    inputs::{Aim, InputArgs, Inputs},
    print,
    progress::{self, Manner},
};
use crate::{
    audit::{self, Audited, CheckOptions},
    exit::Exit,
    render,
    store::Staging,
    swarm::{JoinedOptions, LabOptions, SwarmOptions},
};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Where probes come from: namespaces on this machine, or started by you with join strings.
    /// Not needed with `--only config`, which asks nobody.
    #[arg(long, value_enum)]
    swarm: Option<SwarmArg>,
    /// Where probes find this coordinator; a wildcard address advertises every global address, `[::]` those of both families
    /// (joined).
    #[arg(long, value_name = "ADDR:PORT", required_if_eq("swarm", "joined"), value_parser = listener)]
    listen: Option<SocketAddr>,
    /// Write the join strings here, one a node, mode 0600; an earlier join file is replaced, anything else is not (joined).
    #[arg(long, value_name = "FILE", required_if_eq("swarm", "joined"))]
    join_file: Option<PathBuf>,
    /// How long probes may take to join; the audit goes on without those that did not (joined).
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    join_timeout: u64,
    /// Audit the nodes that are there: whoever has not joined by then is left out, listed, and not missed.
    #[arg(long)]
    partial: bool,
    /// Make again only what failed, or was not measured, in the run of this report directory, and compare.
    #[arg(long, value_name = "DIR")]
    retest: Option<PathBuf>,
    #[command(flatten)]
    report: ReportArgs,
}

const EXAMPLES: &str = "\
Examples:
  A rehearsal in namespaces of this machine:
    plumbline check cluster.yaml --swarm lab

  Real nodes. On each of them: plumbline-probe join - < its string of join.json
    plumbline check cluster.yaml --swarm joined --listen 10.0.0.9:7443 --join-file join.json

  Can every node be reached and driven? Nothing is tested:
    plumbline check cluster.yaml ... --only access

  Racks arrive one by one; whoever is there within five minutes is audited:
    plumbline check cluster.yaml ... --partial --join-timeout 300

  A firewall was mended: only what failed, compared with then:
    plumbline check cluster.yaml ... --retest plumbline-0123456789abcdef

A retest takes the report only if it verifies (4) and is of the same cluster and kind of swarm \
(2). If nothing failed in it there is nothing to \
make again: it says so, makes no report and exits with 0. Give it the same --version and --profile as then.";

/// Where a report goes, who signs it, and what is shown meanwhile.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The report directory: new, or empty [default: ./plumbline-RUN].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The key that signs, P-256 PKCS#8 PEM; made on first use [default: plumbline/identity.pem in the user's data directory].
    #[arg(long, value_name = "KEY")]
    identity: Option<PathBuf>,
    /// Show no progress.
    #[arg(long, conflicts_with = "json_events")]
    quiet: bool,
    /// Show progress as JSON, one object a line, on standard error.
    #[arg(long)]
    json_events: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SwarmArg {
    /// Every node a network namespace of this machine: a rehearsal.
    Lab,
    /// Probes are started by you, each with its join string.
    Joined,
}

/// An address with its port.
fn listener(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let bare = text
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        bare.map_or_else(
            |_| {
                "expected an IP address of this machine and a port, for example 10.0.0.9:7443 or [::]:7443"
                    .to_owned()
            },
            |address| format!("the port is missing: {}", SocketAddr::new(address, 7443)),
        )
    })
}

/// Runs one audit.
pub(crate) fn check(args: CheckArgs) -> Result<Exit, Failure> {
    let kind = match args.swarm {
        Some(SwarmArg::Lab) => SwarmKind::Lab,
        Some(SwarmArg::Joined) => SwarmKind::Joined,
        None if args.inputs.needs_probes() => {
            return Err(Failure::usage_message(
                "start the swarm: --swarm is missing: `lab` rehearses on this machine, `joined` waits for probes that you \
                 start; `--only config` needs none",
            ));
        }
        None => SwarmKind::None,
    };
    if kind == SwarmKind::Lab && args.inputs.names_the_outside() {
        return Err(Failure::usage_message(
            "check `--only external` in a rehearsal: it has no outside; leave it out, or ask real nodes with --swarm joined",
        ));
    }
    let earlier = args.retest.as_deref().map(earlier::read).transpose()?;
    let inputs = args.inputs.load(
        kind,
        Aim {
            partial: args.partial,
            earlier,
        },
    )?;
    if let Some(retest) = &inputs.parameters.retest {
        if retest.tests.is_empty() {
            print(&format!(
                "nothing to make again: no test of run {} failed or was left unmeasured\n",
                retest.run
            ))?;
            return Ok(Exit::Passed);
        }
        super::remark(&earlier::making_again(retest, &inputs.plan)?);
    }
    let prepared = args.report.prepare()?;
    for remark in &inputs.remarks {
        super::remark(remark);
    }
    let swarm = match (kind, args.listen) {
        (SwarmKind::None, _) => None,
        (SwarmKind::Lab, _) => Some(SwarmOptions::Lab(LabOptions {
            // Before any thread exists: namespaces are entered by a single-threaded process only.
            entered: plumbline_lab::enter().map_err(|error| Failure::usage(&error))?,
            faults: Vec::new(),
        })),
        (SwarmKind::Joined, Some(listen)) => Some(SwarmOptions::Joined(JoinedOptions {
            listen,
            join_file: args.join_file,
            join_timeout: Duration::from_secs(args.join_timeout),
        })),
        (SwarmKind::Joined, None) => {
            return Err(Failure::usage_message("start the swarm: --listen is missing"));
        }
    };
    let (audited, path) = audit(inputs, swarm, prepared)?;
    print(&format!("\nreport: {}\n", path.display()))?;
    Ok(audited.exit())
}

/// Audits, publishes the report and prints its summary.
pub(super) fn audit(
    inputs: Inputs,
    swarm: Option<SwarmOptions>,
    prepared: Prepared,
) -> Result<(Audited, PathBuf), Failure> {
    let is_of_file_alone = swarm.is_none();
    let options = CheckOptions {
        run: prepared.run.clone(),
        inputs: inputs.texts,
        profiles: inputs.profile_texts,
        inventory: inputs.inventory,
        plan: inputs.plan,
        parameters: inputs.parameters,
        swarm,
        key: prepared.key.clone(),
        spool: prepared.staging.dir().to_owned(),
        sink: progress::sink(prepared.manner),
    };
    let audited =
        super::block_on(audit::run(options))?.map_err(|error| Failure::with(error.exit(), &error))?;
    let path = prepared.publish(&audited.report, &audited.evidence)?;
    // Whoever mends a file works from the terminal, and needs every line of it at once.
    let extent = if is_of_file_alone && audited.report.findings.len() <= MOST_OF_A_FILE {
        render::Extent::Full
    } else {
        render::Extent::Brief
    };
    print(&render::text(&audited.report, super::stdout_style(), extent))?;
    Ok((audited, path))
}

/// More findings of a file than this are not mended in one sitting.
const MOST_OF_A_FILE: usize = 40;

/// Everything that could refuse a report, found out before the first packet is sent.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) run: RunId,
    pub(super) key: SigningKey,
    pub(super) staging: Staging,
    pub(super) manner: Manner,
}

impl ReportArgs {
    /// Draws the run's id, loads the key and claims the report directory.
    pub(super) fn prepare(&self) -> Result<Prepared, Failure> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)
            .map_err(|error| Failure::usage_message(format!("draw the run's id: {error}")))?;
        let run = RunId::from_bytes(bytes);
        let identity = self.identity.clone().map_or_else(default_identity, Ok)?;
        let key = SigningKey::load_or_create(&identity).map_err(|error| Failure::usage(&error))?;
        let out = self
            .out
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("plumbline-{run}")));
        let staging = Staging::claim(&out).map_err(|error| Failure::usage(&error))?;
        let manner = match (self.quiet, self.json_events) {
            (true, _) => Manner::Quiet,
            (_, true) => Manner::Json,
            _ => Manner::Human,
        };
        Ok(Prepared {
            run,
            key,
            staging,
            manner,
        })
    }
}

impl Prepared {
    /// Renders, signs and publishes.
    pub(super) fn publish(self, report: &Report, evidence: &[u8]) -> Result<PathBuf, Failure> {
        let report_json = render::json(report);
        let report_html = render::html(report).into_bytes();
        let files = ReportFiles {
            report_json: &report_json,
            report_html: &report_html,
            evidence_jsonl: evidence,
        };
        let sealed = bundle::seal(files, report, &self.key);
        let files = BTreeMap::from([
            (bundle::REPORT_JSON.to_owned(), report_json),
            (bundle::REPORT_HTML.to_owned(), report_html),
            (bundle::EVIDENCE_JSONL.to_owned(), evidence.to_vec()),
            (bundle::ATTESTATION_JSON.to_owned(), sealed.attestation_json),
            (bundle::ATTESTATION_SIG.to_owned(), sealed.attestation_sig),
            (bundle::SIGNER_PEM.to_owned(), sealed.signer_pem),
            (bundle::ALLOWED_SIGNERS.to_owned(), sealed.allowed_signers),
        ]);
        self.staging
            .publish(&files)
            .map_err(|error| Failure::usage(&error))
    }
}

/// Where the key lies if nobody says: the user's data directory (XDG base directory specification).
pub(super) fn default_identity() -> Result<PathBuf, Failure> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let data = set("XDG_DATA_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .ok_or_else(|| {
            Failure::usage_message("find a place for the signing key: HOME is not set; give --identity")
        })?;
    let dir = data.join("plumbline");
    private_dir(&dir)?;
    Ok(dir.join("identity.pem"))
}

fn private_dir(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| {
            Failure::usage_message(format!("create {}: {error}; or give --identity", dir.display()))
        })
}
