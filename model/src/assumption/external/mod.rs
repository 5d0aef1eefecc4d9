//! Checks of what is outside: the servers that installation and operation need, directly and through the proxy, and who signs for
//! them. What several nodes and servers suffer in the same way is one complaint.

mod found;
mod tell;
#[cfg(test)]
mod tests;

pub(super) mod mirrors;
pub(super) mod names;
pub(super) mod packages;
pub(super) mod proxy;
pub(super) mod region;
pub(super) mod servers;

use crate::assumption::{Ruling, Scene};

/// What one of the checks has to say.
fn judge(scene: &Scene<'_>, id: &str) -> Vec<Ruling> {
    let found = found::Found::of(scene);
    let mut rulings: Vec<Ruling> = found
        .troubles
        .iter()
        .filter(|trouble| trouble.id() == id)
        .map(|trouble| tell::ruling(scene, &found, trouble))
        .collect();
    rulings.extend(tell::passes(&found, id));
    rulings.extend(tell::lacks(&found, id));
    rulings
}
