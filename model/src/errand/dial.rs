//! SKELETON

use serde::{Deserialize, Serialize};

use super::{Commission, Errands};

/// SKELETON
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialErrand {}

/// SKELETON
pub(super) fn plan(_commission: &Commission<'_>, _errands: &mut Errands) {}
