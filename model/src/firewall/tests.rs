//! Fixtures are real rulesets; the file beside each says which commands made it, and each verdict here was compared with what
//! a connection really met on that host (kernel 6.18).

use super::*;
use crate::{canonical, port::Protocol};

mod judge;

const FIREWALLD: &str = include_str!("fixtures/firewalld.json");
const IPTABLES: &str = include_str!("fixtures/iptables.json");
const NFTABLES: &str = include_str!("fixtures/nftables.json");

#[test]
fn firewalld_is_judged_as_it_really_behaves_and_the_zone_is_named() {
    let public = |judgement: &Judgement| {
        let zone = Some("public".to_owned());
        judgement
            .stopped_at()
            .is_some_and(|place| place.manager == Manager::Firewalld { zone: zone.clone() })
    };
    let ruleset = fixture(FIREWALLD);
    for port in [22, 10250, 30000, 32767] {
        assert!(ruleset.evaluate(&syn(port)).accepts(), "{port}");
    }
    for port in [443, 2379, 32768] {
        let judgement = ruleset.evaluate(&syn(port));
        assert_eq!(kind(&judgement), "rejects ICMP 3/13", "{port}");
        assert!(public(&judgement), "{port}: {judgement:?}");
    }
    let dropped = ruleset.evaluate(&syn(2380));
    assert!(kind(&dropped) == "drops" && public(&dropped), "{dropped:?}");
    assert_eq!(kind(&ruleset.evaluate(&syn(2381))), "rejects TCP reset");
}

#[test]
fn a_source_that_resolves_to_another_zone_is_judged_by_that_zone() {
    let trusted = Packet::incoming_syn("eth0", [192, 168, 5, 5].into(), [10, 77, 0, 2].into(), 2379);
    assert!(fixture(FIREWALLD).evaluate(&trusted).accepts());
}

#[test]
fn loopback_passes_what_other_interfaces_do_not() {
    let own = [10, 77, 0, 2].into();
    assert!(
        fixture(FIREWALLD)
            .evaluate(&Packet::incoming_syn("lo", own, own, 2379))
            .accepts()
    );
}

#[test]
fn the_answer_to_an_accepted_question_leaves() {
    assert!(fixture(FIREWALLD).evaluate(&syn(10250).answer()).accepts());
}

#[test]
fn iptables_is_judged_as_it_really_behaves() {
    let ruleset = fixture(IPTABLES);
    let verdicts: Vec<(u16, String)> = [
        22, 80, 443, 1500, 81, 99, 100, 101, 102, 103, 104, 106, 107, 108, 109, 30000,
    ]
    .map(|port| (port, kind(&ruleset.evaluate(&syn(port)))))
    .to_vec();
    let expected = [
        (22, "accepts"),
        (80, "rejects TCP reset"),
        (443, "rejects TCP reset"),
        (1500, "rejects TCP reset"),
        (81, "drops"),
        (99, "drops"),
        (100, "rejects ICMP 3/13"),
        (101, "drops"),
        (102, "accepts"),
        // Half of them, at random.
        (103, "unknown"),
        (104, "accepts"),
        (106, "drops"),
        // Redirected to port 22.
        (107, "unknown"),
        (108, "accepts"),
        (109, "accepts"),
        (30000, "accepts"),
    ];
    assert_eq!(verdicts, expected.map(|(port, word)| (port, word.to_owned())));
}

#[test]
fn a_rule_of_iptables_is_named_as_a_person_would_write_it() {
    let ruleset = fixture(IPTABLES);
    let judgement = ruleset.evaluate(&syn(1500));
    let place = judgement.stopped_at().unwrap();
    assert_eq!(
        place.manager,
        Manager::Iptables {
            chain: "INPUT".to_owned()
        }
    );
    assert_eq!(
        place.to_string(),
        "table ip filter, chain INPUT, rule with handle 4: tcp dports 80,443,1000-2000 -m conntrack -m comment counter reject with TCP reset"
    );
    let policy = ruleset.evaluate(&syn(81));
    assert_eq!(
        policy.stopped_at().unwrap().to_string(),
        "table ip filter, chain INPUT: policy drop"
    );
}

#[test]
fn states_of_connections_are_named_and_not_numbered() {
    let [new, established] = [8_u32, 2].map(|bit| {
        let mask = Octets(bit.to_le_bytes().to_vec());
        let zero = Octets(vec![0; 4]);
        let state = vec![
            Expression::Ct {
                key: 0,
                direction: None,
                to: 1,
            },
            Expression::Bitwise {
                from: 1,
                to: 1,
                length: 4,
                operation: Bitwise::MaskXor {
                    mask,
                    xor: zero.clone(),
                },
            },
            Expression::Compare {
                from: 1,
                op: if bit == 8 { CompareOp::Neq } else { CompareOp::Eq },
                data: zero,
            },
        ];
        let judgement = ruleset(vec![[state, drop()].concat()]).evaluate(&syn(80));
        judgement.stopped_at().unwrap().rule.clone()
    });
    assert_eq!(
        [new.as_str(), established.as_str()],
        ["ct state new drop", "ct state != established drop"]
    );
}

#[test]
fn nftables_is_judged_as_it_really_behaves() {
    let ruleset = fixture(NFTABLES);
    let expected = [
        (22, "accepts"),
        (24, "accepts"),
        (25, "drops"),
        (80, "drops"),
        (81, "accepts"),
        (99, "unknown"),
        (100, "accepts"),
        (2379, "rejects TCP reset"),
        (1000, "unknown"),
        (77, "rejects ICMP 3/3"),
        (78, "drops"),
        (79, "accepts"),
        // A later base chain, and an earlier one at another hook.
        (5000, "drops"),
        (5001, "rejects ICMP 3/10"),
        (5002, "drops"),
        (5003, "accepts"),
        (9, "accepts"),
        (11, "drops"),
    ];
    for (port, word) in expected {
        assert_eq!(kind(&ruleset.evaluate(&syn(port))), word, "{port}");
    }
    let late = ruleset.evaluate(&syn(5000));
    assert_eq!(late.stopped_at().unwrap().manager, Manager::Nftables);
    assert!(
        late.stopped_at()
            .unwrap()
            .to_string()
            .ends_with("tcp dport 5000 drop")
    );
}

#[test]
fn fixtures_are_canonical_evidence() {
    for text in [FIREWALLD, IPTABLES, NFTABLES] {
        assert!(canonical::decode::<Ruleset>(text.trim_end().as_bytes()).is_ok());
    }
}

#[test]
fn an_empty_ruleset_accepts_and_a_dormant_table_does_nothing() {
    assert!(Ruleset::default().evaluate(&syn(1)).accepts());
    let mut ruleset = ruleset(vec![drop()]);
    ruleset.tables[0].dormant = true;
    assert!(ruleset.evaluate(&syn(1)).accepts());
}

#[test]
fn legacy_rules_that_were_not_read_take_the_certainty_from_an_accept_only() {
    let mut accepting = Ruleset {
        legacy_tables: vec!["ip filter".to_owned()],
        ..Ruleset::default()
    };
    assert_eq!(kind(&accepting.evaluate(&syn(1))), "unknown");
    accepting.tables = ruleset(vec![drop()]).tables;
    assert_eq!(kind(&accepting.evaluate(&syn(1))), "drops");
}

#[test]
fn legacy_rules_of_one_family_leave_the_other_certain() {
    let over_ipv6 = Packet::incoming_syn("eth0", "fd00::2".parse().unwrap(), "fd00::1".parse().unwrap(), 1);
    for (table, of_ipv4, of_ipv6) in [
        ("ip filter", "unknown", "accepts"),
        ("ip6 filter", "accepts", "unknown"),
        ("list not readable", "unknown", "unknown"),
    ] {
        let ruleset = Ruleset {
            legacy_tables: vec![table.to_owned()],
            ..Ruleset::default()
        };
        let judged = [syn(1), over_ipv6.clone()].map(|packet| kind(&ruleset.evaluate(&packet)));
        assert_eq!(judged, [of_ipv4, of_ipv6], "{table}");
    }
}

#[test]
fn an_undecided_rule_matters_only_if_it_changes_the_outcome() {
    let limit = || Expression::Limit {
        name: "limit".to_owned(),
    };
    let logged = ruleset(vec![vec![limit(), Expression::Log], drop()]);
    assert_eq!(kind(&logged.evaluate(&syn(1))), "drops");
    let accept = Expression::Verdict {
        verdict: Verdict::Accept,
    };
    let accepted = ruleset(vec![vec![limit(), accept.clone()], drop()]);
    let judgement = accepted.evaluate(&syn(1));
    let Judgement::Unknown {
        place: Some(place), ..
    } = &judgement
    else {
        panic!("{judgement:?}")
    };
    assert_eq!(place.handle, Some(1));
    let alike = ruleset(vec![vec![limit(), accept]]);
    assert!(alike.evaluate(&syn(1)).accepts());
}

#[test]
fn what_is_rejected_up_to_a_rate_and_then_dropped_is_stopped_by_the_drop() {
    let limit = Expression::Limit {
        name: "limit".to_owned(),
    };
    let reject = Expression::Reject {
        with: RejectWith::Icmp { code: 13 },
    };
    let judgement = ruleset(vec![vec![limit, reject], drop()]).evaluate(&syn(1));
    assert_eq!(judgement.stopped_at().and_then(|place| place.handle), Some(2));
}

#[test]
fn forty_undecided_rules_end_in_unknown_and_not_in_a_long_wait() {
    let mark = || {
        vec![
            Expression::Limit {
                name: "limit".to_owned(),
            },
            Expression::MetaSet { key: 3, from: 1 },
        ]
    };
    let judgement = ruleset((0..40).map(|_| mark()).collect()).evaluate(&syn(1));
    assert_eq!(kind(&judgement), "unknown");
}

#[test]
fn many_rules_that_look_into_a_large_set_end_in_unknown_and_not_in_a_long_wait() {
    let look = || {
        vec![Expression::Lookup {
            set: "blocked".to_owned(),
            from: 1,
            to: None,
            inverted: false,
        }]
    };
    let mut ruleset = ruleset((0..4_000).map(|_| look()).collect());
    let element = |number: u32| Element {
        key: number.to_be_bytes().to_vec().into(),
        key_end: None,
        flags: 0,
        data: None,
        verdict: None,
        conditional: false,
    };
    ruleset.tables[0].sets.push(Set {
        name: "blocked".to_owned(),
        flags: 0,
        key_length: 4,
        fields: Vec::new(),
        elements: (1..10_000).map(element).collect(),
        truncated: false,
    });
    let load = Expression::Payload {
        base: PayloadBase::Network,
        offset: 12,
        length: 4,
        to: 1,
    };
    for rule in &mut ruleset.tables[0].chains[0].rules {
        rule.expressions.insert(0, load.clone());
    }
    assert_eq!(kind(&ruleset.evaluate(&syn(1))), "unknown");
}

#[test]
fn a_rule_without_end_is_named_by_its_beginning() {
    let mut ruleset = crate::report::stage::nft_that_drops(Hook::Input, &[6444]);
    let rule = &mut ruleset.tables[0].chains[0].rules[0];
    let logs = std::iter::repeat_n(Expression::Log, 10_000);
    rule.expressions.splice(0..0, logs);
    let packet = Packet::incoming(
        "eth0",
        Protocol::Tcp,
        "10.0.0.2".parse().unwrap(),
        "10.0.0.1".parse().unwrap(),
        6444,
    );
    let judgement = ruleset.evaluate(&packet);
    let text = &judgement.stopped_at().unwrap().rule;
    assert!(
        text.starts_with("log log") && text.len() < 3_000,
        "{}",
        text.len()
    );
}

#[test]
fn a_reset_for_a_datagram_is_a_silent_drop() {
    let ruleset = ruleset(vec![vec![Expression::Reject {
        with: RejectWith::TcpReset,
    }]]);
    assert_eq!(
        kind(&ruleset.evaluate(&Packet {
            protocol: Protocol::Udp,
            ..syn(1)
        })),
        "drops"
    );
    assert_eq!(kind(&ruleset.evaluate(&syn(1))), "rejects TCP reset");
}

#[test]
fn an_expression_or_a_target_that_nobody_knows_is_unknown_with_its_name() {
    for expression in [
        Expression::Other {
            name: "synproxy".to_owned(),
        },
        Expression::XtTarget {
            name: "SYNPROXY".to_owned(),
            revision: 0,
            info: Octets::default(),
        },
        Expression::Queue,
    ] {
        let judgement = ruleset(vec![vec![expression]]).evaluate(&syn(1));
        let Judgement::Unknown { why, .. } = &judgement else {
            panic!("{judgement:?}")
        };
        assert!(!why.is_empty());
    }
}

#[test]
fn chains_that_jump_in_a_circle_are_no_ruleset_and_cost_no_stack() {
    let jump = |chain: &str| Expression::Verdict {
        verdict: Verdict::Jump {
            chain: chain.to_owned(),
        },
    };
    let mut ruleset = ruleset(vec![vec![jump("input")]]);
    assert_eq!(kind(&ruleset.evaluate(&syn(1))), "unknown");
    ruleset.tables[0].chains[0].rules[0].expressions = vec![jump("missing")];
    assert_eq!(kind(&ruleset.evaluate(&syn(1))), "unknown");
}

#[test]
fn a_set_that_was_not_kept_whole_decides_nothing() {
    let mut ruleset = ruleset(vec![vec![
        Expression::Payload {
            base: PayloadBase::Transport,
            offset: 2,
            length: 2,
            to: 1,
        },
        Expression::Lookup {
            set: "ports".to_owned(),
            from: 1,
            to: None,
            inverted: false,
        },
        Expression::Verdict {
            verdict: Verdict::Drop,
        },
    ]]);
    let key = Octets(vec![0, 22]);
    let element = Element {
        key,
        key_end: None,
        flags: 0,
        data: None,
        verdict: None,
        conditional: false,
    };
    ruleset.tables[0].sets = vec![Set {
        name: "ports".to_owned(),
        flags: 0,
        key_length: 2,
        fields: Vec::new(),
        elements: vec![element],
        truncated: false,
    }];
    assert_eq!(kind(&ruleset.evaluate(&syn(22))), "drops");
    assert!(ruleset.evaluate(&syn(23)).accepts());
    ruleset.tables[0].sets[0].truncated = true;
    assert_eq!(kind(&ruleset.evaluate(&syn(22))), "unknown");
}

#[test]
fn structures_of_iptables_that_are_cut_off_decide_nothing_and_cause_no_panic() {
    let mut ruleset = fixture(IPTABLES);
    for cut in [0, 1, 2, 7, 11, 47, 64, 149] {
        for expression in ruleset
            .tables
            .iter_mut()
            .flat_map(|table| &mut table.chains)
            .flat_map(|chain| &mut chain.rules)
            .flat_map(|rule| &mut rule.expressions)
        {
            if let Expression::XtMatch { info, .. } | Expression::XtTarget { info, .. } = expression {
                info.0.truncate(149 - cut);
            }
        }
        for port in [80, 99, 100, 102, 108] {
            let _ = kind(&ruleset.evaluate(&syn(port)));
        }
    }
    // By now nothing is left of any structure.
    for port in [80, 99, 100, 102, 108] {
        assert_eq!(kind(&ruleset.evaluate(&syn(port))), "unknown", "{port}");
    }
}

fn fixture(text: &str) -> Ruleset {
    serde_json::from_str(text).unwrap()
}

fn syn(port: u16) -> Packet {
    Packet::incoming_syn("eth0", [10, 77, 0, 1].into(), [10, 77, 0, 2].into(), port)
}

fn kind(judgement: &Judgement) -> String {
    match judgement {
        Judgement::Accepts => "accepts".to_owned(),
        Judgement::Drops { .. } => "drops".to_owned(),
        Judgement::Rejects { kind, .. } => format!("rejects {kind}"),
        Judgement::Unknown { .. } => "unknown".to_owned(),
    }
}

fn drop() -> Vec<Expression> {
    vec![Expression::Verdict {
        verdict: Verdict::Drop,
    }]
}

/// One table with one input chain, whose rules have the handles 1, 2, ...
fn ruleset(rules: Vec<Vec<Expression>>) -> Ruleset {
    let rules = (1..)
        .zip(rules)
        .map(|(handle, expressions)| Rule {
            handle,
            expressions,
            comment: None,
        })
        .collect();
    let base = Base {
        hook: Hook::Input,
        priority: 0,
        kind: "filter".to_owned(),
        policy: Policy::Accept,
        devices: Vec::new(),
    };
    let chain = Chain {
        name: "input".to_owned(),
        base: Some(base),
        rules,
    };
    let table = Table {
        family: TableFamily::Inet,
        name: "t".to_owned(),
        dormant: false,
        chains: vec![chain],
        sets: Vec::new(),
    };
    Ruleset {
        generation: 1,
        tables: vec![table],
        interfaces: Vec::new(),
        legacy_tables: Vec::new(),
    }
}
