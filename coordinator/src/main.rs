//! The `plumbline` binary: the one place that knows every command, and the only file of the coordinator that knows the
//! probe (for `plumbline probe`, and because the swarms start this executable as a probe).

mod audit;
mod cli;
mod conductor;
mod demo;
mod exit;
mod redact;
mod render;
mod service;
mod store;
mod swarm;

use std::process::ExitCode;

fn main() -> ExitCode {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        default_hook(info);
        // A thread that dies silently would leave a run hanging: a bug ends the process, with the code that says so.
        std::process::exit(exit::BUG.into());
    }));
    cli::run()
}
