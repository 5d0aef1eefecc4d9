//! Whom the inputs name outside the roster: one target after the other, each with its own room.

mod bgp;
mod dns;
mod site;

use plumbline_model::{
    errand::{DialErrand, DialTarget},
    observation::{Dialled, Record},
};

use super::{Post, Stop};

/// Asks every target, and reports them in the errand's order.
pub(super) fn dial(errand: &DialErrand, _post: &Post, stop: &Stop) -> Vec<Record> {
    let mut seen: Vec<Dialled> = Vec::new();
    for target in &errand.targets {
        match target {
            DialTarget::Site(target) => seen.extend(site::connect(target, errand, stop)),
            DialTarget::Question(question) => seen.extend(dns::ask(question, stop)),
            DialTarget::Peer(peer) => seen.extend(bgp::connect(peer, stop)),
        }
    }
    seen.into_iter().map(Record::Dialled).collect()
}
