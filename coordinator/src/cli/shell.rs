//! `plumbline completions SHELL` and `plumbline man`: both are made from the command line itself, so they know every option.

use std::{fs, path::PathBuf};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Failure, print};
use crate::exit::Exit;

#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

const COMPLETIONS: &str = "\
Examples:
  plumbline completions bash > ~/.local/share/bash-completion/completions/plumbline
  plumbline completions zsh > \"${fpath[1]}/_plumbline\"
  plumbline completions fish > ~/.config/fish/completions/plumbline.fish";

#[derive(Debug, Args)]
#[command(after_help = MAN)]
pub(crate) struct ManArgs {
    /// Write a page for each command into this directory, which must exist, instead of the first page to standard output.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

const MAN: &str = "\
Examples:
  plumbline man | man -l -
  plumbline man --out ~/.local/share/man/man1";

/// Prints the completions of a shell.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "plumbline", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Passed)
}

/// Prints the first manual page, or writes all of them.
pub(crate) fn man(args: &ManArgs) -> Result<Exit, Failure> {
    let Some(dir) = &args.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .map_err(|error| Failure::usage_message(format!("write the manual page: {error}")))?;
        print(&String::from_utf8_lossy(&page))?;
        return Ok(Exit::Passed);
    };
    if !fs::metadata(dir).is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Failure::usage_message(format!(
            "write manual pages into {}: it is no directory; make it first",
            dir.display()
        )));
    }
    clap_mangen::generate_to(Cli::command(), dir).map_err(|error| {
        Failure::usage_message(format!("write manual pages into {}: {error}", dir.display()))
    })?;
    Ok(Exit::Passed)
}
