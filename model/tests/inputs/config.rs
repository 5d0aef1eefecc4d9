//! The checks over the file (group config): clean files pass, each planted mistake is one finding with its line, and a dozen of
//! them are a dozen.

use plumbline_model::{
    evidence::{ANALYSIS_VERSION, Entry, Group, Parameters, Payload, RunRecord, SwarmKind},
    id::NodeId,
    input::{self, InputText, Purpose},
    observation::{HostFacts, Interface, Record},
    profile,
    report::{self, Finding, Report, Status, Verdict, check},
    source::SourceText,
};
use proptest::prelude::*;
use serde_json::json;

use crate::{ADMIN, HYBRID, STANDALONE, USER, parameters};

const RUN: &str = "0011223344556677";

/// BGP across two racks, with a gateway group.
const BGP: &str = include_str!("../clusters/clean-bgp-1.32.yaml");
/// Twelve mistakes, no two of one cause.
const DOZEN: &str = include_str!("../clusters/dozen-mistakes.yaml");

/// The user cluster with a proxy that leaves nobody out.
fn user() -> String {
    USER.replacen(
        "noProxy: 10.200.0.0/16",
        "noProxy: 10.200.0.0/16,10.210.0.0/16",
        1,
    )
}

#[test]
fn the_samples_have_no_finding_but_what_is_true_of_them() {
    let told = |text: &str| found(&checked(text));
    // Its workers are in 10.210.0.0/16.
    assert_eq!(told(USER), [("CFG-020".to_owned(), Status::Warn, 63)]);
    assert_eq!(told(&user()), []);
    assert_eq!(told(HYBRID), []);
    // One control plane node.
    assert_eq!(told(ADMIN), [("CFG-011".to_owned(), Status::Warn, 27)]);
    assert_eq!(told(STANDALONE), []);
    assert_eq!(told(BGP), []);
}

#[test]
fn a_clean_file_passes_every_check_that_is_about_it_and_says_what_it_found() {
    let report = checked(HYBRID);
    assert_eq!(report.verdict, Verdict::Passed);
    let rows: Vec<(&str, Status)> = report
        .checks
        .iter()
        .filter(|row| row.id.starts_with("CFG-"))
        .map(|row| (row.id.as_str(), row.status))
        .collect();
    // Neither BGP, nor dual stack, nor a proxy.
    let expected = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 21];
    let expected: Vec<String> = expected.iter().map(|number| format!("CFG-{number:03}")).collect();
    let ids: Vec<&str> = rows.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, expected);
    // No probe told the subnet.
    let not_passed: Vec<_> = rows
        .iter()
        .filter(|(_, status)| *status != Status::Pass)
        .collect();
    assert_eq!(not_passed, [&("CFG-014", Status::NotMeasured)]);
}

#[test]
fn the_pod_table_is_told_with_its_headroom() {
    let detail = |text: &str| {
        let report = checked(text);
        let row = report
            .checks
            .iter()
            .find(|row| row.id == check::CFG_POD_CAPACITY.id);
        row.unwrap().detail.clone()
    };
    let nodes: String = (1..=35)
        .map(|host| format!("  - address: 10.201.1.{host}\n"))
        .collect();
    let forty = HYBRID.replacen("  - address: 10.200.0.5\n  - address: 10.200.0.6\n", &nodes, 1)
        + "  - address: 10.201.2.1\n  - address: 10.201.2.2\n";
    assert_eq!(
        detail(&forty),
        "250 pods a node take a /23 of each node: 128 nodes in a /16; 40 of 128 used, room for 88"
    );
    for (pods, mask, capacity) in [
        (32, 26, 1024),
        (33, 25, 512),
        (64, 25, 512),
        (65, 24, 256),
        (128, 24, 256),
        (129, 23, 128),
    ] {
        let text = HYBRID.replacen("maxPodsPerNode: 250", &format!("maxPodsPerNode: {pods}"), 1);
        let expected = format!(
            "{pods} pods a node take a /{mask} of each node: {capacity} nodes in a /16; 5 of {capacity} used, room for {}",
            capacity - 5
        );
        assert_eq!(detail(&text), expected);
    }
    // Without the field it is 110; ranges add up.
    let two = HYBRID
        .replacen("      maxPodsPerNode: 250\n", "      {}\n", 1)
        .replacen(
            "- 192.168.0.0/16\n",
            "- 192.168.0.0/17\n      - 172.16.0.0/18\n",
            1,
        );
    assert_eq!(
        detail(&two),
        "110 pods a node take a /24 of each node: 192 nodes in a /17 and a /18; 5 of 192 used, room for 187"
    );
    assert_eq!(
        detail(STANDALONE),
        "blocks of /24 for each node: 256 nodes in a /16; 3 of 256 used, room for 253"
    );
}

/// A mistake planted in a clean file: what is replaced by what, and the finding: check, status, and what its line has.
struct Planted {
    clean: &'static str,
    from: &'static str,
    to: &'static str,
    check: &'static str,
    status: Status,
    line: &'static str,
    message: &'static str,
}

#[test]
fn a_planted_mistake_is_one_finding_with_its_line_and_a_remedy() {
    let mut failures = Vec::new();
    for planted in PLANTED {
        let clean = match planted.clean {
            "user" => user(),
            "hybrid" => HYBRID.to_owned(),
            "admin" => ADMIN.to_owned(),
            "standalone" => STANDALONE.to_owned(),
            _ => BGP.to_owned(),
        };
        assert!(clean.contains(planted.from), "{:?} is not there", planted.from);
        let text = clean.replacen(planted.from, planted.to, 1);
        let report = checked(&text);
        let before = checked(&clean);
        let new: Vec<&Finding> = report
            .findings
            .iter()
            .filter(|finding| {
                !before
                    .findings
                    .iter()
                    .any(|known| known.check == finding.check && known.cause.detail == finding.cause.detail)
            })
            .collect();
        let line = text
            .lines()
            .position(|line| line.contains(planted.line))
            .map_or(0, |index| index + 1);
        let is_right = matches!(&new[..], [only] if only.check == planted.check
            && only.status == planted.status
            && only.places[0].line as usize == line
            && only.cause.detail.contains(planted.message)
            && !only.fix.text.is_empty());
        let row = report
            .checks
            .iter()
            .find(|row| row.id == planted.check && row.subject == "cluster.yaml");
        let is_row_right = planted.check == "CFG-002" || row.is_some_and(|row| row.status == planted.status);
        if !is_right || !is_row_right {
            let told: Vec<String> = new
                .iter()
                .map(|finding| format!("{} {:?} {}", finding.check, finding.status, finding.cause.detail))
                .collect();
            failures.push(format!(
                "{:?}: expected {} {:?} in line {line} with {:?}, told\n    {}\n  row {row:?}",
                planted.to,
                planted.check,
                planted.status,
                planted.message,
                told.join("\n    ")
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_check_over_the_file_has_a_planted_mistake() {
    for check in check::all().iter().filter(|check| check.id.starts_with("CFG-")) {
        assert!(
            PLANTED.iter().any(|planted| planted.check == check.id),
            "{}",
            check.id
        );
    }
    assert!(
        check::all()
            .windows(2)
            .all(|pair| pair[0].id < pair[1].id || pair[0].id[..3] != pair[1].id[..3])
    );
}

#[test]
fn a_dozen_different_mistakes_are_a_dozen_findings() {
    let report = checked(DOZEN);
    let marked: Vec<(String, u32)> = (1..)
        .zip(DOZEN.lines())
        .filter_map(|(line, text)| Some((format!("CFG-{}", text.split_once("# wrong: ")?.1), line)))
        .collect();
    assert_eq!(marked.len(), 12);
    let mut told: Vec<(String, u32)> = report
        .findings
        .iter()
        .map(|finding| (finding.check.clone(), finding.places[0].line))
        .collect();
    told.sort_by_key(|(_, line)| *line);
    assert_eq!(told, marked);
    assert_eq!(report.verdict, Verdict::Failed);
}

#[test]
fn what_cannot_be_read_hides_no_other_mistake_and_brings_none() {
    let unread = DOZEN.replacen(
        "anthosBareMetalVersion: 1.29.400-gke.1",
        "anthosBareMetalVersion: 1.20.0",
        1,
    );
    let refused = plumbline_model::cluster::read(&SourceText {
        name: "c".to_owned(),
        text: unread,
    })
    .unwrap_err();
    // The version decides about separated load balancers, and only about those.
    let with = |check: Option<&str>| refused.0.iter().filter(|told| told.check == check).count();
    assert_eq!(with(None), 1, "{refused}");
    assert_eq!(with(Some("CFG-016")), 0, "{refused}");
    assert_eq!(with(Some("CFG-012")), 1, "{refused}");
    // Fields whose absence would be a finding are not missed where something was left unread.
    for (from, to) in [
        ("advancedNetworking: true", "advancedNetworkin: true"),
        ("  floatingIPs:", "  floatingIP:"),
        ("ingressVIP:", "ingresVIP:"),
        ("- address: 10.31.0.12", "- adress: 10.31.0.12"),
        ("  - 10.31.0.40-10.31.0.60", "  - 10.31.0.40-10.31.0"),
        ("localASN: 65001", "localASN: none"),
    ] {
        assert!(BGP.contains(from), "{from}");
        let text = BGP.replacen(from, to, 1);
        let refused = plumbline_model::cluster::read(&SourceText {
            name: "c".to_owned(),
            text,
        })
        .unwrap_err();
        assert!(
            refused.0.iter().all(|told| told.check.is_none()),
            "{to}: {refused}"
        );
    }
}

#[test]
fn the_real_subnet_decides_where_probes_tell_it() {
    let told = |length: u8, vip: &str| {
        let text = HYBRID.replacen(
            "controlPlaneVIP: 10.200.0.48",
            &format!("controlPlaneVIP: {vip}"),
            1,
        );
        let nodes = ["10.200.0.2", "10.200.0.3", "10.200.0.4"];
        let report = probed(&text, &nodes.map(|node| (node, format!("{node}/{length}"))));
        let finding = report
            .findings
            .iter()
            .find(|finding| finding.check == check::CFG_SAME_SUBNET.id);
        finding.map(|finding| (finding.status, finding.cause.detail.clone()))
    };
    assert_eq!(told(24, "10.200.0.48"), None);
    assert_eq!(told(22, "10.200.1.48"), None);
    let (status, detail) = told(24, "10.200.1.48").unwrap();
    assert_eq!(status, Status::Fail);
    assert!(
        detail.contains("controlPlaneVIP 10.200.1.48 is outside 10.200.0.0/24")
            && !detail.contains("assumed"),
        "{detail}"
    );
    let (status, detail) = told(27, "10.200.0.3").unwrap();
    // The VIP is told of as a node's address, so that the pool alone is outside.
    assert!(
        status == Status::Fail && detail.contains("the pool range") && !detail.contains("VIP"),
        "{detail}"
    );
}

#[test]
fn load_balancers_in_two_subnets_are_told_once() {
    let nodes = ["10.200.0.2", "10.200.0.3", "10.200.0.4"];
    let text = HYBRID.replacen("- address: 10.200.0.4", "- address: 10.200.9.4", 1);
    let report = checked(&text);
    let told = found(&report);
    assert_eq!(told, [("CFG-014".to_owned(), Status::Warn, 32)]);
    assert!(
        report.findings[0]
            .cause
            .detail
            .contains("2 subnets: 10.200.0.0/24 (10.200.0.2 and 1 more), 10.200.9.0/24 (10.200.9.4)"),
        "{:?}",
        report.findings
    );
    let report = probed(HYBRID, &nodes.map(|node| (node, format!("{node}/30"))));
    assert!(report.findings.iter().any(|finding| finding.check == "CFG-014"));
}

#[test]
fn a_cluster_and_its_admin_cluster_share_no_address() {
    let told = |cluster: &str| {
        let text = |purpose, name: &str, text: &str| {
            InputText::new(
                purpose,
                SourceText {
                    name: name.to_owned(),
                    text: text.to_owned(),
                },
            )
        };
        let texts = [
            text(Purpose::Cluster, "cluster.yaml", cluster),
            text(Purpose::AdminCluster, "admin.yaml", ADMIN),
        ];
        let understood = input::read(&texts, &[]).unwrap_or_else(|refused| panic!("{refused}"));
        let told: Vec<String> = understood
            .findings
            .iter()
            .map(|finding| {
                format!(
                    "{} {}: {}",
                    finding.check.unwrap_or_default(),
                    finding.line,
                    finding.message
                )
            })
            .collect();
        told.into_iter()
            .filter(|told| told.contains("admin cluster"))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(USER), Vec::<String>::new());
    let pods = USER.replacen("- 192.168.0.0/16", "- 10.200.0.0/17", 1);
    assert_eq!(
        told(&pods),
        [
            "CFG-009 37: the pod range 10.200.0.0/17 contains the node 10.200.0.3 and the control plane VIP 10.200.0.98 of the admin cluster `abm-admin`"
        ]
    );
    let node = USER.replacen("- address: 10.210.1.11", "- address: 192.168.7.7", 1);
    assert_eq!(
        told(&node),
        [
            "CFG-009 89: the node 192.168.7.7 is inside the pod range 192.168.0.0/16 of the admin cluster `abm-admin`"
        ]
    );
    let vip = USER.replacen("controlPlaneVIP: 10.200.0.49", "controlPlaneVIP: 10.200.0.98", 1);
    assert_eq!(
        told(&vip),
        ["CFG-006 47: controlPlaneVIP 10.200.0.98 is the control plane VIP of the admin cluster `abm-admin`"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_becomes_of_a_file_its_findings_stand_in_it(
        which in 0..4_usize,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3_u8), 1..6),
    ) {
        let clean = [USER, HYBRID, STANDALONE, BGP][which];
        let mut lines: Vec<&str> = clean.lines().collect();
        for (one, other, what) in edits {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            match what {
                0 => lines.swap(one, other),
                1 => lines[one] = lines[other],
                _ => { lines.remove(one); }
            }
        }
        let source = SourceText { name: "c".to_owned(), text: lines.join("\n") };
        let told = match plumbline_model::cluster::read(&source) {
            Ok(read) => read.findings,
            Err(refused) => refused.0,
        };
        for complaint in &told {
            prop_assert!(complaint.line as usize <= lines.len().max(1), "{}", complaint);
            prop_assert!(complaint.check.is_none() || complaint.help.is_some(), "{}", complaint);
        }
    }

    #[test]
    fn addresses_at_random_make_no_check_panic(hosts in proptest::collection::vec(any::<u32>(), 12), lengths in proptest::collection::vec(0..=32_u8, 3)) {
        let mut text = BGP.to_owned();
        let addresses = ["10.30.0.11", "10.31.0.11", "10.31.0.12", "10.99.0.8", "10.31.0.40-", "-10.31.0.60", "10.30.0.1\n", "10.31.0.1\n", "10.30.0.200", "10.31.0.200"];
        for (address, host) in addresses.iter().zip(&hosts) {
            let own = std::net::Ipv4Addr::from(*host).to_string();
            let number = address.trim_matches(|c: char| !c.is_ascii_digit());
            text = text.replacen(address, &address.replace(number, &own), 1);
        }
        let net = |host: u32, length: u8| format!("- {}/{length}\n", std::net::Ipv4Addr::from(host));
        text = text
            .replacen("- 192.168.0.0/16\n", &net(hosts[10], lengths[0]), 1)
            .replacen("- 10.96.0.0/20\n", &net(hosts[11], lengths[1]), 1);
        let source = SourceText { name: "c".to_owned(), text };
        if let Err(refused) = plumbline_model::cluster::read(&source) {
            prop_assert!(!refused.0.is_empty());
        }
    }
}

/// Check, status and line of every finding, by line.
fn found(report: &Report) -> Vec<(String, Status, u32)> {
    let mut told: Vec<(String, Status, u32)> = report
        .findings
        .iter()
        .map(|finding| (finding.check.clone(), finding.status, finding.places[0].line))
        .collect();
    told.sort_by(|one, other| (one.2, &one.0).cmp(&(other.2, &other.0)));
    told
}

/// The report of the checks over the file alone.
fn checked(text: &str) -> Report {
    judged(text, SwarmKind::None, vec![Group::Config], Vec::new())
}

/// The report of a run in which probes told the addresses of their interfaces, and nothing else.
fn probed(text: &str, interfaces: &[(&str, String)]) -> Report {
    let batches = interfaces.iter().map(|(node, address)| {
        let facts = HostFacts {
            interfaces: vec![Interface {
                name: "eth0".to_owned(),
                mac: String::new(),
                mtu: 1500,
                up: true,
                addresses: vec![address.clone()],
            }],
            ..HostFacts::default()
        };
        let node: NodeId = node.parse().expect("an address");
        let records = vec![Record::Facts(Box::new(facts))];
        serde_json::from_value(json!({
            "type": "batch", "run": RUN, "node": node, "seq": 1, "previous": "", "roster_sha256": "",
            "assignment": 1, "closed_unix_ms": 1_700_000_000_001_u64, "records": records,
        }))
        .expect("a batch")
    });
    judged(
        text,
        SwarmKind::Joined,
        vec![Group::Config, Group::Access],
        batches.collect(),
    )
}

fn judged(text: &str, swarm: SwarmKind, groups: Vec<Group>, batches: Vec<Payload>) -> Report {
    let source = SourceText {
        name: "cluster.yaml".to_owned(),
        text: text.to_owned(),
    };
    let run = RunRecord {
        run: RUN.parse().expect("sixteen digits"),
        analysis: ANALYSIS_VERSION,
        coordinator_version: "0.1.0".to_owned(),
        started_unix_ms: 1_700_000_000_000,
        inputs: vec![InputText::new(Purpose::Cluster, source)],
        profiles: vec![profile::builtin("gdc-bare-metal").expect("a name of BUILTIN")],
        parameters: Parameters {
            swarm,
            groups,
            ..parameters()
        },
    };
    let payloads = std::iter::once(Payload::Run(Box::new(run))).chain(batches);
    let entries: Vec<Entry> = (1..)
        .zip(payloads)
        .map(|(line, payload)| Entry { line, payload })
        .collect();
    report::report(&entries).unwrap_or_else(|error| {
        panic!(
            "{error}: {:?}",
            std::error::Error::source(&error).map(ToString::to_string)
        )
    })
}

const PLANTED: &[Planted] = &[
    Planted {
        clean: "user",
        from: "clusterName: user-l2",
        to: "clusterName: other",
        check: "CFG-001",
        status: Status::Fail,
        line: "clusterName: other",
        message: "unknown cluster `other`",
    },
    Planted {
        clean: "user",
        from: "1.29.1100-gke.84",
        to: "1.99.0",
        check: "CFG-002",
        status: Status::Warn,
        line: "1.99.0",
        message: "newer than the newest port tables",
    },
    Planted {
        clean: "user",
        from: "  clusterName: user-l2\n",
        to: "  clusterName: user-l2\n  anthosBareMetalVersion: 1.15.0\n",
        check: "CFG-002",
        status: Status::Fail,
        line: "1.15.0",
        message: "3 minor versions older",
    },
    Planted {
        clean: "user",
        from: "      ingressVIP: 10.200.0.50\n",
        to: "",
        check: "CFG-003",
        status: Status::Fail,
        line: "controlPlaneVIP: 10.200.0.49",
        message: "needs an ingressVIP",
    },
    Planted {
        clean: "user",
        from: "profile: default",
        to: "profile: edge",
        check: "CFG-003",
        status: Status::Fail,
        line: "profile: edge",
        message: "edge is for standalone",
    },
    Planted {
        clean: "admin",
        from: "      controlPlaneVIP: 10.200.0.98\n",
        to: "      controlPlaneVIP: 10.200.0.98\n    addressPools:\n    - name: a\n      addresses:\n      - 10.200.0.98-10.200.0.99\n",
        check: "CFG-003",
        status: Status::Fail,
        line: "- name: a",
        message: "no addressPools",
    },
    Planted {
        clean: "hybrid",
        from: "controlPlaneVIP: 10.200.0.48",
        to: "controlPlaneVIP: 10.200.0.60",
        check: "CFG-004",
        status: Status::Fail,
        line: "controlPlaneVIP: 10.200.0.60",
        message: "inside the address pool",
    },
    Planted {
        clean: "hybrid",
        from: "ingressVIP: 10.200.0.51",
        to: "ingressVIP: 10.99.0.51",
        check: "CFG-005",
        status: Status::Fail,
        line: "ingressVIP: 10.99.0.51",
        message: "in no address pool",
    },
    Planted {
        clean: "hybrid",
        from: "controlPlaneVIP: 10.200.0.48",
        to: "controlPlaneVIP: 10.200.0.51",
        check: "CFG-006",
        status: Status::Fail,
        line: "ingressVIP: 10.200.0.51",
        message: "is the controlPlaneVIP",
    },
    Planted {
        clean: "hybrid",
        from: "controlPlaneVIP: 10.200.0.48",
        to: "controlPlaneVIP: 10.200.0.5",
        check: "CFG-006",
        status: Status::Fail,
        line: "controlPlaneVIP: 10.200.0.5",
        message: "is the address of a node",
    },
    Planted {
        clean: "hybrid",
        from: "- 10.200.0.51-10.200.0.70",
        to: "- 10.200.0.51-10.200.0.70\n      - 10.200.0.2-10.200.0.6",
        check: "CFG-006",
        status: Status::Fail,
        line: "10.200.0.2-10.200.0.6",
        message: "the node 10.200.0.2 of the control plane",
    },
    Planted {
        clean: "bgp",
        from: "  - 10.31.0.200",
        to: "  - 10.31.0.50",
        check: "CFG-006",
        status: Status::Fail,
        line: "10.31.0.40-10.31.0.60",
        message: "the floating IP 10.31.0.50",
    },
    Planted {
        clean: "bgp",
        from: "controlPlaneVIP: 10.99.0.8",
        to: "controlPlaneVIP: 10.30.0.1",
        check: "CFG-006",
        status: Status::Fail,
        line: "ip: 10.30.0.1",
        message: "BGP peer 10.30.0.1 is also a controlPlaneVIP",
    },
    Planted {
        clean: "hybrid",
        from: "- 10.200.0.51-10.200.0.70",
        to: "- 10.200.0.70-10.200.0.51",
        check: "CFG-007",
        status: Status::Fail,
        line: "10.200.0.70-10.200.0.51",
        message: "reversed",
    },
    Planted {
        clean: "hybrid",
        from: "- 10.200.0.51-10.200.0.70",
        to: "- 10.200.0.51-10.200.0.70\n      - 10.200.0.60-10.200.0.80",
        check: "CFG-007",
        status: Status::Fail,
        line: "10.200.0.60-10.200.0.80",
        message: "overlaps 10.200.0.51-10.200.0.70",
    },
    Planted {
        clean: "hybrid",
        from: "- 10.200.0.51-10.200.0.70",
        to: "- 10.200.0.51-10.200.0.255",
        check: "CFG-007",
        status: Status::Warn,
        line: "10.200.0.51-10.200.0.255",
        message: "has 10.200.0.255",
    },
    Planted {
        clean: "hybrid",
        from: "- 172.26.232.0/24",
        to: "- 172.26.232.128/24",
        check: "CFG-007",
        status: Status::Fail,
        line: "172.26.232.128/24",
        message: "host bits",
    },
    Planted {
        clean: "hybrid",
        from: "- 192.168.0.0/16",
        to: "- 192.168.0.0/20",
        check: "CFG-008",
        status: Status::Fail,
        line: "192.168.0.0/20",
        message: "/20 is outside /8 to /18",
    },
    Planted {
        clean: "hybrid",
        from: "- 172.26.232.0/24",
        to: "- 172.26.232.0/26",
        check: "CFG-008",
        status: Status::Fail,
        line: "172.26.232.0/26",
        message: "/26 is outside /12 to /24",
    },
    Planted {
        clean: "hybrid",
        from: "- 172.26.232.0/24",
        to: "- 192.168.4.0/24",
        check: "CFG-009",
        status: Status::Fail,
        line: "192.168.4.0/24",
        message: "overlaps the pod range 192.168.0.0/16",
    },
    Planted {
        clean: "hybrid",
        from: "- 172.26.232.0/24",
        to: "- 10.200.0.0/24",
        check: "CFG-009",
        status: Status::Fail,
        line: "- 10.200.0.0/24",
        message: "contains 5 nodes (the first is 10.200.0.2, line 30), the controlPlaneVIP",
    },
    Planted {
        clean: "user",
        from: "url: http://proxy.example.internal:3128",
        to: "url: http://me:secret@10.96.3.4:3128/",
        check: "CFG-009",
        status: Status::Fail,
        line: "- 10.96.0.0/20",
        message: "the proxy 10.96.3.4",
    },
    Planted {
        clean: "hybrid",
        from: "maxPodsPerNode: 250",
        to: "maxPodsPerNode: 251",
        check: "CFG-010",
        status: Status::Fail,
        line: "maxPodsPerNode: 251",
        message: "from 32 to 250",
    },
    Planted {
        clean: "admin",
        from: "maxPodsPerNode: 250",
        to: "maxPodsPerNode: 40",
        check: "CFG-010",
        status: Status::Fail,
        line: "maxPodsPerNode: 40",
        message: "from 64 to 250",
    },
    Planted {
        clean: "hybrid",
        from: "      - address: 10.200.0.4\n",
        to: "",
        check: "CFG-011",
        status: Status::Fail,
        line: "- address: 10.200.0.2",
        message: "2 nodes",
    },
    Planted {
        clean: "hybrid",
        from: "      - address: 10.200.0.3\n      - address: 10.200.0.4\n",
        to: "",
        check: "CFG-011",
        status: Status::Warn,
        line: "- address: 10.200.0.2",
        message: "1 node",
    },
    Planted {
        clean: "user",
        from: "      - address: 10.200.0.26\n      - address: 10.200.0.27\n",
        to: "",
        check: "CFG-011",
        status: Status::Warn,
        line: "- address: 10.200.0.25",
        message: "load balancer node pool has 1 node",
    },
    Planted {
        clean: "hybrid",
        from: "- address: 10.200.0.6",
        to: "- address: 10.200.0.4 # again",
        check: "CFG-012",
        status: Status::Fail,
        line: "# again",
        message: "already a node of the control plane",
    },
    Planted {
        clean: "hybrid",
        from: "- 172.26.232.0/24",
        to: "- 203.0.113.0/24",
        check: "CFG-013",
        status: Status::Warn,
        line: "203.0.113.0/24",
        message: "not private",
    },
    Planted {
        clean: "hybrid",
        from: "controlPlaneVIP: 10.200.0.48",
        to: "controlPlaneVIP: 10.200.7.48",
        check: "CFG-014",
        status: Status::Warn,
        line: "10.200.7.48",
        message: "assumed to be a /24",
    },
    Planted {
        clean: "bgp",
        from: "advancedNetworking: true",
        to: "advancedNetworking: false",
        check: "CFG-015",
        status: Status::Fail,
        line: "advancedNetworking: false",
        message: "needs advanced networking",
    },
    Planted {
        clean: "bgp",
        from: "    localASN: 65001\n",
        to: "",
        check: "CFG-015",
        status: Status::Fail,
        line: "type: bgp",
        message: "own autonomous system number",
    },
    Planted {
        clean: "bgp",
        from: "localASN: 65001",
        to: "localASN: 65000",
        check: "CFG-015",
        status: Status::Fail,
        line: "asn: 65000",
        message: "the cluster's own autonomous system number 65000",
    },
    Planted {
        clean: "bgp",
        from: "spec:\n  floatingIPs:\n  - 10.30.0.200\n  - 10.31.0.200\n",
        to: "spec: {}\n",
        check: "CFG-015",
        status: Status::Fail,
        line: "type: bgp",
        message: "without floating IPs",
    },
    Planted {
        clean: "hybrid",
        from: "mode: bundled",
        to: "mode: manual",
        check: "CFG-016",
        status: Status::Fail,
        line: "- name: pool1",
        message: "no addressPools",
    },
    Planted {
        clean: "hybrid",
        from: "  controlPlane:\n",
        to: "  controlPlane:\n    loadBalancer:\n      mode: bundled\n",
        check: "CFG-016",
        status: Status::Fail,
        line: "      mode: bundled",
        message: "1.32 or later",
    },
    Planted {
        clean: "hybrid",
        from: "- address: 10.200.0.5",
        to: "- address: 10.96.0.5",
        check: "CFG-017",
        status: Status::Fail,
        line: "10.96.0.5",
        message: "inside 10.96.0.0/27",
    },
    Planted {
        clean: "hybrid",
        from: "controlPlaneLBPort: 443",
        to: "controlPlaneLBPort: 6444",
        check: "CFG-018",
        status: Status::Fail,
        line: "controlPlaneLBPort: 6444",
        message: "cp.apiserver",
    },
    Planted {
        clean: "hybrid",
        from: "controlPlaneLBPort: 443",
        to: "controlPlaneLBPort: 30443",
        check: "CFG-018",
        status: Status::Fail,
        line: "controlPlaneLBPort: 30443",
        message: "is taken",
    },
    Planted {
        clean: "standalone",
        from: "perNodeMaskSize: 24",
        to: "perNodeMaskSize: 25",
        check: "CFG-019",
        status: Status::Fail,
        line: "cidr: 192.168.0.0/16",
        message: "too small a block for 128 pods",
    },
    Planted {
        clean: "standalone",
        from: "perNodeMaskSize: 120",
        to: "perNodeMaskSize: 121",
        check: "CFG-019",
        status: Status::Fail,
        line: "cidr: fd00:1234:1::/112",
        message: "too small a block for 128 pods",
    },
    Planted {
        clean: "standalone",
        from: "cidr: 192.168.0.0/16",
        to: "cidr: 192.168.0.0/17",
        check: "CFG-019",
        status: Status::Fail,
        line: "cidr: 192.168.0.0/17",
        message: "is not the pod range",
    },
    Planted {
        clean: "standalone",
        from: "      - fd00:1234:2::/116\n",
        to: "",
        check: "CFG-019",
        status: Status::Fail,
        line: "cidr: fd00:1234:1::/112",
        message: "Services have no IPv6 range",
    },
    Planted {
        clean: "standalone",
        from: "      - fd00:1234:3::100-fd00:1234:3::10f\n",
        to: "",
        check: "CFG-019",
        status: Status::Warn,
        line: "10.0.0.9-10.0.0.19",
        message: "no address pool has an IPv6 range",
    },
    Planted {
        clean: "user",
        from: "10.210.0.0/16,",
        to: "",
        check: "CFG-020",
        status: Status::Warn,
        line: "noProxy:",
        message: "4 of 10 nodes (the first is 10.210.1.11, line 89)",
    },
    Planted {
        clean: "user",
        from: ",192.168.0.0/16",
        to: "",
        check: "CFG-020",
        status: Status::Warn,
        line: "noProxy:",
        message: "leaves out the pod range 192.168.0.0/16",
    },
    Planted {
        clean: "user",
        from: "bypassPreflightCheck: false",
        to: "bypassPreflightCheck: true",
        check: "CFG-021",
        status: Status::Warn,
        line: "bypassPreflightCheck: true",
        message: "bmctl will not look",
    },
    Planted {
        clean: "user",
        from: "sshPrivateKeyPath: /home/abm/.ssh/id_rsa",
        to: "sshPrivateKeyPath: \"\"",
        check: "CFG-021",
        status: Status::Warn,
        line: "sshPrivateKeyPath",
        message: "is empty",
    },
];
