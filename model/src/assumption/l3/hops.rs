//! L3-005: nodes of one subnet are next to each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    assumption::{
        Complaint, Explains, Lack, Pairs, Ruling, Scene,
        paths::{self, Path},
    },
    cause::{Cause, CauseKind, Fix},
    id::{NodeId, Role},
    inventory::{LoadBalancerMode, LoadBalancerType},
    report::check::Check,
};

/// Nodes of one subnet are next to each other.
pub(crate) const CHECK: Check = Check {
    id: "L3-005",
    asserts: "no router stands between load balancer and control plane nodes of one subnet",
    how: "STAMP packets leave with a time to live of 255, and their answers, too: what arrives tells how many routers took one off, \
          each way",
    needs: "as MTU-002; a bare destination",
    rule: "fails if a router stands between load balancer or control plane nodes of one subnet where load balancing is bundled on layer \
           2, unless the layer 2 checks tell of it; a different number of hops forth and back is told in the row",
    remedy: "put them into one layer 2 domain: no proxy ARP, no private VLAN with a router in between",
    source: "RFC 8762 section 4.2, RFC 5082 (what a time to live of 255 proves)",
};

/// Judges the nodes that have to be next to each other; all others are rows that tell.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let inventory = scene.inventory;
    let is_layer2 = (inventory.load_balancer_mode, inventory.load_balancer_type)
        == (LoadBalancerMode::Bundled, LoadBalancerType::Layer2);
    let all: Vec<Path<'_>> = paths::told(scene)
        .into_iter()
        .filter(|path| path.seen.what.hops.is_some())
        .collect();
    let has_to_be_near = |path: &Path<'_>| {
        let central = |node| is_central(scene, node);
        let subnet = paths::subnet(scene, path.src);
        is_layer2
            && central(path.src)
            && central(path.dst)
            && subnet.is_some()
            && subnet == paths::subnet(scene, path.dst)
    };
    let hops = |path: &Path<'_>| path.seen.what.hops.map_or((0, 0), |hops| (hops.forth, hops.back));
    let (far, near): (Vec<Path<'_>>, Vec<Path<'_>>) = all
        .into_iter()
        .partition(|path| has_to_be_near(path) && hops(path) != (0, 0));
    let mut rulings: Vec<Ruling> = not_adjacent(scene, &far).into_iter().collect();
    rulings.extend(paths::passes(scene, &near, |paths| {
        let mut counts: BTreeMap<(u8, u8), usize> = BTreeMap::new();
        for path in paths {
            *counts.entry(hops(path)).or_default() += 1;
        }
        let said: Vec<String> = counts
            .into_iter()
            .map(|((forth, back), paths)| match (forth, back) {
                (0, 0) => format!("{paths} without a router"),
                (forth, back) if forth == back => format!("{paths} over {forth}"),
                (forth, back) => format!("{paths} over {forth} forth and {back} back"),
            })
            .collect();
        format!("paths by routers on the way: {}", said.join(", "))
    }));
    rulings
}

fn is_central(scene: &Scene<'_>, node: NodeId) -> bool {
    let roles = scene.inventory.node(node).map(|node| &node.roles);
    roles.is_some_and(|roles| roles.contains(&Role::ControlPlane) || roles.contains(&Role::LoadBalancer))
}

/// One complaint for all pairs; none where the layer 2 checks have looked.
fn not_adjacent(scene: &Scene<'_>, far: &[Path<'_>]) -> Option<Ruling> {
    let nodes: BTreeSet<NodeId> = far.iter().flat_map(|path| [path.src, path.dst]).collect();
    let nodes: Vec<NodeId> = nodes.into_iter().collect();
    if nodes.is_empty() {
        return None;
    }
    let subject = paths::side(scene, &nodes);
    let detail = format!(
        "a router stands between {subject}, though their addresses are of one subnet: packets lose time to live on the way"
    );
    let has_looked = nodes
        .iter()
        .any(|node| scene.log(*node).is_ok_and(|log| !log.link.is_empty()));
    if has_looked {
        return Some(Ruling::not_measured(subject, Lack::ToldElsewhere(detail)));
    }
    let complaint = Complaint {
        cause: Cause {
            kind: CauseKind::NotAdjacent,
            node: None,
            between: Some([nodes.clone(), nodes.clone()]),
            detail,
        },
        fix: Fix {
            text: "Put these nodes into one layer 2 domain: VIPs are announced by ARP, which no router passes on.".to_owned(),
            commands: Vec::new(),
        },
        evidence: far.iter().map(|path| path.seen.line).collect(),
        explains: Explains {
            kinds: &[CauseKind::NotAdjacent],
            pairs: Pairs::Among(nodes.clone(), nodes),
        },
    };
    Some(Ruling::fail(subject, complaint))
}
