//! What the responder at the other end of the cable is told.

use plumbline_model::port::PortSet;
use plumbline_probe::responder::{ArmTask, Caller};

use crate::cable::{CLIENT, SERVER};

/// The run of a bench.
pub const RUN: [u8; 8] = *b"a bench.";
/// The key of every caller and the responder.
pub const KEY: [u8; 32] = [7; 32];

/// These ports for so many callers, who all come from the one address on this side. Callers have the indices from 0, the
/// responder has the next.
pub fn task(ports: PortSet, callers: u32) -> ArmTask {
    let caller = |index| Caller {
        index,
        node: CLIENT.into(),
        addresses: vec![CLIENT],
        key: KEY,
    };
    ArmTask {
        run: RUN,
        own_index: callers,
        address: SERVER,
        ports,
        callers: (0..callers).map(caller).collect(),
    }
}
