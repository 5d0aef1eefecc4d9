//! The four test packets; their drawings are in [`super`].
//!
//! Reading takes packets that are longer, since extensions may follow, and whatever stands in the fields that must be zero.

use super::{
    session::{MAC_LEN, SessionKey},
    time::{ErrorEstimate, WireTime},
    tlv::Tlvs,
};

/// The length of an unauthenticated packet in octets, the same for sender and reflector.
pub const UNAUTHENTICATED_LEN: usize = 44;
/// The length of an authenticated packet in octets, the same for sender and reflector.
pub const AUTHENTICATED_LEN: usize = 112;
/// The TTL that stands for one that the reflector could not read (RFC 5357, section 4.2.1).
pub const TTL_UNKNOWN: u8 = 255;

/// When a packet was sent, in the words of its sender: what a reflector repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The packet's sequence number.
    pub sequence: u32,
    /// When it was sent.
    pub at: WireTime,
    /// How good its clock is, and how `at` is to be read.
    pub error_estimate: ErrorEstimate,
}

/// A sender's test packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderPacket {
    /// Sequence number, T1 and error estimate.
    pub sent: Sent,
    /// The session identifier; 0 says that there is none.
    pub ssid: u16,
}

/// A reflector's test packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReflectorPacket {
    /// The reflector's own sequence number (the sender's, if the reflector keeps no state), T3 and error estimate.
    pub sent: Sent,
    /// The session identifier of the packet that is answered.
    pub ssid: u16,
    /// T2: when the packet that is answered was received, to be read like T3.
    pub received_at: WireTime,
    /// What the packet that is answered said of itself.
    pub asked: Sent,
    /// The TTL or hop limit with which it arrived, or [`TTL_UNKNOWN`].
    pub ttl: u8,
}

/// A sender's authenticated packet whose proof nobody has checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    packet: SenderPacket,
    signed: &'a [u8; SIGNED_LEN],
    mac: &'a [u8; MAC_LEN],
    tlvs: Tlvs<'a>,
}

/// Who made a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// The one that asks.
    Sender,
    /// The one that answers.
    Reflector,
}

/// Why octets are no test packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They are too few.
    #[error("read a test packet of {0} octets")]
    TooShort(usize),
    /// An error estimate has a multiplier of zero, which makes the packet a corrupt one (RFC 4656, section 4.1.2).
    #[error("read a test packet whose error estimate has no multiplier")]
    NoMultiplier,
}

/// Why an authenticated packet is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unbelievable {
    /// It is no packet.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Its HMAC was made with another key, or is of another packet.
    #[error("verify the HMAC of a test packet")]
    BadMac,
}

// === impl Maker ===

impl Maker {
    /// Tells authenticated packets apart without their key, by what a reflector writes where a sender leaves zeros: the
    /// sender's error estimate, which has a multiplier. `None` for what is no packet.
    pub fn of(octets: &[u8]) -> Option<Self> {
        let (base, _) = split::<AUTHENTICATED_LEN>(octets).ok()?;
        if ReflectorPacket::read(&SEALED, base).is_ok() {
            return Some(Self::Reflector);
        }
        SenderPacket::read(&SEALED, base).ok().map(|_| Self::Sender)
    }
}

// === impl SenderPacket ===

impl SenderPacket {
    /// The unauthenticated packet.
    pub fn to_octets(&self) -> [u8; UNAUTHENTICATED_LEN] {
        let mut octets = [0; UNAUTHENTICATED_LEN];
        self.write(&OPEN, &mut octets);
        octets
    }

    /// The authenticated packet.
    pub fn seal(&self, key: &SessionKey) -> [u8; AUTHENTICATED_LEN] {
        let mut octets = [0; AUTHENTICATED_LEN];
        self.write(&SEALED, &mut octets);
        sign(&mut octets, key);
        octets
    }

    /// Reads an unauthenticated packet.
    ///
    /// # Errors
    /// What cannot be one.
    pub fn parse(octets: &[u8]) -> Result<(Self, Tlvs<'_>), Malformed> {
        let (base, rest) = split::<UNAUTHENTICATED_LEN>(octets)?;
        Ok((Self::read(&OPEN, base)?, Tlvs::new(rest)))
    }

    /// Reads an authenticated packet, to see whose key to check.
    ///
    /// # Errors
    /// What cannot be one.
    pub fn claim(octets: &[u8]) -> Result<Claim<'_>, Malformed> {
        let (base, rest) = split::<AUTHENTICATED_LEN>(octets)?;
        let packet = Self::read(&SEALED, base)?;
        let (signed, mac) = signed(base);
        Ok(Claim {
            packet,
            signed,
            mac,
            tlvs: Tlvs::new(rest),
        })
    }

    fn write(&self, layout: &Layout, octets: &mut [u8]) {
        self.sent.write(octets, 0, layout.at, layout.error_estimate);
        put(octets, layout.ssid, &self.ssid.to_be_bytes());
    }

    fn read(layout: &Layout, octets: &[u8]) -> Result<Self, Malformed> {
        Ok(Self {
            sent: Sent::read(octets, 0, layout.at, layout.error_estimate)?,
            ssid: u16::from_be_bytes(take(octets, layout.ssid)),
        })
    }
}

// === impl Claim ===

impl<'a> Claim<'a> {
    /// What the packet claims, to be believed only after [`Claim::is_proven`] agreed.
    pub fn packet(&self) -> &SenderPacket {
        &self.packet
    }

    /// What stands behind it. Its HMAC does not cover that.
    pub fn tlvs(&self) -> Tlvs<'a> {
        self.tlvs
    }

    /// Whether the packet was made with this key; compared in constant time.
    pub fn is_proven(&self, key: &SessionKey) -> bool {
        key.verifies(self.signed, self.mac)
    }
}

// === impl ReflectorPacket ===

impl ReflectorPacket {
    /// The unauthenticated packet.
    pub fn to_octets(&self) -> [u8; UNAUTHENTICATED_LEN] {
        let mut octets = [0; UNAUTHENTICATED_LEN];
        self.write(&OPEN, &mut octets);
        octets
    }

    /// The authenticated packet.
    pub fn seal(&self, key: &SessionKey) -> [u8; AUTHENTICATED_LEN] {
        let mut octets = [0; AUTHENTICATED_LEN];
        self.write(&SEALED, &mut octets);
        sign(&mut octets, key);
        octets
    }

    /// Reads an unauthenticated packet.
    ///
    /// # Errors
    /// What cannot be one.
    pub fn parse(octets: &[u8]) -> Result<(Self, Tlvs<'_>), Malformed> {
        let (base, rest) = split::<UNAUTHENTICATED_LEN>(octets)?;
        Ok((Self::read(&OPEN, base)?, Tlvs::new(rest)))
    }

    /// Reads an authenticated packet that was made with this key; compared in constant time. Its HMAC does not cover what
    /// stands behind it.
    ///
    /// # Errors
    /// What cannot be one, and what another key made.
    pub fn open<'a>(octets: &'a [u8], key: &SessionKey) -> Result<(Self, Tlvs<'a>), Unbelievable> {
        let (base, rest) = split::<AUTHENTICATED_LEN>(octets)?;
        let (signed, mac) = signed(base);
        if !key.verifies(signed, mac) {
            return Err(Unbelievable::BadMac);
        }
        Ok((Self::read(&SEALED, base)?, Tlvs::new(rest)))
    }

    fn write(&self, layout: &Layout, octets: &mut [u8]) {
        self.sent.write(octets, 0, layout.at, layout.error_estimate);
        put(octets, layout.ssid, &self.ssid.to_be_bytes());
        put(octets, layout.received_at, &self.received_at.bits().to_be_bytes());
        let asked = layout.asked;
        self.asked
            .write(octets, asked.sequence, asked.at, asked.error_estimate);
        put(octets, layout.ttl, &[self.ttl]);
    }

    fn read(layout: &Layout, octets: &[u8]) -> Result<Self, Malformed> {
        let asked = layout.asked;
        let [ttl] = take(octets, layout.ttl);
        Ok(Self {
            sent: Sent::read(octets, 0, layout.at, layout.error_estimate)?,
            ssid: u16::from_be_bytes(take(octets, layout.ssid)),
            received_at: WireTime::from_bits(u64::from_be_bytes(take(octets, layout.received_at))),
            asked: Sent::read(octets, asked.sequence, asked.at, asked.error_estimate)?,
            ttl,
        })
    }
}

// === impl Sent ===

impl Sent {
    fn write(&self, octets: &mut [u8], sequence: usize, at: usize, error_estimate: usize) {
        put(octets, sequence, &self.sequence.to_be_bytes());
        put(octets, at, &self.at.bits().to_be_bytes());
        put(octets, error_estimate, &self.error_estimate.bits().to_be_bytes());
    }

    fn read(octets: &[u8], sequence: usize, at: usize, error_estimate: usize) -> Result<Self, Malformed> {
        let estimate = ErrorEstimate::from_bits(u16::from_be_bytes(take(octets, error_estimate)));
        Ok(Self {
            sequence: u32::from_be_bytes(take(octets, sequence)),
            at: WireTime::from_bits(u64::from_be_bytes(take(octets, at))),
            error_estimate: estimate.ok_or(Malformed::NoMultiplier)?,
        })
    }
}

/// Where fields begin. Sequence numbers begin at 0; the fields of a reflector lie in what a sender leaves zero.
struct Layout {
    at: usize,
    error_estimate: usize,
    ssid: usize,
    received_at: usize,
    asked: AskedLayout,
    ttl: usize,
}

#[derive(Clone, Copy)]
struct AskedLayout {
    sequence: usize,
    at: usize,
    error_estimate: usize,
}

/// RFC 8762, sections 4.2.1 and 4.3.1.
const OPEN: Layout = Layout {
    at: 4,
    error_estimate: 12,
    ssid: 14,
    received_at: 16,
    asked: AskedLayout {
        sequence: 24,
        at: 28,
        error_estimate: 36,
    },
    ttl: 40,
};
/// RFC 8762, sections 4.2.2 and 4.3.2.
const SEALED: Layout = Layout {
    at: 16,
    error_estimate: 24,
    ssid: 26,
    received_at: 32,
    asked: AskedLayout {
        sequence: 48,
        at: 64,
        error_estimate: 72,
    },
    ttl: 80,
};
/// What an HMAC covers.
const SIGNED_LEN: usize = AUTHENTICATED_LEN - MAC_LEN;

fn split<const LEN: usize>(octets: &[u8]) -> Result<(&[u8; LEN], &[u8]), Malformed> {
    octets
        .split_first_chunk()
        .ok_or(Malformed::TooShort(octets.len()))
}

fn signed(octets: &[u8; AUTHENTICATED_LEN]) -> (&[u8; SIGNED_LEN], &[u8; MAC_LEN]) {
    let parts = octets.split_first_chunk::<SIGNED_LEN>();
    parts
        .and_then(|(signed, mac)| Some((signed, mac.try_into().ok()?)))
        .expect("the two lengths add up to the packet's")
}

fn sign(octets: &mut [u8; AUTHENTICATED_LEN], key: &SessionKey) {
    let mac = key.mac(&octets[..SIGNED_LEN]);
    octets[SIGNED_LEN..].copy_from_slice(&mac);
}

/// Every layout lies within the length of its packet.
fn put(octets: &mut [u8], at: usize, value: &[u8]) {
    octets[at..at + value.len()].copy_from_slice(value);
}

fn take<const N: usize>(octets: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&octets[at..at + N]);
    value
}
