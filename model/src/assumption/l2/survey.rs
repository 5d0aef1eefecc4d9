//! What nodes saw of each other on their links: whose link addresses are whose, who answered questions, and who heard whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{
    assumption::{Lack, Ruling, Scene},
    errand,
    id::NodeId,
    ledger::Told,
    observation::{Asked, Interface, LinkSeen, Overheard, Speech, Subject},
    port::Family,
};

/// What loopback has for a link address.
const NO_MAC: &str = "00:00:00:00:00:00";

/// Questions without an answer after which nobody is there: what a probe asks at most.
pub(in crate::assumption) const TRIES: u32 = 3;

/// What the errands link and listen came to.
pub(in crate::assumption) struct Survey<'a> {
    macs: BTreeMap<NodeId, BTreeSet<&'a str>>,
    by_mac: BTreeMap<&'a str, Vec<NodeId>>,
    /// What each node asked.
    pub(in crate::assumption) seen: BTreeMap<NodeId, Told<&'a LinkSeen>>,
    heard: BTreeMap<NodeId, Listener<'a>>,
    /// Link addresses that answered for gateways.
    gateways: BTreeSet<&'a str>,
    proxies: BTreeSet<&'a str>,
}

/// What a node heard.
struct Listener<'a> {
    told: Told<&'a Overheard>,
    requests: BTreeSet<IpAddr>,
}

/// What came of asking for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::assumption) enum Answer<'a> {
    /// It was not asked for, or not often enough.
    Unasked,
    /// Nobody answered.
    Silence,
    /// Somebody did.
    By {
        /// Whether one of the answers came from the owner.
        owner: bool,
        /// Link addresses that are none of the owner's.
        others: BTreeSet<&'a str>,
    },
}

impl<'a> Survey<'a> {
    pub(in crate::assumption) fn of(scene: &Scene<'a>) -> Self {
        let mut survey = Self {
            macs: BTreeMap::new(),
            by_mac: BTreeMap::new(),
            seen: BTreeMap::new(),
            heard: BTreeMap::new(),
            gateways: BTreeSet::new(),
            proxies: BTreeSet::new(),
        };
        for node in scene.nodes() {
            let Ok(log) = scene.log(node) else { continue };
            let interfaces = log.facts.map_or(&[][..], |facts| &facts.what.interfaces);
            let told = interfaces.iter().map(|interface| interface.mac.as_str());
            let asking = log.link.last().map(|told| told.what.mac.as_str());
            let macs: BTreeSet<&str> = told
                .chain(asking)
                .filter(|mac| !mac.is_empty() && *mac != NO_MAC)
                .collect();
            for mac in &macs {
                survey.by_mac.entry(mac).or_default().push(node);
            }
            survey.macs.insert(node, macs);
            survey.seen.extend(log.link.last().map(|told| (node, *told)));
            survey
                .heard
                .extend(log.overheard.last().map(|told| (node, listener(*told))));
        }
        survey.gateways = survey.macs_of_gateways();
        survey.proxies = survey.find_proxies();
        survey
    }

    fn macs_of_gateways(&self) -> BTreeSet<&'a str> {
        let of_gateways = self
            .questions()
            .filter(|(_, _, asked)| asked.subject == Subject::Gateway);
        of_gateways
            .flat_map(|(_, _, asked)| asked.macs.iter().map(String::as_str))
            .collect()
    }

    /// The link addresses that answer for others (proxy ARP): of those that a member met in another's place, gateways', and those
    /// that answer for several members. A gateway that nobody met in a member's place has what it answers for.
    fn find_proxies(&self) -> BTreeSet<&'a str> {
        let mut answered: BTreeMap<&'a str, BTreeSet<NodeId>> = BTreeMap::new();
        let mut diverts: BTreeSet<&'a str> = BTreeSet::new();
        for (asker, _, asked) in self.questions() {
            let owner = match asked.subject {
                Subject::Peer { node } => node,
                Subject::Own => asker,
                Subject::Gateway | Subject::Spare => continue,
            };
            for mac in asked.macs.iter().map(String::as_str) {
                if !self.is_of(mac, owner) {
                    answered.entry(mac).or_default().insert(owner);
                    if owner != asker {
                        diverts.insert(mac);
                    }
                }
            }
        }
        // What only owners met, who asked for themselves, L2-003 would not tell of.
        let is_proxy =
            |mac: &str, owners: usize| diverts.contains(mac) && (owners > 1 || self.gateways.contains(mac));
        let proxies = answered
            .into_iter()
            .filter(|(mac, owners)| is_proxy(mac, owners.len()));
        proxies.map(|(mac, _)| mac).collect()
    }

    /// Every link address of a member: those of bonds, their slaves and further interfaces are its own.
    pub(in crate::assumption) fn macs(&self, node: NodeId) -> &BTreeSet<&'a str> {
        static NONE: BTreeSet<&str> = BTreeSet::new();
        self.macs.get(&node).unwrap_or(&NONE)
    }

    /// Whether a link address is a member's, or may be: of a host that told none any may be its own.
    fn is_of(&self, mac: &str, owner: NodeId) -> bool {
        let own = self.macs(owner);
        own.is_empty() || own.contains(mac)
    }

    /// The members with a link address: more than one if it is a duplicate.
    pub(in crate::assumption) fn members_with(&self, mac: &str) -> &[NodeId] {
        self.by_mac.get(mac).map_or(&[], Vec::as_slice)
    }

    /// The members whose data interfaces have one link address. Other interfaces may: those of a CNI are often alike.
    pub(in crate::assumption) fn cloned(&self) -> BTreeSet<NodeId> {
        let mut by_mac: BTreeMap<&str, Vec<NodeId>> = BTreeMap::new();
        for (node, told) in &self.seen {
            by_mac.entry(&told.what.mac).or_default().push(*node);
        }
        let shared = by_mac.into_values().filter(|members| members.len() > 1);
        shared.flatten().collect()
    }

    /// What was asked, with who asked.
    pub(in crate::assumption) fn questions(
        &self,
    ) -> impl Iterator<Item = (NodeId, Told<&'a LinkSeen>, &'a Asked)> + '_ {
        let all = self.seen.iter();
        all.flat_map(|(node, told)| told.what.asked.iter().map(move |asked| (*node, *told, asked)))
    }

    /// Whether a link address answers for others: what it answers is judged as proxy ARP alone.
    pub(in crate::assumption) fn is_proxy(&self, mac: &str) -> bool {
        self.proxies.contains(mac)
    }

    /// Whether a link address answers for a gateway.
    pub(in crate::assumption) fn is_gateway(&self, mac: &str) -> bool {
        self.gateways.contains(mac)
    }

    /// What came of a question about an address of `owner`.
    pub(in crate::assumption) fn answer(
        &self,
        told: Told<&'a LinkSeen>,
        asked: &'a Asked,
        owner: NodeId,
    ) -> Answer<'a> {
        if asked.macs.is_empty() {
            return if told.what.unfinished || asked.sent < TRIES {
                Answer::Unasked
            } else {
                Answer::Silence
            };
        }
        let answers = asked.macs.iter().map(String::as_str);
        let (own, others): (BTreeSet<&str>, BTreeSet<&str>) = answers.partition(|mac| self.is_of(mac, owner));
        Answer::By {
            owner: !own.is_empty(),
            others,
        }
    }

    /// Whether one node heard ordinary ARP requests of another; `None` if that cannot be known: the other sent none, or did not
    /// send all, or this one did not hear all the time.
    pub(in crate::assumption) fn heard(&self, by: NodeId, speaker: NodeId) -> Option<bool> {
        let listener = self.heard.get(&by)?;
        let asking = self.seen.get(&speaker)?.what;
        let address = speaker.address().filter(IpAddr::is_ipv4)?;
        if listener.requests.contains(&address) {
            return Some(true);
        }
        let is_whole = !listener.told.what.lossy && !listener.told.what.cut;
        (is_whole && asking.broadcasts > 0 && !asking.unfinished).then_some(false)
    }

    /// The lines on which nodes tell what they asked and heard.
    pub(in crate::assumption) fn lines(&self, nodes: impl IntoIterator<Item = NodeId>) -> BTreeSet<u32> {
        let lines = |node: NodeId| {
            let asked = self.seen.get(&node).map(|told| told.line);
            let heard = self.heard.get(&node).map(|listener| listener.told.line);
            asked.into_iter().chain(heard)
        };
        nodes.into_iter().flat_map(lines).collect()
    }

    /// What nodes heard, with who heard it.
    pub(in crate::assumption) fn overheard(
        &self,
    ) -> impl Iterator<Item = (NodeId, Told<&'a Overheard>)> + '_ {
        self.heard.iter().map(|(node, listener)| (*node, listener.told))
    }
}

fn listener(told: Told<&Overheard>) -> Listener<'_> {
    let requests = told
        .what
        .speakers
        .iter()
        .filter(|speaker| speaker.what == Speech::Request);
    Listener {
        told,
        requests: requests.filter_map(|speaker| speaker.address).collect(),
    }
}

/// The interface that has a node's data address of a family, with the prefix on which it has it.
pub(in crate::assumption) fn data_interface<'a>(
    scene: &Scene<'a>,
    node: NodeId,
    family: Family,
) -> Option<(&'a Interface, IpNet)> {
    let address = scene.ledger.data_address(node, family)?;
    let facts = scene.facts(node).ok()?.what;
    facts.interfaces.iter().find_map(|interface| {
        let mut written = interface
            .addresses
            .iter()
            .filter_map(|text| text.parse::<IpNet>().ok());
        Some((interface, written.find(|own| own.addr() == address)?))
    })
}

/// Rows for the nodes of which nothing is known: an errand was not done, or the probe is gone.
pub(in crate::assumption) fn lacking(
    scene: &Scene<'_>,
    errand: errand::Kind,
    concerns: impl Fn(NodeId) -> bool,
) -> Vec<Ruling> {
    let nodes = scene.nodes().filter(|node| concerns(*node));
    let lacks = nodes.filter_map(|node| Some((node, scene.undone(node, errand)?)));
    lacks
        .map(|(node, lack)| Ruling::not_measured(scene.name(node), lack))
        .collect()
}

/// Pairs of which one has the other's address, too: by its own word, or because it answers for it. Who is asked by somebody with an
/// address of its own does not answer.
pub(super) fn twins(scene: &Scene<'_>, survey: &Survey<'_>) -> BTreeSet<(NodeId, NodeId)> {
    let mut owners: BTreeMap<IpAddr, NodeId> = BTreeMap::new();
    for node in survey.seen.keys() {
        let families = [Family::Ipv4, Family::Ipv6];
        let own = families.map(|family| scene.ledger.data_address(*node, family));
        owners.extend(own.into_iter().flatten().map(|address| (address, *node)));
    }
    let mut twins = BTreeSet::new();
    let mut add = |one: NodeId, other: NodeId| {
        if one != other {
            twins.insert((one.min(other), one.max(other)));
        }
    };
    for node in survey.seen.keys() {
        let facts = scene.facts(*node).ok().map(|told| told.what);
        let interfaces = facts.map_or(&[][..], |facts| &facts.interfaces).iter();
        let has = interfaces.flat_map(|interface| &interface.addresses);
        for address in has.filter_map(|text| text.split('/').next()?.parse().ok()) {
            owners
                .get(&address)
                .into_iter()
                .for_each(|owner| add(*node, *owner));
        }
    }
    for (asker, _, asked) in survey.questions() {
        let owner = match asked.subject {
            Subject::Own => asker,
            Subject::Peer { node } => node,
            Subject::Gateway | Subject::Spare => continue,
        };
        let others = asked
            .macs
            .iter()
            .filter(|mac| !survey.is_proxy(mac) && !survey.is_of(mac, owner));
        for member in others.flat_map(|mac| survey.members_with(mac)) {
            add(owner, *member);
        }
    }
    twins
}

/// Why nobody was asked for an address that is on no link: the prefix of the interface holds it alone, or does not hold it.
pub(in crate::assumption) fn off_link() -> Lack {
    Lack::ToldElsewhere(
        "the prefix of the data interface has no link with it, and nobody was asked".to_owned(),
    )
}

/// Why silence proves nothing where a probe could not ask to the end: the interface went away, or the run was stopped, which is
/// told elsewhere.
pub(in crate::assumption) fn cut_short() -> Lack {
    Lack::ToldElsewhere("its questions on the link were cut short".to_owned())
}

/// The same of a node whose own questions were. Nobody else tells of it, unless the run was stopped or tests of the node fail: it is
/// one finding of the run.
pub(super) fn own_cut_short(scene: &Scene<'_>, node: NodeId) -> Lack {
    let mut own = scene
        .pairs
        .iter()
        .filter(|pair| pair.src == node || pair.dst == node);
    let is_told = scene.ledger.interrupted.is_some()
        || own.any(|pair| pair.cells.iter().any(|cell| !cell.outcome.is_open()));
    match is_told {
        true => cut_short(),
        false => Lack::Other(
            None,
            "questions of nodes on their links were cut short: an interface went away, or there was no time left".to_owned(),
        ),
    }
}
