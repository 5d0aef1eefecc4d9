//! What the paths to members carry: the largest packet, whether somebody tells of a limit, fragments, many flows, hops, echo.
//!
//! ```text
//!   errand's thread --> workers (16 at most), each takes one path after the other:
//!       find   a UDP port whose responder answers a small packet; else ICMP echo; else nothing
//!       search the largest size that passes (plumbline_measure::path)
//!       then   a datagram in fragments, and two hundred of the largest size over sixteen source ports
//! ```
//!
//! Questions are authenticated STAMP packets (RFC 8762) to members' own responders, which answer with a small one, or echo
//! requests. All workers share one rate, with those of all other such errands of the probe. Each path and the whole errand have a
//! time after which they end; a worker that is told to stop does so within a tenth of a second. What was not reached in time is
//! missing in the report.

mod line;
mod pace;
mod walk;

use std::{
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use plumbline_measure::{hello::PairKey, stamp::session::SessionId};
use plumbline_model::{
    errand::{PathErrand, PathTarget},
    observation::{PathMethod, PathSeen, Record},
    port::Family,
};
use plumbline_sys::route::Network;

use self::pace::Pace;
pub use self::pace::PathPace;
use super::{Post, Stop};

/// Measures every path, and reports them in the errand's order.
pub(super) fn measure(errand: &PathErrand, post: &Post, stop: &Stop) -> Vec<Record> {
    let pace = Pace::new(errand.max_rate, errand.paths.len(), &post.path_pace, stop);
    let mtus = interface_mtus();
    let next = AtomicUsize::new(0);
    let seen: Mutex<Vec<(usize, PathSeen)>> = Mutex::default();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(target) = errand.paths.get(index).filter(|_| !pace.is_over()) else {
                return;
            };
            if let Some(path) = one(target, post, &pace, &mtus) {
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((index, path));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..WORKERS.min(errand.paths.len()) {
            // Where no thread can be had, the others do the work; with none of them, this one.
            let _ = thread::Builder::new()
                .name("path".to_owned())
                .spawn_scoped(scope, work);
        }
        work();
    });
    let mut seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    seen.sort_by_key(|(index, _)| *index);
    seen.into_iter().map(|(_, path)| Record::Path(path)).collect()
}

/// One path; `None` if it was told to stop before there was anything to say.
fn one(target: &PathTarget, post: &Post, pace: &Pace<'_>, mtus: &[(IpAddr, u32)]) -> Option<PathSeen> {
    let peer = post.peers.get(&target.node)?;
    let own = post.members.iter().find(|member| member.node == post.node)?;
    let has_family = own
        .addresses
        .iter()
        .any(|address| Family::of(*address) == target.family);
    let Some(address) = peer.member.data_address(target.family).filter(|_| has_family) else {
        return Some(PathSeen::not_measured(
            target.node,
            target.family,
            PathMethod::NoAddress,
        ));
    };
    let way = walk::Way {
        target,
        address,
        // As the matrix's runners do: the kernel chooses, except on loopback, where all nodes have the same choice.
        local: post.node.address().filter(IpAddr::is_loopback),
        key: PairKey::new(&peer.key),
        session: SessionId::of_member(post.own_index)?,
        mtus,
        pace,
        datagrams: pace.datagrams,
        ends_at: Instant::now() + PATH_TIME,
    };
    way.walk()
}

/// The MTU of the interface that each of this host's addresses is on.
fn interface_mtus() -> Vec<(IpAddr, u32)> {
    let listed = Network::open().and_then(|mut network| Ok((network.links()?, network.addresses()?)));
    let Ok((links, addresses)) = listed else {
        return Vec::new();
    };
    let mtu = |link: u32| {
        links
            .iter()
            .find(|known| known.index == link)
            .map(|link| link.mtu)
    };
    addresses
        .into_iter()
        .filter_map(|own| Some((own.address, mtu(own.link)?)))
        .collect()
}

/// Paths that are measured at the same time: most of a path's time is waiting, and a search on sixteen sends a few hundred packets
/// a second.
const WORKERS: usize = 16;

/// No path takes longer: a search on a black hole takes three seconds.
const PATH_TIME: Duration = Duration::from_secs(20);
