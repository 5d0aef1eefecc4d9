//! L2-008: no foreign virtual router where the cluster's load balancers announce VIPs.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::survey::{Survey, data_interface, lacking};
use crate::{
    assumption::{
        Complaint, Explains, Ruling, Scene,
        vip::{tells_several, tells_taken},
    },
    cause::{Cause, CauseKind, Fix},
    errand::{self, announces_on_link, vips},
    id::NodeId,
    inventory::Inventory,
    observation::Advert,
    port::Family,
    report::check::Check,
};

/// Nobody else speaks VRRP there.
pub(crate) const CHECK: Check = Check {
    id: "L2-008",
    asserts: "where load balancers announce VIPs, no foreign virtual router (VRRP) has their VIPs, or could have their VRID",
    how: "every node listens for VRRP advertisements from the beginning to the end of the run, and joins no group; nothing is sent",
    needs: "CAP_NET_RAW",
    rule: "fails if a host that is no node advertises a VIP or an address of a pool, or the VRID that nodes of the cluster advertise; \
           warns of any other virtual router, since its VRID must not be the cluster's; passes a gateway's own, with its VRID. VRRP \
           over IPv6 may be kept from the nodes by switches that snoop MLD",
    remedy: "give the other router pair another VRID or another VLAN",
    source: "RFC 9568 sections 1.2 and 5.2.3: a VRID is of one virtual router on a link; what shares it sees the other's advertisements \
             as its own",
};

/// A virtual router as it was heard.
#[derive(Default)]
struct Router<'a> {
    senders: BTreeSet<IpAddr>,
    macs: BTreeSet<&'a str>,
    addresses: BTreeSet<IpAddr>,
    lines: BTreeSet<u32>,
    by: BTreeSet<NodeId>,
    links: BTreeSet<Option<IpNet>>,
}

/// One ruling a foreign virtual router; one for all where there is none.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    if !announces_on_link(scene.inventory) {
        return Vec::new();
    }
    let survey = Survey::of(scene);
    let gateways = gateways(scene);
    let mut foreign: BTreeMap<(Option<IpNet>, u8), Router<'_>> = BTreeMap::new();
    let mut own: BTreeSet<(Option<IpNet>, u8)> = BTreeSet::new();
    let mut is_whole = false;
    for (node, told) in survey.overheard() {
        is_whole |= !told.what.lossy;
        let link = link_of(scene, node);
        for advert in &told.what.adverts {
            if is_member(scene, advert) {
                own.insert((link, advert.vrid));
                continue;
            }
            let router = foreign.entry((link, advert.vrid)).or_default();
            router.links.insert(link);
            router.senders.insert(advert.sender);
            router.macs.insert(&advert.mac);
            router.addresses.extend(&advert.addresses);
            router.lines.insert(told.line);
            router.by.insert(node);
        }
    }
    let mut rulings = Vec::new();
    for (vrid, router) in &merged(foreign) {
        let is_used = router.links.iter().any(|link| own.contains(&(*link, *vrid)));
        let taken: Vec<IpAddr> = router
            .addresses
            .iter()
            .copied()
            .filter(|address| is_of_cluster(scene.inventory, *address))
            .collect();
        let subject = format!("VRID {vrid}");
        let serves = router.addresses.iter().any(|address| gateways.contains(address));
        let by = [("VIP-001", tells_taken as Tells), ("VIP-004", tells_several)];
        let teller = by
            .iter()
            .find(|(_, tells)| taken.iter().all(|address| tells(scene, &survey, *address)));
        if let Some((check, _)) = teller.filter(|_| !taken.is_empty()) {
            rulings.push(Ruling::told(
                subject,
                format!(
                    "{} advertises {}, as {check} tells",
                    said(&router.senders),
                    said(&taken)
                ),
            ));
        } else if !taken.is_empty() || is_used {
            rulings.push(Ruling::fail(
                subject,
                complaint(scene, *vrid, router, &taken, true),
            ));
        } else if serves {
            rulings.push(Ruling::pass(
                subject,
                format!(
                    "is the default gateway's, {}; the cluster must not use it",
                    said(&router.addresses)
                ),
            ));
        } else {
            rulings.push(Ruling::warn(
                subject,
                complaint(scene, *vrid, router, &taken, false),
            ));
        }
    }
    if rulings.is_empty() && is_whole {
        rulings.push(Ruling::pass(
            "VRRP",
            match own.len() {
                0 => "no advertisement was heard".to_owned(),
                _ => "no advertisement but the nodes' own was heard".to_owned(),
            },
        ));
    }
    rulings.extend(lacking(scene, errand::Kind::Listen, |_| true));
    rulings
}

/// Whether a check tells of who answers for an address.
type Tells = fn(&Scene<'_>, &Survey<'_>, IpAddr) -> bool;

/// The subnet on whose link a node listens: a VRID is of one link.
fn link_of(scene: &Scene<'_>, node: NodeId) -> Option<IpNet> {
    let family = Family::of(node.address()?);
    data_interface(scene, node, family).map(|(_, prefix)| prefix.trunc())
}

/// Virtual routers by VRID. What two subnets hear of the same sender is one virtual router: they share a link.
fn merged(heard: BTreeMap<(Option<IpNet>, u8), Router<'_>>) -> Vec<(u8, Router<'_>)> {
    let mut merged: Vec<(u8, Router<'_>)> = Vec::new();
    for ((_, vrid), router) in heard {
        let same = merged
            .iter_mut()
            .find(|(other, known)| *other == vrid && !known.senders.is_disjoint(&router.senders));
        match same {
            Some((_, known)) => known.add(router),
            None => merged.push((vrid, router)),
        }
    }
    merged.sort_by_key(|(vrid, _)| *vrid);
    merged
}

impl Router<'_> {
    fn add(&mut self, other: Self) {
        self.links.extend(other.links);
        self.senders.extend(other.senders);
        self.macs.extend(other.macs);
        self.addresses.extend(other.addresses);
        self.lines.extend(other.lines);
        self.by.extend(other.by);
    }
}

/// The next hops of the nodes' default routes.
fn gateways(scene: &Scene<'_>) -> BTreeSet<IpAddr> {
    let facts = scene.nodes().filter_map(|node| scene.facts(node).ok());
    facts.flat_map(|facts| &facts.what.gateways).copied().collect()
}

/// Whether a node of the cluster sent it, if only one that takes no part in this run.
fn is_member(scene: &Scene<'_>, advert: &Advert) -> bool {
    let mut listed = scene.inventory.nodes.iter();
    let is_listed = listed.any(|node| node.id.address() == Some(advert.sender) || node.ssh == advert.sender);
    is_listed || tells_of(scene, advert)
}

/// Whether it came from an address of which a probe tells.
fn tells_of(scene: &Scene<'_>, advert: &Advert) -> bool {
    scene.nodes().any(|node| {
        let facts = scene.facts(node).ok().map(|told| told.what);
        let mut interfaces = facts.map_or(&[][..], |facts| &facts.interfaces).iter();
        let has_address =
            |text: &String| text.split('/').next().and_then(|text| text.parse().ok()) == Some(advert.sender);
        interfaces.any(|interface| interface.addresses.iter().any(has_address))
    })
}

/// Whether an address is a VIP of the cluster, or in one of its pools.
fn is_of_cluster(inventory: &Inventory, address: IpAddr) -> bool {
    vips(inventory).contains(&address) || inventory.address_pools.iter().any(|pool| pool.contains(address))
}

fn said<'i>(addresses: impl IntoIterator<Item = &'i IpAddr>) -> String {
    let all: Vec<String> = addresses.into_iter().map(ToString::to_string).collect();
    all.join(", ")
}

fn complaint(scene: &Scene<'_>, vrid: u8, router: &Router<'_>, taken: &[IpAddr], is_used: bool) -> Complaint {
    let macs: Vec<&str> = router.macs.iter().copied().collect();
    let who = format!("{} (link address {})", said(&router.senders), macs.join(", "));
    let what = match (taken.is_empty(), is_used) {
        (false, _) => format!("{} of this cluster", said(taken)),
        (true, true) => format!(
            "{}, with the VRID that nodes of the cluster use",
            said(&router.addresses)
        ),
        (true, false) => format!(
            "{}: if the cluster's load balancers used VRID {vrid}, each would take the other's advertisements for its own",
            said(&router.addresses)
        ),
    };
    Complaint {
        cause: Cause {
            kind: CauseKind::ForeignVrrp,
            node: None,
            between: Some([Vec::new(), router.by.iter().copied().collect()]),
            detail: format!(
                "a virtual router that is none of the cluster's is on the nodes' link: {who} advertises VRID {vrid} for {what}"
            ),
        },
        fix: Fix {
            text: format!(
                "Ask who runs VRRP (keepalived, a router pair) with VRID {vrid} on this link; give it another VRID than the cluster's \
                 load balancers, or another VLAN."
            ),
            commands: router
                .by
                .iter()
                .take(1)
                .map(|node| scene.ssh(*node, "tcpdump -c 5 -e -n -v ip proto 112 or ip6 proto 112"))
                .collect(),
        },
        evidence: router.lines.iter().copied().collect(),
        explains: Explains::default(),
    }
}
