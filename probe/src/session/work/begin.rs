//! What blocks at the start of an assignment: keys are derived, ports bound, captures opened, runners started.

use std::{collections::BTreeMap, io, net::IpAddr, sync::Arc, time::Duration};

use plumbline_identity::pair::pair_key;
use plumbline_model::{
    evidence::Member,
    id::NodeId,
    observation::{Record, Undone},
    port::{Family, PortSet, Protocol},
};
use plumbline_proto::convert::{Roster, Watch};

use super::{Identity, Operation};
use crate::{
    errand,
    error_chain::chain,
    facts,
    guard::{Endpoint, Opening, PermittedAsk, PermittedWork},
    responder::{ArmTask, Caller, tcp as tcp_responder, udp as udp_responder},
    runner::{
        asking::{AskTarget, AskTask, Asking, Occupant, Peer},
        look::{self, Watched},
        rates::Rates,
        tcp as tcp_runner, udp as udp_runner,
    },
};

/// How a runner starts.
type Start = fn(AskTask) -> io::Result<Asking>;

/// Does what blocks at the start of an assignment.
pub(super) fn begin(
    work: PermittedWork,
    lease: Duration,
    identity: &Identity,
    roster: &Roster,
    rates: &Arc<Rates>,
) -> Result<Operation, String> {
    match work {
        PermittedWork::Arm(openings) => open_responders(openings, identity, roster),
        PermittedWork::Ask(ask) => {
            let [of_tcp, of_udp] = ask_tasks(ask, lease, identity, roster, rates)?;
            let mut runners = Vec::new();
            for (task, start) in [(of_tcp, tcp_runner::start as Start), (of_udp, udp_runner::start)] {
                if !task.targets.is_empty() {
                    runners.push(start(task).map_err(|error| format!("start the runner: {error}"))?);
                }
            }
            Ok(Operation::Asking(runners))
        }
        PermittedWork::Look(watches) => look::start(watched(watches, identity, roster))
            .map(Operation::Looking)
            .map_err(|error| chain(&error)),
        PermittedWork::Errand(errand) => begin_errand(errand, identity, roster, rates),
        PermittedWork::Nothing => Ok(Operation::Seen(Vec::new())),
        PermittedWork::Survey => Ok(Operation::Seen(vec![Record::Facts(Box::new(facts::survey()))])),
    }
}

/// An errand that cannot begin is testimony, and no refusal.
fn begin_errand(
    errand: plumbline_model::errand::Errand,
    identity: &Identity,
    roster: &Roster,
    rates: &Rates,
) -> Result<Operation, String> {
    let kind = errand.kind();
    let post = errand::Post {
        run: identity.run.clone(),
        policy: Arc::clone(&identity.policy),
        node: identity.node,
        own_index: own_index(identity, roster)?,
        members: roster.members().to_vec(),
        peers: peers(identity, roster)?,
        link_pace: rates.link_pace().clone(),
        dial_pace: rates.dial_pace().clone(),
        path_pace: rates.path_pace().clone(),
    };
    Ok(match errand::start(errand, &post) {
        Ok(errand) => Operation::Errand(errand),
        Err(why) => Operation::Seen(vec![Record::Undone(Undone { errand: kind, why })]),
    })
}

/// What the capture has to watch for. Only TCP and UDP are counted: another transport gets no rows, never rows of zeros.
fn watched(watches: Vec<Watch>, identity: &Identity, roster: &Roster) -> Vec<Watched> {
    let members: BTreeMap<NodeId, &Member> = others(identity, roster)
        .map(|(_, member)| (member.node, member))
        .collect();
    watches
        .into_iter()
        .filter(|watch| matches!(watch.protocol, Protocol::Tcp | Protocol::Udp))
        .filter_map(|watch| {
            Some(Watched {
                peer: watch.peer,
                addresses: members.get(&watch.peer)?.addresses.clone(),
                end: watch.end,
                family: watch.family,
                protocol: watch.protocol,
                ports: watch.ports,
            })
        })
        .collect()
}

fn open_responders(
    openings: Vec<Opening>,
    identity: &Identity,
    roster: &Roster,
) -> Result<Operation, String> {
    let callers: Vec<Caller> = others(identity, roster)
        .map(|(index, member)| {
            Ok(Caller {
                index,
                node: member.node,
                addresses: member.addresses.clone(),
                key: key(identity, member, member.node, identity.node)?,
            })
        })
        .collect::<Result<_, String>>()?;
    let own_index = own_index(identity, roster)?;
    let mut responders = Vec::new();
    let mut records = Vec::new();
    for opening in openings {
        let Opening {
            address,
            protocol,
            ports,
        } = opening;
        let task = ArmTask {
            run: identity.run.to_bytes(),
            own_index,
            address,
            ports,
            callers: callers.clone(),
        };
        // The guard permits no other transport.
        let arm = if protocol == Protocol::Udp {
            udp_responder::arm
        } else {
            tcp_responder::arm
        };
        let (responder, armed) =
            arm(task).map_err(|error| format!("open the responder on {address}: {error}"))?;
        responders.push(responder);
        records.push(Record::Armed(armed));
    }
    Ok(Operation::Armed(responders, records))
}

/// The tasks of the TCP runner and of the UDP runner.
fn ask_tasks(
    ask: PermittedAsk,
    lease: Duration,
    identity: &Identity,
    roster: &Roster,
    rates: &Arc<Rates>,
) -> Result<[AskTask; 2], String> {
    let members: BTreeMap<NodeId, (u32, &Member)> = others(identity, roster)
        .map(|(index, member)| (member.node, (index, member)))
        .collect();
    let (mut of_tcp, mut of_udp) = (Vec::new(), Vec::new());
    let ours = ask.targets.into_iter().map(|target| (target, false));
    let theirs = ask.live_services.into_iter().map(|target| (target, true));
    for ((endpoint, ports), is_theirs) in ours.chain(theirs) {
        let Endpoint {
            node,
            address,
            protocol,
        } = endpoint;
        // The guard took every target from this roster.
        let Some((index, member)) = members.get(&node) else {
            continue;
        };
        let peer = Peer {
            index: *index,
            node,
            address,
            key: key(identity, member, identity.node, node)?,
        };
        let of_occupants = by_occupant(ports, is_theirs).into_iter();
        let targets = if protocol == Protocol::Udp {
            &mut of_udp
        } else {
            &mut of_tcp
        };
        targets.extend(of_occupants.map(|(occupant, ports)| AskTarget {
            peer: peer.clone(),
            ports,
            occupant,
        }));
    }
    let own_index = own_index(identity, roster)?;
    let data_address = |family| roster.member(identity.node)?.data_address(family);
    let task = |targets| AskTask {
        run: identity.run.to_bytes(),
        own_index,
        members: u32::try_from(roster.members().len()).unwrap_or(u32::MAX),
        // What will really be sent leaves from the address that the kernel chooses, so that the tests do, too. On loopback
        // every node has the same choice, and only its own address tells it from the others.
        local: identity.node.address().filter(IpAddr::is_loopback),
        data_addresses: [Family::Ipv4, Family::Ipv6]
            .into_iter()
            .filter_map(data_address)
            .collect(),
        targets,
        attempts: ask.attempts,
        attempt_timeout: ask.attempt_timeout,
        max_rate_node: ask.max_rate_node.map_or(0, Into::into),
        max_rate_pair: ask.max_rate_pair.map_or(0, Into::into),
        rates: Arc::clone(rates),
        second_look: ask.second_look,
        lease,
    };
    Ok([task(of_tcp), task(of_udp)])
}

/// The ports of a target by who is expected there.
fn by_occupant(ports: PortSet, is_theirs: bool) -> Vec<(Occupant, PortSet)> {
    if !is_theirs {
        return vec![(Occupant::Responder, ports)];
    }
    let ssh = PortSet::from_iter([SSH_PORT]);
    let others = ports.difference(&ssh);
    let parts = [
        (Occupant::Service, others),
        (Occupant::Sshd, ports.intersection(&ssh)),
    ];
    parts.into_iter().filter(|(_, ports)| !ports.is_empty()).collect()
}

/// Everybody else on the roster, with the index by which the wire knows them.
fn others<'a>(identity: &'a Identity, roster: &'a Roster) -> impl Iterator<Item = (u32, &'a Member)> {
    (0..)
        .zip(roster.members())
        .filter(|(_, member)| member.node != identity.node)
}

/// Everybody else with the directed keys of the pair.
fn peers(identity: &Identity, roster: &Roster) -> Result<BTreeMap<NodeId, errand::Peer>, String> {
    others(identity, roster)
        .map(|(index, member)| {
            let peer = errand::Peer {
                index,
                member: member.clone(),
                key: key(identity, member, identity.node, member.node)?,
                key_back: key(identity, member, member.node, identity.node)?,
            };
            Ok((member.node, peer))
        })
        .collect()
}

fn own_index(identity: &Identity, roster: &Roster) -> Result<u32, String> {
    let at = roster
        .members()
        .iter()
        .position(|member| member.node == identity.node);
    at.and_then(|at| u32::try_from(at).ok())
        .ok_or_else(|| "this node is not on the roster".to_owned())
}

fn key(identity: &Identity, peer: &Member, from: NodeId, to: NodeId) -> Result<[u8; 32], String> {
    let public = public_key(&peer.agreement_key)
        .ok_or_else(|| format!("the agreement key of {} is not 64 hexadecimal digits", peer.node))?;
    pair_key(&identity.agreement_key, &public, &identity.run, from, to)
        .map(|key| *key.as_bytes())
        .map_err(|error| format!("the agreement key of {}: {error}", peer.node))
}

fn public_key(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 2 * key.len() {
        return None;
    }
    for (index, octet) in key.iter_mut().enumerate() {
        *octet = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(key)
}

/// Where an SSH server is expected if no responder of ours stands there.
const SSH_PORT: u16 = 22;
