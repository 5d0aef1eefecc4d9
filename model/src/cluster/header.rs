//! The document that only `bmctl` reads: files with secrets, which are never opened, and registry mirrors.

use super::spec::texts;
use crate::{
    source::{Complaints, Place, Placed, nearest},
    yaml::fields::{At, Fields},
};

/// The document that only `bmctl` reads.
#[derive(Debug, Default)]
pub(super) struct RawHeader {
    /// Where it starts; absent if there is none.
    pub(super) place: Option<Place>,
    /// The files that hold secrets, by their fields.
    pub(super) key_paths: Vec<(&'static str, Placed<String>)>,
    pub(super) registry_mirrors: Vec<RawMirror>,
}

/// One of `registryMirrors`.
#[derive(Debug)]
pub(super) struct RawMirror {
    pub(super) endpoint: Placed<String>,
    pub(super) hosts: Vec<Placed<String>>,
}

/// Whether a document without a kind can be the header: it has one of its fields, or nearly.
pub(super) fn is_header(fields: &Fields<'_>) -> bool {
    let names = KEY_PATHS.into_iter().chain(HEADER_LISTS);
    let is_near = |key: &str| nearest(key, names.clone()).is_some();
    fields.entries().iter().any(|entry| is_near(&entry.key))
}

/// The document that only `bmctl` reads. The files that it names hold secrets and are never opened.
pub(super) fn header(mut fields: Fields<'_>, complaints: &mut Complaints) -> RawHeader {
    let place = Some(fields.place);
    let mut key_paths = Vec::new();
    for key in KEY_PATHS {
        let path = fields.optional(key).and_then(|at| at.text(complaints));
        key_paths.extend(path.map(|path| (key, path)));
    }
    let registry_mirrors = match fields.optional("registryMirrors") {
        Some(at) => at
            .items(complaints)
            .iter()
            .filter_map(|item| mirror(item, complaints))
            .collect(),
        None => Vec::new(),
    };
    fields.free(&HEADER_LISTS);
    fields.finish(complaints);
    RawHeader {
        place,
        key_paths,
        registry_mirrors,
    }
}

fn mirror(at: &At<'_>, complaints: &mut Complaints) -> Option<RawMirror> {
    let mut fields = at.fields(complaints)?;
    let endpoint = fields
        .required("endpoint", "write `endpoint: https://HOST:PORT`", complaints)
        .and_then(|at| at.text(complaints));
    let hosts = match fields.optional("hosts") {
        Some(at) => texts(&at, complaints),
        None => Vec::new(),
    };
    fields.free(&["caCertPath", "pullCredentialConfigPath"]);
    fields.finish(complaints);
    Some(RawMirror {
        endpoint: endpoint?,
        hosts,
    })
}

/// Other fields of the header.
const HEADER_LISTS: [&str; 3] = ["registryMirrors", "privateRegistries", "proxy"];

/// Fields of the header that name files with secrets.
const KEY_PATHS: [&str; 6] = [
    "gcrKeyPath",
    "sshPrivateKeyPath",
    "gkeConnectAgentServiceAccountKeyPath",
    "gkeConnectRegisterServiceAccountKeyPath",
    "cloudOperationsServiceAccountKeyPath",
    "nodeAgentCredentialPath",
];
