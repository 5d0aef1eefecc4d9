//! Skeleton.

pub mod responder;
pub mod runner;
