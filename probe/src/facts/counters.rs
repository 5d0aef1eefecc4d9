//! What the kernel counts of packets that it dropped, and how full connection tracking is: of the calling thread's network
//! namespace.
//!
//! `/proc/net/snmp` and `netstat` come in pairs of lines, names over numbers; `snmp6` has one name and number in each line;
//! `stat/nf_conntrack` has a line of names over a line of hexadecimal numbers for each processor.

use std::{collections::BTreeMap, fs};

use plumbline_model::observation::Conntrack;

/// Counters by their names, those of [`TOLD`] that this kernel has.
pub(super) fn counters() -> BTreeMap<String, u64> {
    let read = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
    let mut all = paired(&read("netstat"));
    all.extend(paired(&read("snmp")));
    all.extend(listed(&read("snmp6")));
    all.extend(by_processor(&read("stat/nf_conntrack")));
    all.retain(|name, _| TOLD.contains(&name.as_str()));
    all
}

/// The connection tracking table, if the kernel has one.
pub(super) fn conntrack() -> Option<Conntrack> {
    let read = |name: &str| {
        let path = format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    Some(Conntrack {
        count: read("count")?,
        max: read("max")?,
    })
}

/// `Group: name name` over `Group: number number`.
fn paired(text: &str) -> BTreeMap<String, u64> {
    let mut counters = BTreeMap::new();
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.chunks_exact(2) {
        let (Some((group, names)), Some((same, numbers))) =
            (pair[0].split_once(':'), pair[1].split_once(':'))
        else {
            continue;
        };
        if group != same {
            continue;
        }
        let named = names
            .split_ascii_whitespace()
            .zip(numbers.split_ascii_whitespace());
        // One or two are negative and none of ours.
        counters.extend(
            named.filter_map(|(name, number)| Some((format!("{group}.{name}"), number.parse().ok()?))),
        );
    }
    counters
}

/// `name number`.
fn listed(text: &str) -> BTreeMap<String, u64> {
    let counter = |line: &str| {
        let (name, number) = line.split_once(char::is_whitespace)?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    };
    text.lines().filter_map(counter).collect()
}

/// `name name` over `hexadecimal hexadecimal` for each processor, added up.
fn by_processor(text: &str) -> BTreeMap<String, u64> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .collect();
    let mut counters = BTreeMap::new();
    for line in lines {
        for (name, number) in names.iter().zip(line.split_ascii_whitespace()) {
            let Ok(number) = u64::from_str_radix(number, 16) else {
                continue;
            };
            let counter: &mut u64 = counters.entry(format!("conntrack.{name}")).or_default();
            *counter = counter.saturating_add(number);
        }
    }
    counters
}

/// The counters that are told: each of them counts something that was dropped, refused or not sent.
const TOLD: &[&str] = &[
    // The wrong interface for the source (rp_filter), a full queue of connections, memory.
    "TcpExt.IPReversePathFilter",
    "TcpExt.ListenOverflows",
    "TcpExt.ListenDrops",
    "TcpExt.TCPReqQFullDrop",
    "TcpExt.TCPReqQFullDoCookies",
    "TcpExt.TCPBacklogDrop",
    "TcpExt.PFMemallocDrop",
    "TcpExt.TCPMinTTLDrop",
    "TcpExt.TCPAbortOnMemory",
    "TcpExt.TCPTimeWaitOverflow",
    "TcpExt.TCPMD5NotFound",
    "TcpExt.TCPMD5Unexpected",
    "TcpExt.TCPMD5Failure",
    "Tcp.InErrs",
    "Tcp.InCsumErrors",
    "IpExt.InNoRoutes",
    "IpExt.InTruncatedPkts",
    "IpExt.InCsumErrors",
    "Ip.InHdrErrors",
    "Ip.InAddrErrors",
    "Ip.InUnknownProtos",
    "Ip.InDiscards",
    "Ip.OutDiscards",
    "Ip.OutNoRoutes",
    "Ip.ReasmFails",
    "Ip.FragFails",
    // Errors that were not sent because too many were.
    "Icmp.OutRateLimitGlobal",
    "Icmp.OutRateLimitHost",
    "Udp.NoPorts",
    "Udp.InErrors",
    "Udp.RcvbufErrors",
    "Udp.SndbufErrors",
    "Udp.InCsumErrors",
    "Udp.MemErrors",
    "Ip6InHdrErrors",
    "Ip6InTooBigErrors",
    "Ip6InNoRoutes",
    "Ip6InAddrErrors",
    "Ip6InUnknownProtos",
    "Ip6InTruncatedPkts",
    "Ip6InDiscards",
    "Ip6OutDiscards",
    "Ip6OutNoRoutes",
    "Ip6ReasmFails",
    "Ip6FragFails",
    "Icmp6OutRateLimitHost",
    "Udp6NoPorts",
    "Udp6InErrors",
    "Udp6RcvbufErrors",
    "Udp6SndbufErrors",
    "Udp6InCsumErrors",
    "Udp6MemErrors",
    "conntrack.invalid",
    "conntrack.insert_failed",
    "conntrack.drop",
    "conntrack.early_drop",
    "conntrack.icmp_error",
    "conntrack.error",
    "conntrack.chaintoolong",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_over_numbers_and_groups_before_them() {
        let text = "TcpExt: SyncookiesSent ListenDrops\nTcpExt: 3 7\nIpExt: InNoRoutes\nIpExt: 1\n\
                    Tcp: MaxConn InErrs\nTcp: -1 2\n";
        let counters = paired(text);
        assert_eq!(counters["TcpExt.ListenDrops"], 7);
        assert_eq!((counters["IpExt.InNoRoutes"], counters["Tcp.InErrs"]), (1, 2));
        assert!(!counters.contains_key("Tcp.MaxConn"));
        assert_eq!(paired("A: x\nB: 1\nC"), BTreeMap::new());
    }

    #[test]
    fn processors_are_added_up() {
        let counters = by_processor("entries drop early_drop\n00000001 0000000a 0\n00000001 00000005 torn\n");
        assert_eq!(counters["conntrack.drop"], 15);
        assert_eq!(counters["conntrack.early_drop"], 0);
    }

    #[test]
    fn this_very_kernel_counts_dropped_connections_in_both_families() {
        let counters = counters();
        for name in [
            "TcpExt.ListenDrops",
            "TcpExt.IPReversePathFilter",
            "Udp.InErrors",
            "Udp6InErrors",
        ] {
            assert!(counters.contains_key(name), "{name}: {counters:?}");
        }
        assert!(counters.keys().all(|name| TOLD.contains(&name.as_str())));
    }
}
