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
