//! STAMP, the simple two-way active measurement protocol (RFC 8762), with session identifiers and extensions (RFC 8972):
//! how UDP is asked and answered. Numbers are in network byte order. What is not drawn is zero when sent and ignored when
//! received.
//!
//! ```text
//!  sender's test packet, authenticated, 112 octets     reflector's test packet, authenticated, 112 octets
//!
//!       0       1       2       3                           0       1       2       3
//!     +-------+-------+-------+-------+                   +-------+-------+-------+-------+
//!   0 | sequence number               |                 0 | sequence number               |
//!     +-------+-------+-------+-------+                   +-------+-------+-------+-------+
//!   4 |           12 octets           |                 4 |           12 octets           |
//!     +-------+-------+-------+-------+                   +-------+-------+-------+-------+
//!  16 | T1: when this packet was sent |                16 | T3: when this packet was sent |
//!  20 |                               |                20 |                               |
//!     +-------+-------+-------+-------+                   +-------+-------+-------+-------+
//!  24 | error estimate| session (SSID)|                24 | error estimate| session (SSID)|
//!     +-------+-------+-------+-------+                   +-------+-------+-------+-------+
//!  28 |                               |                28 |            4 octets           |
//!     |                               |                   +-------+-------+-------+-------+
//!     |                               |                32 | T2: when the sender's packet  |
//!     |                               |                36 |     was received              |
//!     |                               |                   +-------+-------+-------+-------+
//!     |                               |                40 |            8 octets           |
//!     |                               |                   +-------+-------+-------+-------+
//!     |           68 octets           |                48 | sender's sequence number      |
//!     |                               |                   +-------+-------+-------+-------+
//!     |                               |                52 |           12 octets           |
//!     |                               |                   +-------+-------+-------+-------+
//!     |                               |                64 | sender's T1                   |
//!     |                               |                68 |                               |
//!     |                               |                   +-------+-------+-------+-------+
//!     |                               |                72 | sender's error|               |
//!     |                               |                   +-------+-------+    8 octets   +
//!     |                               |                76 | estimate      |               |
//!     |                               |                   +-------+-------+-------+-------+
//!     |                               |                80 |  TTL  |       15 octets       |
//!     +-------+-------+-------+-------+                   +-------+-------+-------+-------+
//!  96 | HMAC-SHA-256-128 over         |                96 | HMAC-SHA-256-128 over         |
//!     | octets 0 to 95   (16 octets)  |                   | octets 0 to 95   (16 octets)  |
//!     +-------+-------+-------+-------+                   +-------+-------+-------+-------+
//! ```
//!
//! ```text
//!  sender's, unauthenticated, 44 octets                reflector's, unauthenticated, 44 octets
//!
//!     +-------+-------+-------+-------+                   +-------+-------+-------+-------+
//!   0 | sequence number               |                 0 | sequence number               |
//!     +-------+-------+-------+-------+                   +-------+-------+-------+-------+
//!   4 | T1                (8 octets)  |                 4 | T3                (8 octets)  |
//!     +-------+-------+-------+-------+                   +-------+-------+-------+-------+
//!  12 | error estimate| session (SSID)|                12 | error estimate| session (SSID)|
//!     +-------+-------+-------+-------+                   +-------+-------+-------+-------+
//!  16 |                               |                16 | T2                (8 octets)  |
//!     |                               |                   +-------+-------+-------+-------+
//!     |                               |                24 | sender's sequence number      |
//!     |                               |                   +-------+-------+-------+-------+
//!     |           28 octets           |                28 | sender's T1       (8 octets)  |
//!     |                               |                   +-------+-------+-------+-------+
//!     |                               |                36 | sender's error|   2 octets    |
//!     |                               |                   +-------+-------+-------+-------+
//!     |                               |                40 |  TTL  |       3 octets        |
//!     +-------+-------+-------+-------+                   +-------+-------+-------+-------+
//! ```
//!
//! Behind either may stand extensions, each a type, a length and a value ([`tlv`]).
//!
//! | part | what it is |
//! |---|---|
//! | [`packet`] | the four packets, read and written |
//! | [`time`] | timestamps and error estimates as they stand in packets |
//! | [`tlv`] | what stands behind the packets |
//! | [`session`] | the key of a test session, and what identifies it |
//! | [`replay`] | which packets have been received before |
//! | [`reflector`] | who is answered |
//! | [`counters`] | what reached the reflector |

pub mod counters;
pub mod packet;
pub mod reflector;
pub mod replay;
pub mod session;
pub mod time;
pub mod tlv;

#[cfg(test)]
mod tests;
