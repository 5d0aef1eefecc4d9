use std::{fs, path::Path};

use plumbline_model::observation::{Backend, FirewallManager, Firewalld, Target};
use tempfile::TempDir;

use super::*;

/// A root with files in it.
fn root(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn load(files: &[(&str, &str)]) -> (Firewalld, Vec<Unread>) {
    let root = root(files);
    let settings = settings_at(root.path(), Some(root.path()));
    (settings.firewalld.unwrap(), settings.unread)
}

#[test]
fn the_administrators_zone_is_read_in_place_of_the_distributions() {
    let (firewalld, unread) = load(&[
        (
            "usr/lib/firewalld/zones/public.xml",
            "<zone><service name='ssh'/></zone>",
        ),
        ("usr/lib/firewalld/zones/trusted.xml", "<zone target='ACCEPT'/>"),
        (
            "etc/firewalld/zones/public.xml",
            r#"<?xml version="1.0" encoding="utf-8"?>
            <zone>
              <interface name="eth0"/>
              <source address="192.168.0.0/16"/><source address="10.0.0.9"/><source mac="aa:bb:cc:dd:ee:ff"/>
              <port port="10250" protocol="tcp"/><port port="6081" protocol="udp"/><port port="x" protocol="tcp"/>
              <port port="30000-32767" protocol="tcp"/>
              <protocol value="vrrp"/>
              <forward/>
            </zone>"#,
        ),
    ]);
    assert_eq!(unread, []);
    let names: Vec<&str> = firewalld.zones.iter().map(|zone| zone.name.as_str()).collect();
    assert_eq!(names, ["public", "trusted"]);
    let public = firewalld.zone("public").unwrap();
    assert_eq!(public.interfaces, ["eth0"]);
    assert_eq!(
        public.sources,
        ["192.168.0.0/16".parse().unwrap(), "10.0.0.9/32".parse().unwrap()]
    );
    assert_eq!(public.opened.tcp.to_string(), "10250,30000-32767");
    assert_eq!(public.opened.udp.to_string(), "6081");
    assert_eq!(public.opened.protocols, ["vrrp"]);
    assert_eq!(firewalld.zone("trusted").unwrap().target, Target::Accept);
    assert_eq!(
        firewalld
            .zone_of("eth1", "192.168.1.1".parse().unwrap())
            .unwrap()
            .name,
        "public"
    );
}

#[test]
fn services_bring_the_ports_of_those_that_they_include_and_those_with_a_destination_only_sometimes() {
    let (firewalld, unread) = load(&[
        (
            "usr/lib/firewalld/zones/public.xml",
            "<zone><service name='plane'/><service name='mdns'/><service name='gone'/></zone>",
        ),
        (
            "usr/lib/firewalld/services/plane.xml",
            "<service><include service='etcd'/><include service='plane'/></service>",
        ),
        (
            "etc/firewalld/services/etcd.xml",
            "<service><port protocol='tcp' port='2379-2380'/></service>",
        ),
        (
            "usr/lib/firewalld/services/etcd.xml",
            "<service><port protocol='tcp' port='1'/></service>",
        ),
        (
            "usr/lib/firewalld/services/mdns.xml",
            "<service><port protocol='udp' port='5353'/><destination ipv4='224.0.0.251'/></service>",
        ),
    ]);
    let public = firewalld.zone("public").unwrap();
    assert_eq!(public.opened.tcp.to_string(), "2379-2380");
    assert!(public.opened.udp.is_empty());
    assert_eq!(public.sometimes.udp.to_string(), "5353");
    assert_eq!(unread.len(), 1);
    assert!(unread[0].path.ends_with("gone.xml"), "{unread:?}");
}

#[test]
fn rich_rules_open_their_ports_sometimes_and_those_without_a_port_anything() {
    let (firewalld, _) = load(&[(
        "etc/firewalld/zones/public.xml",
        "<zone>
           <rule family='ipv4'><source address='10.0.0.0/24'/><port port='9100' protocol='tcp'/><accept/></rule>
           <rule family='ipv6'><icmp-type name='redirect'/><accept/></rule>
         </zone>",
    )]);
    let public = firewalld.zone("public").unwrap();
    assert_eq!(public.sometimes.tcp.to_string(), "9100");
    assert!(!public.has_rules_for_any_port);
    let (firewalld, _) = load(&[(
        "etc/firewalld/zones/public.xml",
        "<zone><rule><source address='10.0.0.0/24'/><accept/></rule></zone>",
    )]);
    assert!(firewalld.zone("public").unwrap().has_rules_for_any_port);
}

#[test]
fn entities_floods_and_nonsense_are_unread_files_and_nothing_else() {
    let bomb =
        "<!DOCTYPE z [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;'>]><zone><short>&b;</short></zone>";
    let flood = format!("<zone>{}</zone>", "<forward/>".repeat(60_000));
    let deep = "<zone>".repeat(20_000);
    let long = format!("<zone><short>{}</short></zone>", "x".repeat(2 << 20));
    for text in [bomb, &flood, &deep, &long, "no xml", ""] {
        let (firewalld, unread) = load(&[("etc/firewalld/zones/public.xml", text)]);
        assert!(firewalld.zones.is_empty(), "{}", &text[..text.len().min(40)]);
        assert_eq!(unread.len(), 1);
        assert_eq!(unread[0].path, "/etc/firewalld/zones/public.xml");
    }
}

#[test]
fn settings_are_read_as_firewalld_reads_them() {
    let (firewalld, _) = load(&[
        (
            "etc/firewalld/firewalld.conf",
            "# FirewallBackend=nftables\nDefaultZone=internal\nFirewallBackend=iptables\nFlushAllOnReload=no\n",
        ),
        (
            "etc/firewalld/direct.xml",
            "<direct><rule ipv='ipv4' table='filter' chain='INPUT' priority='0'>-j ACCEPT</rule></direct>",
        ),
    ]);
    assert_eq!(firewalld.default_zone, "internal");
    assert_eq!(firewalld.backend, Backend::Iptables);
    assert!(!firewalld.flushes_all_on_reload && firewalld.has_direct_rules);
    let (defaults, _) = load(&[]);
    assert_eq!(
        (defaults.default_zone.as_str(), defaults.backend),
        ("public", Backend::Nftables)
    );
    assert!(defaults.flushes_all_on_reload && !defaults.has_direct_rules);
}

#[test]
fn managers_are_known_by_their_units_and_ufw_by_its_settings() {
    let files = [
        ("usr/lib/systemd/system/nftables.service", ""),
        ("usr/lib/systemd/system/firewalld.service", ""),
        ("etc/systemd/system/multi-user.target.wants/firewalld.service", ""),
        ("etc/ufw/ufw.conf", "# comment\nENABLED=yes\nLOGLEVEL=low\n"),
    ];
    let root = root(&files);
    let enabled: Vec<(FirewallManager, bool)> = settings_at(root.path(), None)
        .managers
        .iter()
        .map(|installed| (installed.manager, installed.is_enabled))
        .collect();
    assert_eq!(
        enabled,
        [
            (FirewallManager::Firewalld, true),
            (FirewallManager::Nftables, false),
            (FirewallManager::Ufw, true),
        ]
    );
}

#[test]
fn a_file_that_reloads_firewalld_is_found_where_it_runs() {
    let root = root(&[
        (
            "etc/cron.d/compliance",
            "*/30 * * * * root firewall-cmd --reload\n",
        ),
        (
            "etc/NetworkManager/dispatcher.d/pre-up.d/10-zone",
            "#!/bin/sh\nsystemctl restart firewalld\n",
        ),
        ("etc/cron.d/harmless", "# firewall-cmd --reload\n"),
    ]);
    let reloaders = settings_at(root.path(), Some(root.path())).reloaders;
    assert_eq!(
        reloaders,
        [
            "/etc/NetworkManager/dispatcher.d/pre-up.d/10-zone",
            "/etc/cron.d/compliance"
        ]
    );
    assert!(settings_at(root.path(), None).reloaders.is_empty());
}

#[test]
fn a_file_that_is_denied_is_told_from_one_that_is_broken() {
    let told = |kind: io::ErrorKind| not_read("etc/firewalld/direct.xml", "read", &kind.into());
    assert!(told(io::ErrorKind::PermissionDenied).is_denied);
    assert!(!told(io::ErrorKind::InvalidData).is_denied);
    assert_eq!(
        told(io::ErrorKind::PermissionDenied).path,
        "/etc/firewalld/direct.xml"
    );
}

#[test]
fn this_very_process_has_a_start() {
    assert!(started_ticks(Path::new("/proc/self")).is_some_and(|ticks| ticks > 0));
}
