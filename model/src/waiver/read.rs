//! A waivers file to waivers, strictly: a waiver that is misread would hide what nobody answers for.

use std::collections::BTreeMap;

use super::{Ports, Selector, Waiver};
use crate::{
    cause::CauseKind,
    id::NodeId,
    report::{check, day_of},
    source::{Complaints, Place, Refused, SourceText, nearest},
    yaml::{
        self,
        fields::{At, Fields},
    },
};

/// Who answers for more than this answers for nothing; every waiver is held against every finding.
const MAX_WAIVERS: usize = 1_000;

/// Every finding that is waived repeats owner and reason, in every format.
const MAX_SAID: usize = 2_000;

/// The value of `schema`.
pub const SCHEMA: &str = "plumbline/waivers/v1";

/// Reads a waivers file.
///
/// # Errors
/// Every complaint at once, with line, column and the nearest valid word.
pub fn read(source: &SourceText) -> Result<Vec<Waiver>, Refused> {
    let mut complaints = Complaints::about(source);
    let waivers = yaml::documents(source, &mut complaints).and_then(|documents| match documents.as_slice() {
        [document] => waivers(&At::document(document), &mut complaints),
        _ => {
            let message = format!("a waivers file is one document, found {}", documents.len());
            complaints.add_with_help(Place::START, message, format!("start with `schema: {SCHEMA}`"));
            None
        }
    });
    match waivers {
        Some(waivers) if complaints.is_empty() => Ok(waivers),
        _ => Err(complaints.into_refused()),
    }
}

fn waivers(document: &At<'_>, complaints: &mut Complaints) -> Option<Vec<Waiver>> {
    let mut fields = document.fields(complaints)?;
    let help = format!("write `schema: {SCHEMA}`");
    if let Some(schema) = fields.required("schema", &help, complaints) {
        schema.choice(complaints, &[(SCHEMA, ())]);
    }
    let help = "write `waivers:` and below it a list; `waivers: []` if there are none";
    let items = match fields.required("waivers", help, complaints) {
        Some(list) => list.items(complaints),
        None => Vec::new(),
    };
    if items.len() > MAX_WAIVERS {
        complaints.add_with_help(
            items[MAX_WAIVERS].place(),
            format!("there are {} waivers, and {MAX_WAIVERS} are read", items.len()),
            "mend what they are about, or let one waiver select more",
        );
    }
    let mut waivers: Vec<Waiver> = Vec::new();
    let mut lines: BTreeMap<(String, Selector), u32> = BTreeMap::new();
    for item in items.iter().take(MAX_WAIVERS) {
        let Some(waiver) = waiver(item, complaints) else {
            continue;
        };
        if let Some(line) = lines.insert((waiver.check.clone(), waiver.selector.clone()), waiver.line) {
            complaints.add_with_help(
                item.place(),
                format!(
                    "`{}` has the check and the selector of the waiver in line {line}",
                    item.path
                ),
                "remove one of the two",
            );
        }
        waivers.push(waiver);
    }
    fields.finish(complaints);
    Some(waivers)
}

fn waiver(item: &At<'_>, complaints: &mut Complaints) -> Option<Waiver> {
    let mut fields = item.fields(complaints)?;
    let check = fields
        .required(
            "check",
            "write the finding's check, for example `PORT-001`",
            complaints,
        )
        .and_then(|at| {
            known(
                &at,
                &check::all().iter().map(|check| check.id).collect::<Vec<_>>(),
                "check",
                complaints,
            )
        });
    let help = "write at least one of cause, node, ports, file and line below it; `selector: {}` means every finding of \
                the check";
    let selector = fields
        .required("selector", help, complaints)
        .and_then(|at| selector(&at, complaints));
    let owner = said(&mut fields, "owner", "write who answers for it", complaints);
    let reason = said(&mut fields, "reason", "write why it is accepted", complaints);
    let expires = fields
        .required("expires", EXPIRES, complaints)
        .and_then(|at| date(&at, complaints));
    let line = item.place().line;
    fields.finish(complaints);
    Some(Waiver {
        check: check?,
        selector: selector?,
        owner: owner?,
        reason: reason?,
        expires: expires?,
        line,
    })
}

/// How a date is written.
const EXPIRES: &str = "write the last day on which it counts, for example `2027-01-31`";

fn selector(at: &At<'_>, complaints: &mut Complaints) -> Option<Selector> {
    let mut fields = at.fields(complaints)?;
    let words = CauseKind::ALL.map(CauseKind::word);
    let selector = Selector {
        cause: (fields.optional("cause")).and_then(|at| known(&at, &words, "cause", complaints)),
        node: (fields.optional("node"))
            .and_then(|at| {
                let help = "write its id as the report has it: an address, or `coordinator`";
                at.parsed::<NodeId>(complaints, "a node", help)
            })
            .map(|node| node.value.to_string()),
        ports: (fields.optional("ports")).and_then(|at| {
            let help = "write `11000/tcp`, or `22,30000-32767/tcp`; another protocol has a waiver of its own";
            at.parsed::<Ports>(complaints, "PORTS/PROTOCOL", help)?;
            Some(at.text(complaints)?.value)
        }),
        file: (fields.optional("file"))
            .and_then(|at| at.text(complaints))
            .map(|file| file.value),
        line: (fields.optional("line"))
            .and_then(|at| at.number::<u32>(complaints, 1..=u32::MAX))
            .map(|line| line.value),
    };
    fields.finish(complaints);
    Some(selector)
}

/// A word of a list that is known.
fn known(at: &At<'_>, words: &[&str], what: &str, complaints: &mut Complaints) -> Option<String> {
    let text = at.text(complaints)?;
    if words.contains(&text.value.as_str()) {
        return Some(text.value);
    }
    let help = match nearest(&text.value, words.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("valid: {}", words.join(", ")),
    };
    let message = format!("`{}`: there is no {what} \"{}\"", at.path, text.value);
    complaints.add_with_help(text.place, message, help);
    None
}

/// A text that says something.
fn said(
    fields: &mut Fields<'_>,
    key: &'static str,
    help: &str,
    complaints: &mut Complaints,
) -> Option<String> {
    let text = fields.required(key, help, complaints)?.text(complaints)?;
    if text.value.trim().is_empty() {
        complaints.add_with_help(text.place, format!("`{key}` says nothing"), help);
        return None;
    }
    if text.value.chars().count() > MAX_SAID {
        let message = format!("`{key}` has up to {MAX_SAID} characters");
        complaints.add_with_help(
            text.place,
            message,
            "write a sentence, and where the rest of it is kept",
        );
        return None;
    }
    Some(text.value)
}

fn date(at: &At<'_>, complaints: &mut Complaints) -> Option<String> {
    let text = at.text(complaints)?;
    if day_of(&text.value).is_some() {
        return Some(text.value);
    }
    let message = format!("`{}`: \"{}\" is no date of the calendar", at.path, text.value);
    complaints.add_with_help(text.place, message, EXPIRES);
    None
}
