//! Whose link addresses are whose, and who answered questions on the link.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    assumption::Scene,
    id::NodeId,
    ledger::Told,
    observation::{Asked, LinkSeen, Subject},
};

/// What loopback has for a link address.
const NO_MAC: &str = "00:00:00:00:00:00";

/// Every link address of a member: those of bonds, their slaves and further interfaces are its own.
pub(in crate::assumption) fn macs<'a>(scene: &Scene<'a>, node: NodeId) -> BTreeSet<&'a str> {
    let facts = scene.facts(node).ok().map(|told| told.what);
    let interfaces = facts.map_or(&[][..], |facts| &facts.interfaces);
    let macs = interfaces.iter().map(|interface| interface.mac.as_str());
    macs.filter(|mac| !mac.is_empty() && *mac != NO_MAC).collect()
}

/// The members with a link address: more than one if it is a duplicate.
pub(in crate::assumption) fn members_with(scene: &Scene<'_>, mac: &str) -> Vec<NodeId> {
    scene
        .nodes()
        .filter(|node| macs(scene, *node).contains(mac))
        .collect()
}

/// What came of asking on the link, with who asked.
pub(in crate::assumption) fn questions<'a>(
    scene: &Scene<'a>,
) -> Vec<(NodeId, Told<&'a LinkSeen>, &'a Asked)> {
    let mut questions = Vec::new();
    for node in scene.nodes() {
        for told in scene.log(node).map_or(&[][..], |log| &log.link) {
            questions.extend(told.what.asked.iter().map(|asked| (node, *told, asked)));
        }
    }
    questions
}

/// The link addresses that answer for others (proxy ARP): gateways' own, and those of no member that answer for several members.
pub(in crate::assumption) fn proxies<'a>(scene: &Scene<'a>) -> BTreeSet<&'a str> {
    let mut answered: BTreeMap<&'a str, BTreeSet<NodeId>> = BTreeMap::new();
    let mut proxies = BTreeSet::new();
    for (asker, _, asked) in questions(scene) {
        for mac in &asked.macs {
            let owner = match asked.subject {
                Subject::Gateway => {
                    proxies.insert(mac.as_str());
                    continue;
                }
                Subject::Peer { node } => node,
                Subject::Own => asker,
                Subject::Spare => continue,
            };
            if members_with(scene, mac).is_empty() {
                answered.entry(mac).or_default().insert(owner);
            }
        }
    }
    let several = answered.into_iter().filter(|(_, owners)| owners.len() > 1);
    proxies.extend(several.map(|(mac, _)| mac));
    proxies
}
