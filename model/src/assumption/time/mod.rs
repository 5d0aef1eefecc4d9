//! Clocks.

pub(crate) mod offset;
#[cfg(test)]
mod tests;
