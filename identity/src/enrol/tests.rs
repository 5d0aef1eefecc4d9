use std::time::Duration;

use super::*;
use crate::join::OneTimeKey;

const NOW: u64 = 1_700_000_000;
const EXPIRES: u64 = NOW + 900;
const EXPORTER: [u8; 32] = [0xe; 32];

fn run() -> RunId {
    RunId::from_bytes([1; 8])
}

fn node(last: u8) -> NodeId {
    NodeId::Address(data_address(last))
}

fn data_address(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn ssh_address(last: u8) -> IpAddr {
    [192, 168, 0, last].into()
}

/// A probe with its keys and its join string.
struct Probe {
    join: JoinString,
    tls: TlsKey,
    signing: SigningKey,
    agreement: AgreementKey,
}

impl Probe {
    fn new(node: NodeId) -> Self {
        let join = JoinString {
            coordinator: vec!["10.0.0.100:7443".parse().unwrap()],
            run: run(),
            node,
            one_time_key: OneTimeKey::generate().unwrap(),
            pin: [0; 32],
            expires_unix_s: EXPIRES,
        };
        Self::with(join)
    }

    /// A probe with keys of its own and this string.
    fn with(join: JoinString) -> Self {
        Self {
            join,
            tls: TlsKey::generate(NOW, Duration::from_secs(3600)).unwrap(),
            signing: SigningKey::generate().unwrap(),
            agreement: AgreementKey::generate().unwrap(),
        }
    }

    fn expected(&self, origin: Origin) -> Expected {
        Expected {
            node: self.join.node,
            origin,
            one_time_public: self.join.one_time_key.public(),
            expires_unix_s: EXPIRES,
        }
    }

    fn claim(&self) -> Claim {
        self.claim_in(&EXPORTER)
    }

    fn claim_in(&self, exporter: &[u8; 32]) -> Claim {
        let keys = Keys {
            tls: &self.tls,
            signing: &self.signing,
            agreement: &self.agreement,
        };
        prove(exporter, &self.join, keys, vec![], None)
    }

    /// Joins from its data address, or from loopback if it has none.
    fn join(&self, table: &mut Admission) -> Result<Member, JoinRefused> {
        self.submit(table, &self.claim())
    }

    fn submit(&self, table: &mut Admission, claim: &Claim) -> Result<Member, JoinRefused> {
        let from = self
            .join
            .node
            .address()
            .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        table.admit(
            NOW,
            CameFrom::Address(from),
            &EXPORTER,
            &self.tls.spki_sha256(),
            claim,
        )
    }
}

fn from_its_addresses(last: u8) -> Origin {
    Origin::Addresses(vec![data_address(last), ssh_address(last)])
}

/// Two nodes, nobody there yet.
fn table() -> (Admission, Probe, Probe) {
    let (one, two) = (Probe::new(node(1)), Probe::new(node(2)));
    let expected = vec![
        one.expected(from_its_addresses(1)),
        two.expected(from_its_addresses(2)),
    ];
    (Admission::new(run(), expected), one, two)
}

#[test]
fn a_node_joins_and_is_known_by_its_tls_key_from_then_on() {
    let (mut table, one, two) = table();
    assert_eq!(table.is_member(&one.tls.spki_sha256()), None);
    let member = one.join(&mut table).unwrap();
    assert_eq!(member.node, node(1));
    assert_eq!(member.addresses, [data_address(1)]);
    assert_eq!(member.signing_key, one.signing.verifying_key().point_hex());
    assert_eq!(member.agreement_key, hex::encode(&one.agreement.public()));
    assert_eq!(table.is_member(&one.tls.spki_sha256()), Some(node(1)));
    assert_eq!(table.is_member(&two.tls.spki_sha256()), None);
    assert_eq!(table.missing().collect::<Vec<_>>(), [node(2)]);
    assert_eq!(table.members().collect::<Vec<_>>(), [&member]);
}

#[test]
fn a_string_used_by_a_second_probe_is_refused() {
    let (mut table, one, _) = table();
    one.join(&mut table).unwrap();
    let thief = Probe::with(one.join.clone());
    assert_eq!(
        thief.join(&mut table),
        Err(JoinRefused::AlreadyUsed { node: node(1) })
    );
    assert_eq!(table.is_member(&thief.tls.spki_sha256()), None);
}

#[test]
fn a_probe_whose_answer_got_lost_may_ask_again_in_a_new_session() {
    let (mut table, one, _) = table();
    let first = one.join(&mut table).unwrap();
    let exporter = [0xf; 32];
    let from = CameFrom::Address(data_address(1));
    let later = EXPIRES + 1;
    let again = table.admit(
        later,
        from,
        &exporter,
        &one.tls.spki_sha256(),
        &one.claim_in(&exporter),
    );
    assert_eq!(again, Ok(first));
    // Its keys alone do not do: the proof must be of the new session.
    let stale = table.admit(
        later,
        from,
        &[0xd; 32],
        &one.tls.spki_sha256(),
        &one.claim_in(&exporter),
    );
    assert_eq!(
        stale,
        Err(JoinRefused::BadProof {
            node: node(1),
            which: KeyKind::OneTime
        })
    );
}

#[test]
fn a_string_used_from_elsewhere_is_refused_and_good_from_the_address_of_ssh() {
    let (mut table, one, _) = table();
    let claim = one.claim();
    let mut from = |address: IpAddr| {
        table.admit(
            NOW,
            CameFrom::Address(address),
            &EXPORTER,
            &one.tls.spki_sha256(),
            &claim,
        )
    };
    for elsewhere in [data_address(2), ssh_address(2), [127, 0, 0, 1].into()] {
        let refused = from(elsewhere).unwrap_err();
        assert!(
            matches!(refused, JoinRefused::FromElsewhere { .. }),
            "{refused:?}"
        );
        assert!(
            refused.to_string().contains("10.0.0.1 or 192.168.0.1 only"),
            "{refused}"
        );
    }
    assert!(from(ssh_address(1)).is_ok());
}

#[test]
fn a_dual_stack_listener_does_not_confuse_addresses() {
    let (mut table, one, _) = table();
    let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
    assert!(
        table
            .admit(
                NOW,
                CameFrom::Address(mapped),
                &EXPORTER,
                &one.tls.spki_sha256(),
                &one.claim()
            )
            .is_ok()
    );
}

#[test]
fn a_stream_that_the_coordinator_opened_is_good_for_its_own_node_only() {
    let (mut table, one, _) = table();
    let mut over = |to| {
        table.admit(
            NOW,
            CameFrom::OwnStream(to),
            &EXPORTER,
            &one.tls.spki_sha256(),
            &one.claim(),
        )
    };
    assert!(matches!(over(node(2)), Err(JoinRefused::FromElsewhere { .. })));
    assert!(over(node(1)).is_ok());
}

#[test]
fn the_coordinators_vantage_joins_from_its_own_machine_only() {
    let probe = Probe::new(NodeId::Coordinator);
    let own: IpAddr = [10, 0, 0, 100].into();
    for (from, admitted) in [
        ([127, 0, 0, 1].into(), true),
        (own, true),
        (data_address(1), false),
    ] {
        let mut table = Admission::new(run(), vec![probe.expected(Origin::ThisMachine(vec![own]))]);
        let claim = Claim {
            addresses: vec![own, [127, 0, 0, 1].into()],
            ..probe.claim()
        };
        let verdict = table.admit(
            NOW,
            CameFrom::Address(from),
            &EXPORTER,
            &probe.tls.spki_sha256(),
            &claim,
        );
        assert_eq!(verdict.is_ok(), admitted, "{from}: {verdict:?}");
        assert!(verdict.map_or(true, |member| member.addresses == [own]));
    }
}

#[test]
fn an_expired_string_is_refused_from_the_second_of_its_expiry_on() {
    let (mut table, one, _) = table();
    let mut at = |now| {
        let from = CameFrom::Address(data_address(1));
        table.admit(now, from, &EXPORTER, &one.tls.spki_sha256(), &one.claim())
    };
    assert_eq!(
        at(EXPIRES),
        Err(JoinRefused::Expired {
            node: node(1),
            ago_s: 0
        })
    );
    assert_eq!(
        at(EXPIRES + 60),
        Err(JoinRefused::Expired {
            node: node(1),
            ago_s: 60
        })
    );
    assert!(at(EXPIRES - 1).is_ok());
}

#[test]
fn strangers_other_runs_and_other_protocols_are_refused() {
    let (mut table, one, _) = table();
    let claim = one.claim();
    for name in [
        "10.0.0.9",
        "coordinator",
        "10.0.0.01",
        "",
        "::ffff:10.0.0.1",
        "' OR 1",
    ] {
        let refused = one.submit(
            &mut table,
            &Claim {
                node: name.to_owned(),
                ..claim.clone()
            },
        );
        assert_eq!(
            refused,
            Err(JoinRefused::UnknownNode {
                node: name.to_owned()
            })
        );
    }
    let endless = one
        .submit(
            &mut table,
            &Claim {
                node: "x".repeat(1 << 16),
                ..claim.clone()
            },
        )
        .unwrap_err();
    assert!(
        endless.to_string().len() < 200,
        "what a stranger says is not quoted at length"
    );
    let other_run = RunId::from_bytes([2; 8]).to_string();
    let refused = one.submit(
        &mut table,
        &Claim {
            run: other_run,
            ..claim.clone()
        },
    );
    assert_eq!(refused, Err(JoinRefused::OtherRun));
    let theirs = PROTOCOL + 1;
    let refused = one.submit(
        &mut table,
        &Claim {
            protocol: theirs,
            ..claim
        },
    );
    assert_eq!(refused, Err(JoinRefused::Protocol { theirs }));
}

#[test]
fn a_proof_is_good_for_its_session_its_node_and_its_keys_only() {
    let (mut table, one, two) = table();
    let good = one.claim();
    let bad_proof = |which| Err(JoinRefused::BadProof { node: node(1), which });
    let other_session = one.claim_in(&[0; 32]);
    assert_eq!(
        one.submit(&mut table, &other_session),
        bad_proof(KeyKind::OneTime)
    );
    let other_tls = table.admit(
        NOW,
        CameFrom::Address(data_address(1)),
        &EXPORTER,
        &two.tls.spki_sha256(),
        &good,
    );
    assert_eq!(other_tls, bad_proof(KeyKind::OneTime));
    let swapped_signing = Claim {
        signing_key: two.claim().signing_key,
        ..good.clone()
    };
    assert_eq!(
        one.submit(&mut table, &swapped_signing),
        bad_proof(KeyKind::OneTime)
    );
    let swapped_agreement = Claim {
        agreement_key: two.claim().agreement_key,
        ..good.clone()
    };
    assert_eq!(
        one.submit(&mut table, &swapped_agreement),
        bad_proof(KeyKind::OneTime)
    );
    let no_possession = Claim {
        possession_signature: good.one_time_signature.clone(),
        ..good.clone()
    };
    assert_eq!(
        one.submit(&mut table, &no_possession),
        bad_proof(KeyKind::Signing)
    );
    let nothing = Claim {
        one_time_signature: vec![],
        ..good
    };
    assert_eq!(one.submit(&mut table, &nothing), bad_proof(KeyKind::OneTime));
}

#[test]
fn somebody_elses_string_does_not_open_a_node() {
    let (mut table, one, two) = table();
    let forged = Probe::with(JoinString {
        node: node(1),
        ..two.join.clone()
    });
    assert_eq!(
        forged.join(&mut table),
        Err(JoinRefused::BadProof {
            node: node(1),
            which: KeyKind::OneTime
        })
    );
    assert!(one.join(&mut table).is_ok());
}

#[test]
fn wrong_proofs_neither_burn_a_string_nor_lock_its_node_out() {
    let (mut table, one, _) = table();
    for _ in 0..20 {
        let refused = one.submit(
            &mut table,
            &Claim {
                one_time_signature: vec![7; 64],
                ..one.claim()
            },
        );
        assert_eq!(
            refused,
            Err(JoinRefused::BadProof {
                node: node(1),
                which: KeyKind::OneTime
            })
        );
    }
    assert!(one.join(&mut table).is_ok());
    assert_eq!(table.refused(), 20);
}

#[test]
fn keys_that_are_none_or_anothers_are_refused() {
    let (mut table, one, mut two) = table();
    let bad = |node, which, fault| Err(JoinRefused::BadKey { node, which, fault });
    let malformed = Claim {
        signing_key: vec![4; 65],
        ..one.claim()
    };
    assert_eq!(
        one.submit(&mut table, &malformed),
        bad(node(1), KeyKind::Signing, KeyFault::Malformed)
    );
    for agreement_key in [vec![0; 32], vec![9; 31], vec![]] {
        let malformed = Claim {
            agreement_key,
            ..one.claim()
        };
        assert_eq!(
            one.submit(&mut table, &malformed),
            bad(node(1), KeyKind::Agreement, KeyFault::Malformed)
        );
    }
    one.join(&mut table).unwrap();
    two.signing = one.signing.clone();
    assert_eq!(
        two.join(&mut table),
        bad(node(2), KeyKind::Signing, KeyFault::Taken)
    );
    two.signing = SigningKey::generate().unwrap();
    two.tls = one.tls;
    assert_eq!(two.join(&mut table), bad(node(2), KeyKind::Tls, KeyFault::Taken));
}

#[test]
fn a_probe_cannot_claim_addresses_that_are_not_a_hosts_or_are_another_nodes() {
    let (mut table, one, _) = table();
    let claimed = "0.0.0.0 0.1.2.3 127.0.0.1 127.9.9.9 169.254.169.254 224.0.0.1 240.0.0.1 255.255.255.255 \
                   :: ::1 fe80::1 ff02::1 fd00:ec2::254 ::ffff:127.0.0.1 10.0.0.2 192.168.0.2 ::ffff:10.0.0.2";
    let mut addresses: Vec<IpAddr> = claimed
        .split_whitespace()
        .map(|text| text.parse().unwrap())
        .collect();
    addresses.extend([ssh_address(1), ssh_address(1), data_address(1)]);
    let member = one
        .submit(
            &mut table,
            &Claim {
                addresses,
                ..one.claim()
            },
        )
        .unwrap();
    assert_eq!(member.addresses, [data_address(1), ssh_address(1)]);
}

#[test]
fn a_probe_with_a_thousand_addresses_is_known_by_the_first_ones() {
    let (mut table, one, _) = table();
    let many = (0..1000_u32)
        .map(|number| IpAddr::from((0x0a01_0000 + number).to_be_bytes()))
        .collect();
    let member = one
        .submit(
            &mut table,
            &Claim {
                addresses: many,
                ..one.claim()
            },
        )
        .unwrap();
    assert_eq!(member.addresses.len(), MAX_MEMBER_ADDRESSES);
}

#[test]
fn a_transcript_tells_every_field_apart() {
    let fields = |exporter: u8, last: u8, tls: u8, signing: u8, agreement: u8| {
        transcript(
            &[exporter; 32],
            &run(),
            node(last),
            &[tls; 32],
            &[signing; 65],
            &[agreement; 32],
        )
    };
    let base = fields(1, 1, 1, 1, 1);
    for other in [
        fields(2, 1, 1, 1, 1),
        fields(1, 2, 1, 1, 1),
        fields(1, 1, 2, 1, 1),
        fields(1, 1, 1, 2, 1),
        fields(1, 1, 1, 1, 2),
    ] {
        assert_ne!(base, other);
    }
    assert!(base.starts_with(b"plumbline-join-v1\0"));
}

#[test]
fn an_address_from_which_a_node_may_come_is_said_once() {
    let [data, ssh] = [data_address(1), ssh_address(1)];
    assert_eq!(Origin::Addresses(vec![data, data]).to_string(), data.to_string());
    assert_eq!(
        Origin::Addresses(vec![data, ssh, data]).to_string(),
        format!("{data} or {ssh}")
    );
}
