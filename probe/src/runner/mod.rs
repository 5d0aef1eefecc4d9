//! Runners: what asks the peers. A runner is the place where a measuring core of `plumbline-measure` meets a socket of
//! `plumbline-sys`; its results are records of the model.

pub mod look;
pub mod rates;
pub mod tcp;
