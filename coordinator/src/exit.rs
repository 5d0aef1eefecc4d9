//! The exit codes of every command, which scripts and CI rely on.

use std::process::ExitCode;

use plumbline_model::report::Verdict;

/// What a command ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: passed (warnings allowed), or the command did what it was asked.
    Passed,
    /// 1: something is not as expected.
    Failed,
    /// 2: wrong usage, or a file or address that cannot be read, written or bound.
    Usage,
    /// 3: something that was planned was not measured.
    Incomplete,
    /// 4: a report directory does not verify.
    Unverified,
    /// 70: a bug.
    Bug,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Passed => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Incomplete => 3,
            Exit::Unverified => 4,
            Exit::Bug => BUG,
        })
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed | Verdict::Warned => Self::Passed,
            Verdict::Incomplete => Self::Incomplete,
            Verdict::Failed => Self::Failed,
        }
    }
}

/// Also set by the panic hook, since a panic is a bug by definition.
pub(crate) const BUG: u8 = 70;
