//! The schedule of questions on a link: each is asked again until somebody has answered or it has been asked often enough, never
//! faster than a pace, and answers are collected to the end, since the one who answers second is the one to know of.
//!
//! ```text
//!            asked < TRIES, last one AGAIN ago
//!           .---------------.
//!           v               |
//!   due --> [ask] --> waiting --- answered, or asked TRIES times ---> settled
//!
//!   all settled, and LINGER since the last question: done
//! ```
//!
//! Call [`Inquiry::poll`] until it says [`Action::Done`], at the times that it names or earlier; a spurious call does nothing.
//! [`Inquiry::answered`] may come at any time.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    arp::Mac,
    pacer::{Pacer, Permit},
    time::Timestamp,
};

/// Questions on a link, by the index that the caller gave them.
#[derive(Debug)]
pub struct Inquiry {
    questions: Vec<Question>,
    last_asked: Timestamp,
}

#[derive(Debug)]
struct Question {
    insists: bool,
    asked: u32,
    due: Timestamp,
    macs: BTreeSet<Mac>,
}

/// Until when a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until somebody answers, or [`TRIES`] times.
    Answered,
    /// [`TRIES`] times in any case: it looks for somebody who should not be there.
    Asked,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send the question of this index; it has been counted.
    Ask(usize),
    /// Nothing before this time.
    Wait(Timestamp),
    /// Everything has been asked and waited for.
    Done,
}

/// How often silence is asked: a lost packet is no finding, and RFC 5227 (PROBE_NUM) asks as often.
pub const TRIES: u32 = 3;

/// The time between two questions of the same kind (RFC 5227, PROBE_MIN; RFC 4861, RETRANS_TIMER).
pub const AGAIN: Duration = Duration::from_secs(1);

/// How long late answers are waited for: Linux delays what it answers for others by up to 0.8 s (arp(7), `proxy_delay`).
pub const LINGER: Duration = Duration::from_millis(1200);

/// Different link addresses that are kept of one question's answers.
pub const MAX_MACS: usize = 8;

impl Inquiry {
    /// Questions in the order in which they are to be asked, all due at once.
    pub fn new(questions: impl IntoIterator<Item = Until>, now: Timestamp) -> Self {
        let question = |until| Question {
            insists: until == Until::Asked,
            asked: 0,
            due: now,
            macs: BTreeSet::new(),
        };
        Self {
            questions: questions.into_iter().map(question).collect(),
            last_asked: now,
        }
    }

    /// What to do now. Takes a token of the pacer for each question.
    pub fn poll(&mut self, now: Timestamp, pacer: &mut Pacer) -> Action {
        let open = self.questions.iter().enumerate();
        let open = open.filter(|(_, question)| question.is_open());
        let Some((index, due)) = open
            .map(|(index, question)| (index, question.due))
            .min_by_key(|(index, due)| (*due, *index))
        else {
            let end = self.last_asked + LINGER;
            let is_over = now >= end || self.questions.is_empty();
            return if is_over { Action::Done } else { Action::Wait(end) };
        };
        if due > now {
            return Action::Wait(due);
        }
        match pacer.take(now) {
            Permit::At(later) => Action::Wait(later),
            Permit::Granted => {
                if let Some(question) = self.questions.get_mut(index) {
                    question.asked += 1;
                    question.due = now + AGAIN;
                }
                self.last_asked = now;
                Action::Ask(index)
            }
        }
    }

    /// Somebody has answered a question.
    pub fn answered(&mut self, index: usize, mac: Mac) {
        if let Some(question) = self.questions.get_mut(index)
            && question.macs.len() < MAX_MACS
        {
            question.macs.insert(mac);
        }
    }

    /// How often a question was asked, and who answered it, ascending.
    pub fn result(&self, index: usize) -> Option<(u32, impl Iterator<Item = Mac> + '_)> {
        let question = self.questions.get(index)?;
        Some((question.asked, question.macs.iter().copied()))
    }
}

impl Question {
    fn is_open(&self) -> bool {
        self.asked < TRIES && (self.insists || self.macs.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs an inquiry on a clock of its own, and tells when each question was asked.
    fn run(
        inquiry: &mut Inquiry,
        pacer: &mut Pacer,
        answers: &[usize],
    ) -> (Vec<(Timestamp, usize)>, Timestamp) {
        let mut now = Timestamp::from_nanos(7_000_000_000);
        let mut asked = Vec::new();
        for _ in 0..100_000 {
            match inquiry.poll(now, pacer) {
                Action::Ask(index) => {
                    asked.push((now, index));
                    if answers.contains(&index) {
                        inquiry.answered(index, [2, 0, 0, 0, 0, 1]);
                    }
                }
                Action::Wait(until) => {
                    assert!(until > now, "a wait names a later time");
                    now = until;
                }
                Action::Done => return (asked, now),
            }
        }
        panic!("it does not end");
    }

    fn begin(questions: &[Until]) -> Inquiry {
        Inquiry::new(questions.iter().copied(), Timestamp::from_nanos(7_000_000_000))
    }

    #[test]
    fn no_second_has_more_questions_than_the_pace_allows_over_two_inquiries() {
        let mut pacer = Pacer::new(5, 1);
        let mut all = Vec::new();
        for _ in 0..2 {
            let (asked, _) = run(&mut begin(&[Until::Answered; 40]), &mut pacer, &[]);
            all.extend(asked.into_iter().map(|(at, _)| at));
        }
        assert_eq!(all.len(), 2 * 40 * 3);
        all.sort_unstable();
        for (index, at) in all.iter().enumerate() {
            let within = all[index..]
                .iter()
                .take_while(|later| later.since(*at) < Duration::from_secs(1));
            assert!(within.count() <= 5);
        }
    }

    #[test]
    fn who_has_answered_is_not_asked_again() {
        let mut inquiry = begin(&[Until::Answered, Until::Answered]);
        let (asked, _) = run(&mut inquiry, &mut Pacer::new(5, 1), &[0]);
        let of = |index| asked.iter().filter(|(_, which)| *which == index).count();
        assert_eq!((of(0), of(1)), (1, 3));
    }

    #[test]
    fn a_probe_is_asked_three_times_whoever_answers() {
        let mut inquiry = begin(&[Until::Asked]);
        let (asked, _) = run(&mut inquiry, &mut Pacer::new(5, 1), &[0]);
        let times: Vec<Duration> = asked.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
        assert_eq!(times, [AGAIN, AGAIN]);
    }

    #[test]
    fn late_answers_are_waited_for() {
        let mut inquiry = begin(&[Until::Answered]);
        let (asked, ended) = run(&mut inquiry, &mut Pacer::new(5, 1), &[0]);
        assert_eq!(ended.since(asked[0].0), LINGER);
        inquiry.answered(0, [2, 0, 0, 0, 0, 9]);
        let (_, macs) = inquiry.result(0).unwrap();
        assert_eq!(macs.count(), 2);
    }

    #[test]
    fn nothing_to_ask_is_done_at_once() {
        let mut inquiry = begin(&[]);
        assert_eq!(inquiry.poll(Timestamp::ZERO, &mut Pacer::new(5, 1)), Action::Done);
    }

    #[test]
    fn a_flood_of_answers_takes_no_room() {
        let mut inquiry = begin(&[Until::Asked]);
        for last in 0..=255 {
            inquiry.answered(0, [2, 0, 0, 0, 0, last]);
        }
        assert_eq!(inquiry.result(0).unwrap().1.count(), MAX_MACS);
    }
}
