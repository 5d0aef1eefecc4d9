use super::*;
use crate::source::SourceText;

mod format;
mod linted;

fn gdc() -> Profile {
    read(&builtin("gdc-bare-metal").unwrap()).unwrap_or_else(|refused| panic!("{refused}"))
}

fn version(text: &str) -> Minor {
    text.parse().unwrap()
}

#[test]
fn every_builtin_profile_reads_and_bears_its_name() {
    for name in BUILTIN {
        assert_eq!(
            read(&builtin(name).unwrap())
                .unwrap_or_else(|refused| panic!("{refused}"))
                .id,
            name
        );
    }
    assert_eq!(builtin("none-such"), None);
}

#[test]
fn versions_stand_as_the_vendor_numbered_them() {
    let profile = gdc();
    for known in ["1.9", "1.15", "1.16", "1.28", "1.35"] {
        assert_eq!(
            profile.standing(version(known)),
            VersionStanding::Known,
            "{known}"
        );
    }
    for never in ["1.17", "1.27"] {
        let gap = VersionStanding::NeverExisted {
            below: version("1.16"),
            above: version("1.28"),
        };
        assert_eq!(profile.standing(version(never)), gap, "{never}");
    }
    assert_eq!(
        profile.standing(version("1.36")),
        VersionStanding::NewerThan(version("1.35"))
    );
}

#[test]
fn what_stands_in_no_table_only_warns_and_says_why() {
    for rule in gdc().rules.iter().filter(|rule| !rule.in_document) {
        assert!(
            rule.severity < Severity::Fail && rule.reading.is_some(),
            "{}",
            rule.id
        );
    }
}

#[test]
fn node_ports_between_nodes_are_inferred_and_only_warn() {
    let profile = gdc();
    let rule = profile.rules.iter().find(|rule| rule.id == "w.nodeport").unwrap();
    assert_eq!(rule.severity, Severity::Warn);
}

#[test]
fn exactly_the_node_port_range_is_served_through_services() {
    for rule in gdc().rules {
        let ports: Vec<PortSpec> = "30000-32767".parse().map(PortSpec::Range).into_iter().collect();
        assert_eq!(rule.through_services, rule.ports == ports, "{}", rule.id);
    }
}

#[test]
fn mistakes_in_a_profile_are_named_with_place_and_nearest_word() {
    let good = builtin("gdc-bare-metal").unwrap();
    let cases = [
        (
            "to: control_plane",
            "to: control_plan",
            "did you mean `control_plane`?",
        ),
        (
            "from: [admin_workstation]",
            "from: [admin_workstations]",
            "did you mean `admin_workstation`?",
        ),
        (
            "ports: [2379-2381]",
            "ports: [2381-2379]",
            "is not a port or a range of ports",
        ),
        (
            "ports: [$controlPlaneLBPort]",
            "ports: [$controlPlaneLPort]",
            "did you mean `$controlPlaneLBPort`?",
        ),
        (
            "id: cp.etcd\n",
            "id: cp.ssh\n",
            "rule id `cp.ssh` is written twice",
        ),
        ("since: \"1.16\"", "sinse: \"1.16\"", "did you mean `since`?"),
        (
            "when: \"node_agent\"",
            "when: \"node_agents\"",
            "read the term \"node_agents\" of a condition",
        ),
        ("\n    table: false", "\n    table: no", "write true or false"),
        ("\"ip:112\"", "\"ip:256\"", "is not a protocol"),
        (
            "through_services: true",
            "through_services: yes",
            "write true or false",
        ),
        (
            "through_services: true",
            "through_service: true",
            "did you mean `through_services`?",
        ),
        (
            "scope: loopback",
            "scope: loopback\n    through_services: true",
            "Services are reached over the network",
        ),
    ];
    for (from, to, message) in cases {
        let source = SourceText {
            name: "p.yaml".into(),
            text: good.text.replacen(from, to, 1),
        };
        let Err(refused) = read(&source) else {
            panic!("{to:?} was accepted")
        };
        assert!(refused.to_string().contains(message), "{to}: {refused}");
        let line = good.text[..good.text.find(from).unwrap()].lines().count();
        // A complaint about a whole rule points at the rule's first line, a few lines above.
        assert!(
            refused.0[0].line as usize <= line + 2 && refused.0[0].line as usize + 15 > line,
            "{to}: {refused}"
        );
    }
}

#[test]
fn an_inferred_rule_that_would_fail_is_refused() {
    let good = builtin("gdc-bare-metal").unwrap();
    let text = good.text.replacen(
        "severity: warn\n    table: false",
        "severity: fail\n    table: false",
        1,
    );
    let Err(refused) = read(&SourceText {
        name: "p.yaml".into(),
        text,
    }) else {
        panic!("accepted")
    };
    assert!(refused.to_string().contains("can only warn"), "{refused}");
}
