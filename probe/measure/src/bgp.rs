//! BGP-4 (RFC 4271) as far as two routers introduce themselves: OPEN with its capabilities (RFC 5492, RFC 6793, RFC 9072),
//! NOTIFICATION, and the types of what else may come.
//!
//! ```text
//!  +---------------------------------------------------------------+
//!  | marker: 16 octets, all ones                                   |
//!  +-------------------------------+---------------+---------------+
//!  | length, with this header      | type          |
//!  +-------------------------------+---------------+
//!
//!  OPEN (1)        +---------------+-------------------------------+-------------------------------+
//!                  | version: 4    | AS, 23456 if it needs 4 octets| hold time, seconds            |
//!                  +---------------+-------------------------------+-------------------------------+
//!                  | BGP identifier                                                | length of ... |
//!                  +---------------------------------------------------------------+---------------+
//!                  | parameters: type, length, value; type 2 holds capabilities: code, length, value |
//!                  +---------------------------------------------------------------------------------+
//!  NOTIFICATION (3)+---------------+---------------+-----------
//!                  | error code    | subcode       | data ...
//!                  +---------------+---------------+-----------
//!  KEEPALIVE (4) is the header alone.
//! ```

use std::net::Ipv4Addr;

/// What introduces a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Its autonomous system: of four octets, if it says so (RFC 6793).
    pub asn: u32,
    /// After how many seconds without a word it gives up; 0 for never.
    pub hold_time_s: u16,
    /// Its BGP identifier.
    pub identifier: Ipv4Addr,
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// Who somebody is.
    Open(Open),
    /// Routes; nobody looks at them.
    Update,
    /// Why a session ends.
    Notification(Notification),
    /// It agrees with the OPEN that it heard.
    Keepalive,
    /// Another type, by its number.
    Other(u8),
}

/// Why a session ends (RFC 4271 section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notification {
    /// Error code.
    pub code: u8,
    /// Error subcode; 0 for none.
    pub subcode: u8,
}

/// What comes is not BGP-4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotBgp {
    /// The first sixteen octets are not all ones.
    #[error("read a BGP message: no marker")]
    Marker,
    /// A length that no message of its type has.
    #[error("read a BGP message: a length of {0}")]
    Length(u16),
    /// An OPEN of another version, or whose parts do not fit.
    #[error("read a BGP message: an OPEN that is none")]
    Open,
}

impl Notification {
    /// Bad peer AS: whoever sent it expects another AS (RFC 4271 section 6.2).
    pub const BAD_PEER_AS: Self = Self::new(2, 2);
    /// Cease, administrative reset (RFC 4486): the polite end.
    pub const ADMINISTRATIVE_RESET: Self = Self::new(6, 4);
    /// Cease, peer de-configured (RFC 4486): whoever is told so is no neighbour any more.
    pub const DECONFIGURED: Self = Self::new(6, 3);
    /// Cease, connection rejected (RFC 4486): whoever is told so is no neighbour, or not now.
    pub const REJECTED: Self = Self::new(6, 5);

    /// Of these numbers.
    pub const fn new(code: u8, subcode: u8) -> Self {
        Self { code, subcode }
    }

    /// As octets.
    pub fn encode(self) -> Vec<u8> {
        framed(NOTIFICATION, &[self.code, self.subcode])
    }
}

impl Open {
    /// As octets, with the capabilities of IPv4 unicast (RFC 4760) and of AS numbers of four octets.
    pub fn encode(self) -> Vec<u8> {
        let short = u16::try_from(self.asn).unwrap_or(AS_TRANS);
        let mut capabilities = vec![MULTIPROTOCOL, 4, 0, 1, 0, 1, FOUR_OCTET_AS, 4];
        capabilities.extend(self.asn.to_be_bytes());
        let length = u8::try_from(capabilities.len()).unwrap_or(0);
        let mut body = vec![VERSION];
        body.extend(short.to_be_bytes());
        body.extend(self.hold_time_s.to_be_bytes());
        body.extend(self.identifier.octets());
        body.extend([length + 2, CAPABILITIES, length]);
        body.extend(capabilities);
        framed(OPEN, &body)
    }

    fn parse(body: &[u8]) -> Option<Self> {
        let (&[version, as_high, as_low, hold_high, hold_low, a, b, c, d, length], rest) =
            body.split_first_chunk::<10>()?;
        if version != VERSION {
            return None;
        }
        // RFC 9072: 255 and a first parameter of type 255 announce lengths of two octets.
        let extended = length == EXTENDED && rest.first() == Some(&EXTENDED);
        let parameters = if extended {
            let (&[_, high, low], rest) = rest.split_first_chunk::<3>()?;
            rest.get(..usize::from(u16::from_be_bytes([high, low])))?
        } else {
            rest.get(..usize::from(length))?
        };
        let short = u16::from_be_bytes([as_high, as_low]);
        let four = four_octet_as(parameters, extended)?;
        Some(Self {
            asn: four.unwrap_or_else(|| short.into()),
            hold_time_s: u16::from_be_bytes([hold_high, hold_low]),
            identifier: Ipv4Addr::new(a, b, c, d),
        })
    }
}

impl Message {
    /// Reads the first message of what came so far, and how many octets it has; `None` if it is not whole yet.
    ///
    /// # Errors
    /// If it cannot become a message whatever follows.
    pub fn read(octets: &[u8]) -> Result<Option<(Self, usize)>, NotBgp> {
        let marker = octets.get(..MARKER.len()).unwrap_or(octets);
        if marker.iter().any(|octet| *octet != 0xff) {
            return Err(NotBgp::Marker);
        }
        let Some(&[high, low, kind]) = octets.get(MARKER.len()..HEADER) else {
            return Ok(None);
        };
        let said = u16::from_be_bytes([high, low]);
        let length = usize::from(said);
        let bounds = match kind {
            OPEN => HEADER + 10..=LONGEST,
            NOTIFICATION => HEADER + 2..=LONGEST,
            KEEPALIVE => HEADER..=HEADER,
            _ => HEADER..=LONGEST_EXTENDED,
        };
        if !bounds.contains(&length) {
            return Err(NotBgp::Length(said));
        }
        let Some(body) = octets.get(HEADER..length) else {
            return Ok(None);
        };
        let message = match (kind, body) {
            (OPEN, body) => Self::Open(Open::parse(body).ok_or(NotBgp::Open)?),
            (UPDATE, _) => Self::Update,
            (NOTIFICATION, &[code, subcode, ..]) => Self::Notification(Notification::new(code, subcode)),
            (KEEPALIVE, _) => Self::Keepalive,
            (other, _) => Self::Other(other),
        };
        Ok(Some((message, length)))
    }
}

/// The AS of four octets among the capabilities, if there is one; `None` if the parameters do not fit.
fn four_octet_as(mut parameters: &[u8], extended: bool) -> Option<Option<u32>> {
    let mut found = None;
    while let Some((&kind, rest)) = parameters.split_first() {
        let (length, rest) = if extended {
            let (&[high, low], rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes([high, low])), rest)
        } else {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        };
        let (value, rest) = rest.split_at_checked(length)?;
        parameters = rest;
        if kind != CAPABILITIES {
            continue;
        }
        let mut capabilities = value;
        while let Some((&[code, length], rest)) = capabilities.split_first_chunk::<2>() {
            let (value, rest) = rest.split_at_checked(usize::from(length))?;
            if code == FOUR_OCTET_AS {
                found = Some(u32::from_be_bytes(value.try_into().ok()?));
            }
            capabilities = rest;
        }
    }
    Some(found)
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER + body.len()).unwrap_or(u16::MAX);
    let mut octets = MARKER.to_vec();
    octets.extend(length.to_be_bytes());
    octets.push(kind);
    octets.extend(body);
    octets
}

/// The TCP port of BGP (RFC 4271 section 8.2.1).
pub const PORT: u16 = 179;

/// Octets of the longest message that is read whole: an OPEN or a NOTIFICATION (RFC 8654 section 4 leaves these two at that).
pub const LONGEST: usize = 4_096;

const LONGEST_EXTENDED: usize = 65_535;
const MARKER: [u8; 16] = [0xff; 16];
const HEADER: usize = 19;
const VERSION: u8 = 4;
const OPEN: u8 = 1;
const UPDATE: u8 = 2;
const NOTIFICATION: u8 = 3;
const KEEPALIVE: u8 = 4;
/// Type of an optional parameter.
const CAPABILITIES: u8 = 2;
const EXTENDED: u8 = 255;
const MULTIPROTOCOL: u8 = 1;
const FOUR_OCTET_AS: u8 = 65;
/// What stands for an AS that two octets cannot hold (RFC 6793 section 9).
const AS_TRANS: u16 = 23_456;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: Open = Open {
        asn: 4_200_000_001,
        hold_time_s: 90,
        identifier: Ipv4Addr::new(10, 0, 0, 7),
    };

    /// An OPEN with these parameters as they are.
    fn open(short: u16, length: u8, parameters: &[u8]) -> Vec<u8> {
        let mut body = vec![VERSION];
        body.extend(short.to_be_bytes());
        body.extend([0, 90, 10, 0, 0, 7, length]);
        body.extend(parameters);
        framed(OPEN, &body)
    }

    fn asn(octets: &[u8]) -> Option<u32> {
        match Message::read(octets) {
            Ok(Some((Message::Open(open), _))) => Some(open.asn),
            _ => None,
        }
    }

    #[test]
    fn an_as_of_four_octets_is_a_capability_and_stands_as_23456_in_the_header() {
        let octets = OURS.encode();
        assert_eq!(octets[20..22], AS_TRANS.to_be_bytes());
        assert_eq!(
            Message::read(&octets),
            Ok(Some((Message::Open(OURS), octets.len())))
        );
    }

    #[test]
    fn an_open_without_capabilities_has_the_as_of_two_octets() {
        assert_eq!(asn(&open(65_000, 0, &[])), Some(65_000));
    }

    #[test]
    fn capabilities_come_in_one_parameter_or_in_several_or_with_long_lengths() {
        let several = [2, 2, 2, 0, 2, 6, 65, 4, 0, 1, 0, 0];
        assert_eq!(asn(&open(23_456, 12, &several)), Some(65_536));
        let long = [255, 0, 9, 2, 0, 6, 65, 4, 0, 1, 0, 1];
        assert_eq!(asn(&open(23_456, 255, &long)), Some(65_537));
    }

    #[test]
    fn parameters_that_are_cut_are_no_open() {
        assert_eq!(asn(&open(65_000, 4, &[2, 3, 65, 4])), None);
        assert_eq!(asn(&open(65_000, 8, &[2, 6, 65, 4])), None);
        assert_eq!(asn(&open(65_000, 7, &[2, 5, 65, 3, 0, 1, 0])), None);
    }

    #[test]
    fn what_has_no_marker_is_told_from_its_first_octet_on() {
        assert_eq!(Message::read(b"SSH-2.0-x"), Err(NotBgp::Marker));
        assert_eq!(Message::read(&[0xff; 16]), Ok(None));
    }

    #[test]
    fn the_words_of_a_goodbye_follow_its_two_numbers() {
        let octets = framed(NOTIFICATION, &[6, 2, 3, b'b', b'y', b'e']);
        let said = Message::Notification(Notification::new(6, 2));
        assert_eq!(Message::read(&octets), Ok(Some((said, octets.len()))));
        assert_eq!(
            Message::read(&framed(KEEPALIVE, &[1])),
            Err(NotBgp::Length(20)),
            "a KEEPALIVE has no body"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(asn: u32, hold_time_s: u16, identifier: [u8; 4], rest: Vec<u8>) {
            let open = Open { asn, hold_time_s, identifier: identifier.into() };
            let mut octets = open.encode();
            let length = octets.len();
            octets.extend(rest);
            prop_assert_eq!(Message::read(&octets), Ok(Some((Message::Open(open), length))));
        }

        #[test]
        fn hostile_octets_neither_panic_nor_reach_beyond_what_came(kind in 0_u8..7, length: u16, body: Vec<u8>) {
            let mut octets = MARKER.to_vec();
            octets.extend(length.to_be_bytes());
            octets.push(kind);
            octets.extend(&body);
            if let Ok(Some((_, read))) = Message::read(&octets) {
                prop_assert!(read <= octets.len());
            }
            let _ = Message::read(&body);
        }

        #[test]
        fn a_part_of_a_message_asks_for_more(asn: u32, cut in 0_usize..40) {
            let octets = Open { asn, ..OURS }.encode();
            let part = octets.get(..cut).unwrap_or(&octets);
            let expected = if part.len() == octets.len() { 1 } else { 0 };
            prop_assert_eq!(Message::read(part).map(|read| usize::from(read.is_some())), Ok(expected));
        }
    }
}
