//! How many connections may be under way.
//!
//! Peers that answer are asked fastest by few connections at a time: more of them only queue (64 in flight reach 132,000
//! closed ports a second over loopback, 4,096 a third of it). Peers that do not answer keep a connection for as long as an
//! attempt lasts, and then only many at a time end in time. The window tells them apart by age.
//!
//! 1. A connection is *fresh* until it ends or its age reaches [`QUIET_AFTER`]; from then on it is *quiet*.
//! 2. At most `fresh_limit` connections are fresh, and at most `limit` under way in all.
//! 3. `fresh_limit` begins at [`FRESH_FLOOR`], grows by one for each connection that turns quiet and shrinks by one, down to
//!    the floor, for each that ends while fresh: a full window of silence doubles it, a full window of answers halves it.
//!
//! A peer that answers, but later than [`QUIET_AFTER`] because it is far away, widens the window too, which is right: the
//! bandwidth-delay product has grown.

use std::time::Duration;

/// After this time without an end, a connection counts as waiting for silence. Far above the round trip within a data
/// centre (0.2 ms with 64 in flight on one machine), far below the shortest useful attempt.
pub const QUIET_AFTER: Duration = Duration::from_millis(5);

/// Connections that are always allowed to be fresh; the number that measured best.
pub const FRESH_FLOOR: usize = 64;

/// The window.
#[derive(Debug, Clone)]
pub struct Window {
    limit: usize,
    fresh_limit: usize,
    fresh: usize,
    quiet: usize,
}

impl Window {
    /// A window for at most `limit` connections.
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            fresh_limit: FRESH_FLOOR,
            fresh: 0,
            quiet: 0,
        }
    }

    /// Whether one more may start.
    pub fn is_open(&self) -> bool {
        self.fresh < self.fresh_limit && self.in_flight() < self.limit
    }

    /// Connections under way.
    pub fn in_flight(&self) -> usize {
        self.fresh + self.quiet
    }

    /// A connection started.
    pub fn started(&mut self) {
        self.fresh += 1;
    }

    /// A fresh connection's age reached [`QUIET_AFTER`].
    pub fn turned_quiet(&mut self) {
        self.fresh = self.fresh.saturating_sub(1);
        self.quiet += 1;
        self.fresh_limit = (self.fresh_limit + 1).min(self.limit.max(FRESH_FLOOR));
    }

    /// A fresh connection ended.
    pub fn fresh_ended(&mut self) {
        self.fresh = self.fresh.saturating_sub(1);
        self.fresh_limit = (self.fresh_limit - 1).max(FRESH_FLOOR);
    }

    /// A quiet connection ended.
    pub fn quiet_ended(&mut self) {
        self.quiet = self.quiet.saturating_sub(1);
    }

    /// The host has no room for more than are under way now.
    pub fn shrink(&mut self) {
        self.limit = self.in_flight().max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(window: &mut Window) -> usize {
        let mut started = 0;
        while window.is_open() {
            window.started();
            started += 1;
        }
        started
    }

    #[test]
    fn answers_keep_the_window_at_its_floor() {
        let mut window = Window::new(4096);
        for _ in 0..10 {
            assert_eq!(fill(&mut window), FRESH_FLOOR);
            (0..FRESH_FLOOR).for_each(|_| window.fresh_ended());
        }
    }

    #[test]
    fn silence_doubles_the_window_until_2768_ports_wait_within_six_steps() {
        let (mut window, mut waiting, mut steps) = (Window::new(4096), 0, 0);
        while waiting < 2768 {
            let started = fill(&mut window);
            (0..started).for_each(|_| window.turned_quiet());
            waiting += started;
            steps += 1;
        }
        assert_eq!(steps, 6);
        assert_eq!(window.in_flight(), waiting);
    }

    #[test]
    fn the_limit_holds_whatever_is_silent() {
        let mut window = Window::new(100);
        for _ in 0..10 {
            let started = fill(&mut window);
            (0..started).for_each(|_| window.turned_quiet());
        }
        assert_eq!(window.in_flight(), 100);
        window.quiet_ended();
        assert_eq!(fill(&mut window), 1);
    }

    #[test]
    fn answers_narrow_the_window_again() {
        let mut window = Window::new(4096);
        for _ in 0..3 {
            let started = fill(&mut window);
            (0..started).for_each(|_| window.turned_quiet());
        }
        for _ in 0..20 {
            let started = fill(&mut window);
            (0..started).for_each(|_| window.fresh_ended());
        }
        assert_eq!(fill(&mut window), FRESH_FLOOR);
    }

    #[test]
    fn a_window_that_shrank_is_still_wide_enough_for_one() {
        let mut window = Window::new(4096);
        window.shrink();
        assert_eq!(fill(&mut window), 1);
    }
}
