//! What is made of something else and checked in, compared here so that the two cannot drift apart: the wire contract's Rust
//! code, from `proto/plumbline/v1/*.proto` without protoc, and docs/checks.md.

mod checks;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why the code could not be generated, or is not what is checked in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GenError {
    /// The `.proto` files do not compile.
    #[error("compile {PROTO}")]
    Compile(#[source] protox::Error),
    /// A file could not be read or written.
    #[error("access {}", path.display())]
    Access {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The code generator failed.
    #[error("generate code for {PROTO}")]
    Generate(#[source] io::Error),
    /// What is checked in is not what the `.proto` files give.
    #[error("{product} differs from what {origin} would give; run `cargo xtask gen` and commit the result")]
    Drifted {
        /// What is checked in.
        product: &'static str,
        /// What it is made of.
        origin: &'static str,
    },
}

/// Generates what is checked in, or with `check` compares.
///
/// # Errors
/// If something cannot be generated, or with `check` differs.
pub(crate) fn generate(check: bool) -> Result<(), GenError> {
    let root = workspace_root();
    for (product, origin, content) in [
        (GENERATED, PROTO, generated(&root)?),
        (CHECKS, "the checks' own words", checks::page()),
    ] {
        keep(&root.join(product), &content, check, (product, origin))?;
    }
    Ok(())
}

fn keep(
    path: &Path,
    content: &str,
    check: bool,
    (product, origin): (&'static str, &'static str),
) -> Result<(), GenError> {
    let access = |source| GenError::Access {
        path: path.to_owned(),
        source,
    };
    if !check {
        return fs::write(path, content).map_err(access);
    }
    if fs::read_to_string(path).map_err(access)? == content {
        Ok(())
    } else {
        Err(GenError::Drifted { product, origin })
    }
}

fn generated(root: &Path) -> Result<String, GenError> {
    let descriptors = protox::compile([PROTO], [root.join("proto")]).map_err(GenError::Compile)?;
    // The generator writes files only; beside the build's other products it disturbs nobody.
    let scratch = scratch_directory(root);
    let access = |source| GenError::Access {
        path: scratch.clone(),
        source,
    };
    fs::create_dir_all(&scratch).map_err(access)?;
    tonic_prost_build::configure()
        // The carriers are our own; tonic's `connect` would bring its TLS settings and name resolution.
        .build_transport(false)
        .out_dir(&scratch)
        .compile_fds(descriptors)
        .map_err(GenError::Generate)?;
    let path = scratch.join("plumbline.v1.rs");
    let code = fs::read_to_string(&path).map_err(|source| GenError::Access { path, source });
    fs::remove_dir_all(&scratch).map_err(access)?;
    code
}

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .to_owned()
}

fn scratch_directory(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    // The process id keeps a `gen` and a test of it apart.
    target.join(format!("xtask-gen-{}", std::process::id()))
}

const PROTO: &str = "plumbline/v1/control.proto";
const GENERATED: &str = "proto/src/gen/plumbline.v1.rs";
const CHECKS: &str = "docs/checks.md";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_code_is_what_the_contract_gives() {
        let root = workspace_root();
        assert_eq!(
            generated(&root).unwrap(),
            fs::read_to_string(root.join(GENERATED)).unwrap()
        );
        assert_eq!(checks::page(), fs::read_to_string(root.join(CHECKS)).unwrap());
    }
}
