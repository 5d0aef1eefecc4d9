//! A report without what tells whose it is: addresses, names and other people's words are replaced by pseudonyms that are the
//! same throughout, so that causes stay readable. A pure function of report, evidence and key (docs/report-format.md).
//!
//! ```text
//! report.json ──► tree ──► every text, by its field ──► tree ──► report, put in the order of its pseudonyms
//! evidence ──► names of hosts, clusters, tables, chains ──┘
//! ```
//!
//! What a text may keep is listed, what it loses is not: words of our own sentences (`words.txt`), numbers, names of
//! interfaces. A word that nobody thought of is replaced.

mod names;
mod pseudonym;
#[cfg(test)]
mod tests;

use plumbline_identity::redaction::RedactionKey;
use plumbline_model::{
    evidence::Entry,
    id::NodeId,
    profile,
    report::{CheckRow, Finding, Report},
};
use serde_json::Value;

use self::{
    names::Names,
    pseudonym::{Kind, Pseudonyms},
};

/// Why a report cannot be redacted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RedactError {
    /// The redacted report is none: a bug, since every field is replaced by one of its own form.
    #[error("redact the report: what remains is no report")]
    NoReport(#[source] serde_json::Error),
    /// By this key two texts would be told as one: see [`Pseudonyms::is_ambiguous`].
    #[error(
        "redact the report: by this key a pseudonym is also an address or a name of the report; redact with another key"
    )]
    Ambiguous,
}

/// Replaces whatever tells whose report it is. `evidence` is what the report was made of: it knows names that the report holds
/// only inside its sentences.
///
/// # Errors
/// If a pseudonym by this key cannot be told from an original, or on a bug.
pub(crate) fn redact(report: &Report, evidence: &[Entry], key: &RedactionKey) -> Result<Report, RedactError> {
    let mut tree = serde_json::to_value(report).map_err(RedactError::NoReport)?;
    let mut pseudonyms = Pseudonyms::new(key, Names::of(&tree, evidence));
    replace(&mut pseudonyms, ("", ""), &mut tree);
    if pseudonyms.is_ambiguous() {
        return Err(RedactError::Ambiguous);
    }
    let mut redacted: Report = serde_json::from_value(tree).map_err(RedactError::NoReport)?;
    redacted.redacted = true;
    put_in_order(&mut redacted);
    Ok(redacted)
}

/// Replaces the texts below a field of an object.
fn replace(pseudonyms: &mut Pseudonyms<'_>, (object, field): (&str, &str), value: &mut Value) {
    match value {
        Value::String(text) => *text = text_of(pseudonyms, (object, field), text),
        Value::Array(items) => {
            for item in items {
                replace(pseudonyms, (object, field), item);
            }
        }
        Value::Object(fields) if field == "labels" => {
            let labels = std::mem::take(fields).into_iter();
            fields.extend(labels.map(|(name, value)| {
                let value = value.as_str().map(|text| pseudonyms.name(Kind::Label, text));
                (pseudonyms.text(&name), Value::String(value.unwrap_or_default()))
            }));
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                replace(pseudonyms, (field, name), value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn text_of(pseudonyms: &mut Pseudonyms<'_>, (object, field): (&str, &str), text: &str) -> String {
    match (object, field) {
        _ if is_ours(object, field) => text.to_owned(),
        ("", "cluster") => pseudonyms.name(Kind::Cluster, text),
        (_, "hostname") => pseudonyms.name(Kind::Host, text),
        ("inputs", "name") if profile::builtin(text).is_some() => text.to_owned(),
        ("inputs", "name") | (_, "file") => pseudonyms.name(Kind::File, text),
        (_, "owner") => pseudonyms.name(Kind::Owner, text),
        (_, "reason") => pseudonyms.name(Kind::Reason, text),
        // The vendor's numbers say what is known of it; what follows them may be anybody's build.
        (_, "kernel") => {
            let is_number = |c: char| c.is_ascii_digit() || c == '.';
            text.split(|c| !is_number(c))
                .next()
                .unwrap_or_default()
                .to_owned()
        }
        _ => pseudonyms.text(text),
    }
}

/// Fields whose texts are words of ours, digests, times and versions.
fn is_ours(object: &str, field: &str) -> bool {
    const FIELDS: [&str; 28] = [
        "schema",
        "verdict",
        "run",
        "version",
        "swarm",
        "started",
        "finished",
        "coordinator_version",
        "sha256",
        "report_sha256",
        "roles",
        "life",
        "status",
        "severity",
        "kind",
        "family",
        "protocol",
        "ports",
        "expect",
        "outcome",
        "by",
        "check",
        "standing",
        "expires",
        "was",
        "now",
        "probe_version",
        "destination",
    ];
    match (object, field) {
        ("findings" | "checks", "id")
        | ("reachability", "why")
        | ("selector", "cause")
        | ("interfaces", "name") => true,
        _ => FIELDS.contains(&field),
    }
}

/// What ascended by address ascends by pseudonym: the order would tell of the originals.
fn put_in_order(report: &mut Report) {
    report.nodes.sort_by_key(|node| node.id);
    report.vantages.sort_by_key(|vantage| vantage.id);
    for vantage in &mut report.vantages {
        vantage.stands_for.sort_unstable();
    }
    report.absent.sort_by_key(|absent| absent.node);
    report.excluded.sort_unstable();
    report
        .reachability
        .sort_by_key(|row| (row.src, row.dst, row.family, row.protocol));
    for finding in &mut report.findings {
        finding.affects.sort_unstable();
        finding.nodes.sort_unstable();
        for side in finding.cause.between.iter_mut().flatten() {
            side.sort_unstable();
        }
    }
    reorder_equals(&mut report.findings);
    report
        .not_measured
        .sort_by(|a, b| (&a.why, &a.what).cmp(&(&b.why, &b.what)));
    // Rows of one check stand together, a row for each node.
    let of_node = |row: &CheckRow| row.subject.parse::<NodeId>().is_ok();
    let mut rows = report.checks.as_mut_slice();
    while !rows.is_empty() {
        let alike = |row: &&CheckRow| (&row.id, of_node(row)) == (&rows[0].id, of_node(&rows[0]));
        let length = rows.iter().take_while(alike).count();
        let (run, rest) = rows.split_at_mut(length);
        if of_node(&run[0]) {
            run.sort_by(|a, b| a.subject.cmp(&b.subject));
        }
        rows = rest;
    }
}

/// Findings that weigh alike stand in the order in which causes were sought, which is that of addresses. Those about files
/// keep the order of their lines.
fn reorder_equals(findings: &mut [Finding]) {
    let weight = |finding: &Finding| {
        let is_waived = finding.waived.is_some();
        let is_placed = !finding.places.is_empty();
        (
            is_waived,
            finding.status,
            finding.severity,
            finding.affects_total,
            is_placed,
        )
    };
    for alike in findings.chunk_by_mut(|one, next| weight(one) == weight(next)) {
        if alike[0].places.is_empty() {
            alike.sort_by(|one, other| {
                let who = |finding: &Finding| {
                    (
                        finding.check.clone(),
                        finding.cause.node,
                        finding.cause.between.clone(),
                        finding.nodes.clone(),
                    )
                };
                who(one)
                    .cmp(&who(other))
                    .then_with(|| one.affects.cmp(&other.affects))
            });
        }
    }
    for (index, finding) in findings.iter_mut().enumerate() {
        finding.id = format!("F{}", index + 1);
    }
}
