//! Whether VIPs may be taken and asked for, and tunnels made.

use std::net::IpAddr;

use ipnet::{Ipv4Net, Ipv6Net};
use plumbline_model::{
    errand::{HoldErrand, HoldPart, TunnelErrand},
    id::NodeId,
    observation::UndoneWhy,
    port::Family,
};
use plumbline_proto::convert::Roster;

use crate::guard::{Guard, Standing, address};

impl Guard {
    /// A VIP is the one address outside the roster that a probe may take or connect to for the port matrix's sake, so it is bound
    /// on all sides: the policy's networks and ports hold for it, it is a plain unicast address and no member's, and it lies so
    /// near to everybody who is to take it that it may be on one link with them. What a coordinator that lies can have asked for
    /// is hence ten connections a second to one port of one address beside its own nodes, which end with the first few that are
    /// answered without a proof (`errand::hold`). To take it, the host must be bare, and its kernel must think it on the link.
    pub(super) fn permit_hold(
        &self,
        errand: &HoldErrand,
        roster: &Roster,
        standing: &Standing,
    ) -> Result<(), UndoneWhy> {
        let failed = |reason: String| Err(UndoneWhy::Failed { reason });
        if !self.policy.active
            || !self.policy.allows_network(errand.vip)
            || !self.policy.allows_port(errand.port)
        {
            return Err(UndoneWhy::Policy);
        }
        if let Err(why) = address::check(errand.vip, self.is_on_loopback()) {
            return failed(format!("the VIP {} is {why}", errand.vip));
        }
        let mut members = roster.members().iter();
        if let Some(owner) = members.find(|member| member.addresses.contains(&errand.vip)) {
            return failed(format!("the VIP {} is an address of {}", errand.vip, owner.node));
        }
        let own = [self.own.node];
        let holders = match &errand.part {
            HoldPart::Take { .. } if matches!(standing, Standing::Live { .. }) => {
                return Err(UndoneWhy::Live);
            }
            HoldPart::Take { .. } => &own[..],
            HoldPart::Reach { holders } => holders.as_slice(),
        };
        let family = Family::of(errand.vip);
        let is_far = |holder: &&NodeId| {
            let address = roster
                .member(**holder)
                .and_then(|member| member.data_address(family));
            !address.is_some_and(|address| may_share_a_link(address, errand.vip))
        };
        match holders.iter().find(is_far) {
            Some(holder) => failed(format!("the VIP {} is nowhere near {holder}", errand.vip)),
            None => Ok(()),
        }
    }

    pub(super) fn permit_tunnel(
        &self,
        errand: &TunnelErrand,
        roster: &Roster,
        standing: &Standing,
    ) -> Result<(), UndoneWhy> {
        let peer = roster
            .member(errand.peer)
            .and_then(|peer| peer.data_address(Family::Ipv4));
        let Some(peer) = peer.filter(|_| errand.peer != self.own.node) else {
            return Err(UndoneWhy::Failed {
                reason: format!("{} is no other node with an IPv4 address", errand.peer),
            });
        };
        if !self.policy.active || !self.policy.allows_network(peer) || !self.policy.allows_port(errand.port) {
            return Err(UndoneWhy::Policy);
        }
        match standing {
            Standing::Live { .. } => Err(UndoneWhy::Live),
            Standing::Bare => Ok(()),
        }
    }

    fn is_on_loopback(&self) -> bool {
        let own = self.own.node.address();
        own.is_some_and(|address| address.is_loopback())
    }
}

/// Whether two addresses may be on one link, as far as anybody can say who does not know its prefix: no layer 2 domain has more
/// than the 65,536 hosts of an IPv4 /16, and a site's IPv6 prefix is a /48 (RFC 6177).
fn may_share_a_link(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            Ipv4Net::new(one, 16).is_ok_and(|network| network.contains(&other))
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            Ipv6Net::new(one, 48).is_ok_and(|network| network.contains(&other))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}
