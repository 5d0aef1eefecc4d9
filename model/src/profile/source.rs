//! Who sends: the sources that tables know, and names that a user gives to others (`client`, `storage`).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

/// Who sends a rule's traffic, in our reading of the document's "used by".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The machine that runs `bmctl`: the coordinator stands there.
    AdminWorkstation,
    /// Nodes of the admin cluster; without `--admin-cluster` there is no vantage.
    AdminClusterNodes,
    /// Control plane nodes of this cluster.
    ControlPlane,
    /// Load balancer nodes of this cluster.
    LoadBalancer,
    /// Workers of this cluster.
    Worker,
    /// Every node of this cluster.
    ClusterNodes,
    /// "All": every node and the coordinator; other clients are declared by the user.
    AnyClient,
    /// A load balancer in front of the cluster that is none of its nodes.
    ExternalLoadBalancer,
    /// The node itself, over any of its addresses.
    SelfNode,
    /// The node itself, over the loopback interface.
    Loopback,
    /// Floating IPs of a NetworkGatewayGroup.
    FloatingIp,
    /// A source of the user's own, for which vantages stand; only declared rules have it.
    #[serde(untagged)]
    Named(SourceName),
}

/// A source of the user's own: 1 to 32 characters, lower-case letters, digits and underscores, a letter first.
///
/// It is kept inline, so that a [`Source`] stays a value that is copied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName {
    /// Filled up with zeros, which no name has: equal octets are equal names, and they sort as their texts do.
    octets: [u8; Self::MAX_LENGTH],
}

/// Text that names no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read source {0:?}: 1 to 32 lower-case letters, digits and underscores, a letter first")]
pub struct InvalidSourceName(pub String);

impl Source {
    /// Every source that a table may name, by its word.
    pub(crate) const WORDS: [(&'static str, Self); 11] = [
        ("admin_workstation", Self::AdminWorkstation),
        ("admin_cluster_nodes", Self::AdminClusterNodes),
        ("control_plane", Self::ControlPlane),
        ("load_balancer", Self::LoadBalancer),
        ("worker", Self::Worker),
        ("cluster_nodes", Self::ClusterNodes),
        ("any_client", Self::AnyClient),
        ("external_load_balancer", Self::ExternalLoadBalancer),
        ("self_node", Self::SelfNode),
        ("loopback", Self::Loopback),
        ("floating_ip", Self::FloatingIp),
    ];

    /// The word by which files and reports call it.
    pub fn word(&self) -> &str {
        match self {
            Self::Named(name) => name.as_str(),
            known => {
                let of = Self::WORDS.iter().find(|(_, source)| source == known);
                // The list is whole: a test holds it against the words of reports.
                of.map_or("", |(word, _)| word)
            }
        }
    }

    /// Whether only the node itself is meant, which is no matter of the network.
    pub(crate) fn is_the_node_itself(self) -> bool {
        matches!(self, Self::SelfNode | Self::Loopback)
    }

    /// Whether the cluster's own nodes are meant and nobody else, so that no vantage can stand for them.
    pub(crate) fn is_inside(self) -> bool {
        self.is_the_node_itself()
            || matches!(
                self,
                Self::ControlPlane | Self::LoadBalancer | Self::Worker | Self::ClusterNodes
            )
    }
}

impl SourceName {
    /// Characters, which are all ASCII.
    pub const MAX_LENGTH: usize = 32;

    /// The name.
    pub fn as_str(&self) -> &str {
        let length = self
            .octets
            .iter()
            .position(|octet| *octet == 0)
            .unwrap_or(Self::MAX_LENGTH);
        // ASCII by construction.
        str::from_utf8(&self.octets[..length]).unwrap_or_default()
    }
}

impl FromStr for SourceName {
    type Err = InvalidSourceName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_';
        let starts_well = text
            .bytes()
            .next()
            .is_some_and(|octet| octet.is_ascii_lowercase());
        if !starts_well || text.len() > Self::MAX_LENGTH || !text.bytes().all(is_allowed) {
            return Err(InvalidSourceName(text.to_owned()));
        }
        let mut octets = [0; Self::MAX_LENGTH];
        octets[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { octets })
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl Serialize for SourceName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SourceName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_tables_are_those_of_reports() {
        for (word, source) in Source::WORDS {
            assert_eq!(serde_json::to_value(source).unwrap(), word);
            assert_eq!(source.word(), word);
        }
    }

    #[test]
    fn names_keep_their_text_and_their_order() {
        let name = |text: &str| text.parse::<SourceName>().unwrap();
        assert_eq!(name("storage").as_str(), "storage");
        assert_eq!(name(&"a".repeat(32)).as_str().len(), 32);
        assert!(name("client") < name("client_2") && name("client_2") < name("storage"));
        for text in ["", "Client", "2nd", "_x", "a-b", "a b", "ä", &"a".repeat(33)] {
            assert!(text.parse::<SourceName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_word_of_the_tables_is_that_source_and_any_other_is_the_users() {
        let read = |text: &str| serde_json::from_str::<Source>(text);
        assert_eq!(read("\"any_client\"").unwrap(), Source::AnyClient);
        let own = read("\"storage\"").unwrap();
        assert_eq!(own, Source::Named("storage".parse().unwrap()));
        assert_eq!(serde_json::to_string(&own).unwrap(), "\"storage\"");
        assert_eq!(own.word(), "storage");
        assert!(read("\"No Name\"").is_err());
    }
}
