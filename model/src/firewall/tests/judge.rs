//! Rulesets as large as they are carried, asked about many packets.

use proptest::prelude::*;

use super::*;

fn dport() -> Expression {
    Expression::Payload {
        base: PayloadBase::Transport,
        offset: 2,
        length: 2,
        to: 1,
    }
}

fn is(op: CompareOp, port: u16) -> Expression {
    Expression::Compare {
        from: 1,
        op,
        data: Octets(port.to_be_bytes().to_vec()),
    }
}

/// A chain for each Service, jumped to one after the other; each looks the source up in a set of 4,000 addresses where the
/// port is in its range, which none of the NodePorts is. The last rule drops the NodePort range.
fn large(services: u16) -> Ruleset {
    let jump = |number: u16| {
        vec![Expression::Verdict {
            verdict: Verdict::Jump {
                chain: format!("service-{number}"),
            },
        }]
    };
    let drops = vec![
        dport(),
        is(CompareOp::Gte, 30_000),
        is(CompareOp::Lte, 32_767),
        Expression::Verdict {
            verdict: Verdict::Drop,
        },
    ];
    let looks_up = vec![
        Expression::Payload {
            base: PayloadBase::Network,
            offset: 12,
            length: 4,
            to: 1,
        },
        Expression::Lookup {
            set: "sources".to_owned(),
            from: 1,
            to: None,
            inverted: false,
        },
        Expression::Verdict {
            verdict: Verdict::Accept,
        },
    ];
    let mut rules: Vec<_> = (0..services).map(jump).collect();
    rules.push(looks_up);
    rules.push(drops);
    let mut made = ruleset(rules);
    let table = &mut made.tables[0];
    table.chains.extend((0..services).map(|number| Chain {
        name: format!("service-{number}"),
        base: None,
        rules: vec![Rule {
            handle: 100_000 + u64::from(number),
            expressions: vec![
                dport(),
                is(CompareOp::Eq, 40_000 + number),
                Expression::Verdict {
                    verdict: Verdict::Accept,
                },
            ],
            comment: None,
        }],
    }));
    table.sets = vec![Set {
        name: "sources".to_owned(),
        flags: 0,
        key_length: 4,
        fields: Vec::new(),
        elements: (0..4_000_u32)
            .map(|number| Element {
                key: Octets((0xac10_0000 + number).to_be_bytes().to_vec()),
                key_end: None,
                flags: 0,
                data: None,
                verdict: None,
                conditional: false,
            })
            .collect(),
        truncated: false,
    }];
    made
}

/// Every port that a rule of these tests compares with or computes lies near one of these.
const CORNERS: [u16; 8] = [0, 1, 0xff, 0x100, 0x1234, 0x3412, 0x7fff, 0xffff];

fn some_ports() -> impl Iterator<Item = u16> {
    let near = CORNERS
        .into_iter()
        .flat_map(|port| [port.saturating_sub(1), port, port.saturating_add(1)]);
    near.chain((0..u16::MAX).step_by(2_003))
}

fn octets(length: usize) -> impl Strategy<Value = Octets> {
    let corner = prop::sample::select(&CORNERS[..]);
    prop::collection::vec(corner, length.div_ceil(2)).prop_map(move |ports| {
        let mut all: Vec<u8> = ports.into_iter().flat_map(u16::to_be_bytes).collect();
        all.truncate(length);
        Octets(all)
    })
}

/// Registers that overlap.
fn register() -> impl Strategy<Value = u32> {
    prop::sample::select(&[1_u32, 8, 9, 10, 23][..])
}

fn operator() -> impl Strategy<Value = CompareOp> {
    use CompareOp::{Eq, Gt, Gte, Lt, Lte, Neq};
    prop::sample::select(&[Eq, Neq, Lt, Lte, Gt, Gte][..])
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let jump = Verdict::Jump {
        chain: "other".to_owned(),
    };
    prop::sample::select(vec![
        Verdict::Accept,
        Verdict::Drop,
        Verdict::Return,
        Verdict::Continue,
        jump,
    ])
}

fn loads() -> impl Strategy<Value = Expression> {
    let payload = (any::<bool>(), 0_u32..4, 1_u32..6, register()).prop_map(|(header, offset, length, to)| {
        let (base, offset) = if header {
            (PayloadBase::Network, 18 + offset)
        } else {
            (PayloadBase::Transport, offset)
        };
        Expression::Payload {
            base,
            offset,
            length,
            to,
        }
    });
    let ct = (11_u32..13, 0_u8..2, register()).prop_map(|(key, direction, to)| Expression::Ct {
        key,
        direction: Some(direction),
        to,
    });
    let constant = (register(), (0_usize..5).prop_flat_map(octets))
        .prop_map(|(to, data)| Expression::Immediate { to, data });
    let mark = register().prop_map(|to| Expression::Meta { key: 3, to });
    prop_oneof![4 => Just(dport()), 4 => payload, 1 => ct, 1 => constant, 1 => mark]
}

fn computes() -> impl Strategy<Value = Expression> {
    let masks = prop::sample::select(&[[0xff_u8, 0xff], [0xff, 0], [0, 0xff], [0xf0, 0x0f]][..]);
    let bitwise = (register(), register(), masks, any::<bool>()).prop_map(|(from, to, mask, flips)| {
        Expression::Bitwise {
            from,
            to,
            length: 2,
            operation: Bitwise::MaskXor {
                mask: Octets(mask.to_vec()),
                xor: Octets(vec![0, u8::from(flips)]),
            },
        }
    });
    let swaps = (
        register(),
        register(),
        1_u32..9,
        prop::sample::select(&[2_u32, 4, 8][..]),
    )
        .prop_map(|(from, to, length, size)| Expression::Byteorder {
            from,
            to,
            length,
            size,
        });
    let marks = register().prop_map(|from| Expression::MetaSet { key: 3, from });
    prop_oneof![3 => bitwise, 1 => swaps, 1 => marks]
}

fn asks() -> impl Strategy<Value = Expression> {
    let compares = (register(), operator(), (1_usize..6).prop_flat_map(octets))
        .prop_map(|(from, op, data)| Expression::Compare { from, op, data });
    let range =
        (register(), any::<bool>(), octets(2), octets(2)).prop_map(|(from, inverted, first, last)| {
            Expression::Range {
                from,
                inverted,
                first,
                last,
            }
        });
    let sets = prop::sample::select(&["plain", "interval", "fields", "map"][..]);
    let looks_up = (sets, register(), any::<bool>()).prop_map(|(set, from, inverted)| Expression::Lookup {
        set: set.to_owned(),
        from,
        to: (set == "map").then_some(9),
        inverted: set != "map" && inverted,
    });
    let xt = (any::<bool>(), octets(8)).prop_map(|(several, ports)| {
        let mut info = vec![0; 48];
        let (name, revision) = if several {
            info[..2].copy_from_slice(&[1, 4]);
            info[2..10].copy_from_slice(&ports.0);
            info[32] = 1;
            ("multiport", 1)
        } else {
            info.truncate(12);
            info[..8].copy_from_slice(&ports.0);
            ("tcp", 0)
        };
        Expression::XtMatch {
            name: name.to_owned(),
            revision,
            info: Octets(info),
        }
    });
    prop_oneof![4 => compares, 2 => range, 3 => looks_up, 1 => xt]
}

/// As rules are written: a port is loaded whole and asked for.
fn plain_rule() -> impl Strategy<Value = Vec<Expression>> {
    let both = Expression::Payload {
        base: PayloadBase::Transport,
        offset: 0,
        length: 4,
        to: 1,
    };
    let end = verdict().prop_map(|verdict| Expression::Verdict { verdict });
    let loads = prop::sample::select(vec![dport(), both]);
    (loads, prop::collection::vec(asks(), 1..4), end)
        .prop_map(|(first, middle, end)| [vec![first], middle, vec![end]].concat())
}

/// As nobody writes them: ports are cut, computed and copied first.
fn rule() -> impl Strategy<Value = Vec<Expression>> {
    let middle = prop_oneof![1 => loads().boxed(), 1 => computes().boxed(), 3 => asks().boxed()];
    let end = verdict().prop_map(|verdict| Expression::Verdict { verdict });
    (loads(), prop::collection::vec(middle, 1..5), end)
        .prop_map(|(first, middle, end)| [vec![first], middle, vec![end]].concat())
}

fn set(name: &'static str, flags: u32, fields: Vec<u32>, key_length: usize) -> impl Strategy<Value = Set> {
    let ranged = name == "fields";
    let element = (octets(key_length), octets(key_length), octets(2), any::<bool>()).prop_map(
        move |(key, end, data, is_end)| Element {
            key,
            key_end: ranged.then_some(end),
            flags: u32::from(is_end && flags != 0),
            data: (name == "map").then_some(data),
            verdict: None,
            conditional: false,
        },
    );
    prop::collection::vec(element, 0..5).prop_map(move |elements| Set {
        name: name.to_owned(),
        flags,
        key_length: u32::try_from(key_length).unwrap(),
        fields: fields.clone(),
        elements,
        truncated: false,
    })
}

/// Rules of these shapes over sets of every kind.
fn any_ruleset(rule: impl Fn() -> BoxedStrategy<Vec<Expression>>) -> impl Strategy<Value = Ruleset> {
    let sets = (
        set("plain", 0, vec![], 2),
        set("interval", SET_INTERVAL, vec![], 2),
        set("fields", SET_INTERVAL, vec![2, 2], 8),
        set("map", 0, vec![], 2),
    );
    let rules = || prop::collection::vec(rule(), 1..6);
    (rules(), rules(), sets).prop_map(|(own, others, (plain, interval, fields, map))| {
        let mut made = ruleset(own);
        let other = ruleset(others);
        let table = &mut made.tables[0];
        table.chains[0].base.as_mut().unwrap().hook = Hook::Input;
        table
            .chains
            .extend(other.tables[0].chains.iter().map(|chain| Chain {
                name: "other".to_owned(),
                base: None,
                rules: chain.rules.clone(),
            }));
        table.sets = vec![plain, interval, fields, map];
        made
    })
}

fn assert_remembers_what_is_true(ruleset: &Ruleset, ports: impl Iterator<Item = u16>) -> usize {
    let judge = Judge::new(ruleset);
    let six = |last: u16| [0xfd00, 0, 0, 0, 0, 0, 0, last].into();
    for port in ports {
        let question = syn(port);
        let elsewhere = Packet::outgoing_syn("eth0", [10, 77, 0, 2].into(), [10, 77, 0, 1].into(), port);
        let both = Packet {
            source_port: Some(port.rotate_left(8)),
            ..syn(port)
        };
        let over_ipv6 = Packet::incoming_syn("eth0", six(1), six(2), port);
        for packet in [question, elsewhere.answer(), both, over_ipv6] {
            assert_eq!(judge.evaluate(&packet), ruleset.evaluate(&packet), "{packet:?}");
        }
    }
    judge.walks()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_remembered_of_a_port_is_what_a_walk_would_have_said(ruleset in any_ruleset(|| rule().boxed())) {
        assert_remembers_what_is_true(&ruleset, some_ports());
    }

    #[test]
    fn ports_that_are_asked_for_as_usual_make_classes(ruleset in any_ruleset(|| plain_rule().boxed())) {
        let index = index::Index::of(&ruleset);
        let classes = alike::Classes::of(&index, crate::port::Family::Ipv4);
        prop_assert!(classes != alike::Classes::Each, "every port by itself");
        assert_remembers_what_is_true(&ruleset, some_ports());
    }
}

#[test]
fn real_rulesets_take_few_walks_for_all_ports() {
    for (fixture_text, most) in [(FIREWALLD, 120), (IPTABLES, 160), (NFTABLES, 120)] {
        let walks =
            assert_remembers_what_is_true(&fixture(fixture_text), (0..=u16::MAX).step_by(331).chain(1..300));
        assert!(walks <= most, "{walks}");
    }
}

#[test]
fn a_large_ruleset_is_walked_once_for_each_source_and_range_of_ports() {
    let ruleset = large(1_500);
    let judge = Judge::new(&ruleset);
    for source in 1..=10 {
        for port in 30_000..=32_767 {
            let packet =
                Packet::incoming_syn("eth0", [10, 77, 1, source].into(), [10, 77, 0, 2].into(), port);
            assert_eq!(kind(&judge.evaluate(&packet)), "drops");
        }
    }
    assert_eq!(judge.walks(), 10);
}

#[test]
fn a_ruleset_that_was_too_large_is_not_judged_and_what_was_said_stays_said() {
    let ruleset = large(100);
    // Enough for one walk, and for a part of another.
    let judge = Judge::with_budget(&ruleset, 600);
    let ports = [30_000, 22, 40_000, 32_767, 29_999, 40_001];
    let said = |judge: &Judge<'_>| ports.map(|port| kind(&judge.evaluate(&syn(port))));
    let expected = ["drops", "accepts", "unknown", "drops", "accepts", "unknown"];
    assert_eq!(said(&judge), expected);
    assert_eq!(said(&judge), expected);
    let Judgement::Unknown { why, .. } = judge.evaluate(&syn(40_000)) else {
        panic!()
    };
    assert_eq!(why, "its ruleset was too large to be judged whole");
}
