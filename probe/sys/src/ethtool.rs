//! What a network device's driver says of it (`SIOCETHTOOL`): name, speed, duplex, offloads. Nothing is set, and no privilege is
//! needed for these questions.
//!
//! ```text
//!   ifreq:    name (16) | pointer to the question
//!   drvinfo:  cmd | driver (32) | version (32) | ...                                         196 octets
//!   settings: cmd | speed | duplex | port | ... | nwords (at 15) | ... | masks (3 * nwords)  48 octets and the masks
//!   sset:     cmd | reserved | mask of sets (8) | number (4)
//!   strings:  cmd | set | number | names of 32 octets
//!   features: cmd | number of blocks | (available, requested, active, never changed) of 32 features each
//! ```

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Asks drivers, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Ethtool {
    fd: OwnedFd,
}

/// Speed and duplex of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In Mbit/s; absent where the driver does not know, as without a cable.
    pub mbps: Option<u32>,
    /// Whether it is half duplex; absent where the driver does not know.
    pub half_duplex: Option<bool>,
}

impl Ethtool {
    /// Opens the calling thread's devices.
    ///
    /// # Errors
    /// If the system gives no socket.
    pub fn open() -> io::Result<Self> {
        let fd =
            rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        Ok(Self { fd })
    }

    /// The driver's name.
    ///
    /// # Errors
    /// If there is no such device, or it has no driver that tells.
    pub fn driver(&self, device: &str) -> io::Result<String> {
        let mut answer = [0; DRVINFO_BYTES];
        set(&mut answer, 0, ETHTOOL_GDRVINFO);
        self.ask(device, &mut answer)?;
        Ok(text(&answer[4..4 + DRIVER_NAME_BYTES]))
    }

    /// Speed and duplex.
    ///
    /// # Errors
    /// As [`Self::driver`].
    pub fn rate(&self, device: &str) -> io::Result<Rate> {
        let mut answer = [0; LINK_SETTINGS_BYTES + MOST_MASK_BYTES];
        set(&mut answer, 0, ETHTOOL_GLINKSETTINGS);
        self.ask(device, &mut answer)?;
        // The first answer only says, as a negative number, how many words the masks have.
        let words = i8::from_ne_bytes([answer[LINK_SETTINGS_WORDS]]);
        if words < 0 {
            answer = [0; LINK_SETTINGS_BYTES + MOST_MASK_BYTES];
            set(&mut answer, 0, ETHTOOL_GLINKSETTINGS);
            answer[LINK_SETTINGS_WORDS] = words.unsigned_abs();
            if usize::from(words.unsigned_abs()) * 3 * 4 > MOST_MASK_BYTES {
                return Err(io::ErrorKind::Unsupported.into());
            }
            self.ask(device, &mut answer)?;
        }
        Ok(rate(get(&answer, 4), answer[8]))
    }

    /// The features of a device that can be switched, by the names of ethtool(8), and whether each is on.
    ///
    /// # Errors
    /// As [`Self::driver`].
    pub fn features(&self, device: &str) -> io::Result<Vec<(String, bool)>> {
        let mut number = [0; 20];
        set(&mut number, 0, ETHTOOL_GSSET_INFO);
        set(
            &mut number,
            if cfg!(target_endian = "little") { 8 } else { 12 },
            1 << ETH_SS_FEATURES,
        );
        self.ask(device, &mut number)?;
        let count = get(&number, 16);
        // The kernel writes as many names as it has, whatever room there is: that number is the same for as long as it runs.
        if !(1..=MOST_FEATURES).contains(&count) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut names = vec![0; 12 + count as usize * STRING_BYTES];
        set(&mut names, 0, ETHTOOL_GSTRINGS);
        set(&mut names, 4, ETH_SS_FEATURES);
        set(&mut names, 8, count);
        self.ask(device, &mut names)?;
        let blocks = count.div_ceil(32);
        let mut states = vec![0; 8 + blocks as usize * 16];
        set(&mut states, 0, ETHTOOL_GFEATURES);
        set(&mut states, 4, blocks);
        self.ask(device, &mut states)?;
        Ok(features(&names, &states))
    }

    fn ask(&self, device: &str, question: &mut [u8]) -> io::Result<()> {
        let name = device.as_bytes();
        if name.len() >= libc::IFNAMSIZ || name.contains(&0) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: an `ifreq` is numbers and a pointer, of which all zeros is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (slot, octet) in request.ifr_name.iter_mut().zip(name) {
            *slot = libc::c_char::from_ne_bytes([*octet]);
        }
        request.ifr_ifru.ifru_data = question.as_mut_ptr().cast();
        // SAFETY: both `request` and `question` live across the call. What the kernel writes to `question` has the length that
        // the question itself announces (a fixed structure, or one with its number of entries), which its makers above allot.
        let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

fn rate(speed: u32, duplex: u8) -> Rate {
    Rate {
        mbps: Some(speed).filter(|speed| (1..SPEED_UNKNOWN).contains(speed)),
        half_duplex: match duplex {
            0 => Some(true),
            1 => Some(false),
            _ => None,
        },
    }
}

fn features(names: &[u8], states: &[u8]) -> Vec<(String, bool)> {
    let names = names.get(12..).unwrap_or_default().chunks_exact(STRING_BYTES);
    names
        .enumerate()
        .filter_map(|(index, name)| {
            let active = states.get(8 + index / 32 * 16 + 8..)?.first_chunk::<4>()?;
            let is_on = u32::from_ne_bytes(*active) >> (index % 32) & 1 == 1;
            Some((text(name), is_on)).filter(|(name, _)| !name.is_empty())
        })
        .collect()
}

fn set(octets: &mut [u8], at: usize, number: u32) {
    if let Some(slot) = octets.get_mut(at..at + 4) {
        slot.copy_from_slice(&number.to_ne_bytes());
    }
}

fn get(octets: &[u8], at: usize) -> u32 {
    let found = octets.get(at..).and_then(<[u8]>::first_chunk::<4>);
    found.map_or(0, |octets| u32::from_ne_bytes(*octets))
}

/// Up to the first zero octet.
fn text(octets: &[u8]) -> String {
    let end = octets
        .iter()
        .position(|octet| *octet == 0)
        .unwrap_or(octets.len());
    String::from_utf8_lossy(octets.get(..end).unwrap_or_default()).into_owned()
}

/// linux/sockios.h.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
/// linux/ethtool.h.
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_GLINKSETTINGS: u32 = 0x4c;
const ETH_SS_FEATURES: u32 = 4;
const SPEED_UNKNOWN: u32 = u32::MAX;
const DRVINFO_BYTES: usize = 196;
const DRIVER_NAME_BYTES: usize = 32;
const STRING_BYTES: usize = 32;
const LINK_SETTINGS_BYTES: usize = 48;
/// Where `link_mode_masks_nwords` is.
const LINK_SETTINGS_WORDS: usize = 15;
/// Three masks of 127 words at most, since their number is a signed octet.
const MOST_MASK_BYTES: usize = 3 * 127 * 4;
/// Linux has some sixty.
const MOST_FEATURES: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_features_with_names_and_no_speed() {
        let ethtool = Ethtool::open().unwrap();
        let features = ethtool.features("lo").unwrap();
        assert!(
            features.iter().any(|(name, _)| name == "tx-udp_tnl-segmentation"),
            "{features:?}"
        );
        assert!(
            features.iter().any(|(name, on)| name == "loopback" && *on),
            "{features:?}"
        );
        assert!(ethtool.rate("lo").map_or(true, |rate| rate.mbps.is_none()));
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error_and_so_is_a_name_that_none_can_have() {
        let ethtool = Ethtool::open().unwrap();
        assert!(ethtool.driver("none-such").is_err());
        assert!(ethtool.driver("longer-than-any-name-may-be").is_err());
        assert!(ethtool.driver("a\0b").is_err());
    }

    #[test]
    fn an_unknown_speed_is_no_speed() {
        assert_eq!(
            rate(u32::MAX, 0xff),
            Rate {
                mbps: None,
                half_duplex: None
            }
        );
        assert_eq!(
            rate(25_000, 1),
            Rate {
                mbps: Some(25_000),
                half_duplex: Some(false)
            }
        );
        assert_eq!(rate(10, 0).half_duplex, Some(true));
    }

    #[test]
    fn features_that_the_states_do_not_reach_are_left_out() {
        let mut names = vec![0; 12];
        for name in ["one", "two", ""] {
            let mut slot = name.as_bytes().to_vec();
            slot.resize(STRING_BYTES, 0);
            names.extend(slot);
        }
        let mut states = vec![0; 8 + 16];
        states[8 + 8] = 0b10;
        let read = features(&names, &states);
        assert_eq!(read, [("one".to_owned(), false), ("two".to_owned(), true)]);
        assert!(features(&names, &states[..10]).is_empty());
    }
}
