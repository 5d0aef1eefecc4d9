//! Runners: what asks the peers. A runner is the place where a measuring core of `plumbline-measure` meets a socket of
//! `plumbline-sys`; its results are records of the model.

pub mod asking;
mod clock;
mod ledger;
pub mod look;
mod next_hops;
mod queue;
pub mod rates;
mod signal;
pub mod tcp;
pub mod udp;
