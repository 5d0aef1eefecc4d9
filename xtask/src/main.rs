//! The house's own commands: `cargo xtask gen`.

mod r#gen;

use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "this is where its messages are printed")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["gen"] => r#gen::generate(false),
        ["gen", "--check"] => r#gen::generate(true),
        _ => {
            eprintln!("usage: cargo xtask gen [--check]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut line = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                line = format!("{line}: {next}");
                cause = next.source();
            }
            eprintln!("xtask: failed to {line}");
            ExitCode::FAILURE
        }
    }
}
