//! The matrix as CSV (RFC 4180), a row for each run of ports with one outcome: what a network team pastes into a request.

use std::fmt::Write as _;

use plumbline_model::{
    plan::Expect,
    report::{Basis, Report},
};

/// The reachability rows.
pub(crate) fn csv(report: &Report) -> String {
    let mut out = String::from(
        "src,dst,family,protocol,ports,rule,expect,outcome,attempts,offender,why,inferred,answered_from,by\n",
    );
    for row in &report.reachability {
        let expect = match row.expect {
            Expect::Open => "open",
            Expect::Blocked => "blocked",
        };
        let text = |address: Option<std::net::IpAddr>| address.map(|it| it.to_string()).unwrap_or_default();
        let _ = writeln!(
            out,
            "{},{},{},{},\"{}\",{},{expect},{},{},{},{},{},{},{}",
            row.src,
            row.dst,
            row.family,
            row.protocol,
            row.ports,
            row.rule,
            row.outcome,
            row.attempts,
            text(row.offender),
            row.why.as_deref().unwrap_or_default(),
            if row.inferred == Some(true) { "true" } else { "" },
            text(row.answered_from),
            match row.by {
                Some(Basis::Ruleset) => "ruleset",
                None => "",
            },
        );
    }
    out
}
