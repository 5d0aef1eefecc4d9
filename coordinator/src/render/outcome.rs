//! What came of tests, in words: one wording for every format.

use plumbline_model::{
    plan::Expect,
    port::{Family, Protocol},
    report::{Basis, ReachabilityRow, Standing},
};

/// A transport for people: `TCP over IPv6`.
pub(super) fn transport_words(family: Family, protocol: Protocol) -> String {
    let protocol = match protocol {
        Protocol::Tcp => "TCP".to_owned(),
        Protocol::Udp => "UDP".to_owned(),
        Protocol::Icmp => "ICMP".to_owned(),
        Protocol::Ip(number) => format!("IP protocol {number}"),
    };
    format!("{protocol} over {family}")
}

/// An outcome with what is known beside it.
pub(super) fn outcome_words(row: &ReachabilityRow) -> String {
    let mut words = row.outcome.replace('_', " ");
    if row.expect == Expect::Blocked && row.standing() == Standing::Wrong {
        words.push_str(", but it must not answer");
    }
    let mut beside = Vec::new();
    if let (Some(kind), Some(code)) = (row.icmp_type, row.icmp_code) {
        let from = row.offender.map(|offender| format!(" from {offender}"));
        let name = icmp_name(row.family, kind, code).map_or_else(String::new, |name| format!(" {name}"));
        beside.push(format!("ICMP {kind}/{code}{name}{}", from.unwrap_or_default()));
    }
    if row.inferred == Some(true) {
        beside.push("concluded from other ports of the pair".to_owned());
    }
    if let Some(answered) = row.answered {
        beside.push(format!("{answered} of {} tries answered", row.attempts));
    }
    if let Some(address) = row.answered_from {
        beside.push(format!("the answer came from {address}"));
    }
    match row.by {
        Some(Basis::Ruleset) => {
            beside.push("by the packet filters of both ends; nothing was sent".to_owned())
        }
        None => {}
    }
    if let Some(errno) = row.errno {
        beside.push(format!("errno {errno}"));
    }
    if let Some(why) = &row.why {
        beside.push(why.replace('_', " "));
    }
    if beside.is_empty() {
        words
    } else {
        format!("{words} ({})", beside.join("; "))
    }
}

/// What an ICMP error says: RFC 792, RFC 1122 (section 3.2.2.1) and RFC 1812 (section 5.2.7.1) for IPv4, RFC 4443 for IPv6.
/// The names of the codes are those of iptables and nft.
pub(super) fn icmp_name(family: Family, kind: u8, code: u8) -> Option<&'static str> {
    Some(match (family, kind, code) {
        (Family::Ipv4, 3, 0) => "net-unreachable",
        (Family::Ipv4, 3, 1) => "host-unreachable",
        (Family::Ipv4, 3, 2) => "protocol-unreachable",
        (Family::Ipv4, 3, 3) | (Family::Ipv6, 1, 4) => "port-unreachable",
        (Family::Ipv4, 3, 4) => "fragmentation-needed",
        (Family::Ipv4, 3, 9) => "net-prohibited",
        (Family::Ipv4, 3, 10) => "host-prohibited",
        (Family::Ipv4, 3, 13) | (Family::Ipv6, 1, 1) => "admin-prohibited",
        (Family::Ipv4, 11, 0) | (Family::Ipv6, 3, 0) => "time-exceeded",
        (Family::Ipv6, 1, 0) => "no-route",
        (Family::Ipv6, 1, 3) => "addr-unreachable",
        (Family::Ipv6, 1, 5) => "policy-fail",
        (Family::Ipv6, 1, 6) => "reject-route",
        (Family::Ipv6, 2, 0) => "packet-too-big",
        _ => return None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A row with further fields.
    pub(crate) fn row(expect: Expect, outcome: &str, further: serde_json::Value) -> ReachabilityRow {
        let mut row = serde_json::json!({
            "src": "10.0.0.1",
            "dst": "10.0.0.2",
            "family": "ipv6",
            "protocol": "udp",
            "ports": "6081",
            "rule": "w.geneve",
            "expect": expect,
            "outcome": outcome,
            "attempts": 3,
        });
        let further = further.as_object().cloned().unwrap_or_default();
        row.as_object_mut().unwrap().extend(further);
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn what_is_known_beside_an_outcome_is_said() {
        let none = || serde_json::json!({});
        let words = |expect, outcome, further| outcome_words(&row(expect, outcome, further));
        assert_eq!(
            words(Expect::Open, "filtered_forward", none()),
            "filtered forward"
        );
        assert_eq!(
            words(
                Expect::Open,
                "rejected",
                serde_json::json!({"icmp_type": 1, "icmp_code": 1, "offender": "fd00::1", "inferred": true})
            ),
            "rejected (ICMP 1/1 admin-prohibited from fd00::1; concluded from other ports of the pair)"
        );
        assert_eq!(
            words(Expect::Open, "open", serde_json::json!({"by": "ruleset"})),
            "open (by the packet filters of both ends; nothing was sent)"
        );
        assert_eq!(
            words(
                Expect::Open,
                "identity_mismatch",
                serde_json::json!({"answered_from": "fd00::7"})
            ),
            "identity mismatch (the answer came from fd00::7)"
        );
        assert_eq!(
            words(Expect::Blocked, "open_unverified", none()),
            "open unverified, but it must not answer"
        );
        assert_eq!(transport_words(Family::Ipv6, Protocol::Udp), "UDP over IPv6");
    }

    #[test]
    fn a_port_that_must_not_answer_is_as_expected_when_it_does_not() {
        let none = || serde_json::json!({});
        let stands = |expect, outcome, further| row(expect, outcome, further).standing();
        assert_eq!(stands(Expect::Blocked, "closed", none()), Standing::AsExpected);
        assert_eq!(stands(Expect::Blocked, "lossy", none()), Standing::Wrong);
        assert_eq!(stands(Expect::Open, "lossy", none()), Standing::Wrong);
        assert_eq!(
            stands(
                Expect::Open,
                "not_measured",
                serde_json::json!({"why": "busy_udp"})
            ),
            Standing::Gap
        );
        assert_eq!(
            stands(
                Expect::Open,
                "not_measured",
                serde_json::json!({"why": "no_service"})
            ),
            Standing::NotServed
        );
    }
}
