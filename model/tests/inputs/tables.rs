//! `Profile::rows` against the requirements document's own tables, both ways.

use plumbline_model::{
    id::Role,
    port::Protocol,
    profile::{Destination, Direction, Row},
    version::Minor,
};

use crate::gdc;

/// The document's tables; see the file's head for its form.
const TABLES: &str = include_str!("gdc_tables.txt");

#[test]
fn the_rows_of_four_versions_and_three_roles_are_exactly_the_documents() {
    let profile = gdc();
    let mut tables = 0;
    for (title, rows) in tables_of(TABLES) {
        let Some((role, version)) = title.split_once(' ') else {
            continue;
        };
        let role = Role::ALL
            .into_iter()
            .find(|known| known.as_str() == role)
            .unwrap();
        let version: Minor = version.parse().unwrap();
        let ours: Vec<String> = profile.rows(version, Some(role)).iter().map(line).collect();
        assert_eq!(ours, rows, "{title}");
        tables += 1;
    }
    assert_eq!(tables, 12);
}

#[test]
fn the_multicluster_table_is_there_for_every_version() {
    let profile = gdc();
    let (_, expected) = tables_of(TABLES)
        .into_iter()
        .find(|(title, _)| title == "multicluster")
        .unwrap();
    for version in &profile.versions {
        let rows = profile.rows(*version, None);
        let is_multicluster = |row: &&Row| {
            matches!(
                row.role,
                Destination::AddedClusterNode | Destination::AddedClusterVip
            )
        };
        let ours: Vec<String> = rows.iter().filter(is_multicluster).map(line).collect();
        assert_eq!(ours, expected, "{version}");
    }
}

#[test]
fn versions_between_the_tables_have_the_rows_of_the_table_that_covers_them() {
    let profile = gdc();
    let rows = |version: &str| -> Vec<String> {
        profile
            .rows(version.parse().unwrap(), None)
            .iter()
            .map(|row| format!("{:?} {}", row.role, line(row)))
            .collect()
    };
    assert_eq!(rows("1.9"), rows("1.15"));
    assert_eq!(rows("1.32"), rows("1.29"));
    assert_eq!(rows("1.35"), rows("1.33"));
    // "1.33 and later" adds Node Agent's port to each of the three tables.
    let added: Vec<String> = rows("1.33")
        .into_iter()
        .filter(|row| !rows("1.32").contains(row))
        .collect();
    assert_eq!(added.len(), 3);
    assert!(
        added.iter().all(|row| row.contains(" 9192 node-agent-port")),
        "{added:?}"
    );
}

#[test]
fn every_row_cites_the_table_that_it_stands_in() {
    let profile = gdc();
    for version in ["1.15", "1.16", "1.28", "1.29"] {
        for row in profile.rows(version.parse().unwrap(), None) {
            let names_it = |cited: &String| {
                let multicluster = matches!(
                    row.role,
                    Destination::AddedClusterNode | Destination::AddedClusterVip
                );
                cited.starts_with("ja: ") && (multicluster || cited.contains(version))
            };
            assert!(
                row.cited.iter().any(names_it),
                "{} {version}: {:?}",
                row.id,
                row.cited
            );
        }
    }
}

/// The tables with their rows; `tcp+udp` is two rows.
fn tables_of(text: &str) -> Vec<(String, Vec<String>)> {
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(title) => tables.push((title.to_owned(), Vec::new())),
            None => {
                let (_, rows) = tables.last_mut().expect("rows stand below a title");
                let (protocol, rest) = line.split_once(' ').expect("a row starts with its protocol");
                rows.extend(
                    protocol
                        .split('+')
                        .map(|protocol| format!("{protocol} {}", in_english(rest))),
                );
            }
        }
    }
    tables
}

fn in_english(row: &str) -> String {
    let fields: Vec<&str> = row.splitn(3, ' ').collect();
    let (_, used_by) = USED_BY
        .iter()
        .find(|(japanese, _)| *japanese == fields[2])
        .expect("a word of the list below");
    format!("{} {} {used_by}", fields[0], fields[1])
}

fn line(row: &Row) -> String {
    let direction = match row.direction {
        Direction::Inbound => "inbound",
        Direction::Both => "both",
        Direction::Outbound => "outbound",
    };
    let ports = match (row.first_port.unwrap_or(0), row.last_port.unwrap_or(0)) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    assert!(matches!(row.protocol, Protocol::Tcp | Protocol::Udp));
    format!("{} {direction} {ports} {}", row.protocol, row.doc_used_by)
}

/// The Japanese tables' column "used by" and what the English edition has in its place.
const USED_BY: [(&str, &str); 14] = [
    ("管理ワークステーション", "Admin workstation"),
    ("管理クラスタノード", "Admin cluster nodes"),
    ("ロードバランサ ノード", "Load balancer nodes"),
    ("すべて", "All"),
    ("すべてのノード", "All nodes"),
    ("セルフ", "Self"),
    ("セルフとコントロール プレーン", "Self and control plane"),
    (
        "コントロール プレーンとロードバランサのノード",
        "Control plane and load balancer nodes",
    ),
    ("kube-apiserveretcd", "kube-apiserver and etcd"),
    ("kube-apiserveretcd-events", "kube-apiserver and etcd-events"),
    (
        "kube-apiserverang-controller-manager",
        "kube-apiserver and ang-controller-manager",
    ),
    (
        "kube-control-plane-metrics-proxy",
        "kube-control-plane-metrics-proxy",
    ),
    ("node-exporter", "node-exporter"),
    ("audit-proxy", "audit-proxy"),
];
