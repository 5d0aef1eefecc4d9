//! Troubles with the outside in words.

use std::collections::BTreeSet;

use crate::{
    assumption::{Complaint, Explains, Lack, Ruling, Scene, crowd::Crowd},
    cause::{Cause, CauseKind, Fix},
    errand::{Site, Via},
    observation::{NoConnection, SiteOutcome, TlsFailure, Unresolved, Untrusted},
};

use super::found::{Found, Trouble, What, id_of};

/// The servers that everybody found as they should be.
pub(super) fn passes(found: &Found<'_>, id: &str) -> Vec<Ruling> {
    let of_id = found
        .sound
        .iter()
        .filter(|(site, (needed, ..))| id_of(site, *needed) == id);
    let mut rulings: Vec<Ruling> = of_id
        .map(|(site, (_, count, issuer))| {
            let who = counted(usize::try_from(*count).unwrap_or(usize::MAX), "machine");
            Ruling::pass(place(site), format!("{who} reached it; signed by {issuer}"))
        })
        .collect();
    let looked_up = found.sound.keys().filter(|site| site.via == Via::Direct).count();
    if id == "EXT-001" && looked_up > 0 && !found.troubles.iter().any(|trouble| trouble.id() == id) {
        rulings.push(Ruling::pass(
            "names",
            format!("{} have addresses", counted(looked_up, "name")),
        ));
    }
    let unknown = found
        .unknown_signers
        .iter()
        .filter(|(site, (needed, _))| id_of(site, *needed) == id);
    rulings.extend(unknown.map(|(site, (_, signer))| {
        let why = format!(
            "it answers, and {signer} signs for it, which is no public root: give its certificate under `external: roots` of the \
             site file to have it checked"
        );
        Ruling::not_measured(place(site), Lack::ToldElsewhere(why))
    }));
    rulings
}

/// Who could not ask: told once, under the check that is about most servers.
pub(super) fn lacks(found: &Found<'_>, id: &str) -> Vec<Ruling> {
    if id != "EXT-002" {
        return Vec::new();
    }
    if found.is_void {
        let why = "nobody outside was asked, since neither the profile nor the files name anybody there: name servers of the site's \
                   own under `external: sites` of a site file"
            .to_owned();
        return vec![Ruling::not_measured("the outside", Lack::Other(None, why))];
    }
    let lacks = found.lacking.iter();
    lacks
        .map(|(node, lack)| Ruling::not_measured(node.to_string(), lack.clone()))
        .collect()
}

/// One trouble.
pub(super) fn ruling(scene: &Scene<'_>, found: &Found<'_>, trouble: &Trouble<'_>) -> Ruling {
    let crowd = Crowd::of(scene, &trouble.nodes, found.askers.len(), "machine");
    let what = sites(trouble);
    let (kind, detail, fix) = words(scene, trouble, &crowd, &what);
    let complaint = Complaint {
        cause: Cause {
            kind,
            node: trouble
                .nodes
                .first()
                .copied()
                .filter(|_| trouble.nodes.len() == 1 && found.askers.len() > 1),
            between: None,
            detail,
        },
        fix: Fix {
            text: fix,
            commands: Vec::new(),
        },
        evidence: trouble.lines.iter().copied().collect(),
        explains: Explains::default(),
    };
    if trouble.is_severe() {
        Ruling::fail(what, complaint)
    } else {
        Ruling::warn(what, complaint)
    }
}

fn words(scene: &Scene<'_>, trouble: &Trouble<'_>, crowd: &Crowd, what: &str) -> (CauseKind, String, String) {
    let (who, cannot) = (crowd.who(), crowd.cannot());
    let proxy = scene.inventory.outward.proxy.as_ref();
    let proxy = proxy.map_or_else(
        || "the proxy".to_owned(),
        |proxy| format!("the proxy {}:{}", proxy.host, proxy.port),
    );
    let way = match trouble.via {
        Via::Direct => String::new(),
        Via::Proxy => format!(" through {proxy}"),
    };
    let how = how(trouble);
    match &trouble.what {
        What::NameServers => (
            CauseKind::NameServer,
            format!("{cannot} look up {what}: {how}"),
            "Mend the name servers of these nodes (/etc/resolv.conf), or let UDP and TCP port 53 through to them.".to_owned(),
        ),
        What::Name => (
            CauseKind::NameServer,
            format!("{what}: {how}, as the name servers of {who} say"),
            "Let the name servers forward what they do not know themselves, or correct the name.".to_owned(),
        ),
        What::Connection => (
            CauseKind::ExternalUnreachable,
            format!("{cannot} connect to {what}: {how}"),
            "Let these nodes out to these names on the way to the internet (TCP 443), or name the proxy in the cluster file."
                .to_owned(),
        ),
        What::Proxy => (
            CauseKind::ProxyRefuses,
            format!("{cannot} use {proxy}: {how}"),
            format!("Start the proxy, let the nodes reach it, or correct {}.", proxy_place(scene)),
        ),
        What::Denied(status) => (
            CauseKind::ProxyRefuses,
            format!(
                "{proxy} {} through to {what}: it answers {status}{}",
                crowd.denied("lets", "does not let"),
                meaning(*status)
            ),
            match status {
                407 => format!(
                    "Write user and password into {}, or let the nodes' addresses through without.",
                    proxy_place(scene)
                ),
                _ => "Allow these names at the proxy, port 443, without inspection.".to_owned(),
            },
        ),
        What::Tls => (
            CauseKind::ExternalUnreachable,
            format!("{what} does not speak TLS with {who}{way}: {how}"),
            "See who answers there; a packet filter that looks for names in handshakes does this, too.".to_owned(),
        ),
        What::Signer(signer) => (
            CauseKind::TlsIntercepted,
            format!(
                "somebody answers{way} in place of {what} and signs with a certificate of its own: {signer}, which is no public root; \
                 seen by {who}"
            ),
            format!(
                "Take these names from TLS inspection for the addresses of the nodes: intercepting proxies are not supported. {} is \
                 whom to look for.",
                signer
            ),
        ),
        What::Certificate(why) => (
            CauseKind::TlsIntercepted,
            format!("{cannot} believe the certificate of {what}{way}: {how}"),
            match why {
                Untrusted::Expired | Untrusted::NotYetValid => {
                    "Compare the clocks of these nodes with the certificate's days; if they are right, renew it.".to_owned()
                }
                _ => "See who answers there, and for which names its certificate is.".to_owned(),
            },
        ),
    }
}

/// How it showed: what was seen most, in words.
fn how(trouble: &Trouble<'_>) -> String {
    let said: BTreeSet<&'static str> = trouble
        .seen
        .iter()
        .filter_map(|seen| saying(&seen.outcome))
        .collect();
    if said.is_empty() {
        return "nothing came back".to_owned();
    }
    said.into_iter().collect::<Vec<_>>().join(", ")
}

fn saying(outcome: &SiteOutcome) -> Option<&'static str> {
    Some(match outcome {
        SiteOutcome::Unasked { .. } | SiteOutcome::ProxyDenied { .. } | SiteOutcome::Trusted(_) => {
            return None;
        }
        SiteOutcome::Unresolved { why } => match why {
            Unresolved::NoServer => "the host has no name server",
            Unresolved::Silent => "no name server answers",
            Unresolved::Refused => "the name servers cannot be reached, or refuse to answer",
            Unresolved::Failed => "the name servers fail (SERVFAIL)",
            Unresolved::NoSuchName => "the name does not exist",
            Unresolved::NoAddress => "the name has no address",
        },
        SiteOutcome::NoConnection { why } => match why {
            NoConnection::Refused => "the connection is refused",
            NoConnection::Silent => "no answer",
            NoConnection::Unreachable => "there is no route",
            NoConnection::Denied => "the host's own packet filter does not let it out",
            NoConnection::Policy => "its name leads to an address that no server has",
            NoConnection::Other { .. } => "the host cannot connect",
        },
        SiteOutcome::NoProxy { how } | SiteOutcome::NoTls { how } => match how {
            TlsFailure::Silent => "connected, and nothing came back",
            TlsFailure::Closed => "the connection is closed",
            TlsFailure::Reset => "the connection is reset",
            TlsFailure::Garbage => "another protocol answers",
            TlsFailure::Alert { .. } => "the handshake is refused",
            TlsFailure::Incompatible => "no version or cipher in common",
        },
        SiteOutcome::Untrusted { why, .. } => match why {
            Untrusted::UnknownIssuer => "nobody known signs",
            Untrusted::OtherName => "it is for another name",
            Untrusted::Expired => "it has expired by the node's clock",
            Untrusted::NotYetValid => "it is not yet valid by the node's clock",
            Untrusted::Invalid => "it is not valid",
        },
    })
}

fn meaning(status: u16) -> &'static str {
    match status {
        403 => " (forbidden)",
        405 => " (it does not do CONNECT)",
        407 => " (it wants a login)",
        502..=504 => " (it does not reach the server itself)",
        _ => "",
    }
}

/// Where the proxy is named: a cluster file of bmctl has a place for it, and where it names none a site file may.
fn proxy_place(scene: &Scene<'_>) -> &'static str {
    match scene.inventory.cluster_type {
        Some(_) => {
            "the URL where it is named (`spec.proxy.url` of the cluster file, or `external: proxy` of the site file)"
        }
        None => "the URL under `external: proxy`",
    }
}

fn sites(trouble: &Trouble<'_>) -> String {
    let names: Vec<String> = trouble.sites.keys().take(MAX_NAMED).map(place).collect();
    match trouble.sites.len().saturating_sub(MAX_NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

fn place(site: &Site) -> String {
    format!("{}:{}", site.host, site.port)
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Names that a sentence lists.
const MAX_NAMED: usize = 4;
