//! Waivers: findings that somebody answers for until a date. A waived finding stays in the report, is counted apart, and does
//! not shape the verdict.

use serde::{Deserialize, Serialize};

/// One waiver of a waivers file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The check's stable id, for example `PORT-001`.
    pub check: String,
    /// Which of its findings: see [`Selector`].
    pub selector: Selector,
    /// Who answers for it.
    pub owner: String,
    /// Why it is accepted.
    pub reason: String,
    /// The last day on which it counts, `YYYY-MM-DD` (UTC).
    pub expires: String,
    /// The line of the waivers file, from 1.
    pub line: u32,
}

/// Which findings of a check a waiver is about. Everything that is given must match; what is absent matches anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// The cause's kind, as report.json words it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The node to touch, or either side of a cause between nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `PORT/PROTOCOL`, a range allowed: every test under the finding is within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<String>,
}
