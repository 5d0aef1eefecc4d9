//! Faults that are a setting of the kernel in one namespace.

use plumbline_model::{id::NodeId, port::Family};
use plumbline_sys::ns;

use super::{
    FaultError,
    plant::{Place, Planted},
};
use crate::{Lab, LabError};

/// A setting and the value that makes it a fault.
pub(super) type Setting = (&'static str, String);

/// Takes packets only by the interface that answers would leave by (RFC 3704 section 2.2). The larger of `all` and the
/// interface's own counts.
pub(super) fn strict_reverse_path() -> Vec<Setting> {
    vec![("net/ipv4/conf/all/rp_filter", "1".to_owned())]
}

/// Limits ICMP errors of both families; without an interval, not at all.
pub(super) fn icmp_rate_limit(interval_ms: u32) -> Vec<Setting> {
    // What the masks have is also limited for all destinations together, whatever the interval.
    let (mask, mask_6) = if interval_ms == 0 {
        (NO_TYPE, NO_TYPE_6)
    } else {
        (ICMP_ERRORS, ICMP_ERRORS_6)
    };
    vec![
        ("net/ipv4/icmp_ratemask", mask.to_owned()),
        ("net/ipv4/icmp_ratelimit", interval_ms.to_string()),
        ("net/ipv6/icmp/ratemask", mask_6.to_owned()),
        ("net/ipv6/icmp/ratelimit", interval_ms.to_string()),
    ]
}

/// The kernel answers no echo requests; IPv6's setting is not there without IPv6.
fn echo_ignored(ipv6: bool) -> Vec<Setting> {
    let mut settings = vec![("net/ipv4/icmp_echo_ignore_all", "1".to_owned())];
    if ipv6 {
        settings.push(("net/ipv6/icmp/echo_ignore_all", "1".to_owned()));
    }
    settings
}

/// Answers ARP for whom it has a route to, on the asking link, too.
pub(super) fn proxy_arp() -> Vec<Setting> {
    vec![
        ("net/ipv4/conf/all/proxy_arp", "1".to_owned()),
        ("net/ipv4/conf/all/proxy_arp_pvlan", "1".to_owned()),
        ("net/ipv4/ip_forward", "1".to_owned()),
    ]
}

/// Answers no ARP request on the router's leg of this index.
fn arp_ignored(leg: usize) -> Option<Vec<Setting>> {
    let name = *ARP_IGNORE.get(leg)?;
    // 8: for no address (ip-sysctl).
    Some(vec![(name, "8".to_owned())])
}

/// Of the router's legs in as many subnets as labs have.
const ARP_IGNORE: [&str; 4] = [
    "net/ipv4/conf/net0/arp_ignore",
    "net/ipv4/conf/net1/arp_ignore",
    "net/ipv4/conf/net2/arp_ignore",
    "net/ipv4/conf/net3/arp_ignore",
];

impl Lab {
    /// The host answers no echo requests.
    pub(super) fn ignore_echo(&self, host: NodeId) -> Result<Planted, FaultError> {
        let ipv6 = self.topology().speaks(Family::Ipv6);
        self.set(Place::Host(host), &echo_ignored(ipv6))
    }

    /// The router answers no ARP request on the link of this host.
    pub(super) fn silence_gateway(&self, host: NodeId) -> Result<Planted, FaultError> {
        let (_, subnet) = self.host(host)?;
        let mut legs = self.topology().subnets().iter();
        let ignored = legs.position(|other| *other == subnet).and_then(arp_ignored);
        self.set(Place::Router, &ignored.ok_or(FaultError::NoSuchAddress)?)
    }

    pub(super) fn set(&self, place: Place, settings: &[Setting]) -> Result<Planted, FaultError> {
        let mut before = Vec::new();
        let apply = || -> Result<(), ns::Error> {
            for (name, value) in settings {
                before.push((*name, ns::sysctl(name)?));
                ns::set_sysctl(name, value)?;
            }
            Ok(())
        };
        let applied = self.place(place)?.run(apply).map_err(LabError::Namespace)?;
        if let Err(error) = applied {
            // The first error is the one to tell.
            let _ = self.unset(place, &before);
            return Err(FaultError::Setting(error));
        }
        Ok(Planted::Settings { place, before })
    }

    /// Restores settings, the last one first.
    pub(super) fn unset(&self, place: Place, before: &[(&'static str, String)]) -> Result<(), FaultError> {
        let restore = || {
            before
                .iter()
                .rev()
                .try_for_each(|(name, value)| ns::set_sysctl(name, value))
        };
        self.place(place)?
            .run(restore)
            .map_err(LabError::Namespace)?
            .map_err(FaultError::Setting)
    }
}

/// The types that Linux limits by default (icmp(7), `icmp_ratemask`): destination unreachable, source quench, time exceeded,
/// parameter problem.
const ICMP_ERRORS: &str = "6168";
/// Every error but packet too big, which Linux never limits by default.
const ICMP_ERRORS_6: &str = "0-1,3-127";
pub(crate) const NO_TYPE: &str = "0";
/// No list of types can be empty; this one is reserved (RFC 4443 section 2.1).
pub(crate) const NO_TYPE_6: &str = "127";
