//! Values of which some bits may be unknown, and the registers that hold them.
//!
//! A rule that asks for a bit nobody knows is neither true nor false. Keeping knowledge by the bit, not by the value, is what
//! decides rules such as `ct status dnat`: one bit of a word whose other bits nobody knows.

use std::cmp::Ordering;

use super::CompareOp;

/// Whether something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    Maybe,
}

impl Truth {
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Maybe,
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        self.invert_if(true).and(other.invert_if(true)).invert_if(true)
    }

    pub(super) fn invert_if(self, inverted: bool) -> Self {
        match (self, inverted) {
            (Self::Yes, true) => Self::No,
            (Self::No, true) => Self::Yes,
            _ => self,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// An octet; only bits set in `known` mean anything in `value`, the others are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    value: u8,
    known: u8,
}

impl Cell {
    pub(super) const UNKNOWN: Self = Self { value: 0, known: 0 };

    pub(super) const fn known(value: u8) -> Self {
        Self { value, known: 0xff }
    }

    /// Only the bits of `known` are known.
    pub(super) fn partial(value: u8, known: u8) -> Self {
        Self {
            value: value & known,
            known,
        }
    }

    fn mask_xor(self, mask: u8, xor: u8) -> Self {
        let known = self.known | !mask;
        Self {
            value: ((self.value & mask) ^ xor) & known,
            known,
        }
    }

    fn least(self) -> u8 {
        self.value
    }

    fn greatest(self) -> u8 {
        self.value | !self.known
    }

    fn may_equal(self, other: u8) -> bool {
        other & self.known == self.value
    }

    fn is_known(self) -> bool {
        self.known == 0xff
    }
}

/// Known octets as cells.
pub(super) fn known(octets: &[u8]) -> Vec<Cell> {
    octets.iter().map(|octet| Cell::known(*octet)).collect()
}

/// The octets, if every bit is known.
pub(super) fn octets(cells: &[Cell]) -> Option<Vec<u8>> {
    cells
        .iter()
        .map(|cell| cell.is_known().then_some(cell.value))
        .collect()
}

/// Which orderings of a value against a constant are possible, as `memcmp` orders.
#[derive(Debug, Clone, Copy)]
struct Possible {
    less: bool,
    equal: bool,
    greater: bool,
}

fn orderings(cells: &[Cell], constant: &[u8]) -> Possible {
    let mut possible = Possible {
        less: false,
        equal: false,
        greater: false,
    };
    for (cell, octet) in cells.iter().zip(constant) {
        possible.less |= cell.least() < *octet;
        possible.greater |= cell.greatest() > *octet;
        if !cell.may_equal(*octet) {
            return possible;
        }
    }
    possible.equal = true;
    possible
}

/// Whether a value compares so with a constant of the same length.
pub(super) fn compare(cells: &[Cell], op: CompareOp, constant: &[u8]) -> Truth {
    let possible = orderings(cells, constant);
    let accepts = |ordering: Ordering| match op {
        CompareOp::Eq => ordering.is_eq(),
        CompareOp::Neq => ordering.is_ne(),
        CompareOp::Lt => ordering.is_lt(),
        CompareOp::Lte => ordering.is_le(),
        CompareOp::Gt => ordering.is_gt(),
        CompareOp::Gte => ordering.is_ge(),
    };
    let cases = [
        (possible.less, Ordering::Less),
        (possible.equal, Ordering::Equal),
        (possible.greater, Ordering::Greater),
    ];
    let mut verdicts = cases
        .iter()
        .filter(|(possible, _)| *possible)
        .map(|(_, ordering)| accepts(*ordering));
    match verdicts.next() {
        Some(first) if verdicts.all(|holds| holds == first) => Truth::from(first),
        _ => Truth::Maybe,
    }
}

/// Whether a value lies between two constants, ends included.
pub(super) fn within(cells: &[Cell], first: &[u8], last: &[u8]) -> Truth {
    compare(cells, CompareOp::Gte, first).and(compare(cells, CompareOp::Lte, last))
}

/// The 64 octets of data registers, cleared for each rule: the kernel's compilers never read what another rule wrote.
#[derive(Debug, Clone)]
pub(super) struct Registers([Cell; FILE_BYTES]);

impl Registers {
    pub(super) fn new() -> Self {
        Self([Cell::UNKNOWN; FILE_BYTES])
    }

    /// Writes a value and zeros up to the next multiple of four, as the kernel does.
    pub(super) fn store(&mut self, register: u32, cells: &[Cell]) {
        let Some(start) = offset(register) else { return };
        let padded = cells.len().next_multiple_of(4);
        for (index, slot) in self.0.iter_mut().skip(start).take(padded).enumerate() {
            *slot = cells.get(index).copied().unwrap_or(ZERO);
        }
    }

    /// Makes a register unknown: one that an expression wrote which nobody can follow.
    pub(super) fn forget(&mut self, register: u32) {
        if let Some(start) = offset(register) {
            self.0
                .iter_mut()
                .skip(start)
                .take(FORGOTTEN_BYTES)
                .for_each(|cell| *cell = Cell::UNKNOWN);
        }
    }

    pub(super) fn forget_all(&mut self) {
        *self = Self::new();
    }

    /// Reads so many octets; what lies outside the registers is unknown.
    pub(super) fn load(&self, register: u32, length: usize) -> Vec<Cell> {
        let Some(start) = offset(register) else {
            return vec![Cell::UNKNOWN; length.min(FILE_BYTES)];
        };
        (start..start.saturating_add(length.min(FILE_BYTES)))
            .map(|index| self.0.get(index).copied().unwrap_or(Cell::UNKNOWN))
            .collect()
    }

    pub(super) fn mask_xor(&mut self, from: u32, to: u32, length: usize, mask: &[u8], xor: &[u8]) {
        let cells: Vec<Cell> = self
            .load(from, length)
            .iter()
            .enumerate()
            .map(|(index, cell)| {
                cell.mask_xor(
                    mask.get(index).copied().unwrap_or(0),
                    xor.get(index).copied().unwrap_or(0),
                )
            })
            .collect();
        self.store(to, &cells);
    }

    /// Reverses the octets of each number of `size`.
    pub(super) fn swap(&mut self, from: u32, to: u32, length: usize, size: usize) {
        let mut cells = self.load(from, length);
        if size > 1 {
            cells.chunks_exact_mut(size).for_each(<[Cell]>::reverse);
        }
        self.store(to, &cells);
    }
}

/// Registers 1 to 4 are sixteen octets each, 8 to 23 are four, over the same octets.
pub(super) fn offset(register: u32) -> Option<usize> {
    let octets = match register {
        1..=4 => (register - 1) * 16,
        8..=23 => (register - 8) * 4,
        _ => return None,
    };
    usize::try_from(octets).ok()
}

/// Octets of all data registers.
pub(super) const FILE_BYTES: usize = 64;
/// The most that one expression writes.
pub(super) const FORGOTTEN_BYTES: usize = 16;
const ZERO: Cell = Cell::known(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_is_decided_by_the_bits_that_are_known() {
        let dnat_bit_clear = [Cell::partial(0, 0x7f)];
        let mut registers = Registers::new();
        registers.store(1, &dnat_bit_clear);
        registers.mask_xor(1, 1, 1, &[0x20], &[0]);
        assert_eq!(compare(&registers.load(1, 1), CompareOp::Eq, &[0]), Truth::Yes);
        registers.store(1, &dnat_bit_clear);
        registers.mask_xor(1, 1, 1, &[0x80], &[0]);
        assert_eq!(compare(&registers.load(1, 1), CompareOp::Eq, &[0]), Truth::Maybe);
    }

    #[test]
    fn an_unknown_tail_leaves_an_order_that_the_head_decides() {
        let port = [Cell::known(0x10), Cell::UNKNOWN];
        assert_eq!(compare(&port, CompareOp::Lt, &[0x11, 0]), Truth::Yes);
        assert_eq!(compare(&port, CompareOp::Gte, &[0x10, 0]), Truth::Yes);
        assert_eq!(compare(&port, CompareOp::Gt, &[0x10, 5]), Truth::Maybe);
        assert_eq!(compare(&port, CompareOp::Eq, &[0x10, 5]), Truth::Maybe);
        assert_eq!(compare(&port, CompareOp::Neq, &[0x20, 5]), Truth::Yes);
    }

    #[test]
    fn short_values_are_padded_with_zeros_and_small_registers_overlap_large_ones() {
        let mut registers = Registers::new();
        registers.store(1, &known(&[1, 2, 3, 4]));
        registers.store(9, &known(&[5, 6]));
        assert_eq!(octets(&registers.load(1, 8)), Some(vec![1, 2, 3, 4, 5, 6, 0, 0]));
        assert_eq!(octets(&registers.load(1, 9)), None);
    }

    #[test]
    fn registers_that_do_not_exist_are_unknown_and_harmless() {
        let mut registers = Registers::new();
        for register in [0, 5, 7, 24, u32::MAX] {
            registers.store(register, &known(&[1]));
            registers.forget(register);
            assert_eq!(octets(&registers.load(register, 4)), None);
        }
        registers.store(23, &known(&[1; 16]));
        assert_eq!(registers.load(23, usize::MAX).len(), FILE_BYTES);
    }
}
