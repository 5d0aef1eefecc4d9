//! Room in connection tracking. Every test leaves an entry behind in the tables of both its hosts, for as long as the kernel
//! waits; a table that is full drops packets of everybody. So what tests leave behind stays within half of what is free, if
//! need be by going slower:
//!
//! 1. A table that holds all tests of a phase at once limits nothing.
//! 2. Else a source opens no more a second than half its room holds of what lingers, and a destination is asked by all its
//!    sources together no more than its half holds.
//! 3. Nobody is asked at less than one a second: such a table is as good as full, and the user is told.
//!
//! Pure: assignments and tables in, assignments and remarks out.

use std::{collections::BTreeMap, num::NonZeroU32};

use plumbline_model::{id::NodeId, observation::Conntrack, plan::Target, port::Protocol};
use plumbline_proto::convert::Ask;

use super::asking::Asks;

/// A table that makes a run slower, or is nearly full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tight {
    /// Whose.
    pub(crate) node: NodeId,
    /// How it stood when the probe joined.
    pub(crate) table: Conntrack,
}

/// Lowers rates to what the tables of sources and destinations have room for.
pub(super) fn within_headroom(asks: Asks, table: &dyn Fn(NodeId) -> Option<Conntrack>) -> (Asks, Vec<Tight>) {
    let loads = loads(&asks);
    let limits: BTreeMap<NodeId, Limits> = loads
        .iter()
        .filter_map(|(node, load)| Some((*node, Limits::of(load, table(*node)?))))
        .collect();
    let mut tight: Vec<Tight> = Vec::new();
    for (node, limits) in &limits {
        let Some(table) = table(*node) else { continue };
        let slows = |(source, ask): &(NodeId, Ask)| {
            (source == node && lower(ask.max_rate_node, limits.out) != ask.max_rate_node)
                || (lower(ask.max_rate_pair, limits.of_each_source) != ask.max_rate_pair
                    && aims_at(ask, *node))
        };
        if is_nearly_full(table) || asks.iter().any(slows) {
            tight.push(Tight { node: *node, table });
        }
    }
    if tight.is_empty() {
        return (asks, tight);
    }
    let asks = asks.into_iter().flat_map(|(source, ask)| {
        let out = limits.get(&source).and_then(|limits| limits.out);
        let ask = Ask {
            max_rate_node: lower(ask.max_rate_node, out),
            max_rate_pair: lower(ask.max_rate_pair, out),
            ..ask
        };
        let split = by_pace(ask, &|node| {
            limits.get(&node).and_then(|limits| limits.of_each_source)
        });
        split.into_iter().map(move |ask| (source, ask))
    });
    (asks.collect(), tight)
}

/// Tests that one host takes part in.
#[derive(Debug, Default)]
struct Load {
    asks: Tests,
    is_asked: Tests,
    /// How many ask it.
    sources: u64,
}

/// How many, by transport.
#[derive(Debug, Default, Clone, Copy)]
struct Tests {
    tcp: u64,
    udp: u64,
}

fn loads(asks: &Asks) -> BTreeMap<NodeId, Load> {
    let mut loads: BTreeMap<NodeId, Load> = BTreeMap::new();
    for (source, ask) in asks {
        let mut asked: BTreeMap<NodeId, Tests> = BTreeMap::new();
        for target in ask.targets.iter().chain(&ask.live_services) {
            let ports = u64::from(target.ports.count());
            loads
                .entry(*source)
                .or_default()
                .asks
                .add(target.protocol, ports * target.destinations.len() as u64);
            for destination in &target.destinations {
                asked.entry(*destination).or_default().add(target.protocol, ports);
            }
        }
        for (destination, tests) in asked {
            let load = loads.entry(destination).or_default();
            load.is_asked.tcp += tests.tcp;
            load.is_asked.udp += tests.udp;
            load.sources += 1;
        }
    }
    loads
}

impl Tests {
    fn add(&mut self, protocol: Protocol, count: u64) {
        match protocol {
            Protocol::Udp => self.udp += count,
            _ => self.tcp += count,
        }
    }

    fn all(self) -> u64 {
        self.tcp + self.udp
    }

    /// The longest that one of them lingers, in seconds.
    fn linger_s(self, tcp_s: u64, udp_s: u64) -> u64 {
        let of = |count, seconds| if count > 0 { seconds } else { 0 };
        of(self.tcp, tcp_s).max(of(self.udp, udp_s)).max(1)
    }
}

/// What one table allows; `None` means no limit.
#[derive(Debug, Default, PartialEq, Eq)]
struct Limits {
    /// Tests a second that its host may open.
    out: Option<NonZeroU32>,
    /// Tests a second that each of its sources may ask of it.
    of_each_source: Option<NonZeroU32>,
}

impl Limits {
    fn of(load: &Load, table: Conntrack) -> Self {
        let room = u64::from(table.max.saturating_sub(table.count)) / 2;
        let (asks, is_asked) = (load.asks.all(), load.is_asked.all());
        if asks + is_asked <= room {
            return Self::default();
        }
        // What one direction does not need is the other's.
        let half = room / 2;
        let room_out = room - is_asked.min(half);
        let room_in = room - asks.min(half);
        let rate = |tests: u64, room: u64, linger_s: u64, of: u64| {
            let per_second = (room / linger_s / of.max(1)).max(1);
            (tests > room).then(|| saturating_rate(per_second))
        };
        Self {
            out: rate(asks, room_out, load.asks.linger_s(TCP_AT_SOURCE_S, UDP_S), 1),
            of_each_source: rate(
                is_asked,
                room_in,
                load.is_asked.linger_s(TCP_AT_DESTINATION_S, UDP_S),
                load.sources,
            ),
        }
    }
}

fn saturating_rate(per_second: u64) -> NonZeroU32 {
    let rate = u32::try_from(per_second).ok().and_then(NonZeroU32::new);
    rate.unwrap_or(NonZeroU32::MAX)
}

fn is_nearly_full(table: Conntrack) -> bool {
    u64::from(table.max.saturating_sub(table.count)) * NEARLY_FULL < u64::from(table.max)
}

fn aims_at(ask: &Ask, node: NodeId) -> bool {
    let mut targets = ask.targets.iter().chain(&ask.live_services);
    targets.any(|target| target.destinations.contains(&node))
}

/// One assignment for each pace that destinations need: slow ones must not hold up the others. Paces are rounded down to
/// powers of two, so that they are few.
fn by_pace(ask: Ask, limit: &dyn Fn(NodeId) -> Option<NonZeroU32>) -> Vec<Ask> {
    let pace = |node: NodeId| {
        let limited = lower(ask.max_rate_pair, limit(node));
        match limited {
            Some(rate) if limited != ask.max_rate_pair => NonZeroU32::new(1 << rate.ilog2()),
            _ => ask.max_rate_pair,
        }
    };
    let mut by_pace: BTreeMap<Option<NonZeroU32>, Ask> = BTreeMap::new();
    let spoken = ask.targets.iter().map(|target| (true, target));
    let unspoken = ask.live_services.iter().map(|target| (false, target));
    for (speaks, target) in spoken.chain(unspoken) {
        let mut parts: BTreeMap<Option<NonZeroU32>, Vec<NodeId>> = BTreeMap::new();
        for destination in &target.destinations {
            parts.entry(pace(*destination)).or_default().push(*destination);
        }
        for (max_rate_pair, destinations) in parts {
            let of_pace = by_pace.entry(max_rate_pair).or_insert_with(|| Ask {
                targets: Vec::new(),
                live_services: Vec::new(),
                max_rate_pair,
                ..ask
            });
            let targets = if speaks {
                &mut of_pace.targets
            } else {
                &mut of_pace.live_services
            };
            targets.push(Target {
                destinations,
                ports: target.ports.clone(),
                ..*target
            });
        }
    }
    by_pace.into_values().collect()
}

/// The lower of two limits, where absent means none.
fn lower(a: Option<NonZeroU32>, b: Option<NonZeroU32>) -> Option<NonZeroU32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (limit, None) | (None, limit) => limit,
    }
}

/// At the source a question without an answer lingers longest (Linux, `nf_conntrack_tcp_timeout_syn_sent`); what was answered
/// and reset is gone after ten seconds, but who answers is what the test is to find out.
const TCP_AT_SOURCE_S: u64 = 120;

/// At the destination an answer whose acknowledgement got lost lingers longest (Linux, `nf_conntrack_tcp_timeout_syn_recv`);
/// a question that the packet filter stopped leaves nothing.
const TCP_AT_DESTINATION_S: u64 = 60;

/// At either end, a datagram with or without its answer (Linux, `nf_conntrack_udp_timeout`).
const UDP_S: u64 = 30;

/// A table of which less than one in so many entries is free is worth a word, even if the run fits in.
const NEARLY_FULL: u64 = 10;

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use plumbline_model::port::Family;

    use super::*;

    fn node(last: u8) -> NodeId {
        NodeId::Address(Ipv4Addr::new(10, 0, 0, last).into())
    }

    fn ask(source: u8, destinations: &[u8], protocol: Protocol, ports: &str) -> (NodeId, Ask) {
        let ask = Ask {
            targets: vec![Target {
                family: Family::Ipv4,
                protocol,
                ports: ports.parse().unwrap(),
                destinations: destinations.iter().map(|last| node(*last)).collect(),
            }],
            live_services: Vec::new(),
            attempts: 3,
            attempt_timeout: Duration::from_millis(600),
            max_rate_node: NonZeroU32::new(200),
            max_rate_pair: NonZeroU32::new(20),
            second_look: false,
        };
        (node(source), ask)
    }

    fn table(of: u8, count: u32, max: u32) -> impl Fn(NodeId) -> Option<Conntrack> {
        move |who| (who == node(of)).then_some(Conntrack { count, max })
    }

    fn rates(asks: &Asks) -> Vec<(NodeId, Option<u32>, Option<u32>)> {
        asks.iter()
            .map(|(who, ask)| {
                (
                    *who,
                    ask.max_rate_node.map(u32::from),
                    ask.max_rate_pair.map(u32::from),
                )
            })
            .collect()
    }

    #[test]
    fn a_table_with_room_for_everything_changes_nothing() {
        let asks = vec![ask(1, &[2, 3], Protocol::Tcp, "1-1000")];
        let (kept, tight) = within_headroom(asks.clone(), &table(1, 0, 4_000));
        assert_eq!((kept, tight), (asks, vec![]));
    }

    #[test]
    fn a_host_that_does_not_track_has_no_limit() {
        let asks = vec![ask(1, &[2], Protocol::Tcp, "1-65535")];
        assert_eq!(within_headroom(asks.clone(), &|_| None), (asks, vec![]));
    }

    #[test]
    fn what_a_source_leaves_behind_stays_within_half_of_what_is_free() {
        let asks = vec![ask(1, &[2, 3], Protocol::Tcp, "1-30000")];
        // Free are 24,000; half of that is held for two minutes: a hundred a second.
        let (slowed, tight) = within_headroom(asks, &table(1, 1_000, 25_000));
        assert_eq!(rates(&slowed), [(node(1), Some(100), Some(20))]);
        assert_eq!(tight.len(), 1);
        assert_eq!(tight[0].node, node(1));
        // UDP is gone after half a minute.
        let asks = vec![ask(1, &[2, 3], Protocol::Udp, "1-30000")];
        let (kept, _) = within_headroom(asks, &table(1, 1_000, 25_000));
        assert_eq!(rates(&kept), [(node(1), Some(200), Some(20))]);
    }

    #[test]
    fn a_pair_never_gets_more_than_the_node() {
        let asks = vec![ask(1, &[2], Protocol::Tcp, "1-30000")];
        let (slowed, _) = within_headroom(asks, &table(1, 0, 2_400));
        assert_eq!(rates(&slowed), [(node(1), Some(10), Some(10))]);
    }

    #[test]
    fn a_tight_destination_is_asked_slowly_and_the_others_as_before() {
        let sources = || (1..=2).map(|source| ask(source, &[3, 4], Protocol::Tcp, "1-10000"));
        // Half of the 2,400 free entries, a minute each, for two sources: ten a second each, rounded down to eight.
        let (slowed, tight) = within_headroom(sources().collect(), &table(3, 0, 2_400));
        assert_eq!(
            rates(&slowed),
            [
                (node(1), Some(200), Some(8)),
                (node(1), Some(200), Some(20)),
                (node(2), Some(200), Some(8)),
                (node(2), Some(200), Some(20)),
            ]
        );
        let destinations: Vec<_> = slowed
            .iter()
            .map(|(_, ask)| ask.targets[0].destinations.clone())
            .collect();
        assert_eq!(destinations[..2], [vec![node(3)], vec![node(4)]]);
        assert_eq!(tight.len(), 1);
        // Nothing is lost on the way.
        let tests =
            |asks: &mut dyn Iterator<Item = (NodeId, Ask)>| asks.map(|(_, ask)| ask.tests()).sum::<u64>();
        assert_eq!(tests(&mut slowed.into_iter()), tests(&mut sources()));
    }

    #[test]
    fn a_full_table_slows_to_one_a_second_and_is_told() {
        let asks = vec![ask(1, &[2], Protocol::Tcp, "1-100")];
        let (slowed, tight) = within_headroom(asks, &table(2, 65_536, 65_536));
        assert_eq!(rates(&slowed), [(node(1), Some(200), Some(1))]);
        assert_eq!(tight.len(), 1);
    }

    #[test]
    fn a_table_that_is_nearly_full_is_told_although_the_run_fits_in() {
        let asks = vec![ask(1, &[2], Protocol::Tcp, "1-100")];
        let (kept, tight) = within_headroom(asks.clone(), &table(2, 65_000, 70_000));
        assert_eq!(kept, asks);
        assert_eq!(tight.len(), 1);
    }
}
