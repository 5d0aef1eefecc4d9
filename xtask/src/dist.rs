//! `cargo xtask dist`: the binaries as they are shipped, with their sizes.

use crate::{Task, cargo, run};

/// The probe must stay light: it is copied to every node.
const MAX_PROBE_BYTES: u64 = 6 * 1024 * 1024;

/// Builds both binaries with the `dist` profile; the probe alone, since a workspace build would unify features into it.
pub(crate) fn dist() -> Task {
    run(&mut cargo(&[
        "build",
        "--locked",
        "--profile",
        "dist",
        "--package",
        "plumbline-probe",
    ]))?;
    run(&mut cargo(&[
        "build",
        "--locked",
        "--profile",
        "dist",
        "--package",
        "plumbline",
    ]))?;
    let target = crate::test::target_dir()?.join("dist");
    for name in ["plumbline-probe", "plumbline"] {
        let path = target.join(name);
        let bytes = std::fs::metadata(&path)
            .map_err(|error| format!("read {}: {error}", path.display()))?
            .len();
        println!("dist: {} {bytes} octets", path.display());
        if name == "plumbline-probe" && bytes > MAX_PROBE_BYTES {
            return Err(format!(
                "plumbline-probe has {bytes} octets, more than {MAX_PROBE_BYTES}"
            ));
        }
    }
    Ok(())
}
