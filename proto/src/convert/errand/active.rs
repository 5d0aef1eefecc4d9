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

#[cfg(test)]
mod tests {
    use plumbline_model::{errand::Errand, evidence::Member};

    use super::*;
    use crate::convert::errand::{errand, wire_errand};

    fn member(last: u8) -> Member {
        let address: IpAddr = [10, 0, 0, last].into();
        Member {
            node: address.into(),
            addresses: vec![address],
            tls_key_sha256: "ab".repeat(32),
            signing_key: format!("04{}", "cd".repeat(64)),
            agreement_key: "ef".repeat(32),
            data_ipv6: None,
        }
    }

    fn roster() -> Roster {
        Roster::new((1..=3).map(member).collect()).unwrap()
    }

    fn node(last: u8) -> NodeId {
        NodeId::Address([10, 0, 0, last].into())
    }

    fn taking() -> v1::Hold {
        v1::Hold {
            turn: 1,
            vip: vec![10, 0, 0, 100],
            port: 443,
            take: true,
            members: vec![1, 2],
        }
    }

    #[test]
    fn what_is_asked_for_comes_out_as_it_went_in() {
        let hold = |vip: &str, part| {
            Errand::Hold(HoldErrand {
                turn: 7,
                vip: vip.parse().unwrap(),
                port: 443,
                part,
            })
        };
        let asked = [
            hold(
                "10.0.0.100",
                HoldPart::Take {
                    callers: vec![node(2), node(3)],
                },
            ),
            hold(
                "fd00::100",
                HoldPart::Reach {
                    holders: vec![node(1)],
                },
            ),
            Errand::Tunnel(TunnelErrand {
                turn: 1_000,
                encapsulation: Encapsulation::Geneve,
                port: 6081,
                peer: node(3),
                takes: true,
            }),
        ];
        for asked in asked {
            let wire = wire_errand(&asked, &roster()).unwrap();
            assert_eq!(errand(&wire, &roster()).unwrap(), asked);
        }
    }

    #[test]
    fn nothing_is_read_that_is_out_of_range_or_names_nobody() {
        assert!(hold(&taking(), &roster()).is_ok());
        let spoilt: [fn(&mut v1::Hold); 6] = [
            |wire| wire.vip = vec![10, 0, 0],
            |wire| wire.vip = vec![0; 17],
            |wire| wire.port = 0,
            |wire| wire.port = 65_536,
            |wire| wire.members = vec![3],
            |wire| wire.members = vec![1; MAX_CALLERS + 1],
        ];
        for (case, spoil) in spoilt.iter().enumerate() {
            let mut wire = taking();
            spoil(&mut wire);
            assert!(hold(&wire, &roster()).is_err(), "case {case}");
        }
        let tunnel_without_a_kind = v1::Tunnel {
            turn: 0,
            encapsulation: 0,
            port: 6081,
            peer: 1,
            take: true,
        };
        assert!(tunnel(&tunnel_without_a_kind, &roster()).is_err());
    }
}
