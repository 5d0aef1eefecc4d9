//! The one encoding of what is signed: every value has one text, and every other text of it is refused.

use std::fmt::Debug;

use plumbline_model::{
    canonical,
    evidence::Payload,
    firewall::{Octets, Ruleset},
    observation::Record,
};
use proptest::{prelude::*, sample::select};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{properties::port_sets, replay::testimonies};

const RULESETS: [&str; 3] = [
    include_str!("../../src/firewall/fixtures/firewalld.json"),
    include_str!("../../src/firewall/fixtures/iptables.json"),
    include_str!("../../src/firewall/fixtures/nftables.json"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn testimony_has_one_text(testimony in testimonies()) {
        for payload in testimony.into_values().flatten() {
            has_one_text(&payload);
            if let Payload::Batch(batch) = &payload {
                batch.records.iter().for_each(has_one_text::<Record>);
            }
        }
    }

    #[test]
    fn a_packet_filter_has_one_text(text in select(RULESETS.to_vec())) {
        has_one_text(&serde_json::from_str::<Ruleset>(text).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ports_and_octets_have_one_text(ports in port_sets(), octets in any::<Vec<u8>>()) {
        has_one_text(&ports);
        has_one_text(&Octets(octets));
    }

    #[test]
    fn words_of_hosts_have_one_text_whatever_is_in_them(name in any::<String>(), octets in any::<Vec<u8>>()) {
        let mut record = facts();
        record["hostname"] = name.into();
        record["os"] = String::from_utf8_lossy(&octets).into();
        has_one_text(&serde_json::from_value::<Record>(record).unwrap());
    }
}

/// A value is read as it was written, holds nothing that has several texts, and a further space or a field told twice is
/// another text.
fn has_one_text<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let bytes = canonical::encode(value);
    assert_eq!(
        canonical::decode::<T>(&bytes).expect("what was encoded is decoded"),
        *value
    );
    assert_eq!(canonical::encode(value), bytes);
    let tree: Value = serde_json::from_slice(&bytes).expect("what was encoded is JSON");
    assert!(is_plain(&tree), "{tree}");
    for other in [[&bytes[..], b" "].concat(), [b"\n", &bytes[..]].concat()] {
        assert!(canonical::decode::<T>(&other).is_err());
    }
    let text = String::from_utf8(bytes).expect("JSON is text");
    if let Some(rest) = text.strip_prefix('{') {
        let field = rest.split(',').next().unwrap_or(rest);
        let twice = format!("{{{field},{rest}");
        assert!(canonical::decode::<T>(twice.as_bytes()).is_err(), "{twice}");
    }
}

/// No null, and no number but whole ones.
fn is_plain(tree: &Value) -> bool {
    match tree {
        Value::Null => false,
        Value::Number(number) => !number.is_f64(),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(fields) => fields.values().all(is_plain),
        Value::Bool(_) | Value::String(_) => true,
    }
}

fn facts() -> Value {
    serde_json::to_value(Record::Facts(Box::default())).expect("facts are JSON")
}
