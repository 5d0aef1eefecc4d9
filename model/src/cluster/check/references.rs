//! Documents that refer to each other, and versions that go together.

use super::Checking;
use crate::{
    cluster::documents::{Documents, Metadata, RawCluster, RawPool},
    report::check,
    source::{Gravity, nearest},
    version::Minor,
};

/// CFG-001: node pools belong to the file's cluster and live in its namespace.
pub(super) fn belong(cluster: &RawCluster, documents: &Documents, checking: &mut Checking<'_>) {
    let Some(metadata) = &cluster.metadata else { return };
    let name = metadata.name.as_str();
    let weight = (check::CFG_REFERENCES, Gravity::Contradiction);
    for pool in &documents.pools {
        let own_name = name_of(pool);
        if let Some(referred) = pool
            .cluster_name
            .as_ref()
            .filter(|referred| referred.value != name)
        {
            let message = format!(
                "NodePool `{own_name}` belongs to the unknown cluster `{}`",
                referred.value
            );
            let help = match nearest(&referred.value, [name]) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("write `clusterName: {name}`, or move the pool to its own cluster's file"),
            };
            checking.complain(referred.place, weight, message, help);
        }
        if let Some(own) = &pool.metadata {
            namespace(metadata, own, checking);
        }
    }
    let control_plane = cluster.spec.as_ref().and_then(|spec| spec.control_plane.as_ref());
    if let Some(written) = control_plane
        .and_then(|control_plane| control_plane.cluster_name.as_ref())
        .filter(|written| written.value != name)
    {
        let message = format!(
            "`spec.controlPlane.nodePoolSpec.clusterName` is `{}`",
            written.value
        );
        let help = format!("write `clusterName: {name}`, or remove it");
        checking.complain(written.place, weight, message, help);
    }
    let detail = format!("every document belongs to cluster `{name}`");
    checking.made(check::CFG_REFERENCES, detail);
}

fn namespace(clusters: &Metadata, own: &Metadata, checking: &mut Checking<'_>) {
    let weight = (check::CFG_REFERENCES, Gravity::Contradiction);
    match (&own.namespace, &clusters.namespace) {
        (Some(own_space), Some(space)) if own_space.value != space.value => {
            let message = format!(
                "NodePool `{}` is in namespace `{}`, its cluster in `{}`",
                own.name, own_space.value, space.value
            );
            let help = format!("write `namespace: {}`", space.value);
            checking.complain(own_space.place, weight, message, help);
        }
        (None, Some(space)) => {
            let help = format!("write `namespace: {}`, the cluster's", space.value);
            let message = format!("`metadata.namespace` of NodePool `{}` is missing", own.name);
            checking.complain(own.place, weight, message, help);
        }
        _ => {}
    }
}

/// CFG-002, as far as the file tells: pools lag behind their cluster a little, and never lead.
pub(super) fn versions(cluster: &RawCluster, documents: &Documents, checking: &mut Checking<'_>) {
    let Some(clusters) = cluster.spec.as_ref().and_then(|spec| spec.version.as_ref()) else {
        return;
    };
    for pool in &documents.pools {
        let Some(own) = &pool.version else { continue };
        let (name, cluster_minor, minor) = (name_of(pool), clusters.value.minor(), own.value.minor());
        if minor > cluster_minor {
            let message = format!(
                "NodePool `{name}` is newer ({}) than its cluster ({})",
                own.value, clusters.value
            );
            let help = "upgrade the cluster first, then its pools";
            let weight = (check::VERSION, Gravity::Contradiction);
            checking.complain(own.place, weight, message, help);
        } else if steps(minor, cluster_minor) > MAX_LAG {
            let message = format!(
                "NodePool `{name}` ({}) is {} minor versions older than its cluster ({})",
                own.value,
                steps(minor, cluster_minor),
                clusters.value
            );
            let help = format!("upgrade the pool: it may be at most {MAX_LAG} minor versions older");
            checking.complain(own.place, (check::VERSION, Gravity::Fail), message, help);
        }
    }
}

fn name_of(pool: &RawPool) -> &str {
    pool.metadata.as_ref().map_or("", |metadata| &metadata.name)
}

/// Minor versions between two: 1.16 was followed by 1.28.
fn steps(older: Minor, newer: Minor) -> u16 {
    let gap = if older <= BEFORE_GAP && newer > BEFORE_GAP {
        GAP
    } else {
        0
    };
    newer.minor.saturating_sub(older.minor).saturating_sub(gap)
}

/// The last version before the vendor renumbered, and how many numbers it left out (release notes).
const BEFORE_GAP: Minor = Minor { major: 1, minor: 16 };
const GAP: u16 = 11;

/// How many minor versions a pool may lag behind its cluster (vendor: "Upgrade clusters", version skew).
const MAX_LAG: u16 = 2;
