//! One DNS question and its answer (RFC 1035), without any socket.
//!
//! ```text
//!  0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
//! +-----------------------------------------------+
//! |                      id                       |
//! |QR|  opcode   |AA|TC|RD|RA|   z    |   rcode   |
//! |              questions (one)                  |
//! |                   answers                     |
//! |          authorities, additional              |
//! +-----------------------------------------------+
//! | name, type, class     the question            |
//! | name, type, class, ttl, length, data    ...   |
//! +-----------------------------------------------+
//! ```
//!
//! Only answers to the question at hand are read: those of its name, or of a name that an alias (CNAME) in the same answer leads
//! to. Whatever else an answer holds is passed over. Every step of reading goes on toward the end of the message, and names are
//! followed through a bounded number of pointers, so that no message keeps a reader busy.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What is asked of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// IPv4 addresses (A).
    A,
    /// A name (PTR).
    Ptr,
    /// IPv6 addresses (AAAA, RFC 3596).
    Aaaa,
}

impl Record {
    fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ptr => 12,
            Self::Aaaa => 28,
        }
    }
}

/// What an answer tells of the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// An address.
    Address(IpAddr),
    /// A name, in lower case, without a dot at its end.
    Name(String),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How it went: 0 no error, 2 the server failed, 3 no such name, 5 refused.
    pub rcode: u8,
    /// Whether there is more, to be asked for over TCP.
    pub truncated: bool,
    /// What is told of the name; at most [`MAX_TOLD`].
    pub told: Vec<Told>,
}

/// Why octets are no answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It ends within something.
    #[error("read a DNS answer: it ends too early")]
    Short,
    /// A name that has no end, or that is too long.
    #[error("read a DNS answer: a name in it is none")]
    Name,
    /// It is no answer, or of another question.
    #[error("read a DNS answer: it is of another question")]
    OtherQuestion,
}

/// A name that cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ask for a name: it has an empty or overlong part, or more than {MAX_NAME} octets")]
pub struct NoName;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    id: u16,
    /// In lower case, without a dot at its end.
    name: String,
    record: Record,
}

impl Question {
    /// A question. `id` must be hard to guess: whoever guesses it can answer in a server's place.
    ///
    /// # Errors
    /// [`NoName`].
    pub fn new(id: u16, name: &str, record: Record) -> Result<Self, NoName> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let fits = |label: &str| (1..=MAX_LABEL).contains(&label.len());
        if name.len() > MAX_NAME || !name.split('.').all(fits) {
            return Err(NoName);
        }
        Ok(Self { id, name, record })
    }

    /// The name under which an address is asked for its name (RFC 1035 section 3.5, RFC 3596 section 2.5).
    pub fn reverse_name(address: IpAddr) -> String {
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(address) => {
                let mut name = String::with_capacity(72);
                for octet in address.octets().iter().rev() {
                    // Writing to a string does not fail.
                    let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
                }
                name + "ip6.arpa"
            }
        }
    }

    /// The message of a datagram.
    pub fn datagram(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEADER + self.name.len() + 6);
        message.extend(self.id.to_be_bytes());
        // Recursion desired; one question.
        message.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
        for label in self.name.split('.') {
            message.push(u8::try_from(label.len()).unwrap_or(0));
            message.extend(label.as_bytes());
        }
        message.push(0);
        message.extend(self.record.number().to_be_bytes());
        message.extend(IN.to_be_bytes());
        message
    }

    /// The message on a stream, its length before it (RFC 1035 section 4.2.2).
    pub fn on_stream(&self) -> Vec<u8> {
        let message = self.datagram();
        let length = u16::try_from(message.len()).unwrap_or(0);
        [length.to_be_bytes().as_slice(), &message].concat()
    }

    /// Reads an answer to this question.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn answer(&self, message: &[u8]) -> Result<Answer, NoAnswer> {
        let mut reader = Reader { message, at: 0 };
        let (id, flags) = (reader.u16()?, reader.u16()?);
        let (questions, answers) = (reader.u16()?, reader.u16()?);
        reader.skip(4)?;
        if id != self.id || flags & 0x8000 == 0 || flags & 0x7800 != 0 {
            return Err(NoAnswer::OtherQuestion);
        }
        let rcode = u8::try_from(flags & 15).unwrap_or(15);
        // A server that does not understand may leave the question out; one that answers repeats it.
        match questions {
            1 => {
                let name = reader.name()?;
                let (record, class) = (reader.u16()?, reader.u16()?);
                if (name.as_str(), record, class) != (&self.name, self.record.number(), IN) {
                    return Err(NoAnswer::OtherQuestion);
                }
            }
            0 if rcode != 0 => {}
            _ => return Err(NoAnswer::OtherQuestion),
        }
        let truncated = flags & 0x0200 != 0;
        let told = match reader.told(&self.name, self.record, answers) {
            // What is cut may end anywhere.
            Err(NoAnswer::Short) if truncated => Vec::new(),
            told => told?,
        };
        Ok(Answer {
            rcode,
            truncated,
            told,
        })
    }
}

/// A place in a message.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], NoAnswer> {
        let end = self.at.checked_add(count).ok_or(NoAnswer::Short)?;
        let taken = self.message.get(self.at..end).ok_or(NoAnswer::Short)?;
        self.at = end;
        Ok(taken)
    }

    fn skip(&mut self, count: usize) -> Result<(), NoAnswer> {
        self.take(count).map(|_| ())
    }

    fn u16(&mut self) -> Result<u16, NoAnswer> {
        match self.take(2)? {
            [high, low] => Ok(u16::from_be_bytes([*high, *low])),
            _ => Err(NoAnswer::Short),
        }
    }

    /// A name, in lower case: labels, the last of which may be a pointer to an earlier place (RFC 1035 section 4.1.4).
    fn name(&mut self) -> Result<String, NoAnswer> {
        let mut name = String::new();
        let mut reader = Reader {
            message: self.message,
            at: self.at,
        };
        let mut after = None;
        let mut pointers = 0;
        loop {
            let length = *reader.take(1)?.first().ok_or(NoAnswer::Short)?;
            match length {
                0 => break,
                1..=63 => {
                    let label = reader.take(length.into())?;
                    if !name.is_empty() {
                        name.push('.');
                    }
                    for octet in label {
                        name.push(match octet {
                            b'!'..=b'~' if *octet != b'.' => char::from(octet.to_ascii_lowercase()),
                            // No host's name has it, and no terminal should see it.
                            _ => '?',
                        });
                    }
                    if name.len() > MAX_NAME {
                        return Err(NoAnswer::Name);
                    }
                }
                0xc0.. => {
                    let low = *reader.take(1)?.first().ok_or(NoAnswer::Short)?;
                    after.get_or_insert(reader.at);
                    pointers += 1;
                    if pointers > MAX_POINTERS {
                        return Err(NoAnswer::Name);
                    }
                    reader.at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                }
                _ => return Err(NoAnswer::Name),
            }
        }
        self.at = after.unwrap_or(reader.at);
        Ok(name)
    }

    fn told(&mut self, name: &str, record: Record, answers: u16) -> Result<Vec<Told>, NoAnswer> {
        let mut sought = name.to_owned();
        let mut told = Vec::new();
        for _ in 0..answers.min(MAX_RECORDS) {
            let owner = self.name()?;
            let (kind, class) = (self.u16()?, self.u16()?);
            self.skip(4)?;
            let length = usize::from(self.u16()?);
            let end = self.at.checked_add(length).ok_or(NoAnswer::Short)?;
            if end > self.message.len() {
                return Err(NoAnswer::Short);
            }
            let is_sought = owner == sought && class == IN;
            if is_sought && kind == CNAME {
                sought = self.name()?;
            } else if is_sought && kind == record.number() && told.len() < MAX_TOLD {
                told.extend(self.data(record, length)?);
            }
            self.at = end;
        }
        Ok(told)
    }

    fn data(&mut self, record: Record, length: usize) -> Result<Option<Told>, NoAnswer> {
        Ok(match record {
            Record::A => {
                let octets: Option<[u8; 4]> = self.take(length)?.try_into().ok();
                octets.map(|octets| Told::Address(Ipv4Addr::from(octets).into()))
            }
            Record::Aaaa => {
                let octets: Option<[u8; 16]> = self.take(length)?.try_into().ok();
                octets.map(|octets| Told::Address(Ipv6Addr::from(octets).into()))
            }
            Record::Ptr => Some(Told::Name(self.name()?)),
        })
    }
}

/// What is told that is kept.
pub const MAX_TOLD: usize = 8;

/// Octets of a name as text (RFC 1035 section 2.3.4, without the root's dot).
const MAX_NAME: usize = 253;

/// Octets of one part of a name.
const MAX_LABEL: usize = 63;

/// Pointers that a name is followed through: encoders make one or two.
const MAX_POINTERS: u32 = 16;

/// Records of an answer that are looked at: a datagram has room for some thirty.
const MAX_RECORDS: u16 = 256;

/// Octets of the header.
const HEADER: usize = 12;

/// The class of the internet.
const IN: u16 = 1;

/// The type of aliases.
const CNAME: u16 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question() -> Question {
        Question::new(0x1234, "Mirror.Example.", Record::A).unwrap()
    }

    /// An answer: flags, number of answers, and records after the repeated question.
    fn message(flags: u16, answers: u16, records: &[u8]) -> Vec<u8> {
        let mut message = question().datagram();
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[6..8].copy_from_slice(&answers.to_be_bytes());
        message.extend(records);
        message
    }

    fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        [owner, &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &length, data].concat()
    }

    const SAME: &[u8] = &[0xc0, 12];

    #[test]
    fn a_question_has_the_octets_of_the_standard() {
        let expected = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x06mirror\x07example\0\0\x01\0\x01";
        assert_eq!(question().datagram(), expected);
        assert_eq!(question().on_stream()[..2], [0, 32]);
        assert_eq!(question().on_stream()[2..], *expected);
    }

    #[test]
    fn names_that_cannot_be_asked_for_are_refused() {
        let long = "a".repeat(64);
        let longer = ["abcdefg."; 40].concat();
        for name in ["", ".", "a..b", &long, &longer] {
            assert_eq!(Question::new(1, name, Record::A), Err(NoName), "{name}");
        }
    }

    #[test]
    fn addresses_have_names_of_their_own() {
        let reverse = |text: &str| Question::reverse_name(text.parse().unwrap());
        assert_eq!(reverse("10.62.0.11"), "11.0.62.10.in-addr.arpa");
        assert_eq!(
            reverse("2001:db8::b"),
            "b.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }

    #[test]
    fn an_address_is_read_through_an_alias() {
        let alias = record(SAME, CNAME, b"\x03srv\xc0\x13");
        let strange = record(b"\x05other\0", 1, &[10, 0, 0, 1]);
        let address = record(b"\x03SRV\xc0\x13", 1, &[10, 0, 0, 9]);
        let answer = question().answer(&message(0x8180, 3, &[alias, strange, address].concat()));
        assert_eq!(
            answer.unwrap(),
            Answer {
                rcode: 0,
                truncated: false,
                told: vec![Told::Address([10, 0, 0, 9].into())],
            }
        );
    }

    #[test]
    fn a_name_is_read_with_nothing_in_it_that_a_terminal_obeys() {
        let name = Question::reverse_name([10, 0, 0, 9].into());
        let question = Question::new(7, &name, Record::Ptr).unwrap();
        let mut message = question.datagram();
        message[2..4].copy_from_slice(&[0x81, 0x80]);
        message[7] = 1;
        message.extend(record(SAME, 12, b"\x05cp\x1b.1\x04CORP\0"));
        assert_eq!(
            question.answer(&message).unwrap().told,
            [Told::Name("cp??1.corp".to_owned())]
        );
    }

    #[test]
    fn what_is_cut_says_so() {
        let answer = question().answer(&message(0x8380, 2, &record(SAME, 1, &[10, 0, 0, 9])));
        assert!(answer.unwrap().truncated);
    }

    #[test]
    fn what_is_of_another_question_is_no_answer() {
        let mut other_id = message(0x8180, 0, &[]);
        other_id[0] ^= 1;
        let mut other_name = message(0x8180, 0, &[]);
        other_name[13] ^= 1;
        for bad in [other_id, other_name, message(0x0100, 0, &[])] {
            assert_eq!(question().answer(&bad), Err(NoAnswer::OtherQuestion));
        }
        assert_eq!(question().answer(&message(0x8180, 1, &[])), Err(NoAnswer::Short));
    }

    #[test]
    fn a_name_that_leads_to_itself_ends() {
        let answer = message(0x8180, 1, &record(&[0xc0, 32], 1, &[1, 2, 3, 4]));
        assert_eq!(question().answer(&answer), Err(NoAnswer::Name));
    }

    proptest! {
        #[test]
        fn whatever_octets_come_are_read_to_an_end(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut message = question().datagram();
            message[2] = 0x81;
            message.extend(octets);
            let _ = question().answer(&message);
        }

        #[test]
        fn an_answer_with_any_octet_changed_is_read_to_an_end(at in 0_usize..70, octet in any::<u8>()) {
            let records = [record(SAME, CNAME, b"\x03srv\xc0\x13"), record(b"\x03srv\xc0\x13", 1, &[10, 0, 0, 9])].concat();
            let mut message = message(0x8180, 2, &records);
            if let Some(place) = message.get_mut(at) {
                *place = octet;
            }
            if let Ok(answer) = question().answer(&message) {
                prop_assert!(answer.told.len() <= MAX_TOLD);
            }
        }
    }
}
