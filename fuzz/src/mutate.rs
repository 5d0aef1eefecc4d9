//! Octets that are nearly right: samples, changed a little, the same every time for the same seed.

/// A source of mutations.
#[derive(Debug, Clone)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// The source for a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// One of the samples, changed in one to [`MOST_CHANGES`] places. `words` are put in here and there.
    pub fn mutate(&mut self, samples: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
        let mut octets = self.pick(samples).cloned().unwrap_or_default();
        for _ in 0..=self.below(MOST_CHANGES) {
            self.change(&mut octets, samples, words);
            octets.truncate(MOST_OCTETS);
        }
        octets
    }

    fn change(&mut self, octets: &mut Vec<u8>, samples: &[Vec<u8>], words: &[&str]) {
        let at = self.below(octets.len() + 1);
        // Most slips are short.
        let length = match self.below(4) {
            0 => self.below(octets.len() + 1),
            _ => self.below(9),
        };
        let part = at..octets.len().min(at + length);
        match self.below(12) {
            0 | 1 => {
                let bit = self.below(8);
                octets
                    .get_mut(at)
                    .into_iter()
                    .for_each(|octet| *octet ^= 1 << bit);
            }
            2 => octets
                .get_mut(at)
                .into_iter()
                .for_each(|octet| *octet = octet.wrapping_add(1)),
            3 | 4 => {
                let number = self.number();
                overwrite(octets, at, &number);
            }
            5 => drop(octets.drain(part)),
            6 => octets.truncate(at),
            7 => {
                // Again: a field, a line, a list within a list.
                let again = octets[part].to_vec();
                insert(octets, at, &again);
            }
            8 => {
                let noise: Vec<u8> = (0..length.min(MOST_NOISE)).map(|_| self.octet()).collect();
                insert(octets, at, &noise);
            }
            9 => {
                // The beginning of one sample and the end of another.
                let other = self.pick(samples).map_or(&[][..], Vec::as_slice);
                let from = self.below(other.len() + 1);
                octets.truncate(at);
                octets.extend(&other[from..]);
            }
            _ => self.put_word(octets, at, words),
        }
    }

    fn put_word(&mut self, octets: &mut Vec<u8>, at: usize, words: &[&str]) {
        let word = match self.pick(words) {
            Some(word) => word.as_bytes().to_vec(),
            None => self.number(),
        };
        // Where a word or a number stands, it is replaced; between two, it is put in.
        let is_part = |octet: &&u8| octet.is_ascii_alphanumeric() || **octet == b'_';
        let before = octets[..at].iter().rev().take_while(is_part).count();
        let after = octets[at..].iter().take_while(is_part).count();
        octets.drain(at - before..at + after);
        insert(octets, at - before, &word);
    }

    /// Numbers at which things end, in both orders and as digits.
    fn number(&mut self) -> Vec<u8> {
        let edge = 1_u64
            .checked_shl(u32::try_from(self.below(65)).unwrap_or(0))
            .unwrap_or(0);
        let number = edge.wrapping_add(self.below(3) as u64).wrapping_sub(1);
        let octets = 1 << self.below(4);
        match self.below(3) {
            0 => number.to_le_bytes()[..octets].to_vec(),
            1 => number.to_be_bytes()[8 - octets..].to_vec(),
            _ => number.to_string().into_bytes(),
        }
    }

    fn octet(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// A number below a bound; 0 if the bound is 0.
    fn below(&mut self, bound: usize) -> usize {
        let draw = usize::try_from(self.next() >> 32).unwrap_or(0);
        draw.checked_rem(bound).unwrap_or(0)
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn overwrite(octets: &mut [u8], at: usize, with: &[u8]) {
    for (octet, new) in octets[at..].iter_mut().zip(with) {
        *octet = *new;
    }
}

fn insert(octets: &mut Vec<u8>, at: usize, what: &[u8]) {
    octets.splice(at..at, what.iter().copied());
}

/// More changes than this leave nothing of a sample.
pub const MOST_CHANGES: usize = 6;
/// Noise is seldom more telling than a little of it.
const MOST_NOISE: usize = 64;
/// Doubling after doubling would end in memory alone.
const MOST_OCTETS: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_octets_and_another_seed_others() {
        let draw = |seed| -> Vec<Vec<u8>> {
            let mut mutator = Mutator::new(seed);
            let samples = [b"kind: Cluster\n".to_vec(), vec![0; 40]];
            (0..50)
                .map(|_| mutator.mutate(&samples, &["tcp", "65536"]))
                .collect()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn nothing_can_be_made_of_nothing_and_octets_stay_bounded() {
        let mut mutator = Mutator::new(3);
        for _ in 0..1_000 {
            assert!(mutator.mutate(&[], &[]).len() <= MOST_OCTETS);
            assert!(mutator.mutate(&[vec![7; MOST_OCTETS]], &[]).len() <= MOST_OCTETS);
        }
    }
}
