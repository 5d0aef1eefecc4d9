//! Timestamps and error estimates of STAMP packets.

use std::time::Duration;

/// A timestamp as a packet carries it: 64 bits, whose meaning the packet's error estimate tells ([`Format`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WireTime(u64);

/// How a timestamp is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// NTP (RFC 5905): 32 bits of seconds since 1900 and 32 bits of a second's fraction.
    Ntp,
    /// The truncated timestamp of PTP version 2 (IEEE 1588): 32 bits of seconds since 1970 and 32 bits of nanoseconds. PTP
    /// counts international atomic time, whose seconds run ahead of UTC's by the leap seconds.
    Ptp,
}

/// What a clock says of its own error (RFC 4656, section 4.1.2).
///
/// ```text
///    0   1   2               7   8              15
///  +---+---+-------------------+------------------+
///  | S | Z |       scale       |    multiplier    |      error = multiplier * 2^(scale - 32) seconds
///  +---+---+-------------------+------------------+
/// ```
///
/// S: the clock is synchronised to UTC by an external source. Z: the timestamps are PTP's (RFC 8186).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorEstimate(u16);

impl WireTime {
    /// The timestamp that these 64 bits are.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// An NTP timestamp of a time since 1970. It wraps in 2036, as NTP's do; to the nanosecond what it says is exact.
    pub fn ntp(since_1970: Duration) -> Self {
        let seconds = since_1970.as_secs().wrapping_add(NTP_AHEAD_OF_UNIX);
        // Rounded up, so that reading it, which rounds down, gives the same nanosecond.
        let fraction = (u64::from(since_1970.subsec_nanos()) << 32).div_ceil(NANOS);
        Self(seconds << 32 | fraction)
    }

    /// The time since 1970; `None` for what is before that, or no time: PTP nanoseconds that make a second or more.
    ///
    /// NTP seconds below 2^31 belong to the era that begins in 2036 (RFC 4330, section 3).
    pub fn since_1970(self, format: Format) -> Option<Duration> {
        let (seconds, low) = (self.0 >> 32, self.0 & LOW);
        match format {
            Format::Ntp => {
                let era = if seconds < 1 << 31 { 1 << 32 } else { 0 };
                let nanos = u32::try_from((low * NANOS) >> 32).ok()?;
                let seconds = (seconds + era).checked_sub(NTP_AHEAD_OF_UNIX)?;
                Some(Duration::new(seconds, nanos))
            }
            Format::Ptp if low < NANOS => Some(Duration::new(seconds, u32::try_from(low).ok()?)),
            Format::Ptp => None,
        }
    }
}

impl ErrorEstimate {
    /// NTP timestamps of a clock about which nobody vouches: not synchronised as far as is known, and the largest error
    /// that can be written down.
    pub const UNKNOWN: Self = Self(0x3fff);

    /// The estimate that these 16 bits are. A multiplier of 0 is none.
    pub const fn from_bits(bits: u16) -> Option<Self> {
        if bits & 0xff == 0 { None } else { Some(Self(bits)) }
    }

    /// The 16 bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether the clock is synchronised to UTC by an external source.
    pub const fn is_synchronised(self) -> bool {
        self.0 & 0x8000 != 0
    }

    /// How the timestamps beside it are to be read.
    pub const fn format(self) -> Format {
        if self.0 & 0x4000 == 0 {
            Format::Ntp
        } else {
            Format::Ptp
        }
    }

    /// The error, rounded down to nanoseconds.
    pub fn error(self) -> Duration {
        let (scale, multiplier) = (u32::from(self.0 >> 8 & 0x3f), u128::from(self.0 & 0xff));
        let nanos = ((multiplier * u128::from(NANOS)) << scale) >> 32;
        let seconds = u64::try_from(nanos / u128::from(NANOS)).unwrap_or(u64::MAX);
        Duration::new(seconds, u32::try_from(nanos % u128::from(NANOS)).unwrap_or(0))
    }
}

/// From 1900 to 1970: 70 years, 17 of them with a leap day.
const NTP_AHEAD_OF_UNIX: u64 = 2_208_988_800;
const NANOS: u64 = 1_000_000_000;
const LOW: u64 = 0xffff_ffff;
