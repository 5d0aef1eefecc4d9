//! Asks on the link: whose link address answers for members, gateways, this node's own addresses and VIPs.
//!
//! Ordinary questions come from the node's own address, as the kernel's do. Probes name no address of ours (ARP: RFC 5227), so
//! that nobody learns anything from them; over IPv6 they come from the link-local address instead of `::`, since what answers a
//! question from `::` goes to all nodes and overrides what they know (RFC 4861 section 7.2.4), which the answer to us does not.
//!
//! The errand's own thread sends and receives; it ends when all is asked, and within a tenth of a second when it is told to.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use plumbline_measure::{
    arp::Arp,
    inquiry::{Action, Inquiry, Until},
    ndp::{Discovery, group_mac},
};
use plumbline_model::{
    errand::{self, LinkErrand},
    observation::{Asked, LinkSeen, MAX_ANSWERS, Record, Subject, Undone, UndoneWhy},
    port::Family,
};
use plumbline_sys::{
    Errno,
    link::{BROADCAST, Cast, EtherType, Frame, LinkSocket},
};
use tracing::warn;

use super::{
    Post, Stop,
    data_link::{DataLink, text},
};

/// Asks until everything is answered or was asked often enough. Nothing is reported where there is no link.
pub(super) fn ask(errand: &LinkErrand, post: &Post, stop: &Stop) -> Vec<Record> {
    let asked = DataLink::find(post).and_then(|link| match link {
        Some(link) => {
            let socket = link.open()?;
            Ok(Some(Asking::new(errand, post, link, socket)))
        }
        None => Ok(None),
    });
    match asked {
        Ok(None) => Vec::new(),
        Ok(Some(mut asking)) => {
            asking.run(post, stop);
            vec![Record::Link(asking.result())]
        }
        Err(why) => undone(why),
    }
}

fn undone(why: UndoneWhy) -> Vec<Record> {
    let errand = errand::Kind::Link;
    vec![Record::Undone(Undone { errand, why })]
}

/// A question and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Question {
    address: IpAddr,
    subject: Subject,
    /// Which it is of those that are asked; absent for an address that is not on the link.
    index: Option<usize>,
}

struct Asking {
    link: DataLink,
    socket: LinkSocket,
    questions: Vec<Question>,
    /// The addresses that are asked for, by the index that the inquiry knows.
    targets: Vec<(IpAddr, Subject)>,
    by_address: BTreeMap<IpAddr, usize>,
    inquiry: Inquiry,
    own: Own,
    broadcasts: u32,
    unfinished: bool,
}

/// The addresses from which ordinary questions come.
#[derive(Debug, Clone, Copy)]
struct Own {
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Ipv6Addr>,
}

impl Asking {
    fn new(errand: &LinkErrand, post: &Post, link: DataLink, socket: LinkSocket) -> Self {
        let own = Own::of(post);
        let mut questions: Vec<Question> = Vec::new();
        let mut targets: Vec<(IpAddr, Subject)> = Vec::new();
        let mut by_address = BTreeMap::new();
        for (address, subject) in wanted(errand, post, &link) {
            // Asked for once, whatever for: as a gateway rather than as a peer.
            if by_address.contains_key(&address) {
                continue;
            }
            let speaks = match address {
                IpAddr::V4(_) => own.ipv4.is_some(),
                IpAddr::V6(_) => own.ipv6.is_some(),
            };
            let is_on_link = speaks
                && match subject {
                    Subject::Gateway => true,
                    Subject::Peer { .. } => link.looks_for(address),
                    Subject::Own | Subject::Spare => link.has(address),
                };
            let index = is_on_link.then_some(targets.len());
            if let Some(index) = index {
                targets.push((address, subject));
                by_address.insert(address, index);
            }
            questions.push(Question {
                address,
                subject,
                index,
            });
        }
        let until = |(_, subject): &(IpAddr, Subject)| match subject {
            Subject::Own => Until::Asked,
            Subject::Peer { .. } | Subject::Gateway | Subject::Spare => Until::Answered,
        };
        Self {
            inquiry: Inquiry::new(targets.iter().map(until), post.link_pace.now()),
            link,
            socket,
            questions,
            targets,
            by_address,
            own,
            broadcasts: 0,
            unfinished: false,
        }
    }

    fn run(&mut self, post: &Post, stop: &Stop) {
        loop {
            if stop.is_asked_for() {
                self.unfinished = true;
                return;
            }
            let now = post.link_pace.now();
            let wait = match post.link_pace.with(|pacer| self.inquiry.poll(now, pacer)) {
                Action::Done => return,
                Action::Ask(index) => {
                    self.send(index);
                    Duration::ZERO
                }
                Action::Wait(until) => until.since(now).min(LONGEST_WAIT),
            };
            self.hear(wait);
        }
    }

    fn send(&mut self, index: usize) {
        let Some((target, subject)) = self.targets.get(index).copied() else {
            return;
        };
        let is_probe = matches!(subject, Subject::Own | Subject::Spare);
        let sent = match target {
            IpAddr::V4(target) => {
                let sender = self.own.ipv4.filter(|_| !is_probe);
                let packet = sender.map_or_else(
                    || Arp::probe(self.link.mac, target),
                    |own| Arp::request(self.link.mac, own, target),
                );
                let sent = self.socket.send(EtherType::Arp, BROADCAST, &packet.to_bytes());
                if sender.is_some() && sent.is_ok() {
                    self.broadcasts += 1;
                }
                sent
            }
            IpAddr::V6(target) => {
                let own = if is_probe {
                    self.link.link_local()
                } else {
                    self.own.ipv6
                };
                let source = own.unwrap_or(Ipv6Addr::UNSPECIFIED);
                let question = Discovery::question(source, self.link.mac, target);
                let to = group_mac(question.destination);
                self.socket.send(EtherType::Ipv6, to, &question.to_bytes())
            }
        };
        if let Err(errno) = sent {
            self.fail("send a question on the link", errno);
        }
    }

    /// Hears one frame, and then whatever is there already.
    fn hear(&mut self, wait: Duration) {
        let mut wait = wait;
        for _ in 0..MOST_AT_ONCE {
            match self.socket.receive(wait) {
                Ok(Some(frame)) => self.take(&frame),
                Ok(None) => return,
                Err(errno) => {
                    self.fail("hear answers on the link", errno);
                    std::thread::sleep(wait);
                    return;
                }
            }
            wait = Duration::ZERO;
        }
    }

    fn take(&mut self, frame: &Frame) {
        let answer = match frame.protocol {
            EtherType::Arp => Arp::parse(&frame.packet)
                .filter(|arp| arp.is_reply && frame.to == Cast::Host)
                .map(|arp| (IpAddr::from(arp.sender), arp.sender_mac)),
            EtherType::Ipv6 => Discovery::parse(&frame.packet)
                .filter(|discovery| discovery.is_reply)
                .map(|discovery| (discovery.target.into(), discovery.mac.unwrap_or(frame.from))),
            EtherType::Ipv4 => None,
        };
        if let Some((address, mac)) = answer
            && let Some(index) = self.by_address.get(&address)
        {
            self.inquiry.answered(*index, mac);
        }
    }

    /// The interface went away for a moment, perhaps: silence then says nothing.
    fn fail(&mut self, operation: &str, errno: Errno) {
        if !self.unfinished {
            warn!("failed to {operation}: {errno}");
        }
        self.unfinished = true;
    }

    fn result(self) -> LinkSeen {
        let asked = self.questions.iter().map(|question| {
            let result = question.index.and_then(|index| self.inquiry.result(index));
            let (sent, macs) = result.map_or_else(Default::default, |(sent, macs)| {
                (sent, macs.take(MAX_ANSWERS).map(text).collect())
            });
            Asked {
                address: question.address,
                subject: question.subject,
                sent,
                not_on_link: question.index.is_none(),
                macs,
            }
        });
        LinkSeen {
            asked: asked.collect(),
            interface: self.link.name,
            mac: text(self.link.mac),
            broadcasts: self.broadcasts,
            unfinished: self.unfinished,
        }
    }
}

impl Own {
    fn of(post: &Post) -> Self {
        let own = post.members.iter().find(|member| member.node == post.node);
        let address = |family| own.and_then(|own| own.data_address(family));
        Self {
            ipv4: address(Family::Ipv4).and_then(|address| match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            }),
            ipv6: address(Family::Ipv6).and_then(|address| match address {
                IpAddr::V6(address) => Some(address),
                IpAddr::V4(_) => None,
            }),
        }
    }
}

/// What is asked for, in order: what takes longest, as nobody should answer, comes first.
fn wanted(errand: &LinkErrand, post: &Post, link: &DataLink) -> Vec<(IpAddr, Subject)> {
    let own = Own::of(post);
    let own = own
        .ipv4
        .map(IpAddr::from)
        .into_iter()
        .chain(own.ipv6.map(IpAddr::from));
    let mut wanted: Vec<(IpAddr, Subject)> = own
        .filter(|address| link.owns(*address))
        .map(|address| (address, Subject::Own))
        .collect();
    let gateways = link.gateways.iter().map(|gateway| (*gateway, Subject::Gateway));
    wanted.extend(gateways);
    for node in &errand.peers {
        let member = post.peers.get(node).map(|peer| &peer.member);
        for family in [Family::Ipv4, Family::Ipv6] {
            let address = member.and_then(|member| member.data_address(family));
            wanted.extend(address.map(|address| (address, Subject::Peer { node: *node })));
        }
    }
    let spare = errand.addresses.iter().filter(|address| !link.owns(**address));
    wanted.extend(spare.map(|address| (*address, Subject::Spare)));
    wanted
}

/// An errand that is told to stop ends within this time.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Frames taken in a row before it is looked whether something is to be sent.
const MOST_AT_ONCE: usize = 256;
