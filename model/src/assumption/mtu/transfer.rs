//! MTU-006: what travels through a tunnel arrives whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    assumption::{
        Complaint, Explains, Lack, Ruling, Scene,
        paths::{self, Path},
    },
    cause::{Cause, CauseKind, Fix},
    errand::{self, Encapsulation, Errand, TRANSFER_OCTETS, TunnelErrand},
    evidence::Group,
    id::NodeId,
    ledger::Told,
    observation::{Life, ModuleState, Transfer, Tried, TunnelSeen},
    port::{Family, Protocol},
    report::check::Check,
};

use super::limits::{Limit, limits};

/// What travels through a tunnel arrives whole.
pub(crate) const CHECK: Check = Check {
    id: "MTU-006",
    asserts: "TCP through a real tunnel of the overlay's encapsulation arrives whole",
    how: "with --active, on bare nodes, in a ring over up to eight of them, when the ports are free again: both ends make a VXLAN or \
          GENEVE device with a network id of its own, on the overlay's UDP port, in a network namespace of its own (198.18.0.0/30 \
          inside), and one sends 10 MB of known octets over TCP; the namespace goes with the probe's thread, and the device with it",
    needs: "--active; CAP_NET_ADMIN, and CAP_SYS_ADMIN to make a network namespace; a kernel with the device",
    rule: "fails if the transfer does not arrive, or not as it was sent, though the port is open and the path carries full \
           packets; not measured of live nodes (a row alone), and where the kernel has no such device or somebody holds the port, \
           which makes the run incomplete unless SYS-003 or PORT-007 tells of it; the kernel of a node that is a part of a machine \
           (a namespace, a container) is that one's: a row alone",
    remedy: "switch the network card's tunnel offloads off: ethtool -K INTERFACE tx-udp_tnl-segmentation off \
             tx-udp_tnl-csum-segmentation off",
    source: "RFC 7348, RFC 8926; cilium/cilium issue 13096: ICMP works through a tunnel where offloads of VMXNET3 break TCP",
};

/// One planned transfer.
struct Pair<'a> {
    from: NodeId,
    to: NodeId,
    errand: &'a TunnelErrand,
}

/// Judges every transfer; all that fail are one complaint.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let pairs: Vec<Pair<'_>> = scene
        .plan
        .errands
        .iter()
        .flat_map(|(node, errands)| errands.iter().map(|errand| (*node, errand)))
        .filter_map(|(from, errand)| match errand {
            Errand::Tunnel(errand) if !errand.takes => Some(Pair {
                from,
                to: errand.peer,
                errand,
            }),
            _ => None,
        })
        .collect();
    if pairs.is_empty() {
        return unplanned(scene);
    }
    // The outer packets are of IPv4, whatever else the cluster speaks.
    let paths: Vec<Path<'_>> = paths::told(scene)
        .into_iter()
        .filter(|path| path.family == Family::Ipv4)
        .collect();
    let limits = limits(scene, &paths);
    let mut broken: Vec<(&Pair<'_>, Told<&Tried>)> = Vec::new();
    let mut rulings = Vec::new();
    let deviceless = deviceless(scene, &pairs);
    for pair in &pairs {
        match transfer(scene, pair, &deviceless) {
            Ok(tried) if tried.what.intact => rulings.push(pair.arrived(scene, tried.what)),
            Ok(tried) => match pair.has_other_trouble(scene, tried.what, &limits) {
                Some(why) => rulings.push(Ruling::not_measured(
                    pair.subject(scene),
                    Lack::ToldElsewhere(why),
                )),
                None => broken.push((pair, tried)),
            },
            Err(lack) => rulings.push(Ruling::not_measured(pair.subject(scene), lack)),
        }
    }
    rulings.extend(complaint(scene, &broken));
    rulings
}

/// Why no transfer was planned.
fn unplanned(scene: &Scene<'_>) -> Vec<Ruling> {
    let overlay = errand::overlay_of(scene.inventory, scene.profiles);
    match overlay.filter(|_| !scene.ledger.run.parameters.active) {
        Some((encapsulation, port)) => vec![Ruling::not_measured(
            format!("{} at UDP {port}", encapsulation.name()),
            Lack::NotActive,
        )],
        None => Vec::new(),
    }
}

/// The ends whose kernels have no such device, each with what is to be said of that.
fn deviceless(scene: &Scene<'_>, pairs: &[Pair<'_>]) -> BTreeMap<NodeId, Lack> {
    let Some(encapsulation) = pairs.first().map(|pair| pair.errand.encapsulation) else {
        return BTreeMap::new();
    };
    let has_none = |end: &NodeId| {
        let log = scene.log(*end);
        log.is_ok_and(|log| {
            log.tunnel
                .iter()
                .any(|told| told.what.outcome == Transfer::NoDevice)
        })
    };
    let ends: BTreeSet<NodeId> = pairs.iter().flat_map(|pair| [pair.from, pair.to]).collect();
    let (name, module) = (encapsulation.name(), module(encapsulation));
    let mut untold = Vec::new();
    let mut lacks = BTreeMap::new();
    for end in ends.into_iter().filter(has_none) {
        let why = format!("the kernel of {} has no {name} device", scene.name(end));
        match scene.host(end) {
            Ok(host) if !scene.is_machine(end, host.what) => {
                let why = format!("{why}, which is that of the machine that it is a part of");
                lacks.insert(end, Lack::ToldElsewhere(why));
            }
            Ok(host) if host.what.modules.get(module) == Some(&ModuleState::Absent) => {
                lacks.insert(end, Lack::ToldElsewhere(format!("{why}, as SYS-003 tells")));
            }
            _ => untold.push(end),
        }
    }
    let names: Vec<String> = untold.iter().map(|end| scene.name(*end)).collect();
    let why = format!(
        "{} of {} has no {name} device: let the module be loaded (modprobe {module})",
        if untold.len() == 1 {
            "the kernel"
        } else {
            "each kernel"
        },
        names.join(", ")
    );
    // The same word for all of them is one finding.
    let said = untold
        .into_iter()
        .map(|end| (end, Lack::Other(None, why.clone())));
    lacks.extend(said);
    lacks
}

/// What the kernel calls the module of the device.
fn module(encapsulation: Encapsulation) -> &'static str {
    match encapsulation {
        Encapsulation::Vxlan => "vxlan",
        Encapsulation::Geneve => "geneve",
    }
}

/// What the end that sends told of a transfer, if both could try.
fn transfer<'a>(
    scene: &Scene<'a>,
    pair: &Pair<'_>,
    deviceless: &BTreeMap<NodeId, Lack>,
) -> Result<Told<&'a Tried>, Lack> {
    for end in [pair.from, pair.to] {
        if scene.facts(end)?.what.life == Life::Live {
            return Err(Lack::LiveNode);
        }
    }
    if let Some(lack) = [pair.to, pair.from].iter().find_map(|end| deviceless.get(end)) {
        return Err(lack.clone());
    }
    let mut sent = None;
    for end in [pair.to, pair.from] {
        let of_turn = |told: &&Told<&'a TunnelSeen>| told.what.turn == pair.errand.turn;
        match scene.log(end)?.tunnel.iter().find(of_turn) {
            Some(told) => match &told.what.outcome {
                Transfer::Tried(what) => {
                    sent = Some(Told {
                        what,
                        line: told.line,
                    });
                }
                // Told for both ends above.
                Transfer::NoDevice => {}
                Transfer::PortHeld => return Err(held(scene, end, pair.errand.port)),
            },
            None => {
                return Err(scene.undone(end, errand::Kind::Tunnel).unwrap_or_else(|| {
                    Lack::Other(Some(end), "the run ended before this node's turn".to_owned())
                }));
            }
        }
    }
    sent.ok_or_else(|| Lack::Other(Some(pair.from), "the probe told nothing of it".to_owned()))
}

/// Somebody holds the tunnel's port: the port matrix, which wants to bind it before, tells of that, if it is made.
fn held(scene: &Scene<'_>, end: NodeId, port: u16) -> Lack {
    let why = format!("UDP {port} is held there");
    match scene.asks_for(Group::Reach) {
        true => Lack::ToldElsewhere(format!("{why} ({})", scene.name(end))),
        false => Lack::Other(Some(end), why),
    }
}

impl Pair<'_> {
    fn subject(&self, scene: &Scene<'_>) -> String {
        format!("{} to {}", scene.name(self.from), scene.name(self.to))
    }

    fn arrived(&self, scene: &Scene<'_>, tried: &Tried) -> Ruling {
        let detail = format!(
            "{} octets through {} at UDP {} arrived as they were sent in {} ms, in packets of up to {} octets inside an MTU of {}",
            tried.octets,
            self.errand.encapsulation.name(),
            self.errand.port,
            tried.took_ms,
            tried.inner_mtu,
            tried.mtu
        );
        Ruling::pass(self.subject(scene), detail)
    }

    /// What else is known to keep a transfer from arriving, and is told of by itself.
    fn has_other_trouble(&self, scene: &Scene<'_>, tried: &Tried, limits: &[Limit]) -> Option<String> {
        let port = self.errand.port;
        let is_shut = scene.pairs.iter().any(|pair| {
            let ends = (pair.src, pair.dst);
            let is_ours = ends == (self.from, self.to) || ends == (self.to, self.from);
            let is_udp = pair.transport.0 == Family::Ipv4 && pair.transport.1 == Protocol::Udp;
            let shut = |cell: &crate::verdict::Cell| cell.ports.contains(port) && !cell.outcome.is_open();
            is_ours && is_udp && pair.cells.iter().any(shut)
        });
        if is_shut {
            return Some(format!("UDP {port} is not open between them"));
        }
        // In a large cluster not every path is measured, but whoever is on two sides of a place has it between them.
        let is_limited =
            |limit: &Limit| limit.carries < tried.mtu && limit.spot.is_between(self.from, self.to);
        let loses_large = [(self.from, self.to), (self.to, self.from)]
            .iter()
            .any(|(from, to)| {
                let Ok(log) = scene.log(*from) else { return false };
                let mut own = log.path.iter().map(|told| told.what);
                own.any(|seen| {
                    let is_it = seen.dst == *to && seen.family == Family::Ipv4;
                    is_it && seen.smallest_lost().is_some_and(|lost| lost.octets <= tried.mtu)
                })
            })
            || limits.iter().any(is_limited);
        loses_large.then(|| "the path between them does not carry full packets".to_owned())
    }
}

/// One complaint about all transfers that did not arrive.
fn complaint(scene: &Scene<'_>, broken: &[(&Pair<'_>, Told<&Tried>)]) -> Option<Ruling> {
    let (first, tried) = broken.first()?;
    let sides = |side: fn(&Pair<'_>) -> NodeId| {
        let mut nodes: Vec<NodeId> = broken.iter().map(|(pair, _)| side(pair)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    };
    let others = match broken.len() {
        1 => String::new(),
        count => format!(", and so of {} more pairs", count - 1),
    };
    let name = first.errand.encapsulation.name();
    let came = if tried.what.connected {
        format!(
            "{} of {TRANSFER_OCTETS} octets left {}",
            tried.what.octets,
            scene.name(first.from)
        )
    } else {
        "not even a connection came up".to_owned()
    };
    let offloads_off = format!(
        "ethtool -K {} tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off",
        interface(scene, first.from)
    );
    Some(Ruling::fail(
        first.subject(scene),
        Complaint {
            cause: Cause {
                kind: CauseKind::TunnelBroken,
                node: None,
                between: Some([sides(|pair| pair.from), sides(|pair| pair.to)]),
                detail: format!(
                    "TCP through a {name} tunnel from {} does not arrive whole, while UDP {} and full packets pass: {came}{others}",
                    first.subject(scene),
                    first.errand.port
                ),
            },
            fix: Fix {
                text: "Switch the tunnel offloads of the network cards off, which break checksums or segments of what is inside, \
                       and update their firmware or the hypervisor."
                    .to_owned(),
                commands: vec![scene.ssh(first.from, &offloads_off)],
            },
            evidence: broken.iter().map(|(_, tried)| tried.line).collect(),
            explains: Explains::default(),
        },
    ))
}

/// The interface that has a node's data address.
fn interface(scene: &Scene<'_>, node: NodeId) -> String {
    let own = node
        .address()
        .map(|address| format!("{address}/"))
        .unwrap_or_default();
    let facts = scene.facts(node).ok();
    let interfaces = facts.iter().flat_map(|facts| &facts.what.interfaces);
    let with_it = |interface: &&crate::observation::Interface| {
        let mut addresses = interface.addresses.iter();
        addresses.any(|address| address.starts_with(&own))
    };
    let mut interfaces = interfaces.filter(with_it);
    interfaces
        .next()
        .map_or_else(|| "INTERFACE".to_owned(), |interface| interface.name.clone())
}

#[cfg(test)]
mod tests;
