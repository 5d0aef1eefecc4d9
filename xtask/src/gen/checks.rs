//! docs/checks.md, made of the words that stand with the checks themselves.

use std::fmt::Write as _;

use plumbline_model::report::check::{Check, all};

/// The whole page.
pub(super) fn page() -> String {
    let mut page = HEAD.to_owned();
    let all = all();
    for (prefix, title) in CHAPTERS {
        let of_chapter: Vec<&Check> = all.iter().filter(|check| prefix_of(check) == *prefix).collect();
        if of_chapter.is_empty() {
            continue;
        }
        let _ = writeln!(page, "\n## {title}");
        for check in of_chapter {
            page.push_str(&section(check));
        }
    }
    page
}

fn prefix_of(check: &Check) -> &str {
    check.id.split('-').next().unwrap_or(check.id)
}

fn section(check: &Check) -> String {
    let mut text = format!("\n### {}\n\n{}.\n\n", check.id, capital(check.asserts));
    for (word, said) in [
        ("How", check.how),
        ("Needs", check.needs),
        ("Rule", check.rule),
        ("Remedy", check.remedy),
        ("Source", check.source),
    ] {
        let _ = writeln!(text, "- **{word}:** {}.", capital(said));
    }
    text
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

const HEAD: &str = "\
# Checks

Every check has an id that stays what it is: findings and rows of report.json name it, waivers select by it. This page is
generated from the program (`cargo xtask gen`); what it says is what the program does.

A check passes, warns, fails, or is not measured; one that has nothing to look at in a cluster says nothing. What was asked for and
could not be measured makes a run incomplete, with a finding that says why. Three things are listed as not measured and change no
verdict: what needs `--active` and was not asked for; what is not made of live nodes; and what another finding tells of, or where a
rule below says so. The text of a report names the checks of the last two kinds.
";

/// By the letters before the number of an id, in the order in which a network is built.
const CHAPTERS: &[(&str, &str)] = &[
    ("CFG", "The files"),
    ("PLAN", "The plan"),
    ("ACC", "Access"),
    ("SWARM", "The swarm"),
    ("PORT", "Ports"),
    ("L2", "Layer 2"),
    ("VIP", "VIPs"),
    ("L3", "Layer 3"),
    ("MTU", "MTU and overlay"),
    ("FW", "The hosts' packet filters"),
    ("SYS", "The hosts' systems"),
    ("TIME", "Clocks"),
    ("EXT", "The outside"),
    ("POST", "After the installation"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_chapter() {
        for check in all() {
            let prefix = prefix_of(&check);
            assert!(CHAPTERS.iter().any(|(known, _)| *known == prefix), "{}", check.id);
        }
    }
}
