//! Looking a value up in a set.

use std::ops::Range;

use super::{
    CompareOp, ELEMENT_CATCHALL, ELEMENT_INTERVAL_END, Element, SET_INTERVAL, Set,
    register::{Cell, Truth, compare, octets, within},
};

/// What a lookup finds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'a> {
    Element(&'a Element),
    Nothing,
    /// It depends on bits that are unknown, on a limit of the element, or on elements that were not read.
    Unclear,
}

impl Set {
    pub(super) fn lookup(&self, key: &[Cell]) -> Found<'_> {
        if self.truncated {
            return Found::Unclear;
        }
        let found = if self.has_marks() {
            self.lookup_interval(key)
        } else {
            self.lookup_each(key)
        };
        match found {
            Found::Nothing => match self
                .elements
                .iter()
                .find(|element| element.flags & ELEMENT_CATCHALL != 0)
            {
                Some(element) => gives(element),
                None => Found::Nothing,
            },
            other => other,
        }
    }

    pub(super) fn key_bytes(&self) -> usize {
        usize::try_from(self.key_length).unwrap_or(usize::MAX)
    }

    /// Whether ranges mark the first value outside, as plain ones do; concatenated ranges say their upper ends.
    pub(super) fn has_marks(&self) -> bool {
        self.flags & SET_INTERVAL != 0
            && self.fields.is_empty()
            && self.elements.iter().all(|element| element.key_end.is_none())
    }

    fn lookup_each(&self, key: &[Cell]) -> Found<'_> {
        let mut unclear = false;
        // Sets of many thousand addresses are common, and a key of which every octet is known needs no weighing.
        let known = octets(key);
        let is_plain = |element: &Element| self.fields.is_empty() || element.key_end.is_none();
        for element in self
            .elements
            .iter()
            .filter(|element| element.flags & ELEMENT_CATCHALL == 0)
        {
            let holds = match &known {
                Some(key) if is_plain(element) && key.len() == element.key.0.len() => {
                    let last = element.key_end.as_ref().map_or(&element.key.0, |end| &end.0);
                    Truth::from((&element.key.0..=last).contains(&key))
                }
                _ => self.holds(element, key),
            };
            match holds {
                Truth::Yes => return gives(element),
                Truth::Maybe => unclear = true,
                Truth::No => {}
            }
        }
        if unclear { Found::Unclear } else { Found::Nothing }
    }

    fn holds(&self, element: &Element, key: &[Cell]) -> Truth {
        let first = &element.key.0;
        let Some(last) = element.key_end.as_ref().map(|end| &end.0) else {
            return compare(key, CompareOp::Eq, first);
        };
        if self.fields.is_empty() {
            return within(key, first, last);
        }
        self.field_spans().fold(Truth::Yes, |truth, field| {
            let cells = key.get(field.clone());
            truth.and(match (cells, first.get(field.clone()), last.get(field)) {
                (Some(cells), Some(low), Some(high)) => within(cells, low, high),
                _ => Truth::Maybe,
            })
        })
    }

    /// Where the fields of a concatenation lie in its octets.
    pub(super) fn field_spans(&self) -> impl Iterator<Item = Range<usize>> {
        self.fields.iter().scan(0_usize, |at, length| {
            let start = *at;
            let end = start.saturating_add(usize::try_from(*length).unwrap_or(usize::MAX));
            *at = end.checked_next_multiple_of(4).unwrap_or(usize::MAX);
            Some(start..end)
        })
    }

    /// The nearest mark at or below the key decides: a start holds it, an end does not.
    fn lookup_interval(&self, key: &[Cell]) -> Found<'_> {
        let marks = || {
            self.elements
                .iter()
                .filter(|element| element.flags & ELEMENT_CATCHALL == 0)
        };
        let Some(key) = octets(key) else {
            return if marks().next().is_none() {
                Found::Nothing
            } else {
                Found::Unclear
            };
        };
        let nearest = marks()
            .filter(|element| element.key.0 <= key)
            // At the same value one range ends and the next begins: the start counts.
            .max_by_key(|element| (&element.key.0, element.flags & ELEMENT_INTERVAL_END == 0));
        match nearest {
            Some(element) if element.flags & ELEMENT_INTERVAL_END == 0 => gives(element),
            _ => Found::Nothing,
        }
    }
}

fn gives(element: &Element) -> Found<'_> {
    if element.conditional {
        Found::Unclear
    } else {
        Found::Element(element)
    }
}
