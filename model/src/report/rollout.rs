//! One setting that came to many nodes is one finding: a role of an automation, an image, an installer wrote it to all of them,
//! and somebody takes it back in one place. A few nodes are told one by one, each as the node to touch.
//!
//! Findings are joined that are equal in every word but those that name the node.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, MAX_EVIDENCE};
use crate::{assumption::Scene, id::NodeId};

/// How the node of a finding may be written in it, the longest first.
pub(super) type Spellings = BTreeMap<NodeId, Vec<String>>;

/// The spellings of every node that findings are at.
pub(super) fn spellings(scene: &Scene<'_>, findings: &[Finding]) -> Spellings {
    let nodes: BTreeSet<NodeId> = findings.iter().filter_map(|finding| finding.cause.node).collect();
    let spelled = |node: NodeId| {
        let full = scene.name(node);
        let name = full
            .split_once(" (")
            .and_then(|(_, name)| name.strip_suffix(')'))
            .map(str::to_owned);
        let ssh = scene.inventory.ssh_of(node);
        let addresses = node.address().into_iter().chain(ssh);
        let mut all: Vec<String> = addresses.map(|address| address.to_string()).collect();
        all.extend([Some(full), name].into_iter().flatten());
        all.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        all
    };
    nodes.into_iter().map(|node| (node, spelled(node))).collect()
}

/// Joins what is equal but for the node, where it is at many of them.
pub(super) fn join(findings: &mut Vec<Finding>, spellings: &Spellings) {
    let mut groups: BTreeMap<Wording, Vec<usize>> = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate() {
        if let Some(wording) = Wording::of(finding, spellings) {
            groups.entry(wording).or_default().push(index);
        }
    }
    let mut joined = BTreeSet::new();
    for (wording, members) in groups {
        // One node may have it twice, which is not the same in many places.
        let nodes: BTreeSet<Option<NodeId>> = members.iter().map(|at| findings[*at].cause.node).collect();
        let Some((first, others)) = members.split_first() else {
            continue;
        };
        if nodes.len() < MANY || nodes.len() < members.len() {
            continue;
        }
        let others: Vec<Finding> = others.iter().map(|at| findings[*at].clone()).collect();
        take_up(
            &mut findings[*first],
            &others,
            spellings,
            wording.is_typed_by_node,
        );
        joined.extend(members.into_iter().skip(1));
    }
    let mut index = 0;
    findings.retain(|_| {
        index += 1;
        !joined.contains(&(index - 1))
    });
}

/// What a finding says, wherever it is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wording {
    /// The check, its status and weight, the kind of cause, and who answers for it.
    about: String,
    detail: String,
    fix: String,
    commands: Vec<String>,
    /// Whether the commands name the node.
    is_typed_by_node: bool,
}

impl Wording {
    /// `None` of what is not at one node, or has tests or places of a file under it, which tell it from others.
    fn of(finding: &Finding, spellings: &Spellings) -> Option<Self> {
        let own = spellings.get(&finding.cause.node?)?;
        if finding.affects_total > 0 || finding.cause.between.is_some() || !finding.places.is_empty() {
            return None;
        }
        let commands = &finding.fix.commands;
        let anywhere: Vec<String> = commands.iter().map(|command| without(command, own)).collect();
        Some(Self {
            about: format!(
                "{} {:?} {:?} {} {:?}",
                finding.check,
                finding.status,
                finding.severity,
                finding.cause.kind.word(),
                finding.waived
            ),
            detail: without(&finding.cause.detail, own),
            fix: without(&finding.fix.text, own),
            is_typed_by_node: anywhere != *commands,
            commands: anywhere,
        })
    }
}

/// A text with a mark wherever it names the node: another one for each spelling.
fn without(text: &str, spellings: &[String]) -> String {
    let mut text = text.to_owned();
    for (spelling, mark) in spellings.iter().zip('\u{1}'..) {
        if spelling.is_empty() {
            continue;
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find(spelling.as_str()) {
            let (before, after) = (&rest[..at], &rest[at + spelling.len()..]);
            let last = out.chars().last().filter(|_| before.is_empty());
            let is_whole = is_bounded(before.chars().last().or(last), after);
            out.push_str(before);
            match is_whole {
                true => out.push(mark),
                false => out.push_str(spelling),
            }
            rest = after;
        }
        out.push_str(rest);
        text = out;
    }
    text
}

/// Whether what stands between these is a word of its own: 10.0.0.1 is not in 10.0.0.12, nor in 110.0.0.1.
fn is_bounded(before: Option<char>, after: &str) -> bool {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':');
    let mut after = after.chars();
    let is_ended = match (after.next(), after.next()) {
        // The end of a sentence, or what an address introduces.
        (Some('.' | ':'), Some(next)) => !is_of_word(next),
        (Some('.' | ':') | None, _) => true,
        (Some(next), _) => !is_of_word(next),
    };
    is_ended && before.is_none_or(|before| !is_of_word(before) && before != '.')
}

/// Makes one finding of the same at several nodes.
fn take_up(first: &mut Finding, others: &[Finding], spellings: &Spellings, is_typed_by_node: bool) {
    let mut nodes: Vec<NodeId> = first.cause.node.into_iter().collect();
    nodes.extend(others.iter().filter_map(|other| other.cause.node));
    let named = |nodes: &[NodeId], most: usize| {
        let shown: Vec<&str> = nodes
            .iter()
            .take(most)
            .filter_map(|node| Some(spellings.get(node)?.first()?.as_str()))
            .collect();
        match nodes.len().saturating_sub(most) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    };
    let elsewhere = named(&nodes[1..], MAX_NAMED);
    first.cause.detail = format!("{}; the same holds for {elsewhere}", first.cause.detail);
    first.cause.node = None;
    if is_typed_by_node {
        let typed = others.iter().take(MAX_TYPED - 1);
        let commands: Vec<String> = typed.flat_map(|other| other.fix.commands.clone()).collect();
        first.fix.commands.extend(commands);
        if nodes.len() > MAX_TYPED {
            let shown = named(&nodes[..MAX_TYPED], MAX_TYPED);
            let words = format!(" The commands are for {shown}: do the same for the others.");
            first.fix.text.push_str(&words);
        }
    } else if !first.fix.commands.is_empty() {
        let words = format!(" Type this on each of the {} nodes.", nodes.len());
        first.fix.text.push_str(&words);
    }
    let evidence = others.iter().flat_map(|other| &other.evidence);
    first.evidence.extend(evidence);
    first.evidence.sort_unstable();
    first.evidence.dedup();
    first.evidence.truncate(MAX_EVIDENCE);
    nodes.sort_unstable();
    first.nodes = nodes;
}

/// At fewer nodes each has a finding of its own, and is the one to touch.
const MANY: usize = 4;
/// Nodes that the sentence names beside the first; `nodes` has them all.
const MAX_NAMED: usize = 4;
/// Nodes whose commands are written out, where they are not the same on all.
const MAX_TYPED: usize = 4;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NODES: [&str; 5] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.12"];

    fn at(node: &str, words: &str, commands: &[String]) -> Finding {
        serde_json::from_value(json!({
            "id": "", "check": "SYS-008", "status": "warn", "severity": "warn", "affects": [], "affects_total": 0, "attempts": 0,
            "cause": {"kind": "host_setting", "node": node, "detail": format!("on {node} (host-{node}) {words}")},
            "evidence": [3], "fix": {"text": "Mend it.", "commands": commands},
        }))
        .unwrap()
    }

    fn told(nodes: &[&str], command: impl Fn(&str) -> String) -> Vec<Finding> {
        let mut findings: Vec<Finding> = nodes
            .iter()
            .map(|node| at(node, "/tmp is mounted noexec", &[command(node)]))
            .collect();
        join_all(&mut findings);
        findings
    }

    fn join_all(findings: &mut Vec<Finding>) {
        let spelled = |node: &&str| {
            let own = vec![
                format!("{node} (host-{node})"),
                format!("host-{node}"),
                (*node).to_owned(),
            ];
            (node.parse().unwrap(), own)
        };
        join(findings, &NODES.iter().map(spelled).collect());
    }

    #[test]
    fn what_came_to_many_nodes_is_one_finding_that_lists_them() {
        let findings = told(&NODES, |_| "mount -o remount,exec /tmp".to_owned());
        let [all] = findings.as_slice() else {
            panic!("{findings:?}")
        };
        assert_eq!((all.cause.node, all.nodes.len()), (None, 5));
        assert_eq!(all.fix.commands, ["mount -o remount,exec /tmp"]);
        assert_eq!(all.fix.text, "Mend it. Type this on each of the 5 nodes.");
        let said = "on 10.0.0.1 (host-10.0.0.1) /tmp is mounted noexec; the same holds for 10.0.0.2 (host-10.0.0.2), ";
        assert!(all.cause.detail.starts_with(said), "{}", all.cause.detail);
    }

    #[test]
    fn a_few_nodes_are_told_one_by_one() {
        for finding in told(&NODES[..3], |_| "mount".to_owned()) {
            assert!(
                finding.cause.node.is_some() && finding.nodes.is_empty(),
                "{finding:?}"
            );
        }
    }

    #[test]
    fn commands_that_name_their_node_are_written_out_for_the_first_of_many() {
        let findings = told(&NODES, |node| format!("ssh {node} id"));
        let [all] = findings.as_slice() else {
            panic!("{findings:?}")
        };
        assert_eq!(all.fix.commands.len(), MAX_TYPED);
        assert_eq!(all.fix.commands[1], "ssh 10.0.0.2 id");
        assert!(
            all.fix.text.ends_with("do the same for the others."),
            "{}",
            all.fix.text
        );
    }

    #[test]
    fn what_differs_in_more_than_the_node_stays_apart() {
        let own = |node: &&str| at(node, &format!("{} ms off", node.len()), &[]);
        let mut findings: Vec<Finding> = NODES[1..].iter().map(own).collect();
        join_all(&mut findings);
        assert_eq!(findings.len(), 4, "three of one, and one of another");
        let mut findings: Vec<Finding> = NODES[..4].iter().map(own).collect();
        findings[0].affects_total = 1;
        join_all(&mut findings);
        assert_eq!(findings.len(), 4, "tests of its own");
    }

    #[test]
    fn an_address_within_another_is_not_the_node() {
        let own = ["10.0.0.1".to_owned()];
        let marked = |text: &str| without(text, &own).contains('\u{1}');
        for is in [
            "10.0.0.1",
            "at 10.0.0.1.",
            "10.0.0.1: no",
            "ssh 10.0.0.1 id",
            "(10.0.0.1)",
            "10.0.0.1/24",
        ] {
            assert!(marked(is), "{is}");
        }
        for not in [
            "10.0.0.12",
            "110.0.0.1",
            "10.0.0.1.example",
            "1.10.0.0.1",
            "10.0.0.1-x",
        ] {
            assert!(!marked(not), "{not}");
        }
    }
}
