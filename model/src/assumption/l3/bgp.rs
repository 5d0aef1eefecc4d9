//! L3-009: the routers speak BGP with the control plane nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    assumption::{Complaint, Explains, Lack, Ruling, Scene},
    cause::{Cause, CauseKind, Fix},
    cluster::BgpPeer,
    errand::{self, bgp_sessions, has_bgp_session},
    evidence::SwarmKind,
    id::NodeId,
    observation::{Dialled, NoConnection, PeerOutcome, PeerSeen, PeerWord, Unasked},
    report::check::Check,
    verdict::{Cell, Outcome},
};

/// The routers speak BGP with the control plane nodes.
pub(crate) const CHECK: Check = Check {
    id: "L3-009",
    asserts: "each BGP peer of the control plane takes the connections of its nodes, and is of the autonomous system that the file says",
    how: "each control plane node connects to TCP port 179 of its peers and reads what they say by themselves, without a word; with \
          --active it says an OPEN, reads the answer and leaves by a NOTIFICATION (cease) before a session comes to be; never from a \
          live node or beside a BGP speaker of the host",
    needs: "nothing; --active to hear what the router thinks of the cluster's own number",
    rule: "fails if no node gets a connection, if a router turns all of them away, if it says another AS than the file, if it refuses \
           the cluster's own or says nothing to its OPEN, or if it is no BGP speaker; warns if that concerns some nodes only; a router that waits for an OPEN \
           passes; not measured of live nodes, beside a BGP speaker of the host, and with --active where no OPEN could be said. Sessions from floating IPs are not measured: nobody has these addresses before installation",
    remedy: "configure each node as a neighbour at the router, with the cluster's AS, or mend bgpPeers and localASN in the cluster file",
    source: "RFC 4271 sections 6.2 and 8.2, RFC 4486; configure bundled load balancers with BGP: no MD5 passwords, no IPv6 peers",
};

/// What is wrong between a node and a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// No connection.
    Unreached(NoConnection),
    /// It takes the connection and ends it.
    TurnedAway,
    /// It is of another AS.
    OtherAs(u32),
    /// It expects another AS of the cluster.
    OurAs,
    /// It ends the conversation for another reason (RFC 4271 section 4.5).
    Notified(u8, u8),
    /// It takes the connection and says nothing, not even to an OPEN.
    Mute,
    /// It says an OPEN, and nothing to the cluster's.
    Unanswering,
    /// It speaks something else.
    NotBgp,
}

/// How a node stands to a router.
enum Standing {
    Fine(String),
    Wrong(Trouble),
    Unknown(Lack),
}

/// Nodes by what is wrong between them and a router.
type Troubled = BTreeMap<Trouble, Vec<NodeId>>;

/// Judges every router; what several do alike to the same nodes for want of a connection is one complaint.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    if scene.ledger.run.parameters.swarm == SwarmKind::Lab {
        // A rehearsal has no routers of anybody's.
        return Vec::new();
    }
    let mut rulings = Vec::new();
    let mut wrong: BTreeMap<(Trouble, Vec<NodeId>, bool), Vec<&BgpPeer>> = BTreeMap::new();
    let mut apart = Vec::new();
    let mut lines = BTreeSet::new();
    for peer in bgp_sessions(scene.inventory) {
        let mut troubled = Troubled::new();
        let mut fine = 0;
        for node in scene
            .nodes()
            .filter(|node| has_bgp_session(scene.inventory, peer, *node))
        {
            let subject = format!("{} to {}", scene.name(node), peer.address);
            match standing(scene, node, peer, &mut lines) {
                Standing::Fine(said) => {
                    fine += 1;
                    rulings.push(Ruling::pass(subject, said));
                }
                Standing::Wrong(Trouble::Unreached(_)) if is_cut_off(scene, node) => {
                    let why =
                        "it reaches hardly any other node either, which is told of the ports".to_owned();
                    rulings.push(Ruling::not_measured(subject, Lack::ToldElsewhere(why)));
                }
                Standing::Wrong(trouble) => troubled.entry(trouble).or_default().push(node),
                Standing::Unknown(lack) => rulings.push(Ruling::not_measured(subject, lack)),
            }
        }
        let is_all = fine == 0 && troubled.len() == 1;
        for (trouble, nodes) in troubled {
            match trouble {
                Trouble::Unreached(_) => wrong.entry((trouble, nodes, is_all)).or_default().push(peer),
                _ => apart.push((trouble, nodes, is_all, vec![peer])),
            }
        }
    }
    let joined = wrong
        .into_iter()
        .map(|((trouble, nodes, is_all), peers)| (trouble, nodes, is_all, peers));
    for (trouble, nodes, is_all, peers) in joined.chain(apart) {
        let evidence = lines.iter().filter(|(node, address, _)| {
            nodes.contains(node) && peers.iter().any(|peer| peer.address == *address)
        });
        let subject: Vec<String> = peers.iter().map(|peer| peer.address.to_string()).collect();
        let complaint = Complaint {
            cause: Cause {
                kind: CauseKind::BgpPeer,
                // A router is no node; where it takes others' connections the one node may be to blame.
                node: nodes.first().copied().filter(|_| nodes.len() == 1 && !is_all),
                between: None,
                detail: detail(scene, trouble, &nodes, &peers),
            },
            fix: fix(trouble, &nodes, &peers),
            evidence: evidence.map(|(_, _, line)| *line).collect(),
            explains: Explains::default(),
        };
        let is_of_some = matches!(
            trouble,
            Trouble::Unreached(_)
                | Trouble::TurnedAway
                | Trouble::Mute
                | Trouble::Unanswering
                | Trouble::Notified(..)
        ) && !is_all;
        rulings.push(if is_of_some {
            Ruling::warn(subject.join(", "), complaint)
        } else {
            Ruling::fail(subject.join(", "), complaint)
        });
    }
    rulings
}

fn standing(
    scene: &Scene<'_>,
    node: NodeId,
    peer: &BgpPeer,
    lines: &mut BTreeSet<(NodeId, IpAddr, u32)>,
) -> Standing {
    if scene.ledger.is_live(node) {
        return Standing::Unknown(Lack::LiveNode);
    }
    if let Some(lack) = scene.undone(node, errand::Kind::Dial) {
        return Standing::Unknown(lack);
    }
    let log = match scene.log(node) {
        Ok(log) => log,
        Err(lack) => return Standing::Unknown(lack),
    };
    let seen = log.dialled.iter().find_map(|told| match told.what {
        Dialled::Peer(seen) if seen.address == peer.address => Some((seen, told.line)),
        _ => None,
    });
    let Some((seen, line)) = seen else {
        let why = format!("the probe told nothing of {}", peer.address);
        return Standing::Unknown(Lack::Other(Some(node), why));
    };
    lines.insert((node, peer.address, line));
    let standing = weigh(seen, peer, node);
    let is_open_missing = scene.ledger.run.parameters.active && peer.local_asn.is_some();
    match (&standing, seen.outcome) {
        (Standing::Fine(_), PeerOutcome::Connected { answered: None, .. }) if is_open_missing => {
            let why = "its routers were said no OPEN: the node's local policy forbids it, or they were gone by then";
            Standing::Unknown(Lack::Other(Some(node), why.to_owned()))
        }
        _ => standing,
    }
}

/// What a router's words mean.
fn weigh(seen: &PeerSeen, peer: &BgpPeer, node: NodeId) -> Standing {
    let unknown = |why: &str| Standing::Unknown(Lack::Other(Some(node), why.to_owned()));
    let (said, answered) = match seen.outcome {
        PeerOutcome::Unasked { why: Unasked::Policy }
        | PeerOutcome::NoConnection {
            why: NoConnection::Policy,
        } => return unknown("the node's local policy does not allow it"),
        PeerOutcome::Unasked { .. } => return unknown("there was no time left"),
        PeerOutcome::Occupied => {
            return unknown(
                "somebody speaks BGP on this host, whose sessions are left alone: ask it for them",
            );
        }
        PeerOutcome::NoConnection {
            why: NoConnection::Other { errno },
        } => return unknown(&format!("the kernel did not connect (errno {errno})")),
        PeerOutcome::NoConnection { why } => return Standing::Wrong(Trouble::Unreached(why)),
        PeerOutcome::Connected { said, answered } => (said, answered),
    };
    let has_opened = |word: PeerWord| matches!(word, PeerWord::Open { .. });
    match (said, answered) {
        (PeerWord::Nothing, Some(PeerWord::Nothing)) => return Standing::Wrong(Trouble::Mute),
        // RFC 4271 section 8.2.2: an OPEN comes before any KEEPALIVE.
        (said, Some(PeerWord::Keepalive)) if !has_opened(said) => return Standing::Wrong(Trouble::NotBgp),
        _ => {}
    }
    // RFC 4271 section 8.2.2 (OpenSent): to an OPEN that it takes a speaker says KEEPALIVE, to another NOTIFICATION.
    if answered == Some(PeerWord::Nothing) && matches!(said, PeerWord::Open { asn, .. } if asn == peer.asn) {
        return Standing::Wrong(Trouble::Unanswering);
    }
    let mut fine = "it takes connections, and waits for an OPEN before it says anything".to_owned();
    for word in [Some(said), answered].into_iter().flatten() {
        match word {
            PeerWord::Open { asn, .. } if asn != peer.asn => return Standing::Wrong(Trouble::OtherAs(asn)),
            PeerWord::Open { asn, identifier, .. } => {
                fine = format!("it says that it is {identifier} of AS {asn}, as the file has it");
            }
            PeerWord::Keepalive => fine.push_str(", and agrees with the cluster's AS"),
            PeerWord::Notification { code, subcode } => return Standing::Wrong(notified(code, subcode)),
            PeerWord::Closed | PeerWord::Reset => return Standing::Wrong(Trouble::TurnedAway),
            PeerWord::Garbage => return Standing::Wrong(Trouble::NotBgp),
            PeerWord::Nothing => {}
        }
    }
    Standing::Fine(fine)
}

/// RFC 4271 section 4.5 and RFC 4486 have the numbers.
fn notified(code: u8, subcode: u8) -> Trouble {
    match (code, subcode) {
        (2, 2) => Trouble::OurAs,
        (6, 3 | 5) => Trouble::TurnedAway,
        _ => Trouble::Notified(code, subcode),
    }
}

/// Whether a node reaches nothing of most other nodes, so that a missing connection is of the same cause.
fn is_cut_off(scene: &Scene<'_>, node: NodeId) -> bool {
    let mut reached: BTreeMap<NodeId, bool> = BTreeMap::new();
    for pair in scene.pairs.iter().filter(|pair| pair.src == node) {
        let is_gone = |cell: &Cell| {
            matches!(
                cell.outcome,
                Outcome::FilteredForward
                    | Outcome::FilteredReturn
                    | Outcome::Filtered
                    | Outcome::LocalBlocked
                    | Outcome::NoRoute
                    | Outcome::NeighborUnresolved
            )
        };
        *reached.entry(pair.dst).or_default() |= !pair.cells.iter().all(is_gone);
    }
    let missed = reached.values().filter(|is_reached| !**is_reached).count();
    !reached.is_empty() && missed * 2 > reached.len()
}

fn detail(scene: &Scene<'_>, trouble: Trouble, nodes: &[NodeId], peers: &[&BgpPeer]) -> String {
    let routers: Vec<String> = peers.iter().map(|peer| peer.address.to_string()).collect();
    let routers = routers.join(" and ");
    let names: Vec<String> = nodes.iter().map(|node| scene.name(*node)).collect();
    let names = names.join(", ");
    let expected = peers.first().map_or(0, |peer| peer.asn);
    let own = own_as(peers);
    match trouble {
        Trouble::Unreached(NoConnection::Refused) => {
            format!("BGP peer {routers} refuses TCP port 179 to {names}: it speaks no BGP, or not with them")
        }
        Trouble::Unreached(NoConnection::Denied) => {
            format!(
                "{names} may not send to TCP port 179 of BGP peer {routers}: its own packet filter stops it"
            )
        }
        Trouble::Unreached(NoConnection::Unreachable) => {
            format!("{names} has no route to BGP peer {routers}, or is told on the way that there is none")
        }
        Trouble::Unreached(_) => format!(
            "BGP peer {routers} answers nothing at TCP port 179 to {names}: it is not there, somebody on the way drops it, or it \
             wants TCP MD5 passwords, which the cluster's speakers do not have"
        ),
        Trouble::TurnedAway => format!(
            "BGP peer {routers} takes the connection of {names} and ends it at once: they are none of its neighbours, or not enabled"
        ),
        Trouble::OtherAs(asn) => format!(
            "BGP peer {routers} says to {names} that it is of AS {asn}, and the cluster file says AS {expected}"
        ),
        Trouble::OurAs => format!(
            "BGP peer {routers} does not accept {own}, the cluster's own, of {names}: it expects another (NOTIFICATION 2/2, bad peer AS)"
        ),
        Trouble::Notified(code, subcode) => {
            format!("BGP peer {routers} ends the conversation with {names} by NOTIFICATION {code}/{subcode}")
        }
        Trouble::Mute => format!(
            "BGP peer {routers} takes the connection of {names} and says nothing, not even to an OPEN"
        ),
        Trouble::Unanswering => format!(
            "BGP peer {routers} says an OPEN to {names}, and to theirs neither KEEPALIVE nor NOTIFICATION: no session comes of it"
        ),
        Trouble::NotBgp => {
            format!("what listens at TCP port 179 of BGP peer {routers} does not speak BGP-4 with {names}")
        }
    }
}

/// The cluster's own number, or where it is to be written.
fn own_as(peers: &[&BgpPeer]) -> String {
    let number = peers.first().and_then(|peer| peer.local_asn);
    number.map_or_else(
        || {
            "the AS that is still to be written as `spec.loadBalancer.localASN` of the cluster file"
                .to_owned()
        },
        |number| format!("AS {number}"),
    )
}

fn fix(trouble: Trouble, nodes: &[NodeId], peers: &[&BgpPeer]) -> Fix {
    let expected = peers.first().map_or(0, |peer| peer.asn);
    let own = own_as(peers);
    // Where the file does not have the cluster's number yet, nobody can type it.
    let neighbours = |number: u32| {
        let addresses = nodes.iter().filter_map(|node| node.address());
        let neighbours = addresses.map(|address| format!("neighbor {address} remote-as {number}"));
        let router = std::iter::once(format!("router bgp {expected}"));
        router.chain(neighbours).collect::<Vec<String>>()
    };
    let lines = || {
        let number = peers.first().and_then(|peer| peer.local_asn);
        number.map_or_else(Vec::new, neighbours)
    };
    let routers: Vec<String> = peers.iter().map(|peer| peer.address.to_string()).collect();
    let (text, commands) = match trouble {
        Trouble::Unreached(NoConnection::Denied) => (
            "Let the node's own packet filter pass TCP port 179 to its peers.".to_owned(),
            vec!["nft list ruleset".to_owned()],
        ),
        Trouble::Unreached(_) => (
            format!(
                "Have BGP enabled at {} with these nodes as neighbours, without a password, and TCP port 179 let through on the way; \
                 or mend `ip` in `spec.loadBalancer.bgpPeers` of the cluster file.",
                routers.join(" and ")
            ),
            lines(),
        ),
        Trouble::TurnedAway | Trouble::Mute | Trouble::Notified(..) => (
            format!("Configure these nodes as neighbours of {own} at the router, and enable them."),
            lines(),
        ),
        Trouble::Unanswering => (
            format!(
                "See in the router's log what becomes of an OPEN of {own} from these nodes, and why its answer does not come."
            ),
            lines(),
        ),
        Trouble::OtherAs(asn) => (
            format!(
                "Write `asn: {asn}` for this peer in `spec.loadBalancer.bgpPeers` of the cluster file, or have the router speak as AS \
                 {expected}."
            ),
            Vec::new(),
        ),
        Trouble::OurAs => (
            format!(
                "Have the router expect {own} of these nodes, or write the number that it expects as `spec.loadBalancer.localASN` of \
                 the cluster file."
            ),
            lines(),
        ),
        Trouble::NotBgp => (
            "Mend `ip` in `spec.loadBalancer.bgpPeers` of the cluster file: it is no router's.".to_owned(),
            Vec::new(),
        ),
    };
    Fix { text, commands }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::BgpUse;

    const SAID: PeerWord = PeerWord::Open {
        asn: 65_000,
        hold_time_s: 180,
        identifier: std::net::Ipv4Addr::new(10, 0, 0, 1),
    };

    fn peer(local_asn: Option<u32>) -> BgpPeer {
        BgpPeer {
            address: [10, 0, 0, 1].into(),
            asn: 65_000,
            local_asn,
            used_by: BgpUse::ControlPlane,
            control_plane_nodes: Vec::new(),
        }
    }

    fn trouble(outcome: PeerOutcome) -> Option<Trouble> {
        let peer = peer(Some(65_001));
        let seen = PeerSeen {
            address: peer.address,
            outcome,
        };
        match weigh(&seen, &peer, NodeId::Address([10, 0, 0, 2].into())) {
            Standing::Wrong(trouble) => Some(trouble),
            Standing::Fine(_) | Standing::Unknown(_) => None,
        }
    }

    fn connected(said: PeerWord, answered: Option<PeerWord>) -> PeerOutcome {
        PeerOutcome::Connected { said, answered }
    }

    #[test]
    fn a_router_that_waits_for_an_open_is_not_held_to_be_absent() {
        assert_eq!(trouble(connected(PeerWord::Nothing, None)), None);
        assert_eq!(trouble(connected(SAID, Some(PeerWord::Keepalive))), None);
    }

    #[test]
    fn what_a_router_says_first_outweighs_what_it_answers() {
        let other = PeerWord::Open {
            asn: 65_009,
            hold_time_s: 0,
            identifier: [10, 0, 0, 1].into(),
        };
        let refused = PeerWord::Notification { code: 2, subcode: 2 };
        assert_eq!(
            trouble(connected(other, Some(refused))),
            Some(Trouble::OtherAs(65_009))
        );
        assert_eq!(trouble(connected(SAID, Some(refused))), Some(Trouble::OurAs));
    }

    #[test]
    fn who_hangs_up_or_rejects_knows_no_such_neighbour() {
        let rejected = PeerWord::Notification { code: 6, subcode: 5 };
        for word in [PeerWord::Closed, PeerWord::Reset, rejected] {
            assert_eq!(trouble(connected(word, None)), Some(Trouble::TurnedAway));
        }
        let shut_down = PeerWord::Notification { code: 6, subcode: 2 };
        assert_eq!(trouble(connected(shut_down, None)), Some(Trouble::Notified(6, 2)));
    }

    #[test]
    fn who_says_no_open_after_ours_is_no_peer() {
        let mute = connected(PeerWord::Nothing, Some(PeerWord::Nothing));
        assert_eq!(trouble(mute), Some(Trouble::Mute));
        let agrees_to_nothing = connected(PeerWord::Nothing, Some(PeerWord::Keepalive));
        assert_eq!(trouble(agrees_to_nothing), Some(Trouble::NotBgp));
    }

    #[test]
    fn who_says_an_open_and_nothing_to_ours_has_no_session_with_us() {
        let other = PeerWord::Open {
            asn: 65_009,
            hold_time_s: 0,
            identifier: [10, 0, 0, 1].into(),
        };
        let answers_nothing = |said| trouble(connected(said, Some(PeerWord::Nothing)));
        assert_eq!(answers_nothing(SAID), Some(Trouble::Unanswering));
        assert_eq!(
            answers_nothing(other),
            Some(Trouble::OtherAs(65_009)),
            "which says why"
        );
    }

    #[test]
    fn no_command_has_a_number_that_nobody_wrote_or_renumbers_a_router() {
        let node = NodeId::Address([10, 0, 0, 2].into());
        for trouble in [
            Trouble::Unreached(NoConnection::Silent),
            Trouble::TurnedAway,
            Trouble::Mute,
            Trouble::Unanswering,
        ] {
            let known = fix(trouble, &[node], &[&peer(Some(65_001))]).commands;
            assert_eq!(known, ["router bgp 65000", "neighbor 10.0.0.2 remote-as 65001"]);
            let unknown = fix(trouble, &[node], &[&peer(None)]);
            assert_eq!(unknown.commands, Vec::<String>::new());
            assert!(!unknown.text.contains("AS 0"), "{}", unknown.text);
        }
        let other = fix(Trouble::OtherAs(65_009), &[node], &[&peer(Some(65_001))]);
        assert_eq!(other.commands, Vec::<String>::new());
    }

    #[test]
    fn what_was_not_asked_is_held_against_nobody() {
        let unasked = PeerOutcome::Unasked { why: Unasked::Time };
        assert_eq!(trouble(unasked), None);
        assert_eq!(trouble(PeerOutcome::Occupied), None);
        let own = NoConnection::Other { errno: 24 };
        assert_eq!(trouble(PeerOutcome::NoConnection { why: own }), None);
    }

    /// Two control plane nodes with one router; the first tells this of it, and the second all that one may hear.
    fn told(active: bool, outcome: PeerOutcome) -> crate::report::Report {
        use crate::{
            errand::{Depth, DialErrand, DialTarget, Errand, PeerTarget},
            evidence::Group,
            id::Role,
            inventory::{LoadBalancerMode, LoadBalancerType},
            observation::Record,
            report::stage::{CP, LB, Stage, node},
        };
        let address = [10, 0, 0, 254].into();
        let mut stage = Stage::of(&[CP, LB]).with_inventory(|inventory| {
            (inventory.load_balancer_mode, inventory.load_balancer_type) =
                (LoadBalancerMode::Bundled, LoadBalancerType::Bgp);
            for own in &mut inventory.nodes {
                own.roles.insert(Role::ControlPlane);
            }
            inventory.outward.bgp_peers = vec![BgpPeer {
                address,
                asn: 65_000,
                local_asn: Some(65_001),
                used_by: BgpUse::ControlPlane,
                control_plane_nodes: Vec::new(),
            }];
        });
        stage.parameters.groups = vec![Group::L3];
        (stage.parameters.active, stage.parameters.swarm) = (active, SwarmKind::Joined);
        for (on, outcome) in [(CP, outcome), (LB, connected(SAID, Some(PeerWord::Keepalive)))] {
            let target = DialTarget::Peer(PeerTarget {
                address,
                local_as: 65_001,
                peer_as: 65_000,
                depth: if active { Depth::Open } else { Depth::Connect },
            });
            let errand = DialErrand {
                targets: vec![target],
                ..DialErrand::default()
            };
            stage
                .plan
                .errands
                .entry(node(on))
                .or_default()
                .push(Errand::Dial(errand));
            stage = stage.tells(on, Record::Dialled(Dialled::Peer(PeerSeen { address, outcome })));
        }
        stage.report()
    }

    #[test]
    fn a_node_that_was_asked_for_an_open_and_said_none_leaves_the_run_incomplete() {
        use crate::report::{Status, Verdict};
        let silent = |active| told(active, connected(SAID, None));
        assert_eq!(silent(false).verdict, Verdict::Passed);
        let report = silent(true);
        assert_eq!((report.verdict, report.findings.len()), (Verdict::Incomplete, 1));
        assert_eq!(report.findings[0].status, Status::NotMeasured);
        assert!(
            report.findings[0].cause.detail.contains("OPEN"),
            "{:?}",
            report.findings[0]
        );
    }

    #[test]
    fn a_host_on_which_somebody_speaks_bgp_leaves_the_run_incomplete() {
        use crate::report::Verdict;
        let report = told(false, PeerOutcome::Occupied);
        assert_eq!((report.verdict, report.findings.len()), (Verdict::Incomplete, 1));
        let detail = &report.findings[0].cause.detail;
        assert!(detail.contains("somebody speaks BGP on this host"), "{detail}");
    }
}
