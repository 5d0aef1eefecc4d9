//! A transfer through a tunnel of its own (`--active`).
//!
//! ```text
//!   network namespace of the errand          |  the host's own namespace
//!                                            |
//!   198.18.0.1/30 or .2, device of the tunnel ---> UDP from and to the data address, the overlay's port
//! ```
//!
//! The device is made in a namespace that nobody else has, while its packets travel in the host's: nothing of the host is
//! changed, and nothing of it can be reached from inside. The errand's thread owns the namespace; with its last descriptor, at the
//! end of the errand or of the process, the kernel removes it with the device.

mod stream;
mod transfer;

use std::net::Ipv4Addr;

use plumbline_model::{
    errand::{Encapsulation, TunnelErrand},
    observation::{Record, Transfer, Tried, TunnelSeen, UndoneWhy},
    port::Family,
};
use plumbline_sys::{
    Errno,
    ns::{self, NetNs},
    route::{self, Network, Tunnel, TunnelKind},
};

use self::transfer::End;
use super::{Begun, Post, Stop, data_link::DataLink};
use crate::error_chain::chain;

/// Begins one end's part. Whoever takes the transfer listens when this returns.
///
/// # Errors
/// Why it cannot begin.
pub(super) fn begin(errand: TunnelErrand, post: &Post, stop: Stop) -> Result<Begun, UndoneWhy> {
    let record = move |outcome: Transfer| {
        vec![Record::Tunnel(TunnelSeen {
            turn: errand.turn,
            encapsulation: errand.encapsulation,
            port: errand.port,
            peer: errand.peer,
            took: errand.takes,
            outcome,
        })]
    };
    let peer = post.peers.get(&errand.peer).map(|peer| &peer.member);
    let Some(std::net::IpAddr::V4(peer)) = peer.and_then(|peer| peer.data_address(Family::Ipv4)) else {
        return Err(failed("the other end has no IPv4 address".to_owned()));
    };
    let link = DataLink::find(post)?.ok_or_else(|| failed("there is no link to send on".to_owned()))?;
    let mut network = Network::open().map_err(|error| refused(&error))?;
    let links = network.links().map_err(|error| refused(&error))?;
    let mtu = links
        .iter()
        .find(|own| own.index == link.index)
        .map(|own| own.mtu);
    let mtu = mtu.ok_or_else(|| failed(format!("{} is gone", link.name)))?;
    let Some(inner_mtu) = mtu.checked_sub(OVERHEAD).filter(|mtu| *mtu >= LEAST_MTU) else {
        return Err(failed(format!(
            "the MTU of {} leaves no room for a tunnel",
            link.name
        )));
    };
    let namespace = NetNs::create().map_err(|error| forbidden(&error))?;
    let tunnel = Tunnel {
        kind: match errand.encapsulation {
            Encapsulation::Vxlan => TunnelKind::Vxlan,
            Encapsulation::Geneve => TunnelKind::Geneve,
        },
        name: DEVICE,
        namespace: std::os::fd::AsFd::as_fd(&namespace),
        mtu: inner_mtu,
        network_id: NETWORK_ID ^ (errand.turn & 0xffff),
        remote: peer,
        port: errand.port,
    };
    if let Err(error) = network.add_tunnel(&tunnel) {
        return match error.source.refused_errno().map(Errno::from_raw_os_error) {
            Some(Errno::OPNOTSUPP) => Ok(Begun::Over(record(Transfer::NoDevice))),
            _ => Err(refused(&error)),
        };
    }
    let own = if errand.takes { TAKER } else { SENDER };
    let ready = namespace.run(|| set_up(own)).map_err(|error| forbidden(&error))?;
    if let Err(error) = ready {
        return match error.source.refused_errno().map(Errno::from_raw_os_error) {
            Some(Errno::ADDRINUSE) => Ok(Begun::Over(record(Transfer::PortHeld))),
            _ => Err(refused(&error)),
        };
    }
    let end = if errand.takes {
        let listener = namespace
            .run(|| transfer::listen(TAKER))
            .map_err(|error| forbidden(&error))?;
        End::Takes(listener.map_err(|error| failed(format!("listen in the tunnel: {error}")))?)
    } else {
        End::Sends(TAKER)
    };
    Ok(Begun::UnderWay(Box::new(move || {
        let seed = errand.turn;
        let done = namespace.run(|| {
            let done = transfer::transfer(end, seed, &stop);
            // The namespace would take it along, but at its leisure: the next turn wants the port.
            let _ = Network::open().and_then(|mut network| network.delete_link(DEVICE));
            done
        });
        // The namespace was joined a moment ago; that it cannot be joined again leaves a transfer that never began.
        let done = done.unwrap_or_default();
        record(Transfer::Tried(Tried {
            mtu,
            inner_mtu,
            ..done
        }))
    })))
}

/// Sets the device up and gives it its address.
fn set_up(own: Ipv4Addr) -> Result<(), route::Error> {
    let mut network = Network::open()?;
    network.set_up(DEVICE, true)?;
    if let Some(link) = network.link(DEVICE)? {
        network.add_address(link.index, own.into(), PREFIX)?;
    }
    Ok(())
}

fn refused(error: &route::Error) -> UndoneWhy {
    if error.source.refused_errno() == Some(Errno::PERM.raw_os_error()) {
        let name = "CAP_NET_ADMIN".to_owned();
        return UndoneWhy::Capability { name };
    }
    failed(format!("failed to {}", chain(error)))
}

fn forbidden(error: &ns::Error) -> UndoneWhy {
    match error {
        ns::Error::Failed { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            let name = "CAP_SYS_ADMIN".to_owned();
            UndoneWhy::Capability { name }
        }
        _ => failed(format!("failed to {}", chain(error))),
    }
}

fn failed(reason: String) -> UndoneWhy {
    UndoneWhy::Failed { reason }
}

const DEVICE: &str = "plumb0";
/// IPv4, UDP, VXLAN or GENEVE without options, Ethernet: 20 + 8 + 8 + 14.
const OVERHEAD: u32 = 50;
/// What every IPv4 host takes (RFC 791 section 3.1).
const LEAST_MTU: u32 = 576;
/// The networks inside, one for each turn: none that an overlay uses, since these count from 1.
const NETWORK_ID: u32 = 0x70_00_00;
/// From the range for tests of devices (RFC 2544 appendix C.2.2), inside the tunnel alone.
const TAKER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const SENDER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const PREFIX: u8 = 30;
