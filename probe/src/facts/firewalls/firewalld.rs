//! firewalld's permanent configuration from its files: `/etc/firewalld` file by file over `/usr/lib/firewalld`, as firewalld
//! itself reads it (firewalld.zone(5), firewalld.policy(5), firewalld.service(5), firewalld.conf(5)).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
};

use ipnet::IpNet;
use plumbline_model::{
    observation::{Backend, Firewalld, Opened, Policy, Target, Unread, Zone},
    port::{PortRange, PortSet},
};
use plumbline_proto::convert::sanitised;
use roxmltree::Node;

use super::{listed, setting, xml};

/// Reads what firewalld would load.
pub(super) fn read(root: &Path, unread: &mut Vec<Unread>) -> Firewalld {
    let configuration = super::read(root, "etc/firewalld/firewalld.conf", unread).unwrap_or_default();
    let value = |name: &str| setting(&configuration, name);
    let mut services = Services {
        root,
        known: BTreeMap::new(),
    };
    let mut zones = Vec::new();
    let mut policies = Vec::new();
    for_each(root, "zones", unread, |name, element, unread| {
        zones.push(zone(name, element, &mut services, unread));
    });
    for_each(root, "policies", unread, |name, element, unread| {
        policies.push(policy(name, element, &mut services, unread));
    });
    Firewalld {
        started_ticks: None,
        default_zone: sanitised(value("DefaultZone").unwrap_or("public")),
        backend: match value("FirewallBackend") {
            Some("iptables") => Backend::Iptables,
            _ => Backend::Nftables,
        },
        flushes_all_on_reload: !value("FlushAllOnReload")
            .is_some_and(|value| value.eq_ignore_ascii_case("no")),
        has_direct_rules: has_direct_rules(root, unread),
        zones,
        policies,
    }
}

/// Every file of a kind, each name once: the administrator's in place of the distribution's.
fn for_each(
    root: &Path,
    kind: &str,
    unread: &mut Vec<Unread>,
    mut visit: impl FnMut(&str, Node<'_, '_>, &mut Vec<Unread>),
) {
    let mut paths = BTreeMap::new();
    for base in BASES {
        let folder = format!("{base}/{kind}");
        if let Err(error) = std::fs::read_dir(root.join(&folder))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            unread.push(super::not_read(&folder, "list", &error));
        }
        for path in listed(&root.join(&folder)) {
            let Some(file) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if path.is_dir() {
                unread.push(Unread {
                    path: sanitised(&format!("/{folder}/{file}")),
                    why: "read it: one that is made of several files is not supported".to_owned(),
                    is_denied: false,
                });
            } else if let Some(name) = file.strip_suffix(".xml") {
                paths.insert(name.to_owned(), format!("{folder}/{file}"));
            }
        }
    }
    for (name, path) in paths.into_iter().take(MAX_FILES) {
        with_document(root, &path, unread, |element, unread| {
            visit(&sanitised(&name), element, unread);
        });
    }
}

/// Gives a file's root element to somebody; says so if it cannot be read or is no XML.
fn with_document(
    root: &Path,
    path: &str,
    unread: &mut Vec<Unread>,
    visit: impl FnOnce(Node<'_, '_>, &mut Vec<Unread>),
) {
    let Some(text) = super::read(root, path, unread) else {
        return;
    };
    match xml::parse(&text) {
        Ok(document) => visit(document.root_element(), unread),
        Err(error) => unread.push(Unread {
            path: sanitised(&format!("/{path}")),
            why: sanitised(&format!("parse it: {error}")),
            is_denied: false,
        }),
    }
}

fn has_direct_rules(root: &Path, unread: &mut Vec<Unread>) -> bool {
    let mut has = false;
    with_document(root, "etc/firewalld/direct.xml", unread, |element, _| {
        has = element.children().any(|child| child.is_element());
    });
    has
}

fn zone(name: &str, element: Node<'_, '_>, services: &mut Services<'_>, unread: &mut Vec<Unread>) -> Zone {
    let body = body(element, services, unread);
    let sources = named(element, "source", "address");
    Zone {
        name: name.to_owned(),
        target: target(element, Target::Default),
        interfaces: named(element, "interface", "name"),
        sources: sources.iter().filter_map(|source| range(source)).collect(),
        opened: body.opened,
        sometimes: body.sometimes,
        has_rules_for_any_port: body.has_rules_for_any_port,
    }
}

fn policy(
    name: &str,
    element: Node<'_, '_>,
    services: &mut Services<'_>,
    unread: &mut Vec<Unread>,
) -> Policy {
    let body = body(element, services, unread);
    Policy {
        name: name.to_owned(),
        target: target(element, Target::Continue),
        ingress: named(element, "ingress-zone", "name"),
        egress: named(element, "egress-zone", "name"),
        opened: body.opened,
        sometimes: body.sometimes,
        has_rules_for_any_port: body.has_rules_for_any_port,
    }
}

fn target(element: Node<'_, '_>, default: Target) -> Target {
    match element.attribute("target") {
        Some("ACCEPT") => Target::Accept,
        Some("DROP") => Target::Drop,
        Some("%%REJECT%%" | "REJECT") => Target::Reject,
        _ => default,
    }
}

/// An attribute of the children of one name, bounded.
fn named(element: Node<'_, '_>, child: &str, attribute: &str) -> Vec<String> {
    let children = element.children().filter(|node| node.has_tag_name(child));
    children
        .filter_map(|node| node.attribute(attribute))
        .take(MAX_NAMES)
        .map(sanitised)
        .collect()
}

fn range(text: &str) -> Option<IpNet> {
    let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>()
        .ok()
        .map(|range| range.trunc())
        .or_else(single)
}

/// What a zone or a policy opens.
#[derive(Default)]
struct Body {
    opened: Opened,
    sometimes: Opened,
    has_rules_for_any_port: bool,
}

fn body(element: Node<'_, '_>, services: &mut Services<'_>, unread: &mut Vec<Unread>) -> Body {
    let mut body = Body::default();
    for child in element.children().filter(Node::is_element) {
        match child.tag_name().name() {
            "service" => {
                let service = services.service(child.attribute("name").unwrap_or_default(), unread);
                body.opened.extend(&service.always);
                body.sometimes.extend(&service.sometimes);
            }
            "port" | "protocol" => add(&mut body.opened, child),
            "forward-port" => add(&mut body.sometimes, child),
            "source-port" => body.has_rules_for_any_port = true,
            "rule" => rule(&mut body, child, services, unread),
            _ => {}
        }
    }
    body
}

/// A rich rule: what it is about may be open for some packets, or closed for some.
fn rule(body: &mut Body, rule: Node<'_, '_>, services: &mut Services<'_>, unread: &mut Vec<Unread>) {
    let mut is_about_ports = false;
    for child in rule.children().filter(Node::is_element) {
        match child.tag_name().name() {
            "service" => {
                let service = services.service(child.attribute("name").unwrap_or_default(), unread);
                body.sometimes.extend(&service.always);
                body.sometimes.extend(&service.sometimes);
            }
            "port" | "protocol" | "forward-port" => add(&mut body.sometimes, child),
            "icmp-block" | "icmp-type" | "masquerade" => {}
            _ => continue,
        }
        is_about_ports = true;
    }
    body.has_rules_for_any_port |= !is_about_ports;
}

/// Adds `<port port="1-2" protocol="tcp"/>` or `<protocol value="vrrp"/>`.
fn add(opened: &mut Opened, element: Node<'_, '_>) {
    if let Some(protocol) = element.attribute("value") {
        if opened.protocols.len() < MAX_NAMES {
            opened.protocols.push(sanitised(protocol));
            opened.protocols.sort_unstable();
            opened.protocols.dedup();
        }
        return;
    }
    let ports: Option<PortRange> = element.attribute("port").and_then(|text| text.parse().ok());
    let set: Option<&mut PortSet> = match element.attribute("protocol") {
        Some("tcp") => Some(&mut opened.tcp),
        Some("udp") => Some(&mut opened.udp),
        _ => None,
    };
    if let (Some(ports), Some(set)) = (ports, set) {
        set.insert(ports);
    }
}

/// What a service opens: for every destination, or for some.
#[derive(Debug, Clone, Default)]
struct Service {
    always: Opened,
    sometimes: Opened,
}

/// Definitions of services, read when a zone names them.
struct Services<'a> {
    root: &'a Path,
    known: BTreeMap<String, Service>,
}

impl Services<'_> {
    /// A service with those that it includes.
    fn service(&mut self, name: &str, unread: &mut Vec<Unread>) -> Service {
        let mut whole = Service::default();
        let (mut open, mut seen) = (vec![name.to_owned()], BTreeSet::new());
        while let Some(name) = open.pop() {
            if seen.len() >= MAX_INCLUDES || !seen.insert(name.clone()) {
                continue;
            }
            let (service, includes) = self.one(&name, unread);
            whole.always.extend(&service.always);
            whole.sometimes.extend(&service.sometimes);
            open.extend(includes);
        }
        whole
    }

    fn one(&mut self, name: &str, unread: &mut Vec<Unread>) -> (Service, Vec<String>) {
        // A name becomes part of a path.
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            return Default::default();
        }
        if let Some(service) = self.known.get(name) {
            return (service.clone(), Vec::new());
        }
        let (mut service, mut includes) = (Service::default(), Vec::new());
        let mut paths = BASES
            .iter()
            .rev()
            .map(|base| format!("{base}/services/{name}.xml"));
        let is_there = |path: &String| self.root.join(path).exists();
        let Some(path) = paths.find(is_there) else {
            unread.push(Unread {
                path: sanitised(&format!("/etc/firewalld/services/{name}.xml")),
                why: "find it, although a zone or policy names it".to_owned(),
                is_denied: false,
            });
            return Default::default();
        };
        with_document(self.root, &path, unread, |element, _| {
            let mut opened = Opened::default();
            for child in element.children().filter(Node::is_element) {
                if matches!(child.tag_name().name(), "port" | "protocol") {
                    add(&mut opened, child);
                }
            }
            includes = named(element, "include", "service");
            if element.children().any(|child| child.has_tag_name("destination")) {
                service.sometimes = opened;
            } else {
                service.always = opened;
            }
        });
        if includes.is_empty() {
            self.known.insert(name.to_owned(), service.clone());
        }
        (service, includes)
    }
}

/// The distribution's files, and over them the administrator's.
const BASES: [&str; 2] = ["usr/lib/firewalld", "etc/firewalld"];
/// Zones, and policies: a host has some ten of each.
const MAX_FILES: usize = 256;
/// Interfaces, sources or protocols of one zone that are kept.
const MAX_NAMES: usize = 256;
/// Services that one service includes, directly or not.
const MAX_INCLUDES: usize = 64;
