//! What came of taking a VIP, from both sides: who reached whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{
    assumption::{Lack, Scene},
    errand::{self, Errand, HoldErrand, HoldPart},
    evidence::Group,
    id::NodeId,
    ledger::Told,
    observation::{Answer, HeldSeen, InUse, Kept, Life, Reached},
    port::Protocol,
};

/// A VIP's turn.
pub(super) struct Turn<'a> {
    pub(super) vip: IpAddr,
    pub(super) port: u16,
    /// Who was to take it, in this order.
    pub(super) stays: Vec<Stay<'a>>,
    /// What those saw who asked for it.
    pub(super) reached: BTreeMap<NodeId, Told<&'a Reached>>,
}

/// One node's stay.
pub(super) struct Stay<'a> {
    pub(super) holder: NodeId,
    pub(super) outcome: Outcome<'a>,
}

/// What came of a stay.
pub(super) enum Outcome<'a> {
    Kept(Told<&'a Kept>),
    InUse(Told<&'a InUse>),
    /// This node of the roster has it as its own: nobody was let take it.
    OwnedBy(NodeId),
    Lacking(Lack),
}

/// How a caller stood to a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contact {
    /// It reached it at the VIP.
    Reached,
    /// It reached it at its own address and the same port, and not at the VIP.
    Failed,
    /// It reached it at neither: that says nothing of the VIP.
    Unknown,
}

/// The turns of a run, in their order.
pub(super) fn turns<'a>(scene: &Scene<'a>) -> Vec<Turn<'a>> {
    let mut turns: BTreeMap<u32, Turn<'a>> = BTreeMap::new();
    for (node, errands) in &scene.plan.errands {
        for errand in errands {
            let Errand::Hold(hold) = errand else { continue };
            let turn = turns.entry(hold.turn).or_insert_with(|| Turn {
                vip: hold.vip,
                port: hold.port,
                stays: Vec::new(),
                reached: BTreeMap::new(),
            });
            match &hold.part {
                HoldPart::Take { .. } => turn.stays.push(Stay {
                    holder: *node,
                    outcome: outcome(scene, *node, hold),
                }),
                HoldPart::Reach { .. } => {
                    if let Ok(log) = scene.log(*node) {
                        let told = log.held.iter().filter(|told| told.what.turn == hold.turn);
                        turn.reached.extend(told.filter_map(|told| match &told.what.seen {
                            HeldSeen::Reached(what) => Some((
                                *node,
                                Told {
                                    what,
                                    line: told.line,
                                },
                            )),
                            HeldSeen::Kept(_) | HeldSeen::InUse(_) => None,
                        }));
                    }
                }
            }
        }
    }
    turns.into_values().collect()
}

fn outcome<'a>(scene: &Scene<'a>, holder: NodeId, hold: &HoldErrand) -> Outcome<'a> {
    let log = match scene.log(holder) {
        Ok(log) => log,
        Err(lack) => return Outcome::Lacking(lack),
    };
    let line = |line, what| Told { what, line };
    for told in log.held.iter().filter(|told| told.what.turn == hold.turn) {
        match &told.what.seen {
            HeldSeen::Kept(kept) => {
                return Outcome::Kept(Told {
                    what: kept,
                    line: told.line,
                });
            }
            HeldSeen::InUse(in_use) => return Outcome::InUse(line(told.line, in_use)),
            HeldSeen::Reached(_) => {}
        }
    }
    if let Some(owner) = owner(scene, hold.vip) {
        return Outcome::OwnedBy(owner);
    }
    if let Some(lack) = scene.undone(holder, errand::Kind::Hold) {
        let told = port_holder(scene, holder, hold.port).filter(|_| matches!(lack, Lack::Other(..)));
        return Outcome::Lacking(told.map_or(lack, Lack::ToldElsewhere));
    }
    Outcome::Lacking(Lack::Other(
        Some(holder),
        "the run ended before this node's turn".to_owned(),
    ))
}

/// Who holds a TCP port at all addresses of a node, so that it cannot be opened at the VIP: the port matrix tells of that, if it
/// is made.
fn port_holder(scene: &Scene<'_>, node: NodeId, port: u16) -> Option<String> {
    let facts = scene.facts(node).ok().filter(|_| scene.asks_for(Group::Reach))?;
    let mut listeners = facts.what.listeners.iter();
    let listener = listeners.find(|listener| {
        listener.protocol == Protocol::Tcp
            && listener.address.is_unspecified()
            && listener.ports.contains(port)
    })?;
    let process = listener.process.as_deref().unwrap_or("a program");
    Some(format!("{process} holds TCP {port} at every address of the node"))
}

/// The node whose own address it is, by what its probe told when it joined.
fn owner(scene: &Scene<'_>, vip: IpAddr) -> Option<NodeId> {
    let has_it = |node: &NodeId| {
        let Ok(facts) = scene.facts(*node) else {
            return false;
        };
        let interfaces = facts.what.interfaces.iter();
        interfaces
            .flat_map(|interface| &interface.addresses)
            .filter_map(|address| address.parse::<IpNet>().ok())
            .any(|own| own.addr() == vip)
    };
    scene.plan.participants.iter().copied().find(has_it)
}

impl<'a> Turn<'a> {
    /// The stays in which the address was held, in their order.
    pub(super) fn kept(&self) -> impl Iterator<Item = (NodeId, Told<&'a Kept>)> + '_ {
        self.stays.iter().filter_map(|stay| match &stay.outcome {
            Outcome::Kept(kept) => Some((stay.holder, *kept)),
            Outcome::InUse(_) | Outcome::OwnedBy(_) | Outcome::Lacking(_) => None,
        })
    }

    /// Whether somebody was to take it on whose host Kubernetes runs: then nobody did.
    pub(super) fn is_live(&self, scene: &Scene<'_>) -> bool {
        let is_live = |holder| {
            scene
                .facts(holder)
                .is_ok_and(|facts| facts.what.life == Life::Live)
        };
        self.stays.iter().any(|stay| is_live(stay.holder))
    }

    /// Those who told of asking for it.
    pub(super) fn callers(&self) -> BTreeSet<NodeId> {
        self.reached.keys().copied().collect()
    }

    /// How a caller stood to a holder.
    pub(super) fn contact(&self, caller: NodeId, holder: NodeId, kept: &Kept) -> Contact {
        if kept.callers.iter().any(|heard| heard.node == caller) {
            return Contact::Reached;
        }
        let is_compared = self.reached.get(&caller).is_some_and(|reached| {
            let mut comparisons = reached.what.comparisons.iter();
            comparisons.any(|comparison| comparison.holder == holder && comparison.answered > 0)
        });
        if is_compared {
            Contact::Failed
        } else {
            Contact::Unknown
        }
    }

    /// The link address at which a caller looked for the VIP last without an answer.
    pub(super) fn looked_at(&self, caller: NodeId) -> Option<&'a str> {
        let reached = self.reached.get(&caller)?.what;
        let silent = |answer: Answer| matches!(answer, Answer::Silence | Answer::Refused);
        let mut stretches = reached.stretches.iter().rev();
        stretches.find(|stretch| silent(stretch.answer))?.mac.as_deref()
    }
}

/// Whether a node has the VIP on a link of its own, by the addresses that its probe told.
pub(super) fn is_on_link(scene: &Scene<'_>, node: NodeId, vip: IpAddr) -> bool {
    let Ok(facts) = scene.facts(node) else {
        return false;
    };
    let interfaces = facts.what.interfaces.iter();
    interfaces
        .flat_map(|interface| &interface.addresses)
        .filter_map(|address| address.parse::<IpNet>().ok())
        .any(|network| network.prefix_len() < network.max_prefix_len() && network.contains(&vip))
}
