//! How the kernel's clock stands (adjtimex(2)). Nothing is set.

use std::io;

/// What the kernel knows of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Whether a program keeps it in step (not `STA_UNSYNC`).
    pub synchronised: bool,
    /// The most that it may be wrong by, in microseconds.
    pub max_error_us: u64,
    /// What it is estimated to be wrong by, in microseconds.
    pub estimated_error_us: u64,
}

/// Asks the kernel.
///
/// # Errors
/// If the kernel, or a filter of system calls, refuses.
pub fn state() -> io::Result<State> {
    // SAFETY: a `timex` is numbers alone, of which all zeros is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // No mode: only read.
    timex.modes = 0;
    // SAFETY: `timex` lives across the call, which fills it in and keeps no pointer.
    let result = unsafe { libc::adjtimex(&raw mut timex) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(State {
        synchronised: timex.status & libc::STA_UNSYNC == 0,
        max_error_us: error_us(timex.maxerror),
        estimated_error_us: error_us(timex.esterror),
    })
}

/// A kernel that says less than nothing does not say that its clock is right.
fn error_us(said: impl TryInto<u64>) -> u64 {
    said.try_into().unwrap_or(PHASE_LIMIT_US)
}

/// The kernel's `NTP_PHASE_LIMIT`: the error at which it calls a clock unsynchronised.
const PHASE_LIMIT_US: u64 = 16_000_000;

#[cfg(test)]
mod tests {
    #[test]
    fn an_error_below_zero_is_no_perfect_clock() {
        assert_eq!(super::error_us(-1_i64), super::PHASE_LIMIT_US);
        assert_eq!(super::error_us(250_i64), 250);
    }

    #[test]
    fn this_very_clock_tells_how_it_stands() {
        let state = super::state().unwrap();
        assert!(
            state.max_error_us >= state.estimated_error_us || !state.synchronised,
            "{state:?}"
        );
    }
}
