//! Labels of nodes: where they stand, in the user's own words.

use std::collections::BTreeMap;

use crate::{source::Complaints, yaml::fields::At};

/// A mapping of names to values, as it stands at a node or a group.
pub(super) fn read(at: &At<'_>, complaints: &mut Complaints) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let fields = at.fields(complaints);
    for entry in fields.iter().flat_map(|fields| fields.entries()) {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        let is_name = entry.key.len() <= MAX_LENGTH && entry.key.chars().all(is_allowed);
        if !is_name {
            let message = format!("`{}`: `{}` is no name of a label", at.path, entry.key);
            complaints.add_with_help(
                entry.place,
                message,
                format!("write up to {MAX_LENGTH} letters, digits, `-`, `_`, `.` and `/`, for example rack"),
            );
            continue;
        }
        let value = At {
            node: &entry.value,
            path: format!("{}.{}", at.path, entry.key),
        };
        let Some(value) = value.text(complaints) else {
            continue;
        };
        if value.value.is_empty() || value.value.chars().count() > MAX_LENGTH {
            let message = format!("`{}.{}` has 1 to {MAX_LENGTH} characters", at.path, entry.key);
            complaints.add_with_help(
                value.place,
                message,
                "write where the node stands, for example r12",
            );
            continue;
        }
        labels.insert(entry.key.clone(), value.value);
    }
    labels
}

/// Kubernetes takes 63 characters in a label's value, too.
const MAX_LENGTH: usize = 63;
