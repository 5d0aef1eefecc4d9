//! What probes do beside the port matrix, for the assumptions of a cluster's design: who is given which errand, from the plan
//! alone, so that `plumbline plan` shows it beforehand and `plumbline verify` knows what was asked for.
//!
//! | errand | when | what it may send |
//! |---|---|---|
//! | inspect | from the start to the release of the ports, to see what devices count meanwhile | nothing |
//! | listen | from the start to the release of the ports | nothing |
//! | link | beside the port matrix | ARP and ND, [`MAX_LINK_PACKETS_A_SECOND`] a second |
//! | dial | beside the port matrix | connections to names and addresses that the inputs give, [`MAX_DIALS_A_SECOND`] a second |
//! | path | after the port matrix, while responders listen | STAMP or ICMP echo to members |
//! | hold | at the end, with `--active`, one node after the other | ARP or ND for one VIP, and connections to it |
//! | tunnel | at the end, with `--active`, on bare nodes | a transfer through a device of its own |

mod dial;
mod hold;
mod link;
mod path;
mod tunnel;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::{
    dial::{
        Anchors, Depth, DialErrand, DialTarget, Login, MAX_DIAL_HOST, MAX_DIAL_PEERS, MAX_DIAL_ROOT,
        MAX_DIAL_ROOTS, MAX_DIAL_TARGETS, MAX_DIALS_A_SECOND, PeerTarget, ProxyServer, Question, RecordType,
        Site, Via,
    },
    hold::{HOLD_LEASE_S, HoldErrand, HoldPart, MAX_CALLERS, MAX_HOLDERS, MAX_STAY_MS},
    link::{GATEWAYS, LinkErrand, MAX_LINK_ADDRESSES, MAX_LINK_PEERS},
    path::{
        ALL_PAIRS_UP_TO, MAX_PATH_DATAGRAMS, MAX_PATH_PACKETS_A_SECOND, MAX_PATH_PORTS, MAX_PATHS,
        PathErrand, PathTarget, SAMPLE,
    },
    tunnel::{Encapsulation, MAX_TRANSFER_MS, TRANSFER_OCTETS, TunnelErrand},
};
pub(crate) use self::{
    dial::{Need, Needed, bgp_sessions, has_bgp_session, needed},
    hold::vips as carried_vips,
    link::{announces_on_link, must_be_adjacent, vips},
    tunnel::overlay_of,
};
use crate::{
    evidence::{Group, Parameters},
    id::NodeId,
    inventory::Inventory,
    plan::Plan,
    profile::Profile,
};

/// One errand of one participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "errand", rename_all = "snake_case", deny_unknown_fields)]
pub enum Errand {
    /// Tell of the host's settings and packet filter managers.
    Inspect,
    /// Tell what is heard on the data interface's link: ARP, neighbour discovery, VRRP.
    Listen,
    /// Ask on the link.
    Link(LinkErrand),
    /// Ask names and addresses outside the roster.
    Dial(DialErrand),
    /// Measure what the paths to members carry.
    Path(PathErrand),
    /// Take a VIP for a while.
    Hold(HoldErrand),
    /// Send a transfer through a tunnel of its own.
    Tunnel(TunnelErrand),
}

/// Which errand, without what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`Errand::Inspect`].
    Inspect,
    /// [`Errand::Listen`].
    Listen,
    /// [`Errand::Link`].
    Link,
    /// [`Errand::Dial`].
    Dial,
    /// [`Errand::Path`].
    Path,
    /// [`Errand::Hold`].
    Hold,
    /// [`Errand::Tunnel`].
    Tunnel,
}

/// When in a run an errand is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// With the ports to bind: it must be under way before anybody sends anything.
    Beginning,
    /// With the first tests, and waited for once these are over.
    Beside,
    /// Once the first tests are over, while responders still listen.
    After,
    /// After everything else that sends, when the ports are free again, one turn after the other ([`Errand::turn`]).
    InTurn,
}

impl Errand {
    /// Which it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Inspect => Kind::Inspect,
            Self::Listen => Kind::Listen,
            Self::Link(_) => Kind::Link,
            Self::Dial(_) => Kind::Dial,
            Self::Path(_) => Kind::Path,
            Self::Hold(_) => Kind::Hold,
            Self::Tunnel(_) => Kind::Tunnel,
        }
    }

    /// When it is given.
    pub fn moment(&self) -> Moment {
        match self {
            Self::Inspect | Self::Listen => Moment::Beginning,
            Self::Link(_) | Self::Dial(_) => Moment::Beside,
            Self::Path(_) => Moment::After,
            Self::Hold(_) | Self::Tunnel(_) => Moment::InTurn,
        }
    }

    /// It without anything that it should do with those who are left out; nothing if nothing remains.
    #[must_use]
    pub fn without(mut self, left_out: &BTreeSet<NodeId>) -> Option<Self> {
        let is_void = match &mut self {
            Self::Link(errand) => {
                errand.leave_out(left_out);
                false
            }
            Self::Path(errand) => {
                errand.leave_out(left_out);
                false
            }
            Self::Hold(errand) => {
                errand.leave_out(left_out);
                errand.is_void()
            }
            Self::Tunnel(errand) => errand.is_void(left_out),
            Self::Inspect | Self::Listen | Self::Dial(_) => false,
        };
        (!is_void).then_some(self)
    }

    /// The turn in which it is given, if it is given in turn, and whether it leads there. What leads is done by one participant
    /// after the other; what follows is begun when the first leader is ready, and released when the last is done.
    pub fn turn(&self) -> Option<(u32, Lead)> {
        let (turn, leads) = match self {
            Self::Hold(errand) => (errand.turn, errand.takes()),
            Self::Tunnel(errand) => (errand.turn, errand.takes),
            Self::Inspect | Self::Listen | Self::Link(_) | Self::Dial(_) | Self::Path(_) => return None,
        };
        Some((turn, if leads { Lead::Leads } else { Lead::Follows }))
    }

    /// Whether the probe tells when it is under way, since others wait for it.
    pub fn tells_when_ready(&self) -> bool {
        self.is_open_ended() || matches!(self.turn(), Some((_, Lead::Leads)))
    }

    /// Whether it goes on until it is released, instead of ending by itself.
    pub fn is_open_ended(&self) -> bool {
        match self {
            Self::Inspect | Self::Listen => true,
            Self::Hold(errand) => !errand.takes(),
            Self::Link(_) | Self::Dial(_) | Self::Path(_) | Self::Tunnel(_) => false,
        }
    }
}

/// A participant's place in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    /// One of those that do theirs one after the other.
    Leads,
    /// One of those that go along with all of them.
    Follows,
}

/// Everybody's errands, by participant; nobody without one is in it.
pub type Errands = BTreeMap<NodeId, Vec<Errand>>;

/// What errands are planned from.
#[derive(Debug, Clone, Copy)]
pub struct Commission<'a> {
    /// The cluster.
    pub inventory: &'a Inventory,
    /// Its profiles.
    pub profiles: &'a [Profile],
    /// What was asked for.
    pub parameters: &'a Parameters,
    /// The port matrix that is made beside them.
    pub plan: &'a Plan,
    /// Nodes and vantages that take part, ascending; the workstation too, if it tests something.
    pub participants: &'a [NodeId],
}

impl Commission<'_> {
    /// Whether a group was selected.
    pub fn asks_for(&self, group: Group) -> bool {
        self.parameters.groups.contains(&group)
    }

    /// The participants that are nodes of the cluster, ascending.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let known = |node: &NodeId| self.inventory.node(*node).is_some();
        self.participants.iter().copied().filter(known)
    }
}

/// Plans the errands of a run. A retest makes none: it is about tests.
pub(crate) fn plan(commission: &Commission<'_>) -> Errands {
    let mut errands = Errands::new();
    if commission.parameters.retest.is_some() {
        return errands;
    }
    let about_hosts = [Group::L2, Group::L3, Group::Host];
    if about_hosts.iter().any(|group| commission.asks_for(*group)) {
        for node in commission.nodes() {
            errands.entry(node).or_default().push(Errand::Inspect);
        }
    }
    link::plan(commission, &mut errands);
    dial::plan(commission, &mut errands);
    path::plan(commission, &mut errands);
    if commission.parameters.active {
        hold::plan(commission, &mut errands);
        tunnel::plan(commission, &mut errands);
    }
    errands
}

/// The errands of those who stay, without anything that they should do with those who are left out.
pub(crate) fn without(errands: &Errands, left_out: &BTreeSet<NodeId>) -> Errands {
    let stays = |(node, _): &(&NodeId, &Vec<Errand>)| !left_out.contains(*node);
    let remain = |errands: &Vec<Errand>| {
        let errands = errands.iter().cloned();
        errands.filter_map(|errand| errand.without(left_out)).collect()
    };
    let mut rest: Errands = errands
        .iter()
        .filter(stays)
        .map(|(node, errands)| (*node, remain(errands)))
        .collect();
    rest.retain(|_, errands| !errands.is_empty());
    rest
}

/// ARP and ND packets that one probe sends in a second at most, over all of its errands: dynamic ARP inspection disables a
/// switch port above fifteen (Cisco's default), and others may be asking as well.
pub const MAX_LINK_PACKETS_A_SECOND: u32 = 5;
