//! Tells of the host's settings and of the managers of its packet filter. Gathers when the run begins, and waits for its end to
//! look at the devices' counters again. Sends nothing.

use plumbline_model::observation::Record;

use super::{Post, Stop};
use crate::facts::{self, settings};

/// Gathers, and waits until it is stopped.
pub(super) fn inspect(post: &Post, stop: &Stop) -> Vec<Record> {
    let begun = settings::begin(&post.run, post.node, &post.members);
    let firewalls = facts::firewalls();
    stop.wait();
    vec![
        Record::Host(Box::new(begun.end())),
        Record::Firewalls(Box::new(firewalls)),
    ]
}
