//! SKELETON

use plumbline_model::observation::{FirewallSettings, HostSettings, Record};

/// SKELETON
pub(super) fn inspect() -> Vec<Record> {
    vec![
        Record::Host(Box::new(HostSettings::default())),
        Record::Firewalls(Box::new(FirewallSettings::default())),
    ]
}
