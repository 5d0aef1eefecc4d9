//! Wire to model and back. Every value that a peer sends passes here once; what is accepted is bounded, in range and refers
//! only to what exists.
//!
//! | file | what |
//! |---|---|
//! | `ports` | ranges, transports, families |
//! | `roster` | the members, encoded once and known by digest |
//! | `assignment` | work: arm, ask, look, survey |
//! | `join` | enrolment |
//! | `stream` | the messages of a session |

mod assignment;
mod errand;
mod join;
mod ports;
mod roster;
mod stream;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

pub use assignment::{ArmPorts, Ask, Assignment, Watch, Work, roster_of};
pub use join::{Join, JoinAccepted};
pub use roster::{Digest, Roster};
pub use stream::{
    BatchEnvelope, ClockAnswer, FromProbe, Hello, Progress, ProgressState, ToProbe, Welcome, sanitised,
};

use crate::limits;

/// A message from a peer that cannot be believed: which field, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read field `{field}` of the peer's message: {problem}")]
pub struct Invalid {
    /// The path of the field, for example `ask.targets[3].ports[0].last`.
    pub field: String,
    /// What is wrong.
    pub problem: FieldError,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// It must be set and is not, or has a value that this version does not know.
    #[error("absent or unknown")]
    Absent,
    /// A number out of its range.
    #[error("{found} is not from {least} to {most}")]
    OutOfRange {
        /// The number.
        found: u64,
        /// The least that is allowed.
        least: u64,
        /// The most that is allowed.
        most: u64,
    },
    /// A wrong number of octets.
    #[error("{found} octets instead of {expected}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// More elements or octets than anybody needs.
    #[error("{found} are more than the limit of {most}")]
    TooMany {
        /// How many there are.
        found: u64,
        /// How many are allowed.
        most: u64,
    },
    /// A range whose first port is above its last.
    #[error("the range {first}-{last} is reversed")]
    Reversed {
        /// The first port.
        first: u32,
        /// The last port.
        last: u32,
    },
    /// Nothing where something must be.
    #[error("empty")]
    Empty,
    /// Text or bytes that do not read.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Elements that are not in ascending order, or twice there.
    #[error("not ascending or not unique")]
    Order,
    /// Bytes whose digest is another one.
    #[error("does not match its digest")]
    Digest,
    /// It refers to another roster than the one at hand.
    #[error("refers to another roster")]
    OtherRoster,
}

impl Invalid {
    /// The complaint, seen from one level up.
    fn within(self, parent: impl fmt::Display) -> Self {
        Self {
            field: format!("{parent}.{}", self.field),
            ..self
        }
    }
}

impl FieldError {
    fn at(self, field: impl Into<String>) -> Invalid {
        Invalid {
            field: field.into(),
            problem: self,
        }
    }
}

/// A count within its limit.
fn at_most(field: &str, found: usize, most: usize) -> Result<(), Invalid> {
    if found <= most {
        Ok(())
    } else {
        Err(FieldError::TooMany {
            found: found as u64,
            most: most as u64,
        }
        .at(field))
    }
}

fn in_range(field: &str, found: u32, least: u32, most: u32) -> Result<u32, Invalid> {
    if (least..=most).contains(&found) {
        Ok(found)
    } else {
        Err(FieldError::OutOfRange {
            found: found.into(),
            least: least.into(),
            most: most.into(),
        }
        .at(field))
    }
}

/// Milliseconds on the wire to a duration between two bounds.
fn duration_ms(field: &str, found: u32, bounds: (Duration, Duration)) -> Result<Duration, Invalid> {
    let duration = Duration::from_millis(found.into());
    if (bounds.0..=bounds.1).contains(&duration) {
        return Ok(duration);
    }
    let (least, most) = (wire_ms(bounds.0).into(), wire_ms(bounds.1).into());
    Err(FieldError::OutOfRange {
        found: found.into(),
        least,
        most,
    }
    .at(field))
}

fn lease(field: &str, found: u32) -> Result<Duration, Invalid> {
    duration_ms(field, found, (limits::MIN_LEASE, limits::MAX_LEASE))
}

/// A duration in whole milliseconds; one that the wire cannot hold becomes the longest it can.
fn wire_ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn bytes<const N: usize>(field: &str, found: &[u8]) -> Result<[u8; N], Invalid> {
    found.try_into().map_err(|_| {
        FieldError::Length {
            found: found.len(),
            expected: N,
        }
        .at(field)
    })
}
