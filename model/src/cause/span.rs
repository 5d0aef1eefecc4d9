//! Ports as a person says them.
//!
//! Of a range that is shared among sources, one source asks every n-th port. Where all that it asked fail, nobody wants to
//! read them one by one, and no network team opens them so: what lies between two failing ports and was not asked is said with
//! them, as a range with the number of ports asked.

use crate::{
    plan::{Plan, Sharing},
    port::{PortRange, PortSet, Protocol},
};

use super::{blame::Tests, fix::said_list};

/// The failing ports of these tests: `22/tcp, 30000-32767/tcp (346 of them asked) and 6081/udp`.
pub(super) fn said_spans(plan: &Plan, tests: &Tests) -> String {
    let said: Vec<String> = tests
        .protocols()
        .into_iter()
        .flat_map(|protocol| {
            let failing = tests.ports_of(protocol);
            let spans = spans(plan, tests, protocol, &failing);
            let said = spans
                .ranges()
                .iter()
                .map(move |span| say(*span, protocol, &failing));
            said.collect::<Vec<_>>()
        })
        .collect();
    said_list(&said, MAX_SAID_SPANS)
}

fn say(span: PortRange, protocol: Protocol, failing: &PortSet) -> String {
    let asked = failing.intersection(&one(span)).count();
    match asked == span.count() {
        true => format!("{span}/{protocol}"),
        false => format!("{span}/{protocol} ({asked} of them asked)"),
    }
}

/// The failing ports with those of shared ranges between them that were not asked, and, where all that was asked of a range
/// fails, with the rest of it.
fn spans(plan: &Plan, tests: &Tests, protocol: Protocol, failing: &PortSet) -> PortSet {
    let tested = tests.planned_of(protocol);
    let got_through = tested.difference(failing);
    let mut spans = failing.clone();
    for range in shared(plan, protocol) {
        let range_set = one(*range);
        let within = failing.intersection(&range_set);
        if within.count() < FEW {
            continue;
        }
        if got_through.intersection(&range_set).is_empty() {
            spans.extend(&range_set);
            continue;
        }
        for run in range_set.difference(&got_through).ranges() {
            let own = failing.intersection(&one(*run));
            let ends = own.ranges().first().zip(own.ranges().last());
            if let Some((first, last)) = ends
                && let Some(span) = PortRange::new(first.first(), last.last())
            {
                spans.insert(span);
            }
        }
    }
    spans
}

/// The ranges that are shared among sources.
fn shared(plan: &Plan, protocol: Protocol) -> impl Iterator<Item = &PortRange> {
    let blocks = plan
        .blocks
        .iter()
        .filter(move |block| block.sharing == Sharing::Strata && block.protocol == protocol);
    blocks.flat_map(|block| block.ports.ranges())
}

/// Ports of a protocol that have to be opened so that failing ones answer: of a shared range also those that others asked or
/// nobody did, since the profile asks all of it for every source.
#[derive(Debug)]
pub(super) struct Spans<'a> {
    plan: &'a Plan,
    protocol: Protocol,
    spans: PortSet,
}

impl<'a> Spans<'a> {
    pub(super) fn of(plan: &'a Plan, tests: &Tests, protocol: Protocol) -> Self {
        let spans = spans(plan, tests, protocol, &tests.ports_of(protocol));
        Self {
            plan,
            protocol,
            spans,
        }
    }

    /// All that is to be opened, for whomever.
    pub(super) fn all(&self) -> &PortSet {
        &self.spans
    }

    /// What is to be opened for one of whom these ports fail.
    pub(super) fn around(&self, failing: &PortSet) -> PortSet {
        let mut around = failing.clone();
        for range in shared(self.plan, self.protocol) {
            let range = one(*range);
            if !failing.intersection(&range).is_empty() {
                around.extend(&self.spans.intersection(&range));
            }
        }
        around
    }
}

fn one(range: PortRange) -> PortSet {
    let mut set = PortSet::new();
    set.insert(range);
    set
}

/// More spans than this in one sentence are not read by anybody.
const MAX_SAID_SPANS: usize = 8;
/// So few ports of a range are said one by one: they may well be a rule's own.
const FEW: u32 = 8;
