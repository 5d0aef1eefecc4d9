//! Pseudonyms, and texts in which they stand for what was there.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use plumbline_identity::redaction::RedactionKey;

use super::names::Names;

/// What a name is the name of; the word in front of its pseudonym.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Cluster,
    Host,
    File,
    Label,
    Owner,
    Reason,
    /// Anything else.
    Name,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Host => "host",
            Self::File => "file",
            Self::Label => "label",
            Self::Owner => "owner",
            Self::Reason => "reason",
            Self::Name => "name",
        }
    }
}

/// Words of our own sentences, one a line, lower case.
const WORDS: &str = include_str!("words.txt");

/// What stands for what. The same text has the same pseudonym; two texts never share one, and none is a name or an address that
/// another one stands for. Where that cannot be had, [`Pseudonyms::is_ambiguous`] says so and nothing of it may be shown.
pub(super) struct Pseudonyms<'k> {
    key: &'k RedactionKey,
    names: Names,
    /// Names of more than one word, the longest first: they are looked for before a text is taken apart.
    phrases: Vec<(String, Kind)>,
    words: BTreeSet<&'static str>,
    given: BTreeMap<String, String>,
    /// The values of `given`.
    taken: BTreeSet<String>,
    is_ambiguous: bool,
}

impl<'k> Pseudonyms<'k> {
    pub(super) fn new(key: &'k RedactionKey, names: Names) -> Self {
        let phrases = names
            .secret
            .iter()
            .filter(|(name, _)| name.contains(is_separator));
        let mut phrases: Vec<(String, Kind)> = phrases.map(|(name, kind)| (name.clone(), *kind)).collect();
        phrases.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Self {
            key,
            names,
            phrases,
            words: WORDS.lines().collect(),
            given: BTreeMap::new(),
            taken: BTreeSet::new(),
            is_ambiguous: false,
        }
    }

    /// Whether a pseudonym is also a text that was met only later, or no free one was found. It takes a report whose sentences
    /// have addresses of the reserved range that stand nowhere else, and a key of bad luck.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }

    /// What stands for a name.
    pub(super) fn name(&mut self, kind: Kind, name: &str) -> String {
        // People call hosts, racks and zones by addresses, too: what stands for an address must be one wherever it stands.
        if let Some(address) = self.literal(name) {
            return address;
        }
        let kind = self.names.secret.get(name).copied().unwrap_or(kind);
        self.give(kind.word(), name, |octets| {
            let [a, b, c, d, ..] = *octets;
            // Underscores, so that it can stand where names of sources stand, too.
            format!("{}_{a:02x}{b:02x}{c:02x}{d:02x}", kind.word())
        })
    }

    /// What stands for an address: IPv4 in 240.0.0.0/4 (reserved, RFC 1112), IPv6 in 2001:db8::/32 (documentation, RFC 3849).
    /// Addresses that every host has tell nothing and stay.
    fn address(&mut self, address: IpAddr) -> String {
        if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
            return address.to_string();
        }
        self.give("address", &address.to_string(), |octets| match address {
            IpAddr::V4(_) => {
                let [a, b, c, d, ..] = *octets;
                // Never 255.255.255.255, which is everybody.
                Ipv4Addr::new(240 | (a & 0x0f), b, c, d & 0xfe).to_string()
            }
            IpAddr::V6(_) => {
                let mut segments = [0_u16; 8];
                for (segment, pair) in segments.iter_mut().zip(octets.chunks_exact(2)) {
                    *segment = u16::from_be_bytes([pair[0], pair[1]]);
                }
                segments[0] = 0x2001;
                segments[1] = 0x0db8;
                Ipv6Addr::from(segments).to_string()
            }
        })
    }

    /// A locally administered unicast address (IEEE 802, the two low bits of the first octet).
    fn mac(&mut self, mac: &str) -> String {
        let canonical = canonical_mac(mac);
        if canonical == "00:00:00:00:00:00" || canonical == "ff:ff:ff:ff:ff:ff" {
            return mac.to_owned();
        }
        self.give("mac", &canonical, |octets| {
            let [a, b, c, d, e, f, ..] = *octets;
            let a = a & 0xfc | 0x02;
            format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
        })
    }

    fn give(&mut self, kind: &str, original: &str, form: impl Fn(&[u8; 32]) -> String) -> String {
        if let Some(given) = self.given.get(original) {
            return given.clone();
        }
        // Whatever stands for another text has been written, and cannot be taken back.
        self.is_ambiguous |= self.taken.contains(original);
        // Two texts with one pseudonym would be told as one: the second is derived again.
        let mut turns = (0..MAX_TURNS).map(|turn| form(&self.key.derive(kind, original, turn)));
        let free = turns.find(|candidate| candidate != original && !self.is_met(candidate));
        self.is_ambiguous |= free.is_none();
        let given = free.unwrap_or_else(|| original.to_owned());
        self.taken.insert(given.clone());
        self.given.insert(original.to_owned(), given.clone());
        given
    }

    /// Whether a text stands in the original or for something in it, as far as is known yet.
    fn is_met(&self, text: &str) -> bool {
        self.taken.contains(text)
            || self.given.contains_key(text)
            || self.names.secret.contains_key(text)
            || self.names.known.contains(text)
            || self.names.addresses.contains(text)
    }

    /// A text in which only words of ours, numbers and names of interfaces are left.
    pub(super) fn text(&mut self, text: &str) -> String {
        self.without_phrases(text, 0)
    }

    fn without_phrases(&mut self, text: &str, from: usize) -> String {
        for index in from..self.phrases.len() {
            if !text.contains(self.phrases[index].0.as_str()) {
                continue;
            }
            let (phrase, kind) = self.phrases[index].clone();
            let pseudonym = self.name(kind, &phrase);
            let parts: Vec<String> = text
                .split(phrase.as_str())
                .map(|part| self.without_phrases(part, index + 1))
                .collect();
            return parts.join(&pseudonym);
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(is_separator).unwrap_or(rest.len());
            let (token, after) = rest.split_at(end);
            out.push_str(&self.token(token));
            let separators = after.find(|c| !is_separator(c)).unwrap_or(after.len());
            let (separators, after) = after.split_at(separators);
            out.push_str(separators);
            rest = after;
        }
        out
    }

    /// What lies between separators: an address, a range, a word with its punctuation.
    fn token(&mut self, token: &str) -> String {
        if !token.contains(char::is_alphanumeric) && token.is_ascii() && token != "::" {
            return token.to_owned();
        }
        if let Some(whole) = self.literal(token) {
            return whole;
        }
        let core = token.trim_end_matches(['.', ':']);
        if core.len() < token.len() {
            return self.token(core) + &token[core.len()..];
        }
        if self.names.secret.contains_key(token) {
            return self.name(Kind::Name, token);
        }
        if self.names.known.contains(token) {
            return token.to_owned();
        }
        // 10.0.0.1-10.0.0.9, 10.0.0.1:22, cluster.yaml:47
        for joint in ['-', ':', '@'] {
            let mut parts = token.split(joint);
            let tells = |part: &str| self.names.secret.contains_key(part) || is_literal(part);
            if token.contains(joint) && parts.any(tells) {
                let parts: Vec<String> = token.split(joint).map(|part| self.token(part)).collect();
                return parts.join(&joint.to_string());
            }
        }
        if self.is_plain(token) {
            return token.to_owned();
        }
        self.name(Kind::Name, token)
    }

    /// An address or hardware address by itself.
    fn literal(&mut self, token: &str) -> Option<String> {
        if let Ok(address) = token.parse::<IpAddr>() {
            return Some(self.address(address));
        }
        is_mac(token).then(|| self.mac(token))
    }

    /// Whether everything in a word is ours or a number. Four numbers in a row are an address in disguise (ip-10-0-0-1).
    fn is_plain(&self, token: &str) -> bool {
        let parts = || {
            token
                .split(|c: char| !c.is_alphanumeric())
                .filter(|part| !part.is_empty())
        };
        let numbers = parts()
            .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
            .count();
        let is_ours = |part: &str| {
            let number_and_unit = part.trim_start_matches(|c: char| c.is_ascii_digit());
            let finding = part
                .strip_prefix('F')
                .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
            let lower = part.to_lowercase();
            !self.names.secret.contains_key(part)
                && (number_and_unit.is_empty()
                    || finding
                    || self.words.contains(lower.as_str())
                    || number_and_unit.len() < part.len() && UNITS.contains(&number_and_unit))
        };
        token.is_ascii() && numbers < 4 && parts().all(is_ours)
    }
}

/// Derivations of one pseudonym. Addresses have fewest, 2^27 of IPv4: with a hundred thousand taken, one turn in a thousand
/// meets one of them.
const MAX_TURNS: u32 = 1_000;

/// What may follow a number.
const UNITS: [&str; 8] = ["s", "ms", "us", "x", "th", "st", "nd", "rd"];

/// An address or a hardware address as its pseudonym would be written.
pub(super) fn canonical_literal(text: &str) -> Option<String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(address.to_string()),
        Err(_) => is_mac(text).then(|| canonical_mac(text)),
    }
}

fn canonical_mac(mac: &str) -> String {
    mac.to_lowercase().replace('-', ":")
}

/// Whether a text is an address or a hardware address.
pub(super) fn is_literal(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_mac(text)
}

fn is_mac(text: &str) -> bool {
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    [':', '-']
        .iter()
        .any(|joint| text.split(*joint).count() == 6 && text.split(*joint).all(is_pair))
}

/// What no address and no name has in it, or what may part two of them.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || c.is_ascii_control() || "\"'`()[]{}<>,;=/|%&!?#$*\\^~".contains(c)
}
