//! Errand dial: connections to whom the inputs name outside the roster. Never more than is listed here, slowly, and nothing is
//! said to anybody but what it takes to see whether they are there and who they are.
//!
//! | target | what is sent |
//! |---|---|
//! | [`Site`] | a TCP connection and a TLS handshake, through the proxy where the inputs say so; no request |
//! | [`Question`] | one DNS question over UDP and one over TCP, to each of the host's own name servers or to the one given |
//! | [`PeerTarget`] | from a bare node, a TCP connection to a router's BGP port; with `--active` an OPEN and a NOTIFICATION |

mod names;
mod peers;
mod sites;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Commission, Errand, Errands};

pub use self::peers::{Depth, MAX_DIAL_PEERS, PeerTarget};
pub(crate) use self::{
    peers::{bgp_sessions, has_bgp_session},
    sites::{Need, Needed, needed},
};

/// Whom to ask outside the roster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialErrand {
    /// Whom, in order; at most [`MAX_DIAL_TARGETS`].
    pub targets: Vec<DialTarget>,
    /// The proxy of [`Via::Proxy`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyServer>,
    /// Certificates in PEM on which chains may stand besides the public roots ([`Anchors::Given`]); at most [`MAX_DIAL_ROOTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<String>,
}

/// One of whom to ask.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum DialTarget {
    /// A server that speaks TLS.
    Site(Site),
    /// A question for name servers.
    Question(Question),
    /// A router that speaks BGP.
    Peer(PeerTarget),
}

/// A server that speaks TLS, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its name, or an address as text; at most [`MAX_DIAL_HOST`] octets.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// Which way.
    pub via: Via,
    /// On what its certificate chain has to stand.
    pub anchors: Anchors,
}

/// Which way a site is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// By a connection of its own.
    Direct,
    /// By CONNECT (RFC 9110 section 9.3.6) at the proxy.
    Proxy,
}

/// On what a certificate chain has to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anchors {
    /// A public root, whatever the host itself trusts: what a middlebox signs is told.
    Public,
    /// A public root or one of those given: the site's own registry mirrors and packages.
    Given,
}

/// A question for name servers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Whom to ask; absent for each of the host's own (`/etc/resolv.conf`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<IpAddr>,
    /// The name, without a dot at its end; at most [`MAX_DIAL_HOST`] octets.
    pub name: String,
    /// What is asked of it.
    pub record: RecordType,
}

/// What is asked of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordType {
    /// IPv4 addresses (A).
    A,
    /// IPv6 addresses (AAAA).
    Aaaa,
    /// A name (PTR).
    Ptr,
}

/// An HTTP proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyServer {
    /// Its name, or an address as text.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// User and password, if the inputs give them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
}

/// What a proxy is told to let somebody through (RFC 7617). Nothing prints it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(..)")
    }
}

/// Targets of one errand at most: some thirty names of a vendor, each directly and through a proxy, and those of the site.
pub const MAX_DIAL_TARGETS: usize = 128;

/// Certificates that an errand may bring along.
pub const MAX_DIAL_ROOTS: usize = 8;

/// Octets of one certificate in PEM at most: a root has some two thousand.
pub const MAX_DIAL_ROOT: usize = 16 * 1024;

/// Octets of a name (RFC 1035 section 2.3.4, without the root's dot).
pub const MAX_DIAL_HOST: usize = 253;

/// Connections and questions that one probe begins in a second at most, over all of its dial errands.
pub const MAX_DIALS_A_SECOND: u32 = 10;

/// Gives every participant those whom it has to ask.
pub(super) fn plan(commission: &Commission<'_>, errands: &mut Errands) {
    for &participant in commission.participants {
        let mut targets = Vec::new();
        names::add(commission, participant, &mut targets);
        peers::add(commission, participant, &mut targets);
        sites::add(commission, participant, &mut targets);
        targets.truncate(MAX_DIAL_TARGETS);
        if targets.is_empty() {
            continue;
        }
        let outward = &commission.inventory.outward;
        let has = |fits: fn(&Site) -> bool| {
            let mut sites = targets.iter().filter_map(|target| match target {
                DialTarget::Site(site) => Some(site),
                DialTarget::Question(_) | DialTarget::Peer(_) => None,
            });
            sites.any(fits)
        };
        let errand = DialErrand {
            proxy: outward
                .proxy
                .clone()
                .filter(|_| has(|site| site.via == Via::Proxy)),
            roots: match has(|site| site.anchors == Anchors::Given) {
                true => outward.roots.clone(),
                false => Vec::new(),
            },
            targets,
        };
        errands.entry(participant).or_default().push(Errand::Dial(errand));
    }
}
