//! Control messages of recvmsg(2), read from octets: every length is checked.
//!
//! ```text
//!   length (size_t) | level (int) | type (int) | data, padded to the size of a size_t
//! ```

/// One control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) level: i32,
    pub(crate) kind: i32,
    pub(crate) data: &'a [u8],
}

/// The messages in a control buffer, up to the first that is cut off.
pub(crate) fn messages(mut octets: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let (length, rest) = octets.split_first_chunk::<WORD>()?;
        let length = usize::from_ne_bytes(*length);
        let (level, rest) = rest.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let data = rest.get(..length.checked_sub(WORD + 8)?)?;
        // The last message need not be padded.
        let next = length.checked_next_multiple_of(WORD)?;
        octets = octets.get(next..).unwrap_or_default();
        Some(Message {
            level: i32::from_ne_bytes(*level),
            kind: i32::from_ne_bytes(*kind),
            data,
        })
    })
}

const WORD: usize = size_of::<usize>();
