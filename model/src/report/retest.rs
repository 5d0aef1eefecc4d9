//! A retest set against the run whose failures it makes again.

use std::collections::BTreeMap;

use crate::{
    evidence::Retested,
    ledger::Ledger,
    plan::{Expect, Plan},
    port::PortSet,
    verdict::{Cell, PairVerdict},
};

use super::{Change, RetestSummary, assemble::is_unserved};

/// Compares; nothing if no retest was asked for. `pairs` ascend by source, destination and transport.
pub(super) fn compare(plan: &Plan, ledger: &Ledger<'_>, pairs: &[PairVerdict]) -> Option<RetestSummary> {
    let retest = ledger.run.parameters.retest.as_ref()?;
    let mut summary = RetestSummary {
        run: retest.run.clone(),
        report_sha256: retest.report_sha256.clone(),
        tests: 0,
        fixed: 0,
        still_failing: 0,
        not_measured: 0,
        left_out: 0,
        changes: Vec::new(),
    };
    let mut changes: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for test in &retest.tests {
        let mut left = test.ports.clone();
        if let Some(pair) = pair_of(pairs, test) {
            let blocked = must_not_answer(plan, pair);
            for cell in pair.cells.iter().filter(|cell| !is_unserved(cell)) {
                let ports = cell.ports.intersection(&left);
                left = left.difference(&ports);
                let exposed = ports.intersection(&blocked);
                summary.add(cell, &ports.difference(&exposed), Expect::Open);
                summary.add(cell, &exposed, Expect::Blocked);
                if !ports.is_empty() {
                    let tests = changes.entry((&test.was, cell.outcome.word())).or_default();
                    *tests += u64::from(ports.count());
                }
            }
        }
        summary.left_out += u64::from(left.count());
        summary.tests += u64::from(test.ports.count());
    }
    let changes = changes.into_iter().map(|((was, now), tests)| Change {
        was: was.to_owned(),
        now: now.to_owned(),
        tests,
    });
    summary.changes = changes.collect();
    Some(summary)
}

fn pair_of<'a>(pairs: &'a [PairVerdict], test: &Retested) -> Option<&'a PairVerdict> {
    let key = (test.src, test.dst, (test.family, test.protocol));
    let found = pairs.binary_search_by_key(&key, |pair| (pair.src, pair.dst, pair.transport));
    found.ok().map(|index| &pairs[index])
}

fn must_not_answer(plan: &Plan, pair: &PairVerdict) -> PortSet {
    let mut out = PortSet::new();
    for (block, ports) in &pair.blocks {
        if plan.blocks[*block].expect == Expect::Blocked {
            out.extend(ports);
        }
    }
    out
}

impl RetestSummary {
    fn add(&mut self, cell: &Cell, ports: &PortSet, expect: Expect) {
        let is_fine = match expect {
            Expect::Open => cell.outcome.is_open(),
            Expect::Blocked => !cell.outcome.answers(),
        };
        let field = match (cell.outcome.is_measured(), is_fine) {
            (false, _) => &mut self.not_measured,
            (true, true) => &mut self.fixed,
            (true, false) => &mut self.still_failing,
        };
        *field += u64::from(ports.count());
    }
}
