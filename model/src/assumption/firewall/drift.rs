//! FW-003: what firewalld has in force is what it would load.

use crate::{
    cause::CauseKind,
    firewall::Judge,
    observation::{Firewalld, Policy, Target},
    plan::Plan,
    port::{PortRange, PortSet, Protocol},
    report::check::Check,
};

use super::{
    super::{Explains, Lack, Pairs, Ruling, Scene},
    asked::{Ports, When, asked, each_firewalld, whole_plan},
    node::NodeFilter,
    zone_ports::{Missing, missing},
};

pub(crate) const CHECK: Check = Check {
    id: "FW-003",
    asserts: "of the ports that the tables ask of a node, firewalld has in force what its permanent configuration has",
    how: "compares what the kernel's rules of firewalld let in with the zones and policies in its files; nothing is sent",
    needs: "CAP_NET_ADMIN, and root to read firewalld's files",
    rule: "fails where ports are in the permanent configuration alone and are stopped; warns where they are open at present alone, \
           since the next reload or start shuts them",
    remedy: "load the permanent configuration, or write what is in force into it with firewall-cmd --permanent",
    source: "firewall-cmd(1), runtime and permanent configuration",
};

/// Whether this check tells of a node that its permanent configuration was never loaded.
pub(super) fn tells(scene: &Scene<'_>, node: &NodeFilter<'_>, firewalld: &Firewalld) -> bool {
    let whole = whole_plan(scene);
    let plan = whole.as_ref().unwrap_or(scene.plan);
    let missing = missing(scene, plan, node);
    !node.is_live() && Drift::of(scene, plan, node, firewalld).is_some_and(|drift| drift.explains(&missing))
}

/// In what the two configurations differ, of the ports that are asked of a node.
pub(super) struct Drift {
    /// In the permanent configuration, and stopped.
    not_loaded: Ports,
    /// In force, and not in the permanent configuration.
    not_saved: Ports,
    /// The zone that both are of.
    zone: Option<String>,
}

pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    each_firewalld(scene, |plan, node, firewalld| {
        Some(judge_node(scene, plan, node, firewalld))
    })
}

fn judge_node(scene: &Scene<'_>, plan: &Plan, node: &NodeFilter<'_>, firewalld: &Firewalld) -> Ruling {
    if let Some(lack) = node.unread() {
        return Ruling::not_measured(&node.name, lack);
    }
    if let Some(lack) = node.configuration_unread() {
        return Ruling::not_measured(&node.name, lack);
    }
    let Some(drift) = Drift::of(scene, plan, node, firewalld) else {
        let why = "firewalld's rules are not in a table of its own".to_owned();
        return Ruling::not_measured(&node.name, Lack::ToldElsewhere(why));
    };
    let missing = missing(scene, plan, node);
    if drift.explains(&missing) {
        let complaint = drift.unloaded(scene, node);
        return if missing.fails {
            Ruling::fail(&node.name, complaint)
        } else {
            Ruling::warn(&node.name, complaint)
        };
    }
    if !drift.not_saved.is_empty() {
        return Ruling::warn(&node.name, drift.unsaved(node));
    }
    if drift.not_loaded.is_empty() {
        return Ruling::pass(
            &node.name,
            "what is in force is also what the next start would load",
        );
    }
    let detail = format!(
        "{} are in firewalld's permanent configuration and are stopped, among others that are in neither: another finding tells \
         of all of them",
        drift.not_loaded.said()
    );
    Ruling::not_measured(&node.name, Lack::ToldElsewhere(detail))
}

impl Drift {
    /// Nothing if it cannot be told.
    pub(super) fn of(
        scene: &Scene<'_>,
        plan: &Plan,
        node: &NodeFilter<'_>,
        firewalld: &Firewalld,
    ) -> Option<Self> {
        if node.configuration_unread().is_some() {
            return None;
        }
        let rules = node.firewalld_alone()?;
        let judge = Judge::new(&rules);
        let interface = node.interface()?;
        let mut drift = Self {
            not_loaded: Ports::default(),
            not_saved: Ports::default(),
            zone: None,
        };
        for asked in asked(scene, plan, node) {
            let openings = node.openings_by(&judge, asked.source, asked.destination, asked.protocol)?;
            let on_disk = || {
                let zone = firewalld.zone_of(interface, asked.source);
                zone.map(|zone| zone.name.clone())
            };
            // NetworkManager binds interfaces to zones, too: the zone in force counts.
            let Some(zone) = openings.zone.or_else(on_disk) else {
                continue;
            };
            let Some(permanent) = Permanent::of(firewalld, &zone, asked.protocol) else {
                continue;
            };
            let (stopped, open) = (
                asked.ports.intersection(&openings.stopped),
                asked.ports.intersection(&openings.open),
            );
            let not_loaded = stopped.intersection(&permanent.open);
            let not_saved = open.difference(&permanent.open).difference(&permanent.perhaps);
            drift.not_loaded.extend(asked.protocol, &not_loaded);
            drift.not_saved.extend(asked.protocol, &not_saved);
            if !not_saved.is_empty() || !not_loaded.is_empty() {
                drift.zone = drift.zone.or(Some(zone));
            }
        }
        Some(drift)
    }

    /// Whether all that zones stop is only not loaded.
    pub(super) fn explains(&self, missing: &Missing) -> bool {
        !missing.ports.is_empty() && missing.ports.difference(&self.not_loaded).is_empty()
    }

    fn unloaded(&self, scene: &Scene<'_>, node: &NodeFilter<'_>) -> super::super::Complaint {
        let detail = format!(
            "firewalld on {} was never told to load its permanent configuration: {} are in it, and stopped",
            node.name,
            self.not_loaded.said()
        );
        let mut commands = self.not_saved.add_to(self.zone.as_deref(), &[When::Permanent]);
        let text = if node.is_live() {
            commands.extend(self.not_loaded.add_to(self.zone.as_deref(), &[When::AtOnce]));
            format!("Add the ports to what is in force, too.{}", node.about_reload())
        } else {
            commands.push("firewall-cmd --reload".to_owned());
            "Load the permanent configuration: nothing of a cluster runs here yet that a reload would harm."
                .to_owned()
        };
        let mut complaint = node.complaint(detail, text, commands);
        let others = scene.plan.participants.iter().copied();
        complaint.explains = Explains {
            kinds: &[CauseKind::HostFirewall],
            pairs: Pairs::Between(others.filter(|other| *other != node.id).collect(), vec![node.id]),
        };
        complaint
    }

    fn unsaved(&self, node: &NodeFilter<'_>) -> super::super::Complaint {
        let zone = self
            .zone
            .as_deref()
            .map_or_else(String::new, |zone| format!(" zone {zone}"));
        let detail = format!(
            "firewalld{zone} on {} lets in {} until the next reload or start: its permanent configuration lacks them",
            node.name,
            self.not_saved.said()
        );
        let text = "Add the ports to the permanent configuration, too; no reload is needed.";
        let commands = self.not_saved.add_to(self.zone.as_deref(), &[When::Permanent]);
        node.complaint(detail, text, commands)
    }
}

/// What firewalld would let in by a zone when it starts.
struct Permanent {
    open: PortSet,
    /// Open for some packets, or shut by a policy before the zone.
    perhaps: PortSet,
}

impl Permanent {
    /// Nothing of a zone that has no file.
    fn of(firewalld: &Firewalld, name: &str, protocol: Protocol) -> Option<Self> {
        let zone = firewalld.zone(name)?;
        let mut permanent = Self {
            open: zone.opened.ports(protocol),
            perhaps: zone.sometimes.ports(protocol),
        };
        permanent.add_any(zone.target, zone.has_rules_for_any_port);
        for policy in firewalld.policies.iter().filter(|policy| is_before(policy, name)) {
            permanent.open.extend(&policy.opened.ports(protocol));
            permanent.perhaps.extend(&policy.sometimes.ports(protocol));
            permanent.add_any(policy.target, policy.has_rules_for_any_port);
        }
        Some(permanent)
    }

    fn add_any(&mut self, target: Target, perhaps: bool) {
        let any = || PortRange::new(1, u16::MAX);
        if target == Target::Accept {
            any().into_iter().for_each(|range| self.open.insert(range));
        }
        if perhaps {
            any().into_iter().for_each(|range| self.perhaps.insert(range));
        }
    }
}

/// Whether packets of a zone to the host pass a policy.
fn is_before(policy: &Policy, zone: &str) -> bool {
    let comes = policy.ingress.iter().any(|own| own == "ANY" || own == zone);
    comes && policy.egress.iter().any(|own| own == "HOST" || own == "ANY")
}
