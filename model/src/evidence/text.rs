//! How long a probe's texts may be. Findings repeat them (a node's name stands in each of its own), so that one text of a
//! megabyte would be a report of gigabytes.

/// The longest text (a name, a reason, a comment) in a batch, in octets. A kernel's names have at most 256, which octets that
/// are no UTF-8 may triple.
pub const MAX_TEXT_BYTES: usize = 1024;

/// The length in octets of the first text in a batch's payload that is longer than [`MAX_TEXT_BYTES`], as it is written:
/// escaped, in canonical JSON that was read already. Port sets and octets of the kernel are no texts.
pub fn overlong_text(payload: &[u8]) -> Option<usize> {
    let mut key: &[u8] = b"";
    let mut rest = payload;
    while let Some(start) = rest.iter().position(|octet| *octet == b'"') {
        let text = &rest[start + 1..];
        let end = closing_quote(text)?;
        let (text, after) = (&text[..end], &text[end + 1..]);
        let is_key = after.first() == Some(&b':');
        if text.len() > MAX_TEXT_BYTES && (is_key || !NO_TEXTS.contains(&key)) {
            return Some(text.len());
        }
        if is_key {
            key = text;
        }
        rest = after;
    }
    None
}

/// Where a string of JSON ends.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Keys of [`crate::port::PortSet`] and [`crate::firewall::Octets`], which read nothing else than their own.
const NO_TEXTS: [&[u8]; 9] = [
    b"ports", b"data", b"first", b"last", b"mask", b"xor", b"info", b"key", b"key_end",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        canonical,
        firewall::{Expression, Hook, Ruleset},
        observation::{HostFacts, Interface, Listener, Record},
        port::Protocol,
        report::stage::nft_that_drops,
    };

    fn long() -> String {
        "a".repeat(MAX_TEXT_BYTES + 1)
    }

    fn judged(amend: impl FnOnce(&mut HostFacts)) -> Option<usize> {
        let mut facts = HostFacts {
            ruleset: Some(nft_that_drops(Hook::Input, &[6444])),
            ..HostFacts::default()
        };
        amend(&mut facts);
        overlong_text(&canonical::encode(&Record::Facts(Box::new(facts))))
    }

    #[test]
    fn no_text_of_a_host_may_be_longer_than_a_name_can_be() {
        type Spoil = fn(&mut HostFacts);
        let filter: fn(&mut HostFacts) -> &mut Ruleset = |facts| facts.ruleset.get_or_insert_default();
        assert_eq!(judged(|_| ()), None);
        assert_eq!(judged(|facts| facts.hostname = "a".repeat(MAX_TEXT_BYTES)), None);
        let spoiled: [Spoil; 5] = [
            |facts| facts.hostname = long(),
            |facts| facts.os = format!("\\\"{}", long()),
            |facts| {
                facts.interfaces = vec![Interface {
                    addresses: vec!["10.0.0.1/24".to_owned(), long()],
                    ..Interface::default()
                }];
            },
            |facts| facts.counters.extend([(long(), 1)]),
            |facts| {
                facts.listeners = vec![Listener {
                    protocol: Protocol::Tcp,
                    address: std::net::Ipv4Addr::LOCALHOST.into(),
                    ports: "1".parse().unwrap(),
                    process: Some(long()),
                    pid: None,
                }];
            },
        ];
        for (number, spoil) in spoiled.into_iter().enumerate() {
            assert!(judged(spoil) > Some(MAX_TEXT_BYTES), "{number}");
        }
        assert!(judged(|facts| filter(facts).tables[0].name = long()).is_some());
        assert!(judged(|facts| filter(facts).tables[0].chains[0].rules[0].comment = Some(long())).is_some());
    }

    #[test]
    fn many_ports_and_a_match_with_much_in_it_are_no_texts() {
        let ports: Vec<String> = (0..2_000u32).map(|n| (n * 2 + 1).to_string()).collect();
        let told = judged(|facts| {
            facts.listeners = vec![Listener {
                protocol: Protocol::Tcp,
                address: std::net::Ipv4Addr::LOCALHOST.into(),
                ports: ports.join(",").parse().unwrap(),
                process: None,
                pid: None,
            }];
            let ruleset = facts.ruleset.get_or_insert_default();
            ruleset.tables[0].chains[0].rules[0]
                .expressions
                .push(Expression::XtMatch {
                    name: "u32".to_owned(),
                    revision: 0,
                    info: vec![7; 2_000].into(),
                });
        });
        assert_eq!(told, None);
    }

    #[test]
    fn what_is_no_json_is_looked_at_to_its_end_and_no_further() {
        for odd in [&b""[..], b"\"", b"\"\\", b"\"a\\\"", b"{\"a\":\"", b"\"\":\""] {
            assert_eq!(overlong_text(odd), None);
        }
    }
}
