//! EXT-001: the names of the servers outside that installation and operation need have addresses.

use crate::{
    assumption::{Ruling, Scene},
    report::check::Check,
};

/// The names of the servers outside that installation and operation need have addresses.
pub(crate) const CHECK: Check = Check {
    id: "EXT-001",
    asserts: "the names of the servers outside that installation and operation need have addresses",
    how: "each participant looks every name up as its host does: /etc/hosts, then its name servers in turn over UDP, over TCP where the answer is cut; names that only the proxy looks up are left to it",
    needs: "nothing",
    rule: "fails if a name has no address somewhere, or no name server answers; one complaint for all names and nodes that fare alike",
    remedy: "mend the name servers that the finding names, or the node's /etc/resolv.conf",
    source: "the vendor's list of hosts; RFC 1035",
};

/// Judges what every participant saw.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    super::judge(scene, CHECK.id)
}
