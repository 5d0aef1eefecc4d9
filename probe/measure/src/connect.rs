//! CONNECT at an HTTP proxy (RFC 9110 section 9.3.6, RFC 9112), without any socket.

/// What a client sends. `target` is `HOST:PORT`, IPv6 addresses in brackets; `login` is user and password (RFC 7617).
pub fn request(target: &str, login: Option<(&str, &str)>) -> Vec<u8> {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some((user, password)) = login {
        request.push_str("Proxy-Authorization: Basic ");
        request.push_str(&base64(format!("{user}:{password}").as_bytes()));
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// What octets of a proxy say so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// More has to come.
    More,
    /// The head of an answer is complete.
    Answer {
        /// 100 to 999.
        status: u16,
        /// Octets of the head; what follows is of whoever is behind the proxy.
        head: usize,
    },
    /// This is no answer of an HTTP server.
    Garbage,
}

/// Reads what a proxy said so far.
pub fn read(octets: &[u8]) -> Heard {
    let known = octets.len().min(VERSION.len());
    if octets[..known] != VERSION[..known] {
        return Heard::Garbage;
    }
    let end = octets.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else {
        return if octets.len() >= MAX_HEAD {
            Heard::Garbage
        } else {
            Heard::More
        };
    };
    // HTTP/1.x SP status SP reason
    match octets.get(VERSION.len()..VERSION.len() + 5) {
        Some([b'0'..=b'9', b' ', digits @ ..]) => match status(digits) {
            Some(status) => Heard::Answer {
                status,
                head: end + 4,
            },
            None => Heard::Garbage,
        },
        _ => Heard::Garbage,
    }
}

fn status(digits: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(digits).ok()?;
    let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|status| is_number && *status >= 100)
}

/// RFC 4648 section 4.
fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for chunk in octets.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4_usize {
            let index = bits >> (18 - 6 * place) & 63;
            let char = ALPHABET[usize::try_from(index).unwrap_or(0)];
            text.push(if place <= chunk.len() {
                char::from(char)
            } else {
                '='
            });
        }
    }
    text
}

/// How an answer begins.
const VERSION: &[u8] = b"HTTP/1.";

/// Octets of an answer's head at most: proxies' own pages come after it.
const MAX_HEAD: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_names_the_server_and_the_login() {
        let text = String::from_utf8(request("gcr.io:443", Some(("a", "b")))).unwrap();
        assert_eq!(
            text,
            "CONNECT gcr.io:443 HTTP/1.1\r\nHost: gcr.io:443\r\nProxy-Authorization: Basic YTpi\r\n\r\n"
        );
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }

    #[test]
    fn an_answer_is_read_when_its_head_is_complete() {
        let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nVia: x\r\n\r\nrest";
        for cut in 0..answer.len() - 4 {
            assert_eq!(read(&answer[..cut]), Heard::More, "{cut}");
        }
        let head = answer.len() - 4;
        assert_eq!(read(answer), Heard::Answer { status: 407, head });
    }

    #[test]
    fn another_protocol_is_told_at_once() {
        for garbage in [
            &b"SSH-2.0"[..],
            b"\x15\x03\x01",
            b"HTTP/2",
            b"HTTP/1.1 2x0 \r\n\r\n",
            b"HTTP/1.1 099 \r\n\r\n",
        ] {
            assert_eq!(read(garbage), Heard::Garbage);
        }
    }

    proptest! {
        #[test]
        fn whatever_octets_come_are_read(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&octets);
            let _ = read(&[VERSION, &octets].concat());
        }
    }
}
