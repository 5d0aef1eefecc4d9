//! What the linter says, and that it says nothing about the built-in profiles.

use super::*;
use crate::source::SourceText;

const CLEAN: &str = r#"schema: plumbline/profile/v1
id: own
title: a distribution
sources: [a page]
versions: ["1.28", "1.29"]
options:
  mode: {title: a choice, values: [a, b], default: a}
variables: {api: 6443}
stand_ins:
  - {source: worker, by: [cluster_nodes], why: there are none}
rules:
  - id: first
    to: control_plane
    protocol: tcp
    ports: [22, $api]
    from: [worker]
    when: mode == a
    since: "1.28"
    used_by: all
    reading: workers only
    purpose: API
    cited: [a page]
  - {id: second, to: any_node, protocol: tcp+udp, ports: [7946], from: [cluster_nodes], used_by: nodes, purpose: gossip, cited: [a page]}
"#;

const THIRD: &str = "  - {id: third, to: any_node, protocol: tcp, ports: [7000-8000], from: [cluster_nodes], used_by: nodes, purpose: p, cited: [a page]}\n";

fn linted(text: &str) -> Vec<String> {
    let source = SourceText {
        name: "own.yaml".to_owned(),
        text: text.to_owned(),
    };
    let complaints = lint(&source, &[]).unwrap_or_else(|refused| panic!("{refused}"));
    complaints.iter().map(ToString::to_string).collect()
}

#[test]
fn the_builtin_profiles_lint_clean() {
    for name in BUILTIN {
        assert_eq!(lint(&builtin(name).unwrap(), &[]), Ok(Vec::new()), "{name}");
    }
}

#[test]
fn what_a_careful_author_would_mend_is_told_with_its_place() {
    assert_eq!(linted(CLEAN), Vec::<String>::new());
    let third = |change: (&str, &str)| {
        assert!(THIRD.contains(change.0));
        format!("{CLEAN}{}", THIRD.replacen(change.0, change.1, 1))
    };
    let in_clean = |from: &str, to: &str| {
        assert!(CLEAN.contains(from), "{from}");
        CLEAN.replacen(from, to, 1)
    };
    let cases = [
        (
            in_clean("id: own", "id: kubeadm"),
            "own.yaml:2:1: a built-in profile is called `kubeadm`",
        ),
        (
            in_clean("title: a distribution", "title: t\naliases: [ocp]"),
            "own.yaml:4:1: a built-in profile is called `ocp`",
        ),
        (
            in_clean("sources: [a page]", "sources: []"),
            "own.yaml:4:1: no source is named",
        ),
        (
            in_clean("    when: mode == a\n", ""),
            "own.yaml:7:3: no condition asks for the option `mode`",
        ),
        (
            in_clean("[22, $api]", "[22]"),
            "own.yaml:8:13: no rule uses the variable `api`",
        ),
        (
            in_clean("from: [worker]", "from: [control_plane]"),
            "own.yaml:10:5: no rule has the source",
        ),
        (
            in_clean("when: mode == a", "when: mode == a && mode == b"),
            "own.yaml:17:5: rule `first` can never apply",
        ),
        (
            in_clean("when: mode == a", "when: mode == a && cp_ha && !cp_ha"),
            "own.yaml:17:5: rule `first` can never apply",
        ),
        (
            in_clean("since: \"1.28\"", "since: \"1.27\""),
            "own.yaml:18:5: 1.27 is no version of this profile\n  help: nearest: 1.28; valid: 1.28, 1.29",
        ),
        (
            in_clean("versions: [\"1.28\", \"1.29\"]\n", ""),
            "own.yaml:17:5: rule `first` depends on a version, and the profile has none",
        ),
        (
            in_clean("    reading: workers only\n", ""),
            "own.yaml:19:5: rule `first`: \"all\" does not say who sends",
        ),
        (
            in_clean("purpose: API", "purpose: \"\""),
            "own.yaml:21:5: rule `first` has no purpose",
        ),
        (
            in_clean("    cited: [a page]", "    cited: []"),
            "own.yaml:22:5: rule `first` cites nothing",
        ),
        (
            in_clean("[22, $api]", "[$api, 22]"),
            "own.yaml:15:5: rule `first`: port 22 stands behind 6443",
        ),
        (
            third(("[7000-8000]", "[7000-8000]")),
            "own.yaml:24:46: rule `third` asks for what `second` (line 23) asks for already",
        ),
        (
            third((
                "from: [cluster_nodes], ",
                "from: [loopback], scope: loopback, reading: r, ",
            )),
            "own.yaml:24:84: rules `third` and `second` (line 23) want one port to be reached and not to be",
        ),
    ];
    for (text, message) in cases {
        let complaints = linted(&text);
        assert!(
            complaints.len() == 1 && complaints[0].starts_with(message),
            "{message}: {complaints:#?}"
        );
    }
}

#[test]
fn rules_with_conditions_of_their_own_do_not_double_each_other() {
    let third = THIRD.replace("used_by", "when: mode == b, used_by");
    let fourth = third.replace("third", "fourth").replace("mode == b", "mode == a");
    assert_eq!(
        linted(&format!("{CLEAN}{fourth}{}", third.replace("7000-8000", "7900"))),
        [
            "own.yaml:24:47: rule `fourth` asks for what `second` (line 23) asks for already\n  help: make one of the two, or give them conditions that tell them apart"
        ]
    );
}
