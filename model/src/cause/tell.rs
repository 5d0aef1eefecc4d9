//! A cause told to a person: one sentence of what and where, and what mends it.

use crate::{
    firewall::Manager,
    id::NodeId,
    inventory::Inventory,
    ledger::{Ledger, Transport},
    observation::Life,
    plan::Plan,
    port::PortSet,
    profile::Severity,
    report::{Affect, Finding, FindingSeverity, MAX_AFFECTS, MAX_EVIDENCE, Status, check},
    verdict::Why,
};

use super::{
    Cause, CauseKind, Fix,
    blame::{Between, Blame, FilterProof, Setting, Side, Tests},
    fix::{look_at_filter, open_filter, said_list, said_ports},
    subnet::Subnets,
};

/// The two sides of a cause between nodes.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) sides: [Vec<NodeId>; 2],
    /// Nothing at all got through.
    pub(super) is_whole: bool,
    pub(super) both_ways: bool,
}

/// Knows the names of things.
pub(super) struct Teller<'a> {
    plan: &'a Plan,
    ledger: &'a Ledger<'a>,
    subnets: &'a Subnets,
    cluster_file: &'a str,
}

/// What is said of a cause.
struct Told {
    check: &'static str,
    kind: CauseKind,
    node: Option<NodeId>,
    detail: String,
    fix: Fix,
    /// Caps the weight that the tests' rules give.
    most: Status,
}

impl<'a> Teller<'a> {
    pub(super) fn new(
        _inventory: &'a Inventory,
        plan: &'a Plan,
        ledger: &'a Ledger<'a>,
        subnets: &'a Subnets,
    ) -> Self {
        let cluster_file = ledger
            .run
            .inputs
            .first()
            .map_or("cluster.yaml", |input| input.name.as_str());
        Self {
            plan,
            ledger,
            subnets,
            cluster_file,
        }
    }

    /// The finding of a cause, its id still empty.
    pub(super) fn finding(&self, blame: &Blame, tests: &Tests, scene: Option<&Scene>) -> Finding {
        let told = match (blame, scene) {
            (Blame::Between(between), Some(scene)) => self.between(between, tests, scene),
            _ => self.at_node(blame, tests),
        };
        let by_rules = match tests.severity {
            Some(Severity::Info) => FindingSeverity::Info,
            Some(Severity::Warn) => FindingSeverity::Warn,
            Some(Severity::Fail) | None => FindingSeverity::Fail,
        };
        let (status, severity) = match (told.most, by_rules) {
            (Status::NotMeasured, _) => (Status::NotMeasured, by_rules.min(FindingSeverity::Warn)),
            (Status::Fail, FindingSeverity::Fail) => (Status::Fail, FindingSeverity::Fail),
            _ => (Status::Warn, by_rules.min(FindingSeverity::Warn)),
        };
        let between = match (told.node, scene) {
            (None, Some(scene)) => Some(scene.sides.clone()),
            _ => None,
        };
        Finding {
            id: String::new(),
            check: told.check.to_owned(),
            status,
            severity,
            cause: Cause {
                kind: told.kind,
                node: told.node,
                between,
                detail: told.detail,
            },
            affects: affects(tests),
            affects_total: tests.total(),
            attempts: tests.attempts,
            evidence: evidence(tests),
            fix: told.fix,
        }
    }

    fn at_node(&self, blame: &Blame, tests: &Tests) -> Told {
        match blame {
            Blame::HostFirewall { node, side, by } => self.host_firewall(*node, *side, by, tests),
            Blame::HostSetting { node, setting } => self.host_setting(*node, *setting, tests),
            Blame::PortTaken {
                node,
                transport,
                process,
                pid,
                alone,
            } => self.port_taken(*node, *transport, process.as_deref(), *pid, *alone, tests),
            Blame::NoListener { node } => self.no_listener(*node, tests),
            Blame::ProbeLost { node } => self.probe_lost(*node, tests),
            Blame::WrongResponder { node } => self.wrong_responder_on(*node, tests),
            Blame::Exposure { node } => self.exposure(*node, tests),
            Blame::Unmeasured { why, node } => self.unmeasured(*why, *node, tests),
            // A cause between nodes always comes with its scene; without one it is told by its sides alone.
            Blame::Between(between) => {
                let scene = Scene {
                    sides: [tests.sources(), tests.destinations()],
                    is_whole: false,
                    both_ways: false,
                };
                self.between(between, tests, &scene)
            }
        }
    }

    fn host_firewall(&self, node: NodeId, side: Side, by: &FilterProof, tests: &Tests) -> Told {
        let name = self.name(node);
        let ports = said_ports(tests);
        let count = self.count(tests);
        let what = match side {
            Side::In => format!("{ports} from {}", self.side(&tests.sources())),
            Side::Out => format!(
                "its own questions to {ports} of {}",
                self.side(&tests.destinations())
            ),
            Side::AnswerOut => format!("its answers from {ports} to {}", self.side(&tests.sources())),
            Side::AnswerIn => format!("answers from {ports} of {}", self.side(&tests.destinations())),
        };
        let unread = self.unread(node);
        let detail = match by {
            FilterProof::Rule(place) => match &place.manager {
                Manager::Firewalld { zone: Some(zone) } if side == Side::In => {
                    format!("firewalld zone {zone} on {name} lacks {ports}: {count} stopped by {place}")
                }
                _ => format!("the packet filter of {name} stops {what}: {count}, by {place}"),
            },
            FilterProof::Rejection => {
                format!("{name} itself rejects {what}: {count}; {unread}")
            }
            FilterProof::Capture if side == Side::AnswerIn => {
                format!("{what} reach {name}, by its capture, and get no further: {count}; {unread}")
            }
            FilterProof::Capture => {
                format!("{what} reaches {name}, by its capture, and no answer leaves: {count}; {unread}")
            }
            FilterProof::Denied => format!("{name} does not let {what} out: {count}; {unread}"),
        };
        let fix = match by {
            FilterProof::Rule(place) => open_filter(self.ledger, place, side, tests, self.is_live(node)),
            _ => look_at_filter(self.firewalld_interface(node).filter(|_| side == Side::In), tests),
        };
        Told {
            check: check::REACH_TCP.id,
            kind: CauseKind::HostFirewall,
            node: Some(node),
            detail,
            fix,
            most: Status::Fail,
        }
    }

    fn host_setting(&self, node: NodeId, setting: Setting, tests: &Tests) -> Told {
        let name = self.name(node);
        let (ports, count) = (said_ports(tests), self.count(tests));
        let peer = tests
            .destinations()
            .first()
            .map_or_else(String::new, ToString::to_string);
        let (most, check, detail, text, commands) = match setting {
            Setting::NoRoute => (
                Status::Fail,
                check::ABLE.id,
                format!("{name} has no route to {}: {count}", self.side(&tests.destinations())),
                "Add the route, or a default route, on this node.".to_owned(),
                vec![format!("ip route get {peer}"), "ip route show".to_owned()],
            ),
            Setting::AddressMissing => (
                Status::Fail,
                check::ABLE.id,
                format!("{node} is not an address of the host whose probe joined as {name}: {count} not made"),
                "Configure the address on the node, or correct the node's address in the cluster file.".to_owned(),
                vec!["ip -brief address".to_owned()],
            ),
            Setting::Privilege => (
                Status::NotMeasured,
                check::ABLE.id,
                format!("the probe on {name} may not listen on {ports}: {count} not made"),
                "Run the probe as root or with CAP_NET_BIND_SERVICE.".to_owned(),
                vec!["sysctl net.ipv4.ip_unprivileged_port_start".to_owned()],
            ),
            Setting::OpenFiles => (
                Status::NotMeasured,
                check::ABLE.id,
                format!("the limit on open files of the probe on {name} is too low for {ports}: {count} not made"),
                "Raise the limit on open files for the probe (systemd: LimitNOFILE=) to at least 8192.".to_owned(),
                vec!["ulimit -n 8192".to_owned()],
            ),
            Setting::Bind(errno) => (
                Status::NotMeasured,
                check::ABLE.id,
                format!("the probe on {name} could not listen on {ports} (errno {errno}): {count} not made"),
                "Look at what the kernel and its security modules say.".to_owned(),
                vec!["ausearch -m avc -ts recent".to_owned(), "dmesg | tail -n 50".to_owned()],
            ),
            Setting::Policy => (
                Status::NotMeasured,
                check::ABLE.id,
                format!("the local policy on {name} does not let the probe listen on {ports}: {count} not made"),
                "Widen the probe's policy file on this node, or leave these ports out.".to_owned(),
                Vec::new(),
            ),
            Setting::Exhausted(errno) => (
                Status::NotMeasured,
                check::ABLE.id,
                format!("the probe on {name} ran out of a resource while it asked (errno {errno}): {count} not made"),
                "Raise the limit on open files for the probe and look at the ephemeral port range.".to_owned(),
                vec!["ulimit -n".to_owned(), "sysctl net.ipv4.ip_local_port_range".to_owned()],
            ),
            Setting::Unanswered => (
                Status::Fail,
                check::REACH_TCP.id,
                format!(
                    "questions to {ports} from {} reach {name}, by its capture, its packet filter accepts them, and no \
                     answer leaves: {count}",
                    self.side(&tests.sources())
                ),
                "The kernel drops them after the capture: look at reverse path filtering, the connection tracking table and \
                 listen queues."
                    .to_owned(),
                vec![
                    "sysctl -a | grep -w rp_filter".to_owned(),
                    "nstat -az TcpExtListenDrops TcpExtListenOverflows IpReversePathFilter".to_owned(),
                    "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max".to_owned(),
                ],
            ),
        };
        Told {
            check,
            kind: CauseKind::HostSetting,
            node: Some(node),
            detail,
            fix: Fix { text, commands },
            most,
        }
    }

    fn port_taken(
        &self,
        node: NodeId,
        transport: Transport,
        process: Option<&str>,
        pid: Option<u32>,
        alone: Option<u16>,
        tests: &Tests,
    ) -> Told {
        let name = self.name(node);
        let ports = alone.map_or_else(|| tests.ports(transport), |port| PortSet::from_iter([port]));
        let holder = match (process, pid) {
            (Some(process), Some(pid)) => format!("{process} (pid {pid})"),
            (Some(process), None) => process.to_owned(),
            (None, Some(pid)) => format!("the process with pid {pid}"),
            (None, None) => "another process, which the probe may not see,".to_owned(),
        };
        let mut commands: Vec<String> = Vec::new();
        for range in ports.ranges() {
            let (first, last) = (range.first(), range.last());
            commands.push(if first == last {
                format!("ss -H -l -n -p --{} 'sport = :{first}'", transport.1)
            } else {
                format!(
                    "ss -H -l -n -p --{} 'sport >= :{first} and sport <= :{last}'",
                    transport.1
                )
            });
        }
        if let Some(pid) = pid {
            commands.push(format!("systemctl status {pid}"));
            commands.push(format!("kill {pid}"));
        }
        let said: Vec<String> = ports
            .ranges()
            .iter()
            .map(|range| format!("{range}/{}", transport.1))
            .collect();
        Told {
            check: check::PORTS_FREE.id,
            kind: CauseKind::PortTaken,
            node: Some(node),
            detail: format!(
                "{holder} holds {} on {name}, which the cluster needs: {} could not be made",
                said_list(&said, 8),
                self.count(tests)
            ),
            fix: Fix {
                text: "Stop and disable the service that the holder belongs to, or move it to another port, before the \
                       cluster is installed."
                    .to_owned(),
                commands,
            },
            most: Status::Fail,
        }
    }

    fn no_listener(&self, node: NodeId, tests: &Tests) -> Told {
        let ports = said_ports(tests);
        Told {
            check: check::LISTENER.id,
            kind: CauseKind::NoListener,
            node: Some(node),
            detail: format!(
                "nothing listens on {ports} of {}: {} refused",
                self.name(node),
                self.count(tests)
            ),
            fix: Fix {
                text: "Start the service that belongs there, or see why it listens on another address only."
                    .to_owned(),
                commands: vec!["ss -H -l -n -t -p".to_owned()],
            },
            most: Status::Fail,
        }
    }

    fn probe_lost(&self, node: NodeId, tests: &Tests) -> Told {
        let name = self.name(node);
        let count = self.count(tests);
        let log = self.ledger.node(node);
        let lost = log.and_then(|log| log.lost).map(|told| told.what);
        let late = if log.is_some_and(|log| log.late.is_some()) {
            "; it came back too late to be used"
        } else {
            ""
        };
        let what = match lost {
            Some((why, at_ms)) => {
                use crate::evidence::LostWhy;
                let how = match why {
                    LostWhy::StreamEnded => "its connection to the coordinator ended",
                    LostWhy::Silent => "it fell silent for longer than its lease",
                    LostWhy::Overdue => "it did not finish its work in time",
                };
                let seconds = at_ms / 1_000;
                format!("the probe on {name} was lost {seconds} s after the start: {how}{late}")
            }
            None => format!("the probe on {name} did not join"),
        };
        let coordinator = self.ledger.node(NodeId::Coordinator).and_then(|log| log.joined);
        let coordinator = coordinator.and_then(|joined| joined.what.addresses.first());
        let mut commands = vec![
            "pgrep -a plumbline".to_owned(),
            "journalctl --since -1h | grep -i plumbline".to_owned(),
        ];
        if let Some(address) = coordinator {
            commands.push(format!("ip route get {address}"));
        }
        Told {
            check: check::SWARM.id,
            kind: CauseKind::ProbeLost,
            node: Some(node),
            detail: format!("{what}; {count} not measured"),
            fix: Fix {
                text: "See whether the host is up and its probe runs and reaches the coordinator, then audit again; what other \
                       nodes measured stands."
                    .to_owned(),
                commands,
            },
            most: Status::NotMeasured,
        }
    }

    fn wrong_responder_on(&self, node: NodeId, tests: &Tests) -> Told {
        let ports = said_ports(tests);
        Told {
            check: check::REACH_TCP.id,
            kind: CauseKind::WrongResponder,
            node: Some(node),
            detail: format!(
                "something on {} other than its probe answers {ports} from {}: {}; connections reach the host and not the \
                 responder",
                self.name(node),
                self.side(&tests.sources()),
                self.count(tests)
            ),
            fix: Fix {
                text: "Look for a redirection (DNAT, REDIRECT, TPROXY) or a proxy in front of these ports."
                    .to_owned(),
                commands: vec![
                    "nft list ruleset".to_owned(),
                    "iptables-save -t nat".to_owned(),
                    "ss -H -l -n -t -p".to_owned(),
                ],
            },
            most: Status::Fail,
        }
    }

    fn exposure(&self, node: NodeId, tests: &Tests) -> Told {
        Told {
            check: check::EXPOSURE.id,
            kind: CauseKind::Exposure,
            node: Some(node),
            detail: format!(
                "{} of {} answers over the network and must not: {}",
                said_ports(tests),
                self.name(node),
                self.count(tests)
            ),
            fix: Fix {
                text: "Bind the service to loopback, or close the port in the packet filter.".to_owned(),
                commands: vec!["ss -H -l -n -t -p".to_owned()],
            },
            most: Status::Fail,
        }
    }

    fn unmeasured(&self, why: Why, node: Option<NodeId>, tests: &Tests) -> Told {
        let count = self.count(tests);
        let name = node.map_or_else(String::new, |node| self.name(node));
        let refusal = node
            .and_then(|node| self.ledger.node(node))
            .and_then(|log| log.refused);
        let (detail, text) = match why {
            Why::Policy => (
                match refusal {
                    Some(told) => format!(
                        "the probe on {name} refused the work ({}): {count} not made",
                        told.what
                    ),
                    None => format!("the local policy on {name} refuses the targets: {count} not made"),
                },
                "Widen the probe's policy file on this node, or leave these tests out.",
            ),
            Why::LiveNode => (
                format!("{name} is live, its ports are not disturbed: {count} not made"),
                "Nothing to mend; what a live node serves is judged by its services.",
            ),
            Why::Interrupted => (
                format!("the run was interrupted: {count} not made"),
                "Audit again and let it end.",
            ),
            Why::Unsupported => (
                format!("this build cannot make them: {count} not made"),
                "Use a build that can, or leave the group out.",
            ),
            Why::Unreported => (
                format!("the probe on {name} did not report them: {count} without an outcome"),
                "Audit again; if it happens again, send the evidence to the makers.",
            ),
            Why::SourceLost | Why::DestinationLost | Why::NotArmed => (
                format!("{name} was not on the roster or stopped early: {count} not made"),
                "Audit again.",
            ),
        };
        Told {
            check: check::REACH_TCP.id,
            kind: CauseKind::Unmeasured,
            node,
            detail,
            fix: Fix {
                text: text.to_owned(),
                commands: Vec::new(),
            },
            most: Status::NotMeasured,
        }
    }

    fn between(&self, between: &Between, tests: &Tests, scene: &Scene) -> Told {
        let ports = said_ports(tests);
        let count = self.count(tests);
        let [from, to] = [self.side(&scene.sides[0]), self.side(&scene.sides[1])];
        let way = if scene.both_ways {
            format!("between {from} and {to}")
        } else {
            format!("from {from} to {to}")
        };
        let what = if scene.is_whole {
            format!("nothing passes {way} (asked: {ports})")
        } else {
            format!("{ports} {way}")
        };
        let unplaced = "no capture could tell whether a host or the path is to blame, and no packet filter that could be \
                        read stops it";
        let (most, detail) = match between.kind {
            CauseKind::PathReject => (
                Status::Fail,
                format!("{what} is rejected on the way by {}: {count}", between.by),
            ),
            CauseKind::ReturnPathFilter => (
                Status::Fail,
                format!(
                    "{ports} {way}: questions arrive and answers leave, but are lost on their way back: {count}"
                ),
            ),
            CauseKind::WrongResponder => (
                Status::Fail,
                format!(
                    "something other than the peer answers {ports} {way}: {count}; the peers' responders heard nothing of it"
                ),
            ),
            CauseKind::NotAdjacent => (
                Status::Fail,
                format!("link addresses do not resolve {way}: {count}, though the peers' probes are up"),
            ),
            CauseKind::LossyPath => (
                Status::Warn,
                format!("some attempts at {ports} {way} were answered and some were not: {count}"),
            ),
            _ if between.is_placed && scene.is_whole => (
                Status::Fail,
                format!("{what}: {count}; questions leave their hosts and do not arrive"),
            ),
            _ if between.is_placed => (
                Status::Fail,
                format!(
                    "{what} is dropped on the way: {count}; questions leave their hosts and do not arrive"
                ),
            ),
            _ => (
                Status::Fail,
                format!("{what}: {count} without an answer; {unplaced}"),
            ),
        };
        Told {
            check: check::REACH_TCP.id,
            kind: between.kind,
            node: None,
            detail,
            fix: self.ask_the_network_team(between.kind, tests, scene, &way),
            most,
        }
    }

    fn ask_the_network_team(&self, kind: CauseKind, tests: &Tests, scene: &Scene, way: &str) -> Fix {
        let ports = said_ports(tests);
        let text = match kind {
            CauseKind::LossyPath => format!(
                "Look for errors on links, switch ports and bonds {way} (ethtool -S, switch counters), then audit again."
            ),
            CauseKind::NotAdjacent => format!(
                "Look at VLANs, switch ports and port isolation {way}: ARP or neighbour discovery gets no answer."
            ),
            CauseKind::WrongResponder => format!(
                "Ask the network team for proxies, translations and duplicate addresses {way} that answer {ports}."
            ),
            CauseKind::ReturnPathFilter => format!(
                "Ask the network team which filter or asymmetric route loses the answers to {ports} {way}."
            ),
            _ => format!("Ask the network team to allow {ports} {way}; the addresses are in cause.between."),
        };
        let sample = tests.by_pair.iter().next();
        let retest = sample.and_then(|((src, dst, _), ports)| {
            let port = ports.ranges().first()?.first();
            Some(match src {
                NodeId::Coordinator => format!("nc -vz -w 3 {dst} {port}"),
                NodeId::Address(address) => format!("ssh {address} nc -vz -w 3 {dst} {port}"),
            })
        });
        let mut nodes: Vec<String> = scene.sides.iter().flatten().map(ToString::to_string).collect();
        nodes.sort();
        nodes.dedup();
        let again = if nodes.len() <= MAX_NODES_IN_COMMAND {
            format!(
                "plumbline check {} --only reach --nodes {}",
                self.cluster_file,
                nodes.join(",")
            )
        } else {
            format!("plumbline check {} --only reach", self.cluster_file)
        };
        Fix {
            text,
            commands: retest.into_iter().chain([again]).collect(),
        }
    }

    /// `10.0.0.3 (lb-1)`.
    fn name(&self, node: NodeId) -> String {
        let facts = self.ledger.node(node).and_then(|log| log.facts);
        match facts.map(|told| told.what.hostname.as_str()) {
            Some(hostname) if !hostname.is_empty() => format!("{node} ({hostname})"),
            _ => node.to_string(),
        }
    }

    /// Nodes as a person says them: a whole subnet by its prefix, everybody as everybody, else by name.
    fn side(&self, nodes: &[NodeId]) -> String {
        let first_subnet = nodes.first().and_then(|node| self.subnets.get(*node));
        if nodes.len() > 1 && nodes.len() == self.plan.participants.len() {
            return "every participant".to_owned();
        }
        if nodes.len() > 1
            && let Some(subnet) = first_subnet
            && self.subnets.nodes_in(subnet).eq(nodes.iter().copied())
        {
            return format!("{subnet}");
        }
        let names: Vec<String> = nodes.iter().map(|node| self.name(*node)).collect();
        said_list(&names, MAX_SAID_NODES)
    }

    fn count(&self, tests: &Tests) -> String {
        let total = tests.total();
        let pairs = tests.by_pair.len();
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let pair_count = u64::try_from(pairs).unwrap_or(u64::MAX);
        format!(
            "{total} test{} over {pairs} pair{}",
            plural(total),
            plural(pair_count)
        )
    }

    fn unread(&self, node: NodeId) -> String {
        let Some(log) = self.ledger.node(node) else {
            return "its packet filter is not known".to_owned();
        };
        let reason = log.facts.and_then(|told| told.what.ruleset_unread.as_deref());
        match (log.ruleset, reason) {
            (Some(_), _) => "its packet filter was read and no single rule could be named".to_owned(),
            (None, Some(reason)) => format!("its packet filter could not be read ({reason})"),
            (None, None) => "its packet filter was not read".to_owned(),
        }
    }

    fn is_live(&self, node: NodeId) -> bool {
        let facts = self.ledger.node(node).and_then(|log| log.facts);
        facts.is_some_and(|told| told.what.life == Life::Live)
    }

    /// The data interface, if firewalld runs there.
    fn firewalld_interface(&self, node: NodeId) -> Option<&str> {
        let facts = self.ledger.node(node)?.facts?.what;
        let address = node.address()?.to_string();
        let has = |with_length: &String| with_length.split('/').next() == Some(address.as_str());
        let own = facts
            .interfaces
            .iter()
            .find(|interface| interface.addresses.iter().any(has))?;
        facts.firewalld.then_some(own.name.as_str())
    }
}

/// The failing tests one by one: if they are too many, the same number from each pair.
fn affects(tests: &Tests) -> Vec<Affect> {
    let within = |quota: usize| -> usize {
        tests
            .by_pair
            .values()
            .map(|ports| usize::try_from(ports.count()).map_or(quota, |count| count.min(quota)))
            .sum()
    };
    let (mut low, mut high) = (1, usize::from(u16::MAX));
    while low < high {
        let middle = usize::midpoint(low, high + 1);
        if within(middle) <= MAX_AFFECTS {
            low = middle
        } else {
            high = middle - 1
        }
    }
    let all = tests
        .by_pair
        .iter()
        .flat_map(|((src, dst, (family, protocol)), ports)| {
            let affect = |port| Affect {
                src: *src,
                dst: *dst,
                family: *family,
                protocol: *protocol,
                port,
            };
            ports.iter().take(low).map(affect)
        });
    all.take(MAX_AFFECTS).collect()
}

/// Lines that show it: if they are too many, every n-th.
fn evidence(tests: &Tests) -> Vec<u32> {
    let step = tests.lines.len().div_ceil(MAX_EVIDENCE).max(1);
    tests.lines.iter().copied().step_by(step).collect()
}

/// More nodes than this in one sentence are not read by anybody; cause.between has them all.
const MAX_SAID_NODES: usize = 6;
/// More nodes than this make a command line nobody types.
const MAX_NODES_IN_COMMAND: usize = 20;
