//! EXT-004: where a region registers the cluster, nodes reach that region's host.

use crate::{
    assumption::{Ruling, Scene},
    report::check::Check,
};

/// Where a region registers the cluster, nodes reach that region's host.
pub(crate) const CHECK: Check = Check {
    id: "EXT-004",
    asserts: "where a region registers the cluster, nodes reach that region's host",
    how: "as EXT-002 or EXT-003, for the regional name in place of the global one",
    needs: "nothing",
    rule: "fails as these do; made only where the cluster file sets gkeConnect.location",
    remedy: "allow the regional name, too",
    source: "the vendor's page on regional membership",
};

/// Judges what every participant saw.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    super::judge(scene, CHECK.id)
}
