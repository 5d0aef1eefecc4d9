//! Rules about what Cilium's agent, load balancers and pods need of a packet filter.

use super::*;
use crate::{
    firewall::{Base, Chain, Expression, Hook, Policy, Rule, Table, TableFamily, Verdict},
    id::Role,
    observation::{Backend, FirewallManager, InstalledManager, Interface, Unread},
};

fn chain(name: &str, hook: Option<(Hook, Policy)>, jump: Option<&str>) -> Chain {
    let verdict = jump.map(|chain| Verdict::Jump {
        chain: chain.to_owned(),
    });
    Chain {
        name: name.to_owned(),
        base: hook.map(|(hook, policy)| Base {
            hook,
            priority: 0,
            kind: "filter".to_owned(),
            policy,
            devices: Vec::new(),
        }),
        rules: verdict
            .into_iter()
            .map(|verdict| Rule {
                handle: 1,
                expressions: vec![Expression::Verdict { verdict }],
                comment: None,
            })
            .collect(),
    }
}

fn table(family: TableFamily, name: &str, chains: Vec<Chain>) -> Table {
    Table {
        family,
        name: name.to_owned(),
        dormant: false,
        chains,
        sets: Vec::new(),
    }
}

/// firewalld's rules with iptables' table beside them.
fn with_iptables(chains: Vec<Chain>) -> Ruleset {
    let mut ruleset = firewalld_that_accepts(&[10250]);
    ruleset.tables.push(table(TableFamily::Ip, "filter", chains));
    ruleset
}

fn hooked() -> Vec<Chain> {
    vec![
        chain("INPUT", Some((Hook::Input, Policy::Accept)), Some("CILIUM_INPUT")),
        chain("CILIUM_INPUT", None, None),
    ]
}

/// A live node with firewalld and Cilium's agent, which began at these ticks.
fn with_agent(ruleset: Ruleset, firewalld_ticks: u64, agent_ticks: u64) -> Stage {
    let mut own = firewalld(Vec::new());
    own.started_ticks = Some(firewalld_ticks);
    let settings = FirewallSettings {
        firewalld: Some(own),
        cilium_agent_started_ticks: Some(agent_ticks),
        ..FirewallSettings::default()
    };
    stage()
        .filters(W1, ruleset)
        .live(W1)
        .tells(W1, Record::Firewalls(Box::new(settings)))
}

#[test]
fn chains_of_cilium_that_are_there_and_hooked_pass() {
    let stage = with_agent(with_iptables(hooked()), 1_000, 2_000);
    assert_eq!(said(&judged(&stage, cilium_chains::judge)), "p");
}

#[test]
fn chains_of_cilium_that_a_reload_removed_fail_and_the_agent_is_restarted() {
    let stage = with_agent(with_iptables(Vec::new()), 1_000, 2_000);
    let rulings = judged(&stage, cilium_chains::judge);
    assert_eq!(said(&rulings), "f");
    let told = complaint(rulings);
    assert!(told.cause.detail.contains("are gone"), "{}", told.cause.detail);
    assert!(
        told.fix.commands[0].contains("k8s-app=cilium")
            && told.fix.commands[0].ends_with("status.podIP=10.0.1.1"),
        "{:?}",
        told.fix.commands
    );
}

#[test]
fn chains_of_an_agent_that_made_nothing_yet_are_not_missed() {
    let settings = FirewallSettings {
        cilium_agent_started_ticks: Some(2_000),
        ..FirewallSettings::default()
    };
    let told = || {
        stage()
            .filters(W1, with_iptables(Vec::new()))
            .live(W1)
            .tells(W1, Record::Firewalls(Box::new(settings.clone())))
    };
    assert_eq!(said(&judged(&told(), cilium_chains::judge)), "");
    let with_device = told().knows(W1, |facts| {
        facts.interfaces.push(Interface {
            name: "cilium_host".to_owned(),
            mac: String::new(),
            mtu: 1500,
            up: true,
            addresses: Vec::new(),
        });
    });
    assert_eq!(said(&judged(&with_device, cilium_chains::judge)), "f");
}

#[test]
fn a_chain_of_cilium_that_nothing_jumps_to_fails() {
    let unhooked = vec![
        chain("INPUT", Some((Hook::Input, Policy::Accept)), None),
        chain("CILIUM_INPUT", None, None),
    ];
    let told = complaint(judged(
        &with_agent(with_iptables(unhooked), 1_000, 2_000),
        cilium_chains::judge,
    ));
    assert!(
        told.cause.detail.contains("chain CILIUM_INPUT"),
        "{}",
        told.cause.detail
    );
}

#[test]
fn a_firewalld_that_began_after_the_agent_is_a_warning() {
    let stage = with_agent(with_iptables(hooked()), 3_000, 2_000);
    assert_eq!(said(&judged(&stage, cilium_chains::judge)), "w");
}

#[test]
fn chains_that_may_be_legacy_ones_are_not_missed() {
    let mut ruleset = with_iptables(Vec::new());
    ruleset.legacy_tables = vec!["ip filter".to_owned()];
    let stage = with_agent(ruleset, 1_000, 2_000);
    assert_eq!(said(&judged(&stage, cilium_chains::judge)), "-");
}

#[test]
fn vrrp_that_a_zone_stops_is_a_warning_at_nodes_that_carry_vips() {
    let mut stage = with_firewalld(stage(), real_rules(), firewalld(Vec::new()));
    assert!(judged(&stage, vrrp::judge).is_empty());
    for carrier in [LB, W1] {
        let mut nodes = stage.inventory.nodes.iter_mut();
        let carrier = nodes.find(|known| known.id == node(carrier)).unwrap();
        carrier.roles.insert(Role::LoadBalancer);
    }
    let told = complaint(judged(&stage, vrrp::judge));
    assert_eq!(told.cause.node, Some(node(W1)));
    assert_eq!(
        told.fix.commands,
        [
            "firewall-cmd --zone=public --add-protocol=vrrp",
            "firewall-cmd --permanent --zone=public --add-protocol=vrrp"
        ]
    );
}

#[test]
fn a_reload_that_flushes_everything_is_a_warning_only_with_iptables_or_direct_rules() {
    let judge = |backend, direct, flushes| {
        let own = Firewalld {
            backend,
            has_direct_rules: direct,
            flushes_all_on_reload: flushes,
            ..firewalld(Vec::new())
        };
        let stage = with_firewalld(stage(), firewalld_that_accepts(&[10250]), own);
        said(&judged(&stage, flush_on_reload::judge))
    };
    assert_eq!(judge(Backend::Nftables, false, true), "p");
    assert_eq!(judge(Backend::Iptables, false, true), "w");
    assert_eq!(judge(Backend::Nftables, true, true), "w");
    assert_eq!(judge(Backend::Nftables, true, false), "p");
}

#[test]
fn files_of_firewalld_that_may_not_be_read_let_nothing_pass_and_lack_one_capability() {
    let disk = || firewalld(vec![zone("public", "22,4240,10250"), pods(Target::Accept)]);
    let of = |own: Firewalld, unread: &[&str]| {
        let denied = |path: &&str| Unread {
            path: (*path).to_owned(),
            why: "read it: Permission denied".to_owned(),
            is_denied: true,
        };
        let settings = FirewallSettings {
            firewalld: Some(own),
            unread: unread.iter().map(denied).collect(),
            ..FirewallSettings::default()
        };
        let mut stage = stage()
            .filters(W1, real_rules())
            .tells(W1, Record::Firewalls(Box::new(settings)));
        stage.inventory.pods = vec!["192.168.5.0/24".parse().unwrap()];
        stage.parameters.swarm = crate::evidence::SwarmKind::Joined;
        stage
    };
    let lacks = |stage: &Stage, judge: fn(&Scene<'_>) -> Vec<Ruling>| {
        let ruling = judged(stage, judge).into_iter().next().unwrap();
        matches!(
            ruling.opinion,
            Opinion::NotMeasured(Lack::Capability(who, "CAP_DAC_READ_SEARCH")) if who == node(W1)
        )
    };
    let conf = of(disk(), &["/etc/firewalld/firewalld.conf"]);
    assert!(lacks(&conf, flush_on_reload::judge));
    assert!(lacks(&conf, drift::judge));
    assert!(lacks(&conf, pod_sources::judge));
    assert_eq!(
        said(&judged(&conf, reloaders::judge)),
        "p",
        "no reload is looked for there"
    );
    let direct = of(disk(), &["/etc/firewalld/direct.xml"]);
    assert!(lacks(&direct, flush_on_reload::judge));
    let never = Firewalld {
        flushes_all_on_reload: false,
        ..disk()
    };
    let direct = of(never, &["/etc/firewalld/direct.xml"]);
    assert_eq!(said(&judged(&direct, flush_on_reload::judge)), "p");
    let cron = of(disk(), &["/var/spool/cron"]);
    assert!(lacks(&cron, reloaders::judge));
    assert_eq!(said(&judged(&cron, flush_on_reload::judge)), "p");
    assert!(!lacks(&cron, drift::judge));
}

#[test]
fn ports_that_another_managers_chain_stops_are_not_let_in_by_the_zone() {
    let drops = Chain {
        rules: vec![Rule {
            handle: 7,
            expressions: vec![Expression::Verdict {
                verdict: Verdict::Drop,
            }],
            comment: None,
        }],
        ..chain("input", Some((Hook::Input, Policy::Accept)), None)
    };
    let mut ruleset = firewalld_that_accepts(&[10250, 4240]);
    let others = table(TableFamily::Inet, "own", vec![drops]);
    ruleset.tables.push(others);
    let stage = with_firewalld(stage(), ruleset, firewalld(Vec::new()));
    let rulings = judged(&stage, zone_ports::judge);
    assert_eq!(said(&rulings), "f");
    let told = complaint(rulings);
    assert!(
        told.cause
            .detail
            .starts_with("4240/tcp, 10250/tcp are stopped on 10.0.1.1")
            && told.cause.detail.contains("table inet own, chain input"),
        "{}",
        told.cause.detail
    );
    assert_eq!(
        told.fix.commands,
        [
            "nft insert rule inet own input tcp dport 4240 accept",
            "nft insert rule inet own input tcp dport 10250 accept"
        ]
    );
    // Where tests were made, their finding tells of it.
    let tested = stage.report();
    assert!(tested.findings.iter().all(|finding| finding.check != "FW-002"));
    let row = tested.checks.iter().find(|row| row.id == "FW-002").unwrap();
    assert!(row.detail.contains("another finding tells"), "{}", row.detail);
}

#[test]
fn whether_a_manager_that_is_switched_on_loads_rules_only_rules_tell() {
    let on = |manager: FirewallManager, swarm: crate::evidence::SwarmKind| {
        let settings = FirewallSettings {
            managers: vec![InstalledManager {
                manager,
                is_enabled: true,
            }],
            ..FirewallSettings::default()
        };
        let mut stage = stage().tells(W1, Record::Firewalls(Box::new(settings)));
        stage.parameters.swarm = swarm;
        stage
    };
    use crate::evidence::SwarmKind::{Joined, Lab};
    let of = |stage: Stage| said(&judged(&stage, managers::judge));
    assert_eq!(of(on(FirewallManager::Nftables, Joined)), "pp-p");
    assert_eq!(of(on(FirewallManager::Iptables, Joined)), "pp-p");
    assert_eq!(
        of(on(FirewallManager::Nftables, Lab)),
        "pppp",
        "the files are the machine's"
    );
    let read = on(FirewallManager::Nftables, Joined).filters(W1, with_iptables(Vec::new()));
    assert_eq!(of(read), "pppp");
}

#[test]
fn a_forward_chain_that_drops_pods_fails_by_nftables_and_by_iptables_of_a_live_node() {
    let drops = |family, name: &str| Ruleset {
        tables: vec![table(
            family,
            name,
            vec![chain("FORWARD", Some((Hook::Forward, Policy::Drop)), None)],
        )],
        ..firewalld_that_accepts(&[])
    };
    let judge = |stage: &Stage| said(&judged(stage, forward::judge));
    let with = |ruleset| {
        let mut stage = stage()
            .filters(W1, ruleset)
            .tells(W1, Record::Firewalls(Box::default()));
        stage.inventory.pods = vec!["192.168.0.0/16".parse().unwrap()];
        stage
    };
    assert_eq!(judge(&with(drops(TableFamily::Inet, "own"))), "f");
    let told = complaint(judged(&with(drops(TableFamily::Inet, "own")), forward::judge));
    assert_eq!(
        told.fix.commands[0],
        "nft insert rule inet own FORWARD ip saddr 192.168.0.0/16 accept"
    );
    // The network plugin will see to it.
    assert_eq!(judge(&with(drops(TableFamily::Ip, "filter"))), "-");
    assert_eq!(judge(&with(drops(TableFamily::Ip, "filter")).live(W1)), "f");
    assert_eq!(judge(&with(Ruleset::default())), "p");
    // A rule that cannot be followed does not pass, and where nobody else is there is nothing to say.
    let mut unclear = crate::report::stage::nft_that_limits();
    if let Some(base) = &mut unclear.tables[0].chains[0].base {
        base.hook = Hook::Forward;
    }
    assert_eq!(judge(&with(unclear)), "-");
    let mut other_family = with(Ruleset::default());
    other_family.inventory.pods = vec!["fd00:10::/64".parse().unwrap()];
    assert_eq!(judge(&other_family), "");
}

#[test]
fn what_reloads_firewalld_by_itself_is_told_of_hosts_and_not_of_a_lab() {
    let settings = FirewallSettings {
        firewalld: Some(firewalld(Vec::new())),
        reloaders: vec!["/etc/cron.d/scap".to_owned()],
        ..FirewallSettings::default()
    };
    let mut stage = stage().tells(W1, Record::Firewalls(Box::new(settings)));
    assert!(judged(&stage, reloaders::judge).is_empty());
    stage.parameters.swarm = crate::evidence::SwarmKind::Joined;
    let told = complaint(judged(&stage, reloaders::judge));
    assert!(
        told.cause.detail.contains("/etc/cron.d/scap"),
        "{}",
        told.cause.detail
    );
}

#[test]
fn rhel_9_lacks_the_policy_of_cilium_until_it_is_made() {
    let on = |os: &'static str| {
        let own = firewalld(vec![zone("public", "22")]);
        let mut stage = with_firewalld(stage(), firewalld_that_forwards_nothing(), own)
            .knows(W1, move |facts| facts.os = os.to_owned());
        stage.inventory.pods = vec!["192.168.0.0/16".parse().unwrap()];
        judged(&stage, host_policy::judge)
    };
    assert!(on("Ubuntu 22.04.4 LTS").is_empty());
    assert!(on("Red Hat Enterprise Linux 8.10 (Ootpa)").is_empty());
    let told = complaint(on("Red Hat Enterprise Linux 9.4 (Plow)"));
    let named = |name: &str| told.fix.commands.iter().any(|command| command.contains(name));
    assert!(
        named("--new-policy=cilium-host-fwd") && named("--add-ingress-zone=public"),
        "{:?}",
        told.fix.commands
    );
    // firewalld refuses longer names.
    assert!(!named("cilium-host-port-forwarding"));
}

#[test]
fn a_policy_that_was_only_not_loaded_is_told_with_the_ports_that_were_not() {
    let cilium = Zone {
        name: "cilium".to_owned(),
        target: Target::Accept,
        interfaces: vec!["cilium_host".to_owned()],
        ..Zone::default()
    };
    let policy = crate::observation::Policy {
        name: "cilium-host-fwd".to_owned(),
        target: Target::Accept,
        ingress: vec!["public".to_owned()],
        egress: vec!["cilium".to_owned()],
        ..crate::observation::Policy::default()
    };
    let with_ports = |tcp: &str| {
        let own = Firewalld {
            policies: vec![policy.clone()],
            ..firewalld(vec![zone("public", tcp), cilium.clone()])
        };
        let mut stage = with_firewalld(stage(), firewalld_that_forwards_nothing(), own).knows(W1, |facts| {
            facts.os = "Red Hat Enterprise Linux 9.4 (Plow)".to_owned()
        });
        stage.inventory.pods = vec!["192.168.0.0/16".parse().unwrap()];
        stage
    };
    let forgotten = with_ports("22,4240,10250");
    assert_eq!(said(&judged(&forgotten, drift::judge)), "f");
    assert_eq!(said(&judged(&forgotten, host_policy::judge)), "-");
    // Ports that are missing from both are another cause.
    assert_eq!(said(&judged(&with_ports("22"), host_policy::judge)), "f");
}

#[test]
fn pods_of_a_live_node_are_judged_where_the_plugin_brings_them_unless_the_requirements_say_where() {
    let mut ruleset = firewalld_that_accepts(&[22]);
    let mut data = b"cni0".to_vec();
    data.resize(16, 0);
    let by_device = vec![
        Expression::Meta { key: 6, to: 1 },
        Expression::Compare {
            from: 1,
            op: crate::firewall::CompareOp::Eq,
            data: data.into(),
        },
        Expression::Verdict {
            verdict: Verdict::Accept,
        },
    ];
    let rules = &mut ruleset.tables[0].chains[0].rules;
    let mut first = rules[0].clone();
    first.expressions = by_device;
    rules.insert(0, first);
    let trusted = Zone {
        name: "trusted".to_owned(),
        target: Target::Accept,
        interfaces: vec!["cni0".to_owned()],
        ..Zone::default()
    };
    let own = firewalld(vec![zone("public", "22"), trusted]);
    let with = |profile: &str, has_device: bool| {
        let mut stage = with_firewalld(stage(), ruleset.clone(), own.clone()).live(W1);
        stage.inventory.profile = profile.to_owned();
        stage.inventory.pods = vec!["10.244.0.0/16".parse().unwrap()];
        let stage = stage.knows(W1, move |facts| {
            let mut device = facts.interfaces[0].clone();
            (device.name, device.addresses) = ("cni0".to_owned(), Vec::new());
            facts.interfaces.extend(has_device.then_some(device));
        });
        said(&judged(&stage, pod_sources::judge))
    };
    assert_eq!(with("kubeadm", true), "p");
    assert_eq!(with("kubeadm", false), "f");
    assert_eq!(with("gdc-bare-metal", true), "f");
}

fn firewalld_that_forwards_nothing() -> Ruleset {
    let mut ruleset = firewalld_that_accepts(&[22]);
    ruleset.tables[0]
        .chains
        .push(chain("filter_FORWARD", Some((Hook::Forward, Policy::Drop)), None));
    ruleset
}
