use super::*;

fn read(text: &str) -> Result<Vec<Node>, String> {
    let source = SourceText {
        name: "f.yaml".into(),
        text: text.into(),
    };
    let mut complaints = Complaints::about(&source);
    let documents = documents(&source, &mut complaints);
    if complaints.is_empty() {
        Ok(documents.unwrap())
    } else {
        Err(complaints.into_refused().to_string())
    }
}

#[test]
fn empty_and_comment_only_documents_are_left_out() {
    assert_eq!(
        read("---\n---\n# only a comment\n---\na: 1\n---\n")
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_key_and_its_value_know_their_places() {
    let documents = read("a:\n  bc: 1.30\n").unwrap();
    let Value::Map(outer) = &documents[0].value else {
        panic!("not a mapping")
    };
    let Value::Map(inner) = &outer[0].value.value else {
        panic!("not a mapping")
    };
    assert_eq!(inner[0].place, Place { line: 2, column: 3 });
    assert_eq!(inner[0].value.place, Place { line: 2, column: 7 });
    assert_eq!(
        inner[0].value.value,
        Value::Scalar {
            text: "1.30".into(),
            plain: true
        }
    );
}

#[test]
fn a_key_that_is_written_twice_is_refused_where_it_stands_again() {
    let error = read("a: 1\nb: 2\na: 3\n").unwrap_err();
    assert!(
        error.starts_with("f.yaml:3:1: key `a` is written twice"),
        "{error}"
    );
}

#[test]
fn an_alias_is_the_value_of_its_anchor() {
    let documents = read("a: &x [1, 2]\nb: *x\n").unwrap();
    let Value::Map(entries) = &documents[0].value else {
        panic!("not a mapping")
    };
    assert!(matches!(&entries[1].value.value, Value::List(items) if items.len() == 2));
}

#[test]
fn an_alias_bomb_ends_early() {
    let mut text = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*l{}", level - 1);
        text += &format!("l{level}: &l{level} [{}]\n", vec![alias; 10].join(", "));
    }
    let error = read(&text).unwrap_err();
    assert!(error.contains("values (aliases counted"), "{error}");
}

#[test]
fn an_alias_bomb_of_few_but_long_values_ends_early() {
    let long = "x".repeat(1 << 20);
    for value in [
        format!("\"{long}\""),
        format!("{{? {long} : 1}}"),
        format!("{{a: [{long}]}}"),
    ] {
        let text = format!("a: &a {value}\nb: [{}]\n", vec!["*a"; 100_000].join(", "));
        let error = read(&text).unwrap_err();
        assert!(error.contains("aliases repeat more than"), "{error}");
    }
}

#[test]
fn deep_nesting_ends_early() {
    for text in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000)] {
        assert!(read(&text).is_err());
    }
}

#[test]
fn a_binary_file_is_called_one() {
    let error = read("\u{7f}ELF\u{2}\u{1}\0\0").unwrap_err();
    assert!(
        error.contains("f.yaml:1:1: control character U+007F: this is not a text file"),
        "{error}"
    );
}

#[test]
fn a_tab_as_indentation_is_refused_with_its_place() {
    let error = read("a:\n\tb: 1\n").unwrap_err();
    assert!(
        error.starts_with("f.yaml:2:2:") && error.contains("with spaces"),
        "{error}"
    );
}

#[test]
fn a_text_that_is_too_large_is_refused_at_once() {
    let error = read(&"a".repeat(MAX_TEXT_BYTES + 1)).unwrap_err();
    assert!(error.contains("too many"), "{error}");
}

#[test]
fn a_merge_key_yields_to_own_keys_and_earlier_mappings_to_none() {
    let documents = read("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  <<: [*a, *b]\n  x: 5\n").unwrap();
    let Value::Map(outer) = &documents[0].value else {
        panic!("not a mapping")
    };
    let Value::Map(merged) = &outer[2].value.value else {
        panic!("not a mapping")
    };
    let pairs: Vec<_> = merged
        .iter()
        .map(|entry| match &entry.value.value {
            Value::Scalar { text, .. } => (entry.key.as_str(), text.as_str(), entry.place.line),
            other => panic!("{other:?}"),
        })
        .collect();
    // Each stands in the line that has to be mended.
    assert_eq!(pairs, [("x", "5", 5), ("y", "2", 1), ("z", "4", 2)]);
    assert!(
        read("a: {\"<<\": {x: 1}}\n").is_ok(),
        "in quotation marks it is a name"
    );
}
