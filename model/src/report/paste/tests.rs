//! What a hostile probe tells of, and what is pasted of it.

use std::collections::BTreeSet;

use crate::{
    errand::Errand,
    evidence::{Group, SwarmKind},
    firewall::{Hook, Ruleset},
    observation::{
        BondMember, ClockState, Device, DeviceCounters, FirewallSettings, Firewalld, HostSettings,
        PersistedSysctl, Record, RouteEntry, RouteHop, TimeSource, Zone,
    },
    report::{
        Finding, Report,
        stage::{CP, LB, Stage, W1, W2, firewalld_that_accepts, nft_that_drops},
    },
};

/// What somebody would run who pastes it.
const HOSTILE: [&str; 8] = [
    "x; reboot",
    "$(reboot)",
    "`reboot`",
    "a\nreboot",
    "a' 'b",
    "x|reboot",
    "x accept\u{202e}",
    "-f",
];

/// A node that stops a port by a ruleset of its own making.
fn stopped_by(ruleset: Ruleset) -> Report {
    let stage = [LB, W1, W2].iter().fold(Stage::new(), |stage, src| {
        stage.silent(src, CP, "6444", Some((1, 0)), Some((1, 0)))
    });
    stage.filters(CP, ruleset).report()
}

fn commands(report: &Report) -> Vec<&String> {
    let findings = report.findings.iter();
    findings.flat_map(|finding| &finding.fix.commands).collect()
}

#[test]
fn no_command_holds_a_name_that_a_shell_would_act_on() {
    for name in HOSTILE {
        let mut chain = nft_that_drops(Hook::Input, &[6444]);
        name.clone_into(&mut chain.tables[0].chains[0].name);
        let mut table = nft_that_drops(Hook::Input, &[6444]);
        name.clone_into(&mut table.tables[0].name);
        for ruleset in [chain, table] {
            let report = stopped_by(ruleset);
            let held = commands(&report)
                .into_iter()
                .find(|command| command.contains(name));
            assert_eq!((report.findings.len(), held), (1, None), "{name:?}");
            assert!(
                report.findings[0].fix.text.contains("Commands are left out"),
                "{name:?}"
            );
        }
    }
}

#[test]
fn a_zone_is_a_part_of_a_name_and_held_to_the_same() {
    let mut ruleset = firewalld_that_accepts(&[10250, 4240]);
    let hostile = |name: &mut String| *name = name.replace("public", "x;reboot");
    for chain in &mut ruleset.tables[0].chains {
        hostile(&mut chain.name);
        for expression in chain.rules.iter_mut().flat_map(|rule| &mut rule.expressions) {
            use crate::firewall::{Expression, Verdict};
            if let Expression::Verdict {
                verdict: Verdict::Jump { chain } | Verdict::Goto { chain },
            } = expression
            {
                hostile(chain);
            }
        }
    }
    let report = stopped_by(ruleset);
    assert!(
        report.findings[0].cause.detail.contains("x;reboot"),
        "{report:#?}"
    );
    assert!(
        commands(&report).iter().all(|command| !command.contains(';')),
        "{report:#?}"
    );
}

#[test]
fn ordinary_names_cost_no_command() {
    for name in [
        "KUBE-ROUTER-INPUT",
        "filter_IN_public",
        "~log0",
        "%dynamic",
        "f2b-sshd",
        "ufw6-user.input",
    ] {
        let mut ruleset = nft_that_drops(Hook::Input, &[6444]);
        name.clone_into(&mut ruleset.tables[0].chains[0].name);
        let report = stopped_by(ruleset);
        assert!(commands(&report)[0].contains(name), "{report:#?}");
        assert!(!report.findings[0].fix.text.contains("left out"));
    }
}

#[test]
fn an_interface_and_its_addresses_are_names_too() {
    for spoil in [0, 1] {
        let stage = [LB, W1, W2].iter().fold(Stage::new(), |stage, src| {
            stage.silent(src, CP, "6444", Some((1, 0)), Some((1, 0)))
        });
        let stage = stage.knows(CP, move |facts| {
            facts.firewalld = true;
            let own = crate::observation::Interface {
                name: if spoil == 0 { "e;reboot" } else { "eth0" }.to_owned(),
                addresses: vec![format!("{CP}/24{}", if spoil == 1 { ";reboot" } else { "" })],
                ..crate::observation::Interface::default()
            };
            facts.interfaces = vec![own];
        });
        let report = stage.report();
        assert!(!report.findings.is_empty());
        assert!(
            commands(&report)
                .iter()
                .all(|command| !command.contains("reboot")),
            "{report:#?}"
        );
    }
}

/// A machine whose settings have every fault for which a command is told, with this name wherever it takes one.
fn faulty(name: &str) -> (HostSettings, FirewallSettings) {
    let device = Device {
        name: name.to_owned(),
        up: true,
        driver: Some("vmxnet3".to_owned()),
        offloads: [("tx-udp_tnl-segmentation".to_owned(), true)].into(),
        member: Some(BondMember {
            link_up: false,
            aggregator: None,
        }),
        grown: Some(DeviceCounters {
            rx_crc_errors: 100,
            ..DeviceCounters::default()
        }),
        ..Device::default()
    };
    let route = |to: &str, metric| RouteEntry {
        to: to.parse().unwrap(),
        forwards: true,
        hops: vec![RouteHop {
            via: Some("10.0.0.254".parse().unwrap()),
            device: Some(name.to_owned()),
        }],
        metric,
        protocol: 4,
    };
    let mut other = route("0.0.0.0/0", 100);
    other.hops[0].device = Some(format!("{name}2"));
    let host = HostSettings {
        data_interface: Some(name.to_owned()),
        devices: vec![device],
        routes: Some(vec![route("0.0.0.0/0", 50), other, route("192.168.4.0/24", 0)]),
        sysctls: [
            (RP_FILTER.to_owned(), "0".to_owned()),
            (format!("net.ipv4.conf.{name}.rp_filter"), "1".to_owned()),
        ]
        .into(),
        sysctl_files: vec![PersistedSysctl {
            name: RP_FILTER.to_owned(),
            value: "1".to_owned(),
            file: format!("/etc/sysctl.d/zz-{name}"),
        }],
        noexec: [(format!("/{name}"), true)].into(),
        clock: Some(ClockState {
            synchronised: false,
            max_error_us: 0,
            estimated_error_us: 0,
        }),
        time_sources: vec![TimeSource {
            program: name.to_owned(),
            running: false,
            servers: Vec::new(),
        }],
        ..HostSettings::default()
    };
    let firewalld = Firewalld {
        default_zone: name.to_owned(),
        flushes_all_on_reload: true,
        zones: vec![Zone {
            name: name.to_owned(),
            interfaces: vec!["eth0".to_owned()],
            ..Zone::default()
        }],
        ..Firewalld::default()
    };
    let firewalls = FirewallSettings {
        firewalld: Some(firewalld),
        reloaders: vec![format!("/etc/cron.d/{name}")],
        ..FirewallSettings::default()
    };
    (host, firewalls)
}

const RP_FILTER: &str = "net.ipv4.conf.all.rp_filter";

/// Joined machines, of which one, bare or live, has these faults.
fn inspected(name: &str, is_live: bool) -> Report {
    let (host, firewalls) = faulty(name);
    let mut stage = Stage::new();
    stage.parameters.swarm = SwarmKind::Joined;
    stage.parameters.groups = vec![Group::Reach, Group::L2, Group::L3, Group::Host];
    stage.inventory.pods = vec!["192.168.0.0/16".parse().unwrap()];
    for who in [CP, LB, W1, W2] {
        stage = stage.sends(who, Errand::Inspect);
    }
    let stage = [CP, LB, W2].into_iter().fold(stage, |stage, who| {
        stage
            .tells(who, Record::Host(Box::default()))
            .tells(who, Record::Firewalls(Box::default()))
    });
    let stage = stage
        .knows(W1, |facts| {
            facts.os = "Red Hat Enterprise Linux 9.4 (Plow)".to_owned();
            facts.firewalld = true;
        })
        .filters(W1, firewalld_that_accepts(&[10250, 4240]))
        .tells(W1, Record::Host(Box::new(host)))
        .tells(W1, Record::Firewalls(Box::new(firewalls)));
    match is_live {
        true => stage.live(W1),
        false => stage,
    }
    .report()
}

/// The checks whose commands hold a text.
fn who_repeats<'a>(report: &'a Report, text: &str) -> BTreeSet<&'a str> {
    // An option is one as a word of its own.
    let holds = |command: &String| match text.starts_with('-') {
        true => command.split(' ').any(|word| word == text),
        false => command.contains(text),
    };
    let repeats = |finding: &&Finding| finding.fix.commands.iter().any(holds);
    let findings = report.findings.iter().filter(repeats);
    findings.map(|finding| finding.check.as_str()).collect()
}

#[test]
fn no_check_repeats_what_a_hostile_host_says_of_its_settings() {
    let mut repeating = BTreeSet::new();
    for is_live in [false, true] {
        let plain = inspected("marker", is_live);
        repeating.extend(who_repeats(&plain, "marker").into_iter().map(str::to_owned));
        for name in HOSTILE {
            let report = inspected(name, is_live);
            assert_eq!(who_repeats(&report, name), BTreeSet::new(), "{name:?}");
            assert!(!report.findings.is_empty());
        }
    }
    let repeating: Vec<&str> = repeating.iter().map(String::as_str).collect();
    assert_eq!(repeating, REPEATING, "the test is about these");
}

/// The checks that repeat an ordinary name of a host's settings.
const REPEATING: [&str; 9] = [
    "FW-005", "FW-012", "L2-001", "L2-011", "L3-003", "L3-008", "SYS-002", "SYS-005", "SYS-009",
];

#[test]
fn what_is_told_of_several_nodes_holds_none_of_their_names() {
    for spoil in [CP, W1] {
        let mut stage = Stage::new();
        stage.parameters.swarm = SwarmKind::Joined;
        stage.parameters.groups = vec![Group::L3];
        stage.inventory.pods = vec!["192.168.0.0/16".parse().unwrap()];
        for who in [CP, W1] {
            stage = stage.sends(who, Errand::Inspect);
            let (mut host, _) = faulty(if who == spoil { "x;reboot" } else { "eth0" });
            host.routes.as_mut().unwrap().remove(1);
            stage = stage.tells(who, Record::Host(Box::new(host)));
        }
        let report = stage.report();
        let overlap = report.findings.iter().find(|finding| finding.check == "L3-008");
        let overlap = overlap.unwrap_or_else(|| panic!("{report:#?}"));
        assert_eq!((overlap.cause.node, &overlap.cause.between), (None, &None));
        assert_eq!(who_repeats(&report, "reboot"), BTreeSet::new());
    }
}

#[test]
fn ordinary_settings_cost_no_command() {
    let report = inspected("enp1s0f0", true);
    let is_cut = |finding: &Finding| finding.fix.text.contains("left out");
    assert!(!report.findings.iter().any(is_cut), "{report:#?}");
}
