//! One node's packet filter with what its managers' files say.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use crate::{
    cause::{Cause, CauseKind, Fix},
    errand,
    evidence::SwarmKind,
    firewall::{Judge, Judgement, Manager, Packet, Passage, Place, Ruleset},
    id::NodeId,
    inventory::Inventory,
    observation::{FirewallSettings, Firewalld, HostFacts},
    port::{Family, PortSet, Protocol},
};

use super::super::{Complaint, Explains, Lack, Scene};

/// A node, and how it is asked about its packet filter.
pub(super) struct NodeFilter<'a> {
    pub(super) id: NodeId,
    pub(super) name: String,
    pub(super) facts: &'a HostFacts,
    pub(super) settings: &'a FirewallSettings,
    pub(super) ruleset: Option<&'a Ruleset>,
    judge: Option<Judge<'a>>,
    /// Lines of the evidence: the facts, the settings.
    pub(super) lines: Vec<u32>,
}

/// A node of which nothing can be said.
pub(super) struct Unknown {
    pub(super) name: String,
    pub(super) lack: Lack,
}

/// Every node that was to tell of its firewalls, ascending.
pub(super) fn nodes<'a>(scene: &Scene<'a>) -> Vec<Result<NodeFilter<'a>, Unknown>> {
    let was_asked = |node: &NodeId| {
        let errands = scene.plan.errands.get(node);
        errands.is_some_and(|errands| errands.contains(&errand::Errand::Inspect))
    };
    let asked = scene.nodes().filter(was_asked);
    asked
        .map(|node| {
            NodeFilter::of(scene, node).map_err(|lack| Unknown {
                name: scene.name(node),
                lack,
            })
        })
        .collect()
}

/// The nodes on which firewalld runs; those of which nothing is known are told of by FW-001.
pub(super) fn firewalld_nodes<'a>(scene: &Scene<'a>) -> Vec<(NodeFilter<'a>, &'a Firewalld)> {
    let known = nodes(scene).into_iter().filter_map(Result::ok);
    known
        .filter_map(|node| Some((node.settings.firewalld.as_ref()?, node)))
        .map(|(firewalld, node)| (node, firewalld))
        .collect()
}

/// Whether pods of the cluster are connected by Cilium.
pub(in crate::assumption) fn uses_cilium(inventory: &Inventory) -> bool {
    is_gdc(inventory) || inventory.with.iter().any(|with| with.starts_with("cilium"))
}

/// Whether it is a cluster of `bmctl`.
pub(super) fn is_gdc(inventory: &Inventory) -> bool {
    inventory.profile == "gdc-bare-metal"
}

/// Ports by what becomes of the first packet to them.
pub(super) struct Openings {
    /// Let in.
    pub(super) open: PortSet,
    /// Stopped by a chain of firewalld.
    pub(super) stopped: PortSet,
    /// Stopped by another manager's chain, by the place.
    pub(super) stopped_otherwise: BTreeMap<Place, PortSet>,
    /// The zone of firewalld that stops.
    pub(super) zone: Option<String>,
}

impl<'a> NodeFilter<'a> {
    fn of(scene: &Scene<'a>, id: NodeId) -> Result<Self, Lack> {
        let log = scene.log(id)?;
        if let Some(lack) = scene.undone(id, errand::Kind::Inspect) {
            return Err(lack);
        }
        let (facts, settings) = (scene.facts(id)?, scene.firewalls(id)?);
        let ruleset = log.ruleset;
        let mut lines = vec![facts.line, settings.line];
        lines.extend(ruleset.map(|told| told.line));
        lines.sort_unstable();
        lines.dedup();
        Ok(Self {
            id,
            name: scene.name(id),
            facts: facts.what,
            settings: settings.what,
            ruleset: ruleset.map(|told| told.what),
            judge: ruleset.map(|told| Judge::new(told.what)),
            lines,
        })
    }

    /// Why its rules are not known.
    pub(super) fn unread(&self) -> Option<Lack> {
        match (&self.ruleset, &self.facts.ruleset_unread) {
            (Some(_), _) => None,
            // Netlink answers EPERM to a dump of rules without the capability.
            (None, Some(why)) if self.facts.capabilities.read_ruleset => Some(Lack::Other(
                Some(self.id),
                format!("the packet filter was not read: {why}"),
            )),
            (None, _) => Some(Lack::Capability(self.id, "CAP_NET_ADMIN")),
        }
    }

    /// Why files are not known, of those that a check is about; `None` if all of them were read.
    pub(super) fn files_unread(&self, is_about: impl Fn(&str) -> bool) -> Option<Lack> {
        let mut unread = self.settings.unread.iter();
        let first = unread.find(|unread| is_about(&unread.path))?;
        Some(if first.is_denied {
            Lack::Capability(self.id, "CAP_DAC_READ_SEARCH")
        } else {
            Lack::Other(Some(self.id), format!("failed to {} ({})", first.why, first.path))
        })
    }

    /// The same of firewalld's configuration.
    pub(super) fn configuration_unread(&self) -> Option<Lack> {
        self.files_unread(is_of_firewalld)
    }

    /// Its data interface.
    pub(super) fn interface(&self) -> Option<&'a str> {
        let address = self.id.address()?.to_string();
        let has = |with_length: &String| with_length.split('/').next() == Some(address.as_str());
        let interfaces = &self.facts.interfaces;
        let found = interfaces
            .iter()
            .find(|interface| interface.addresses.iter().any(has));
        found.map(|interface| interface.name.as_str())
    }

    /// What becomes of packets of a transport from an address to this node's data address, by port: by all its rules.
    pub(super) fn openings(
        &self,
        source: IpAddr,
        destination: IpAddr,
        protocol: Protocol,
    ) -> Option<Openings> {
        self.openings_by(self.judge.as_ref()?, source, destination, protocol)
    }

    /// The same by some rules.
    pub(super) fn openings_by(
        &self,
        judge: &Judge<'_>,
        source: IpAddr,
        destination: IpAddr,
        protocol: Protocol,
    ) -> Option<Openings> {
        let packet = Packet::incoming(self.interface()?, protocol, source, destination, 1);
        openings(judge, &packet)
    }

    /// The rules of firewalld alone, which other managers' cannot blur; `None` if it has none in nf_tables under its own name.
    pub(super) fn firewalld_alone(&self) -> Option<Ruleset> {
        let whole = self.ruleset?;
        let is_own = |table: &&crate::firewall::Table| table.name == "firewalld";
        let tables: Vec<_> = whole.tables.iter().filter(is_own).cloned().collect();
        (!tables.is_empty()).then(|| Ruleset {
            tables,
            interfaces: whole.interfaces.clone(),
            generation: whole.generation,
            legacy_tables: Vec::new(),
        })
    }

    /// What becomes of a packet of a protocol without ports that comes in by the data interface.
    pub(super) fn judge_incoming(
        &self,
        source: IpAddr,
        destination: IpAddr,
        protocol: Protocol,
    ) -> Option<Judgement> {
        let packet = Packet {
            destination_port: None,
            ..Packet::incoming(self.interface()?, protocol, source, destination, 1)
        };
        Some(self.judge.as_ref()?.evaluate(&packet))
    }

    /// What becomes of the first packet of a connection that passes through this node.
    pub(super) fn judge_forwarded(&self, from: (&str, IpAddr), to: (&str, IpAddr)) -> Option<Judgement> {
        Some(self.judge.as_ref()?.evaluate(&forwarded(from, to)))
    }

    /// A complaint about this node's packet filter.
    pub(super) fn complaint(
        &self,
        detail: String,
        text: impl Into<String>,
        commands: Vec<String>,
    ) -> Complaint {
        Complaint {
            cause: Cause {
                kind: CauseKind::HostFirewall,
                node: Some(self.id),
                between: None,
                detail,
            },
            fix: Fix {
                text: text.into(),
                commands,
            },
            evidence: self.lines.clone(),
            explains: Explains::default(),
        }
    }

    /// Whether Kubernetes runs here.
    pub(super) fn is_live(&self) -> bool {
        self.facts.life == crate::observation::Life::Live
    }

    /// Whether the files of its machine are its own.
    pub(super) fn has_own_files(&self, scene: &Scene<'_>) -> bool {
        scene.ledger.run.parameters.swarm != SwarmKind::Lab
            && scene
                .host(self.id)
                .map_or(true, |host| scene.is_machine(self.id, host.what))
    }

    /// What has to be said about reloads on this node.
    pub(super) fn about_reload(&self) -> &'static str {
        if self.is_live() {
            " The node is live: do not reload firewalld for this, which removes the rules of the cluster's own agents until their pods \
             on this node are deleted."
        } else {
            ""
        }
    }
}

/// Whether a file is one of firewalld's own.
pub(super) fn is_of_firewalld(path: &str) -> bool {
    ["/etc/firewalld", "/usr/lib/firewalld"]
        .iter()
        .any(|folder| path.starts_with(folder))
}

/// The two ends of a range of pods: the first and the last address that a pod may have.
pub(super) fn pods_of(range: &IpNet) -> [IpAddr; 2] {
    let step = |address: IpAddr, up: bool| match address {
        IpAddr::V4(v4) => {
            let bits = u32::from(v4);
            IpAddr::V4(
                if up {
                    bits.saturating_add(1)
                } else {
                    bits.saturating_sub(1)
                }
                .into(),
            )
        }
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            IpAddr::V6(
                if up {
                    bits.saturating_add(1)
                } else {
                    bits.saturating_sub(1)
                }
                .into(),
            )
        }
    };
    let first = step(range.network(), true);
    let last = step(range.broadcast(), false);
    if range.contains(&first) && range.contains(&last) {
        [first, last]
    } else {
        [range.network(), range.broadcast()]
    }
}

/// The family of a range.
pub(super) fn family_of(range: &IpNet) -> Family {
    Family::of(range.network())
}

/// The first packet of a connection that passes through a host.
pub(super) fn forwarded((from, source): (&str, IpAddr), (to, destination): (&str, IpAddr)) -> Packet {
    Packet {
        passage: Passage::Forwarded {
            from: from.to_owned(),
            to: to.to_owned(),
        },
        ..Packet::incoming_syn(from, source, destination, FORWARDED_PORT)
    }
}

/// What becomes of a packet, by destination port.
pub(super) fn openings(judge: &Judge<'_>, packet: &Packet) -> Option<Openings> {
    let mut openings = Openings {
        open: PortSet::new(),
        stopped: PortSet::new(),
        stopped_otherwise: BTreeMap::new(),
        zone: None,
    };
    for (range, judgement) in judge.by_port(packet)? {
        let Some(place) = judgement.stopped_at() else {
            if judgement.accepts() {
                openings.open.insert(range);
            }
            continue;
        };
        match &place.manager {
            Manager::Firewalld { zone } => {
                openings.stopped.insert(range);
                openings.zone = openings.zone.take().or_else(|| zone.clone());
            }
            Manager::Iptables { .. } | Manager::Nftables => {
                let stopped = openings.stopped_otherwise.entry(place.clone());
                stopped.or_default().insert(range);
            }
        }
    }
    Some(openings)
}

/// The port of connections through a node whose answer stands for all: no table opens it.
const FORWARDED_PORT: u16 = 8;
