//! Benches: ratios against limits and sizes that must stay affordable. Figures and how to repeat them are in README.md.

pub mod cable;
pub mod responder;
pub mod synthetic;
