//! What the overlay takes of a packet between nodes.

use crate::{assumption::Scene, errand, port::Family, profile::Profile};

/// What encapsulation takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overhead {
    /// Octets of each packet.
    pub(super) octets: u32,
    /// In words: `GENEVE over IPv4 with the option of DSR`.
    pub(super) what: String,
}

/// What the overlay of the cluster takes; `None` where pods need no tunnel, or no table tells of one.
pub(super) fn of(scene: &Scene<'_>) -> Option<Overhead> {
    let inventory = scene.inventory;
    if inventory.flat {
        return None;
    }
    let over_ipv4 = inventory.listed_families().contains(&Family::Ipv4);
    let name = match errand::overlay_of(inventory, scene.profiles) {
        Some((encapsulation, _)) => encapsulation.name(),
        // Over IPv6 nobody tries a tunnel, but the profile may tell what one takes.
        None if !over_ipv4 && known(scene.profiles, "tunnel_ipv6").is_some() => "the overlay",
        None => return None,
    };
    let (key, family, usual) = match over_ipv4 {
        true => ("tunnel_ipv4", "IPv4", TUNNEL_OVER_IPV4),
        false => ("tunnel_ipv6", "IPv6", TUNNEL_OVER_IPV6),
    };
    let mut octets = known(scene.profiles, key).unwrap_or(usual);
    let mut what = format!("{name} over {family}");
    if inventory.direct_server_return && name == "GENEVE" {
        octets += known(scene.profiles, "geneve_dsr_option").unwrap_or(GENEVE_DSR_OPTION);
        what.push_str(" with the option of DSR");
    }
    if let Some(encryption) = inventory.options.get("encryption") {
        octets += known(scene.profiles, encryption).unwrap_or(0);
        if encryption != "none" {
            what = format!("{what} and {encryption}");
        }
    }
    Some(Overhead { octets, what })
}

impl Overhead {
    /// What a pod's full packet becomes between nodes: that of the MTU that is set for pods, or else of what is left of the
    /// interface's.
    pub(super) fn full(&self, scene: &Scene<'_>, interface_mtu: u32) -> u32 {
        self.inner(scene, interface_mtu).saturating_add(self.octets)
    }

    /// A pod's full packet.
    pub(super) fn inner(&self, scene: &Scene<'_>, interface_mtu: u32) -> u32 {
        let left = interface_mtu.saturating_sub(self.octets);
        scene.inventory.pod_mtu.unwrap_or(left)
    }
}

fn known(profiles: &[Profile], name: &str) -> Option<u32> {
    let overlays = profiles.iter().filter_map(|profile| profile.overlay.as_ref());
    let mut octets = overlays.filter_map(|overlay| overlay.octets.get(name));
    octets.next().copied().map(u32::from)
}

/// Outer IPv4 20, UDP 8, VXLAN or GENEVE 8, inner Ethernet 14 (RFC 7348 section 5, RFC 8926 section 3).
const TUNNEL_OVER_IPV4: u32 = 50;
/// The same with an outer IPv6 header.
const TUNNEL_OVER_IPV6: u32 = 70;
/// An option's head of 4 octets, an address and a port, padded.
const GENEVE_DSR_OPTION: u32 = 12;
