//! EXT-005: nodes reach the registry mirrors and the servers of the site's own.

use crate::{
    assumption::{Ruling, Scene},
    report::check::Check,
};

/// Nodes reach the registry mirrors and the servers of the site's own.
pub(crate) const CHECK: Check = Check {
    id: "EXT-005",
    asserts: "nodes reach the registry mirrors and the servers of the site's own",
    how: "as EXT-002 or EXT-003; the chain may also stand on the certificates under `external: roots` of the site file",
    needs: "nothing",
    rule: "fails as these do; whose chain stands on no root that counts is not measured as long as no roots are given",
    remedy: "start the server, let nodes reach it, or give its root under `external: roots`",
    source: "the cluster file's registryMirrors; the site file",
};

/// Judges what every participant saw.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    super::judge(scene, CHECK.id)
}
