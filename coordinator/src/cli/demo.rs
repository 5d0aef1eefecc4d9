//! `plumbline demo`: the whole job on a sample, with faults planted.

use clap::Args;
use plumbline_model::evidence::SwarmKind;

use super::{
    Failure,
    check::{self, ReportArgs},
    inputs::{Aim, InputArgs},
    print,
};
use crate::{
    demo::{Comparison, Sample},
    exit::Exit,
    swarm::{LabOptions, SwarmOptions},
};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// The cluster that is shown.
    #[arg(long, value_enum, default_value_t)]
    sample: Sample,
    #[command(flatten)]
    report: ReportArgs,
}

const EXAMPLES: &str = "\
Examples:
  plumbline demo                     needs root, or user namespaces; leaves only its report
  plumbline demo --out demo-report   then open demo-report/report.html
  plumbline demo --sample k3s        another distribution, other faults";

/// Plants, audits, compares: 0 if what was found is what was planted.
pub(crate) fn demo(args: &DemoArgs) -> Result<Exit, Failure> {
    let inputs = InputArgs::default().understand(args.sample.cluster(), SwarmKind::Lab, Aim::default())?;
    let prepared = args.report.prepare()?;
    let planted = args.sample.planted();
    let swarm = SwarmOptions::Lab(LabOptions {
        // Before any thread exists: namespaces are entered by a single-threaded process only.
        entered: plumbline_lab::enter().map_err(|error| Failure::usage(&error))?,
        faults: planted.iter().map(|planted| planted.fault.clone()).collect(),
    });
    let (audited, path) = check::audit(inputs, Some(swarm), prepared)?;
    let comparison = Comparison::new(planted, &audited.report);
    print(&format!("\n{comparison}\n\nreport: {}\n", path.display()))?;
    if audited.interrupted {
        return Ok(audited.exit());
    }
    Ok(if comparison.is_exact() {
        Exit::Passed
    } else {
        Exit::Failed
    })
}
