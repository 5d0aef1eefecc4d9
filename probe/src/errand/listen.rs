//! Hears what others ask on the link, and who advertises virtual routers, while the run goes on. Sends nothing.
//!
//! ARP requests come to everybody. For VRRP the data interface's receive filter is opened for its groups' link addresses; no group
//! is joined, so that no report leaves. Switches pass 224.0.0.x on to every port (RFC 4541 section 2.1.2); one that snoops MLD may
//! keep `ff02::12` from ports that did not ask for it, so that of VRRP over IPv6 silence proves nothing.
//!
//! The errand's own thread reads the socket; it ends within a tenth of a second after it is told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use plumbline_measure::{
    arp::{Arp, Purpose},
    ndp::Discovery,
    vrrp,
};
use plumbline_model::observation::{
    Advert, MAX_ADVERTISED, MAX_ADVERTS, MAX_STRANGERS, Overheard, Record, Speaker, Speech, UndoneWhy,
};
use plumbline_sys::link::{Cast, EtherType, Frame, LinkSocket};
use tracing::warn;

use super::{
    Post, Stop,
    data_link::{DataLink, text},
};

/// A listener that hears already; without a link there is nothing to hear.
pub(super) struct Listening(Option<(LinkSocket, Tally)>);

/// Begins to hear.
///
/// # Errors
/// Without CAP_NET_RAW, or if the kernel does not tell of the interface.
pub(super) fn open(post: &Post) -> Result<Listening, UndoneWhy> {
    let Some(link) = DataLink::find(post)? else {
        return Ok(Listening(None));
    };
    let socket = link.open()?;
    for group in VRRP_GROUPS {
        if let Err(errno) = socket.hear_group(group) {
            warn!("failed to hear VRRP on {}: {errno}", link.name);
        }
    }
    Ok(Listening(Some((socket, Tally::new(post, link.name)))))
}

impl Listening {
    /// Hears until it is told to stop.
    pub(super) fn until(self, stop: &Stop) -> Vec<Record> {
        let Some((mut socket, mut tally)) = self.0 else {
            while !stop.is_asked_for() {
                std::thread::sleep(WAIT);
            }
            return Vec::new();
        };
        while !stop.is_asked_for() {
            match socket.receive(WAIT) {
                Ok(Some(frame)) => tally.take(&frame),
                Ok(None) => {}
                Err(errno) => {
                    // The interface went down; it is heard again when it comes back.
                    warn!("failed to hear the link: {errno}");
                    tally.lossy = true;
                    std::thread::sleep(WAIT);
                }
            }
        }
        let is_whole = matches!(socket.lost(), Ok(0));
        tally.lossy |= !is_whole;
        vec![Record::Overheard(tally.result())]
    }
}

/// What was heard, counted.
struct Tally {
    interface: String,
    /// Every address of every member: of those all speakers are kept.
    members: BTreeSet<IpAddr>,
    speakers: BTreeMap<(String, Option<IpAddr>, Speech), u32>,
    strangers: usize,
    adverts: BTreeMap<(u8, IpAddr, String), Advert>,
    cut: bool,
    lossy: bool,
}

impl Tally {
    fn new(post: &Post, interface: String) -> Self {
        let members = post.members.iter().flat_map(|member| &member.addresses);
        Self {
            interface,
            members: members.copied().collect(),
            speakers: BTreeMap::new(),
            strangers: 0,
            adverts: BTreeMap::new(),
            cut: false,
            lossy: false,
        }
    }

    fn take(&mut self, frame: &Frame) {
        match frame.protocol {
            EtherType::Arp => {
                if let Some(arp) = Arp::parse(&frame.packet).filter(|_| frame.to == Cast::Broadcast) {
                    self.arp(&arp);
                }
            }
            EtherType::Ipv4 | EtherType::Ipv6 => {
                if let Some(advert) = vrrp::Advert::parse(&frame.packet) {
                    self.advert(advert, frame.from);
                } else if let Some(asked) = Discovery::parse(&frame.packet).filter(|asked| !asked.is_reply)
                    && frame.to == Cast::Multicast
                {
                    let source = (!asked.source.is_unspecified()).then_some(asked.source.into());
                    self.count(asked.mac.unwrap_or(frame.from), source, Speech::Solicitation);
                }
            }
        }
    }

    fn arp(&mut self, arp: &Arp) {
        let what = match arp.purpose() {
            Purpose::Request => Speech::Request,
            Purpose::Probe => Speech::Probe,
            Purpose::Announcement => Speech::Announcement,
            Purpose::Reply => return,
        };
        let address = (!arp.sender.is_unspecified()).then_some(arp.sender.into());
        self.count(arp.sender_mac, address, what);
    }

    fn count(&mut self, mac: [u8; 6], address: Option<IpAddr>, what: Speech) {
        let key = (text(mac), address, what);
        if let Some(count) = self.speakers.get_mut(&key) {
            *count = count.saturating_add(1);
            return;
        }
        let is_member = address.is_some_and(|address| self.members.contains(&address));
        if !is_member && self.strangers >= MAX_STRANGERS || self.speakers.len() >= MOST_SPEAKERS {
            self.cut = true;
            return;
        }
        self.strangers += usize::from(!is_member);
        self.speakers.insert(key, 1);
    }

    fn advert(&mut self, heard: vrrp::Advert, mac: [u8; 6]) {
        let mac = text(mac);
        let key = (heard.vrid, heard.sender, mac.clone());
        if !self.adverts.contains_key(&key) && self.adverts.len() >= MAX_ADVERTS {
            self.cut = true;
            return;
        }
        let advert = self.adverts.entry(key).or_insert_with(|| Advert {
            vrid: heard.vrid,
            sender: heard.sender,
            mac,
            version: heard.version,
            priority: heard.priority,
            ttl: heard.ttl,
            addresses: Vec::new(),
            count: 0,
        });
        advert.priority = advert.priority.max(heard.priority);
        advert.ttl = advert.ttl.min(heard.ttl);
        advert.count = advert.count.saturating_add(1);
        for address in heard.addresses {
            if advert.addresses.len() < MAX_ADVERTISED && !advert.addresses.contains(&address) {
                advert.addresses.push(address);
            }
        }
    }

    fn result(self) -> Overheard {
        let speaker = |((mac, address, what), count)| Speaker {
            mac,
            address,
            what,
            count,
        };
        Overheard {
            interface: self.interface,
            speakers: self.speakers.into_iter().map(speaker).collect(),
            adverts: self.adverts.into_values().collect(),
            cut: self.cut,
            lossy: self.lossy,
        }
    }
}

/// Link addresses of 224.0.0.18 (RFC 1112 section 6.4) and `ff02::12` (RFC 2464 section 7), to which VRRP goes.
const VRRP_GROUPS: [[u8; 6]; 2] = [[1, 0, 0x5e, 0, 0, 18], [0x33, 0x33, 0, 0, 0, 0x12]];

/// A listener that is told to stop ends within this time.
const WAIT: Duration = Duration::from_millis(100);

/// Speakers that are kept in all, with members that have many addresses and send in many ways.
const MOST_SPEAKERS: usize = 4096;
