//! What holds the documents: the stream that bmctl reads, a list that kubectl prints, the text inside a PreflightCheck.
//!
//! ```text
//! stream of documents   ──────────────────────────────► documents by kind
//! kind: List            ── items ─────────────────────► the same, without the header
//! kind: PreflightCheck  ── spec.configYAML ── stream ─► the same, if there is no Cluster beside it
//! ```
//!
//! JSON is YAML in flow style, and comes the same way.

use super::{
    check,
    documents::{self, Documents, Other},
    header,
};
use crate::{
    source::{Complaints, Gravity, Place, Placed, SourceText, nearest},
    yaml::{
        self, Node,
        fields::{At, Fields},
    },
};

/// Reads every document of every shape.
pub(super) fn read(source: &SourceText, trees: &[Node], complaints: &mut Complaints) -> Documents {
    let (mut documents, mut preflights) = stream(trees, Documents::default(), complaints);
    if documents.clusters.is_empty()
        && let [preflight] = preflights.as_slice()
        && let Some(text) = preflight.text
    {
        let inner = yaml::documents_within(source, text, complaints).unwrap_or_default();
        documents = stream(&inner, documents, complaints).0;
        preflights.clear();
    }
    documents
        .others
        .extend(preflights.iter().map(Preflight::as_other));
    documents
}

/// The documents of a file, or of a text inside one, besides those that were read already.
fn stream<'t>(
    trees: &'t [Node],
    documents: Documents,
    complaints: &mut Complaints,
) -> (Documents, Vec<Preflight<'t>>) {
    let mut walk = Walk {
        documents,
        preflights: Vec::new(),
        complaints,
    };
    for (index, tree) in trees.iter().enumerate() {
        walk.document(&At::document(tree), index == 0);
    }
    (walk.documents, walk.preflights)
}

/// A way through the documents.
struct Walk<'t, 'c> {
    documents: Documents,
    preflights: Vec<Preflight<'t>>,
    complaints: &'c mut Complaints,
}

/// A PreflightCheck document.
struct Preflight<'t> {
    place: Place,
    /// `spec.configYAML`; checks of an upgrade have none.
    text: Option<&'t Node>,
}

impl Preflight<'_> {
    fn as_other(&self) -> Other {
        Other {
            place: self.place,
            kind: PREFLIGHT_CHECK.to_owned(),
            group: BARE_METAL.to_owned(),
        }
    }
}

/// What a document is.
enum Identity {
    /// One of [`KINDS`].
    Known(&'static str),
    /// `kind: List`, or the list of one kind.
    List,
    /// A PreflightCheck.
    Preflight,
    /// Something else, which other programs read.
    Other(Other),
    /// A slip, which has been complained about.
    Refused,
}

impl<'t> Walk<'t, '_> {
    fn document(&mut self, at: &At<'t>, may_be_header: bool) {
        let Some(mut fields) = at.fields(self.complaints) else {
            return;
        };
        let Some(kind) = fields
            .optional("kind")
            .and_then(|kind| kind.text(self.complaints))
        else {
            self.without_kind(at, fields, may_be_header);
            return;
        };
        match identify(&kind, &mut fields, self.complaints) {
            Identity::Known(kind) => {
                documents::document(kind, fields, &mut self.documents, self.complaints);
            }
            Identity::List => {
                self.documents.is_live = true;
                for item in fields
                    .optional("items")
                    .map(|items| items.items(self.complaints))
                    .unwrap_or_default()
                {
                    self.document(&item, false);
                }
            }
            Identity::Preflight => self.preflight(at.place(), fields),
            Identity::Other(other) => self.documents.others.push(other),
            Identity::Refused => {}
        }
    }

    /// The header has no kind and no API version either; what has one of them lost the other.
    fn without_kind(&mut self, at: &At<'_>, mut fields: Fields<'_>, may_be_header: bool) {
        let is_header = header::is_header(&fields);
        if may_be_header && is_header && fields.optional("apiVersion").is_none() {
            self.documents.header = header::header(fields, self.complaints);
            return;
        }
        let known: Vec<&str> = KINDS.iter().map(|(kind, ..)| *kind).collect();
        let (message, help) = if may_be_header && !is_header {
            (
                "a document without `kind` that has no field of bmctl's header either",
                format!(
                    "{CLUSTER_FILE}; each document but the header has a `kind:`. An inventory says \
                     `schema: plumbline/inventory/v1`"
                ),
            )
        } else {
            (
                "a document without `kind`; only the first may lack it",
                format!("write `kind:`, one of {}", known.join(", ")),
            )
        };
        self.complaints.add_with_help(at.place(), message, help);
    }

    /// Its `spec` says which cluster it is about in fields that differ between releases; the text is what it was made for.
    fn preflight(&mut self, place: Place, mut fields: Fields<'t>) {
        let spec = fields.optional("spec").and_then(|at| at.fields(self.complaints));
        let text = spec.and_then(|mut spec| spec.optional("configYAML"));
        let is_text = text.as_ref().is_none_or(|at| at.text(self.complaints).is_some());
        if is_text {
            self.preflights.push(Preflight {
                place,
                text: text.map(|at| at.node),
            });
        }
    }
}

/// Tells a slip, which is refused, from what other programs read.
fn identify(kind: &Placed<String>, fields: &mut Fields<'_>, complaints: &mut Complaints) -> Identity {
    let api = fields.optional("apiVersion");
    let written = api.as_ref().and_then(|api| api.text(complaints));
    let group = written.as_ref().map_or("", |text| group_of(&text.value));
    let other = || {
        Identity::Other(Other {
            place: kind.place,
            kind: kind.value.clone(),
            group: group.to_owned(),
        })
    };
    if is_list(&kind.value, fields) {
        return Identity::List;
    }
    let Some((name, known_group, version)) = KINDS.iter().find(|(known, ..)| *known == kind.value) else {
        let is_ours = written.is_none() || KINDS.iter().any(|(_, known, _)| *known == group);
        return match nearest(&kind.value, KINDS.iter().map(|(kind, ..)| *kind)) {
            Some(word) if is_ours => {
                let message = format!("unknown kind `{}`", kind.value);
                complaints.add_with_help(kind.place, message, format!("did you mean `{word}`?"));
                Identity::Refused
            }
            _ => other(),
        };
    };
    let known = api_version(known_group, version);
    if let Some(text) = &written {
        let is_slip = group.is_empty() || nearest(group, [*known_group]).is_some();
        if group != *known_group && !is_slip {
            return other();
        }
        if group == *known_group && is_earlier(version_of(&text.value), version) {
            let message = format!("{} is an early version of {name}, read as {known}", text.value);
            let help = format!("write `apiVersion: {known}` if this file is still used");
            complaints.find(text.place, (check::READS, Gravity::Warn), message, help);
            return identity_of(name);
        }
    }
    let help = format!("write `apiVersion: {known}`");
    if let Some(api) = fields.required("apiVersion", &help, complaints) {
        api.choice(complaints, &[(known.as_str(), ())]);
    }
    identity_of(name)
}

fn identity_of(kind: &'static str) -> Identity {
    if kind == PREFLIGHT_CHECK {
        Identity::Preflight
    } else {
        Identity::Known(kind)
    }
}

/// kubectl prints `List`; the API server itself names the kind of the items, as in `NodePoolList`.
fn is_list(kind: &str, fields: &mut Fields<'_>) -> bool {
    kind == "List" || (kind.ends_with("List") && fields.optional("items").is_some())
}

fn group_of(api: &str) -> &str {
    api.rsplit_once('/').map_or("", |(group, _)| group)
}

fn version_of(api: &str) -> &str {
    api.rsplit_once('/').map_or(api, |(_, version)| version)
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// Whether it is an alpha or beta of a version that came later, such as `v1beta1` before `v1`.
fn is_earlier(written: &str, known: &str) -> bool {
    let stage = written.strip_prefix(known);
    stage.is_some_and(|stage| {
        ["alpha", "beta"].iter().any(|word| {
            let digits = stage.strip_prefix(word);
            digits
                .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        })
    })
}

/// The group of the bare metal kinds.
pub(super) const BARE_METAL: &str = "baremetal.cluster.gke.io";

/// The kind that embeds a whole file.
pub(super) const PREFLIGHT_CHECK: &str = "PreflightCheck";

/// What to give.
pub(super) const CLUSTER_FILE: &str = "give the file that bmctl reads, bmctl-workspace/NAME/NAME.yaml";

/// The kinds that say something about the network, with their API groups and versions.
const KINDS: [(&str, &str, &str); 8] = [
    ("Namespace", "", "v1"),
    ("Cluster", BARE_METAL, "v1"),
    ("NodePool", BARE_METAL, "v1"),
    ("ClusterCIDRConfig", BARE_METAL, "v1alpha1"),
    (PREFLIGHT_CHECK, BARE_METAL, "v1"),
    ("NetworkGatewayGroup", "networking.gke.io", "v1"),
    ("BGPLoadBalancer", "networking.gke.io", "v1"),
    ("BGPPeer", "networking.gke.io", "v1"),
];
