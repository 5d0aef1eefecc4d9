use proptest::prelude::*;

use super::*;

const POLICY: Policy = Policy {
    attempts: 3,
    attempt_timeout: Duration::from_millis(600),
    proof_timeout: Duration::from_secs(3),
    unsent_limit: 2,
};

fn at(millis: u64) -> Timestamp {
    Timestamp::from_nanos(millis * 1_000_000)
}

#[test]
fn silence_takes_three_attempts_over_more_than_a_second() {
    let mut test = Attempts::new();
    let mut now = at(0);
    let mut launches = Vec::new();
    let tally = loop {
        launches.push(now);
        now = test.launched(now, &POLICY);
        match test.elapsed(now, &POLICY) {
            Step::Again => {}
            Step::Over(tally) => break tally,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        tally,
        Tally {
            attempts: 3,
            answered: 0
        }
    );
    assert!(launches[2] - launches[0] > Duration::from_secs(1));
    assert_eq!(now, at(1800));
}

#[test]
fn a_refusal_is_final_at_once() {
    let mut test = Attempts::new();
    test.launched(at(0), &POLICY);
    let step = test.answered(at(1), Answer::Refused, &POLICY);
    assert_eq!(
        step,
        Step::Over(Tally {
            attempts: 1,
            answered: 1
        })
    );
}

#[test]
fn a_reset_after_silence_may_be_that_of_a_half_open_connection_and_is_asked_once_more() {
    let after_silence = || {
        let mut test = Attempts::new();
        test.launched(at(0), &POLICY);
        assert_eq!(test.elapsed(at(600), &POLICY), Step::Again);
        test.launched(at(600), &POLICY);
        assert_eq!(test.answered(at(601), Answer::Reset, &POLICY), Step::Again);
        test.launched(at(602), &POLICY);
        test
    };
    let over = |attempts, answered| Step::Over(Tally { attempts, answered });
    // The port listens: the first SYN-ACK was lost.
    let mut open = after_silence();
    assert_eq!(open.answered(at(603), Answer::Accepted, &POLICY), over(2, 1));
    // The port is closed: the first RST was lost.
    let mut closed = after_silence();
    assert_eq!(closed.answered(at(603), Answer::Reset, &POLICY), over(2, 1));
    // Silence again may have left another half-open connection, and is believed after as many attempts as ever.
    let mut lossy = after_silence();
    assert_eq!(lossy.elapsed(at(1202), &POLICY), Step::Again);
    lossy.launched(at(1202), &POLICY);
    assert_eq!(lossy.answered(at(1203), Answer::Reset, &POLICY), Step::Again);
    lossy.launched(at(1204), &POLICY);
    assert_eq!(lossy.elapsed(at(1804), &POLICY), over(3, 0));
    // An ICMP error is nobody's half-open connection.
    let mut rejected = Attempts::new();
    rejected.launched(at(0), &POLICY);
    rejected.elapsed(at(600), &POLICY);
    rejected.launched(at(600), &POLICY);
    assert_eq!(rejected.answered(at(601), Answer::Refused, &POLICY), over(2, 1));
}

#[test]
fn an_answer_to_the_second_attempt_counts_one_of_two() {
    let mut test = Attempts::new();
    test.launched(at(0), &POLICY);
    assert_eq!(test.elapsed(at(600), &POLICY), Step::Again);
    test.launched(at(600), &POLICY);
    assert_eq!(
        test.answered(at(601), Answer::AcceptedToProve, &POLICY),
        Step::Prove { until: at(3601) }
    );
    assert_eq!(
        test.judged(),
        Step::Over(Tally {
            attempts: 2,
            answered: 1
        })
    );
}

#[test]
fn a_connection_that_stays_silent_after_it_was_accepted_is_not_attempted_again() {
    let mut test = Attempts::new();
    test.launched(at(0), &POLICY);
    test.answered(at(1), Answer::AcceptedToProve, &POLICY);
    assert!(test.is_proving());
    assert_eq!(test.elapsed(at(3000), &POLICY), Step::Wait);
    assert_eq!(
        test.elapsed(at(3001), &POLICY),
        Step::Over(Tally {
            attempts: 1,
            answered: 1
        })
    );
}

#[test]
fn a_live_service_needs_no_proof() {
    let mut test = Attempts::new();
    test.launched(at(0), &POLICY);
    let step = test.answered(at(1), Answer::Accepted, &POLICY);
    assert_eq!(
        step,
        Step::Over(Tally {
            attempts: 1,
            answered: 1
        })
    );
}

#[test]
fn an_attempt_that_never_left_is_no_attempt_and_is_not_made_for_ever() {
    let mut test = Attempts::new();
    for _ in 0..POLICY.unsent_limit {
        test.launched(at(0), &POLICY);
        assert_eq!(test.unsent(&POLICY), Step::Again);
    }
    test.launched(at(0), &POLICY);
    assert_eq!(
        test.unsent(&POLICY),
        Step::Over(Tally {
            attempts: 0,
            answered: 0
        })
    );
}

#[test]
fn a_policy_of_no_attempts_still_makes_one() {
    let policy = Policy {
        attempts: 0,
        ..POLICY
    };
    let mut test = Attempts::new();
    test.launched(at(0), &policy);
    assert_eq!(
        test.elapsed(at(600), &policy),
        Step::Over(Tally {
            attempts: 1,
            answered: 0
        })
    );
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Launch,
    Unsent,
    Answer(Answer),
    Judge,
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        Just(Op::Launch),
        Just(Op::Unsent),
        Just(Op::Answer(Answer::AcceptedToProve)),
        Just(Op::Answer(Answer::Accepted)),
        Just(Op::Answer(Answer::Refused)),
        Just(Op::Answer(Answer::Reset)),
        Just(Op::Answer(Answer::Undeliverable)),
        Just(Op::Judge),
        (0u64..5000).prop_map(Op::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_counts_stay_within_the_policy_and_a_test_ends_once(ops in proptest::collection::vec(op(), 0..60)) {
        let (mut test, mut now, mut ends) = (Attempts::new(), at(0), 0);
        for op in ops {
            let step = match op {
                Op::Launch => {
                    test.launched(now, &POLICY);
                    Step::Wait
                }
                Op::Unsent => test.unsent(&POLICY),
                Op::Answer(answer) => test.answered(now, answer, &POLICY),
                Op::Judge => test.judged(),
                Op::Pass(millis) => {
                    now = now + Duration::from_millis(millis);
                    test.elapsed(now, &POLICY)
                }
            };
            prop_assert!(test.made() <= POLICY.attempts);
            if let Step::Over(tally) = step {
                ends += 1;
                prop_assert!(tally.answered <= 1 && tally.answered <= tally.attempts);
            }
        }
        prop_assert!(ends <= 1);
    }
}
