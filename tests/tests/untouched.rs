//! Nothing on a host is changed: without `--active` nothing at all, and with it nothing that is still there afterwards, whatever
//! becomes of the run. On every host and the router everything that could be changed is read before and after; on the switches,
//! frames are counted that only `--active` may send.

use std::{
    net::IpAddr,
    os::fd::AsFd,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use plumbline_lab::{Entered, Lab};
use plumbline_model::{errand::HOLD_LEASE_S, id::NodeId};
use plumbline_sys::{
    ns::NetNs,
    route::{Network, Tunnel, TunnelKind},
};
use plumbline_tests::{
    scenario::Scenario,
    stage::{self, Outcome, Programs},
    trials::{self, Trial},
    untouched::{self, Frames},
};

const TRIALS: &[Trial] = &[
    (
        "a_default_run_over_ten_nodes_changes_nothing_and_announces_nothing",
        a_default_run,
    ),
    (
        "asking_on_the_link_keeps_to_five_packets_a_second",
        asking_on_the_link,
    ),
    ("an_active_run_leaves_everything_as_it_was", an_active_run),
    (
        "an_active_run_that_is_interrupted_leaves_everything_as_it_was",
        interrupted,
    ),
    (
        "an_address_that_is_lent_goes_by_itself",
        a_lent_address_goes_by_itself,
    ),
    (
        "a_tunnel_goes_with_its_namespace",
        a_tunnel_goes_with_its_namespace,
    ),
    (
        "when_the_holder_is_killed_its_vip_goes_with_its_lease",
        the_holder_killed,
    ),
    (
        "when_coordinator_and_probes_are_killed_the_vip_goes_with_its_lease",
        everybody_killed,
    ),
    (
        "when_an_end_of_a_tunnel_is_killed_its_device_goes_with_it",
        a_tunnel_killed,
    ),
];

fn main() -> ExitCode {
    trials::main(TRIALS)
}

/// A run over a scenario's lab, everything read before it and frames counted during it.
struct Watched {
    lab: Lab,
    before: untouched::Setup,
    outcome: Outcome,
    frames: Frames,
    _work: tempfile::TempDir,
}

fn watch(entered: &Entered, scenario: &str, vips: &[&str]) -> Result<Watched, String> {
    let scenario = Scenario::parse(scenario)?;
    let programs = Programs::from_env()?;
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut lab = Lab::up(entered, scenario.topology()?).map_err(|error| error.to_string())?;
    let before = untouched::setup(&lab)?;
    let vips: Vec<IpAddr> = vips.iter().filter_map(|vip| vip.parse().ok()).collect();
    untouched::count_frames(&lab, &vips)?;
    let outcome = stage::audit(&mut lab, &programs, &scenario, work.path())?;
    let frames = untouched::frames(&lab)?;
    Ok(Watched {
        lab,
        before,
        outcome,
        frames,
        _work: work,
    })
}

impl Watched {
    /// Everything is as it was within this time.
    fn is_settled_within(&self, patience: Duration) -> Result<(), String> {
        let differences = untouched::settled(&self.lab, &self.before, patience)?;
        if differences.is_empty() {
            return Ok(());
        }
        Err(format!("{}\n{}", differences.join("\n"), self.outcome.log))
    }

    fn ended_with(&self, exit: i32) -> Result<(), String> {
        if self.outcome.exit == Some(exit) {
            return Ok(());
        }
        Err(format!(
            "ended with {:?}, expected {exit}:\n{}",
            self.outcome.exit, self.outcome.log
        ))
    }
}

fn a_default_run(entered: &Entered) -> Result<(), String> {
    let scenario =
        "{about: default, cluster: 01-user-l2-dedicated-lb-1.29.yaml, expect: {verdict: warned, exit: 0}}";
    let watched = watch(entered, scenario, &[])?;
    watched.ended_with(0)?;
    watched.is_settled_within(Duration::ZERO)?;
    if watched.frames.known == 0 {
        return Err("the switches counted nothing at all".to_owned());
    }
    match watched.frames {
        Frames {
            foreign: 0,
            announcements: 0,
            ..
        } => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Without the port matrix the kernels have nobody to look for, so that what is counted is the probes'.
fn asking_on_the_link(entered: &Entered) -> Result<(), String> {
    for cluster in ["two-subnets-1.29.yaml", "four-nodes-dual-stack-1.31.yaml"] {
        let scenario = format!(
            "about: asking\ncluster: {cluster}\narguments: [--only, l2]\nexpect: {{verdict: passed, exit: 0}}\n"
        );
        let watched = watch(entered, &scenario, &[])?;
        watched.ended_with(0)?;
        // Every host asks for itself three times.
        let hosts = u64::try_from(watched.lab.topology().hosts().len()).unwrap_or(u64::MAX);
        let Frames {
            foreign,
            announcements,
            questions,
            hasty,
            ..
        } = watched.frames;
        if (foreign, announcements, hasty) != (0, 0, 0) || questions < 3 * hosts {
            return Err(format!("{cluster}: {:?}", watched.frames));
        }
    }
    Ok(())
}

fn an_active_run(entered: &Entered) -> Result<(), String> {
    let watched = watch(entered, &active("", "l2,host"), VIPS)?;
    watched.ended_with(0)?;
    watched.is_settled_within(Duration::ZERO)?;
    // Three nodes, two VIPs, five announcements each, seen by every port that the switch sends them out of, counted as they come
    // in: so this shows that the count above could have failed.
    if watched.frames.announcements < 6 {
        return Err(format!("{:?}", watched.frames));
    }
    Ok(())
}

fn interrupted(entered: &Entered) -> Result<(), String> {
    let events = "events: [{at: in_turn, after_ms: 1200, what: interrupt, to: coordinator}]";
    let watched = watch(entered, &active(events, "l2"), VIPS)?;
    watched.ended_with(3)?;
    if watched.frames.announcements == 0 {
        return Err("the run was interrupted before a VIP was taken".to_owned());
    }
    watched.is_settled_within(Duration::from_secs(2))
}

fn the_holder_killed(entered: &Entered) -> Result<(), String> {
    let events = "events: [{at: in_turn, after_ms: 1200, what: kill, to: 10.60.0.11}]";
    let watched = watch(entered, &active(events, "l2"), VIPS)?;
    watched.ended_with(3)?;
    if watched.frames.announcements == 0 {
        return Err("the probe was killed before it took the VIP".to_owned());
    }
    watched.is_settled_within(LEASE_AND_A_LITTLE)
}

fn everybody_killed(entered: &Entered) -> Result<(), String> {
    let events = "events: [{at: in_turn, after_ms: 1200, what: kill, to: coordinator}]";
    let watched = watch(entered, &active(events, "l2"), VIPS)?;
    // The stage kills the probes when the coordinator is gone.
    let holder: NodeId = "10.60.0.11".parse().map_err(|_| "a node")?;
    let vip: IpAddr = "10.60.0.49".parse().map_err(|_| "an address")?;
    if !untouched::setup(&watched.lab)?.has(holder, vip) {
        return Err("everybody was killed, and the VIP was not held".to_owned());
    }
    watched.is_settled_within(LEASE_AND_A_LITTLE)
}

fn a_tunnel_killed(entered: &Entered) -> Result<(), String> {
    let scenario = "{about: tunnel, cluster: k3s.yaml, site: k3s-site.yaml, arguments: [--active, --only, host], \
                     events: [{at: in_turn, after_ms: 60, what: kill, to: coordinator}], \
                     expect: {verdict: incomplete, exit: 3}}";
    let watched = watch(entered, scenario, &[])?;
    watched.is_settled_within(Duration::from_secs(5))
}

fn a_lent_address_goes_by_itself(entered: &Entered) -> Result<(), String> {
    let lab = {
        let scenario = Scenario::parse(&active("", "l2"))?;
        Lab::up(entered, scenario.topology()?).map_err(|error| error.to_string())?
    };
    let host: NodeId = "10.60.0.11".parse().map_err(|_| "a node")?;
    for (vip, prefix) in [("10.60.0.99", 32), ("fd60::99", 128)] {
        let vip: IpAddr = vip.parse().map_err(|_| "an address")?;
        let lend = || -> Result<(), String> {
            let mut network = Network::open().map_err(|error| error.to_string())?;
            let link = network.link("eth0").map_err(|error| error.to_string())?;
            let link = link.ok_or("no eth0")?.index;
            network
                .lend_address(link, vip, prefix, Duration::from_secs(2))
                .map_err(|error| format!("{error}: {:?}", error.source))
        };
        lab.in_host(host, lend).map_err(|error| error.to_string())??;
        let has = || untouched::setup(&lab).map(|setup| setup.has(host, vip));
        if !has()? {
            return Err(format!("{vip} was not lent"));
        }
        let begun = Instant::now();
        while has()? {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err(format!("{vip} is still there"));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

/// What a killed probe leaves to the kernel: the last descriptor of the namespace is closed.
fn a_tunnel_goes_with_its_namespace(entered: &Entered) -> Result<(), String> {
    let scenario = Scenario::parse(&active("", "host"))?;
    let lab = Lab::up(entered, scenario.topology()?).map_err(|error| error.to_string())?;
    let before = untouched::setup(&lab)?;
    let host: NodeId = "10.60.0.11".parse().map_err(|_| "a node")?;
    let make = || -> Result<NetNs, String> {
        let namespace = NetNs::create().map_err(|error| error.to_string())?;
        let mut network = Network::open().map_err(|error| error.to_string())?;
        let tunnel = Tunnel {
            kind: TunnelKind::Vxlan,
            name: "plumb0",
            namespace: namespace.as_fd(),
            mtu: 1450,
            network_id: 7,
            remote: [10, 60, 0, 12].into(),
            port: 8472,
        };
        network
            .add_tunnel(&tunnel)
            .map_err(|error| format!("{error}: {:?}", error.source))?;
        let up = || Network::open()?.set_up("plumb0", true);
        let set_up = namespace.run(up).map_err(|error| error.to_string())?;
        set_up.map_err(|error| error.to_string())?;
        Ok(namespace)
    };
    let namespace = lab.in_host(host, make).map_err(|error| error.to_string())??;
    let with_tunnel = before.differences(&untouched::setup(&lab)?);
    // The host shows the tunnel's UDP port, and nothing else of it.
    if with_tunnel.len() != 1
        || !with_tunnel[0].contains("udp 00000000:2118")
        || with_tunnel[0].contains("plumb0")
    {
        return Err(format!("{with_tunnel:?}"));
    }
    drop(namespace);
    let left = untouched::settled(&lab, &before, Duration::from_secs(10))?;
    if left.is_empty() {
        Ok(())
    } else {
        Err(left.join("\n"))
    }
}

/// An active run over three load balancer nodes and two workers in another subnet.
fn active(events: &str, groups: &str) -> String {
    format!(
        "about: active\ncluster: two-subnets-1.29.yaml\narguments: [--active, --only, \"{groups}\"]\n{events}\n\
         expect: {{verdict: passed, exit: 0}}\n"
    )
}

const VIPS: &[&str] = &["10.60.0.49", "10.60.0.50"];
/// The kernel looks for addresses whose time is over once in a while.
const LEASE_AND_A_LITTLE: Duration = Duration::from_secs(HOLD_LEASE_S as u64 + 15);
