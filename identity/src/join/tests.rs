use super::*;

fn sample() -> JoinString {
    JoinString {
        coordinator: vec![
            "192.0.2.1:7443".parse().unwrap(),
            "[2001:db8::1]:7443".parse().unwrap(),
        ],
        run: RunId::from_bytes([0xab; 8]),
        node: NodeId::Address([10, 0, 0, 7].into()),
        one_time_key: OneTimeKey(SigningKey::from_scalar(&[3; 32]).unwrap()),
        pin: [9; 32],
        expires_unix_s: 1_700_000_900,
    }
}

fn read(text: &str) -> Result<JoinString, JoinStringError> {
    text.parse()
}

fn fault(text: &str) -> JoinStringError {
    read(text).expect_err("the text is not a join string")
}

#[test]
fn what_is_written_is_read_again() {
    let nodes = [
        NodeId::Coordinator,
        NodeId::Address([10, 0, 0, 7].into()),
        "2001:db8::7".parse().unwrap(),
    ];
    for node in nodes {
        let text = JoinString { node, ..sample() }.to_text();
        let read = read(&text).unwrap();
        assert_eq!(read.node, node);
        assert_eq!(read.coordinator, sample().coordinator);
        assert_eq!(
            (read.run.clone(), read.pin, read.expires_unix_s),
            (sample().run, [9; 32], 1_700_000_900)
        );
        assert_eq!(read.one_time_key.public(), sample().one_time_key.public());
        assert_eq!(read.to_text(), text);
    }
}

#[test]
fn white_space_around_it_does_no_harm() {
    assert!(read(&format!(" {}\r\n", *sample().to_text())).is_ok());
}

#[test]
fn every_truncation_is_called_one() {
    let text = sample().to_text();
    for length in 1..text.len() {
        assert_eq!(
            fault(&text[..length]),
            JoinStringError::Truncated { length },
            "{length} characters"
        );
    }
    assert_eq!(fault(""), JoinStringError::Empty);
}

#[test]
fn every_slip_behind_the_prefix_is_called_one() {
    let text = sample().to_text();
    for at in PREFIX.len()..text.len() {
        let mut slipped = text.as_bytes().to_vec();
        slipped[at] = if slipped[at] == b'A' { b'B' } else { b'A' };
        let fault = fault(std::str::from_utf8(&slipped).unwrap());
        // Without its last dot it looks as if it ended early.
        let dot = text.rfind('.') == Some(at);
        assert!(fault == JoinStringError::Typo || dot, "character {at}: {fault:?}");
    }
}

#[test]
fn wrong_copies_are_told_apart() {
    let text = sample().to_text();
    assert_eq!(
        fault("ssh-ed25519 AAAA"),
        JoinStringError::WhiteSpace { after: 11 }
    );
    assert_eq!(fault("{\"nodes\":{}}"), JoinStringError::NotOne);
    assert_eq!(
        fault(&text.replace("join-1", "join-2")),
        JoinStringError::OtherVersion
    );
    assert_eq!(fault(&format!("{}{}", *text, *text)), JoinStringError::TooLong);
    assert_eq!(
        fault(&format!("{}\n{}", &text[..40], &text[40..])),
        JoinStringError::WhiteSpace { after: 40 }
    );
    assert_eq!(
        fault("plumbline-join-1.\u{e9}\u{e9}.12345678"),
        JoinStringError::Typo
    );
}

#[test]
fn a_right_checksum_over_nonsense_is_still_nonsense() {
    let body = URL_SAFE_NO_PAD.encode([0; 40]);
    let text = format!("{PREFIX}{body}");
    assert_eq!(
        fault(&format!("{text}.{}", checksum(&text))),
        JoinStringError::Nonsense
    );
}

#[test]
fn neither_debug_nor_any_message_shows_the_secret() {
    let text = sample().to_text();
    let secret = text.split('.').nth(1).unwrap().to_owned();
    let shown = format!("{:?} {:?}", sample(), sample().one_time_key);
    assert!(!shown.contains("0303") && !shown.contains("[3, 3"), "{shown}");
    for broken in [
        text[..text.len() - 1].to_owned(),
        format!("{}x", *text),
        text.replace("join-1", "join-2"),
    ] {
        let message = fault(&broken).to_string();
        assert!(
            !secret
                .as_bytes()
                .windows(12)
                .any(|part| message.contains(std::str::from_utf8(part).unwrap())),
            "{message}"
        );
    }
}
