//! Building and reading netlink messages over plain bytes.

use std::io;

use super::Error;

/// A request under construction: type, flags, fixed part, attributes.
#[derive(Debug, Clone)]
pub struct Message {
    kind: u16,
    flags: u16,
    body: Nest,
}

impl Message {
    /// A request of a type, with flags of that type (`NLM_F_CREATE` and the like; `NLM_F_REQUEST` is added) and its fixed
    /// part as the kernel declares it.
    pub fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut body = Nest::default();
        body.raw(fixed);
        Self {
            kind,
            flags: flags | NLM_F_REQUEST,
            body,
        }
    }

    /// Asks for an acknowledgement.
    #[must_use]
    pub fn acknowledged(mut self) -> Self {
        self.flags |= NLM_F_ACK;
        self
    }

    /// Asks for the whole list.
    #[must_use]
    pub fn dumping(mut self) -> Self {
        self.flags |= NLM_F_DUMP;
        self
    }

    /// Adds attributes.
    #[must_use]
    pub fn with(mut self, fill: impl FnOnce(&mut Nest)) -> Self {
        fill(&mut self.body);
        self
    }

    /// The attributes, to add more.
    pub fn attributes(&mut self) -> &mut Nest {
        &mut self.body
    }

    pub(super) fn wants_acknowledgement(&self) -> bool {
        self.flags & NLM_F_ACK != 0
    }

    pub(crate) fn encode(&self, sequence: u32, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.body.oversized {
            return Err(Error::Oversized);
        }
        let length = u32::try_from(HEADER_BYTES + self.body.bytes.len()).map_err(|_| Error::Oversized)?;
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(&self.kind.to_ne_bytes());
        out.extend_from_slice(&self.flags.to_ne_bytes());
        out.extend_from_slice(&sequence.to_ne_bytes());
        // Port 0: the kernel fills in ours.
        out.extend_from_slice(&0_u32.to_ne_bytes());
        out.extend_from_slice(&self.body.bytes);
        Ok(())
    }
}

/// A run of attributes, at the top of a message or inside another attribute. Integers go out in the host's order unless the
/// name says big endian, which is what netfilter wants.
#[derive(Debug, Clone, Default)]
pub struct Nest {
    /// Always a multiple of four octets long.
    bytes: Vec<u8>,
    /// Set once an attribute did not fit its length field; sending then fails, so that building needs no `Result`.
    oversized: bool,
}

impl Nest {
    /// An attribute of plain octets.
    pub fn bytes(&mut self, attribute: u16, value: &[u8]) -> &mut Self {
        match u16::try_from(ATTRIBUTE_HEADER_BYTES + value.len()) {
            Ok(length) => {
                self.bytes.extend_from_slice(&length.to_ne_bytes());
                self.bytes.extend_from_slice(&attribute.to_ne_bytes());
                self.raw(value);
            }
            Err(_) => self.oversized = true,
        }
        self
    }

    /// One octet.
    pub fn u8(&mut self, attribute: u16, value: u8) -> &mut Self {
        self.bytes(attribute, &[value])
    }

    /// Two octets.
    pub fn u16(&mut self, attribute: u16, value: u16) -> &mut Self {
        self.bytes(attribute, &value.to_ne_bytes())
    }

    /// Four octets.
    pub fn u32(&mut self, attribute: u16, value: u32) -> &mut Self {
        self.bytes(attribute, &value.to_ne_bytes())
    }

    /// Two octets, big endian.
    pub fn be16(&mut self, attribute: u16, value: u16) -> &mut Self {
        self.bytes(attribute, &value.to_be_bytes())
    }

    /// Four octets, big endian.
    pub fn be32(&mut self, attribute: u16, value: u32) -> &mut Self {
        self.bytes(attribute, &value.to_be_bytes())
    }

    /// Eight octets, big endian.
    pub fn be64(&mut self, attribute: u16, value: u64) -> &mut Self {
        self.bytes(attribute, &value.to_be_bytes())
    }

    /// A name, ended by a zero octet.
    pub fn text(&mut self, attribute: u16, value: &str) -> &mut Self {
        let mut octets = Vec::with_capacity(value.len() + 1);
        octets.extend_from_slice(value.as_bytes());
        octets.push(0);
        self.bytes(attribute, &octets)
    }

    /// Attributes inside an attribute.
    pub fn nested(&mut self, attribute: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.nested_after(attribute, &[], fill)
    }

    /// The same, with a fixed part before the inner attributes (a veth's peer starts with an `ifinfomsg`).
    pub fn nested_after(&mut self, attribute: u16, fixed: &[u8], fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        inner.raw(fixed);
        fill(&mut inner);
        self.oversized |= inner.oversized;
        self.bytes(attribute | NLA_F_NESTED, &inner.bytes)
    }

    fn raw(&mut self, octets: &[u8]) {
        self.bytes.extend_from_slice(octets);
        self.bytes.resize(aligned(self.bytes.len()), 0);
    }
}

/// One message of an answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The message type.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// The sequence number of the request that it answers.
    pub sequence: u32,
    payload: Vec<u8>,
}

impl Reply {
    /// The fixed part of `N` octets and the attributes after it.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the message is shorter, or its attributes do not add up.
    pub fn parts<const N: usize>(&self) -> Result<(&[u8; N], Attributes<'_>), Error> {
        let fixed = self
            .payload
            .first_chunk::<N>()
            .ok_or(Error::Malformed("a message shorter than its fixed part"))?;
        let rest = self.payload.get(aligned(N)..).unwrap_or_default();
        Ok((fixed, Attributes::parse(rest)?))
    }

    pub(super) fn was_interrupted(&self) -> bool {
        self.flags & NLM_F_DUMP_INTR != 0
    }

    /// Whether this ends an exchange, and how.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an error message without an errno, or with attributes that do not add up.
    pub fn verdict(&self) -> Result<Option<Verdict>, Error> {
        let is_error = self.kind == NLMSG_ERROR;
        if !is_error && self.kind != NLMSG_DONE {
            return Ok(None);
        }
        // DONE has an errno too: a dump can fail half way. Very old kernels send it empty.
        let errno = match self.payload.first_chunk::<4>() {
            Some(octets) => i32::from_ne_bytes(*octets),
            None if is_error => return Err(Error::Malformed("an error message without an errno")),
            None => 0,
        };
        let mut detail = None;
        if self.flags & NLM_F_ACK_TLVS != 0 {
            let mut at = 4;
            if is_error {
                at += self.echoed_bytes();
            }
            let attributes = Attributes::parse(self.payload.get(at..).unwrap_or_default())?;
            detail = attributes
                .get(NLMSGERR_ATTR_MSG)
                .and_then(Attribute::text)
                .map(str::to_owned);
        }
        Ok(Some(Verdict {
            errno: errno.wrapping_neg(),
            detail,
        }))
    }

    /// How much of the refused request an error message carries before its attributes.
    fn echoed_bytes(&self) -> usize {
        if self.flags & NLM_F_CAPPED != 0 {
            return HEADER_BYTES;
        }
        let echoed = self
            .payload
            .get(4..)
            .and_then(<[u8]>::first_chunk::<4>)
            .map_or(0, |length| u32::from_ne_bytes(*length));
        aligned(usize::try_from(echoed).unwrap_or(usize::MAX / 2)).max(HEADER_BYTES)
    }
}

/// How an exchange ended.
#[derive(Debug)]
pub struct Verdict {
    /// 0 is an acknowledgement.
    pub errno: i32,
    detail: Option<String>,
}

impl Verdict {
    /// The error that it is, for the message with this index within its exchange.
    pub fn into_error(self, index: usize) -> Error {
        Error::Refused {
            index,
            detail: self.detail,
            source: io::Error::from_raw_os_error(self.errno),
        }
    }
}

/// Cuts a datagram into messages and hands each on, up to the first that `each` refuses.
///
/// # Errors
/// [`Error::Malformed`] if a length points outside the datagram; what `each` refuses.
pub fn split(mut datagram: &[u8], each: &mut impl FnMut(Reply) -> Result<(), Error>) -> Result<(), Error> {
    while !datagram.is_empty() {
        let header = datagram
            .first_chunk::<HEADER_BYTES>()
            .ok_or(Error::Malformed("a cut-off message header"))?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        let payload = datagram
            .get(HEADER_BYTES..length)
            .ok_or(Error::Malformed("a message length outside its datagram"))?;
        each(Reply {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            payload: payload.to_vec(),
        })?;
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
    }
    Ok(())
}

/// Attributes whose lengths have been checked against the octets that hold them.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Invariant: a sequence of whole attributes.
    bytes: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Checks a run of attributes.
    ///
    /// # Errors
    /// [`Error::Malformed`] if a length points outside.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (_, _, next) =
                attribute(rest).ok_or(Error::Malformed("an attribute length outside its message"))?;
            rest = next;
        }
        Ok(Self { bytes })
    }

    /// Type (without the flag bits) and value of each, in order.
    pub fn iter(self) -> impl Iterator<Item = (u16, Attribute<'a>)> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (kind, value, next) = attribute(rest)?;
            rest = next;
            Some((kind, Attribute { value }))
        })
    }

    /// The last attribute of a type (the kernel's own rule where one is repeated).
    pub fn get(self, kind: u16) -> Option<Attribute<'a>> {
        self.iter()
            .filter(|(found, _)| *found == kind)
            .last()
            .map(|(_, value)| value)
    }
}

/// Type, value, and what follows.
fn attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let [l0, l1, k0, k1] = *bytes.first_chunk::<ATTRIBUTE_HEADER_BYTES>()?;
    let length = usize::from(u16::from_ne_bytes([l0, l1]));
    let value = bytes.get(ATTRIBUTE_HEADER_BYTES..length)?;
    let kind = u16::from_ne_bytes([k0, k1]) & NLA_TYPE_MASK;
    Some((kind, value, bytes.get(aligned(length)..).unwrap_or_default()))
}

/// The value of an attribute. Readers give nothing where the length is not that of the type.
#[derive(Debug, Clone, Copy)]
pub struct Attribute<'a> {
    value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The octets.
    pub fn bytes(self) -> &'a [u8] {
        self.value
    }

    /// One octet.
    pub fn u8(self) -> Option<u8> {
        self.array().map(u8::from_ne_bytes)
    }

    /// Two octets.
    pub fn u16(self) -> Option<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    /// Four octets.
    pub fn u32(self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    /// Two octets, big endian.
    pub fn be16(self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four octets, big endian.
    pub fn be32(self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight octets, big endian.
    pub fn be64(self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Text up to its first zero octet, if it is UTF-8.
    pub fn text(self) -> Option<&'a str> {
        let end = self
            .value
            .iter()
            .position(|octet| *octet == 0)
            .unwrap_or(self.value.len());
        std::str::from_utf8(&self.value[..end]).ok()
    }

    /// The attributes inside.
    ///
    /// # Errors
    /// [`Error::Malformed`] if they do not add up.
    pub fn nested(self) -> Result<Attributes<'a>, Error> {
        Attributes::parse(self.value)
    }

    fn array<const N: usize>(self) -> Option<[u8; N]> {
        self.value.try_into().ok()
    }
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// `struct nlattr`.
const ATTRIBUTE_HEADER_BYTES: usize = 4;

// linux/netlink.h. libc declares these as signed int, which would need a cast at each use.
const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_ACK: u16 = 0x04;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;
