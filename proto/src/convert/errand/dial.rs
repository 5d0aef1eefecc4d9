//! Errand dial.

use std::net::IpAddr;

use plumbline_model::errand::{
    Anchors, Depth, DialErrand, DialTarget, Login, MAX_DIAL_HOST, MAX_DIAL_ROOT, MAX_DIAL_ROOTS,
    MAX_DIAL_TARGETS, PeerTarget, ProxyServer, Question, RecordType, Site, Via,
};

use crate::{
    convert::{FieldError, Invalid, at_most, bytes, in_range},
    v1,
};

/// The numbers of the types (RFC 1035 section 3.2.2, RFC 3596 section 2.1).
const RECORDS: [(u32, RecordType); 3] = [(1, RecordType::A), (12, RecordType::Ptr), (28, RecordType::Aaaa)];

pub(super) fn wire(errand: &DialErrand) -> v1::Dial {
    v1::Dial {
        targets: errand.targets.iter().map(wire_target).collect(),
        proxy: errand.proxy.as_ref().map(|proxy| {
            let login = proxy.login.as_ref();
            v1::DialProxy {
                host: proxy.host.clone(),
                port: proxy.port.into(),
                user: login.map(|login| login.user.clone()).unwrap_or_default(),
                password: login.map(|login| login.password.clone()).unwrap_or_default(),
            }
        }),
        roots: errand.roots.clone(),
    }
}

fn wire_target(target: &DialTarget) -> v1::DialTarget {
    use v1::dial_target::Target as Wire;
    let target = match target {
        DialTarget::Site(site) => Wire::Site(v1::DialSite {
            host: site.host.clone(),
            port: site.port.into(),
            through_proxy: site.via == Via::Proxy,
            given_roots: site.anchors == Anchors::Given,
        }),
        DialTarget::Question(question) => {
            let of_type = |(_, record): &&(u32, RecordType)| *record == question.record;
            Wire::Question(v1::DialQuestion {
                server: question.server.map(wire_address).unwrap_or_default(),
                name: question.name.clone(),
                record: RECORDS.iter().find(of_type).map_or(0, |(number, _)| *number),
            })
        }
        DialTarget::Peer(peer) => Wire::Peer(v1::DialPeer {
            address: wire_address(peer.address),
            local_as: peer.local_as,
            peer_as: peer.peer_as,
            open: peer.depth == Depth::Open,
        }),
    };
    v1::DialTarget { target: Some(target) }
}

fn wire_address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub(super) fn read(wire: &v1::Dial) -> Result<DialErrand, Invalid> {
    at_most("targets", wire.targets.len(), MAX_DIAL_TARGETS)?;
    at_most("roots", wire.roots.len(), MAX_DIAL_ROOTS)?;
    for root in &wire.roots {
        at_most("roots", root.len(), MAX_DIAL_ROOT)?;
    }
    let targets = wire.targets.iter().map(target).collect::<Result<Vec<_>, _>>()?;
    let proxy = wire.proxy.as_ref().map(proxy).transpose()?;
    let needs_proxy =
        |target: &DialTarget| matches!(target, DialTarget::Site(site) if site.via == Via::Proxy);
    if proxy.is_none() && targets.iter().any(needs_proxy) {
        return Err(FieldError::Absent.at("proxy"));
    }
    Ok(DialErrand {
        targets,
        proxy,
        roots: wire.roots.clone(),
    })
}

fn target(wire: &v1::DialTarget) -> Result<DialTarget, Invalid> {
    use v1::dial_target::Target as Wire;
    let target = wire
        .target
        .as_ref()
        .ok_or_else(|| FieldError::Absent.at("targets"))?;
    Ok(match target {
        Wire::Site(site) => DialTarget::Site(Site {
            host: name("host", &site.host)?,
            port: port(site.port)?,
            via: if site.through_proxy {
                Via::Proxy
            } else {
                Via::Direct
            },
            anchors: if site.given_roots {
                Anchors::Given
            } else {
                Anchors::Public
            },
        }),
        Wire::Question(question) => {
            let of_number = |(number, _): &&(u32, RecordType)| *number == question.record;
            let (_, record) = RECORDS
                .iter()
                .find(of_number)
                .ok_or_else(|| FieldError::Absent.at("record"))?;
            DialTarget::Question(Question {
                server: match question.server.as_slice() {
                    [] => None,
                    octets => Some(address("server", octets)?),
                },
                name: name("name", &question.name)?,
                record: *record,
            })
        }
        Wire::Peer(peer) => DialTarget::Peer(PeerTarget {
            address: address("address", &peer.address)?,
            local_as: in_range("local_as", peer.local_as, 1, u32::MAX)?,
            peer_as: in_range("peer_as", peer.peer_as, 1, u32::MAX)?,
            depth: if peer.open { Depth::Open } else { Depth::Connect },
        }),
    })
}

fn proxy(wire: &v1::DialProxy) -> Result<ProxyServer, Invalid> {
    at_most("proxy.user", wire.user.len(), MAX_DIAL_HOST)?;
    at_most("proxy.password", wire.password.len(), MAX_DIAL_HOST)?;
    let has_login = !wire.user.is_empty() || !wire.password.is_empty();
    Ok(ProxyServer {
        host: name("proxy.host", &wire.host)?,
        port: port(wire.port)?,
        login: has_login.then(|| Login {
            user: wire.user.clone(),
            password: wire.password.clone(),
        }),
    })
}

/// A name, or an address as text: nothing that could become more than one line of a request.
fn name(field: &str, text: &str) -> Result<String, Invalid> {
    at_most(field, text.len(), MAX_DIAL_HOST)?;
    let is_of_name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.' | ':');
    if text.is_empty() || !text.chars().all(is_of_name) {
        return Err(FieldError::Malformed("neither a name nor an address".to_owned()).at(field));
    }
    Ok(text.to_owned())
}

fn address(field: &str, octets: &[u8]) -> Result<IpAddr, Invalid> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Ok(octets.into());
    }
    bytes::<16>(field, octets).map(IpAddr::from)
}

fn port(found: u32) -> Result<u16, Invalid> {
    let port = in_range("port", found, 1, u16::MAX.into())?;
    u16::try_from(port).map_err(|_| FieldError::Absent.at("port"))
}
