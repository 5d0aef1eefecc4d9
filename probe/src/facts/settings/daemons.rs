//! Programs that change the network or the clock, and how they are told to.

use std::{collections::BTreeSet, net::IpAddr};

use plumbline_model::observation::TimeSource;

use super::root::{Root, sanitised};

/// Services that run, of a list of programs in this network namespace, and such as are switched on for the next start.
pub(super) fn services(root: &Root, runs: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let running = ["NetworkManager", "systemd-network"]
        .into_iter()
        .filter(|name| runs(name));
    let mut services: BTreeSet<String> = running.map(str::to_owned).collect();
    // It runs for a moment every five minutes, so that its process is seldom there.
    let is_enabled = ["timer", "service"].iter().any(|kind| {
        let wants = root
            .names("etc/systemd/system")
            .into_iter()
            .filter(|name| name.ends_with(".wants"));
        wants
            .map(|directory| format!("etc/systemd/system/{directory}/{CLOUD_SETUP}.{kind}"))
            .any(|link| root.has(&link))
    });
    if is_enabled {
        services.insert(CLOUD_SETUP.to_owned());
    }
    services
}

/// What NetworkManager leaves alone: `unmanaged-devices` of its configuration, and the devices of sections that say `managed=0`.
/// `None` if it has no configuration at all.
pub(super) fn network_manager_ignores(root: &Root) -> Option<Vec<String>> {
    let mut ignored = Vec::new();
    let mut texts: Vec<String> = root
        .text("etc/NetworkManager/NetworkManager.conf")
        .into_iter()
        .collect();
    for directory in NETWORK_MANAGER {
        let names = root
            .names(directory)
            .into_iter()
            .filter(|name| name.ends_with(".conf"));
        texts.extend(names.filter_map(|name| root.text(&format!("{directory}/{name}"))));
    }
    if texts.is_empty() && !root.has("etc/NetworkManager") {
        return None;
    }
    for text in texts {
        let mut matched = String::new();
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                matched.clear();
            }
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            match name.trim().trim_end_matches('+') {
                "unmanaged-devices" => ignored.extend(value.split([';', ',']).map(sanitised)),
                "match-device" => matched = value.to_owned(),
                "managed" if ["0", "no", "false"].contains(&value.trim()) => {
                    ignored.extend(matched.split([';', ',']).map(sanitised));
                }
                _ => {}
            }
        }
    }
    ignored.retain(|pattern| !pattern.is_empty());
    ignored.truncate(MAX_LISTED);
    Some(ignored)
}

/// Programs that set the clock: those that run, and those that have servers.
pub(super) fn time_sources(root: &Root, runs: impl Fn(&str) -> bool) -> Vec<TimeSource> {
    let sources = TIME_PROGRAMS.iter().map(|(program, files)| TimeSource {
        program: (*program).to_owned(),
        running: runs(program),
        servers: servers(root, files),
    });
    sources
        .filter(|source| source.running || !source.servers.is_empty())
        .collect()
}

fn servers(root: &Root, places: &[&str]) -> Vec<String> {
    let mut servers = Vec::new();
    for place in places {
        let (directory, end) = place.rsplit_once('/').unwrap_or(("", place));
        let texts: Vec<String> = match end.strip_prefix('*') {
            Some(end) => {
                let names = root
                    .names(directory)
                    .into_iter()
                    .filter(|name| name.ends_with(end));
                names
                    .filter_map(|name| root.text(&format!("{directory}/{name}")))
                    .collect()
            }
            None => root.text(place).into_iter().collect(),
        };
        for line in texts.iter().flat_map(|text| text.lines()) {
            servers.extend(servers_of(line));
        }
    }
    let mut seen = BTreeSet::new();
    servers.retain(|server| seen.insert(server.clone()));
    servers.truncate(MAX_LISTED);
    servers
}

/// `server ntp.example.com iburst` of chrony and ntpd, `NTP=ntp.example.com 10.0.0.1` of timesyncd.
fn servers_of(line: &str) -> Vec<String> {
    let line = line.trim();
    if let Some((name, value)) = line.split_once('=')
        && ["NTP", "FallbackNTP"].contains(&name.trim())
    {
        return value
            .split_ascii_whitespace()
            .map(sanitised)
            .filter(|name| is_host(name))
            .collect();
    }
    let mut words = line.split_ascii_whitespace();
    let is_source = words
        .next()
        .is_some_and(|word| ["server", "pool", "peer"].contains(&word));
    // ntpd takes -4 or -6 before the name.
    let name = words.find(|word| !word.starts_with('-')).filter(|_| is_source);
    name.map(sanitised)
        .filter(|name| is_host(name))
        .into_iter()
        .collect()
}

fn is_host(name: &str) -> bool {
    let is_sound = |c: char| c.is_ascii_alphanumeric() || ".-:_%".contains(c);
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(is_sound)
}

/// Name servers and search domains (resolv.conf(5)). Where only the stub of systemd-resolved is asked, those that it asks.
pub(super) fn resolvers(root: &Root) -> (Vec<IpAddr>, Vec<String>) {
    let own = root
        .text("etc/resolv.conf")
        .map(|text| resolv_conf(&text))
        .unwrap_or_default();
    let is_stub = !own.0.is_empty()
        && own
            .0
            .iter()
            .all(|server| STUBS.contains(&server.to_string().as_str()));
    if !is_stub {
        return own;
    }
    let behind = root
        .text("run/systemd/resolve/resolv.conf")
        .map(|text| resolv_conf(&text));
    behind.filter(|(servers, _)| !servers.is_empty()).unwrap_or(own)
}

fn resolv_conf(text: &str) -> (Vec<IpAddr>, Vec<String>) {
    let (mut servers, mut domains) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => {
                // fe80::1%eth0: the interface is not part of an address.
                let address: Option<IpAddr> =
                    words.next().and_then(|word| word.split('%').next()?.parse().ok());
                servers.extend(address);
            }
            // The last line of them holds.
            Some("search" | "domain") => {
                domains = words.map(sanitised).filter(|name| is_host(name)).collect();
            }
            _ => {}
        }
    }
    servers.truncate(MAX_LISTED);
    domains.truncate(MAX_LISTED);
    (servers, domains)
}

const CLOUD_SETUP: &str = "nm-cloud-setup";
const NETWORK_MANAGER: &[&str] = &[
    "etc/NetworkManager/conf.d",
    "run/NetworkManager/conf.d",
    "usr/lib/NetworkManager/conf.d",
];
/// Process names, as the kernel cuts them at 15 characters, and where their servers are written.
const TIME_PROGRAMS: &[(&str, &[&str])] = &[
    (
        "chronyd",
        &[
            "etc/chrony.conf",
            "etc/chrony/chrony.conf",
            "etc/chrony.d/*.conf",
            "etc/chrony/conf.d/*.conf",
            "etc/chrony/sources.d/*.sources",
            "run/chrony-dhcp/*.sources",
        ],
    ),
    (
        "ntpd",
        &["etc/ntp.conf", "etc/ntpsec/ntp.conf", "etc/ntpsec/ntp.d/*.conf"],
    ),
    ("phc2sys", &[]),
    ("ptp4l", &[]),
    (
        "systemd-timesyn",
        &[
            "etc/systemd/timesyncd.conf",
            "etc/systemd/timesyncd.conf.d/*.conf",
            "usr/lib/systemd/timesyncd.conf.d/*.conf",
        ],
    ),
];
/// The addresses at which systemd-resolved waits.
const STUBS: &[&str] = &["127.0.0.53", "127.0.0.54"];
/// DNS (RFC 1035 section 2.3.4).
const MAX_NAME_BYTES: usize = 253;
/// Configurations name a few.
const MAX_LISTED: usize = 32;
