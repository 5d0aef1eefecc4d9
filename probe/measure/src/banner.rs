//! The line with which an SSH server introduces itself (RFC 4253, section 4.2): found, and not kept.
//!
//! ```text
//!   lines that say something else, at most a few
//!   SSH-protoversion-softwareversion SP comments CR LF      <- the identification string, at most 255 octets
//! ```
//!
//! A client that hears it and closes in order is, for the server, one that changed its mind.

/// Reads up to the identification string, octet by octet as they come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Banner {
    /// How the present line begins.
    begins: [u8; PREFIX.len()],
    /// Octets of the present line.
    octets: usize,
    /// Lines before it.
    lines: usize,
}

/// What was heard so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BannerRead {
    /// Nothing that decides.
    Incomplete,
    /// The identification string, whole.
    Found,
    /// More, or longer lines, than an SSH server says before it.
    NotSsh,
}

impl Banner {
    /// Takes what came next. After a decision there is nothing more to take.
    pub fn read(&mut self, octets: &[u8]) -> BannerRead {
        for &octet in octets {
            if let Some(place) = self.begins.get_mut(self.octets) {
                *place = octet;
            }
            self.octets += 1;
            if octet == b'\n' {
                if self.octets > PREFIX.len() && self.begins == PREFIX {
                    return BannerRead::Found;
                }
                *self = Self {
                    lines: self.lines + 1,
                    ..Self::default()
                };
            }
            if self.octets >= MAX_LINE || self.lines >= MAX_LINES {
                return BannerRead::NotSsh;
            }
        }
        BannerRead::Incomplete
    }
}

const PREFIX: [u8; 4] = *b"SSH-";
/// CR and LF included.
const MAX_LINE: usize = 255;
/// Servers say nothing before it, or a line or two of law.
const MAX_LINES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(octets: &[u8]) -> BannerRead {
        Banner::default().read(octets)
    }

    #[test]
    fn the_identification_string_is_found_however_it_is_cut() {
        let text = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n";
        assert_eq!(read(text), BannerRead::Found);
        let mut banner = Banner::default();
        for octet in &text[..text.len() - 1] {
            assert_eq!(banner.read(&[*octet]), BannerRead::Incomplete);
        }
        assert_eq!(banner.read(b"\n"), BannerRead::Found);
        // Servers of protocol 1.99 end it with a line feed alone.
        assert_eq!(read(b"SSH-1.99-x\n"), BannerRead::Found);
    }

    #[test]
    fn lines_before_it_are_allowed_but_few() {
        assert_eq!(read(b"Authorised use only.\r\nSSH-\r\n"), BannerRead::Found);
        assert_eq!(read(b"hello\r\n"), BannerRead::Incomplete);
        assert_eq!(read(&b"\n".repeat(MAX_LINES)), BannerRead::NotSsh);
    }

    #[test]
    fn what_merely_holds_the_prefix_is_no_identification_string() {
        assert_eq!(read(b"not SSH-2.0\r\n"), BannerRead::Incomplete);
        assert_eq!(read(b"SSH\n-2.0-x\n"), BannerRead::Incomplete);
    }

    #[test]
    fn a_line_without_end_is_none() {
        assert_eq!(read(&[b'S'; MAX_LINE - 1]), BannerRead::Incomplete);
        assert_eq!(read(&[b'S'; MAX_LINE]), BannerRead::NotSsh);
        let mut longest = b"SSH-".to_vec();
        longest.resize(MAX_LINE - 1, b'x');
        longest.push(b'\n');
        assert_eq!(read(&longest), BannerRead::Found);
    }
}
