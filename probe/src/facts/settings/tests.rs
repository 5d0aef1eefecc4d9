//! Trees of files as they are on real hosts, and as somebody would write them who means ill.

use std::{fs, os::unix::fs::symlink};

use plumbline_model::observation::{ModuleState, TimeSource};

use super::*;

struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn root(&self) -> Root {
        Root::at(self.0.path())
    }

    fn settings(&self) -> HostSettings {
        of_files(&self.root(), &run(1))
    }
}

fn run(number: u8) -> RunId {
    RunId::from_bytes([number; 8])
}

#[test]
fn an_empty_host_tells_nothing_and_claims_nothing() {
    let told = Host::new().settings();
    let nothing = HostSettings {
        services: told.services.clone(),
        time_sources: told.time_sources.clone(),
        ..HostSettings::default()
    };
    assert_eq!(told, nothing);
    assert!(sysctl::sysctls(&Host::new().root(), Some("eth0")).is_empty());
}

#[test]
fn clones_are_equal_within_a_run_and_in_no_other() {
    let id = "8f0c2b0d6a3e4f7c9d1e2f3a4b5c6d7e\n";
    let (one, other) = (
        Host::new().file("etc/machine-id", id),
        Host::new().file("etc/machine-id", id),
    );
    let of = |host: &Host, number| machine::machine(&host.root(), &run(number)).machine_id;
    assert!(of(&one, 1).is_some());
    assert_eq!(of(&one, 1), of(&other, 1));
    assert_ne!(of(&one, 1), of(&other, 2));
    assert!(!of(&one, 1).unwrap().contains("8f0c"));
}

#[test]
fn what_images_carry_in_place_of_an_identifier_is_none() {
    for id in [
        "",
        "uninitialized\n",
        "00000000000000000000000000000000\n",
        "short\n",
    ] {
        assert_eq!(
            machine::machine(&Host::new().file("etc/machine-id", id).root(), &run(1)).machine_id,
            None,
            "{id}"
        );
    }
    let uuid = "03000200-0400-0500-0006-000700080009\n";
    let host = Host::new().file("sys/class/dmi/id/product_uuid", uuid);
    assert_eq!(machine::machine(&host.root(), &run(1)).product_uuid, None);
}

#[test]
fn a_namespace_of_a_machine_is_a_part_of_it_and_who_may_not_see_knows_nothing() {
    const ALL: &str = "         0          0 4294967295\n";
    let of = |ids: &str, first: Option<&str>| {
        let host = Host::new().file("proc/self/uid_map", ids);
        for (place, to) in [("1", first), ("thread-self", Some("net:[2]"))] {
            let directory = host.0.path().join("proc").join(place).join("ns");
            fs::create_dir_all(&directory).unwrap();
            if let Some(to) = to {
                symlink(to, directory.join("net")).unwrap();
            }
        }
        machine::machine(&host.root(), &run(1)).is_part
    };
    assert_eq!(of("0 1000 1\n", None), Some(true));
    assert_eq!(of(ALL, Some("net:[1]")), Some(true));
    assert_eq!(of(ALL, Some("net:[2]")), Some(false));
    assert_eq!(of(ALL, None), None);
}

#[test]
fn the_system_is_known_by_its_id_and_version() {
    let host = Host::new().file(
        "etc/os-release",
        "NAME=\"Red Hat\"\nID=\"rhel\"\nID_LIKE=fedora\nVERSION_ID='9.2'\n",
    );
    let machine = machine::machine(&host.root(), &run(1));
    assert_eq!(
        (machine.os.as_deref(), machine.os_version.as_deref()),
        (Some("rhel"), Some("9.2"))
    );
}

#[test]
fn modules_are_loaded_built_in_loadable_or_absent_and_unknown_in_a_container() {
    let host = Host::new()
        .file("proc/sys/kernel/osrelease", "5.14.0\n")
        .file("proc/modules", "vxlan 155648 0 - Live 0x0\n")
        .file(
            "lib/modules/5.14.0/modules.builtin",
            "kernel/net/netfilter/nf_conntrack.ko\n",
        )
        .file(
            "lib/modules/5.14.0/modules.dep",
            "kernel/drivers/net/geneve.ko.xz: kernel/net/ipv4/udp_tunnel.ko.xz\n",
        );
    let modules = host.settings().modules;
    assert_eq!(modules["vxlan"], ModuleState::Loaded);
    assert_eq!(modules["nf_conntrack"], ModuleState::BuiltIn);
    assert_eq!(modules["geneve"], ModuleState::Loadable);
    assert_eq!(modules["xt_socket"], ModuleState::Absent);
    let container = Host::new()
        .file("proc/sys/kernel/osrelease", "5.14.0\n")
        .file("proc/modules", "vxlan 155648 0 - Live 0x0\n");
    let modules = container.settings().modules;
    assert_eq!(modules.get("vxlan"), Some(&ModuleState::Loaded));
    assert_eq!(modules.get("geneve"), None);
}

#[test]
fn files_are_applied_by_their_names_and_an_earlier_directory_hides_a_later_one() {
    let host = Host::new()
        .file(
            "usr/lib/sysctl.d/50-default.conf",
            "net.ipv4.conf.default.rp_filter = 2\n-net.ipv4.conf.*.rp_filter=2\n",
        )
        .file("usr/lib/sysctl.d/60-x.conf", "net.ipv4.ip_forward = 0\n")
        .file(
            "etc/sysctl.d/60-x.conf",
            "# net.ipv4.ip_forward = 0\nnet.ipv4.ip_forward=1\n",
        )
        .file(
            "etc/sysctl.d/99-z.conf",
            "net/ipv4/conf/eth0.100/rp_filter = 1\nkernel.panic = 1\n",
        )
        .file("etc/sysctl.conf", "; a comment\nnet.ipv4.conf.all.rp_filter=1\n");
    let lines: Vec<(String, String, String)> = sysctl::persisted(&host.root())
        .into_iter()
        .map(|line| (line.name, line.value, line.file))
        .collect();
    let line = |name: &str, value: &str, file: &str| (name.to_owned(), value.to_owned(), file.to_owned());
    assert_eq!(
        lines,
        [
            line(
                "net.ipv4.conf.default.rp_filter",
                "2",
                "/usr/lib/sysctl.d/50-default.conf"
            ),
            line(
                "net.ipv4.conf.*.rp_filter",
                "2",
                "/usr/lib/sysctl.d/50-default.conf"
            ),
            line("net.ipv4.ip_forward", "1", "/etc/sysctl.d/60-x.conf"),
            line("net.ipv4.conf.eth0/100.rp_filter", "1", "/etc/sysctl.d/99-z.conf"),
            line("net.ipv4.conf.all.rp_filter", "1", "/etc/sysctl.conf"),
        ]
    );
}

#[test]
fn the_settings_of_an_interface_with_a_dot_in_its_name_are_found() {
    let host = Host::new()
        .file("proc/sys/net/ipv4/conf/eth0.100/rp_filter", "1\n")
        .file("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
    let settings = sysctl::sysctls(&host.root(), Some("eth0.100"));
    assert_eq!(settings["net.ipv4.conf.eth0.100.rp_filter"], "1");
    assert_eq!(settings["net.ipv4.ip_local_port_range"], "32768 60999");
}

#[test]
fn the_mount_that_reaches_deepest_and_came_last_decides() {
    let host = Host::new().file(
        "proc/self/mountinfo",
        "21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
         30 21 0:5 / /tmp rw,nosuid,noexec - tmpfs tmpfs rw\n\
         31 21 0:6 / /var rw,noexec - ext4 /dev/sdb rw\n\
         32 31 0:7 / /var/lib rw - ext4 /dev/sdc rw\n\
         33 21 0:8 / /op rw,noexec - ext4 /dev/sdd rw\ntorn\n",
    );
    let noexec = machine::noexec(&host.root());
    assert_eq!(
        (noexec["/tmp"], noexec["/var/lib"], noexec["/opt"]),
        (true, false, false)
    );
}

#[test]
fn network_manager_is_read_with_all_its_files_and_cloud_setup_by_its_links() {
    let host = Host::new()
        .file(
            "etc/NetworkManager/NetworkManager.conf",
            "[main]\nplugins=keyfile\n",
        )
        .file(
            "etc/NetworkManager/conf.d/cilium.conf",
            "[keyfile]\nunmanaged-devices=interface-name:cilium*;interface-name:lxc*\n\
             [device-pods]\nmatch-device=interface-name:cali*\nmanaged=0\n[other]\nmanaged=0\n",
        )
        .file("etc/systemd/system/timers.target.wants/nm-cloud-setup.timer", "");
    assert_eq!(
        daemons::network_manager_ignores(&host.root()).unwrap(),
        [
            "interface-name:cilium*",
            "interface-name:lxc*",
            "interface-name:cali*"
        ]
    );
    assert!(daemons::services(&host.root(), |_| false).contains("nm-cloud-setup"));
    assert_eq!(daemons::network_manager_ignores(&Host::new().root()), None);
}

#[test]
fn time_servers_are_found_in_the_files_of_each_program_and_nothing_else_of_them() {
    let host = Host::new()
        .file("etc/chrony.conf", "# server no.example.com\npool 2.rhel.pool.ntp.org iburst\nserver 10.0.0.5 key 7\nkeyfile /etc/keys\n")
        .file("etc/chrony/sources.d/local.sources", "peer ntp.example.com\nserver bad;rm\n")
        .file("etc/systemd/timesyncd.conf", "[Time]\nNTP=time.example.com 10.0.0.6\n#FallbackNTP=no.example.com\n")
        .file("etc/ntp.conf", "server -4 ntp4.example.com\n");
    let sources = daemons::time_sources(&host.root(), |program| program == "chronyd");
    let source = |program: &str, running, servers: &[&str]| TimeSource {
        program: program.to_owned(),
        running,
        servers: servers.iter().map(|server| (*server).to_owned()).collect(),
    };
    assert_eq!(
        sources,
        [
            source(
                "chronyd",
                true,
                &["2.rhel.pool.ntp.org", "10.0.0.5", "ntp.example.com"]
            ),
            source("ntpd", false, &["ntp4.example.com"]),
            source("systemd-timesyn", false, &["time.example.com", "10.0.0.6"]),
        ]
    );
}

#[test]
fn behind_the_stub_of_resolved_are_the_servers_that_it_asks() {
    let stub = Host::new()
        .file(
            "etc/resolv.conf",
            "nameserver 127.0.0.53\noptions edns0\nsearch local\n",
        )
        .file(
            "run/systemd/resolve/resolv.conf",
            "nameserver 10.0.0.2\nnameserver fe80::1%eth0\nsearch a.example b.example\n",
        );
    let (servers, domains) = daemons::resolvers(&stub.root());
    assert_eq!(
        servers,
        [
            "10.0.0.2".parse::<std::net::IpAddr>().unwrap(),
            "fe80::1".parse().unwrap()
        ]
    );
    assert_eq!(domains, ["a.example", "b.example"]);
    let alone = Host::new().file(
        "etc/resolv.conf",
        "nameserver 127.0.0.53\nnameserver x\nnameserver\n",
    );
    assert_eq!(daemons::resolvers(&alone.root()).0.len(), 1);
}

#[test]
fn files_that_are_huge_binary_or_no_files_are_not_known() {
    let huge = "nameserver 10.0.0.1\n".repeat(200_000);
    let binary: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let mut host = Host::new().file("etc/resolv.conf", huge);
    for path in [
        "etc/os-release",
        "etc/machine-id",
        "etc/chrony.conf",
        "etc/sysctl.conf",
        "proc/modules",
        "proc/self/mountinfo",
        "proc/sys/net/ipv4/ip_forward",
        "proc/thread-self/net/tcp",
        "etc/NetworkManager/NetworkManager.conf",
    ] {
        host = host.file(path, &binary);
    }
    fs::create_dir_all(host.0.path().join("etc/sysctl.d/99-directory.conf")).unwrap();
    symlink("/dev/zero", host.0.path().join("etc/sysctl.d/98-endless.conf")).unwrap();
    symlink("98-loop.conf", host.0.path().join("etc/sysctl.d/98-loop.conf")).unwrap();
    let told = host.settings();
    assert!(told.resolvers.is_empty() && told.sysctl_files.is_empty() && told.busiest.is_none());
    assert_eq!(told.machine, plumbline_model::observation::Machine::default());
    assert!(sysctl::sysctls(&host.root(), None).is_empty());
}

#[test]
fn lines_without_sense_or_end_are_bounded_and_break_nothing() {
    let long = "x".repeat(100_000);
    let many = "server ntp.example.com\n".repeat(3000) + &"net.ipv4.ip_forward=1\n".repeat(3000);
    let odd = format!(
        "=\n==\n-=\n.=\nnet=\nnet.{long}.rp_filter=\u{1b}[31m{long}\nserver\nNTP=\n[\n{many}\nnet.ipv4.\u{0}.rp_filter=1"
    );
    let host = Host::new()
        .file("etc/sysctl.d/1.conf", &odd)
        .file("etc/chrony.conf", &odd)
        .file("etc/resolv.conf", &odd)
        .file("etc/os-release", &odd)
        .file("etc/NetworkManager/conf.d/x.conf", &odd)
        .file("proc/self/mountinfo", &odd);
    let told = host.settings();
    assert!(told.sysctl_files.len() <= 256);
    let texts = told
        .sysctl_files
        .iter()
        .flat_map(|line| [&line.name, &line.value, &line.file]);
    for text in texts {
        assert!(text.len() <= 512 && !text.contains(char::is_control), "{text:?}");
    }
    assert!(
        told.time_sources
            .iter()
            .all(|source| source.servers == ["ntp.example.com"])
    );
}

#[test]
fn this_very_host_is_read_and_its_settings_fit_into_a_batch() {
    let begun = begin(&run(1), NodeId::Address([127, 0, 0, 1].into()), &[]);
    let told = begun.end();
    assert_eq!(told.data_interface.as_deref(), Some("lo"));
    assert!(
        told.counted_ms.is_some() && told.devices[0].grown.is_some(),
        "{:?}",
        told.devices
    );
    assert!(told.sysctls.contains_key("net.ipv4.ip_forward"));
    assert!(plumbline_model::canonical::encode(&told).len() < 256 << 10);
}

#[test]
fn a_host_without_ipv6_still_tells_where_most_connections_go() {
    let table = "  sl  local_address rem_address   st tx_queue\n\
                 \x20  0: 0200000A:C350 0100000A:01BB 01 00000000:00000000\n";
    let host = Host::new().file("proc/thread-self/net/tcp", table);
    let busiest = host
        .settings()
        .busiest
        .map(|busiest| (busiest.port, busiest.connections));
    assert_eq!(busiest, Some((443, 1)));
}
