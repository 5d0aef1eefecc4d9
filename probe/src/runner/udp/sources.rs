//! From which address this host speaks to its peers.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use plumbline_measure::time::Timestamp;
use plumbline_sys::udp::UdpSocket;

/// The last answers of the kernel.
#[derive(Debug, Default)]
pub(super) struct Sources(BTreeMap<IpAddr, (Timestamp, Option<IpAddr>)>);

impl Sources {
    /// The address from which a datagram to `peer` leaves; `None` if the kernel does not tell, or knows no way.
    pub(super) fn toward(&mut self, peer: SocketAddr, now: Timestamp) -> Option<IpAddr> {
        if let Some((at, source)) = self.0.get(&peer.ip())
            && now.since(*at) < MAX_AGE
        {
            return *source;
        }
        let source = UdpSocket::source_toward(peer).ok();
        self.0.insert(peer.ip(), (now, source));
        source
    }
}

/// A scan of thousands of ports asks the kernel a few times a second about the peer.
const MAX_AGE: Duration = Duration::from_millis(250);
