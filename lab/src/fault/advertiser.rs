//! Somebody who advertises a virtual router (VRRP) on a link.

use std::{
    io,
    net::Ipv4Addr,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use plumbline_sys::{
    link::{EtherType, LinkSocket},
    ns::NetNs,
    route::Network,
};

use super::FaultError;
use crate::{LabError, wiring};

/// Sends an advertisement a second, on a thread of its own that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Advertiser {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Advertiser {
    /// Advertises from a host's first interface.
    pub(super) fn start(
        namespace: &NetNs,
        sender: Ipv4Addr,
        vrid: u8,
        address: Ipv4Addr,
    ) -> Result<Self, FaultError> {
        let open = || -> Result<LinkSocket, io::Error> {
            let link = Network::open().and_then(|mut network| network.link(wiring::HOST_DEVICE));
            let link = link.map_err(io::Error::other)?;
            let index = link
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?
                .index;
            LinkSocket::open(index).map_err(io::Error::other)
        };
        let opened = namespace.run(open).map_err(LabError::Namespace)?;
        let socket = opened.map_err(FaultError::Advertise)?;
        let packet = advertisement(sender, vrid, address);
        let (stop, stopped) = mpsc::channel();
        let advertise = move || {
            loop {
                // A link that is down hears nothing, and is tried again.
                let _ = socket.send(EtherType::Ipv4, ALL_VIRTUAL_ROUTERS, &packet);
                if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new()
            .name("advertiser".to_owned())
            .spawn(advertise)
            .map_err(FaultError::Advertise)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Advertiser {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An advertisement of version 2 (RFC 3768 section 5.1) from its IP header on, without authentication:
///
/// ```text
///    0                   1                   2                   3
///    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///   |  2  | type 1  |     VRID      |   priority    | addresses: 1  |
///   |  no auth: 0   | 1 s interval  |           checksum            |
///   |                            address                            |
///   |                    authentication: 8 zeros                    |
/// ```
fn advertisement(sender: Ipv4Addr, vrid: u8, address: Ipv4Addr) -> Vec<u8> {
    let mut message = vec![0x21, vrid, 100, 1, 0, 1, 0, 0];
    message.extend(address.octets());
    message.extend([0; 8]);
    let sum = checksum(&message).to_be_bytes();
    message[6..8].copy_from_slice(&sum);
    let total = u16::try_from(IP_HEADER + message.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    // TTL 255, protocol 112.
    let mut packet = vec![0x45, 0xc0, total[0], total[1], 0, 0, 0, 0, 255, 112, 0, 0];
    packet.extend(sender.octets());
    packet.extend([224, 0, 0, 18]);
    let sum = checksum(&packet).to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet.extend(message);
    packet
}

/// The Internet checksum (RFC 1071) of an even number of octets.
fn checksum(octets: &[u8]) -> u16 {
    let words = octets
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(!sum & 0xffff).unwrap_or_default()
}

const IP_HEADER: usize = 20;
/// The link address of 224.0.0.18 (RFC 1112 section 6.4).
const ALL_VIRTUAL_ROUTERS: [u8; 6] = [1, 0, 0x5e, 0, 0, 18];
/// RFC 3768 section 5.3.7.
const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertisement_checks_itself() {
        let packet = advertisement([10, 0, 0, 7].into(), 51, [10, 0, 0, 9].into());
        assert_eq!(checksum(&packet[..IP_HEADER]), 0);
        assert_eq!(checksum(&packet[IP_HEADER..]), 0);
        assert_eq!((packet.len(), packet[21]), (40, 51));
    }
}
