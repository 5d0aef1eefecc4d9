//! MTU-004: who cannot forward a packet for its size says so.

use crate::{
    assumption::{Ruling, Scene, paths},
    report::check::Check,
};

use super::limits::limits;

/// Who cannot forward a packet for its size says so.
pub(crate) const CHECK: Check = Check {
    id: "MTU-004",
    asserts: "where a path carries less than the interfaces, an ICMP error says so (path MTU discovery works)",
    how: "as MTU-002: the errors that come back for packets that are too large (IP_RECVERR), with who sent them and the MTU that they \
          tell of",
    needs: "as MTU-002",
    rule: "warns if none came back; nothing is said where paths carry what the interfaces do",
    remedy: "let ICMP type 3 code 4 and ICMPv6 type 2 through every packet filter on the way",
    source: "RFC 1191, RFC 2923 section 2.1, RFC 4890 section 4.3.1",
};

/// Judges the paths that carry less than their interfaces.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let all = paths::told(scene);
    let ruling = |limit: super::limits::Limit| {
        let subject = limit.subject(scene);
        match limit.silent {
            true => Ruling::warn(subject, limit.complaint(scene)),
            false => Ruling::pass(subject, "an ICMP error says what is too large"),
        }
    };
    limits(scene, &all).into_iter().map(ruling).collect()
}
