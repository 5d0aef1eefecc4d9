//! The matrix as CSV (RFC 4180), a row for each run of ports with one outcome: what a network team pastes into a request.

use std::fmt::Write as _;

use plumbline_model::report::Report;

/// The reachability rows.
pub(crate) fn csv(report: &Report) -> String {
    let mut out = String::from("src,dst,family,protocol,ports,rule,expect,outcome,attempts,offender,why\n");
    for row in &report.reachability {
        let expect = match row.expect {
            plumbline_model::plan::Expect::Open => "open",
            plumbline_model::plan::Expect::Blocked => "blocked",
        };
        let offender = row
            .offender
            .map(|address| address.to_string())
            .unwrap_or_default();
        let _ = writeln!(
            out,
            "{},{},{},{},\"{}\",{},{expect},{},{},{offender},{}",
            row.src,
            row.dst,
            row.family,
            row.protocol,
            row.ports,
            row.rule,
            row.outcome,
            row.attempts,
            row.why.as_deref().unwrap_or_default(),
        );
    }
    out
}
