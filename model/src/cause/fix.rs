//! Exact commands, through the manager of the rule that drops.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    firewall::{Manager, Place, Ruleset, TableFamily},
    ledger::{Ledger, Transport},
    plan::Plan,
    port::{Family, PortSet},
    verdict::Way,
};

use super::{Fix, blame::Tests, host::address_of, span::Spans};

/// Opens what a rule of a host's packet filter stops.
pub(super) fn open_filter(
    plan: &Plan,
    ledger: &Ledger<'_>,
    place: &Place,
    side: Way,
    tests: &Tests,
    is_live: bool,
) -> Fix {
    let opened = Opened {
        plan,
        ledger,
        side,
        tests,
    };
    match &place.manager {
        Manager::Firewalld { zone } if side == Way::In => firewalld(plan, zone.as_deref(), tests, is_live),
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
        Manager::Iptables { chain } => iptables(&opened, place, chain),
        Manager::Nftables => nftables(&opened, place),
    }
}

/// `firewall-cmd`, runtime and permanent. A reload is not needed, and on a live node it would flush the rules that
/// Kubernetes' own agents added.
fn firewalld(plan: &Plan, zone: Option<&str>, tests: &Tests, is_live: bool) -> Fix {
    let zone_option = zone.map(|zone| format!(" --zone={zone}")).unwrap_or_default();
    let commands = add_ports(plan, &zone_option, tests);
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

/// A zone is of both families: each port is added once, at once and for the next start.
fn add_ports(plan: &Plan, zone_option: &str, tests: &Tests) -> Vec<String> {
    let mut commands = Vec::new();
    for permanent in ["", " --permanent"] {
        for protocol in tests.protocols() {
            for range in Spans::of(plan, tests, protocol).all().ranges() {
                commands.push(format!(
                    "firewall-cmd{permanent}{zone_option} --add-port={range}/{protocol}"
                ));
            }
        }
    }
    commands
}

fn nftables(opened: &Opened<'_>, place: &Place) -> Fix {
    let chain = format!("{} {} {}", place.family.as_str(), place.table, place.chain);
    let (direction, port_field) = fields(opened.side);
    let mut commands = Vec::new();
    for transport in opened.seen_by(place) {
        let keyword = if transport.0 == Family::Ipv4 { "ip" } else { "ip6" };
        for (ports, peers) in opened.by_ports(transport) {
            let ports = nft_set(ports.ranges().iter().map(ToString::to_string));
            let peers = nft_set(peers.iter().map(ToString::to_string));
            commands.push(format!(
                "nft insert rule {chain} {keyword} {direction} {peers} {} {port_field} {ports} accept",
                transport.1
            ));
        }
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

fn iptables(opened: &Opened<'_>, place: &Place, chain: &str) -> Fix {
    // Without -t the program looks for the chain in table filter only.
    let table = match place.table.as_str() {
        "filter" => String::new(),
        table => format!(" -t {table}"),
    };
    let (direction, port_field) = fields(opened.side);
    let option = if direction == "saddr" { "-s" } else { "-d" };
    let mut commands = Vec::new();
    for transport in opened.seen_by(place) {
        let program = match transport.0 {
            Family::Ipv4 => "iptables",
            Family::Ipv6 => "ip6tables",
        };
        for (ports, peers) in opened.by_ports(transport) {
            let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
            let from = format!("{option} {}", peers.join(","));
            for ports in iptables_ports(port_field, &ports) {
                commands.push(format!(
                    "{program}{table} -I {chain} {from} -p {} {ports} -j ACCEPT",
                    transport.1
                ));
            }
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

/// The ports as a match of iptables; several ranges by the match `multiport`, each of as many rules as it takes.
fn iptables_ports(field: &str, ports: &PortSet) -> Vec<String> {
    let ranges: Vec<String> = ports
        .ranges()
        .iter()
        .map(|range| range.to_string().replace('-', ":"))
        .collect();
    if let [range] = ranges.as_slice() {
        return vec![format!("--{field} {range}")];
    }
    let each = ranges.chunks(MAX_MULTIPORT_RANGES);
    each.map(|ranges| format!("-m multiport --{field}s {}", ranges.join(",")))
        .collect()
}

/// The header fields that hold the peer's address and the service's port, on a way through the judged host.
fn fields(side: Way) -> (&'static str, &'static str) {
    match side {
        Way::In => ("saddr", "dport"),
        Way::AnswerOut => ("daddr", "sport"),
        Way::Out => ("daddr", "dport"),
        Way::AnswerIn => ("saddr", "sport"),
    }
}

/// What is to be opened on one way through a packet filter.
struct Opened<'a> {
    plan: &'a Plan,
    ledger: &'a Ledger<'a>,
    side: Way,
    tests: &'a Tests,
}

impl Opened<'_> {
    /// The transports of the tests whose packets a rule's table sees.
    fn seen_by(&self, place: &Place) -> Vec<Transport> {
        let own = match place.family {
            TableFamily::Ip => Some(Family::Ipv4),
            TableFamily::Ip6 => Some(Family::Ipv6),
            _ => None,
        };
        let mut transports = self.tests.transports();
        transports.retain(|(family, _)| own.is_none_or(|own| own == *family));
        transports
    }

    /// The peers' addresses as the judged host sees them, gathered by the ports that are asked between them: a rule for each
    /// opens nothing that is not asked. A peer whose address nobody knows has no rule, since one without an address is for
    /// all.
    fn by_ports(&self, transport: Transport) -> BTreeMap<PortSet, Vec<IpAddr>> {
        let mut of_peer: BTreeMap<IpAddr, PortSet> = BTreeMap::new();
        for ((src, dst, own), ports) in &self.tests.by_pair {
            let peer = match self.side {
                Way::In | Way::AnswerOut => *src,
                Way::Out | Way::AnswerIn => *dst,
            };
            if let Some(address) = address_of(self.ledger, peer, own.0).filter(|_| *own == transport) {
                of_peer.entry(address).or_default().extend(ports);
            }
        }
        let spans = Spans::of(self.plan, self.tests, transport.1);
        let mut out: BTreeMap<PortSet, Vec<IpAddr>> = BTreeMap::new();
        for (address, ports) in of_peer {
            out.entry(spans.around(&ports)).or_default().push(address);
        }
        out
    }
}

fn nft_set(items: impl Iterator<Item = String>) -> String {
    format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
}

/// Looks at a filter of which no rule could be named; `was_read` is absent if it could not be read, for want of a privilege
/// if it `wants_privilege`.
pub(super) fn look_at_filter(
    plan: &Plan,
    firewalld_zone_of: Option<&str>,
    was_read: Option<&Ruleset>,
    wants_privilege: bool,
    tests: &Tests,
) -> Fix {
    if let Some(interface) = firewalld_zone_of {
        let zone = format!(" --zone=$(firewall-cmd --get-zone-of-interface={interface})");
        return Fix {
            text: "Add the ports to the zone of the data interface, at once and for the next start; no reload is needed."
                .to_owned(),
            commands: add_ports(plan, &zone, tests),
        };
    }
    let mut commands = show_filter(tests);
    let legacy = was_read.map_or(&[][..], |ruleset| &ruleset.legacy_tables);
    // iptables-save shows the rules in nf_tables only, and says so in a comment that is easily missed. Where the list of
    // tables itself was not readable, either may have some.
    let is_of = |family: &str| {
        let mut words = legacy.iter().filter_map(|table| table.split(' ').next());
        words.any(|word| word == family || !matches!(word, "ip" | "ip6"))
    };
    for (family, command) in [("ip", "iptables-legacy-save"), ("ip6", "ip6tables-legacy-save")] {
        commands.extend(is_of(family).then(|| command.to_owned()));
    }
    let with_privilege = if wants_privilege {
        " With CAP_NET_ADMIN the probe reads the rules, and an audit with --retest DIR names the one."
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

/// Commands that show a packet filter, as far as it sees the families of the tests.
pub(super) fn show_filter(tests: &Tests) -> Vec<String> {
    let saves = tests.families().into_iter().map(|family| match family {
        Family::Ipv4 => "iptables-save",
        Family::Ipv6 => "ip6tables-save",
    });
    ["nft list ruleset"]
        .into_iter()
        .chain(saves)
        .map(str::to_owned)
        .collect()
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

/// How to make the tests of a finding again.
pub(super) const RETEST: &str = "audit again what failed: --retest DIR (DIR is the directory of this report)";

/// More port ranges than this in one sentence are not read by anybody.
const MAX_SAID_PORTS: usize = 8;

/// The match `multiport` takes fifteen ports, and a range counts as two.
const MAX_MULTIPORT_RANGES: usize = 7;
