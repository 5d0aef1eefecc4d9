//! Whatever happens, in whatever order.

use proptest::prelude::*;

use super::{super::*, rehearsal::*};

#[derive(Debug, Clone)]
enum Op {
    Join(u8),
    Open(u8),
    End(u8),
    Heard(u8),
    Batch(u8),
    Ready(u8, u32),
    Done(u8, u32, u64),
    Refuse(u8, u32),
    Pass(u64),
    Interrupt,
}

fn op() -> impl Strategy<Value = Op> {
    let who = 1..=4u8;
    let task = 1..=16u32;
    prop_oneof![
        3 => who.clone().prop_map(Op::Join),
        3 => who.clone().prop_map(Op::Open),
        1 => who.clone().prop_map(Op::End),
        3 => who.clone().prop_map(Op::Heard),
        4 => who.clone().prop_map(Op::Batch),
        4 => (who.clone(), task.clone()).prop_map(|(who, task)| Op::Ready(who, task)),
        4 => (who.clone(), task.clone(), 0..9u64).prop_map(|(who, task, seq)| Op::Done(who, task, seq)),
        1 => (who, task).prop_map(|(who, task)| Op::Refuse(who, task)),
        4 => (0..20_000u64).prop_map(Op::Pass),
        1 => Just(Op::Interrupt),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_run_ends_in_its_time_and_everybody_is_accounted_for(
        ops in prop::collection::vec(op(), 0..120)
    ) {
        let mut stage = Rehearsal::new(mesh(3));
        // Nobody obeys by himself: what probes say is what the operations say.
        stage.frozen = (1..=4).map(node).collect();
        let mut interrupted = false;
        for op in ops {
            match op {
                Op::Join(who) => stage.tell(Event::Joined(Box::new(member(node(who))))),
                Op::Open(who) => stage.tell(Event::SessionOpened { node: node(who), last_closed_seq: 0 }),
                Op::End(who) => stage.tell(Event::SessionEnded(node(who))),
                Op::Heard(who) => stage.tell(Event::Heard(node(who))),
                Op::Batch(who) => { stage.batch(node(who), Vec::new()); }
                Op::Ready(who, task) => stage.progress(node(who), task, ProgressState::Ready),
                Op::Done(who, task, last_seq) => {
                    stage.progress(node(who), task, ProgressState::Done { last_seq });
                }
                Op::Refuse(who, assignment) => stage.tell(Event::Refused {
                    node: node(who),
                    assignment,
                    reason: String::new(),
                }),
                Op::Pass(ms) => { stage.now_ms += ms; stage.tell(Event::Tick); }
                Op::Interrupt => { interrupted |= !stage.finished; stage.tell(Event::Interrupted); }
            }
        }
        stage.wait(60_000 + 11 * 60_000);
        prop_assert!(stage.finished, "{:?}", stage.phases);
        prop_assert!(stage.phases.is_sorted(), "{:?}", stage.phases);
        let last = stage.events.last();
        prop_assert!(matches!(last, Some(SwarmEvent::Finished { .. })), "{last:?}");
        // Everybody joined or is said to be missing, unless the user did not let them.
        for who in (1..=3).map(node) {
            let told = |event: &&SwarmEvent| match event {
                SwarmEvent::Joined { member } => member.node == who,
                SwarmEvent::NotJoined { node, .. } => *node == who,
                _ => false,
            };
            let times = stage.events.iter().filter(told).count();
            prop_assert!(times == 1 || (interrupted && times == 0), "{who}: {:?}", stage.events);
        }
        // Nobody is lost twice.
        for who in (1..=4).map(node) {
            let lost = |event: &&SwarmEvent| matches!(event, SwarmEvent::Lost { node, .. } if *node == who);
            prop_assert!(stage.events.iter().filter(lost).count() <= usize::from(who != node(4)));
        }
    }
}
