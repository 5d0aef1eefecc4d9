//! Checks over the files: what was complained about when they were read, and the checks that need port tables or probes.
//! Every complaint is a finding with its line; every check that was made is a row.

mod ports;
mod subnet;
mod version;

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    cause::{Cause, CauseKind, Fix},
    cluster::{Checked, Layout},
    input::Understood,
    ledger::Ledger,
    profile::Profile,
    source::{Diagnostic, Gravity, Place},
};

use super::{CheckRow, FilePlace, Finding, FindingSeverity, Status, check};

/// What the checks over the files come to.
pub(super) struct Configured {
    /// In the order of the complaints; ids are given when all findings are known.
    pub(super) findings: Vec<Finding>,
    /// One row for each check that was made, ascending by id; those of the version stand with the profiles.
    pub(super) rows: Vec<CheckRow>,
}

/// A layout that is asked further questions.
struct Asked<'a> {
    layout: &'a Layout,
    complaints: Vec<Diagnostic>,
    made: Vec<Checked>,
    /// Checks that rest on what was assumed and not measured: without a complaint they are no pass either.
    assumed: Vec<Checked>,
}

impl Asked<'_> {
    fn complain(
        &mut self,
        place: Place,
        (check, gravity): (check::Check, Gravity),
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.complaints.push(Diagnostic {
            file: self.layout.file.clone(),
            line: place.line,
            column: place.column,
            message: message.into(),
            help: Some(help.into()),
            gravity,
            check: Some(check.id),
        });
    }

    fn made(&mut self, check: check::Check, detail: impl Into<String>) {
        self.made.push(Checked {
            check: check.id,
            detail: detail.into(),
        });
    }

    fn assumed(&mut self, check: check::Check, detail: impl Into<String>) {
        self.assumed.push(Checked {
            check: check.id,
            detail: detail.into(),
        });
    }

    /// Whether what stands there was found to be wrong: further faults of it may be consequences.
    fn must_change(&self, place: Place) -> bool {
        self.complaints.iter().any(|complaint| {
            complaint.gravity <= Gravity::Fail
                && complaint.file == self.layout.file
                && (complaint.line, complaint.column) == (place.line, place.column)
        })
    }

    /// Where a node stands.
    fn place_of(&self, node: IpAddr) -> Place {
        let mut nodes = self.layout.nodes.iter().map(|node| node.data());
        nodes
            .find(|address| address.value == node)
            .map_or(Place::START, |address| address.place)
    }
}

/// Makes the checks that need port tables or probes, and puts all of them together.
pub(super) fn configured(understood: &Understood, profiles: &[Profile], ledger: &Ledger<'_>) -> Configured {
    let mut asked = Asked {
        layout: &understood.checks.layout,
        complaints: understood.findings.clone(),
        made: understood.checks.made.clone(),
        assumed: Vec::new(),
    };
    ports::own(&mut asked, &understood.inventory, profiles);
    subnet::same(&mut asked, &understood.inventory, ledger);
    let rows = rows(&asked);
    version::known(&mut asked, &understood.inventory, profiles);
    Configured {
        findings: asked.complaints.iter().filter_map(finding).collect(),
        rows,
    }
}

fn rows(asked: &Asked<'_>) -> Vec<CheckRow> {
    let ids: BTreeSet<&str> = asked
        .made
        .iter()
        .chain(&asked.assumed)
        .map(|made| made.check)
        .chain(asked.complaints.iter().filter_map(|complaint| complaint.check))
        .collect();
    ids.into_iter().map(|id| row(asked, id)).collect()
}

/// Passes only if nothing was complained about and nothing was assumed.
fn row(asked: &Asked<'_>, id: &str) -> CheckRow {
    let complaints: Vec<&Diagnostic> = asked
        .complaints
        .iter()
        .filter(|complaint| complaint.check == Some(id))
        .collect();
    let status = complaints
        .iter()
        .map(|complaint| weight(complaint.gravity).0)
        .max();
    let is_assumed = asked.assumed.iter().any(|assumed| assumed.check == id);
    let status = status.unwrap_or(if is_assumed {
        Status::NotMeasured
    } else {
        Status::Pass
    });
    let worst = complaints
        .iter()
        .min_by_key(|complaint| (complaint.gravity, complaint.line, complaint.column));
    let detail = match worst {
        Some(worst) => {
            let more = match complaints.len() - 1 {
                0 => String::new(),
                1 => "; 1 more finding".to_owned(),
                more => format!("; {more} more findings"),
            };
            format!("line {}: {}{more}", worst.line, worst.message)
        }
        None => {
            let made = asked.made.iter().chain(&asked.assumed);
            made.filter(|made| made.check == id)
                .map(|made| made.detail.as_str())
                .collect::<Vec<_>>()
                .join("; ")
        }
    };
    CheckRow {
        id: id.to_owned(),
        status,
        subject: worst.map_or(&asked.layout.file, |worst| &worst.file).clone(),
        detail,
    }
}

fn weight(gravity: Gravity) -> (Status, FindingSeverity) {
    match gravity {
        Gravity::Warn => (Status::Warn, FindingSeverity::Warn),
        Gravity::Unreadable | Gravity::Contradiction | Gravity::Fail => (Status::Fail, FindingSeverity::Fail),
    }
}

/// `None` for a complaint that belongs to no check: such a text is not read in the first place.
fn finding(complaint: &Diagnostic) -> Option<Finding> {
    let check = complaint.check?;
    let (status, severity) = weight(complaint.gravity);
    let detail = format!("{}:{}: {}", complaint.file, complaint.line, complaint.message);
    Some(Finding {
        id: String::new(),
        check: check.to_owned(),
        status,
        severity,
        cause: Cause {
            kind: kind(check),
            node: None,
            between: None,
            detail,
        },
        nodes: Vec::new(),
        places: vec![FilePlace {
            file: complaint.file.clone(),
            line: complaint.line,
            column: complaint.column,
        }],
        affects: Vec::new(),
        affects_total: 0,
        attempts: 0,
        // The run record holds the texts.
        evidence: vec![1],
        fix: Fix {
            text: complaint.help.clone().unwrap_or_default(),
            commands: Vec::new(),
        },
        waived: None,
    })
}

fn kind(check: &str) -> CauseKind {
    if [check::CFG_DISJOINT_ADDRESSES.id, check::CFG_DISJOINT_RANGES.id].contains(&check) {
        CauseKind::AddressOverlap
    } else if check == check::CFG_POD_CAPACITY.id {
        CauseKind::Capacity
    } else {
        CauseKind::Config
    }
}
