//! SKELETON

use serde::{Deserialize, Serialize};

/// SKELETON
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirewallSettings {}
