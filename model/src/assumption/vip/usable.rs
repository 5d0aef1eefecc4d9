//! VIP-003: each node that is to carry a VIP can carry it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::turn::{Contact, Outcome, Turn, is_on_link, turns};
use crate::{
    assumption::{
        Complaint, Explains, Lack, Ruling, Scene,
        crowd::{enumerated, listed},
    },
    cause::{Cause, CauseKind, Fix},
    errand,
    evidence::Group,
    id::NodeId,
    ledger::Told,
    observation::{Answer, CallerHeard, Kept},
    report::check::Check,
};

/// Each node that is to carry a VIP can carry it.
pub(crate) const CHECK: Check = Check {
    id: "VIP-003",
    asserts: "each load balancer node can carry the VIPs: its announcements are taken, and peers, other subnets and the \
              gateway's side reach it at the address",
    how: "with --active, on bare nodes: one node after the other makes sure that nobody has the VIP (three ARP probes, RFC \
          5227; neighbour solicitations as of RFC 4862 in IPv6), has the kernel lend it (/32 or /128, 30 s, no route), \
          announces it five times (gratuitous ARP, unsolicited neighbour advertisement, never more than five packets a \
          second) and answers hellos that prove the pair key, while up to 32 participants connect to it ten times a second; \
          the same port on the node's own address is asked for comparison",
    needs: "--active; CAP_NET_ADMIN and CAP_NET_RAW on the nodes that take it, CAP_NET_BIND_SERVICE for a port below 1024",
    rule: "fails if somebody who reaches the node at its own address does not reach it at the VIP, or if another host answers \
           there; not measured of live clusters, while somebody has the VIP, and where nobody reaches the port at all",
    remedy: "let switches and hypervisors take the VIPs from every load balancer node: MAC moves, port security, forged \
             transmits, allowed address pairs, dynamic ARP inspection; let the gateway route and resolve them",
    source: "vendor's documentation of bundled load balancing with layer 2: VIPs are announced by gratuitous ARP; RFC 5227 \
             sections 2.1.1 and 2.3; RFC 4861 section 7.2.6",
};

/// What keeps a VIP from being reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// Nobody reaches it, whoever has it.
    Nowhere {
        holders: Vec<NodeId>,
        callers: Vec<NodeId>,
    },
    /// Nobody reaches it on this node.
    OnNode(NodeId),
    /// Whoever knew the one who had it before does not learn that it moved.
    NotLearned {
        holders: Vec<NodeId>,
        callers: Vec<NodeId>,
    },
    /// These on its link do not reach it.
    OnLink {
        holders: Vec<NodeId>,
        callers: Vec<NodeId>,
    },
    /// These behind a router do not reach it.
    OffLink {
        holders: Vec<NodeId>,
        callers: Vec<NodeId>,
    },
    /// Somebody answers who is none of the holders.
    Foreign { callers: Vec<NodeId> },
}

/// What a fault concerns.
#[derive(Debug, Default)]
struct Concern {
    vips: BTreeSet<IpAddr>,
    /// Who asked for them.
    callers: BTreeSet<NodeId>,
    lines: BTreeSet<u32>,
}

/// Judges the turns of all VIPs. One fault of several VIPs is one complaint.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let turns = turns(scene);
    if turns.is_empty() {
        return unplanned(scene);
    }
    let mut rulings = Vec::new();
    let mut faults: BTreeMap<Fault, Concern> = BTreeMap::new();
    for turn in &turns {
        if turn.is_live(scene) {
            rulings.push(Ruling::not_measured(turn.vip.to_string(), Lack::LiveNode));
            continue;
        }
        let of_turn = faults_of(turn, &|caller| is_on_link(scene, caller, turn.vip));
        let failing: BTreeSet<NodeId> = of_turn.iter().flat_map(|fault| fault.holders(turn)).collect();
        for fault in of_turn {
            let concern = faults.entry(fault).or_default();
            concern.vips.insert(turn.vip);
            concern.callers.extend(turn.callers());
            concern.lines.extend(turn.kept().map(|(_, kept)| kept.line));
            concern
                .lines
                .extend(turn.reached.values().map(|reached| reached.line));
        }
        let sound = turn.stays.iter().filter(|stay| !failing.contains(&stay.holder));
        rulings.extend(sound.map(|stay| stay_ruling(scene, turn, stay.holder, &stay.outcome)));
    }
    rulings.extend(faults.iter().map(|(fault, concern)| fault.ruling(scene, concern)));
    rulings
}

/// Why no VIP was taken.
fn unplanned(scene: &Scene<'_>) -> Vec<Ruling> {
    let vips = errand::carried_vips(scene.inventory, scene.profiles);
    if scene.ledger.run.parameters.active {
        return Vec::new();
    }
    vips.into_iter()
        .map(|vip| Ruling::not_measured(vip.address.to_string(), Lack::NotActive))
        .collect()
}

/// What is said of a stay that nothing is wrong with.
fn stay_ruling(scene: &Scene<'_>, turn: &Turn<'_>, holder: NodeId, outcome: &Outcome<'_>) -> Ruling {
    let subject = format!("{} on {}", turn.vip, scene.name(holder));
    let kept = match outcome {
        Outcome::Kept(kept) => kept.what,
        Outcome::InUse(in_use) => {
            let mac = in_use.what.mac.as_deref();
            let by = mac.map_or_else(String::new, |mac| format!(" ({mac})"));
            let why = format!("somebody has the address{by}, so that it was not taken");
            return Ruling::not_measured(subject, Lack::ToldElsewhere(why));
        }
        Outcome::OwnedBy(owner) => {
            let why = format!(
                "somebody has the address ({}), so that it was not taken",
                scene.name(*owner)
            );
            return Ruling::not_measured(subject, Lack::ToldElsewhere(why));
        }
        Outcome::Lacking(lack) => return Ruling::not_measured(subject, lack.clone()),
    };
    let contacts = turn
        .callers()
        .into_iter()
        .filter(|caller| *caller != holder)
        .map(|caller| turn.contact(caller, holder, kept));
    let contacts: Vec<Contact> = contacts.collect();
    let reached = contacts
        .iter()
        .filter(|contact| **contact == Contact::Reached)
        .count();
    if reached == 0 {
        return Ruling::not_measured(subject, unreached(scene, turn, holder, contacts.len()));
    }
    let unknown = contacts
        .iter()
        .filter(|contact| **contact == Contact::Unknown)
        .count();
    let rest = match unknown {
        0 => String::new(),
        _ => format!("; {unknown} reach TCP {} of the node at no address", turn.port),
    };
    let detail = format!(
        "{reached} of {} reached it at TCP {} after {} announcements from {}{rest}",
        contacts.len(),
        turn.port,
        kept.announcements,
        kept.mac
    );
    Ruling::pass(subject, detail)
}

/// Nothing is known of a VIP whose node nobody reached at its own address: the port matrix tells of that, if it is made.
fn unreached(scene: &Scene<'_>, turn: &Turn<'_>, holder: NodeId, callers: usize) -> Lack {
    let port = turn.port;
    if callers == 0 {
        return Lack::Other(
            Some(holder),
            format!("nobody told of asking for {} there", turn.vip),
        );
    }
    let why = format!("nobody reached TCP {port} of the node at its own address either");
    match scene.asks_for(Group::Reach) {
        true => Lack::ToldElsewhere(why),
        false => Lack::Other(Some(holder), why),
    }
}

/// The fewest faults that explain who did not reach a VIP on whom; it is known who has the VIP on a link of its own.
fn faults_of(turn: &Turn<'_>, is_on_link: &dyn Fn(NodeId) -> bool) -> Vec<Fault> {
    let kept: Vec<_> = turn.kept().collect();
    let callers = turn.callers();
    let mut failing: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
    let mut reaching: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
    for (holder, kept) in &kept {
        for caller in callers.iter().filter(|caller| *caller != holder) {
            match turn.contact(*caller, *holder, kept.what) {
                Contact::Reached => reaching.entry(*holder).or_default().insert(*caller),
                Contact::Failed => failing.entry(*holder).or_default().insert(*caller),
                Contact::Unknown => false,
            };
        }
    }
    let mut faults = foreign(turn);
    if failing.is_empty() {
        return faults;
    }
    if reaching.is_empty() {
        faults.push(Fault::Nowhere {
            holders: failing.keys().copied().collect(),
            callers: all_of(&failing),
        });
        return faults;
    }
    let unlearned = unlearned(is_on_link, turn, &kept, &failing, &reaching);
    if !unlearned.is_empty() {
        faults.push(Fault::NotLearned {
            holders: unlearned.keys().copied().collect(),
            callers: all_of(&unlearned),
        });
    }
    let (mut on_link, mut off_link) = (BTreeMap::new(), BTreeMap::new());
    for (holder, callers) in &failing {
        let known = unlearned.get(holder);
        let left = callers
            .iter()
            .filter(|caller| !known.is_some_and(|known| known.contains(*caller)));
        let left: BTreeSet<NodeId> = left.copied().collect();
        if left.is_empty() {
            continue;
        }
        if !reaching.contains_key(holder) && left.len() == callers.len() {
            faults.push(Fault::OnNode(*holder));
            continue;
        }
        let (near, far): (BTreeSet<_>, BTreeSet<_>) =
            left.into_iter().partition(|caller| is_on_link(*caller));
        for (side, callers) in [(&mut on_link, near), (&mut off_link, far)] {
            if !callers.is_empty() {
                side.insert(*holder, callers);
            }
        }
    }
    if !on_link.is_empty() {
        faults.push(Fault::OnLink {
            holders: on_link.keys().copied().collect(),
            callers: all_of(&on_link),
        });
    }
    if !off_link.is_empty() {
        faults.push(Fault::OffLink {
            holders: off_link.keys().copied().collect(),
            callers: all_of(&off_link),
        });
    }
    faults
}

/// Who kept to the link address of somebody who had the VIP before, or, behind a router, reached the first that it could and
/// nobody after him, by holder. A node of which nobody learned it while others' moves were learned has its own trouble: it is
/// left out.
fn unlearned(
    is_on_link: &dyn Fn(NodeId) -> bool,
    turn: &Turn<'_>,
    kept: &[(NodeId, Told<&Kept>)],
    failing: &BTreeMap<NodeId, BTreeSet<NodeId>>,
    reaching: &BTreeMap<NodeId, BTreeSet<NodeId>>,
) -> BTreeMap<NodeId, BTreeSet<NodeId>> {
    let mut unlearned: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
    for (at, (holder, own)) in kept.iter().enumerate() {
        let before = &kept[..at];
        for caller in failing.get(holder).into_iter().flatten() {
            let knew = |(node, _): &&(NodeId, _)| reaching.get(node).is_some_and(|by| by.contains(caller));
            let last_known = before.iter().rev().find(knew);
            // What a router in between keeps to is not seen from here.
            let is_stale = match turn.looked_at(*caller) {
                Some(mac) => mac != own.what.mac && before.iter().any(|(_, before)| before.what.mac == mac),
                None => !is_on_link(*caller),
            };
            if last_known.is_some() && is_stale {
                unlearned.entry(*holder).or_default().insert(*caller);
            }
        }
    }
    // Where everybody learned another move at once, announcements are taken: a node whose callers all failed has its own trouble.
    let is_learned = |(holder, kept): &(NodeId, Told<&Kept>)| {
        let at_once = |heard: &CallerHeard| heard.first_ms <= AT_ONCE_MS;
        reaching.contains_key(holder)
            && !failing.contains_key(holder)
            && kept.what.callers.iter().all(at_once)
    };
    let moves_are_learned = kept.iter().skip(1).any(is_learned);
    if moves_are_learned {
        unlearned.retain(|holder, _| reaching.contains_key(holder));
    }
    unlearned
}

/// Who met somebody at the VIP who proved to be none of its holders.
fn foreign(turn: &Turn<'_>) -> Vec<Fault> {
    let met = |answer: Answer| answer == Answer::Unproven;
    let callers: Vec<NodeId> = turn
        .reached
        .iter()
        .filter(|(_, reached)| reached.what.stretches.iter().any(|stretch| met(stretch.answer)))
        .map(|(caller, _)| *caller)
        .collect();
    if callers.is_empty() {
        Vec::new()
    } else {
        vec![Fault::Foreign { callers }]
    }
}

fn all_of(sets: &BTreeMap<NodeId, BTreeSet<NodeId>>) -> Vec<NodeId> {
    let all: BTreeSet<NodeId> = sets.values().flatten().copied().collect();
    all.into_iter().collect()
}

impl Fault {
    /// Whose stays it spoils.
    fn holders(&self, turn: &Turn<'_>) -> Vec<NodeId> {
        match self {
            Self::OnNode(holder) => vec![*holder],
            Self::Nowhere { holders, .. }
            | Self::NotLearned { holders, .. }
            | Self::OnLink { holders, .. }
            | Self::OffLink { holders, .. } => holders.clone(),
            Self::Foreign { .. } => turn.stays.iter().map(|stay| stay.holder).collect(),
        }
    }

    /// At whom it shows: one of those who do not reach the VIP, on its link if any of them is, since others have no entry for it.
    fn who_looks(&self, concern: &Concern, is_on_link: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let callers: Vec<NodeId> = match self {
            Self::OnNode(holder) => concern
                .callers
                .iter()
                .copied()
                .filter(|caller| caller != holder)
                .collect(),
            Self::Nowhere { callers, .. }
            | Self::NotLearned { callers, .. }
            | Self::OnLink { callers, .. }
            | Self::OffLink { callers, .. }
            | Self::Foreign { callers } => callers.clone(),
        };
        let near = callers.iter().find(|caller| is_on_link(**caller));
        near.or_else(|| callers.first()).copied()
    }

    fn ruling(&self, scene: &Scene<'_>, concern: &Concern) -> Ruling {
        let vips: Vec<String> = concern.vips.iter().map(ToString::to_string).collect();
        let subject = vips.join(", ");
        let vips = enumerated(&vips);
        let command = |vip: &IpAddr, look: &str| {
            let caller = self.who_looks(concern, |caller| is_on_link(scene, caller, *vip))?;
            Some(scene.ssh(caller, &look.replace("VIP", &vip.to_string())))
        };
        let (cause, (text, look)) = self.cause(scene, &vips);
        let commands = concern.vips.first().and_then(|vip| command(vip, look));
        let complaint = Complaint {
            cause,
            fix: Fix {
                text: text.to_owned(),
                commands: commands.into_iter().collect(),
            },
            evidence: concern.lines.iter().copied().collect(),
            explains: Explains::default(),
        };
        Ruling::fail(subject, complaint)
    }

    /// Its cause, with what mends it and what shows it on a caller.
    fn cause(&self, scene: &Scene<'_>, vips: &str) -> (Cause, (&'static str, &'static str)) {
        let names = |nodes: &[NodeId]| listed(scene, nodes);
        let (kind, node, between, detail, fix) = match self {
            Self::Nowhere { holders, callers } => (
                CauseKind::VipUnreachable,
                None,
                Some([callers.clone(), holders.clone()]),
                format!(
                    "nobody reaches {vips} on any of {}, while all reach these at their own addresses",
                    names(holders)
                ),
                LET_PORTS,
            ),
            Self::OnNode(holder) => (
                CauseKind::VipUnreachable,
                Some(*holder),
                None,
                format!(
                    "nobody reaches {vips} while {} has it, which all reach at its own address: what it announces or answers \
                     from the VIP does not get off its port",
                    scene.name(*holder)
                ),
                LET_PORTS,
            ),
            Self::NotLearned { holders, callers } => (
                CauseKind::VipUnreachable,
                None,
                Some([callers.clone(), holders.clone()]),
                format!(
                    "{} do not learn that {vips} moved to {}: gratuitous ARP does not get through or is not taken, and they \
                     keep to the link address that had it before",
                    names(callers),
                    names(holders)
                ),
                LET_MOVES,
            ),
            Self::OnLink { holders, callers } => (
                CauseKind::VipUnreachable,
                None,
                Some([callers.clone(), holders.clone()]),
                format!(
                    "{} do not reach {vips} on {}, in the same subnet, and reach the nodes at their own addresses",
                    names(callers),
                    names(holders)
                ),
                LET_PORTS,
            ),
            Self::OffLink { holders, callers } => (
                CauseKind::VipUnreachable,
                None,
                Some([callers.clone(), holders.clone()]),
                format!(
                    "{}, in other subnets, do not reach {vips} on {}, and reach the nodes at their own addresses: the gateway \
                     between does not route, resolve or permit the VIP",
                    names(callers),
                    names(holders)
                ),
                LET_GATEWAY,
            ),
            Self::Foreign { callers } => (
                CauseKind::WrongResponder,
                None,
                Some([callers.clone(), Vec::new()]),
                format!(
                    "somebody who is none of the load balancer nodes answers {} at {vips}",
                    names(callers)
                ),
                FIND_OTHER,
            ),
        };
        let cause = Cause {
            kind,
            node,
            between,
            detail,
        };
        (cause, fix)
    }
}

/// An announcement is taken at once: within this time, not when an entry has aged.
const AT_ONCE_MS: u32 = 3_000;

const LET_PORTS: (&str, &str) = (
    "Let the switch or hypervisor port of each load balancer node send from the VIPs: port security and IP source guard, vSwitch \
     forged transmits and MAC address changes, allowed address pairs, dynamic ARP inspection (an entry for each VIP and node).",
    "ip neigh show VIP",
);
const LET_MOVES: (&str, &str) = (
    "Let gratuitous ARP (in IPv6: unsolicited neighbour advertisements) for the VIPs through and have it taken: dynamic ARP \
     inspection, ARP suppression of the fabric, MAC move limits of switches, arp_accept and drop_gratuitous_arp of hosts, the \
     gateway's ARP settings.",
    "ip neigh show VIP",
);
const LET_GATEWAY: (&str, &str) = (
    "On the gateway of the VIPs' subnet remove static or stale ARP entries for them, and permit them where sources or destinations \
     are filtered (anti-spoofing, access lists).",
    "ip route get VIP",
);
const FIND_OTHER: (&str, &str) = (
    "Find the host that answers at the VIP and take the address from it.",
    "ip neigh show VIP",
);

#[cfg(test)]
mod tests;
