//! Errand path: only members are asked, at their data addresses, where the policy allows the network and the port.

use plumbline_model::{errand::PathErrand, port::PortSet};
use plumbline_proto::convert::Roster;

use crate::guard::Guard;

impl Guard {
    /// What of the errand may be done. A destination that is left out is missing in what is reported.
    pub(super) fn permit_path(&self, mut errand: PathErrand, roster: &Roster) -> PathErrand {
        errand.paths.retain(|path| {
            let member = roster.member(path.node).filter(|_| path.node != self.own.node);
            let address = member.and_then(|member| member.data_address(path.family));
            // Without an address there is nothing to forbid: that there is none is told.
            member.is_some() && address.is_none_or(|address| self.policy.allows_network(address))
        });
        for path in &mut errand.paths {
            let allowed = self
                .policy
                .allowed_ports(&path.ports.iter().copied().collect::<PortSet>());
            path.ports.retain(|port| allowed.contains(*port));
        }
        errand.max_rate = match (errand.max_rate, self.policy.max_rate) {
            (rate, None) => rate,
            (0, Some(most)) => most.get(),
            (rate, Some(most)) => rate.min(most.get()),
        };
        errand
    }
}
