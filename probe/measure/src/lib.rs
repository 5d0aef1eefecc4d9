//! Measuring cores without I/O: bytes and the time go in, actions and outcomes come out.
//!
//! No core opens a socket, reads a clock or draws a random number; the runners of the probe do, and hand in what they
//! got. Time is [`time::Timestamp`], which a test sets as it likes. Parsers take what a peer sent and therefore never
//! panic, whatever the bytes.

pub mod arp;
pub mod attempt;
pub mod banner;
pub mod bgp;
pub mod connect;
pub mod dns;
pub mod hello;
pub mod inquiry;
pub mod ndp;
pub mod pacer;
pub mod path;
pub mod stamp;
pub mod time;
pub mod vrrp;
pub mod window;
