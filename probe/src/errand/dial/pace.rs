//! How fast strangers are asked, and how many routers: one account for all dial errands of a probe, however many a coordinator
//! gives.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use plumbline_measure::{
    pacer::{Pacer, Permit},
    time::Timestamp,
};
use plumbline_model::errand::{MAX_DIAL_PEERS, MAX_DIALS_A_SECOND};

/// The pace of connections and questions. Clones share it.
#[derive(Debug, Clone)]
pub struct DialPace {
    origin: Instant,
    pacer: Arc<Mutex<Pacer>>,
    /// Connections to each router so far: [`MAX_DIAL_PEERS`] of them at most.
    routers: Arc<Mutex<BTreeMap<IpAddr, u32>>>,
}

impl DialPace {
    /// Nothing asked so far. What the owner of the host allows a second holds where it is less.
    pub fn new(most: Option<NonZeroU32>) -> Self {
        let rate = most.map_or(MAX_DIALS_A_SECOND, |most| most.get().min(MAX_DIALS_A_SECOND));
        Self {
            origin: Instant::now(),
            // No burst: whatever second is looked at has no more than the rate.
            pacer: Arc::new(Mutex::new(Pacer::new(rate, 1))),
            routers: Arc::default(),
        }
    }

    /// Counts one more connection to a router, if there may be one.
    pub(super) fn admits(&self, router: IpAddr) -> bool {
        // Numbers, of which nobody leaves one half written.
        let mut routers = self.routers.lock().unwrap_or_else(PoisonError::into_inner);
        if !routers.contains_key(&router) && routers.len() >= MAX_DIAL_PEERS {
            return false;
        }
        let connections = routers.entry(router).or_default();
        let admits = *connections < CONNECTIONS_A_ROUTER;
        *connections += u32::from(admits);
        admits
    }

    /// Waits until one more may be asked.
    pub(super) async fn wait(&self) {
        loop {
            let now =
                Timestamp::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX));
            let permit = self
                .pacer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(now);
            match permit {
                Permit::Granted => return,
                Permit::At(at) => tokio::time::sleep(at.since(now)).await,
            }
        }
    }
}

impl Default for DialPace {
    fn default() -> Self {
        Self::new(None)
    }
}

/// Connections to one router at most: a router that has just closed one may want a moment, and is tried again once. More would
/// be a neighbour that flaps.
pub(super) const CONNECTIONS_A_ROUTER: u32 = 2;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn router(last: u8) -> IpAddr {
        [10, 9, 0, last].into()
    }

    #[test]
    fn clones_share_the_sixteen_routers_and_each_has_two_connections() {
        let pace = DialPace::default();
        let other = pace.clone();
        for last in 1..=16 {
            assert!(pace.admits(router(last)) && other.admits(router(last)), "{last}");
        }
        assert!(!pace.admits(router(1)), "a third connection");
        assert!(!other.admits(router(17)), "a seventeenth router");
    }

    #[tokio::test]
    async fn whoever_asks_waits_for_all_who_asked_before_and_longer_where_the_policy_says_so() {
        for (most, a_second) in [(None, 10), (NonZeroU32::new(100), 10), (NonZeroU32::new(5), 5)] {
            let pace = DialPace::new(most);
            let began = Instant::now();
            for _ in 0..4 {
                pace.clone().wait().await;
            }
            let least = Duration::from_secs(3) / a_second;
            assert!(began.elapsed() >= least, "{most:?}: {:?}", began.elapsed());
        }
    }
}
