//! What a cluster needs beyond its own nodes: proxy, mirrors, name servers, routers, and the names of the site's own.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    cluster::{BgpPeer, Cluster},
    errand::{Login, MAX_DIAL_ROOTS, ProxyServer},
};

/// What a cluster needs beyond its own nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outward {
    /// How nodes reach the outside, if not by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyServer>,
    /// Whom they reach without the proxy: names, suffixes (`.example.org`), addresses, prefixes, `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_proxy: Vec<String>,
    /// The region of the hosts to which the cluster registers; absent for the global one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gke_connect_region: Option<String>,
    /// Registry mirrors, which take the place of the vendor's registry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Server>,
    /// Whether nodes are given the vendor's package repository.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub adds_package_repository: bool,
    /// Servers of the site's own that nodes need, which speak TLS.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<Server>,
    /// Name servers that must answer every node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub name_servers: Vec<IpAddr>,
    /// Certificates in PEM on which mirrors and sites of the site's own may stand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<String>,
    /// Routers with which nodes speak BGP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bgp_peers: Vec<BgpPeer>,
}

/// A server by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its name, or an address as text.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
}

impl Outward {
    /// What a file of `bmctl` says.
    pub(super) fn of(cluster: &Cluster) -> Self {
        let url = cluster.proxy.as_ref().and_then(|proxy| proxy.url.as_deref());
        let mirrors = cluster.header.registry_mirrors.iter();
        Self {
            proxy: url.and_then(ProxyServer::of_url),
            no_proxy: cluster
                .proxy
                .as_ref()
                .map(|proxy| proxy.no_proxy.clone())
                .unwrap_or_default(),
            gke_connect_region: cluster.gke_connect_location.clone(),
            mirrors: mirrors
                .filter_map(|mirror| Some(Url::read(&mirror.endpoint)?.server))
                .collect(),
            adds_package_repository: cluster.adds_package_repository,
            sites: Vec::new(),
            name_servers: Vec::new(),
            roots: Vec::new(),
            bgp_peers: cluster.bgp_peers.clone(),
        }
    }

    /// Takes what another file says, where this one says nothing.
    pub(crate) fn join(&mut self, other: Self) {
        if self.proxy.is_none() {
            self.proxy = other.proxy;
        }
        self.no_proxy.extend(other.no_proxy);
        self.sites.extend(other.sites);
        self.name_servers.extend(other.name_servers);
        self.roots.extend(other.roots);
        self.roots.truncate(MAX_DIAL_ROOTS);
    }

    /// Whether nothing stands between nodes and a server that is reached without the proxy.
    pub fn bypasses_proxy(&self, host: &str) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        self.no_proxy.iter().any(|entry| {
            let entry = entry.trim();
            if entry == "*" {
                return true;
            }
            match address {
                Some(address) => {
                    let net = entry.parse::<IpNet>().ok();
                    entry.parse() == Ok(address) || net.is_some_and(|net| net.contains(&address))
                }
                None => {
                    // As Go and curl read it: a name stands for itself and for all below it.
                    let suffix = entry.trim_start_matches("*.").trim_start_matches('.');
                    !suffix.is_empty() && is_below(host, suffix)
                }
            }
        })
    }
}

impl ProxyServer {
    /// Where a URL says that a proxy is; `None` if it says nothing of the kind.
    pub(crate) fn of_url(text: &str) -> Option<Self> {
        let url = Url::read(text)?;
        Some(Self {
            host: url.server.host,
            port: url.server.port,
            login: url.login,
        })
    }
}

/// Whether a name is another one, or below it.
fn is_below(name: &str, suffix: &str) -> bool {
    let (name, suffix) = (name.to_ascii_lowercase(), suffix.to_ascii_lowercase());
    name.strip_suffix(&suffix)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// What of a URL says where a server is.
struct Url {
    login: Option<Login>,
    server: Server,
}

impl Url {
    /// `[http[s]://][USER[:PASSWORD]@]HOST[:PORT][/...]`; `None` if there is no host in it.
    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .unwrap_or_else(|| ("http", text.trim()));
        let authority = rest.split(['/', '?', '#']).next()?;
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let default = match scheme.to_ascii_lowercase().as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        Some(Self {
            login: login.map(|login| {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                Login {
                    user: decoded(user),
                    password: decoded(password),
                }
            }),
            server: Server::read(place, default)?,
        })
    }
}

impl Server {
    /// `HOST[:PORT]`, IPv6 addresses in brackets if a port follows.
    pub(crate) fn read(text: &str, default: u16) -> Option<Self> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        } else if text.parse::<IpAddr>().is_ok() {
            (text, None)
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0)?,
            None => default,
        };
        let is_of_name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.' | ':');
        let fits =
            !host.is_empty() && host.len() <= crate::errand::MAX_DIAL_HOST && host.chars().all(is_of_name);
        fits.then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// Without the percent signs of a URL (RFC 3986 section 2.1).
fn decoded(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = match escaped {
            Some(octet) => {
                octets.push(octet);
                &tail[2..]
            }
            None => {
                octets.push(*first);
                tail
            }
        };
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16) -> Server {
        Server {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn urls_say_where_a_server_is() {
        let read = |text| Url::read(text).map(|url| url.server);
        assert_eq!(read("http://10.0.0.9:3128"), Some(server("10.0.0.9", 3128)));
        assert_eq!(
            read("https://mirror.example:5000/v2"),
            Some(server("mirror.example", 5000))
        );
        assert_eq!(
            read("https://mirror.example"),
            Some(server("mirror.example", 443))
        );
        assert_eq!(read("proxy.example:8080"), Some(server("proxy.example", 8080)));
        assert_eq!(
            read("http://[2001:db8::9]:3128/"),
            Some(server("2001:db8::9", 3128))
        );
        for no_url in [
            "",
            "http://",
            "ftp://a",
            "http://a:0",
            "http://a:b",
            "http://a b",
            "http://a\r\nb",
        ] {
            assert_eq!(read(no_url), None, "{no_url:?}");
        }
    }

    #[test]
    fn a_login_is_read_and_never_printed() {
        let url = Url::read("http://plumb:li%40ne@proxy.example:3128").unwrap();
        let login = url.login.unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("plumb", "li@ne"));
        assert!(!format!("{login:?}").contains("plumb"));
    }

    #[test]
    fn exceptions_are_names_suffixes_addresses_and_prefixes() {
        let outward = Outward {
            no_proxy: ["example.org", ".corp.example", "10.0.0.9", "10.1.0.0/16"]
                .map(str::to_owned)
                .into(),
            ..Outward::default()
        };
        for host in [
            "example.org",
            "a.example.org",
            "b.corp.example",
            "10.0.0.9",
            "10.1.2.3",
        ] {
            assert!(outward.bypasses_proxy(host), "{host}");
        }
        for host in ["badexample.org", "example.com", "10.0.0.8", "10.2.0.1"] {
            assert!(!outward.bypasses_proxy(host), "{host}");
        }
    }
}
