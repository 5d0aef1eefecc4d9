//! The proxy's exceptions, the header's paths, and checks that bmctl is told to leave out.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Checking, Layout, listed};
use crate::{
    cluster::{
        documents::{Documents, RawCluster},
        spec::RawProxy,
    },
    report::check,
    source::{Gravity, Placed},
};

/// CFG-020: what is inside the cluster is not asked of the proxy.
pub(super) fn exceptions(cluster: &RawCluster, layout: &Layout, checking: &mut Checking<'_>) {
    let proxy = cluster.spec.as_ref().and_then(|spec| spec.proxy.as_ref());
    let Some((proxy, url)) = proxy.and_then(|proxy| Some((proxy, proxy.url.as_ref()?))) else {
        return;
    };
    let Some(list) = &proxy.no_proxy else {
        if checking.is_all_read {
            let message = "the proxy is asked for everything: `noProxy` is missing";
            let help = "write `noProxy:` with the nodes, VIPs, pod and service ranges";
            checking.complain(url.place, (check::CFG_NO_PROXY, Gravity::Warn), message, help);
            checking.made(
                check::CFG_NO_PROXY,
                "what is inside the cluster bypasses the proxy",
            );
        }
        return;
    };
    let exceptions = Exceptions::of(proxy);
    let (words, remedies) = missing(layout, &exceptions);
    if !words.is_empty() {
        let message = format!("`noProxy` leaves out {}", listed(&words));
        let help = format!("add {}", remedies.join(","));
        checking.complain(list.place, (check::CFG_NO_PROXY, Gravity::Warn), message, help);
    }
    checking.made(
        check::CFG_NO_PROXY,
        "nodes, VIPs, pods and Services bypass the proxy",
    );
}

/// Entries of `noProxy` that say something of addresses. Names and suffixes do not.
struct Exceptions {
    everything: bool,
    nets: Vec<IpNet>,
}

impl Exceptions {
    fn of(proxy: &RawProxy) -> Self {
        let entries = || proxy.no_proxy.iter().flat_map(|list| &list.value);
        let net = |entry: &Placed<String>| -> Option<IpNet> {
            let text = entry.value.trim();
            let net = text.parse().ok();
            net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        };
        Self {
            everything: entries().any(|entry| entry.value.trim() == "*"),
            nets: IpNet::aggregate(&entries().filter_map(net).map(|net| net.trunc()).collect()),
        }
    }

    fn covers(&self, net: &IpNet) -> bool {
        self.everything || self.nets.iter().any(|known| known.contains(net))
    }
}

/// What is left out: in words, and as entries to add.
fn missing(layout: &Layout, exceptions: &Exceptions) -> (Vec<String>, Vec<String>) {
    let (mut words, mut remedies) = (Vec::new(), Vec::new());
    let left_out = |address: &IpAddr| !exceptions.covers(&IpNet::from(*address));
    let nodes: Vec<&Placed<IpAddr>> = layout
        .nodes
        .iter()
        .map(super::LaidNode::data)
        .filter(|address| left_out(&address.value))
        .collect();
    if let Some(first) = nodes.first() {
        words.push(match nodes.len() {
            1 => format!("the node {} (line {})", first.value, first.place.line),
            count => format!(
                "{count} of {} nodes (the first is {}, line {})",
                layout.nodes.len(),
                first.value,
                first.place.line
            ),
        });
        let some = nodes.iter().take(MAX_REMEDIES).map(|node| node.value.to_string());
        remedies.extend(some);
        if nodes.len() > MAX_REMEDIES {
            remedies.push("... (or the ranges that they are in)".to_owned());
        }
    }
    let vips = [
        ("controlPlaneVIP", &layout.control_plane_vip),
        ("ingressVIP", &layout.ingress_vip),
    ];
    for (name, vip) in vips {
        if let Some(vip) = vip.as_ref().filter(|vip| left_out(&vip.value)) {
            words.push(format!("the {name} {}", vip.value));
            remedies.push(vip.value.to_string());
        }
    }
    for (name, blocks) in [("pod", &layout.pods), ("service", &layout.services)] {
        for block in blocks.iter().filter(|block| !exceptions.covers(&block.value)) {
            words.push(format!("the {name} range {}", block.value));
            remedies.push(block.value.to_string());
        }
    }
    (words, remedies)
}

/// CFG-021: checks are not left out, and the paths that bmctl needs are written. No file is opened.
pub(super) fn header(cluster: &RawCluster, documents: &Documents, checking: &mut Checking<'_>) {
    let bypass = cluster
        .spec
        .as_ref()
        .and_then(|spec| spec.bypass_preflight_check.as_ref());
    let weight = (check::CFG_PREFLIGHT, Gravity::Warn);
    if let Some(bypass) = bypass.filter(|bypass| bypass.value) {
        let message =
            "`bypassPreflightCheck` is true: bmctl will not look at the machines before it changes them";
        checking.complain(
            bypass.place,
            weight,
            message,
            "remove it, or write `bypassPreflightCheck: false`",
        );
    }
    for (field, path) in &documents.header.key_paths {
        if path.value.trim().is_empty() {
            let message = format!("`{field}` is empty");
            let help = format!("write the path of the file after `{field}:`");
            checking.complain(path.place, weight, message, help);
        }
    }
    let has_ssh = documents
        .header
        .key_paths
        .iter()
        .any(|(field, _)| *field == SSH_KEY);
    if let Some(place) = documents
        .header
        .place
        .filter(|_| !has_ssh && checking.is_all_read)
    {
        let message = format!("`{SSH_KEY}` is missing: bmctl reaches no machine without it");
        let help = format!("write `{SSH_KEY}: PATH` in the first document");
        checking.complain(place, weight, message, help);
    }
    // What a live cluster tells has no header.
    let detail = match documents.header.place {
        Some(_) => "bmctl makes its own checks and knows where its keys are",
        None => "bmctl makes its own checks",
    };
    checking.made(check::CFG_PREFLIGHT, detail);
}

/// The header's field for the key with which bmctl logs in.
const SSH_KEY: &str = "sshPrivateKeyPath";

/// How many nodes a remedy lists one by one.
const MAX_REMEDIES: usize = 8;
