//! What a plain inventory and a site file say of the outside.
//!
//! ```text
//! external:
//!   proxy?: http://[USER:PASSWORD@]HOST:PORT     taken if the cluster's own file names none
//!   no_proxy?: [text]             whom nodes reach without it
//!   sites?: [HOST[:PORT]]         servers of the site's own that nodes need, which speak TLS; 443 unless written
//!   name_servers?: [ADDRESS]      that must answer every node
//!   roots?: [PEM]                 certificates on which those sites, and registry mirrors, may stand
//! ```

use std::net::IpAddr;

use crate::{
    errand::{MAX_DIAL_ROOT, MAX_DIAL_ROOTS, ProxyServer},
    inventory::{Outward, Server},
    source::{Complaints, Placed},
    yaml::fields::{At, Fields},
};

/// Reads `external` of a file's fields.
pub(super) fn read(fields: &mut Fields<'_>, complaints: &mut Complaints) -> Outward {
    let mut outward = Outward::default();
    let Some(mut fields) = fields.optional("external").and_then(|at| at.fields(complaints)) else {
        return outward;
    };
    if let Some(url) = fields.optional("proxy").and_then(|at| at.text(complaints)) {
        outward.proxy = ProxyServer::of_url(&url.value);
        if outward.proxy.is_none() {
            complaints.add_with_help(
                url.place,
                "`proxy` is no URL of a proxy",
                "write http://HOST:PORT",
            );
        }
    }
    outward.no_proxy = texts(fields.optional("no_proxy"), complaints)
        .into_iter()
        .map(|entry| entry.value)
        .collect();
    for site in texts(fields.optional("sites"), complaints) {
        match Server::read(&site.value, 443) {
            Some(server) => outward.sites.push(server),
            None => {
                let message = format!("`{}` is no name of a server", site.value);
                complaints.add_with_help(site.place, message, "write HOST or HOST:PORT");
            }
        }
    }
    if let Some(list) = fields.optional("name_servers") {
        let help = "write an address, for example 10.0.0.53";
        let items = list.items(complaints);
        let servers = items
            .iter()
            .filter_map(|item| item.parsed::<IpAddr>(complaints, "an address", help));
        outward.name_servers = servers.map(|server| server.value).collect();
    }
    for root in texts(fields.optional("roots"), complaints) {
        let is_certificate = root.value.contains("-----BEGIN CERTIFICATE-----");
        if !is_certificate || root.value.len() > MAX_DIAL_ROOT || outward.roots.len() == MAX_DIAL_ROOTS {
            let message = format!(
                "`roots` has at most {MAX_DIAL_ROOTS} certificates in PEM, of {MAX_DIAL_ROOT} octets each"
            );
            complaints.add_with_help(
                root.place,
                message,
                "write `- |` and the text of the certificate below it",
            );
            continue;
        }
        outward.roots.push(root.value);
    }
    fields.finish(complaints);
    outward
}

fn texts(list: Option<At<'_>>, complaints: &mut Complaints) -> Vec<Placed<String>> {
    let Some(list) = list else {
        return Vec::new();
    };
    let items = list.items(complaints);
    items.iter().filter_map(|item| item.text(complaints)).collect()
}
