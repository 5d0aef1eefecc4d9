//! What may stand behind a test packet (RFC 8972, section 4).
//!
//! ```text
//!     0       1       2       3
//!   +-------+-------+-------+-------+
//!   | flags | type  |    length     |      flags: U not understood, M malformed, I integrity check failed
//!   +-------+-------+-------+-------+
//!   |  value (length octets)  ...
//! ```

/// One extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The flags, the first octet.
    pub flags: u8,
    /// What it is: a number of IANA's registry "STAMP TLV Types".
    pub kind: u8,
    /// What it says.
    pub value: &'a [u8],
}

/// The extensions of a packet, in order. What is cut off ends the sequence as [`CutOff`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlvs<'a>(&'a [u8]);

/// An extension is longer than what is left of the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CutOff;

impl<'a> Tlvs<'a> {
    /// The extensions in what stands behind a base packet.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// Whether nothing stands there.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self) -> Option<Tlv<'a>> {
        let ([flags, kind, high, low], rest) = self.0.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([*high, *low]).into())?;
        self.0 = rest;
        Some(Tlv {
            flags: *flags,
            kind: *kind,
            value,
        })
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Result<Tlv<'a>, CutOff>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let taken = self.take().ok_or(CutOff);
        if taken.is_err() {
            self.0 = &[];
        }
        Some(taken)
    }
}

/// Padding of so many octets in all, head included: the extension "Extra Padding" (RFC 8972 section 4.1). `None` where there is no
/// room for its head, or more than its length can say.
pub fn padding(octets: usize) -> Option<Vec<u8>> {
    let value = u16::try_from(octets.checked_sub(HEAD_LEN)?).ok()?;
    let mut padding = vec![0; octets];
    padding[1] = EXTRA_PADDING;
    padding[2..HEAD_LEN].copy_from_slice(&value.to_be_bytes());
    Some(padding)
}

/// Whether what begins with this head and is so long in all is padding and nothing else.
pub fn is_padding(head: &[u8], octets: usize) -> bool {
    let Some(([_, kind, high, low], _)) = head.split_first_chunk::<HEAD_LEN>() else {
        return false;
    };
    *kind == EXTRA_PADDING && usize::from(u16::from_be_bytes([*high, *low])) + HEAD_LEN == octets
}

/// Flags, type, length.
const HEAD_LEN: usize = 4;

/// "Extra Padding" in IANA's registry "STAMP TLV Types".
const EXTRA_PADDING: u8 = 1;
