//! The one place that decides what becomes of a test that this machine cannot run: it is named, and where
//! `PLUMBLINE_REQUIRE_LAB=1` is set (in CI) it fails.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use crate::browser;

/// Whether a test that needs network namespaces runs. If not, its name and the reason are on standard error by now.
///
/// # Panics
/// If it cannot run where it has to.
pub fn lab(test: &str) -> bool {
    open(test, lab_available())
}

/// Whether a test that must be root, and not only inside a user namespace of its own, runs.
///
/// # Panics
/// If it cannot run where it has to.
pub fn root(test: &str) -> bool {
    let available = if is_root() {
        Ok(())
    } else {
        Err("this test must be root".to_owned())
    };
    open(test, available)
}

/// Whether a test that needs a browser runs.
///
/// # Panics
/// If it cannot run where it has to.
pub fn browser(test: &str) -> bool {
    open(test, browser_available())
}

/// The rules of accessibility (axe-core), if a test that needs them and a browser runs.
///
/// # Panics
/// If it cannot run where it has to.
pub fn axe(test: &str) -> Option<PathBuf> {
    let axe = std::env::var_os("PLUMBLINE_AXE")
        .map(PathBuf::from)
        .filter(|path| path.is_file());
    let available = browser_available().and_then(|()| {
        axe.is_some()
            .then_some(())
            .ok_or_else(|| "PLUMBLINE_AXE names no axe-core: run `cargo xtask test --install`".to_owned())
    });
    open(test, available).then_some(axe).flatten()
}

fn browser_available() -> Result<(), String> {
    match browser::program() {
        Some(_) => Ok(()),
        None => Err("there is no chromium: run `cargo xtask test --install`".to_owned()),
    }
}

/// Whether this machine holds a lab, or why not.
///
/// # Errors
/// The reason.
pub fn lab_available() -> Result<(), String> {
    plumbline_lab::capabilities().map_err(|unavailable| unavailable.to_string())
}

/// Whether a test that cannot run is a failure here.
pub fn is_required() -> bool {
    std::env::var_os("PLUMBLINE_REQUIRE_LAB").is_some_and(|value| value == "1")
}

fn open(test: &str, available: Result<(), String>) -> bool {
    let Err(why) = available else {
        return true;
    };
    assert!(
        !is_required(),
        "{test} cannot run, and PLUMBLINE_REQUIRE_LAB=1 demands it: {why}"
    );
    // Not by a macro: the test harness keeps what those print to itself when a test passes.
    let _ = writeln!(io::stderr().lock(), "test {test} ... not run: {why}");
    false
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
