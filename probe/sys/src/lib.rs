//! Linux behind a safe face: sockets with their error queues, netlink, namespaces, packet capture.
//!
//! The only crate with unsafe code. It knows nothing of the other crates, starts no threads but those that its documentation
//! names, and keeps no state outside the values it returns.

#![expect(
    unsafe_code,
    reason = "the one crate that may; each block says why it is sound"
)]

pub mod capture;
pub mod clock;
mod control;
pub mod echo;
pub mod epoll;
pub mod ethtool;
pub mod foreign_file;
pub mod icmp_error;
pub mod limits;
pub mod link;
pub mod netlink;
pub mod nft;
pub mod ns;
pub mod route;
pub mod sock_diag;
mod sockaddr;
pub mod tcp;
pub mod udp;

pub use rustix::io::Errno;
