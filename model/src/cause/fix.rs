//! Exact commands, through the manager of the rule that drops.

use std::net::IpAddr;

use crate::{
    firewall::{Manager, Place, Ruleset, TableFamily},
    ledger::{Ledger, Transport},
    port::Family,
    verdict::Way,
};

use super::{Fix, blame::Tests, host::address_of};

/// Opens what a rule of a host's packet filter stops.
pub(super) fn open_filter(
    ledger: &Ledger<'_>,
    place: &Place,
    side: Way,
    tests: &Tests,
    is_live: bool,
) -> Fix {
    match &place.manager {
        Manager::Firewalld { zone } if side == Way::In => firewalld(zone.as_deref(), tests, is_live),
        Manager::Firewalld { .. } => Fix {
            text: "A policy or direct rule of firewalld stops it; allow it there, in the runtime and the permanent \
                   configuration."
                .to_owned(),
            commands: vec![
                "firewall-cmd --get-active-policies".to_owned(),
                "firewall-cmd --direct --get-all-rules".to_owned(),
                format!("nft -a list chain {} {} {}", place.family.as_str(), place.table, place.chain),
            ],
        },
        Manager::Iptables { chain } => iptables(ledger, place, chain, side, tests),
        Manager::Nftables => nftables(ledger, place, side, tests),
    }
}

/// `firewall-cmd`, runtime and permanent. A reload is not needed, and on a live node it would flush the rules that
/// Kubernetes' own agents added.
fn firewalld(zone: Option<&str>, tests: &Tests, is_live: bool) -> Fix {
    let zone_option = zone.map(|zone| format!(" --zone={zone}")).unwrap_or_default();
    let mut commands = Vec::new();
    for permanent in ["", " --permanent"] {
        for transport in tests.transports() {
            for range in tests.ports(transport).ranges() {
                commands.push(format!(
                    "firewall-cmd{permanent}{zone_option} --add-port={range}/{}",
                    transport.1
                ));
            }
        }
    }
    let zone = zone.map_or_else(|| "the default zone".to_owned(), |zone| format!("zone {zone}"));
    let live = if is_live {
        " The node is live: do not reload firewalld, it would flush the cluster's own rules."
    } else {
        ""
    };
    Fix {
        text: format!(
            "Add the ports to {zone} of firewalld, at once and for the next start; no reload is needed.{live}"
        ),
        commands,
    }
}

fn nftables(ledger: &Ledger<'_>, place: &Place, side: Way, tests: &Tests) -> Fix {
    let chain = format!("{} {} {}", place.family.as_str(), place.table, place.chain);
    let mut commands = Vec::new();
    for transport in tests.transports() {
        let (_, protocol) = transport;
        let ports = nft_set(tests.ports(transport).ranges().iter().map(ToString::to_string));
        let (direction, peers) = peers(ledger, transport, side, tests);
        let keyword = if transport.0 == Family::Ipv4 { "ip" } else { "ip6" };
        let from = if peers.is_empty() {
            String::new()
        } else {
            format!(
                "{keyword} {direction} {} ",
                nft_set(peers.iter().map(ToString::to_string))
            )
        };
        let port_field = match side {
            Way::In | Way::Out => "dport",
            Way::AnswerIn | Way::AnswerOut => "sport",
        };
        commands.push(format!(
            "nft insert rule {chain} {from}{protocol} {port_field} {ports} accept"
        ));
    }
    commands.push(format!("nft -a list chain {chain}"));
    Fix {
        text: format!(
            "Accept these ports ahead of the rule that stops them in chain {}, and write the same into the file that \
             nftables.service loads (often /etc/nftables.conf or /etc/sysconfig/nftables.conf).",
            place.chain
        ),
        commands,
    }
}

fn iptables(ledger: &Ledger<'_>, place: &Place, chain: &str, side: Way, tests: &Tests) -> Fix {
    // Without -t the program looks for the chain in table filter only.
    let table = match place.table.as_str() {
        "filter" => String::new(),
        table => format!(" -t {table}"),
    };
    let mut commands = Vec::new();
    for transport in tests.transports() {
        let program = if transport.0 == Family::Ipv6 || place.family == TableFamily::Ip6 {
            "ip6tables"
        } else {
            "iptables"
        };
        let (direction, peers) = peers(ledger, transport, side, tests);
        let option = if direction == "saddr" { "-s" } else { "-d" };
        let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
        let from = if peers.is_empty() {
            String::new()
        } else {
            format!(" {option} {}", peers.join(","))
        };
        let port_option = match side {
            Way::In | Way::Out => "--dport",
            Way::AnswerIn | Way::AnswerOut => "--sport",
        };
        for range in tests.ports(transport).ranges() {
            let ports = range.to_string().replace('-', ":");
            commands.push(format!(
                "{program}{table} -I {chain}{from} -p {} {port_option} {ports} -j ACCEPT",
                transport.1
            ));
        }
    }
    Fix {
        text: format!(
            "Accept these ports at the head of chain {chain} of table {}, and save the rules the way this host restores them \
             (iptables-save, netfilter-persistent or the iptables service).",
            place.table
        ),
        commands,
    }
}

/// The peers' addresses as the judged host sees them, with the header field that holds them.
fn peers(ledger: &Ledger<'_>, transport: Transport, side: Way, tests: &Tests) -> (&'static str, Vec<IpAddr>) {
    let (field, nodes) = match side {
        Way::In => ("saddr", tests.sources()),
        Way::AnswerOut => ("daddr", tests.sources()),
        Way::Out => ("daddr", tests.destinations()),
        Way::AnswerIn => ("saddr", tests.destinations()),
    };
    (
        field,
        nodes
            .into_iter()
            .filter_map(|node| address_of(ledger, node, transport.0))
            .collect(),
    )
}

fn nft_set(items: impl Iterator<Item = String>) -> String {
    format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
}

/// Looks at a filter of which no rule could be named; `was_read` is absent if it could not be read.
pub(super) fn look_at_filter(
    firewalld_zone_of: Option<&str>,
    was_read: Option<&Ruleset>,
    tests: &Tests,
) -> Fix {
    let mut commands = Vec::new();
    if let Some(interface) = firewalld_zone_of {
        let zone = format!("$(firewall-cmd --get-zone-of-interface={interface})");
        for permanent in ["", " --permanent"] {
            for transport in tests.transports() {
                for range in tests.ports(transport).ranges() {
                    commands.push(format!(
                        "firewall-cmd{permanent} --zone={zone} --add-port={range}/{}",
                        transport.1
                    ));
                }
            }
        }
        return Fix {
            text: "Add the ports to the zone of the data interface, at once and for the next start; no reload is needed."
                .to_owned(),
            commands,
        };
    }
    commands.extend(["nft list ruleset".to_owned(), "iptables-save".to_owned()]);
    if was_read.is_some_and(|ruleset| !ruleset.legacy_tables.is_empty()) {
        // iptables-save shows the rules in nf_tables only, and says so in a comment that is easily missed.
        commands.extend(["iptables-legacy-save".to_owned()]);
    }
    let with_privilege = if was_read.is_none() {
        " With CAP_NET_ADMIN the probe reads the rules and the next audit names the one."
    } else {
        ""
    };
    Fix {
        text: format!(
            "Find the rule that stops {} and accept the ports ahead of it.{with_privilege}",
            said_ports(tests)
        ),
        commands,
    }
}

/// Ports of all transports as a person says them: `22/tcp, 30000-32767/tcp`, the first few.
pub(super) fn said_ports(tests: &Tests) -> String {
    let protocols = tests.protocols().into_iter();
    let all: Vec<String> = protocols
        .flat_map(|protocol| {
            let ports = tests.ports_of(protocol);
            let ranges = ports.ranges().iter();
            ranges
                .map(|range| format!("{range}/{protocol}"))
                .collect::<Vec<_>>()
        })
        .collect();
    said_list(&all, MAX_SAID_PORTS)
}

/// A list as a person says it, cut after `most`.
pub(super) fn said_list(items: &[String], most: usize) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] if items.len() <= most => format!("{} and {last}", head.join(", ")),
        _ => {
            let kept = most.saturating_sub(1).max(1);
            format!("{} and {} more", items[..kept].join(", "), items.len() - kept)
        }
    }
}

/// More port ranges than this in one sentence are not read by anybody.
const MAX_SAID_PORTS: usize = 8;
