//! L3-010: name servers answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    assumption::{Complaint, Explains, Lack, Ruling, Scene},
    cause::{Cause, CauseKind, Fix},
    errand::{self, DialTarget, Errand},
    id::NodeId,
    observation::{Answered, Asking, Dialled, NameSeen, ResponseCode},
    report::check::Check,
};

/// Name servers answer every node, over UDP and TCP, soon, and all alike.
pub(crate) const CHECK: Check = Check {
    id: "L3-010",
    asserts: "a node's name servers, and those that the inputs name, answer it over UDP and TCP, soon, and all alike",
    how: "each node asks each of them for the name of its own address (PTR), once over UDP and once over TCP, again if nothing comes; \
          that there is no such name is an answer",
    needs: "nothing",
    rule: "fails for a node none of whose name servers answers, and for a server of `external: name_servers` that does not answer; \
           warns if one of several does not, if it answers over one of UDP and TCP only, after more than 200 ms, or with another \
           name than the first one; not measured where one of UDP and TCP was not asked. Where no node's own name servers answer anybody it is left to EXT-001, since nothing else needs them yet; a \
           node that is a part of a machine (a namespace) has that one's name servers, of which nothing is said unless they answer",
    remedy: "let UDP and TCP port 53 through to the name servers, or mend /etc/resolv.conf",
    source: "RFC 1035 section 4.2, RFC 7766; resolv.conf(5)",
};

/// What is wrong with a server, as its askers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// The last hope of a node, or a server that was named.
    Dead,
    /// One of several.
    Silent,
    UdpOnly,
    TcpOnly,
    Slow,
    Disagrees,
}

/// Judges each server, with those together that see the same of it.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let given: BTreeSet<IpAddr> = scene.inventory.outward.name_servers.iter().copied().collect();
    let mut rulings = Vec::new();
    let mut seen: BTreeMap<NodeId, Vec<(&NameSeen, u32)>> = BTreeMap::new();
    for node in scene.nodes() {
        let errands = scene.plan.errands.get(&node).map_or(&[][..], Vec::as_slice);
        let asks = |errand: &Errand| match errand {
            Errand::Dial(dial) => dial
                .targets
                .iter()
                .any(|target| matches!(target, DialTarget::Question(_))),
            _ => false,
        };
        if !errands.iter().any(asks) {
            continue;
        }
        if let Some(lack) = scene.undone(node, errand::Kind::Dial) {
            rulings.push(Ruling::not_measured(scene.name(node), lack));
            continue;
        }
        let Ok(log) = scene.log(node) else { continue };
        let names = log.dialled.iter().filter_map(|told| match told.what {
            Dialled::Name(name) => Some((name, told.line)),
            _ => None,
        });
        seen.insert(node, names.collect());
    }
    let own_answer = |of_node: &Vec<(&NameSeen, u32)>| {
        of_node
            .iter()
            .any(|(name, _)| !given.contains(&name.server) && word(name).is_some())
    };
    let anybody = seen.values().any(own_answer);
    let mut troubles: BTreeMap<(IpAddr, Trouble), (BTreeSet<NodeId>, BTreeSet<u32>)> = BTreeMap::new();
    for (node, of_node) in &seen {
        let own = of_node.iter().filter(|(name, _)| !given.contains(&name.server));
        let is_answered = own_answer(of_node);
        let is_judged = is_answered
            || anybody
                && scene
                    .host(*node)
                    .is_ok_and(|host| scene.is_machine(*node, host.what));
        if own.clone().next().is_some() && !is_judged {
            let why = "its name servers do not answer; nothing that was asked for needs them, or EXT-001 tells of it".to_owned();
            rulings.push(Ruling::not_measured(scene.name(*node), Lack::ToldElsewhere(why)));
        }
        let first = own.clone().find_map(|(name, _)| word(name));
        let mut is_sound = true;
        let (mut judged, mut unasked) = (Vec::new(), Vec::new());
        for (name, line) in of_node {
            let is_given = given.contains(&name.server);
            if !is_given && !is_judged {
                continue;
            }
            if is_unasked(name) {
                unasked.push(name.server.to_string());
                continue;
            }
            judged.push(name.server.to_string());
            let silence = match is_given || !is_answered {
                true => Trouble::Dead,
                false => Trouble::Silent,
            };
            if let Some(trouble) = trouble(name, silence, first.filter(|_| !is_given)) {
                // None of a node's own answers: that is one complaint, about the first.
                let is_first = is_sound || is_given || trouble != Trouble::Dead;
                is_sound = false;
                if !is_first {
                    continue;
                }
                let entry = troubles.entry((name.server, trouble)).or_default();
                entry.0.insert(*node);
                entry.1.insert(*line);
            }
        }
        if !unasked.is_empty() {
            let why = format!(
                "{} {} not asked over both UDP and TCP",
                unasked.join(", "),
                if unasked.len() == 1 { "was" } else { "were" }
            );
            rulings.push(Ruling::not_measured(
                scene.name(*node),
                Lack::Other(Some(*node), why),
            ));
        } else if is_sound && !judged.is_empty() {
            let servers = judged.join(", ");
            rulings.push(Ruling::pass(
                scene.name(*node),
                format!("{servers} answer over UDP and TCP"),
            ));
        }
    }
    for ((server, trouble), (nodes, lines)) in troubles {
        rulings.push(complain(scene, server, trouble, &nodes, lines, seen.len()));
    }
    rulings
}

/// What a server said, over whichever transport.
fn word(name: &NameSeen) -> Option<&Answered> {
    [&name.udp, &name.tcp]
        .into_iter()
        .find_map(|asking| match asking {
            Asking::Answered(answered) => Some(answered),
            _ => None,
        })
}

/// Whether a transport was left out: time ran out, or the host's policy forbids it.
fn is_unasked(name: &NameSeen) -> bool {
    [&name.udp, &name.tcp]
        .iter()
        .any(|asking| matches!(asking, Asking::Unasked { .. }))
}

fn trouble(name: &NameSeen, silence: Trouble, first: Option<&Answered>) -> Option<Trouble> {
    match (&name.udp, &name.tcp) {
        (Asking::Answered(udp), Asking::Answered(tcp)) => {
            // Which code stands for a name that does not exist is every server's own way.
            let is_told =
                first.is_some_and(|first| first.code == ResponseCode::Ok) && udp.code == ResponseCode::Ok;
            let differs = |first: &Answered| is_told && first.told != udp.told;
            if udp.took_ms.min(tcp.took_ms) > SLOW_MS {
                Some(Trouble::Slow)
            } else {
                first.is_some_and(differs).then_some(Trouble::Disagrees)
            }
        }
        (Asking::Answered(_), _) => Some(Trouble::UdpOnly),
        (_, Asking::Answered(_)) => Some(Trouble::TcpOnly),
        _ => Some(silence),
    }
}

fn complain(
    scene: &Scene<'_>,
    server: IpAddr,
    trouble: Trouble,
    nodes: &BTreeSet<NodeId>,
    lines: BTreeSet<u32>,
    askers: usize,
) -> Ruling {
    let who = match nodes.len() {
        count if count == askers && count > 1 => format!("every one of {count} nodes"),
        count if count > MAX_NAMED => format!("{count} of {askers} nodes"),
        _ => nodes
            .iter()
            .map(|node| scene.name(*node))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let detail = match trouble {
        Trouble::Dead | Trouble::Silent => {
            format!("the name server {server} does not answer {who}, neither over UDP nor over TCP")
        }
        Trouble::UdpOnly => {
            format!("the name server {server} answers {who} over UDP and not over TCP: long answers are lost")
        }
        Trouble::TcpOnly => format!(
            "the name server {server} answers {who} over TCP and not over UDP: every name takes seconds"
        ),
        Trouble::Slow => format!("the name server {server} takes more than {SLOW_MS} ms to answer {who}"),
        Trouble::Disagrees => {
            format!("the name server {server} tells {who} something else than the first one does")
        }
    };
    let text = match trouble {
        Trouble::Disagrees => {
            "Let all name servers of a node serve the same zones: which one is asked is chance."
        }
        Trouble::Slow => "See how far away it is, and whether what it forwards to answers.",
        _ => "Let UDP and TCP port 53 through to it, start it, or take it out of /etc/resolv.conf.",
    };
    let complaint = Complaint {
        cause: Cause {
            kind: CauseKind::NameServer,
            node: nodes.first().copied().filter(|_| nodes.len() == 1 && askers > 1),
            between: None,
            detail,
        },
        fix: Fix {
            text: text.to_owned(),
            commands: Vec::new(),
        },
        evidence: lines.into_iter().collect(),
        explains: Explains::default(),
    };
    match trouble {
        Trouble::Dead => Ruling::fail(server.to_string(), complaint),
        _ => Ruling::warn(server.to_string(), complaint),
    }
}

/// The catalogue's limit: every name that is looked up waits for it.
const SLOW_MS: u32 = 200;

/// Nodes that a sentence names.
const MAX_NAMED: usize = 4;
