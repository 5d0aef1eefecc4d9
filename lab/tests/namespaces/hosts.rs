//! What the lab builds.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use plumbline_lab::{Entered, Lab, LabError};
use plumbline_model::id::NodeId;
use plumbline_sys::ns::Privilege;

use crate::{
    Connected, Listening, Test, connect, devices, listen, node, outcome, read_all, shell, topology, until, up,
};

pub(crate) const TESTS: &[Test] = &[
    (
        "hosts_of_one_subnet_and_of_two_reach_each_other",
        hosts_of_one_subnet_and_of_two_reach_each_other,
    ),
    (
        "the_admin_workstation_and_the_hosts_reach_each_other",
        the_admin_workstation_and_the_hosts_reach_each_other,
    ),
    (
        "a_program_runs_on_its_host_and_reads_its_input",
        a_program_runs_on_its_host_and_reads_its_input,
    ),
    ("programs_end_with_the_lab", programs_end_with_the_lab),
    (
        "a_second_lab_can_be_built_after_the_first",
        a_second_lab_can_be_built_after_the_first,
    ),
    ("sixty_hosts_reach_each_other", sixty_hosts_reach_each_other),
];

fn hosts_of_one_subnet_and_of_two_reach_each_other(entered: &Entered) {
    let lab = up(entered, &["10.91.0.11", "10.91.0.12", "10.92.0.13"]);
    let target = listen(&lab, "10.91.0.12", 7000);
    assert_eq!(connect(&lab, "10.91.0.11", target.address), Connected::Yes);
    assert_eq!(connect(&lab, "10.92.0.13", target.address), Connected::Yes);
    let closed = SocketAddr::new(target.address.ip(), 7001);
    assert_eq!(
        connect(&lab, "10.92.0.13", closed),
        Connected::No(ErrorKind::ConnectionRefused)
    );
}

fn the_admin_workstation_and_the_hosts_reach_each_other(entered: &Entered) {
    let lab = up(entered, &["10.91.0.11", "10.92.0.13"]);
    let target = listen(&lab, "10.91.0.11", 22);
    // This process stands at the workstation, so no namespace is joined.
    assert_eq!(outcome(target.address), Connected::Yes);
    let ours = TcpListener::bind((lab.admin_address(), 0))
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(
        connect(&lab, "10.92.0.13", ours),
        Connected::No(ErrorKind::ConnectionRefused)
    );
    let ours = TcpListener::bind((lab.admin_address(), 0)).unwrap();
    assert_eq!(
        connect(&lab, "10.92.0.13", ours.local_addr().unwrap()),
        Connected::Yes
    );
}

fn a_program_runs_on_its_host_and_reads_its_input(entered: &Entered) {
    let mut lab = up(entered, &["10.91.0.11"]);
    let out = tempfile::tempfile().unwrap();
    let script = "read -r line; echo \"$line on $(cat /proc/sys/kernel/hostname)\" >&2; exit 7";
    let child = lab
        .spawn_in(
            node("10.91.0.11"),
            shell(script, b"secret\n", Some(out.try_clone().unwrap())),
        )
        .unwrap();
    let status = until(Duration::from_secs(10), || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(7));
    assert_eq!(read_all(out), "secret on lab-10-91-0-11\n");
}

fn programs_end_with_the_lab(entered: &Entered) {
    let mut lab = up(entered, &["10.91.0.11"]);
    let running = lab
        .spawn_in(node("10.91.0.11"), shell("sleep 600; :", b"", None))
        .unwrap();
    let frozen = lab
        .spawn_in(NodeId::Coordinator, shell("sleep 600; :", b"", None))
        .unwrap();
    frozen.freeze().unwrap();
    let alive = |pid: u32| fs::exists(format!("/proc/{pid}")).unwrap();
    assert!(alive(running.pid()) && alive(frozen.pid()));
    drop(lab);
    assert!(!alive(running.pid()) && !alive(frozen.pid()));
}

fn a_second_lab_can_be_built_after_the_first(entered: &Entered) {
    for _ in 0..3 {
        let lab = up(entered, &["10.91.0.11", "10.92.0.12"]);
        let target = listen(&lab, "10.91.0.11", 7000);
        assert_eq!(connect(&lab, "10.92.0.12", target.address), Connected::Yes);
        drop(lab);
        let names: Vec<String> = devices().lines().map(str::to_owned).collect();
        assert_eq!(names, ["lo"], "what is left at the workstation");
    }
}

fn sixty_hosts_reach_each_other(entered: &Entered) {
    let addresses: Vec<String> = (11..71).map(|last| format!("10.91.0.{last}")).collect();
    let texts: Vec<&str> = addresses.iter().map(String::as_str).collect();
    if entered.privilege() == Privilege::UserNamespace {
        let refused = Lab::up(entered, topology(&texts)).unwrap_err();
        assert!(
            matches!(
                refused,
                LabError::NeighbourTable {
                    hosts: 60,
                    entries: 3660,
                    ..
                }
            ),
            "{refused}"
        );
        return;
    }
    let lab = up(entered, &texts);
    let targets: Vec<Listening> = texts.iter().map(|address| listen(&lab, address, 7000)).collect();
    for source in &texts {
        let failed: Vec<SocketAddr> = lab
            .in_host(node(source), || {
                targets
                    .iter()
                    .map(|t| t.address)
                    .filter(|target| outcome(*target) != Connected::Yes)
                    .collect()
            })
            .unwrap();
        assert_eq!(failed, [], "from {source}");
    }
}
