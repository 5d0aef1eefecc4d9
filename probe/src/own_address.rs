//! A loopback address for each test: tests of one process run side by side, and ports that one of them found free are
//! else taken by the next.

use std::{
    cell::OnceCell,
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicU8, Ordering},
};

/// Of 127.0.1.0/24; 127.0.0.0/24 is for sources and for other programs.
static LAST: AtomicU8 = AtomicU8::new(0);

thread_local! {
    static OWN: OnceCell<IpAddr> = const { OnceCell::new() };
}

/// The address on which this test, which is a thread, listens.
pub(crate) fn destination() -> IpAddr {
    let own = || IpAddr::V4(Ipv4Addr::new(127, 0, 1, LAST.fetch_add(1, Ordering::Relaxed)));
    OWN.with(|cell| *cell.get_or_init(own))
}
