//! Files as they are met in the field: each reads as it was meant, or is refused with the line and what to write.

use std::fmt::Write;

use plumbline_model::{
    cluster,
    input::{self, InputText, Purpose},
    inventory::Inventory,
    plan::Plan,
    source::{Refused, SourceText},
};

use crate::{USER, gdc, inventory, parameters};

fn told(text: &str) -> String {
    let source = SourceText {
        name: "c.yaml".to_owned(),
        text: text.to_owned(),
    };
    match cluster::read(&source) {
        Ok(read) => Refused(read.findings).to_string(),
        Err(refused) => refused.to_string(),
    }
}

fn reads_as_the_sample(text: &str) {
    let source = SourceText {
        name: "c.yaml".to_owned(),
        text: text.to_owned(),
    };
    let read = cluster::read(&source).unwrap_or_else(|refused| panic!("{refused}"));
    let ids = |inventory: Inventory| -> Vec<_> {
        inventory
            .nodes
            .into_iter()
            .map(|node| (node.id, node.roles))
            .collect()
    };
    assert_eq!(ids(Inventory::derive(&read.cluster)), ids(inventory(USER)));
}

fn changed(from: &str, to: &str) -> String {
    assert!(USER.contains(from), "{from:?} is not in the sample");
    USER.replacen(from, to, 1)
}

#[test]
fn marks_ends_and_empty_documents_change_nothing() {
    for text in [
        format!("\u{feff}{USER}"),
        format!("---\n---\n# a comment\n---\n{USER}---\n---\n"),
        format!("{}...\n", USER.replace("\n---\n", "\n...\n---\n")),
        format!("%YAML 1.2\n---\n{USER}"),
        USER.replace('\n', "\r\n"),
        USER.replace('\n', "   \n"),
        USER.trim_end().to_owned(),
        format!("{USER}# {}\n", "x".repeat(1 << 20)),
    ] {
        reads_as_the_sample(&text);
    }
}

#[test]
fn flow_style_quotation_marks_and_bare_versions_read() {
    let nodes = "      - address: 10.200.0.11\n      - address: 10.200.0.12\n      - address: 10.200.0.13\n";
    for text in [
        changed(
            &format!("      nodes:\n{nodes}"),
            "      nodes: [{address: 10.200.0.11}, {\"address\": '10.200.0.12'}, {address: \"10.200.0.13\"}]\n",
        ),
        changed("controlPlaneLBPort: 443", "controlPlaneLBPort: \"443\""),
        changed("1.29.1100-gke.84", "\"1.29.1100-gke.84\""),
        changed("bypassPreflightCheck: false", "bypassPreflightCheck: no"),
        changed("type: user", "type: &kind user"),
    ] {
        reads_as_the_sample(&text);
    }
    // As a number it would be 1.3.
    let inventory = inventory(&changed("1.29.1100-gke.84", "1.30"));
    assert_eq!(inventory.version.to_string(), "1.30");
}

#[test]
fn anchors_and_merge_keys_are_the_values_they_stand_for() {
    let anchored = changed(
        "metadata:\n  name: user-l2\n  namespace: cluster-user-l2\nspec:",
        "metadata: &meta\n  name: user-l2\n  namespace: cluster-user-l2\nspec:",
    );
    // An anchor ends with its document.
    let alias = anchored.replacen(
        "metadata:\n  name: np-general",
        "metadata:\n  <<: *meta\n  name: np-general",
        1,
    );
    assert!(told(&alias).contains("c.yaml:84:7: "), "{}", told(&alias));
    let merged = changed(
        "  controlPlane:\n    nodePoolSpec:\n      nodes:\n      - address: 10.200.0.11\n",
        "  controlPlane:\n    nodePoolSpec:\n      nodes:\n      - &first {address: 10.200.0.99, k8sIP: 10.200.0.11}\n",
    );
    let text = merged.replacen(
        "      - address: 10.200.0.12\n",
        "      - k8sIP: 10.200.0.12\n        <<: [*first]\n",
        1,
    );
    // The second node takes the first one\'s address, and is told so.
    assert!(told(&text).contains("10.200.0.99"), "{}", told(&text));
    let text = merged.replacen(
        "      - address: 10.200.0.12\n",
        "      - {<<: *first, address: 10.200.0.12, k8sIP: 10.200.0.12}\n",
        1,
    );
    reads_as_the_sample(&text);
    let none = changed("  profile: default", "  <<: default");
    assert!(
        told(&none).contains("c.yaml:20:7: `<<` merges mappings"),
        "{}",
        told(&none)
    );
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_line_and_remedy() {
    for (text, place, message, help) in [
        (
            changed("  type: user", "\ttype: user"),
            "19:",
            "tab",
            "with spaces",
        ),
        (
            changed("controlPlaneLBPort: 443", "controlPlaneLBPort: https"),
            "45:27",
            "whole number",
            "from 1 to 65535",
        ),
        (
            changed("controlPlaneLBPort: 443", "controlPlaneLBPort: 0443"),
            "45:27",
            "octal",
            "write 443",
        ),
        (
            changed("controlPlaneLBPort: 443", "controlPlaneLBPort: 70000"),
            "45:27",
            "whole number",
            "from 1 to 65535",
        ),
        (
            changed("maxPodsPerNode: 110", "maxPodsPerNode: 0110"),
            "77:23",
            "octal",
            "write 110",
        ),
        (
            changed("address: 10.200.0.12", "address: fd00::12"),
            "32:18",
            "IPv6",
            "IPv4",
        ),
        (
            changed("address: 10.200.0.12", "address: 10.200.0.012"),
            "32:18",
            "not an IP address",
            "IPv4",
        ),
        (
            changed("controlPlaneVIP: 10.200.0.49", "controlPlaneVIP: fd00::49"),
            "47:24",
            "IPv6",
            "IPv4",
        ),
        (
            changed("address: 10.200.0.12", "address: 10.200.0.12/24"),
            "32:18",
            "not an IP address",
            "IPv4",
        ),
        (
            changed("  mode: bundled", "  mode: bundled\n    mode: bundled"),
            "43:5",
            "written twice",
            "line 42",
        ),
        (
            changed("- address: 10.200.0.12", "- 10.200.0.12"),
            "32:9",
            "expected a mapping",
            "name: value",
        ),
        (
            changed("10.200.0.50-10.200.0.70", "10.200.0.70-10.200.0.50"),
            "54:9",
            "reversed",
            "10.200.0.50-10.200.0.70",
        ),
        (
            changed("1.29.1100-gke.84", "1.20.0"),
            "21:27",
            "never existed",
            "1.16",
        ),
        (
            changed("type: user", "type: user\u{0}"),
            "19:13",
            "U+0000",
            "cluster file",
        ),
        (
            changed("kind: Cluster", "kind: Clutser"),
            "14:7",
            "unknown kind",
            "`Cluster`",
        ),
    ] {
        let told = told(&text);
        let found = told.lines().zip(told.lines().skip(1)).any(|(line, next)| {
            line.starts_with(&format!("c.yaml:{place}")) && line.contains(message) && next.contains(help)
        });
        assert!(found, "{place} {message}: {told}");
    }
}

/// As the cluster file of a large site, in both shapes.
fn large(nodes: usize) -> String {
    let mut text = USER.replacen("192.168.0.0/16", "172.16.0.0/12", 1);
    for node in 0..nodes {
        let _ = writeln!(text, "  - address: 10.212.{}.{}", node / 250, node % 250 + 1);
    }
    text
}

#[test]
fn two_thousand_nodes_plan() {
    let inventory = inventory(&large(2_000));
    assert_eq!(inventory.nodes.len(), 2_010);
    let plan = Plan::new(&inventory, &[gdc()], &parameters());
    assert!(plan.size().pairs >= 2_010 * 2_009);
}

/// An inventory of one node with these further lines.
fn inventory_with(lines: &str) -> String {
    format!(
        "schema: plumbline/inventory/v1\nname: x\nprofile: kubeadm\nversion: v1.31.4\nnodes:\n\
         - {{address: 10.0.0.1, roles: [control_plane]}}\n{lines}"
    )
}

#[test]
fn what_would_fill_memory_or_the_day_is_refused_with_its_line() {
    let times = |count: usize, line: &str| line.repeat(count);
    let group = |nodes: &str| format!("groups:\n  g:\n    roles: [worker]\n    nodes:\n{nodes}");
    let port = "- {name: p, to: [10.0.0.0-10.0.15.255], ports: [1], from: [cluster_nodes], purpose: x}\n";
    let long = "x".repeat(1 << 20);
    for (lines, told) in [
        (
            group(&(1..200).fold(String::new(), |mut lines, n| {
                let _ = writeln!(lines, "    - 10.{n}.0.0-10.{n}.15.255");
                lines
            })),
            "more than 10000 addresses",
        ),
        (
            group(&(0..12_000).fold(String::new(), |mut lines, n| {
                let _ = writeln!(lines, "    - 10.1.{}.{}", n / 256, n % 256);
                lines
            })),
            "more than 10000 addresses",
        ),
        (
            format!("ports:\n{}", times(3_000, port)),
            "more than 100000 addresses",
        ),
        (
            format!("pods: [{}]\n", times(9_000, "11.0.0.0/8, ")),
            "`pods` has 9000 ranges",
        ),
        (
            format!("vantages: [{{address: 10.9.0.5, name: {long}, stands_for: [any_client]}}]\n"),
            "has 1 to 253 characters",
        ),
        (
            format!("ports: [{{name: p, to: any_node, ports: [1], from: [any_client], purpose: {long}}}]\n"),
            "`purpose` has up to 1000 characters",
        ),
    ] {
        let text = inventory_with(&lines);
        let source = SourceText {
            name: "i.yaml".to_owned(),
            text,
        };
        let refused = input::read(&[InputText::new(Purpose::Cluster, source)], &[]).unwrap_err();
        assert!(refused.to_string().contains(told), "{told}");
    }
}
