//! Errands that need `--active`: turns of VIPs and of tunnels.

use std::net::IpAddr;

use plumbline_model::{
    errand::{Encapsulation, HoldErrand, HoldPart, MAX_CALLERS, MAX_HOLDERS, TunnelErrand},
    id::NodeId,
};

use crate::{
    convert::{
        FieldError, Invalid, Roster,
        assignment::{index_of, node_at},
        at_most, bytes,
    },
    v1,
};

pub(super) fn wire_hold(errand: &HoldErrand, roster: &Roster) -> Result<v1::Hold, Invalid> {
    let members = match &errand.part {
        HoldPart::Take { callers: members } | HoldPart::Reach { holders: members } => members,
    };
    let index = |node: &NodeId| index_of("members", *node, roster);
    Ok(v1::Hold {
        turn: errand.turn,
        vip: match errand.vip {
            IpAddr::V4(vip) => vip.octets().to_vec(),
            IpAddr::V6(vip) => vip.octets().to_vec(),
        },
        port: errand.port.into(),
        take: errand.takes(),
        members: members.iter().map(index).collect::<Result<_, _>>()?,
    })
}

pub(super) fn hold(wire: &v1::Hold, roster: &Roster) -> Result<HoldErrand, Invalid> {
    let most = if wire.take { MAX_CALLERS } else { MAX_HOLDERS };
    at_most("members", wire.members.len(), most)?;
    let node = |index: &u32| node_at("members", *index, roster);
    let members: Vec<NodeId> = wire.members.iter().map(node).collect::<Result<_, _>>()?;
    Ok(HoldErrand {
        turn: wire.turn,
        vip: vip(&wire.vip)?,
        port: one_port(wire.port)?,
        part: if wire.take {
            HoldPart::Take { callers: members }
        } else {
            HoldPart::Reach { holders: members }
        },
    })
}

fn vip(octets: &[u8]) -> Result<IpAddr, Invalid> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Ok(octets.into());
    }
    bytes::<16>("vip", octets).map(IpAddr::from)
}

fn one_port(found: u32) -> Result<u16, Invalid> {
    u16::try_from(found)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| {
            FieldError::OutOfRange {
                found: found.into(),
                least: 1,
                most: u16::MAX.into(),
            }
            .at("port")
        })
}

pub(super) fn wire_tunnel(errand: &TunnelErrand, roster: &Roster) -> Result<v1::Tunnel, Invalid> {
    let encapsulation = match errand.encapsulation {
        Encapsulation::Vxlan => v1::Encapsulation::Vxlan,
        Encapsulation::Geneve => v1::Encapsulation::Geneve,
    };
    Ok(v1::Tunnel {
        turn: errand.turn,
        encapsulation: encapsulation.into(),
        port: errand.port.into(),
        peer: index_of("peer", errand.peer, roster)?,
        take: errand.takes,
    })
}

pub(super) fn tunnel(wire: &v1::Tunnel, roster: &Roster) -> Result<TunnelErrand, Invalid> {
    let encapsulation = match wire.encapsulation() {
        v1::Encapsulation::Vxlan => Encapsulation::Vxlan,
        v1::Encapsulation::Geneve => Encapsulation::Geneve,
        v1::Encapsulation::Unspecified => return Err(FieldError::Absent.at("encapsulation")),
    };
    Ok(TunnelErrand {
        turn: wire.turn,
        encapsulation,
        port: one_port(wire.port)?,
        peer: node_at("peer", wire.peer, roster)?,
        takes: wire.take,
    })
}
