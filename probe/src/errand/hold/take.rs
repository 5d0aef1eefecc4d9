//! Takes a VIP as its holder would: makes sure that nobody has it, has the kernel lend it, announces it, answers for it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use plumbline_measure::{arp::Arp, pacer::Permit};
use plumbline_model::{
    errand::{HOLD_LEASE_S, MAX_STAY_MS},
    id::NodeId,
    observation::{InUse, Kept, UndoneWhy},
    port::Family,
};
use plumbline_sys::{
    Errno,
    link::{BROADCAST, EtherType, LinkSocket},
    route::{self, Network},
};

use super::{
    discovery,
    serve::{self, Server},
};
use crate::{
    errand::{
        LinkPace, Post, Stop,
        data_link::{self, DataLink},
    },
    error_chain::chain,
};

/// What came of it.
pub(super) enum Taken {
    /// Somebody has it.
    InUse(InUse),
    /// It is here.
    Lent(Box<Holding>),
}

/// An address that is here for a while.
pub(super) struct Holding {
    lent: Lent,
    link: LinkSocket,
    mac: [u8; 6],
    /// From which the IPv6 address is told of.
    link_local: Option<Ipv6Addr>,
    pace: LinkPace,
    server: Server,
    probing: Duration,
    compared: bool,
}

/// Gives the address back when it goes.
struct Lent {
    network: Network,
    link: u32,
    address: IpAddr,
}

impl Lent {
    fn give_back(&mut self) -> bool {
        self.network
            .delete_address(self.link, self.address, prefix(self.address))
            .is_ok()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // If it is not there any more, nothing is to be done; if it cannot be removed, its lifetime ends it.
        self.give_back();
    }
}

/// Takes a VIP, unless somebody has it.
///
/// # Errors
/// Why it cannot be taken here.
pub(super) fn take(vip: IpAddr, port: u16, callers: &[NodeId], post: &Post) -> Result<Taken, UndoneWhy> {
    let failed = |reason: String| UndoneWhy::Failed { reason };
    let link = DataLink::find(post)?.ok_or_else(|| failed("there is no link with a VIP here".to_owned()))?;
    if link.owns(vip) || link.gateways.contains(&vip) || !link.has(vip) {
        return Err(failed(format!(
            "{vip} is no free address in a subnet of {}",
            link.name
        )));
    }
    let begun = Instant::now();
    let mut socket = link.open()?;
    if let Some(mac) =
        owner(&mut socket, link.mac, vip, &post.link_pace).map_err(|errno| gone(&link, errno))?
    {
        return Ok(Taken::InUse(InUse {
            mac: Some(data_link::text(mac)),
        }));
    }
    let mut lent = lend(link.index, vip)?;
    if vip.is_ipv6() && !lent.is_unique()? {
        return Ok(Taken::InUse(InUse { mac: None }));
    }
    let at_vip = serve::listen(vip, port).map_err(|errno| unbound(vip, port, errno))?;
    // Where somebody holds the port on the own address there is nothing to compare with, and that is told.
    let own = post
        .members
        .iter()
        .find(|member| member.node == post.node)
        .and_then(|own| own.data_address(Family::of(vip)));
    let compared = own.and_then(|own| Some((own, serve::listen(own, port).ok()?)));
    let is_compared = compared.is_some();
    let listeners = std::iter::once((vip, at_vip)).chain(compared).collect();
    let mut holding = Holding {
        lent,
        link: socket,
        mac: link.mac,
        link_local: link.link_local(),
        pace: post.link_pace.clone(),
        server: Server::new(post, vip, port, callers, listeners),
        probing: begun.elapsed(),
        compared: is_compared,
    };
    // The first announcement is what a move is measured from; without it nobody needs to begin.
    holding.announce().map_err(|errno| gone(&link, errno))?;
    Ok(Taken::Lent(Box::new(holding)))
}

impl Holding {
    /// Keeps it, announces it some times more, and answers, until everybody came for a while or the time is over.
    pub(super) fn keep(mut self, stop: &Stop) -> Kept {
        let announced = Instant::now();
        let stay = Duration::from_millis(MAX_STAY_MS.into());
        let mut announcements = 1;
        loop {
            let now = Instant::now();
            self.server.serve(now);
            let stayed = now.saturating_duration_since(announced);
            let is_quiet = announcements >= ANNOUNCEMENTS && self.server.has_heard_everybody_for(SETTLED);
            if stop.is_asked_for() || stayed >= stay || is_quiet {
                break;
            }
            if announcements < ANNOUNCEMENTS && stayed >= BETWEEN_ANNOUNCEMENTS * announcements {
                // One that is not sent is not counted; the next may be.
                announcements += u32::from(self.announce().is_ok());
            }
            std::thread::sleep(ROUND);
        }
        let stayed = announced.elapsed();
        Kept {
            mac: data_link::text(self.mac),
            probing_ms: millis(self.probing),
            announcements,
            stayed_ms: millis(stayed),
            compared: self.compared,
            callers: self.server.callers(announced),
            given_back: self.lent.give_back(),
        }
    }

    /// Tells everybody on the link where the address is (RFC 5227 section 2.3; RFC 4861 section 7.2.6).
    fn announce(&mut self) -> Result<(), Errno> {
        wait_for(&self.pace);
        match self.lent.address {
            IpAddr::V4(vip) => {
                let announcement = Arp::request(self.mac, vip, vip).to_bytes();
                self.link.send(EtherType::Arp, BROADCAST, &announcement)
            }
            IpAddr::V6(vip) => {
                let source = self.link_local.unwrap_or(vip);
                let advertisement = discovery::unsolicited(source, vip, self.mac);
                self.link.send(EtherType::Ipv6, ALL_NODES_MAC, &advertisement)
            }
        }
    }
}

impl Lent {
    /// Waits for the kernel's own search for duplicates (RFC 4862 section 5.4); whether there are none.
    fn is_unique(&mut self) -> Result<bool, UndoneWhy> {
        let begun = Instant::now();
        while begun.elapsed() < DUPLICATE_SEARCH {
            let addresses = self.network.addresses().map_err(|error| refused(&error))?;
            let own = addresses
                .iter()
                .find(|own| own.link == self.link && own.address == self.address);
            match own {
                Some(own) if own.usable => return Ok(true),
                Some(_) => std::thread::sleep(ROUND * 4),
                None => return Ok(false),
            }
        }
        Ok(false)
    }
}

/// Asks three times whether somebody has an address, and listens (RFC 5227 section 2.1.1, RFC 4862 section 5.4, with shorter waits:
/// longer ones would hide what a move takes). Whoever uses it, or asks for it in the same way, is told. That the kernel looks for
/// duplicates of IPv6 addresses is not relied on: a setting can forbid it.
fn owner(
    socket: &mut LinkSocket,
    own: [u8; 6],
    vip: IpAddr,
    pace: &LinkPace,
) -> Result<Option<[u8; 6]>, Errno> {
    for _ in 0..PROBES {
        wait_for(pace);
        match vip {
            IpAddr::V4(vip) => {
                socket.send(EtherType::Arp, BROADCAST, &Arp::probe(own, vip).to_bytes())?;
            }
            IpAddr::V6(vip) => {
                let (probe, to) = discovery::probe(vip);
                socket.send(EtherType::Ipv6, to, &probe)?;
            }
        }
        let asked = Instant::now();
        loop {
            let rest = BETWEEN_PROBES.saturating_sub(asked.elapsed());
            if rest.is_zero() {
                break;
            }
            let Some(frame) = socket.receive(rest)? else {
                continue;
            };
            let claims = match (vip, frame.protocol) {
                (IpAddr::V4(vip), EtherType::Arp) => arp_claims(&frame.packet, vip),
                (IpAddr::V6(vip), EtherType::Ipv6) => {
                    discovery::claims(&frame.packet, vip).then_some(frame.from)
                }
                _ => None,
            };
            if let Some(mac) = claims.filter(|mac| *mac != own) {
                return Ok(Some(mac));
            }
        }
    }
    Ok(None)
}

/// The link address of somebody who says that he has an address, or wants it.
fn arp_claims(packet: &[u8], vip: Ipv4Addr) -> Option<[u8; 6]> {
    let arp = Arp::parse(packet)?;
    let wants_it = arp.sender == Ipv4Addr::UNSPECIFIED && arp.target == vip;
    (arp.sender == vip || wants_it).then_some(arp.sender_mac)
}

/// Waits until one more ARP or ND packet may be sent: some hundred milliseconds at most, since nobody else is at it.
fn wait_for(pace: &LinkPace) {
    for _ in 0..PACE_ROUNDS {
        let permit = pace.with(|pacer| pacer.take(pace.now()));
        if permit == Permit::Granted {
            return;
        }
        std::thread::sleep(ROUND);
    }
}

fn lend(link: u32, vip: IpAddr) -> Result<Lent, UndoneWhy> {
    let mut network = Network::open().map_err(|error| refused(&error))?;
    let lifetime = Duration::from_secs(HOLD_LEASE_S.into());
    network
        .lend_address(link, vip, prefix(vip), lifetime)
        .map_err(|error| refused(&error))?;
    Ok(Lent {
        network,
        link,
        address: vip,
    })
}

fn refused(error: &route::Error) -> UndoneWhy {
    if error.source.refused_errno() == Some(Errno::PERM.raw_os_error()) {
        let name = "CAP_NET_ADMIN".to_owned();
        return UndoneWhy::Capability { name };
    }
    UndoneWhy::Failed {
        reason: format!("failed to {}", chain(error)),
    }
}

fn unbound(vip: IpAddr, port: u16, errno: Errno) -> UndoneWhy {
    if matches!(errno, Errno::ACCESS | Errno::PERM) {
        let name = "CAP_NET_BIND_SERVICE".to_owned();
        return UndoneWhy::Capability { name };
    }
    UndoneWhy::Failed {
        reason: format!("failed to open port {port} of {vip}: {errno}"),
    }
}

fn gone(link: &DataLink, errno: Errno) -> UndoneWhy {
    UndoneWhy::Failed {
        reason: format!("failed to send on {}: {errno}", link.name),
    }
}

fn prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// Probes before an address is taken (RFC 5227, PROBE_NUM).
const PROBES: u32 = 3;
/// How long an answer to a probe is waited for; on one link it takes a millisecond.
const BETWEEN_PROBES: Duration = Duration::from_millis(200);
/// How often an address is announced: once is enough in theory, and frames are lost.
const ANNOUNCEMENTS: u32 = 5;
/// Keepalived's and MetalLB's announcements come as closely.
const BETWEEN_ANNOUNCEMENTS: Duration = Duration::from_millis(250);
/// How long a caller must have gone on reaching the address.
const SETTLED: Duration = Duration::from_millis(500);
/// How often what there is to do is looked at: a caller notices no delay of this.
const ROUND: Duration = Duration::from_millis(5);
/// Rounds that the pace is waited for at most: a second.
const PACE_ROUNDS: u32 = 200;
/// How long the kernel may search for duplicates: one probe, a second, and a random delay before it of up to one more.
const DUPLICATE_SEARCH: Duration = Duration::from_secs(4);
/// All nodes on a link (RFC 4291 section 2.7.1, RFC 2464 section 7).
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
