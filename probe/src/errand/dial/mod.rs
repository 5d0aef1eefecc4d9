//! Whom the inputs name outside the roster: sites, name servers, routers.
//!
//! ```text
//!   errand's thread: a runtime of its own
//!       four lanes, each takes one target after the other; together with all other dial errands of the probe they begin at
//!       most ten connections or questions a second, those to routers and repeated ones among them
//!       what is asked of name servers is asked by the resolver that all lanes share
//! ```
//!
//! Every step has a time after which it is over, and so has the whole errand. A lane that is told to stop does so within a
//! twentieth of a second: whatever it waits for is dropped, and it tells nothing of what it had not finished. What was not
//! reached in the errand's own time is told as not asked.

mod bgp;
mod dns;
mod pace;
mod resolver;
mod site;
#[cfg(test)]
mod tests;
mod trust;

use std::{
    cell::{Cell, RefCell},
    io,
    net::IpAddr,
    time::Duration,
};

use plumbline_model::{
    errand::{DialErrand, DialTarget},
    observation::{Dialled, NoConnection, Record},
};
use tokio::time::Instant;

pub use self::pace::DialPace;
use self::resolver::Resolver;
use super::{Post, Stop};
use crate::guard::Policy;

/// What all lanes share.
struct Desk<'a> {
    errand: &'a DialErrand,
    stop: &'a Stop,
    pace: &'a DialPace,
    policy: &'a Policy,
    resolver: Resolver,
    trust: trust::Trust,
    /// The local address of whoever is asked on loopback: all nodes of such a run have the same choice otherwise.
    local: Option<IpAddr>,
    /// Whether somebody else speaks BGP on this host.
    is_bgp_spoken: bool,
    ends_at: Instant,
    /// Connections to sites, and to the proxy, that did not come to be since the last one that did.
    in_vain: [Cell<u32>; 2],
}

/// Asks every target, and reports them in the errand's order.
pub(super) fn dial(errand: &DialErrand, post: &Post, stop: &Stop) -> Vec<Record> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        // Out of descriptors: nothing can be dialled either, and what is missing is told as not measured.
        return Vec::new();
    };
    let seen = runtime.block_on(async {
        let desk = Desk {
            errand,
            stop,
            pace: &post.dial_pace,
            policy: &post.policy,
            resolver: Resolver::of_host(),
            trust: trust::Trust::new(&errand.roots),
            local: post.node.address().filter(IpAddr::is_loopback),
            is_bgp_spoken: bgp::is_spoken_here(),
            ends_at: Instant::now() + ERRAND_TIME,
            in_vain: [Cell::new(0), Cell::new(0)],
        };
        desk.all().await
    });
    // Names that are looked up by nobody of ours may still be waited for: the runtime is not.
    runtime.shutdown_background();
    seen.into_iter().map(Record::Dialled).collect()
}

impl Desk<'_> {
    async fn all(&self) -> Vec<Dialled> {
        let next = Cell::new(0);
        let seen: RefCell<Vec<(usize, Vec<Dialled>)>> = RefCell::default();
        let lane = async || {
            loop {
                let index = next.get();
                next.set(index + 1);
                let Some(target) = self.errand.targets.get(index) else {
                    return;
                };
                let of_target = self.one(target).await;
                seen.borrow_mut().push((index, of_target));
            }
        };
        let lanes = async { tokio::join!(lane(), lane(), lane(), lane()) };
        tokio::select! {
            _ = lanes => {}
            () = self.stopped() => {}
        }
        let mut seen = seen.into_inner();
        seen.sort_by_key(|(index, _)| *index);
        let resolver = Dialled::Resolver(self.resolver.told());
        let of_targets = seen.into_iter().flat_map(|(_, of_target)| of_target);
        std::iter::once(resolver).chain(of_targets).collect()
    }

    async fn one(&self, target: &DialTarget) -> Vec<Dialled> {
        match target {
            DialTarget::Site(target) => vec![Dialled::Site(self.site(target).await)],
            DialTarget::Question(question) => self.question(question).await,
            DialTarget::Peer(peer) => {
                // It has a runtime of its own, and a thread that may wait for it.
                let bounds = bgp::Bounds {
                    pace: self.pace.clone(),
                    ends_at: self.ends_at,
                    stop: self.stop.clone(),
                };
                let (peer, is_occupied) = (peer.clone(), self.is_bgp_spoken);
                let connecting =
                    tokio::task::spawn_blocking(move || bgp::connect(&peer, is_occupied, &bounds));
                let seen = connecting.await;
                seen.ok().flatten().into_iter().collect()
            }
        }
    }

    /// Whether there is time for one more.
    fn has_time(&self) -> bool {
        Instant::now() < self.ends_at
    }

    async fn stopped(&self) {
        while !self.stop.is_asked_for() {
            tokio::time::sleep(LONGEST_NAP).await;
        }
    }
}

/// What the kernel says of a connection that did not come to be.
fn no_connection(error: &io::Error) -> NoConnection {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => NoConnection::Refused,
        io::ErrorKind::TimedOut => NoConnection::Silent,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => NoConnection::Unreachable,
        io::ErrorKind::PermissionDenied => NoConnection::Denied,
        _ => NoConnection::Other {
            errno: error
                .raw_os_error()
                .and_then(|errno| u32::try_from(errno).ok())
                .unwrap_or(0),
        },
    }
}

/// The whole errand begins nothing after this; what the coordinator waits for (`budget::errand`) is a minute.
const ERRAND_TIME: Duration = Duration::from_secs(35);

/// How soon the errand notices that it has to stop.
const LONGEST_NAP: Duration = Duration::from_millis(50);
