//! Which texts of a host's settings may get into a command. Every field is named, so that nobody adds one without a decision:
//! `_` says that no command holds it.

use super::Oddities;
use crate::{
    ledger::NodeLog,
    observation::{
        Asked, Bond, Device, FirewallSettings, Firewalld, HostSettings, LinkSeen, Machine, Overheard,
        PersistedSysctl, Policy, RouteEntry, RouteHop, Speaker, TimeSource, Unread, Way, Zone,
    },
};

impl<'a> Oddities<'a> {
    /// Everything that the errands of a node told in words.
    pub(super) fn settings(&mut self, log: &NodeLog<'a>) {
        if let Some(host) = log.host {
            self.host_settings(host.what);
        }
        if let Some(firewalls) = log.firewalls {
            self.firewall_settings(firewalls.what);
        }
        for seen in &log.link {
            let LinkSeen {
                interface,
                mac,
                broadcasts: _,
                unfinished: _,
                asked,
            } = seen.what;
            self.names([interface, mac]);
            self.names(asked.iter().flat_map(|Asked { macs, .. }| macs));
        }
        for heard in &log.overheard {
            let Overheard {
                interface,
                speakers,
                adverts,
                cut: _,
                lossy: _,
            } = heard.what;
            self.name(interface);
            self.names(speakers.iter().map(|Speaker { mac, .. }| mac));
            self.names(adverts.iter().map(|advert| &advert.mac));
        }
    }

    fn host_settings(&mut self, host: &'a HostSettings) {
        // Values of sysctl(8), kernel options, patterns of NetworkManager and name servers are compared and shown: blanks, commas
        // and asterisks are ordinary in them.
        let HostSettings {
            machine,
            data_interface,
            devices,
            counted_ms: _,
            routes,
            routes_cut: _,
            policy_tables: _,
            straight_ways: _,
            other_ways,
            sysctls,
            sysctl_files,
            modules,
            kernel_options: _,
            noexec,
            services,
            network_manager_ignores: _,
            neighbors: _,
            busiest: _,
            clock: _,
            time_sources,
            resolvers: _,
            search_domains: _,
        } = host;
        let Machine {
            os,
            os_version,
            machine_id: _,
            product_uuid: _,
            boot: _,
            is_part: _,
        } = machine;
        self.names([os, os_version, data_interface].into_iter().flatten());
        devices.iter().for_each(|device| self.device(device));
        for RouteEntry { hops, .. } in routes.iter().flatten() {
            self.names(hops.iter().filter_map(|RouteHop { device, .. }| device.as_ref()));
        }
        self.names(other_ways.iter().filter_map(|Way { device, .. }| device.as_ref()));
        self.names(sysctls.keys());
        for PersistedSysctl {
            name: _,
            value: _,
            file,
        } in sysctl_files
        {
            self.name(file);
        }
        self.names(modules.keys());
        self.names(noexec.keys());
        self.names(services);
        for TimeSource {
            program,
            running: _,
            servers: _,
        } in time_sources
        {
            self.name(program);
        }
    }

    fn device(&mut self, device: &'a Device) {
        let Device {
            name,
            kind,
            mac,
            mtu: _,
            up: _,
            master,
            over,
            vlan: _,
            driver,
            speed_mbps: _,
            half_duplex: _,
            offloads,
            bond,
            member: _,
            counters: _,
            grown: _,
        } = device;
        self.name(name);
        self.names([kind, mac, master, over, driver].into_iter().flatten());
        self.names(offloads.keys());
        if let Some(Bond { mode, partner }) = bond {
            self.name(mode);
            self.names(partner);
        }
    }

    fn firewall_settings(&mut self, settings: &'a FirewallSettings) {
        let FirewallSettings {
            managers: _,
            firewalld,
            cilium_agent_started_ticks: _,
            reloaders,
            unread,
        } = settings;
        self.names(reloaders);
        self.names(unread.iter().map(|Unread { path, .. }| path));
        let Some(firewalld) = firewalld else { return };
        let Firewalld {
            started_ticks: _,
            default_zone,
            backend: _,
            flushes_all_on_reload: _,
            has_direct_rules: _,
            zones,
            policies,
        } = firewalld;
        self.name(default_zone);
        for Zone {
            name,
            interfaces,
            opened,
            sometimes,
            ..
        } in zones
        {
            self.name(name);
            self.names(interfaces);
            self.names(opened.protocols.iter().chain(&sometimes.protocols));
        }
        for Policy {
            name,
            ingress,
            egress,
            opened,
            sometimes,
            ..
        } in policies
        {
            self.name(name);
            self.names(ingress.iter().chain(egress));
            self.names(opened.protocols.iter().chain(&sometimes.protocols));
        }
    }

    fn names(&mut self, names: impl IntoIterator<Item = &'a String>) {
        names.into_iter().for_each(|name| self.name(name));
    }
}
