//! CFG-002: the cluster's version has port tables.

use crate::{
    inventory::Inventory,
    profile::{Profile, VersionStanding},
    report::check,
    source::{Gravity, Place},
};

use super::Asked;

pub(super) fn known(asked: &mut Asked<'_>, inventory: &Inventory, profiles: &[Profile]) {
    let version = &inventory.version;
    let place = asked
        .layout
        .version
        .as_ref()
        .map_or(Place::START, |version| version.place);
    for profile in profiles {
        let (gravity, message, help) = match profile.standing(version.minor()) {
            VersionStanding::Known => continue,
            VersionStanding::NewerThan(newest) => (
                Gravity::Warn,
                format!(
                    "version {version} is newer than the newest port tables of {}; those of {newest} were used",
                    profile.id
                ),
                "look for a newer Plumbline, or give the tables of this version with --profile".to_owned(),
            ),
            VersionStanding::NeverExisted { below, above } => (
                Gravity::Fail,
                format!("version {version} never existed"),
                format!("the nearest versions are {below} and {above}"),
            ),
        };
        asked.complain(place, (check::VERSION, gravity), message, help);
    }
}
