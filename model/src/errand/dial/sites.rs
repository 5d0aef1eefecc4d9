//! Servers outside that installation and operation need, and those of the site's own.

use std::collections::BTreeMap;

use super::{Anchors, MAX_DIAL_TARGETS, Site, Via};
use crate::{
    errand::{Commission, DialTarget},
    evidence::Group,
    id::NodeId,
    inventory::{Inventory, Server},
    profile::{Profile, Severity, Source},
};

/// Why a site is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// It stands in the profile.
    Vendor,
    /// It is the vendor's host of the cluster's region.
    Region,
    /// It has the vendor's packages.
    Packages,
    /// It is a registry mirror.
    Mirror,
    /// The user names it.
    Own,
}

/// A site, why it is needed, and what its absence does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needed {
    pub(crate) need: Need,
    pub(crate) severity: Severity,
}

/// The sites that a participant connects to.
pub(super) fn add(commission: &Commission<'_>, participant: NodeId, targets: &mut Vec<DialTarget>) {
    if !commission.asks_for(Group::External) {
        return;
    }
    let is_node = commission.inventory.node(participant).is_some();
    if !is_node && participant != NodeId::Coordinator {
        return;
    }
    let sites = needed(commission.inventory, commission.profiles, participant);
    let room = MAX_DIAL_TARGETS.saturating_sub(targets.len());
    targets.extend(sites.into_keys().take(room).map(DialTarget::Site));
}

/// What a participant needs, with the way there.
pub(crate) fn needed(
    inventory: &Inventory,
    profiles: &[Profile],
    participant: NodeId,
) -> BTreeMap<Site, Needed> {
    let source = match participant {
        NodeId::Coordinator => Source::AdminWorkstation,
        NodeId::Address(_) => Source::ClusterNodes,
    };
    let mut sites = BTreeMap::new();
    for of_profile in profiles.iter().flat_map(|profile| &profile.external) {
        let Some(host) = of_profile.host_in(inventory) else {
            continue;
        };
        if !of_profile.sources.contains(&source) {
            continue;
        }
        let need = if of_profile.host.contains('{') {
            Need::Region
        } else if of_profile
            .when
            .as_ref()
            .is_some_and(|when| when.text == "package_repository")
        {
            Need::Packages
        } else {
            Need::Vendor
        };
        let needed = Needed {
            need,
            severity: of_profile.severity,
        };
        sites
            .entry(site(inventory, &host, of_profile.port, Anchors::Public))
            .or_insert(needed);
    }
    let outward = &inventory.outward;
    let own = (outward.mirrors.iter().map(|server| (server, Need::Mirror)))
        .chain(outward.sites.iter().map(|server| (server, Need::Own)));
    for (Server { host, port }, need) in own {
        let needed = Needed {
            need,
            severity: Severity::Fail,
        };
        sites
            .entry(site(inventory, host, *port, Anchors::Given))
            .or_insert(needed);
    }
    sites
}

fn site(inventory: &Inventory, host: &str, port: u16, anchors: Anchors) -> Site {
    let outward = &inventory.outward;
    let through_proxy = outward.proxy.is_some() && !outward.bypasses_proxy(host);
    Site {
        host: host.to_owned(),
        port,
        via: if through_proxy { Via::Proxy } else { Via::Direct },
        anchors,
    }
}
