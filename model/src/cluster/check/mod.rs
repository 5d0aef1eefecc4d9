//! The checks over a cluster file (group config), one file for each topic.
//!
//! ```text
//! documents ─┬─► Layout, what every kind of cluster has ──► nodes, disjoint, ranges, capacity ─┐
//!            └─► the documents themselves ──► references, fields, modes, bgp, families, proxy ─┼─► complaints, with their lines
//!                                                                                              └─► the checks that were made
//! ```
//!
//! Two kinds of complaint. Some rest on what stands there: two uses of one address. They are made whatever else could not be
//! read. Others rest on what does not stand there: a VIP without a pool. They are made only where nothing was left unread that
//! could have been it, so that nobody reads of a consequence of another mistake.

mod beside;
mod bgp;
mod build;
mod capacity;
mod disjoint;
mod families;
mod fields;
mod layout;
mod modes;
mod nodes;
mod overlap;
mod proxy;
mod ranges;
mod references;
mod suggest;

pub(crate) use self::beside::beside;
pub(crate) use self::layout::{Dialect, LaidNode, Layout, List, PodsPerNode};
use super::{
    Cluster,
    documents::{Documents, RawCluster},
};
use crate::{
    report::check::{self, Check},
    source::{Complaints, Gravity, Place},
};

/// A check over the files that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its id (docs/checks.md).
    pub check: &'static str,
    /// What it found to be in order, or what it looked at: one sentence.
    pub detail: String,
}

/// What the checks over a file say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checks {
    /// The cluster as its file lays it out: what checks that need probes or port tables look at.
    pub(crate) layout: Layout,
    /// The checks that were made, in the order in which they were.
    pub(crate) made: Vec<Checked>,
}

impl Checks {
    /// What was made of a layout.
    pub(crate) fn new(layout: Layout, made: Vec<Checked>) -> Self {
        Self { layout, made }
    }
}

/// Complaints and checks in the making.
pub(crate) struct Checking<'a> {
    complaints: &'a mut Complaints,
    made: Vec<Checked>,
    /// Whether nothing was left unread before the checks began.
    is_all_read: bool,
}

impl<'a> Checking<'a> {
    /// To be made after everything was read.
    pub(crate) fn begin(complaints: &'a mut Complaints) -> Self {
        let is_all_read = complaints.is_readable();
        Self {
            complaints,
            made: Vec::new(),
            is_all_read,
        }
    }

    /// The checks that were made.
    pub(crate) fn end(self) -> Vec<Checked> {
        self.made
    }

    fn complain(
        &mut self,
        place: Place,
        (check, gravity): (Check, Gravity),
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.complaints.find(place, (check.id, gravity), message, help);
    }

    fn made(&mut self, check: Check, detail: impl Into<String>) {
        self.made.push(Checked {
            check: check.id,
            detail: detail.into(),
        });
    }
}

/// The checks that make sense for every cluster: nodes, addresses, ranges and room for pods.
pub(crate) fn layout(layout: &Layout, checking: &mut Checking<'_>) {
    let owners = nodes::each_in_one_list(layout, checking);
    nodes::counts(layout, checking);
    disjoint::addresses(layout, &owners, checking);
    disjoint::pools(layout, &owners, checking);
    ranges::pools(layout, checking);
    ranges::private(layout, checking);
    overlap::ranges(layout, checking);
    capacity::pods(layout, checking);
}

/// Makes every check that a file allows for, and builds the cluster. `None` if something that it needs could not be read.
pub(super) fn check(
    cluster: RawCluster,
    documents: Documents,
    complaints: &mut Complaints,
) -> Option<(Cluster, Checks)> {
    let laid_out = Layout::of_cluster(&cluster, &documents, complaints.file());
    let mut checking = Checking::begin(complaints);
    of_bmctl(&cluster, &documents, &laid_out, &mut checking);
    layout(&laid_out, &mut checking);
    let made = checking.end();
    let cluster = build::build(cluster, documents, complaints)?;
    Some((cluster, Checks::new(laid_out, made)))
}

/// The checks over what only clusters that bmctl makes have.
fn of_bmctl(cluster: &RawCluster, documents: &Documents, layout: &Layout, checking: &mut Checking<'_>) {
    references::belong(cluster, documents, checking);
    references::versions(cluster, documents, checking);
    fields::of_type(cluster, documents, checking);
    modes::agree(cluster, checking);
    ranges::lengths(layout, checking);
    ranges::bootstrap(layout, checking);
    bgp::sessions(cluster, documents, checking);
    families::dual_stack(cluster, documents, layout, checking);
    proxy::exceptions(cluster, layout, checking);
    proxy::header(cluster, documents, checking);
}

/// The check that takes note of what stands in a file and is not looked at.
pub(super) const READS: &str = check::CFG_REFERENCES.id;

/// `1 node`, `2 nodes`.
fn counted(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [word] => word.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
