//! What `check` and `plan` share: the cluster file, the profiles, and the settings that shape a plan.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use plumbline_model::{
    evidence::{Group, Parameters, SwarmKind},
    id::{NodeId, RunId},
    input::{self, InputText, Purpose, Understood},
    inventory::Inventory,
    plan::{Plan, Selection},
    profile::{self, Profile, VersionStanding},
    source::{Diagnostic, SourceText},
    version::Version,
};

use super::{Failure, earlier::Earlier, read_text};

/// What an audit is asked beyond its inputs.
#[derive(Debug, Default)]
pub(super) struct Aim {
    /// `--partial`.
    pub(super) partial: bool,
    /// `--retest`.
    pub(super) earlier: Option<Earlier>,
}

/// Arguments that name what is audited.
#[derive(Debug, Default, Args)]
pub(super) struct InputArgs {
    /// The cluster file, as bmctl takes it, or a plain inventory of any distribution (docs/inventory.md).
    #[arg(value_name = "CLUSTER.yaml")]
    pub(super) cluster: PathBuf,
    /// Only these groups of checks.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "GROUP")]
    only: Vec<GroupArg>,
    /// Also what changes something for a moment, on bare nodes only: take each VIP on each load balancer node in turn, open
    /// BGP sessions, send transfers through tunnels made for it. All of it is gone after at most its lease, even after a crash.
    #[arg(long)]
    active: bool,
    /// Labels of nodes, vantages and ports of your own, which a cluster file has no words for (docs/inventory.md).
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// The file of the cluster that manages this one: each of its nodes runs a probe and stands for `admin_cluster_nodes`.
    #[arg(long, value_name = "FILE")]
    admin_cluster: Option<PathBuf>,
    /// Only these nodes take part (ids as in the file); named vantages are the only vantages that do.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    nodes: Vec<NodeId>,
    /// These nodes and vantages take no part.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    exclude: Vec<NodeId>,
    /// Also test what this version demands, besides the nodes' own.
    #[arg(long, value_name = "V")]
    version: Option<Version>,
    /// A further profile file; may be given several times.
    #[arg(long, value_name = "FILE")]
    profile: Vec<PathBuf>,
    /// Findings that somebody answers for until a date; they are listed and shape no verdict (docs/waivers.md).
    #[arg(long, value_name = "FILE")]
    waivers: Option<PathBuf>,
    /// Test every port of every range from every source.
    #[arg(long)]
    exhaustive: bool,
    /// Connections per second that each node may open, and a tenth of that to any one other [default: 200; no limit in a lab].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_rate: Option<u32>,
    /// Seed of every random choice, recorded in the report.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// The groups of checks that this build has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GroupArg {
    /// Checks over the file; always run.
    Config,
    /// Can each node be reached and driven.
    Access,
    /// The port matrix.
    Reach,
    /// Layer 2 and VIPs: who answers ARP and neighbour discovery for what.
    L2,
    /// Layer 3: routes, translation, BGP, DNS.
    L3,
    /// What each host brings along: packet filter, MTU, system, clock.
    Host,
    /// The names outside the site that installation and operation need.
    External,
}

/// Connections per second and node outside a lab: intrusion detection and switches watch.
const DEFAULT_RATE_NODE: u32 = 200;
/// Connections per second and ordered pair outside a lab, for the same reason.
const DEFAULT_RATE_PAIR: u32 = 20;
/// Attempts before silence is believed.
const ATTEMPTS: u32 = 3;
/// How long one attempt waits: under the kernel's own SYN retransmission at one second, and three of them over one second.
const ATTEMPT_TIMEOUT_MS: u32 = 600;

/// What a rehearsal found is no news of real nodes, nor the reverse.
fn unlike(run: &RunId, then: SwarmKind) -> String {
    match then {
        SwarmKind::Lab => format!(
            "retest run {run}: it was a rehearsal (--swarm lab) and says nothing of real nodes; retest a report of real nodes, or \
             give --swarm lab"
        ),
        SwarmKind::None => format!("retest run {run}: it asked no node; there is nothing to make again"),
        SwarmKind::Joined => format!(
            "retest run {run}: it was of real nodes (--swarm joined), and a rehearsal (--swarm lab) mends nothing there; give \
             --swarm joined"
        ),
    }
}

/// Everything that was read and understood.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) texts: Vec<InputText>,
    pub(super) profile_texts: Vec<SourceText>,
    pub(super) profiles: Vec<Profile>,
    pub(super) inventory: Inventory,
    pub(super) parameters: Parameters,
    pub(super) plan: Plan,
    /// What the checks over the file complained about.
    pub(super) findings: Vec<Diagnostic>,
    /// Remarks for stderr: accepted, but worth a look.
    pub(super) remarks: Vec<String>,
}

impl InputArgs {
    /// The files as they were given, for a command that reads the same.
    pub(super) fn files(&self) -> String {
        let options = [
            ("--site", &self.site),
            ("--admin-cluster", &self.admin_cluster),
            ("--waivers", &self.waivers),
        ];
        let given = options
            .into_iter()
            .filter_map(|(option, path)| Some((option, path.as_ref()?)))
            .chain(self.profile.iter().map(|path| ("--profile", path)));
        let mut files = self.cluster.display().to_string();
        for (option, path) in given {
            files.push_str(&format!(" {option} {}", path.display()));
        }
        files
    }

    /// Reads the files and plans.
    pub(super) fn load(&self, swarm: SwarmKind, aim: Aim) -> Result<Inputs, Failure> {
        self.understand(read_text(&self.cluster)?, swarm, aim)
    }

    /// The same of a cluster file that was read already.
    pub(super) fn understand(
        &self,
        cluster_text: SourceText,
        swarm: SwarmKind,
        aim: Aim,
    ) -> Result<Inputs, Failure> {
        let mut texts = vec![InputText::new(Purpose::Cluster, cluster_text.clone())];
        let further = [
            (Purpose::AdminCluster, &self.admin_cluster),
            (Purpose::Site, &self.site),
            (Purpose::Waivers, &self.waivers),
        ];
        for (purpose, path) in further {
            if let Some(path) = path {
                texts.push(InputText::new(purpose, read_text(path)?));
            }
        }
        let added = self.added_profiles()?;
        let Understood {
            inventory,
            declared,
            findings,
            ..
        } = input::read(&texts, &added).map_err(|refused| Failure::usage(&refused))?;
        let (profile_texts, profiles) = profiles(&inventory, added, declared.as_ref())?;
        let mut remarks = Vec::new();
        self.know_version(&inventory, &profiles, &mut remarks)?;
        for id in self.nodes.iter().chain(&self.exclude) {
            if *id != NodeId::Coordinator && inventory.ssh_of(*id).is_none() {
                return Err(Failure::usage_message(format!(
                    "find node {id} in {}: it lists no such address; `plumbline plan {}` shows its nodes and vantages",
                    cluster_text.name, cluster_text.name
                )));
            }
        }
        if let Some(earlier) = &aim.earlier
            && earlier.cluster != inventory.name
        {
            return Err(Failure::usage_message(format!(
                "retest run {}: its report is of cluster {:?}, {} is of {:?}",
                earlier.retest.run, earlier.cluster, cluster_text.name, inventory.name
            )));
        }
        if let Some(earlier) = &aim.earlier
            && let Some(then) = earlier.swarm
            && then != swarm
        {
            return Err(Failure::usage_message(unlike(&earlier.retest.run, then)));
        }
        let parameters = self.parameters(swarm, aim);
        let selection = Selection::new(&inventory, &parameters);
        if !inventory.nodes.iter().any(|node| selection.has(node.id)) {
            return Err(Failure::usage_message(
                "select nodes: --nodes and --exclude leave none of the file's nodes".to_owned(),
            ));
        }
        let plan = Plan::new(&inventory, &profiles, &parameters);
        Ok(Inputs {
            texts,
            findings,
            profile_texts,
            profiles,
            inventory,
            parameters,
            plan,
            remarks,
        })
    }

    fn added_profiles(&self) -> Result<Vec<SourceText>, Failure> {
        self.profile.iter().map(|path| read_text(path)).collect()
    }

    fn know_version(
        &self,
        inventory: &Inventory,
        profiles: &[Profile],
        remarks: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let asked = self.version.iter().map(|version| ("--version", version));
        let own = inventory
            .nodes
            .iter()
            .map(|node| ("the cluster file", &node.version));
        let mut seen = Vec::new();
        for (origin, version) in asked.chain(own) {
            let minor = version.minor();
            if seen.contains(&minor) {
                continue;
            }
            seen.push(minor);
            // The first profile's axis counts: further ones add rules to it.
            match profiles[0].standing(minor) {
                VersionStanding::Known => {}
                VersionStanding::NewerThan(newest) => remarks.push(format!(
                    "{origin} asks for {version}, which is newer than the newest table ({newest}): its rows are used"
                )),
                VersionStanding::NeverExisted { below, above } => {
                    return Err(Failure::usage_message(format!(
                        "find tables for version {version} ({origin}): {minor} never existed; the nearest are {below} and {above}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Whether anything was asked for that probes have to find out.
    pub(super) fn needs_probes(&self) -> bool {
        self.groups(SwarmKind::None)
            .iter()
            .any(|group| group.needs_probes())
    }

    /// Whether servers outside were asked for by name.
    pub(super) fn names_the_outside(&self) -> bool {
        self.only.contains(&GroupArg::External)
    }

    fn groups(&self, swarm: SwarmKind) -> Vec<Group> {
        let mut groups: Vec<Group> = match self.only.as_slice() {
            [] => {
                let mut all = vec![Group::Access, Group::Reach, Group::L2, Group::L3, Group::Host];
                // A lab has no outside.
                if swarm == SwarmKind::Joined {
                    all.push(Group::External);
                }
                all
            }
            only => only
                .iter()
                .map(|group| match group {
                    GroupArg::Config => Group::Config,
                    GroupArg::Access => Group::Access,
                    GroupArg::Reach => Group::Reach,
                    GroupArg::L2 => Group::L2,
                    GroupArg::L3 => Group::L3,
                    GroupArg::Host => Group::Host,
                    GroupArg::External => Group::External,
                })
                .collect(),
        };
        // Checks over the file cost nothing and always run.
        groups.push(Group::Config);
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    fn parameters(&self, swarm: SwarmKind, aim: Aim) -> Parameters {
        let sorted = |ids: &[NodeId]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let (max_rate_node, max_rate_pair) = match (self.max_rate, swarm) {
            // A pair keeps its share of the node's rate.
            (Some(rate), _) => (rate, (rate / (DEFAULT_RATE_NODE / DEFAULT_RATE_PAIR)).max(1)),
            // A lab's network is this machine's own: nobody watches it.
            (None, SwarmKind::Lab | SwarmKind::None) => (0, 0),
            (None, SwarmKind::Joined) => (DEFAULT_RATE_NODE, DEFAULT_RATE_PAIR),
        };
        Parameters {
            swarm,
            groups: self.groups(swarm),
            nodes: sorted(&self.nodes),
            exclude: sorted(&self.exclude),
            version: self.version.clone(),
            exhaustive: self.exhaustive,
            seed: self.seed,
            attempts: ATTEMPTS,
            attempt_timeout_ms: ATTEMPT_TIMEOUT_MS,
            max_rate_node,
            max_rate_pair,
            partial: aim.partial,
            retest: aim.earlier.map(|earlier| earlier.retest),
            active: self.active,
        }
    }
}

/// The profiles that apply, and their texts.
fn profiles(
    inventory: &Inventory,
    added: Vec<SourceText>,
    declared: Option<&Profile>,
) -> Result<(Vec<SourceText>, Vec<Profile>), Failure> {
    let texts = profile::texts_for(inventory, added).map_err(|unknown| Failure::usage(&unknown))?;
    let profiles = profile::all(&texts, declared).map_err(|refused| Failure::usage(&refused))?;
    for (index, text) in texts.iter().enumerate() {
        let id = &profiles[index].id;
        if profiles[..index].iter().any(|other| other.id == *id) {
            return Err(Failure::usage_message(format!(
                "take {}: a profile with the id {id:?} is there already",
                text.name
            )));
        }
    }
    let misfits = profile::check_options(inventory, &profiles);
    if !misfits.is_empty() {
        let lines: Vec<String> = misfits
            .iter()
            .map(|misfit| format!("{misfit}\n  help: {}", misfit.help))
            .collect();
        return Err(Failure::usage_message(lines.join("\n")));
    }
    Ok((texts, profiles))
}

#[cfg(test)]
mod tests {
    use plumbline_model::{cluster, evidence::Retest};

    use super::*;

    #[test]
    fn a_rehearsal_retests_no_run_of_real_nodes_nor_the_reverse() {
        let load = |then: Option<SwarmKind>, now: SwarmKind| {
            let earlier = Earlier {
                cluster: Inventory::derive(&cluster::read(&crate::demo::cluster()).unwrap().cluster).name,
                swarm: then,
                retest: Retest {
                    run: RunId::from_bytes([1; 8]),
                    report_sha256: String::new(),
                    tests: Vec::new(),
                },
            };
            let aim = Aim {
                partial: false,
                earlier: Some(earlier),
            };
            InputArgs::default().understand(crate::demo::cluster(), now, aim)
        };
        let (lab, joined) = (SwarmKind::Lab, SwarmKind::Joined);
        for (then, now) in [(lab, joined), (joined, lab)] {
            let refused = load(Some(then), now).unwrap_err();
            assert!(refused.to_string().contains("rehearsal"), "{refused}");
        }
        for (then, now) in [(Some(lab), lab), (Some(joined), joined), (None, lab)] {
            assert!(load(then, now).is_ok());
        }
    }

    #[test]
    fn the_files_are_named_as_they_were_given() {
        let args = InputArgs {
            cluster: "c.yaml".into(),
            site: Some("s.yaml".into()),
            profile: vec!["p.yaml".into(), "q.yaml".into()],
            ..InputArgs::default()
        };
        assert_eq!(
            args.files(),
            "c.yaml --site s.yaml --profile p.yaml --profile q.yaml"
        );
    }
}
