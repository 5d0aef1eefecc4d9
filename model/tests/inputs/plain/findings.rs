//! What the checks find in an inventory that reads well.

use super::*;

const SOUND: &str = "\
schema: plumbline/inventory/v1
name: sound
profile: kubeadm
version: v1.31.4
vips: {control_plane: 10.0.0.100, ingress: 10.0.0.101}
pods: [10.244.0.0/20]
services: [10.96.0.0/12]
groups:
  servers: {roles: [control_plane], nodes: [10.0.0.1, 10.0.0.2, 10.0.0.3]}
  workers:
    roles: [worker]
    nodes: [10.0.1.5-10.0.1.7]
nodes:
- {address: 192.168.122.7, roles: [worker], ssh: 192.0.2.1, port: 2201}
- {address: 192.168.122.8, roles: [worker], ssh: 192.0.2.1, port: 2202}
";

#[test]
fn the_checks_that_make_sense_for_every_distribution_are_made() {
    let understood = read(&[(Purpose::Cluster, SOUND)]).unwrap_or_else(|refused| panic!("{refused}"));
    assert_eq!(understood.findings, [], "bounds of bmctl are none of others");
}

/// What stands in [`SOUND`], what is put in its place, and what must be found then: the check, how grave, the line, words.
type Mistake = (
    &'static str,
    &'static str,
    &'static str,
    Gravity,
    u32,
    &'static str,
);

#[track_caller]
fn each_is_one_finding_at_its_line(mistakes: &[Mistake]) {
    for &(right, wrong, check, gravity, line, words) in mistakes {
        let text = SOUND.replacen(right, wrong, 1);
        let understood = read(&[(Purpose::Cluster, &text)]).unwrap_or_else(|refused| panic!("{refused}"));
        let [finding] = &understood.findings[..] else {
            panic!("{wrong}: {:#?}", understood.findings);
        };
        assert_eq!(
            (finding.check, finding.gravity, finding.line),
            (Some(check), gravity, line),
            "{finding:?}"
        );
        let all = format!(
            "{}; {}",
            finding.message,
            finding.help.as_deref().unwrap_or_default()
        );
        assert!(all.contains(words), "{all}");
    }
}

#[test]
fn mistakes_about_nodes_are_one_finding_each_at_their_line() {
    each_is_one_finding_at_its_line(&[
        (
            "10.0.0.1, 10.0.0.2, 10.0.0.3",
            "10.0.0.1, 10.0.0.2",
            "CFG-011",
            Gravity::Warn,
            9,
            "of an even number",
        ),
        (
            "10.0.0.1, 10.0.0.2, 10.0.0.3",
            "10.0.0.1",
            "CFG-011",
            Gravity::Warn,
            9,
            "not highly available",
        ),
        (
            "10.0.1.7]",
            "10.0.1.7, 10.0.1.6-10.0.1.8]",
            "CFG-012",
            Gravity::Contradiction,
            12,
            "group `workers`",
        ),
        (
            "10.0.1.7]",
            "10.0.1.7, 10.0.0.2]",
            "CFG-012",
            Gravity::Contradiction,
            12,
            "the control plane",
        ),
        (
            "{address: 192.168.122.8",
            "{address: 192.168.122.7",
            "CFG-012",
            Gravity::Contradiction,
            15,
            "line 14",
        ),
    ]);
}

#[test]
fn mistakes_about_vips_are_one_finding_each_at_their_line() {
    each_is_one_finding_at_its_line(&[
        (
            "10.0.0.100",
            "10.0.1.6",
            "CFG-006",
            Gravity::Contradiction,
            5,
            "a node of group `workers` (line 12)",
        ),
        (
            "10.0.0.101",
            "10.0.0.100",
            "CFG-006",
            Gravity::Contradiction,
            5,
            "ingress VIP 10.0.0.100 is the control plane VIP",
        ),
    ]);
}

#[test]
fn mistakes_about_ranges_are_one_finding_each_at_their_line() {
    each_is_one_finding_at_its_line(&[
        (
            "10.244.0.0/20",
            "10.0.1.0/24",
            "CFG-009",
            Gravity::Fail,
            6,
            "3 nodes (the first is 10.0.1.5, line 12)",
        ),
        (
            "10.96.0.0/12",
            "10.244.0.0/16",
            "CFG-009",
            Gravity::Fail,
            7,
            "overlaps the pod range 10.244.0.0/20 (line 6)",
        ),
        (
            "10.244.0.0/20",
            "10.0.0.96/28",
            "CFG-009",
            Gravity::Fail,
            6,
            "the control plane VIP 10.0.0.100 (line 5)",
        ),
        (
            "10.244.0.0/20",
            "100.64.0.0/16",
            "CFG-013",
            Gravity::Warn,
            6,
            "not private",
        ),
    ]);
}

#[test]
fn what_contradicts_itself_in_an_inventory_is_found() {
    let text = format!(
        "{SMALL}vips: {{control_plane: 10.0.0.1, ingress: 10.0.0.50}}\npods: [10.0.0.0/16]\nservices: [10.0.64.0/20]\n"
    );
    let understood = read(&[(Purpose::Cluster, &text)]).unwrap();
    let found = &understood.findings;
    let is = |check: &str, gravity, line| {
        found
            .iter()
            .any(|finding| (finding.check, finding.gravity, finding.line) == (Some(check), gravity, line))
    };
    assert!(is("CFG-006", Gravity::Contradiction, 18), "{found:#?}");
    assert!(
        is("CFG-009", Gravity::Fail, 19) && is("CFG-009", Gravity::Fail, 20),
        "{found:#?}"
    );
}

#[test]
fn a_setting_that_no_profile_knows_is_told_with_its_line() {
    let text = SMALL.replace(
        "groups:\n",
        "options: {tunel: vxlan}\nvariables: {controlPlanLBPort: 443}\ngroups:\n",
    );
    let complaints = refused(&[(Purpose::Cluster, &text)]);
    assert_says(&complaints, "cluster.yaml", 5, &["tunel"]);
    assert_says(
        &complaints,
        "cluster.yaml",
        6,
        &["controlPlanLBPort", "did you mean `controlPlaneLBPort`"],
    );
}
