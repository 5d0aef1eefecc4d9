//! How a row of the matrix stands to what was expected of it: one decision for findings, waivers and every format.

use super::ReachabilityRow;
use crate::plan::Expect;

/// How a row stands to what was expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// A port of a live node that only a Service would serve, and none does: nobody misses it.
    NotServed,
    /// As expected.
    AsExpected,
    /// Not measured.
    Gap,
    /// Not as expected.
    Wrong,
}

impl ReachabilityRow {
    /// How it stands to what was expected. A port that answers at times answers.
    pub fn standing(&self) -> Standing {
        match (self.outcome.as_str(), self.expect) {
            ("not_measured", _) if self.why.as_deref() == Some("no_service") => Standing::NotServed,
            ("not_measured" | "resource", _) => Standing::Gap,
            ("open" | "open_unverified", Expect::Open) => Standing::AsExpected,
            ("open" | "open_unverified" | "lossy", Expect::Blocked) => Standing::Wrong,
            (_, Expect::Open) => Standing::Wrong,
            (_, Expect::Blocked) => Standing::AsExpected,
        }
    }
}
