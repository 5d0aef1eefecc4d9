//! How long each phase may take, from what there is to do: the reason why a run ends in its time whatever happens.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use plumbline_model::{
    errand::{Errand, HOLD_LEASE_S, MAX_TRANSFER_MS},
    evidence::Parameters,
    id::NodeId,
};
use plumbline_proto::convert::Ask;

/// How a source tests: what its time depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Attempts before silence is believed.
    pub(crate) attempts: u32,
    /// How long one attempt waits.
    pub(crate) attempt_timeout: Duration,
    /// Connections per second and node; `None` means no limit.
    pub(crate) max_rate_node: Option<NonZeroU32>,
    /// Connections per second and ordered pair; `None` means no limit.
    pub(crate) max_rate_pair: Option<NonZeroU32>,
}

impl Pace {
    /// The pace that a run's parameters ask for.
    pub(crate) fn of_run(parameters: &Parameters) -> Self {
        Self {
            attempts: parameters.attempts,
            attempt_timeout: Duration::from_millis(parameters.attempt_timeout_ms.into()),
            max_rate_node: NonZeroU32::new(parameters.max_rate_node),
            max_rate_pair: NonZeroU32::new(parameters.max_rate_pair),
        }
    }
}

/// The longest time that a sound probe needs for an assignment of tests if none of them is answered.
pub(super) fn longest(ask: &Ask) -> Duration {
    let targets = || ask.targets.iter().chain(&ask.live_services);
    let mut of_pair: BTreeMap<NodeId, u64> = BTreeMap::new();
    for target in targets() {
        for destination in &target.destinations {
            *of_pair.entry(*destination).or_default() += u64::from(target.ports.count());
        }
    }
    let tests = ask.tests();
    let attempts = u64::from(ask.attempts.max(1));
    let at_rate = |tests: u64, rate: Option<NonZeroU32>| match rate {
        None => Duration::ZERO,
        Some(rate) => {
            let connections = tests.saturating_mul(attempts);
            Duration::from_millis(connections.saturating_mul(1_000) / u64::from(rate.get()))
        }
    };
    let busiest_pair = of_pair.values().copied().max().unwrap_or(0);
    let sending = at_rate(tests, ask.max_rate_node).max(at_rate(busiest_pair, ask.max_rate_pair));
    let wave = ask.attempt_timeout.saturating_mul(ask.attempts.max(1)) + BETWEEN_ATTEMPTS;
    let waves = u32::try_from(tests.div_ceil(FEWEST_IN_FLIGHT)).unwrap_or(u32::MAX);
    (sending + wave.saturating_mul(waves)).saturating_mul(3) / 2
}

/// Connections that even a probe with the usual limit of 1,024 open files keeps in flight beside its responders.
const FEWEST_IN_FLIGHT: u64 = 256;

/// Attempts at a silent port are spread over more than a second, so that a rate limit of ICMP errors does not hide them.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(2);

/// From a probe's being told to its being at it, on a machine that is busy with fifty others.
pub(super) const OVERHEAD: Duration = Duration::from_secs(15);

/// Binding a thousand ports takes milliseconds; a probe that must ask `/proc` who holds them takes longer.
pub(super) const ARMING: Duration = Duration::from_secs(20);

/// Closing responders or captures and reporting their counts.
pub(super) const RELEASING: Duration = Duration::from_secs(15);

/// Reading a host's packet filter: `nft list ruleset` of a node with thousands of Service rules takes seconds.
pub(super) const SURVEYING: Duration = Duration::from_secs(20);

/// How long a sound probe may take for an errand, from its being told.
pub(super) fn errand(errand: &Errand) -> Duration {
    let at_it = match errand {
        // They end when they are released.
        Errand::Inspect | Errand::Listen => Duration::ZERO,
        Errand::Link(errand) => Duration::from_secs(errand.most_seconds().into()),
        Errand::Dial(_) | Errand::Path(_) => Duration::from_secs(60),
        // Probing before it, and the address is gone with its lease at the latest.
        Errand::Hold(_) => Duration::from_secs(HOLD_LEASE_S.into()),
        Errand::Tunnel(_) => Duration::from_millis(u64::from(MAX_TRANSFER_MS) * 2),
    };
    OVERHEAD + at_it
}

/// How long those who follow in a turn may take once whoever led is done.
pub(super) const FOLLOWING: Duration = OVERHEAD;

/// From the user's interrupt to the signing of what there is: longer, and the user interrupts again.
pub(super) const WINDING_UP: Duration = Duration::from_secs(4);

/// How long probes may take to say goodbye. Nothing depends on it but the tidiness of the end.
pub(super) const FINISHING: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use plumbline_model::{
        plan::Target,
        port::{Family, Protocol},
    };

    use super::*;

    fn target(ports: &str, destinations: usize) -> Target {
        Target {
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            ports: ports.parse().unwrap(),
            destinations: (0..destinations)
                .map(|i| {
                    NodeId::Address(std::net::Ipv4Addr::from(0x0a00_0001 + u32::try_from(i).unwrap()).into())
                })
                .collect(),
        }
    }

    fn ask(targets: Vec<Target>) -> Ask {
        Ask {
            targets,
            live_services: Vec::new(),
            attempts: 3,
            attempt_timeout: Duration::from_secs(1),
            max_rate_node: None,
            max_rate_pair: None,
            second_look: false,
        }
    }

    #[test]
    fn the_slower_of_node_rate_and_pair_rate_rules() {
        let ask = Ask {
            attempts: 1,
            attempt_timeout: Duration::ZERO,
            max_rate_node: NonZeroU32::new(100),
            max_rate_pair: NonZeroU32::new(10),
            ..ask(vec![target("1-250", 1)])
        };
        // 250 tests of one pair at 10 a second are 25 s; the node's 100 a second would take 2.5 s. One wave beside it.
        assert_eq!(longest(&ask), Duration::from_millis((25 + 2) * 1_500));
    }

    #[test]
    fn without_a_rate_the_waves_of_silence_rule() {
        assert_eq!(
            longest(&ask(vec![target("1-256", 2)])),
            Duration::from_secs(2 * 5 * 3 / 2)
        );
        assert_eq!(longest(&ask(Vec::new())), Duration::ZERO);
    }

    #[test]
    fn what_is_asked_of_services_takes_its_time_as_well() {
        let services = Ask {
            live_services: vec![target("1-300", 1)],
            ..ask(Vec::new())
        };
        assert_eq!(longest(&services), longest(&ask(vec![target("1-300", 1)])));
    }
}
