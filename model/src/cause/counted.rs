//! What a host's kernel counted between the first and the last look at it, as far as it says why packets end there.

use std::collections::BTreeMap;

use crate::{
    id::NodeId,
    ledger::{Ledger, NodeLog, Told},
    observation::HostFacts,
    port::{Family, Protocol},
};

use super::{
    CauseKind,
    blame::{Local, Setting, Tests},
    filter::{HostCase, OwnQuestions},
    group::Group,
};

/// Packets that a kernel says it dropped, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// They came by another interface than answers would leave by.
    ReversePath { packets: u64 },
    /// A queue of connections was full.
    ListenQueue { connections: u64 },
    /// The connection tracking table was full.
    TableFull { packets: u64, max: Option<u32> },
}

impl Counted {
    /// What the kernel of a node dropped, if it is enough for these tests: `at_least` so many packets.
    pub(super) fn on(ledger: &Ledger<'_>, node: NodeId, tests: &Tests, at_least: u64) -> Option<Self> {
        let log = ledger.node(node)?;
        let is_enough = |packets: &u64| *packets >= at_least.max(1);
        let grown = |name| Some(grown(log, name)).filter(is_enough);
        let max = log
            .facts
            .and_then(|told| told.what.conntrack)
            .map(|table| table.max);
        let of_table = grown("conntrack.drop").map(|packets| (packets, Self::TableFull { packets, max }));
        // Reverse path filtering knows IPv4 only, and only TCP has queues.
        let is_ipv4 = tests.families().iter().all(|family| *family == Family::Ipv4);
        let of_path = grown("TcpExt.IPReversePathFilter").filter(|_| is_ipv4);
        let of_path = of_path.map(|packets| (packets, Self::ReversePath { packets }));
        let is_tcp = tests
            .protocols()
            .iter()
            .all(|protocol| *protocol == Protocol::Tcp);
        let of_queue = grown("TcpExt.ListenDrops").filter(|_| is_tcp);
        let of_queue = of_queue.map(|connections| (connections, Self::ListenQueue { connections }));
        let found = [of_table, of_queue, of_path].into_iter().flatten();
        found
            .max_by_key(|(packets, _)| *packets)
            .map(|(_, counted)| counted)
    }

    /// What explains that questions or answers arrive at a host and get no further: a packet of each pair at least.
    pub(super) fn of_case(ledger: &Ledger<'_>, node: NodeId, tests: &Tests) -> Option<Self> {
        let pairs = u64::try_from(tests.by_pair.len()).unwrap_or(u64::MAX);
        Self::on(ledger, node, tests, pairs)
    }

    /// What explains that a node loses some packets, and not others: one for each test at least.
    pub(super) fn of_loss(ledger: &Ledger<'_>, node: NodeId, tests: &Tests) -> Option<Self> {
        let counted = Self::on(ledger, node, tests, tests.total());
        // A path that is filtered is so for every packet.
        counted.filter(|counted| !matches!(counted, Self::ReversePath { .. }))
    }
}

impl HostCase {
    /// Asks the counters, which are evidence then.
    pub(super) fn ask_counters(&mut self, ledger: &Ledger<'_>) {
        self.counted = match self.setting {
            Setting::Overrun => Counted::of_loss(ledger, self.node, &self.tests),
            _ => Counted::of_case(ledger, self.node, &self.tests),
        };
        if let (Some(_), Some(log)) = (self.counted, ledger.node(self.node)) {
            let looks = [log.facts_first, log.facts].into_iter().flatten();
            self.tests.lines.extend(looks.map(|told| told.line));
        }
    }
}

impl HostCase {
    /// Whether it explains that the node's own questions to these peers do not arrive: reverse path filtering drops what comes
    /// from whom the node would answer by another way, and by that way its questions leave.
    pub(super) fn misroutes(&self, kind: CauseKind, group: &Group) -> bool {
        let is_lost = matches!(kind, CauseKind::PathFilter | CauseKind::NotAdjacent);
        let peers = self.tests.peers_of(self.node);
        matches!(self.counted, Some(Counted::ReversePath { .. }))
            && is_lost
            && group.tests.sources() == [self.node]
            && group.tests.families() == self.tests.families()
            && group.tests.destinations().iter().all(|peer| peers.contains(peer))
    }

    pub(super) fn take_own_questions(&mut self, group: &Group) {
        self.own_questions = OwnQuestions::Astray;
        self.tests.merge(&group.tests);
    }
}

/// Where a table is so full that a node swallows questions, its own that do not leave have that cause.
pub(super) fn join_full_tables(
    causes: &mut BTreeMap<Local, Tests>,
    cases: &mut [HostCase],
    ledger: &Ledger<'_>,
) {
    let full = |case: &&mut HostCase| matches!(case.counted, Some(Counted::TableFull { .. }));
    for case in cases.iter_mut().filter(full) {
        causes.retain(|cause, tests| {
            let kept = keeps_in(cause) == Some(case.node)
                && matches!(
                    Counted::of_case(ledger, case.node, tests),
                    Some(Counted::TableFull { .. })
                );
            if kept {
                case.own_questions = OwnQuestions::Kept;
                case.tests.merge(tests);
            }
            !kept
        });
    }
}

/// The node whose kernel lets nothing leave.
fn keeps_in(cause: &Local) -> Option<NodeId> {
    match cause {
        Local::HostSetting { node, setting } | Local::Routes { node, setting, .. }
            if *setting == Setting::NothingLeaves =>
        {
            Some(*node)
        }
        _ => None,
    }
}

/// By how much a counter grew.
fn grown(log: &NodeLog<'_>, name: &str) -> u64 {
    let at = |told: Option<Told<&HostFacts>>| told.and_then(|told| told.what.counters.get(name).copied());
    match (at(log.facts_first), at(log.facts)) {
        (Some(first), Some(last)) => last.saturating_sub(first),
        _ => 0,
    }
}
