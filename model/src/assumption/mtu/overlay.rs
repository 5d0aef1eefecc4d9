//! MTU-003: a pod's full packet fits through the paths between nodes.

use crate::{
    assumption::{
        Ruling, Scene,
        paths::{self, Path},
    },
    report::check::Check,
};

use super::{
    interfaces,
    limits::{Standing, is_lost_by_size, limits, standing},
    overhead,
};

/// A pod's full packet fits through the paths between nodes.
pub(crate) const CHECK: Check = Check {
    id: "MTU-003",
    asserts: "the path between two nodes carries a pod's full packet with what the overlay puts around it",
    how: "arithmetic: the largest packet that passes (MTU-002) and the interfaces' MTU against the MTU that pods get, which is what the \
          file sets (`pod_mtu`) or else the node's interface MTU less the overlay's part (GENEVE or VXLAN over IPv4 50 octets, over \
          IPv6 70, the option of forwardMode dsr 12), and that part again",
    needs: "as MTU-002",
    rule: "fails if an interface or a path carries less, and warns where nothing but echo requests of or to live \
           nodes shows it; says nothing where pods need no tunnel (flatIPv4)",
    remedy: "raise the MTU of the path, or lower that of pods to what it carries less the overlay's part",
    source: "RFC 7348 section 4.3, RFC 8926 section 4; cilium/cilium, pkg/mtu/mtu.go",
};

/// Judges every path against what the overlay makes of a pod's full packet.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let Some(overhead) = overhead::of(scene) else {
        return Vec::new();
    };
    let all = paths::told(scene);
    let mut rulings: Vec<Ruling> = limits(scene, &all)
        .into_iter()
        .filter(|limit| limit.carries < overhead.full(scene, limit.expected))
        .map(|limit| match limit.is_guess() {
            true => Ruling::warn(limit.subject(scene), limit.complaint(scene)),
            false => Ruling::fail(limit.subject(scene), limit.complaint(scene)),
        })
        .collect();
    rulings.extend(interfaces::too_small_for_pods(scene, &overhead));
    let mut whole = Vec::new();
    let mut odd = std::collections::BTreeMap::new();
    for path in &all {
        let Standing::Whole(expected) = standing(scene, path) else {
            continue;
        };
        let own = path.seen.what.mtu.unwrap_or(expected);
        let is_used = overhead.full(scene, own) > expected;
        if is_used && scene.inventory.pod_mtu.is_some() {
            // The interfaces' complaint is told above.
            continue;
        }
        match (is_used && is_mismatched(path, expected))
            .then(|| odd_end(scene, path))
            .flatten()
        {
            Some(complaint) => {
                odd.entry(complaint.cause.detail.clone())
                    .or_insert_with(|| (path.pair(), complaint));
            }
            None => whole.push(*path),
        }
    }
    for (_, ((src, dst), complaint)) in odd {
        let subject = format!("{} to {}", scene.name(src), scene.name(dst));
        rulings.push(Ruling::fail(subject, complaint));
    }
    rulings.extend(paths::passes(scene, &whole, |paths: &[&Path<'_>]| {
        let mtu = paths
            .iter()
            .filter_map(|path| path.seen.what.mtu)
            .min()
            .unwrap_or(0);
        format!(
            "pods' packets of {} octets pass with the {} of {}",
            overhead.inner(scene, mtu),
            overhead.octets,
            overhead.what
        )
    }));
    rulings.extend(paths::mute(scene, &all));
    rulings
}

/// Whether the source's pods send more than the far interface takes, and it was seen to be lost without a word.
fn is_mismatched(path: &Path<'_>, expected: u32) -> bool {
    let seen = path.seen.what;
    let own = seen.mtu.unwrap_or(expected);
    let is_lost = seen
        .sizes
        .iter()
        .any(|size| size.octets > expected && is_lost_by_size(size));
    own > expected && seen.told.is_empty() && is_lost
}

/// What is said of whichever end has the odd MTU.
fn odd_end(scene: &Scene<'_>, path: &Path<'_>) -> Option<crate::assumption::Complaint> {
    let of = |node| interfaces::complaint_of(scene, node);
    of(path.src).or_else(|| of(path.dst))
}
