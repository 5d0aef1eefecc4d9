//! L3-010: name servers answer.
//!
//! ```text
//!   node A:  10.0.0.53 mute, 10.0.0.54 answers   \   by what is wrong and who suffers it:
//!   node B:  10.0.0.53 mute, 10.0.0.54 mute       >    mute, one of several | A | 10.0.0.53
//!   node C:  10.0.0.53 mute, 10.0.0.54 mute      /     mute, the last ones  | B, C | 10.0.0.53, 10.0.0.54
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    assumption::{Complaint, Explains, Lack, Ruling, Scene, crowd::Crowd},
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
          that there is no such name is an answer, that the server fails (SERVFAIL) or does not want to (REFUSED) is none",
    needs: "nothing",
    rule: "fails for a node none of whose name servers answers, and for a server of `external: name_servers` that does not answer; \
           warns if one of several does not, if all that is known of a server is that it failed (SERVFAIL), which may be the matter of \
           this one question, if it answers over one of UDP and TCP only, after more than 200 ms, or with another \
           name than the first one; not measured where one of UDP and TCP was not asked. Where no node's own name servers say a \
           word to anybody it is left to EXT-001, since nothing else needs them yet; a \
           node that is a part of a machine (a namespace) has that one's name servers, of which nothing is said unless they say a word",
    remedy: "let UDP and TCP port 53 through to the name servers, let them answer the nodes' addresses, or mend /etc/resolv.conf",
    source: "RFC 1035 sections 4.1.1 and 4.2, RFC 7766; resolv.conf(5)",
};

/// What is wrong with a server, as its askers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// Nothing came over either transport.
    Mute,
    /// What came is no answer to the question.
    Nonsense,
    /// It says that it fails or does not want to.
    Unwilling(ResponseCode),
    UdpOnly,
    TcpOnly,
    Slow,
    Disagrees,
}

/// Whose word on a server a node took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// Its own `/etc/resolv.conf`.
    Own,
    /// `external: name_servers` of the inputs.
    Given,
}

/// A server's trouble, and how much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wrong {
    trouble: Trouble,
    origin: Origin,
    /// Whether the node has no other that answers, or the inputs say that this one must.
    is_needed: bool,
}

/// One server as a node saw it.
#[derive(Clone, Copy)]
struct Sight<'a> {
    name: &'a NameSeen,
    line: u32,
    origin: Origin,
}

/// What a node saw: each server once.
type Sights<'a> = Vec<Sight<'a>>;

/// Judges each server, with those together that see the same of it.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let mut rulings = Vec::new();
    let mut seen: BTreeMap<NodeId, Sights<'_>> = BTreeMap::new();
    for node in scene.nodes().filter(|node| asks(scene, *node)) {
        match (scene.undone(node, errand::Kind::Dial), sights(scene, node)) {
            (Some(lack), _) => rulings.push(Ruling::not_measured(scene.name(node), lack)),
            (None, Some(sights)) => {
                seen.insert(node, sights);
            }
            (None, None) => {}
        }
    }
    let is_anybody_told = seen.values().any(|sights| has_own(sights, &is_heard));
    let mut suffered = Sufferings::new();
    for (node, sights) in &seen {
        let is_judged = has_own(sights, &is_heard) || is_anybody_told && is_machine(scene, *node);
        rulings.extend(of_node(scene, *node, sights, is_judged, &mut suffered));
    }
    for ((wrong, nodes), (servers, lines)) in together(suffered) {
        rulings.push(complain(scene, wrong, &servers, &nodes, lines, seen.len()));
    }
    rulings
}

/// Who suffers a server in which way, with the lines that say so.
type Sufferings = BTreeMap<(Wrong, IpAddr), (BTreeSet<NodeId>, BTreeSet<u32>)>;

/// Of which servers nodes suffer something, with the lines that say so.
type Joined = BTreeMap<(Wrong, BTreeSet<NodeId>), (Vec<IpAddr>, BTreeSet<u32>)>;

/// Servers of which the same nodes suffer the same are one complaint.
fn together(suffered: Sufferings) -> Joined {
    let mut joined = Joined::new();
    for ((wrong, server), (nodes, lines)) in suffered {
        let entry = joined.entry((wrong, nodes)).or_default();
        entry.0.push(server);
        entry.1.extend(lines);
    }
    joined
}

/// Whether a node was to ask name servers.
fn asks(scene: &Scene<'_>, node: NodeId) -> bool {
    let errands = scene.plan.errands.get(&node).map_or(&[][..], Vec::as_slice);
    let mut dials = errands.iter().filter_map(|errand| match errand {
        Errand::Dial(dial) => Some(dial),
        _ => None,
    });
    dials.any(|dial| {
        let mut targets = dial.targets.iter();
        targets.any(|target| matches!(target, DialTarget::Question(_)))
    })
}

/// What a node saw of each server, by the better of two answers where the host names a server that the inputs name as well;
/// `None` if its probe is gone.
fn sights<'a>(scene: &Scene<'a>, node: NodeId) -> Option<Sights<'a>> {
    let given = &scene.inventory.outward.name_servers;
    let mut sights: Sights<'a> = Vec::new();
    for told in &scene.log(node).ok()?.dialled {
        let Dialled::Name(name) = told.what else { continue };
        let origin = match given.contains(&name.server) {
            true => Origin::Given,
            false => Origin::Own,
        };
        let sight = Sight {
            name,
            line: told.line,
            origin,
        };
        match sights.iter_mut().find(|known| known.name.server == name.server) {
            Some(known) if usable(known.name) < usable(name) => *known = sight,
            Some(_) => {}
            None => sights.push(sight),
        }
    }
    Some(sights)
}

/// What a host has of the machine that it is a part of says nothing of it.
fn is_machine(scene: &Scene<'_>, node: NodeId) -> bool {
    let host = scene.host(node);
    host.is_ok_and(|host| scene.is_machine(node, host.what))
}

/// Whether one of the node's own servers is so.
fn has_own(sights: &Sights<'_>, is_so: &dyn Fn(&NameSeen) -> bool) -> bool {
    let mut own = sights.iter().filter(|sight| sight.origin == Origin::Own);
    own.any(|sight| is_so(sight.name))
}

/// The rows of a node that say nothing against a server; what is to be said against one is noted.
fn of_node(
    scene: &Scene<'_>,
    node: NodeId,
    sights: &Sights<'_>,
    is_judged: bool,
    suffered: &mut Sufferings,
) -> Vec<Ruling> {
    let mut rulings = Vec::new();
    if !is_judged && has_own(sights, &|_| true) {
        let why =
            "its name servers do not answer; nothing that was asked for needs them, or EXT-001 tells of it";
        let subject = format!("/etc/resolv.conf of {}", scene.name(node));
        rulings.push(Ruling::not_measured(subject, Lack::ToldElsewhere(why.to_owned())));
    }
    let is_answered = has_own(sights, &|name| usable(name) > 0);
    let own = sights.iter().filter(|sight| sight.origin == Origin::Own);
    let first = own
        .clone()
        .find_map(|sight| answer(&sight.name.udp).or_else(|| answer(&sight.name.tcp)));
    let judged = sights
        .iter()
        .filter(|sight| is_judged || sight.origin == Origin::Given);
    let (unasked, judged): (Sights<'_>, Sights<'_>) = judged.partition(|sight| is_unasked(sight.name));
    let mut is_sound = true;
    for sight in &judged {
        let first = first.filter(|_| sight.origin == Origin::Own);
        if let Some(trouble) = trouble(sight.name, first) {
            is_sound = false;
            let wrong = Wrong {
                trouble,
                origin: sight.origin,
                is_needed: sight.origin == Origin::Given || !is_answered,
            };
            let entry = suffered.entry((wrong, sight.name.server)).or_default();
            entry.0.insert(node);
            entry.1.insert(sight.line);
        }
    }
    if !unasked.is_empty() {
        let were = if unasked.len() == 1 { "was" } else { "were" };
        let why = format!("{} {were} not asked over both UDP and TCP", listed(&unasked));
        rulings.push(Ruling::not_measured(
            scene.name(node),
            Lack::Other(Some(node), why),
        ));
    } else if is_sound && !judged.is_empty() {
        let said = match judged.len() {
            1 => format!("{} answers over UDP and TCP", listed(&judged)),
            _ => format!("{} answer over UDP and TCP", listed(&judged)),
        };
        rulings.push(Ruling::pass(scene.name(node), said));
    }
    rulings
}

fn listed(sights: &Sights<'_>) -> String {
    let servers: Vec<String> = sights.iter().map(|sight| sight.name.server.to_string()).collect();
    servers.join(", ")
}

/// What came over a transport, if it is a word on the question: a name, or that there is none.
fn answer(asking: &Asking) -> Option<&Answered> {
    match asking {
        Asking::Answered(answered) if is_word(answered.code) => Some(answered),
        _ => None,
    }
}

fn is_word(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::Ok | ResponseCode::NoSuchName)
}

/// Over how many of the two transports it answers.
fn usable(name: &NameSeen) -> usize {
    let both = [&name.udp, &name.tcp];
    both.into_iter().filter(|asking| answer(asking).is_some()).count()
}

/// Whether it said anything, be it that it fails.
fn is_heard(name: &NameSeen) -> bool {
    let both = [&name.udp, &name.tcp];
    both.iter().any(|asking| matches!(asking, Asking::Answered(_)))
}

/// Whether a transport was left out: time ran out, or the host's policy forbids it.
fn is_unasked(name: &NameSeen) -> bool {
    let both = [&name.udp, &name.tcp];
    both.iter().any(|asking| matches!(asking, Asking::Unasked { .. }))
}

fn trouble(name: &NameSeen, first: Option<&Answered>) -> Option<Trouble> {
    let (udp, tcp) = match (answer(&name.udp), answer(&name.tcp)) {
        (Some(udp), Some(tcp)) => (udp, tcp),
        (Some(_), None) => return Some(Trouble::UdpOnly),
        (None, Some(_)) => return Some(Trouble::TcpOnly),
        (None, None) => return Some(silence(name)),
    };
    // Which code stands for a name that does not exist is every server's own way.
    let is_told = |answered: &Answered| answered.code == ResponseCode::Ok;
    let differs = |first: &Answered| is_told(first) && is_told(udp) && first.told != udp.told;
    if udp.took_ms.min(tcp.took_ms) > SLOW_MS {
        return Some(Trouble::Slow);
    }
    first.is_some_and(differs).then_some(Trouble::Disagrees)
}

/// What a server did that did not answer.
fn silence(name: &NameSeen) -> Trouble {
    let both = [&name.udp, &name.tcp];
    let code = both.iter().find_map(|asking| match asking {
        Asking::Answered(answered) => Some(answered.code),
        _ => None,
    });
    match code {
        Some(code) => Trouble::Unwilling(code),
        None if both.iter().any(|asking| matches!(asking, Asking::Garbage)) => Trouble::Nonsense,
        None => Trouble::Mute,
    }
}

fn complain(
    scene: &Scene<'_>,
    wrong: Wrong,
    servers: &[IpAddr],
    nodes: &BTreeSet<NodeId>,
    lines: BTreeSet<u32>,
    askers: usize,
) -> Ruling {
    let subject: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let crowd = Crowd::of(scene, nodes, askers, "node");
    let complaint = Complaint {
        cause: Cause {
            kind: CauseKind::NameServer,
            node: nodes.first().copied().filter(|_| nodes.len() == 1 && askers > 1),
            between: None,
            detail: detail(wrong.trouble, &subject, &crowd),
        },
        fix: Fix {
            text: remedy(wrong, servers.len()),
            commands: Vec::new(),
        },
        evidence: lines.into_iter().collect(),
        explains: Explains::default(),
    };
    // That one question made a server fail may be the matter of the zone that was asked for.
    let is_sure = match wrong.trouble {
        Trouble::Mute | Trouble::Nonsense => true,
        Trouble::Unwilling(code) => code != ResponseCode::ServerFailed,
        Trouble::UdpOnly | Trouble::TcpOnly | Trouble::Slow | Trouble::Disagrees => false,
    };
    match is_sure && wrong.is_needed {
        true => Ruling::fail(subject.join(", "), complaint),
        false => Ruling::warn(subject.join(", "), complaint),
    }
}

/// One sentence.
fn detail(trouble: Trouble, servers: &[String], crowd: &Crowd) -> String {
    let (what, s) = match servers.len() {
        1 => ("the name server", "s"),
        _ => ("the name servers", ""),
    };
    let servers = format!("{what} {}", servers.join(", "));
    let does_not = if s.is_empty() { "do not" } else { "does not" };
    let who = crowd.who();
    match trouble {
        Trouble::Mute => {
            let answer = crowd.denied(&format!("answer{s}"), &format!("{does_not} answer"));
            format!("{servers} {answer}, neither over UDP nor over TCP")
        }
        Trouble::Nonsense => format!(
            "{servers} answer{s} {who} with something that is no answer to the question: something else than a name server is at port \
             53, or somebody on the way answers in its place"
        ),
        Trouble::Unwilling(code) => format!("{servers} answer{s} {who} {}", said(code)),
        Trouble::UdpOnly => {
            format!("{servers} answer{s} {who} over UDP and not over TCP: long answers are lost")
        }
        Trouble::TcpOnly => {
            format!("{servers} answer{s} {who} over TCP and not over UDP: every name takes seconds")
        }
        Trouble::Slow => {
            let take = if s.is_empty() { "take" } else { "takes" };
            format!("{servers} {take} more than {SLOW_MS} ms to answer {who}")
        }
        Trouble::Disagrees => {
            let tell = if s.is_empty() { "tell" } else { "tells" };
            format!("{servers} {tell} {who} something else than the first one does")
        }
    }
}

/// A code in words (RFC 1035 section 4.1.1).
fn said(code: ResponseCode) -> String {
    match code {
        ResponseCode::Refused => "REFUSED: not for them, or not for the names that they ask for".to_owned(),
        ResponseCode::ServerFailed => {
            "SERVFAIL: whom it asks itself does not answer it, or what it has of their names is broken"
                .to_owned()
        }
        ResponseCode::Other { rcode: 1 } => "FORMERR: it does not understand the question".to_owned(),
        ResponseCode::Other { rcode: 4 } => "NOTIMP: it does not do such questions".to_owned(),
        ResponseCode::Other { rcode } => format!("with the error {rcode} instead of an answer"),
        ResponseCode::Ok | ResponseCode::NoSuchName => "in an odd way".to_owned(),
    }
}

fn remedy(wrong: Wrong, servers: usize) -> String {
    let it = if servers == 1 { "it" } else { "them" };
    let from = match wrong.origin {
        Origin::Own => "/etc/resolv.conf of these nodes",
        Origin::Given => "`external: name_servers` of the site file",
    };
    match wrong.trouble {
        Trouble::Disagrees => {
            "Let all name servers of a node serve the same zones: which one is asked is chance.".to_owned()
        }
        Trouble::Slow => "See how far away it is, and whether what it forwards to answers.".to_owned(),
        Trouble::Unwilling(ResponseCode::ServerFailed) => {
            format!(
                "See whether what it forwards to answers, ask {it} for another name, or take {it} out of {from}."
            )
        }
        Trouble::Unwilling(_) => format!(
            "Let {it} answer the addresses of these nodes for every name (recursion), or take {it} out of {from}."
        ),
        Trouble::Nonsense => format!("See who answers at port 53 there, or take {it} out of {from}."),
        Trouble::Mute | Trouble::UdpOnly | Trouble::TcpOnly => {
            format!("Let UDP and TCP port 53 through to {it}, start {it}, or take {it} out of {from}.")
        }
    }
}

/// The catalogue's limit: every name that is looked up waits for it.
const SLOW_MS: u32 = 200;

#[cfg(test)]
mod tests;
