//! What the checks over the files complained about, as findings: one finding for each complaint, with its line.

use crate::{
    cause::{Cause, CauseKind, Fix},
    source::{Diagnostic, Gravity},
};

use super::{FilePlace, Finding, FindingSeverity, Status, check};

/// The findings, in the order of the complaints; ids are given when all findings are known.
pub(super) fn findings(complaints: &[Diagnostic]) -> Vec<Finding> {
    complaints.iter().filter_map(finding).collect()
}

/// `None` for a complaint that belongs to no check: such a text is not read in the first place.
fn finding(complaint: &Diagnostic) -> Option<Finding> {
    let check = complaint.check?;
    let (status, severity) = match complaint.gravity {
        Gravity::Warn => (Status::Warn, FindingSeverity::Warn),
        Gravity::Unreadable | Gravity::Contradiction | Gravity::Fail => (Status::Fail, FindingSeverity::Fail),
    };
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
