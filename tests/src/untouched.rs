//! What a network is set up like, before and after: addresses, routes, rules, neighbours that were configured, settings, packet
//! filters, flags of devices and sockets of the kernel. And what travels on its switches, counted by kind.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use plumbline_lab::{Lab, LabError};
use plumbline_model::{errand::MAX_LINK_PACKETS_A_SECOND as PACE, id::NodeId};

/// How every host and the router are set up, by place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup(BTreeMap<String, Vec<String>>);

/// Reads how everything is set up.
///
/// # Errors
/// A sentence, if a place cannot be read.
pub fn setup(lab: &Lab) -> Result<Setup, String> {
    let mut places = BTreeMap::new();
    for address in addresses(lab) {
        let host = NodeId::Address(address);
        places.insert(format!("host {host}"), read(|work| lab.in_host(host, work))?);
    }
    places.insert("router".to_owned(), read(|work| lab.in_router(work))?);
    Ok(Setup(places))
}

impl Setup {
    /// What is not as it was, in sentences.
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        for (place, before) in &self.0 {
            let after = after.0.get(place).map_or(&[][..], Vec::as_slice);
            let only = |of: &[String], other: &[String]| -> Vec<String> {
                of.iter().filter(|line| !other.contains(line)).cloned().collect()
            };
            let (gone, come) = (only(before, after), only(after, before));
            if !gone.is_empty() || !come.is_empty() {
                differences.push(format!("{place}: gone {gone:?}, come {come:?}"));
            }
        }
        differences
    }

    /// Whether a host has an address.
    pub fn has(&self, host: NodeId, address: IpAddr) -> bool {
        let words = format!(" {address}/");
        let lines = self.0.get(&format!("host {host}"));
        lines.is_some_and(|lines| lines.iter().any(|line| line.contains(&words)))
    }
}

/// Waits until everything is as it was, for so long at most; what is not then.
///
/// # Errors
/// A sentence, if a place cannot be read.
pub fn settled(lab: &Lab, before: &Setup, patience: Duration) -> Result<Vec<String>, String> {
    let begun = Instant::now();
    loop {
        let differences = before.differences(&setup(lab)?);
        if differences.is_empty() || begun.elapsed() >= patience {
            return Ok(differences);
        }
        thread::sleep(POLL);
    }
}

/// Counts frames on every switch from now on.
///
/// # Errors
/// A sentence, if a switch cannot count.
pub fn count_frames(lab: &Lab, announced: &[IpAddr]) -> Result<(), String> {
    let hosts = addresses(lab);
    let all = hosts.iter().chain(announced);
    let ipv4 = all.filter(|address| address.is_ipv4());
    let pairs: Vec<String> = ipv4.map(|address| format!("{address} . {address}")).collect();
    let rules = format!(
        "table bridge {TABLE} {{
           counter foreign {{}}
           counter announcements {{}}
           counter known {{}}
           counter questions {{}}
           counter hasty {{}}
           set pace {{ type ether_addr; size 4096; flags dynamic; }}
           chain frames {{
             type filter hook prerouting priority -300;
             ether type != {{ arp, ip, ip6 }} counter name foreign
             ether type {{ arp, ip, ip6 }} counter name known
             ether type arp arp saddr ip . arp daddr ip {{ {} }} counter name announcements
             ether daddr ff:ff:ff:ff:ff:ff ether type arp arp operation request jump asked
             icmpv6 type nd-neighbor-solicit ether daddr 33:33:ff:00:00:00/24 jump asked
           }}
           chain asked {{
             counter name questions
             update @pace {{ ether saddr limit rate over {PACE}/second burst 2 packets }} counter name hasty
           }}
         }}",
        pairs.join(", ")
    );
    for_each_switch(lab, &format!("nft -f - <<'RULES'\n{rules}\nRULES")).map(drop)
}

/// Frames that were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frames {
    /// Of ARP, IPv4 and IPv6.
    pub known: u64,
    /// Of anything else.
    pub foreign: u64,
    /// Gratuitous ARP of a host's own address, or of one that was named.
    pub announcements: u64,
    /// ARP requests to all and neighbour solicitations to groups, of the kernel or of a probe.
    pub questions: u64,
    /// Of these what came sooner than a host's budget of ARP and ND allows, with one packet's room for a late one before it.
    pub hasty: u64,
}

/// What was counted on all switches together, after which they count no more.
///
/// # Errors
/// A sentence, if a switch does not tell.
pub fn frames(lab: &Lab) -> Result<Frames, String> {
    let mut frames = Frames::default();
    for listing in for_each_switch(lab, &format!("nft list counters table bridge {TABLE}"))? {
        for (name, count) in counters(&listing) {
            match name {
                "known" => frames.known += count,
                "foreign" => frames.foreign += count,
                "announcements" => frames.announcements += count,
                "questions" => frames.questions += count,
                "hasty" => frames.hasty += count,
                _ => {}
            }
        }
    }
    for_each_switch(lab, &format!("nft delete table bridge {TABLE}"))?;
    Ok(frames)
}

/// `counter NAME {` on one line, `packets N bytes M` on the next.
fn counters(listing: &str) -> Vec<(&str, u64)> {
    let mut found = Vec::new();
    let mut name = None;
    for line in listing.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["counter", of, "{"] => name = Some(*of),
            ["packets", count, ..] => found.extend(name.zip(count.parse().ok())),
            _ => {}
        }
    }
    found
}

/// Runs a shell's command on each switch once; what each said.
fn for_each_switch(lab: &Lab, command: &str) -> Result<Vec<String>, String> {
    let mut said = Vec::new();
    let mut seen = Vec::new();
    for address in addresses(lab) {
        let subnet = lab
            .topology()
            .subnet_of(address)
            .map(|subnet| subnet.first.network);
        if seen.contains(&subnet) {
            continue;
        }
        seen.push(subnet);
        let run = || {
            Command::new("sh")
                .args(["-ec", command])
                .stdin(Stdio::null())
                .output()
        };
        let output = lab
            .in_switch_of(NodeId::Address(address), run)
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("run {command:?}: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        said.push(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Ok(said)
}

fn addresses(lab: &Lab) -> Vec<IpAddr> {
    lab.topology().hosts().iter().map(|host| host.address).collect()
}

/// The lines of one place.
fn read(
    run: impl FnOnce(
        fn() -> std::io::Result<std::process::Output>,
    ) -> Result<std::io::Result<std::process::Output>, LabError>,
) -> Result<Vec<String>, String> {
    let output = run(|| {
        Command::new("sh")
            .args(["-c", READING])
            .stdin(Stdio::null())
            .output()
    })
    .map_err(|error| error.to_string())?
    .map_err(|error| format!("read a place: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !text.contains("END") {
        return Err(format!(
            "read a place: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(text.lines().map(str::to_owned).collect())
}

/// Everything about a namespace that anybody could change and that does not change by itself. Counts of connections, entries that
/// were learned and ages are none of it.
const READING: &str = r#"
set -e
ip -o address show | sed 's/^/address /'
ip -d -o link show | sed 's/^[0-9]*: /link /; s/ qlen [0-9]*//'
ip route show table all | sed 's/^/route /'
ip -6 route show table all | sed 's/^/route6 /; s/expires [0-9]*sec//'
ip rule show | sed 's/^/rule /'
ip -6 rule show | sed 's/^/rule6 /'
ip neigh show nud permanent | sed 's/^/neighbour /'
ip maddress show | sed 's/^/group /'
nft list ruleset | sed 's/^/filter /'
awk 'FNR > 1 { print "udp " $2 }' /proc/net/udp | sort
awk 'FNR > 1 && $4 == "0A" { print "tcp " $2 }' /proc/net/tcp | sort
grep -r . /proc/sys/net 2>/dev/null | grep -v 'nf_conntrack_count\|/inode\|stable_secret' | sort || true
echo END
"#;
const POLL: Duration = Duration::from_millis(500);
const TABLE: &str = "plumbline_test";
