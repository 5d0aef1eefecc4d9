//! EXT-003: nodes reach the servers outside through the proxy, and nobody else answers in their place.

use crate::{
    assumption::{Ruling, Scene},
    report::check::Check,
};

/// Nodes reach the servers outside through the proxy, and nobody else answers in their place.
pub(crate) const CHECK: Check = Check {
    id: "EXT-003",
    asserts: "nodes reach the servers outside through the proxy, and nobody else answers in their place",
    how: "CONNECT at the proxy of the cluster file, with its login, for each server that noProxy does not except, then as EXT-002",
    needs: "nothing",
    rule: "fails if the proxy is not reached, denies (407: it wants a login; 403: it does not let this name through), or signs in the servers' place",
    remedy: "allow the names at the proxy without inspection, mend its address or login in the cluster file, or list what is inside under noProxy",
    source: "RFC 9110 section 9.3.6; the vendor's page on proxies",
};

/// Judges what every participant saw.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    super::judge(scene, CHECK.id)
}
