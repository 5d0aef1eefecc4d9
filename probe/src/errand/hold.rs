//! Turns of VIPs (`--active`): this node takes one for a while, or connects to whoever has it.
//!
//! ```text
//!  who takes it:    is it anybody's? --> lent by the kernel --> announced, answered for --> given back
//!                        |                (it ends by itself)     until everybody who asks came, for a while
//!                        '--> somebody's: not taken
//!  who asks for it: ten connections a second, one after the other, until told to stop
//! ```
//!
//! Both run on the errand's thread. What was lent is given back when the value goes, whatever ends the thread; if the process
//! is killed the kernel takes it back when its lifetime is over.

mod discovery;
mod reach;
mod serve;
mod take;

use plumbline_model::{
    errand::{HoldErrand, HoldPart},
    observation::{Held, HeldSeen, Record, UndoneWhy},
};

use super::{Begun, Post, Stop};

/// Begins a part in a turn. Whoever takes the VIP has it when this returns.
///
/// # Errors
/// Why it cannot begin.
pub(super) fn begin(errand: HoldErrand, post: Post, stop: Stop) -> Result<Begun, UndoneWhy> {
    let record = {
        let (turn, vip, port) = (errand.turn, errand.vip, errand.port);
        move |seen: HeldSeen| {
            vec![Record::Held(Held {
                turn,
                vip,
                port,
                seen,
            })]
        }
    };
    match errand.part {
        HoldPart::Take { callers } => match take::take(errand.vip, errand.port, &callers, &post)? {
            take::Taken::InUse(in_use) => Ok(Begun::Over(record(HeldSeen::InUse(in_use)))),
            take::Taken::Lent(holding) => Ok(Begun::UnderWay(Box::new(move || {
                record(HeldSeen::Kept(holding.keep(&stop)))
            }))),
        },
        HoldPart::Reach { holders } => Ok(Begun::UnderWay(Box::new(move || {
            let reached = reach::reach(errand.vip, errand.port, &holders, &post, &stop);
            record(HeldSeen::Reached(reached))
        }))),
    }
}
