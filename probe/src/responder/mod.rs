//! Responders: what answers the peers, for the length of an assignment and never longer.

pub mod tcp;
