//! A rule that stops some packets and lets others of the same kind pass.

use std::collections::BTreeSet;

use crate::{
    firewall::{Manager, Place, TableFamily},
    report::{Status, check},
};

use super::{
    super::{CauseKind, Fix, filter::FilterCase, fix::said_list},
    Teller, Told,
};

impl Teller<'_> {
    pub(super) fn chance(&self, case: &FilterCase, places: &[Place], is_firm: bool) -> Told {
        let name = self.name(case.node);
        let count = self.count(&case.tests);
        let peers = self.side(&case.tests.peers_of(case.node), &case.tests);
        let by: Vec<String> = places.iter().map(ToString::to_string).collect();
        let by = said_list(&by, by.len());
        let ended = match is_firm {
            true => "were answered at times or not at all",
            false => "were answered at times only",
        };
        Told {
            check: check::REACH_TCP.id,
            kind: CauseKind::HostFirewall,
            node: Some(case.node),
            detail: format!(
                "the packet filter of {name} drops packets by rate or by chance: {count} with {peers} {ended}, by {by}"
            ),
            fix: remove(places),
            most: match is_firm {
                true => Status::Fail,
                false => Status::Warn,
            },
        }
    }
}

/// No port is to be opened: the rule stops whatever comes when there is most of it.
fn remove(places: &[Place]) -> Fix {
    let mut commands = Vec::new();
    for place in places {
        let chain = format!("{} {} {}", place.family.as_str(), place.table, place.chain);
        match (&place.manager, place.handle) {
            (Manager::Nftables, Some(handle)) => {
                commands.push(format!("nft -a list chain {chain}"));
                commands.push(format!("nft delete rule {chain} handle {handle}"));
            }
            (Manager::Iptables { chain }, _) => {
                let program = match place.family {
                    TableFamily::Ip6 => "ip6tables",
                    _ => "iptables",
                };
                commands.push(format!(
                    "{program} -t {} -L {chain} -n -v --line-numbers",
                    place.table
                ));
            }
            (Manager::Firewalld { .. }, _) => {
                commands.push("firewall-cmd --list-rich-rules".to_owned());
                commands.push("firewall-cmd --direct --get-all-rules".to_owned());
                commands.push(format!("nft -a list chain {chain}"));
            }
            (Manager::Nftables, None) => commands.push(format!("nft -a list chain {chain}")),
        }
    }
    let mut seen = BTreeSet::new();
    commands.retain(|command| seen.insert(command.clone()));
    Fix {
        text: "Remove the rule, raise its limit well above what a cluster needs, or accept the cluster's nodes ahead of it; \
               and change it in the file that loads it at the next start."
            .to_owned(),
        commands,
    }
}
