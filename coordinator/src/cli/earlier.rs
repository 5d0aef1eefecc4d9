//! What an earlier report has to say for `--retest`: everything that failed or was not measured, of a report that verifies.

use std::{collections::BTreeMap, path::Path};

use plumbline_identity::bundle;
use plumbline_model::{
    canonical,
    evidence::{Retest, Retested, SwarmKind},
    plan::Plan,
    port::PortSet,
    report::{ReachabilityRow, Report, Standing},
};

use super::{
    Failure,
    verify::{Examined, Recomputed, examine},
};
use crate::{exit::Exit, render::count};

/// An earlier run, as far as a retest needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Earlier {
    /// Its cluster's name.
    pub(super) cluster: String,
    /// Where its probes came from, if its report says so.
    pub(super) swarm: Option<SwarmKind>,
    /// What is to be made again; without tests if everything was as expected.
    pub(super) retest: Retest,
}

/// Reads a report directory, after verifying it.
pub(super) fn read(dir: &Path) -> Result<Earlier, Failure> {
    let shown = dir.display();
    let unverified = |what: &str| {
        Failure::message(
            Exit::Unverified,
            format!(
                "retest {shown}: it does not verify, and nothing in it can be believed: {what}; \
                 `plumbline verify {shown}` says more"
            ),
        )
    };
    let parts = [
        bundle::REPORT_JSON,
        bundle::EVIDENCE_JSONL,
        bundle::ATTESTATION_JSON,
    ];
    if dir.is_dir() && !parts.iter().any(|part| dir.join(part).exists()) {
        return Err(Failure::usage_message(format!(
            "retest {shown}: it is no report directory (it holds no {}); give the one that the run named at its end",
            bundle::REPORT_JSON
        )));
    }
    let Examined {
        files,
        checked,
        recomputed,
    } = match examine(dir, None)? {
        Ok(examined) => examined,
        Err(faults) => return Err(unverified(faults.first().map_or("", String::as_str))),
    };
    match recomputed {
        Recomputed::Same => {}
        Recomputed::Differs(what) => return Err(unverified(&what)),
        // Its signatures hold, and what failed then is worth another test whatever is thought of it today.
        Recomputed::Skipped { analysis } => super::remark(&format!(
            "{shown} is of analysis version {analysis}: its signatures verify, its verdict was not computed again"
        )),
    }
    let bytes = files
        .get(bundle::REPORT_JSON)
        .ok_or_else(|| unverified("report.json is missing"))?;
    let report: Report = canonical::decode(bytes).map_err(|error| {
        Failure::usage_message(format!(
            "retest {shown}: read report.json: {}; it was made by another version of this program",
            super::chain(&error)
        ))
    })?;
    Ok(Earlier {
        cluster: report.cluster.clone(),
        swarm: report.swarm,
        retest: Retest {
            run: checked.run,
            report_sha256: canonical::sha256(bytes),
            tests: failures_of(&report.reachability),
        },
    })
}

/// Every test that was not as expected or not measured: once, whichever rules asked for it.
fn failures_of(rows: &[ReachabilityRow]) -> Vec<Retested> {
    let mut tests: BTreeMap<_, PortSet> = BTreeMap::new();
    let failed = |row: &&ReachabilityRow| matches!(row.standing(), Standing::Wrong | Standing::Gap);
    for row in rows.iter().filter(failed) {
        let key = (row.src, row.dst, row.family, row.protocol, row.outcome.clone());
        tests.entry(key).or_default().extend(&row.ports);
    }
    let mut tests: Vec<Retested> = tests
        .into_iter()
        .map(|((src, dst, family, protocol, was), ports)| Retested {
            src,
            dst,
            family,
            protocol,
            ports,
            was,
        })
        .collect();
    tests.sort_unstable();
    tests
}

/// What a retest is going to do, in a sentence.
pub(super) fn making_again(retest: &Retest, plan: &Plan) -> Result<String, Failure> {
    let failed: u64 = retest
        .tests
        .iter()
        .map(|test| u64::from(test.ports.count()))
        .sum();
    let planned = plan.size().tests;
    if planned == 0 {
        return Err(Failure::usage_message(format!(
            "retest run {}: of {} that failed in it none is asked for now; give it the same --version, \
             --profile and nodes as then",
            retest.run,
            count(failed, "test")
        )));
    }
    let (some_of, rest) = if planned < failed {
        (
            format!("{planned} of "),
            " (the others are not asked for any more, or their nodes take no part)",
        )
    } else {
        (String::new(), "")
    };
    Ok(format!(
        "making {some_of}the {} again that failed, or {} not measured, in run {}{rest}",
        count(failed, "test"),
        if failed == 1 { "was" } else { "were" },
        retest.run
    ))
}

#[cfg(test)]
mod tests {
    use plumbline_model::{
        id::NodeId,
        plan::Expect,
        port::{Family, Protocol},
    };

    use super::*;

    fn row(dst: &str, ports: &str, expect: Expect, outcome: &str) -> ReachabilityRow {
        let node = |text: &str| -> NodeId { text.parse().unwrap() };
        serde_json::from_value(serde_json::json!({
            "src": node("10.0.0.1"),
            "dst": node(dst),
            "family": Family::Ipv4,
            "protocol": Protocol::Tcp,
            "ports": ports,
            "rule": "a.rule",
            "expect": expect,
            "outcome": outcome,
            "attempts": 1,
        }))
        .unwrap()
    }

    #[test]
    fn what_failed_or_was_not_measured_is_made_again_once() {
        let rows = [
            row("10.0.0.2", "22,443", Expect::Open, "open"),
            row("10.0.0.2", "9100", Expect::Open, "filtered"),
            // Another rule asks for it, too.
            row("10.0.0.2", "9100-9101", Expect::Open, "filtered"),
            row("10.0.0.3", "443", Expect::Open, "not_measured"),
            row("10.0.0.3", "444", Expect::Open, "lossy"),
            row("10.0.0.3", "9101", Expect::Blocked, "closed"),
            row("10.0.0.3", "9102", Expect::Blocked, "open_unverified"),
        ];
        let found: Vec<_> = failures_of(&rows)
            .into_iter()
            .map(|test| (test.dst.to_string(), test.ports.to_string(), test.was))
            .collect();
        let expected = [
            ("10.0.0.2", "9100-9101", "filtered"),
            ("10.0.0.3", "443", "not_measured"),
            ("10.0.0.3", "444", "lossy"),
            ("10.0.0.3", "9102", "open_unverified"),
        ];
        let expected = expected.map(|(dst, ports, was)| (dst.to_owned(), ports.to_owned(), was.to_owned()));
        assert_eq!(found, expected);
    }
}
