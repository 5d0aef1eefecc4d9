//! Scenario files: what is planted, and what must be found, no more and no less.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use plumbline_lab::{Fault, FurtherNetwork, Topology};
use plumbline_model::{id::NodeId, input::Purpose, port::PortSet};
use serde::Deserialize;

use crate::{
    outside::Outsider,
    stage::{self, firewalld::PROGRAMS},
};

mod expect;
#[cfg(test)]
mod tests;

pub use expect::{Expectation, ExpectedCheck, ExpectedFinding, ExpectedOutcome};

/// One scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One sentence for people.
    pub about: String,
    /// The cluster file or inventory, below `tests/clusters/`.
    pub cluster: String,
    /// The site file, there too; its vantages become hosts.
    #[serde(default)]
    pub site: Option<String>,
    /// The admin cluster's file, there too; its nodes become hosts.
    #[serde(default)]
    pub admin_cluster: Option<String>,
    /// Networks beside those of the cluster file, on which chosen hosts have further interfaces.
    #[serde(default)]
    pub further: Vec<FurtherNetwork>,
    /// Hosts on which Kubernetes seems to run already. Whatever else is expected, their services must not be disturbed.
    #[serde(default)]
    pub live: Vec<LiveHost>,
    /// Capabilities that the probes of these hosts lack, in setpriv's words (`net_raw`), by host.
    #[serde(default)]
    pub lacking: BTreeMap<NodeId, Vec<String>>,
    /// What is planted before the audit.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Shell commands that are run on hosts before the audit: a packet filter as its administrator would write it.
    #[serde(default)]
    pub prepare: Vec<Preparation>,
    /// BGP speakers on the router.
    #[serde(default)]
    pub bgp: Vec<BgpSpeaker>,
    /// Hosts on which a real firewalld runs, and what is typed there before the audit.
    #[serde(default)]
    pub firewalld: Vec<FirewalldHost>,
    /// Servers outside the cluster, on the router.
    #[serde(default)]
    pub outside: Vec<Outsider>,
    /// What stands in the place of files of hosts, for their probes alone: by host, by path.
    #[serde(default)]
    pub files: BTreeMap<NodeId, BTreeMap<PathBuf, String>>,
    /// What happens while the audit runs.
    #[serde(default)]
    pub events: Vec<Event>,
    /// Further arguments of `plumbline check`.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Whether it wants the machine to itself: it changes a setting of the whole machine, or has so many hosts that beside
    /// another it would measure the machine.
    #[serde(default)]
    pub alone: bool,
    /// How many times it is run; each must end the same.
    #[serde(default = "once")]
    pub times: u32,
    /// What must come out.
    pub expect: Expectation,
    /// What must come out of a second audit, after the commands of every finding were typed on its node.
    #[serde(default)]
    pub mended: Option<Expectation>,
}

fn once() -> u32 {
    1
}

/// A BGP speaker on the router, a real one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BgpSpeaker {
    /// Where it listens.
    pub address: IpAddr,
    /// Its autonomous system.
    #[serde(rename = "as")]
    pub asn: u32,
    /// Whom it takes connections from, and of which autonomous systems it expects them to be.
    pub neighbors: BTreeMap<IpAddr, u32>,
}

/// A host with a firewalld.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirewalldHost {
    /// Which host.
    pub on: NodeId,
    /// What its shell runs once firewalld is up; it must end well.
    #[serde(default)]
    pub run: String,
}

/// Commands on a host.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preparation {
    /// Where: a host by its address, `router`, or `switch of ADDRESS`.
    pub on: Place,
    /// What its shell runs; it must end well.
    pub run: String,
}

/// A place in the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Place {
    /// A host.
    Host(NodeId),
    /// The router between the subnets.
    Router,
    /// The switch of a host's subnet.
    SwitchOf(NodeId),
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let node = |text: &str| text.parse::<NodeId>().map_err(|error| error.to_string());
        match text.strip_prefix("switch of ") {
            Some(host) => node(host).map(Self::SwitchOf),
            None if text == "router" => Ok(Self::Router),
            None => node(&text).map(Self::Host),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Router => f.write_str("router"),
            Self::SwitchOf(host) => write!(f, "switch of {host}"),
        }
    }
}

/// A host on which Kubernetes seems to run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveHost {
    /// Which host.
    pub host: NodeId,
    /// By what a probe may tell.
    #[serde(default)]
    pub shows: Life,
    /// What listens there.
    #[serde(default)]
    pub services: Vec<Service>,
}

/// By what a host shows that Kubernetes runs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// By its services' names.
    #[default]
    Process,
    /// By a kubelet's configuration on disk.
    Configuration,
}

/// A program that listens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name, as `/proc` tells it.
    pub name: String,
    /// TCP ports.
    #[serde(default)]
    pub tcp: PortSet,
    /// UDP ports.
    #[serde(default)]
    pub udp: PortSet,
    /// What it says and endures.
    #[serde(default)]
    pub manner: Manner,
}

/// How a service behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// It waits for its client to speak.
    #[default]
    Silent,
    /// It shows a banner, and locks addresses out that come again and again without logging in, as sshd does with
    /// `PerSourcePenalties`.
    Ssh,
}

/// Something that happens in mid-run.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawEvent")]
pub struct Event {
    /// The phase of the run at whose start it happens, as `--json-events` names it.
    pub at: String,
    /// How long after that.
    pub after_ms: u64,
    /// What happens.
    pub what: Happening,
}

/// What happens in mid-run.
#[derive(Debug, Clone)]
pub enum Happening {
    /// Something to a probe, or to the coordinator.
    Signal {
        /// What.
        what: What,
        /// To whose.
        to: NodeId,
    },
    /// A fault is planted, and healed after a while if one is given.
    Fault {
        /// Which.
        fault: Fault,
        /// After how many milliseconds it is healed.
        heal_after_ms: Option<u64>,
    },
}

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, for good.
    Freeze,
    /// SIGSTOP, and SIGCONT after ten seconds.
    StopTenSeconds,
    /// SIGINT.
    Interrupt,
}

/// An event as it is written: `{at, what, to}` or `{at, plant, heal_after_ms}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvent {
    at: String,
    #[serde(default)]
    after_ms: u64,
    what: Option<What>,
    to: Option<NodeId>,
    plant: Option<Fault>,
    heal_after_ms: Option<u64>,
}

impl TryFrom<RawEvent> for Event {
    type Error = &'static str;

    fn try_from(raw: RawEvent) -> Result<Self, Self::Error> {
        let what = match (raw.what, raw.to, raw.plant, raw.heal_after_ms) {
            (Some(what), Some(to), None, None) => Happening::Signal { what, to },
            (None, None, Some(fault), heal_after_ms) => Happening::Fault { fault, heal_after_ms },
            _ => return Err("an event has either `what` and `to`, or `plant` and perhaps `heal_after_ms`"),
        };
        Ok(Self {
            at: raw.at,
            after_ms: raw.after_ms,
            what,
        })
    }
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    folders.any(|folder| folder.join(program).is_file())
}

/// Where `tests/` lies.
pub fn tests_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("read {}: {error}", path.display()))
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    /// The path of its cluster file.
    pub fn cluster_path(&self) -> PathBuf {
        tests_dir().join("clusters").join(&self.cluster)
    }

    /// Programs that it takes and that are not on this machine.
    pub fn missing_programs(&self) -> Vec<&'static str> {
        let wanted = if self.firewalld.is_empty() {
            &[][..]
        } else {
            &PROGRAMS
        };
        let missing = wanted.iter().filter(|program| !is_on_path(program));
        missing.copied().collect()
    }

    /// What is accepted of its cluster file, if anything: four hosts make no highly available control plane.
    fn waivers(&self) -> Option<PathBuf> {
        let path = self.cluster_path().with_extension("waivers.yaml");
        path.exists().then_some(path)
    }

    /// The other files that are read beside the cluster file, with the options of `plumbline check` that take them.
    pub fn further_files(&self) -> Vec<(&'static str, Purpose, PathBuf)> {
        let files = [
            ("--site", Purpose::Site, &self.site),
            ("--admin-cluster", Purpose::AdminCluster, &self.admin_cluster),
        ];
        let described = files.into_iter().filter_map(|(option, purpose, name)| {
            Some((option, purpose, tests_dir().join("clusters").join(name.as_ref()?)))
        });
        let waived = self.waivers().map(|path| ("--waivers", Purpose::Waivers, path));
        described.chain(waived).collect()
    }

    /// The network that its files describe.
    ///
    /// # Errors
    /// A sentence.
    pub fn topology(&self) -> Result<Topology, String> {
        let mut files = vec![(Purpose::Cluster, self.cluster_path())];
        files.extend(
            self.further_files()
                .into_iter()
                .map(|(_, purpose, path)| (purpose, path)),
        );
        let (topology, _) = stage::topology(&files)?;
        self.further
            .iter()
            .cloned()
            .try_fold(topology, Topology::with_further)
            .map_err(|error| error.to_string())
    }
}
