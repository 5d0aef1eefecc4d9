//! What the kernel knows of the next hops toward peers that stay silent.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use plumbline_measure::time::Timestamp;
use plumbline_sys::route::{Network, NextHop};

/// The last answers of the kernel.
#[derive(Default)]
pub(super) struct NextHops {
    /// Opened with the first question, in the network namespace of the engine's thread.
    network: Option<Network>,
    known: BTreeMap<IpAddr, (Timestamp, NextHop)>,
}

impl NextHops {
    /// The next hop toward `peer`. A kernel that does not tell leaves it unknown, and silence what it is.
    pub(super) fn toward(&mut self, peer: IpAddr, now: Timestamp) -> NextHop {
        if let Some((at, hop)) = self.known.get(&peer)
            && now.since(*at) < MAX_AGE
        {
            return *hop;
        }
        if self.network.is_none() {
            self.network = Network::open().ok();
        }
        let asked = self
            .network
            .as_mut()
            .and_then(|network| network.next_hop(peer).ok());
        let hop = asked.unwrap_or(NextHop::Unknown);
        self.known.insert(peer, (now, hop));
        hop
    }
}

/// A scan whose ports stay silent by the thousand asks the kernel a few times a second about the peer.
const MAX_AGE: Duration = Duration::from_millis(250);
