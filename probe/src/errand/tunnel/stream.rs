//! Octets that both ends know beforehand, so that whoever takes them sees each that is not as it was sent.

/// A stream from a seed (xorshift64*, Vigna 2016): no octet tells what comes next to anything that compresses.
pub(super) struct Stream(u64);

impl Stream {
    pub(super) fn new(seed: u32) -> Self {
        Self(u64::from(seed) + 0x9e37_79b9_7f4a_7c15)
    }

    /// The next octets, as many as fit.
    pub(super) fn fill(&mut self, octets: &mut [u8]) {
        for chunk in octets.chunks_mut(8) {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_make_the_same_octets_and_another_turn_makes_others() {
        let make = |seed| {
            let mut octets = [0; 64];
            Stream::new(seed).fill(&mut octets);
            octets
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }
}
