//! Errand inspect: how the host is set up, read without running or changing anything. Nothing is told of its settings yet but
//! those of its packet filter managers.

use plumbline_model::observation::Record;

/// What the host tells.
pub(super) fn inspect() -> Vec<Record> {
    vec![
        Record::Host(Box::default()),
        Record::Firewalls(Box::new(crate::facts::firewalls())),
    ]
}
