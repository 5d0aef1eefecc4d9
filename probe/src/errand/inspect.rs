//! SKELETON

use plumbline_model::observation::{HostSettings, Record};

/// SKELETON
pub(super) fn inspect() -> Vec<Record> {
    vec![
        Record::Host(Box::new(HostSettings::default())),
        Record::Firewalls(Box::new(crate::facts::firewalls())),
    ]
}
