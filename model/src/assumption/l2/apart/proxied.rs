//! Who answers for others, and what is done about it.

use std::collections::BTreeSet;

use super::{super::survey::Survey, Pair};
use crate::{
    assumption::{Complaint, Explains, Pairs, Scene, crowd::listed},
    cause::{Cause, CauseKind, Fix},
    id::NodeId,
    port::Family,
    sysctl,
};

/// What somebody answers for others.
#[derive(Default)]
pub(in crate::assumption::l2) struct Proxied<'a> {
    pub(super) macs: BTreeSet<&'a str>,
    pub(super) askers: BTreeSet<NodeId>,
    pub(super) owners: BTreeSet<NodeId>,
    pub(super) families: BTreeSet<Family>,
    /// Whether an owner answered, too.
    pub(super) beside_owners: bool,
    /// Of those for whom it answers, who do not hear each other's requests.
    pub(super) unheard: BTreeSet<NodeId>,
    /// Whether two of them have to be on one link.
    pub(in crate::assumption::l2) must: bool,
    pub(in crate::assumption::l2) pairs: BTreeSet<Pair>,
}

impl Proxied<'_> {
    /// Whether it hides that hosts are not on one link.
    pub(in crate::assumption::l2) fn hides(&self) -> bool {
        !self.unheard.is_empty()
    }

    /// Whom it is about, for a row.
    pub(in crate::assumption::l2) fn subject(&self, scene: &Scene<'_>) -> String {
        let owners: Vec<NodeId> = self.owners.iter().copied().collect();
        listed(scene, &owners)
    }

    /// Turns it off at a member: either of the two, that of all interfaces and that of the one, is enough to have it on.
    fn turns_off(&self, scene: &Scene<'_>, member: NodeId) -> Vec<String> {
        let facts = scene.facts(member).ok().map(|told| told.what);
        let interfaces = facts.map_or(&[][..], |facts| &facts.interfaces).iter();
        let answering = interfaces.filter(|interface| self.macs.contains(interface.mac.as_str()));
        let names: Vec<&str> = answering.map(|interface| interface.name.as_str()).collect();
        let mut commands = Vec::new();
        for family in &self.families {
            for interface in ["all"].iter().chain(&names) {
                for setting in settings(*family) {
                    let setting = sysctl::of_interface(*family, interface, setting);
                    commands.push(scene.ssh(member, &format!("sysctl -w {setting}=0")));
                }
            }
        }
        commands
    }

    /// The same for every check that sees it, so that it is one finding.
    pub(in crate::assumption::l2) fn complaint(&self, scene: &Scene<'_>, survey: &Survey<'_>) -> Complaint {
        let owners: Vec<NodeId> = self.owners.iter().copied().collect();
        let askers: Vec<NodeId> = self.askers.iter().copied().collect();
        let member = self
            .macs
            .iter()
            .find_map(|mac| survey.members_with(mac).first().copied());
        let macs: Vec<&str> = self.macs.iter().copied().collect();
        let macs = macs.join(" and ");
        let is_gateway = self.macs.iter().any(|mac| survey.is_gateway(mac));
        let who = match member {
            Some(member) => format!("{}, with the link address {macs},", scene.name(member)),
            None if is_gateway => format!("the gateway, with the link address {macs},"),
            None => format!("somebody with the link address {macs}, who is no node of the cluster,"),
        };
        let protocol = match self.families.iter().collect::<Vec<_>>()[..] {
            [Family::Ipv6] => "neighbour solicitations (ND proxy)",
            _ => "ARP requests (proxy ARP)",
        };
        let unheard: Vec<NodeId> = self.unheard.iter().copied().collect();
        let beside = if self.hides() {
            format!(
                "; {} do not hear each other's requests: what looks like one link is none, and what they send each other goes through it",
                listed(scene, &unheard)
            )
        } else if self.beside_owners {
            "; they answer themselves, too, and who asks takes the one or the other".to_owned()
        } else {
            "; what is sent to them goes through it".to_owned()
        };
        let place = if member.is_some() {
            "there"
        } else {
            "on its interface to this link"
        };
        let ports = if self.hides() {
            " And have the switch ports of these nodes in one VLAN, without isolation of ports: it is what the proxy hides."
        } else {
            ""
        };
        Complaint {
            cause: Cause {
                kind: CauseKind::ProxyArp,
                node: member,
                between: Some([askers.clone(), owners.clone()]),
                detail: format!(
                    "{who} answers {protocol} of {} for {}{beside}",
                    listed(scene, &askers),
                    listed(scene, &owners)
                ),
            },
            fix: Fix {
                text: format!(
                    "Turn off proxy ARP (ip proxy-arp, ip local-proxy-arp; Linux: {}, of all and of the interface) {place}, also for \
                     the next start, then forget the neighbours on the nodes.{ports}",
                    self.families
                        .iter()
                        .flat_map(|family| settings(*family))
                        .copied()
                        .collect::<Vec<_>>()
                        .join(" and ")
                ),
                commands: member.map_or_else(Vec::new, |member| self.turns_off(scene, member)),
            },
            evidence: survey
                .lines(self.askers.union(&self.owners).copied())
                .into_iter()
                .collect(),
            explains: Explains {
                kinds: DIVERTED,
                pairs: Pairs::Among(askers, owners),
            },
        }
    }
}

/// What makes a Linux host answer for others on an interface (ip-sysctl.rst).
fn settings(family: Family) -> &'static [&'static str] {
    match family {
        Family::Ipv4 => &["proxy_arp", "proxy_arp_pvlan"],
        Family::Ipv6 => &["proxy_ndp"],
    }
}

/// What tests come to that a proxy takes, and does not deliver or delivers now and then.
const DIVERTED: &[CauseKind] = &[
    CauseKind::ProxyArp,
    CauseKind::DuplicateAddress,
    CauseKind::NotAdjacent,
    CauseKind::PathFilter,
    CauseKind::ReturnPathFilter,
    CauseKind::LossyPath,
];
