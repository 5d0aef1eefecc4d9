//! Links made by hand: A, B and C on one subnet with a gateway, D on another. Everybody answers and is heard, apart from what a
//! test says.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    cause::CauseKind,
    errand,
    evidence::{Group, SwarmKind},
    id::{NodeId, Role},
    observation::{
        Advert, Asked, HostSettings, LinkSeen, Overheard, Record, RouteEntry, RouteHop, Signal, Speaker,
        Speech, Subject, Undone, UndoneWhy,
    },
    report::{
        CheckRow, Finding, Report, Status, Verdict,
        stage::{Stage, node},
    },
};

mod apart;
mod duplicate;
mod others;
mod ssh;

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";
const C: &str = "10.0.0.3";
const D: &str = "10.0.1.1";
/// On the subnet of the first three, where a test says so.
const E: &str = "10.0.0.4";
const F: &str = "10.0.0.5";
const NODES: [&str; 4] = [A, B, C, D];
const GATEWAY: &str = "10.0.0.254";
const OF_GATEWAY: &str = "02:00:00:00:00:fe";
const STRANGE: &str = "02:00:00:00:99:99";
const VIP: &str = "10.0.0.100";

/// A node's link address.
fn mac(of: &str) -> String {
    let octets: Vec<u8> = of.split('.').filter_map(|octet| octet.parse().ok()).collect();
    format!("02:00:00:00:{:02x}:{:02x}", octets[2], octets[3])
}

fn same_subnet(one: &str, other: &str) -> bool {
    one.rsplit_once('.').unwrap().0 == other.rsplit_once('.').unwrap().0
}

/// What nodes saw of each other.
#[derive(Default)]
struct World {
    /// Nodes beside the four.
    more: Vec<&'static str>,
    /// Who does not ask for whom, as it is in large clusters.
    unasked: BTreeSet<(&'static str, &'static str)>,
    balancers: BTreeSet<&'static str>,
    /// Who answers a node for an address, where that is not its owner alone.
    answers: BTreeMap<(&'static str, &'static str), Vec<String>>,
    /// Who does not hear whom.
    deaf: BTreeSet<(&'static str, &'static str)>,
    unfinished: BTreeSet<&'static str>,
    undone: BTreeMap<&'static str, UndoneWhy>,
    adverts: BTreeMap<&'static str, Vec<Advert>>,
    /// Whose link address is another's.
    macs: BTreeMap<&'static str, String>,
}

impl World {
    fn new() -> Self {
        Self {
            balancers: BTreeSet::from([A, B]),
            ..Self::default()
        }
    }

    fn nodes(&self) -> impl Iterator<Item = &'static str> + '_ {
        NODES.into_iter().chain(self.more.iter().copied())
    }

    fn mac(&self, of: &str) -> String {
        self.macs.get(of).cloned().unwrap_or_else(|| mac(of))
    }

    fn answers(mut self, asker: &'static str, address: &'static str, macs: &[&str]) -> Self {
        let macs = macs.iter().map(|mac| (*mac).to_owned()).collect();
        self.answers.insert((asker, address), macs);
        self
    }

    fn deaf(mut self, listener: &'static str, speaker: &'static str) -> Self {
        self.deaf.insert((listener, speaker));
        self
    }

    /// Neither of the two hears or answers the other.
    fn apart(self, one: &'static str, other: &'static str) -> Self {
        self.answers(one, other, &[])
            .answers(other, one, &[])
            .deaf(one, other)
            .deaf(other, one)
    }

    fn asked(&self, by: &'static str, address: &'static str, subject: Subject) -> Asked {
        let usual = match subject {
            Subject::Peer { .. } => vec![self.mac(address)],
            Subject::Gateway => vec![OF_GATEWAY.to_owned()],
            Subject::Own | Subject::Spare => Vec::new(),
        };
        let macs = self.answers.get(&(by, address)).cloned().unwrap_or(usual);
        Asked {
            address: address.parse().unwrap(),
            subject,
            sent: if macs.is_empty() { 3 } else { 1 },
            not_on_link: !same_subnet(by, address),
            macs,
        }
    }

    fn seen(&self, by: &'static str) -> LinkSeen {
        let mut asked = vec![self.asked(by, by, Subject::Own)];
        if same_subnet(by, GATEWAY) {
            asked.push(self.asked(by, GATEWAY, Subject::Gateway));
        }
        let is_asked = |peer: &&'static str| *peer != by && !self.unasked.contains(&(by, *peer));
        for peer in self.nodes().filter(is_asked) {
            asked.push(self.asked(by, peer, Subject::Peer { node: node(peer) }));
        }
        if self.balancers.contains(by) {
            asked.push(self.asked(by, VIP, Subject::Spare));
        }
        LinkSeen {
            interface: "eth0".to_owned(),
            mac: self.mac(by),
            broadcasts: 4,
            unfinished: self.unfinished.contains(by),
            asked,
        }
    }

    fn overheard(&self, by: &'static str) -> Overheard {
        let heard = |speaker: &&'static str| {
            *speaker != by && same_subnet(by, speaker) && !self.deaf.contains(&(by, *speaker))
        };
        let speakers = self.nodes().filter(heard).map(|speaker| Speaker {
            mac: self.mac(speaker),
            address: Some(speaker.parse().unwrap()),
            what: Speech::Request,
            count: 4,
        });
        Overheard {
            interface: "eth0".to_owned(),
            speakers: speakers.collect(),
            adverts: self.adverts.get(by).cloned().unwrap_or_default(),
            cut: false,
            lossy: false,
        }
    }

    fn stage(&self) -> Stage {
        let balancers = self.balancers.clone();
        let mut nodes: Vec<&'static str> = self.nodes().collect();
        nodes.sort_unstable();
        let mut stage = Stage::of(&nodes)
            .rule("node.health", "4240", &nodes, &nodes)
            .with_inventory(|inventory| {
                inventory.control_plane_vip = VIP.parse().ok();
                for node in &mut inventory.nodes {
                    let address = node.id.to_string();
                    if balancers.contains(address.as_str()) {
                        node.roles.insert(Role::LoadBalancer);
                    }
                }
            });
        stage.parameters.groups = vec![Group::Reach, Group::L2];
        for of in nodes {
            let mac = self.mac(of);
            stage = stage.knows(of, move |facts| {
                facts.interfaces[0].mac.clone_from(&mac);
                if same_subnet(of, GATEWAY) {
                    facts.gateways.push(GATEWAY.parse().unwrap());
                }
            });
            if let Some(why) = self.undone.get(of) {
                for errand in [errand::Kind::Link, errand::Kind::Listen] {
                    let why = why.clone();
                    stage = stage.tells(of, Record::Undone(Undone { errand, why }));
                }
            } else {
                stage = stage.tells(of, Record::Link(self.seen(of)));
                stage = stage.tells(of, Record::Overheard(self.overheard(of)));
            }
        }
        stage
    }

    fn report(&self) -> Report {
        self.stage().report()
    }
}

fn rows<'a>(report: &'a Report, id: &str) -> Vec<&'a CheckRow> {
    report.checks.iter().filter(|row| row.id == id).collect()
}

fn statuses(report: &Report, id: &str) -> Vec<Status> {
    rows(report, id).iter().map(|row| row.status).collect()
}

#[track_caller]
fn only(report: &Report) -> &Finding {
    match &report.findings[..] {
        [finding] => finding,
        findings => panic!("not one finding: {findings:#?}"),
    }
}

fn sides(finding: &Finding) -> Option<[Vec<NodeId>; 2]> {
    finding.cause.between.clone()
}

fn nodes(all: &[&str]) -> Vec<NodeId> {
    all.iter().map(|text| node(text)).collect()
}

#[test]
fn a_link_without_fault_has_no_finding() {
    let report = World::new().report();
    assert_eq!(report.findings, []);
    assert_eq!(report.verdict, Verdict::Passed);
}

#[test]
fn a_probe_without_the_capability_passes_nothing_and_is_one_finding() {
    let mut world = World::new();
    let name = "CAP_NET_RAW".to_owned();
    world.undone.insert(A, UndoneWhy::Capability { name });
    let report = world.report();
    let finding = only(&report);
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::Unmeasured, Some(node(A)))
    );
    assert!(
        finding.cause.detail.contains("CAP_NET_RAW"),
        "{}",
        finding.cause.detail
    );
    assert_eq!(report.verdict, Verdict::Incomplete);
    let of_a = |row: &&&CheckRow| row.subject.starts_with(A);
    let own = rows(&report, "L2-005");
    assert_eq!(
        own.iter().find(of_a).map(|row| row.status),
        Some(Status::NotMeasured)
    );
    assert_eq!(own.len(), 4, "and every node has a row: {own:?}");
}

#[test]
fn what_several_checks_lack_for_one_reason_is_one_finding() {
    let mut world = World::new();
    let reason = "failed to open a socket".to_owned();
    world.undone.insert(A, UndoneWhy::Failed { reason });
    let report = world.report();
    assert!(only(&report).cause.detail.contains("failed to open a socket"));
}
