//! Connections to somebody else's address that end here: what a transparent proxy does.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use super::{
    AF_INET, AF_INET6, Error, Network, RTMSG_BYTES,
    build::{CREATE, put_ip},
};
use crate::netlink::Message;

/// TCP connections that a router keeps for itself instead of forwarding them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diversion {
    /// Whose.
    pub address: IpAddr,
    /// To which ports, inclusive ranges.
    pub ports: Vec<(u16, u16)>,
    /// A routing table that nobody else uses, above 255.
    pub table: u32,
}

impl Network {
    /// Diverts connections that come in from other hosts. [`listen_for_diverted`] takes them.
    ///
    /// # Errors
    /// EEXIST if the same diversion is there already.
    pub fn divert(&mut self, diversion: &Diversion) -> Result<(), Error> {
        self.change_local_route(libc::RTM_NEWROUTE, CREATE, diversion)?;
        for range in &diversion.ports {
            if let Err(error) = self.change_rule(libc::RTM_NEWRULE, CREATE, diversion, *range) {
                // Whatever was made so far goes; the first error is the one to tell.
                let _ = self.undivert(diversion);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Ends a diversion. Every part is tried, so that as little as possible stays.
    ///
    /// # Errors
    /// The first that could not be removed.
    pub fn undivert(&mut self, diversion: &Diversion) -> Result<(), Error> {
        let mut outcome = Ok(());
        for range in &diversion.ports {
            let removed = self.change_rule(libc::RTM_DELRULE, 0, diversion, *range);
            outcome = outcome.and(removed);
        }
        let removed = self.change_local_route(libc::RTM_DELROUTE, 0, diversion);
        outcome.and(removed)
    }

    fn change_local_route(&mut self, kind: u16, flags: u16, diversion: &Diversion) -> Result<(), Error> {
        let (family, prefix) = family(diversion.address);
        let operation = format!("change the local route to {}", diversion.address);
        let loopback = self.link("lo")?.map_or(1, |link| link.index);
        let mut fixed = [0; RTMSG_BYTES];
        // The table does not fit in its octet, an attribute says it.
        fixed[..8].copy_from_slice(&[
            family,
            prefix,
            0,
            0,
            libc::RT_TABLE_UNSPEC,
            libc::RTPROT_STATIC,
            libc::RT_SCOPE_HOST,
            libc::RTN_LOCAL,
        ]);
        let message = Message::new(kind, flags, &fixed).with(|top| {
            put_ip(top, libc::RTA_DST, diversion.address);
            top.u32(libc::RTA_OIF, loopback)
                .u32(libc::RTA_TABLE, diversion.table);
        });
        self.change(message, operation)
    }

    fn change_rule(
        &mut self,
        kind: u16,
        flags: u16,
        diversion: &Diversion,
        (first, last): (u16, u16),
    ) -> Result<(), Error> {
        let (family, prefix) = family(diversion.address);
        let operation = format!("change the rule for {} ports {first}-{last}", diversion.address);
        // struct fib_rule_hdr: family, destination length, source length, tos, table, 2 reserved, action, flags (4).
        let mut fixed = [0; FIB_RULE_HDR_BYTES];
        fixed[0] = family;
        fixed[1] = prefix;
        fixed[7] = FR_ACT_TO_TBL;
        let mut range = [0; 4];
        range[..2].copy_from_slice(&first.to_ne_bytes());
        range[2..].copy_from_slice(&last.to_ne_bytes());
        let message = Message::new(kind, flags, &fixed).with(|top| {
            put_ip(top, FRA_DST, diversion.address);
            top.u32(FRA_PRIORITY, RULE_PRIORITY)
                .u32(FRA_TABLE, diversion.table)
                .u8(FRA_IP_PROTO, IPPROTO_TCP)
                .bytes(FRA_DPORT_RANGE, &range);
        });
        self.change(message, operation)
    }
}

/// Listens for diverted connections, at the address that they were meant for.
///
/// # Errors
/// EADDRINUSE; EPERM without CAP_NET_ADMIN.
pub fn listen_for_diverted(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    net::sockopt::set_socket_reuseaddr(&socket, true)?;
    allow_foreign_address(&socket, address)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// IP_TRANSPARENT or IPV6_TRANSPARENT, which rustix does not know: bind to, and answer from, addresses that are not the
/// host's own.
fn allow_foreign_address(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let (level, option) = if address.is_ipv4() {
        (libc::SOL_IP, libc::IP_TRANSPARENT)
    } else {
        (libc::SOL_IPV6, libc::IPV6_TRANSPARENT)
    };
    let on: libc::c_int = 1;
    #[expect(clippy::cast_possible_truncation, reason = "the size of an int")]
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `on` lives across the call and `length` is its size; the kernel copies it and keeps no pointer.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&on).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn family(address: IpAddr) -> (u8, u8) {
    match address {
        IpAddr::V4(_) => (AF_INET, 32),
        IpAddr::V6(_) => (AF_INET6, 128),
    }
}

/// What std listens with.
const BACKLOG: i32 = 128;
// linux/fib_rules.h.
const FIB_RULE_HDR_BYTES: usize = 12;
const FR_ACT_TO_TBL: u8 = 1;
const FRA_DST: u16 = 1;
const FRA_PRIORITY: u16 = 6;
const FRA_TABLE: u16 = 15;
const FRA_IP_PROTO: u16 = 22;
const FRA_DPORT_RANGE: u16 = 24;
const IPPROTO_TCP: u8 = 6;
/// Between the table of local addresses (0) and the main one (32766).
const RULE_PRIORITY: u32 = 1000;
