use super::{Selector, read};
use crate::source::SourceText;

const GOOD: &str = "\
schema: plumbline/waivers/v1
waivers:
  - check: PORT-001
    selector:
      cause: host_firewall
      node: 10.0.0.4
      ports: 22,11000-11003/tcp
    owner: Jo Example
    reason: opened with change 4711
    expires: 2027-01-31
  - check: CFG-004
    selector: {file: cluster.yaml, line: 47}
    owner: 'Jo Example'
    reason: the pool is retired
    expires: \"2026-12-24\"
";

fn source(text: &str) -> SourceText {
    SourceText {
        name: "waivers.yaml".to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn waivers_are_read_with_their_lines() {
    let waivers = read(&source(GOOD)).unwrap();
    assert_eq!(
        waivers.iter().map(|waiver| waiver.line).collect::<Vec<_>>(),
        [3, 11]
    );
    assert_eq!(waivers[0].selector.ports.as_deref(), Some("22,11000-11003/tcp"));
    assert_eq!(waivers[0].expires, "2027-01-31");
    let of_a_line = Selector {
        file: Some("cluster.yaml".to_owned()),
        line: Some(47),
        ..Selector::default()
    };
    assert_eq!(waivers[1].selector, of_a_line);
    assert_eq!(
        read(&source("schema: plumbline/waivers/v1\nwaivers: []\n")),
        Ok(Vec::new())
    );
}

#[test]
fn mistakes_in_a_waivers_file_are_named_with_place_and_nearest_word() {
    for (from, to, message) in [
        ("PORT-001", "PORT-01", "did you mean `PORT-001`?"),
        ("host_firewall", "host_firewal", "did you mean `host_firewall`?"),
        ("host_firewall", "weather", "valid: host_firewall, path_filter"),
        ("ports: 22", "port: 22", "did you mean `ports`?"),
        ("/tcp", "", "is not PORTS/PROTOCOL"),
        ("22,11000-11003/tcp", "11003-11000/tcp", "is not PORTS/PROTOCOL"),
        ("10.0.0.4", "lb-1", "is not a node"),
        ("2027-01-31", "2027-02-29", "is no date of the calendar"),
        ("2027-01-31", "next year", "is no date of the calendar"),
        ("    owner: Jo Example\n", "", "`waivers[0].owner` is missing"),
        ("opened with change 4711", "' '", "`reason` says nothing"),
        (
            "    selector: {file: cluster.yaml, line: 47}\n",
            "",
            "`waivers[1].selector` is missing",
        ),
        ("line: 47", "line: 0", "a whole number from 1"),
        ("waivers/v1", "waiver/v1", "did you mean `plumbline/waivers/v1`?"),
        ("waivers:\n", "waiver:\n", "did you mean `waivers`?"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD);
        let Err(refused) = read(&source(&text)) else {
            panic!("{to:?} was accepted")
        };
        assert!(refused.to_string().contains(message), "{to}: {refused}");
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let text = GOOD
        .replacen("PORT-001", "PORT-01", 1)
        .replacen("2027-01-31", "soon", 1)
        .replacen("line: 47", "line: x", 1);
    let refused = read(&source(&text)).unwrap_err();
    let lines: Vec<u32> = refused.0.iter().map(|complaint| complaint.line).collect();
    assert_eq!(lines, [3, 10, 12], "{refused}");
}

#[test]
fn a_waiver_is_written_once() {
    let twice = format!(
        "{GOOD}  - check: CFG-004\n    selector: {{line: 47, file: cluster.yaml}}\n    owner: a\n    reason: b\n    expires: 2027-01-01\n"
    );
    let refused = read(&source(&twice)).unwrap_err();
    assert!(
        refused.to_string().contains("of the waiver in line 11"),
        "{refused}"
    );
}

#[test]
fn every_cause_has_the_word_that_reports_have_for_it() {
    for kind in crate::cause::CauseKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
    }
}

#[test]
fn an_owner_of_a_megabyte_is_refused() {
    let text = GOOD.replace("'Jo Example'", &"x".repeat(1 << 20));
    let refused = read(&source(&text)).unwrap_err().to_string();
    assert!(refused.contains("`owner` has up to 2000 characters"), "{refused}");
}
