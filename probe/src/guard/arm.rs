//! Which ports this host opens.

use std::{collections::BTreeMap, net::IpAddr};

use plumbline_model::{
    id::NodeId,
    observation::{Armed, BindFailure, Listener, NotBound, Record},
    port::{PortSet, Protocol},
};
use plumbline_proto::convert::{ArmPorts, Roster};

use super::{Guard, PermittedWork, Refused, Standing};

/// Ports of one own address to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The data address of a family.
    pub address: IpAddr,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Which ports.
    pub ports: PortSet,
}

impl Guard {
    /// For each set of ports, the first that holds decides:
    ///
    /// 1. of another transport than TCP and UDP: not opened;
    /// 2. this node has no data address of the family: not opened;
    /// 3. the node is live: not opened, and for each port who waits there, or that nobody does;
    /// 4. outside the policy: not opened;
    /// 5. opened.
    pub(super) fn permit_arm(
        &self,
        sets: &[ArmPorts],
        roster: &Roster,
        standing: &Standing,
    ) -> Result<(PermittedWork, Vec<Record>), Refused> {
        if self.own.node == NodeId::Coordinator {
            return Err(Refused::Vantage);
        }
        let mut permitted: BTreeMap<(IpAddr, Protocol), PortSet> = BTreeMap::new();
        let mut excluded = Vec::new();
        for set in sets {
            let own = roster
                .member(self.own.node)
                .and_then(|member| member.data_address(set.family));
            let mut refused = Vec::new();
            let mut refuse = |ports: PortSet, why: BindFailure| {
                if !ports.is_empty() {
                    refused.push(NotBound { ports, why });
                }
            };
            match (own, standing) {
                _ if !matches!(set.protocol, Protocol::Tcp | Protocol::Udp) => {
                    let errno = EPROTONOSUPPORT;
                    refuse(set.ports.clone(), BindFailure::Other { errno });
                }
                (None, _) => refuse(set.ports.clone(), BindFailure::AddressMissing),
                (Some(_), Standing::Live { listeners: None }) => refuse(set.ports.clone(), BindFailure::Live),
                (Some(address), Standing::Live { listeners: Some(all) }) => {
                    refused = held(address, set.protocol, &set.ports, all);
                }
                (Some(address), Standing::Bare) => {
                    let allowed = self.policy.allowed_ports(&set.ports);
                    refuse(set.ports.difference(&allowed), BindFailure::Policy);
                    if !allowed.is_empty() {
                        let key = (address, set.protocol);
                        permitted.entry(key).or_default().extend(&allowed);
                    }
                }
            }
            if !refused.is_empty() {
                excluded.push(Record::Armed(Armed {
                    family: set.family,
                    protocol: set.protocol,
                    ports: PortSet::new(),
                    refused,
                }));
            }
        }
        let opening = |((address, protocol), ports)| Opening {
            address,
            protocol,
            ports,
        };
        let openings = permitted.into_iter().map(opening).collect();
        Ok((PermittedWork::Arm(openings), excluded))
    }
}

/// Who waits on these ports of a live node at this address, or at all addresses of its family. Of several the first is named.
fn held(address: IpAddr, protocol: Protocol, ports: &PortSet, listeners: &[Listener]) -> Vec<NotBound> {
    let mut unheld = ports.clone();
    let mut by_holder: BTreeMap<BindFailure, PortSet> = BTreeMap::new();
    for listener in listeners {
        let at_all = listener.address.is_unspecified() && listener.address.is_ipv4() == address.is_ipv4();
        if listener.protocol != protocol || !(at_all || listener.address == address) {
            continue;
        }
        let held = listener.ports.intersection(&unheld);
        if held.is_empty() {
            continue;
        }
        unheld = unheld.difference(&held);
        let holder = BindFailure::Service {
            process: listener.process.clone(),
            pid: listener.pid,
        };
        by_holder.entry(holder).or_default().extend(&held);
    }
    if !unheld.is_empty() {
        by_holder.insert(BindFailure::NoListener, unheld);
    }
    let not_bound = |(why, ports)| NotBound { ports, why };
    by_holder.into_iter().map(not_bound).collect()
}

/// The errno for a transport that has no responder (Linux, `asm-generic/errno.h`).
pub(super) const EPROTONOSUPPORT: u32 = 93;
