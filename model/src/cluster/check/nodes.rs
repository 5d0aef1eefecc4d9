//! Nodes: each in one list, and as many as make sense.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Checking, Dialect, LaidNode, Layout, List, counted};
use crate::{
    report::check,
    source::{Gravity, Place},
};

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) place: Place,
    pub(super) list: List,
}

/// Nodes by their addresses; a node that two lists have belongs to the first.
pub(super) type Owners = BTreeMap<IpAddr, Owner>;

/// A node of a list that another list, or the same, had before.
struct Repeated {
    address: IpAddr,
    place: Place,
    first: Place,
    /// Further nodes of the list that the other list had before.
    more: usize,
}

/// CFG-012. Returns whose every address is.
pub(super) fn each_in_one_list(layout: &Layout, checking: &mut Checking<'_>) -> Owners {
    let mut owners = Owners::new();
    let mut repeated: BTreeMap<(List, List), Repeated> = BTreeMap::new();
    for node in &layout.nodes {
        let before = node
            .addresses()
            .find_map(|address| Some((address, owners.get(&address.value)?.clone())));
        if let Some((address, owner)) = before {
            repeated
                .entry((node.list.clone(), owner.list))
                .and_modify(|repeated| repeated.more += 1)
                .or_insert(Repeated {
                    address: address.value,
                    place: address.place,
                    first: owner.place,
                    more: 0,
                });
        }
        for address in node.addresses() {
            owners.entry(address.value).or_insert_with(|| Owner {
                place: address.place,
                list: node.list.clone(),
            });
        }
    }
    for ((list, owner), repeated) in repeated {
        let mut message = format!(
            "address {} in {list} is already a node of {owner}",
            repeated.address
        );
        if repeated.more > 0 {
            message.push_str(&format!(", and so are {} more of its addresses", repeated.more));
        }
        let once = match layout.dialect {
            Dialect::Bmctl => "a node is in one pool only",
            Dialect::Plain => "a node is listed once, with all of its roles",
        };
        let help = if repeated.first.line == repeated.place.line {
            format!("{once}: remove one of the two, which are in the same line")
        } else {
            format!("{once}: keep this line or line {}", repeated.first.line)
        };
        let weight = (check::CFG_NODE_ONCE, Gravity::Contradiction);
        checking.complain(repeated.place, weight, message, help);
    }
    let detail = format!("each of {} is in one list", counted(layout.nodes.len(), "node"));
    checking.made(check::CFG_NODE_ONCE, detail);
    owners
}

/// CFG-011.
pub(super) fn counts(layout: &Layout, checking: &mut Checking<'_>) {
    let Some(place) = layout.control_plane else { return };
    let nodes: Vec<&LaidNode> = layout.nodes_of(&List::ControlPlane).collect();
    let count = nodes.len();
    let place = nodes.first().map_or(place, |node| node.address.place);
    match count {
        0 => return,
        1 => {
            let message = "the control plane has 1 node: it is not highly available";
            let help = "list three nodes (or five) if the cluster must outlive one of them; their number cannot grow from one \
                        to three without an outage";
            checking.complain(
                place,
                (check::CFG_CONTROL_PLANE_COUNT, Gravity::Warn),
                message,
                help,
            );
        }
        _ if count.is_multiple_of(2) => {
            let message = format!(
                "the control plane has {count} nodes: of an even number no more may fail than of {}",
                count - 1
            );
            let help = format!(
                "list {} or {} nodes: etcd needs the majority of them",
                count - 1,
                count + 1
            );
            // Others may keep their state outside of the control plane, where an even number does no harm.
            let gravity = match layout.dialect {
                Dialect::Bmctl => Gravity::Fail,
                Dialect::Plain => Gravity::Warn,
            };
            checking.complain(place, (check::CFG_CONTROL_PLANE_COUNT, gravity), message, help);
        }
        _ => {}
    }
    let balancers: Vec<&LaidNode> = layout.nodes_of(&List::LoadBalancers).collect();
    if let ([only], Some(_)) = (&balancers[..], layout.load_balancers)
        && count > 1
    {
        let message = format!(
            "the load balancer node pool has 1 node: without it nobody reaches the {count} control plane nodes"
        );
        let help = "list a second load balancer node";
        checking.complain(
            only.address.place,
            (check::CFG_CONTROL_PLANE_COUNT, Gravity::Warn),
            message,
            help,
        );
    }
    checking.made(
        check::CFG_CONTROL_PLANE_COUNT,
        format!("{} in the control plane", counted(count, "node")),
    );
}
