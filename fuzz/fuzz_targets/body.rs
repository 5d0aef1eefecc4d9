//! The body that the environment names, under libFuzzer.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use plumbline_fuzz::{BODIES, Body, body};

static BODY: LazyLock<&Body> = LazyLock::new(|| {
    let name = std::env::var("PLUMBLINE_BODY").unwrap_or_default();
    let names = || BODIES.iter().map(|body| body.name).collect::<Vec<_>>().join(", ");
    body(&name).unwrap_or_else(|| panic!("PLUMBLINE_BODY is {name:?}; it must be one of {}", names()))
});

fuzz_target!(|data: &[u8]| {
    let _ = (BODY.run)(data);
});
