//! What participants saw of the outside, with those together that fare alike.
//!
//! ```text
//!   node A:  gcr.io silent, sts silent        \   by what went wrong, and by who suffers it:
//!   node B:  gcr.io silent, sts trusted        >    connections | A, B | gcr.io
//!   node C:  gcr.io silent, sts trusted       /     connections | A    | sts
//! ```
//!
//! A node that reaches nothing is one trouble, and a server that nobody reaches is another.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    assumption::{Lack, Scene},
    errand::{self, Anchors, Need, Needed, Site, Via},
    evidence::Group,
    id::NodeId,
    observation::{Dialled, NoConnection, SiteOutcome, SiteSeen, Unasked, Unresolved, Untrusted},
    profile::Severity,
};

/// What went wrong, as far as it tells causes apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// No name server has a word for it.
    NameServers,
    /// The name has no address.
    Name,
    /// No connection.
    Connection,
    /// The proxy is not there.
    Proxy,
    /// The proxy denies.
    Denied(u16),
    /// No TLS.
    Tls,
    /// Somebody else signs; by whom.
    Signer(String),
    /// The certificate is bad in another way.
    Certificate(Untrusted),
}

/// Something that went wrong for some servers at some participants.
#[derive(Debug)]
pub(super) struct Trouble<'a> {
    pub(super) what: What,
    pub(super) via: Via,
    /// Who suffers it.
    pub(super) nodes: BTreeSet<NodeId>,
    pub(super) sites: BTreeMap<Site, Needed>,
    /// An example of it for each of the nodes.
    pub(super) seen: Vec<&'a SiteSeen>,
    pub(super) lines: BTreeSet<u32>,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// Who was to ask.
    pub(super) askers: BTreeSet<NodeId>,
    pub(super) troubles: Vec<Trouble<'a>>,
    /// Sites that everybody who asked found as they should be, with how many and who signed.
    pub(super) sound: BTreeMap<Site, (Needed, u32, String)>,
    /// Who could not ask, or not all.
    pub(super) lacking: BTreeMap<NodeId, Lack>,
    /// Own servers whose signer nobody gave.
    pub(super) unknown_signers: BTreeMap<Site, (Needed, String)>,
    /// Whether the outside alone was asked for and the inputs name nobody there.
    pub(super) is_void: bool,
}

impl<'a> Found<'a> {
    pub(super) fn of(scene: &Scene<'a>) -> Self {
        let mut found = Self::default();
        if !scene.asks_for(Group::External) {
            return found;
        }
        let mut suffered = Sufferings::new();
        for node in scene.plan.participants.iter().copied() {
            let is_asker = scene.inventory.node(node).is_some() || node == NodeId::Coordinator;
            let needed = errand::needed(scene.inventory, scene.profiles, node);
            if is_asker && !needed.is_empty() {
                found.askers.insert(node);
                found.take(scene, node, needed, &mut suffered);
            }
        }
        if found.askers.is_empty() && asks_for_nothing_else(scene) {
            found.is_void = true;
            return found;
        }
        if found.is_rehearsed(scene, &suffered) {
            let why = "the hosts are parts of one machine, and nothing outside answers any of them: a lab has no outside";
            let lack = |node: &NodeId| (*node, Lack::ToldElsewhere(why.to_owned()));
            found.lacking = found.askers.iter().map(lack).collect();
            return found;
        }
        let is_troubled = |site: &Site| suffered.keys().any(|(_, _, troubled)| troubled == site);
        found.sound.retain(|site, _| !is_troubled(site));
        found.troubles = together(suffered);
        found
    }

    /// Whether the hosts are namespaces of a lab that nobody gave an outside, in a run that asks for much else: not one server,
    /// proxy or name server answered any of them.
    fn is_rehearsed(&self, scene: &Scene<'_>, suffered: &Sufferings<'_>) -> bool {
        let is_answered = |what: &What| !matches!(what, What::NameServers | What::Connection | What::Proxy);
        let is_isolated = self.sound.is_empty()
            && self.unknown_signers.is_empty()
            && !suffered.keys().any(|(what, ..)| is_answered(what));
        let mut told = scene
            .nodes()
            .filter_map(|node| Some((node, scene.host(node).ok()?)))
            .peekable();
        is_isolated
            && scene.asks_for(Group::Reach)
            && told.peek().is_some()
            && told.all(|(node, host)| !scene.is_machine(node, host.what))
    }

    /// Takes what one participant saw of all that it needs.
    fn take(
        &mut self,
        scene: &Scene<'a>,
        node: NodeId,
        needed: BTreeMap<Site, Needed>,
        suffered: &mut Sufferings<'a>,
    ) {
        if let Some(lack) = scene.undone(node, errand::Kind::Dial) {
            self.lacking.insert(node, lack);
            return;
        }
        let Ok(log) = scene.log(node) else { return };
        let mut seen: BTreeMap<Site, Suffered<'a>> = BTreeMap::new();
        for told in &log.dialled {
            if let Dialled::Site(what) = told.what {
                seen.insert(site_of(what), (what, told.line));
            }
        }
        // Of servers that were not tried after others in vain nothing is known; what stops those is told of them.
        let is_in_vain = |site: &Site| {
            let mut same_way = seen.values().filter(|(other, _)| other.via == site.via);
            same_way.any(|(other, _)| {
                matches!(
                    other.outcome,
                    SiteOutcome::NoConnection { .. }
                        | SiteOutcome::NoProxy { .. }
                        | SiteOutcome::Unresolved {
                            why: Unresolved::Silent
                        }
                )
            })
        };
        // A proxy that takes all the time there is leaves none for what is behind it.
        let is_unasked = |seen: &SiteSeen| match &seen.outcome {
            SiteOutcome::Unasked {
                why: Unasked::Hopeless,
            } => true,
            SiteOutcome::Unasked { why: Unasked::Time } => seen.via == Via::Proxy,
            _ => false,
        };
        for (site, needed) in needed {
            let sight = seen.get(&site).copied();
            let is_told = sight.is_some_and(|(seen, _)| is_unasked(seen)) && is_in_vain(&site);
            match self.judge(scene, (&site, needed), sight.map(|(seen, _)| seen)) {
                Ok(None) => {}
                Ok(Some(what)) => {
                    let entry = suffered
                        .entry((what, site.via, site))
                        .or_insert_with(|| (needed, BTreeMap::new()));
                    entry.1.extend(sight.map(|sight| (node, sight)));
                }
                Err(why) => {
                    let lack = match is_told {
                        true => Lack::ToldElsewhere(why.to_owned()),
                        false => Lack::Other(Some(node), why.to_owned()),
                    };
                    let kept = self.lacking.entry(node).or_insert_with(|| lack.clone());
                    if matches!(kept, Lack::ToldElsewhere(_)) {
                        *kept = lack;
                    }
                }
            }
        }
    }

    /// What is wrong with a site, as one participant saw it.
    ///
    /// # Errors
    /// Why it was not asked.
    fn judge(
        &mut self,
        scene: &Scene<'a>,
        (site, needed): (&Site, Needed),
        seen: Option<&SiteSeen>,
    ) -> Result<Option<What>, &'static str> {
        let Some(seen) = seen else {
            return Err("not every server outside was asked: the node's local policy does not allow it");
        };
        match &seen.outcome {
            SiteOutcome::Trusted(connected) => {
                let entry = self
                    .sound
                    .entry(site.clone())
                    .or_insert_with(|| (needed, 0, connected.issuer.clone()));
                entry.1 += 1;
                Ok(None)
            }
            SiteOutcome::Unasked {
                why: Unasked::Hopeless,
            } => Err("not every server outside was asked: too many before had failed in the same way"),
            SiteOutcome::Unasked { why: Unasked::Policy }
            | SiteOutcome::NoConnection {
                why: NoConnection::Policy,
            } => Err("the node's local policy does not allow it"),
            SiteOutcome::Unasked { .. } => Err("not every server outside was asked in the time"),
            outcome => match what_of(outcome, site.via) {
                What::Signer(signer)
                    if site.anchors == Anchors::Given && scene.inventory.outward.roots.is_empty() =>
                {
                    self.unknown_signers.insert(site.clone(), (needed, signer));
                    Ok(None)
                }
                what => Ok(Some(what)),
            },
        }
    }
}

/// Whether a run is about the outside alone, and no node has anybody there to ask.
fn asks_for_nothing_else(scene: &Scene<'_>) -> bool {
    let mut groups = scene.ledger.run.parameters.groups.iter();
    let mut nodes = scene.inventory.nodes.iter();
    groups.all(|group| matches!(group, Group::Config | Group::External))
        && nodes.all(|node| errand::needed(scene.inventory, scene.profiles, node.id).is_empty())
}

/// What one participant saw, and the line that says so.
type Suffered<'a> = (&'a SiteSeen, u32);

/// By what went wrong, which way and which site: why that is needed, and who suffers it.
type Sufferings<'a> = BTreeMap<(What, Via, Site), (Needed, BTreeMap<NodeId, Suffered<'a>>)>;

/// Those of one kind whose sites the same participants suffer are one trouble; a signer's are one whoever suffers them.
fn together(suffered: Sufferings<'_>) -> Vec<Trouble<'_>> {
    let mut troubles: BTreeMap<(What, Via, BTreeSet<NodeId>), Trouble<'_>> = BTreeMap::new();
    for ((what, via, site), (needed, by)) in suffered {
        let nodes: BTreeSet<NodeId> = by.keys().copied().collect();
        let by_sufferers = !matches!(what, What::Signer(_) | What::Proxy | What::Denied(407));
        let key = (
            what.clone(),
            via,
            if by_sufferers {
                nodes.clone()
            } else {
                BTreeSet::new()
            },
        );
        let trouble = troubles.entry(key).or_insert_with(|| Trouble {
            what,
            via,
            nodes: BTreeSet::new(),
            sites: BTreeMap::new(),
            seen: Vec::new(),
            lines: BTreeSet::new(),
        });
        trouble.nodes.extend(nodes);
        trouble.sites.insert(site, needed);
        trouble.seen.extend(by.values().map(|(seen, _)| *seen));
        trouble.lines.extend(by.values().map(|(_, line)| *line));
    }
    troubles.into_values().collect()
}

fn site_of(seen: &SiteSeen) -> Site {
    Site {
        host: seen.host.clone(),
        port: seen.port,
        via: seen.via,
        anchors: seen.anchors,
    }
}

fn what_of(outcome: &SiteOutcome, via: Via) -> What {
    match (outcome, via) {
        (SiteOutcome::Unresolved { .. } | SiteOutcome::NoConnection { .. }, Via::Proxy)
        | (SiteOutcome::NoProxy { .. }, _) => What::Proxy,
        (SiteOutcome::Unresolved { why }, Via::Direct) => match why {
            Unresolved::NoServer | Unresolved::Silent | Unresolved::Refused | Unresolved::Failed => {
                What::NameServers
            }
            Unresolved::NoSuchName | Unresolved::NoAddress => What::Name,
        },
        (SiteOutcome::ProxyDenied { status }, _) => What::Denied(*status),
        (SiteOutcome::NoTls { .. }, _) => What::Tls,
        (SiteOutcome::Untrusted { why, chain }, _) => match why {
            Untrusted::UnknownIssuer => {
                let signer = chain.last().map(|last| last.issuer.clone());
                What::Signer(signer.unwrap_or_else(|| "an unknown issuer".to_owned()))
            }
            why => What::Certificate(*why),
        },
        (SiteOutcome::NoConnection { .. } | SiteOutcome::Unasked { .. } | SiteOutcome::Trusted(_), _) => {
            What::Connection
        }
    }
}

impl Trouble<'_> {
    /// The check under which it is told.
    pub(super) fn id(&self) -> &'static str {
        let mut ids = self.sites.iter().map(|(site, needed)| id_of(site, *needed));
        let first = ids.next().unwrap_or(DIRECT);
        match self.what {
            What::NameServers | What::Name if self.via == Via::Direct => "EXT-001",
            What::Proxy | What::Denied(407) => "EXT-003",
            // What ails servers of several kinds is told of them all.
            _ if ids.all(|id| id == first) => first,
            _ if self.via == Via::Proxy => "EXT-003",
            _ => DIRECT,
        }
    }

    /// Whether it stops anything.
    pub(super) fn is_severe(&self) -> bool {
        self.sites
            .values()
            .any(|needed| needed.severity == Severity::Fail)
    }
}

/// The check of a site.
pub(super) fn id_of(site: &Site, needed: Needed) -> &'static str {
    match (needed.need, site.via) {
        (Need::Region, _) => "EXT-004",
        (Need::Mirror | Need::Own, _) => "EXT-005",
        (Need::Packages, _) => "EXT-006",
        (Need::Vendor, Via::Direct) => DIRECT,
        (Need::Vendor, Via::Proxy) => "EXT-003",
    }
}

const DIRECT: &str = "EXT-002";
