//! EXT-002: nodes reach the servers outside without a proxy, and nobody else answers in their place.

use crate::{
    assumption::{Ruling, Scene},
    report::check::Check,
};

/// Nodes reach the servers outside without a proxy, and nobody else answers in their place.
pub(crate) const CHECK: Check = Check {
    id: "EXT-002",
    asserts: "nodes reach the servers outside without a proxy, and nobody else answers in their place",
    how: "a TCP connection and a TLS handshake (1.3 or 1.2) to each, closed before anything is asked; the chain has to lead to a public root, whatever the host itself trusts, and its name has to match",
    needs: "nothing",
    rule: "fails if a connection or a handshake does not come to be, or if somebody else signs: intercepting proxies are unsupported, and the finding says who signed",
    remedy: "let the nodes out to TCP 443 of these names, or name the proxy in the cluster file; take these names from inspection",
    source: "the vendor's list of hosts; its words on proxies that intercept TLS",
};

/// Judges what every participant saw.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    super::judge(scene, CHECK.id)
}
