//! One test of one port: up to N attempts of the same 5-tuple, then silence is believed.
//!
//! ```text
//!                    launched                     accepted, a proof is wanted
//!      +---------+ -------------> +------------+ ----------------------------> +---------+
//!      | waiting |                | connecting |                               | proving |
//!      +---------+ <------------- +------------+ --.                           +---------+
//!           |       timed out,       |            | accepted, none is wanted        |
//!           |       attempts left    |            | (a live service);               | judged;
//!           |                        |            | refused (RST, ICMP error,       | timed out
//!           |       timed out,       |            | error of our own kernel)        |
//!           |       none left        v            v                                 v
//!           |                     +-------------------------------------------------------+
//!           '-- abandoned ------> |                         over                          |
//!                                 +-------------------------------------------------------+
//! ```
//!
//! Rules:
//!
//! 1. An answer is final, whatever it says: a second attempt could only replace what a peer or a firewall said by silence.
//!    A RST or an ICMP error is not asked for again; whoever doubts it makes a second look.
//!    The exception is a RST to the attempt after a silent one: the SYN of the silent one may have left a half-open connection
//!    at a peer whose SYN-ACK was lost, and a SYN within its window is answered by RST (RFC 9293, section 3.10.7.4) although
//!    the port listens. That RST ends the half-open connection and tells nothing of the port: its attempt counts as none and is
//!    made again; a RST to that is final.
//! 2. A connection that was accepted is never attempted again: from there on TCP itself repeats what is lost, and a peer
//!    that accepts and then says nothing (a frozen host, another program) must not look like a lossy path.
//! 3. An attempt that never left, because descriptors or ports ran out here, is no attempt. It is made again a bounded
//!    number of times.
//! 4. An attempt's timeout stays below the second after which the kernel would repeat the SYN by itself, so that each
//!    attempt is one SYN; three of them span more than a second.
//!
//! Over UDP a question takes the place of a SYN and a proven answer that of a connection, after which nothing is left to prove;
//! the state `proving` does not occur.
//!
//! The type holds no clock: call the methods in the order of the drawing. A call that does not fit the state changes
//! nothing and returns [`Step::Wait`], since events of a socket may arrive late.

use std::time::Duration;

use crate::time::Timestamp;

/// How attempts are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts before silence is believed; 0 counts as 1. Each but the last may be followed by one that counts as none.
    pub attempts: u32,
    /// How long an attempt waits for an answer.
    pub attempt_timeout: Duration,
    /// How long an accepted connection may take to prove itself.
    pub proof_timeout: Duration,
    /// How many times an attempt that could not be sent is made again before the test is given up.
    pub unsent_limit: u32,
}

/// The attempts of one test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    made: u32,
    unsent: u32,
    /// Attempts that timed out.
    silent: u32,
    /// Whether the peer may hold a half-open connection of this 5-tuple.
    half_open: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Connecting { until: Timestamp },
    Proving { until: Timestamp },
    Over,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Wait for what is under way.
    Wait,
    /// Close the socket, connect again from the same local port, and call [`Attempts::launched`].
    Again,
    /// The connection stands: send the hello and wait for its proof until then.
    Prove {
        /// The deadline of the proof.
        until: Timestamp,
    },
    /// The test has its outcome: what was reported last.
    Over(Tally),
}

/// How many attempts a test took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Attempts made.
    pub attempts: u32,
    /// Attempts answered: by acceptance, RST or ICMP error.
    pub answered: u32,
}

/// What an answer to a SYN was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The connection stands and a proof is wanted.
    AcceptedToProve,
    /// The connection stands and that is all that is wanted.
    Accepted,
    /// A RST.
    Reset,
    /// An ICMP error.
    Refused,
    /// Our own kernel did not let the SYN leave for a reason that will not change.
    Undeliverable,
}

impl Attempts {
    /// A test without an attempt so far.
    pub fn new() -> Self {
        Self {
            made: 0,
            unsent: 0,
            silent: 0,
            half_open: false,
            state: State::Waiting,
        }
    }

    /// A SYN is about to leave. Returns when the attempt is over unless something is heard.
    pub fn launched(&mut self, now: Timestamp, policy: &Policy) -> Timestamp {
        let until = now + policy.attempt_timeout;
        if self.state == State::Waiting {
            self.made += 1;
            self.state = State::Connecting { until };
        }
        until
    }

    /// The SYN could not leave: descriptors, ports or memory ran out here.
    pub fn unsent(&mut self, policy: &Policy) -> Step {
        let State::Connecting { .. } = self.state else {
            return Step::Wait;
        };
        self.made -= 1;
        self.unsent += 1;
        if self.unsent > policy.unsent_limit {
            return self.over(0);
        }
        self.state = State::Waiting;
        Step::Again
    }

    /// Something answered the SYN.
    pub fn answered(&mut self, now: Timestamp, answer: Answer, policy: &Policy) -> Step {
        let State::Connecting { .. } = self.state else {
            return Step::Wait;
        };
        match answer {
            Answer::AcceptedToProve => {
                let until = now + policy.proof_timeout;
                self.state = State::Proving { until };
                Step::Prove { until }
            }
            Answer::Reset if self.half_open => {
                self.half_open = false;
                self.made -= 1;
                self.state = State::Waiting;
                Step::Again
            }
            Answer::Accepted | Answer::Refused | Answer::Reset => self.over(1),
            Answer::Undeliverable => self.over(0),
        }
    }

    /// The proof was judged, whatever the judgement, or the connection ended before.
    pub fn judged(&mut self) -> Step {
        match self.state {
            State::Proving { .. } => self.over(1),
            _ => Step::Wait,
        }
    }

    /// Time has passed. Early calls do nothing.
    pub fn elapsed(&mut self, now: Timestamp, policy: &Policy) -> Step {
        match self.state {
            State::Connecting { until } if now >= until => {
                self.silent += 1;
                self.half_open = true;
                if self.silent < policy.attempts {
                    self.state = State::Waiting;
                    Step::Again
                } else {
                    self.over(0)
                }
            }
            State::Proving { until } if now >= until => self.over(1),
            _ => Step::Wait,
        }
    }

    /// Whether a proof is awaited: silence is then the other program's and not the network's.
    pub fn is_proving(&self) -> bool {
        matches!(self.state, State::Proving { .. })
    }

    /// How many attempts left so far, for a test that is abandoned. None of them was answered, or it would be over.
    pub fn made(&self) -> u32 {
        self.made
    }

    fn over(&mut self, answered: u32) -> Step {
        self.state = State::Over;
        Step::Over(Tally {
            attempts: self.made,
            answered,
        })
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
