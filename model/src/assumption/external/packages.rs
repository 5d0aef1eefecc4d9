//! EXT-006: nodes reach the package repository that they are given.

use crate::{
    assumption::{Ruling, Scene},
    report::check::Check,
};

/// Nodes reach the package repository that they are given.
pub(crate) const CHECK: Check = Check {
    id: "EXT-006",
    asserts: "nodes reach the package repository that they are given",
    how: "as EXT-002 or EXT-003",
    needs: "nothing",
    rule: "fails as these do; not made where the cluster file says that no repository is added",
    remedy: "allow the name, or set osEnvironmentConfig.addPackageRepo to false and provide the packages",
    source: "the vendor's list of hosts",
};

/// Judges what every participant saw.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    super::judge(scene, CHECK.id)
}
