//! `plumbline-probe`: the binary that is brought to every node.

use std::process::ExitCode;

use clap::Parser as _;
use plumbline_probe::cli::{ProbeArgs, run};

fn main() -> ExitCode {
    run(ProbeArgs::parse())
}
