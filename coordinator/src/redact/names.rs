//! The names that a run knows: of hosts and clusters, of files, of tables, chains and zones.

use std::collections::{BTreeMap, BTreeSet};

use plumbline_model::{
    evidence::{Entry, Payload},
    profile,
};
use serde_json::Value;

use super::pseudonym::{Kind, canonical_literal, is_literal};

/// Names by what they are names of, and what is no secret.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Names to be replaced wherever they stand.
    pub(super) secret: BTreeMap<String, Kind>,
    /// Names of interfaces, and versions: they stay.
    pub(super) known: BTreeSet<String>,
    /// Addresses that are a field of their own, with or without a prefix length: no pseudonym is one of them.
    pub(super) addresses: BTreeSet<String>,
}

/// What iptables, nftables and firewalld name their own: no user chose these.
const STANDARD: [&str; 52] = [
    "filter",
    "nat",
    "mangle",
    "raw",
    "security",
    "input",
    "output",
    "forward",
    "prerouting",
    "postrouting",
    "public",
    "drop",
    "block",
    "trusted",
    "home",
    "work",
    "dmz",
    "internal",
    "external",
    "firewalld",
    "in",
    "out",
    "fwd",
    "fwdi",
    "fwdo",
    "pre",
    "post",
    "allow",
    "deny",
    "log",
    "policy",
    "ip",
    "ip6",
    "inet",
    "arp",
    "bridge",
    "netdev",
    "tcp",
    "udp",
    "icmp",
    "accept",
    "reject",
    "return",
    "zones",
    "source",
    "policies",
    "ingress",
    "egress",
    "chain",
    "table",
    "set",
    "rule",
];

impl Names {
    /// The names of a report and of what it was made of.
    pub(super) fn of(report: &Value, evidence: &[Entry]) -> Self {
        let mut names = Self::default();
        names.walk("", "", report);
        if let Some(cluster) = report["cluster"].as_str() {
            names.add(cluster, Kind::Cluster);
        }
        for entry in evidence {
            match &entry.payload {
                Payload::Run(run) => {
                    for input in &run.inputs {
                        names.file(&input.name);
                        names.text(&input.text);
                    }
                    for profile in run
                        .profiles
                        .iter()
                        .filter(|text| profile::builtin(&text.name).is_none())
                    {
                        names.file(&profile.name);
                        names.text(&profile.text);
                    }
                }
                Payload::Batch(batch) => {
                    if let Ok(records) = serde_json::to_value(&batch.records) {
                        names.walk("", "", &records);
                    }
                }
                Payload::Swarm(_) => {}
            }
        }
        names
    }

    /// What stands behind `name:` and the like in a file of the user's.
    fn text(&mut self, text: &str) {
        for line in text.lines() {
            let Some((field, value)) = line.split_once(':') else {
                continue;
            };
            let field = field
                .trim_start_matches([' ', '-', '\t', '{', '"'])
                .trim_end_matches(['"', ' ']);
            let value = value.trim().trim_matches(['"', '\'', ',']);
            if [
                "name",
                "namespace",
                "clusterName",
                "hostname",
                "id",
                "projectID",
                "location",
            ]
            .contains(&field)
                && !STANDARD.contains(&value)
                && value.parse::<std::net::IpAddr>().is_err()
            {
                self.add(value, Kind::Name);
            }
        }
    }

    fn walk(&mut self, object: &str, field: &str, value: &Value) {
        match value {
            Value::String(text) => {
                let address = text.split_once('/').map_or(text.as_str(), |(address, _)| address);
                self.addresses.extend(canonical_literal(address));
                self.field(object, field, text);
            }
            Value::Array(items) => items.iter().for_each(|item| self.walk(object, field, item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.walk(field, name, value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn field(&mut self, object: &str, field: &str, text: &str) {
        match (object, field) {
            (_, "hostname") => {
                self.add(text, Kind::Host);
                if let Some((short, _)) = text.split_once('.') {
                    self.add(short, Kind::Host);
                }
            }
            ("interfaces", "name") | (_, "version") => {
                self.known.insert(text.to_owned());
            }
            ("labels", _) => self.add(text, Kind::Label),
            ("inputs", "name") if profile::builtin(text).is_some() => {}
            ("inputs", "name") | (_, "file") => self.file(text),
            (_, "name" | "table" | "chain" | "zone" | "set" | "comment" | "jump" | "goto") => {
                self.filter(text)
            }
            _ => {}
        }
    }

    /// A file by its name, and by the last part of its path.
    fn file(&mut self, name: &str) {
        self.add(name, Kind::File);
        if let Some((_, last)) = name.rsplit_once('/') {
            self.add(last, Kind::File);
        }
    }

    /// A table, chain, set or zone. firewalld puts the zone into the names of its chains.
    fn filter(&mut self, name: &str) {
        let is_standard = |part: &str| {
            STANDARD.contains(&part.to_lowercase().as_str()) || part.chars().all(|c| c.is_ascii_digit())
        };
        let parts: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
        if parts.iter().all(|part| is_standard(part)) {
            return;
        }
        self.add(name, Kind::Name);
        if name.contains('_') {
            for part in name.split('_').filter(|part| !is_standard(part)) {
                self.add(part, Kind::Name);
            }
        }
    }

    /// Numbers stay what they are: a cluster called 22 must not take a port's place. Addresses and ranges of them are
    /// replaced as such, so that they stay what they are, too.
    fn add(&mut self, name: &str, kind: Kind) {
        let is_range = (name.split_once('/')).is_some_and(|(address, _)| is_literal(address));
        if is_range || is_literal(name) {
            return;
        }
        if !name.chars().all(|c| !c.is_alphabetic()) {
            self.secret.entry(name.to_owned()).or_insert(kind);
        }
    }
}
