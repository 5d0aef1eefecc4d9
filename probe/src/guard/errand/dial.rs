//! Errand dial: strangers, whom the coordinator names. What the policy leaves of them.

use std::net::SocketAddr;

use plumbline_model::{
    errand::{Depth, DialErrand, DialTarget, MAX_DIAL_PEERS, Via},
    observation::UndoneWhy,
};

use crate::guard::{Guard, Standing};

impl Guard {
    /// What of the errand may be done. What is left out is missing in what is reported.
    ///
    /// # Errors
    /// If the policy allows no strangers at all.
    pub(super) fn permit_dial(
        &self,
        mut errand: DialErrand,
        standing: &Standing,
    ) -> Result<DialErrand, UndoneWhy> {
        if !self.policy.dial {
            return Err(UndoneWhy::Policy);
        }
        let proxy = errand.proxy.as_ref();
        let allows_proxy = proxy.is_some_and(|proxy| self.permits_host(&proxy.host, proxy.port));
        let is_live = matches!(standing, Standing::Live { .. });
        if is_live
            && errand
                .targets
                .iter()
                .all(|target| matches!(target, DialTarget::Peer(_)))
        {
            return Err(UndoneWhy::Live);
        }
        let mut routers = 0;
        errand.targets.retain(|target| match target {
            // A node that runs has sessions of its own: a router may end one when the same node connects again (RFC 4724
            // section 4.2).
            DialTarget::Peer(_) if is_live => false,
            DialTarget::Site(site) if site.via == Via::Proxy => {
                allows_proxy && self.permits_host(&site.host, site.port)
            }
            DialTarget::Peer(_) if routers == MAX_DIAL_PEERS => false,
            DialTarget::Peer(_) => {
                let is_permitted = self.permits_target(target);
                routers += usize::from(is_permitted);
                is_permitted
            }
            target => self.permits_target(target),
        });
        for target in &mut errand.targets {
            if let DialTarget::Peer(peer) = target
                && !self.policy.active
            {
                peer.depth = Depth::Connect;
            }
        }
        if errand.targets.is_empty() {
            return Err(UndoneWhy::Policy);
        }
        Ok(errand)
    }

    fn permits_target(&self, target: &DialTarget) -> bool {
        let allows = |address, port| self.policy.allows(SocketAddr::new(address, port), false);
        match target {
            DialTarget::Site(site) => self.permits_host(&site.host, site.port),
            DialTarget::Question(question) => match question.server {
                Some(server) => allows(server, DNS_PORT),
                None => self.policy.allows_port(DNS_PORT),
            },
            DialTarget::Peer(peer) => allows(peer.address, BGP_PORT),
        }
    }

    /// Nobody can tell by a name where it is: where networks are listed, `dial` has to be written, and what the name leads to is
    /// held to the policy when it is connected to. Where it leads the proxy only the proxy knows.
    fn permits_host(&self, host: &str, port: u16) -> bool {
        match host.parse() {
            Ok(address) => self.policy.allows(SocketAddr::new(address, port), false),
            Err(_) => self.policy.allows_port(port),
        }
    }
}

/// RFC 1035 section 4.2.
const DNS_PORT: u16 = 53;

/// RFC 4271 section 8.2.1.
const BGP_PORT: u16 = 179;
