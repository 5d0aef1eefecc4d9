//! Live hosts on the stage: their services, and the judgement whether an audit disturbed them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use plumbline_lab::{Lab, Program};
use plumbline_model::{id::NodeId, port::PortSet};
use plumbline_sys::{
    netlink::{Protocol, Socket},
    nft::{self, Action, Batch, Family, Hook, Match, NewRule, Policy, Transport},
};

use crate::{
    scenario::{LiveHost, Service},
    stand_in::{DISTURBANCES, STAND_IN},
};

/// The services of a live host, and what crosses their ports on the wire.
#[derive(Debug)]
pub struct Living {
    host: NodeId,
    services: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    name: String,
    has_tcp: bool,
    log: PathBuf,
}

impl Living {
    /// Starts a host's services from a test's own program, and waits until they listen.
    ///
    /// # Errors
    /// A sentence.
    pub fn start(lab: &mut Lab, live: &LiveHost, work: &Path) -> Result<Self, String> {
        let mut living = Self {
            host: live.host,
            services: Vec::new(),
        };
        for (index, service) in live.services.iter().enumerate() {
            let dir = work.join(format!("live-{}-{index}", live.host));
            living.add(lab, service, &dir)?;
        }
        let ports = |of: fn(&Service) -> &PortSet| {
            let mut ports = PortSet::new();
            live.services.iter().for_each(|service| ports.extend(of(service)));
            ports
        };
        let (tcp, udp) = (ports(|service| &service.tcp), ports(|service| &service.udp));
        let watched = lab
            .in_host(live.host, || watch(&tcp, &udp))
            .map_err(|error| error.to_string())?;
        watched.map_err(|error| format!("watch the ports of {}: {error}", live.host))?;
        Ok(living)
    }

    fn add(&mut self, lab: &mut Lab, service: &Service, dir: &Path) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("start {} on {}: {error}", service.name, self.host);
        fs::create_dir_all(dir).map_err(failed)?;
        // A process is called after the file that it was started by.
        let path = dir.join(&service.name);
        std::os::unix::fs::symlink(std::env::current_exe().map_err(failed)?, &path).map_err(failed)?;
        let (log, complaints) = (dir.join("log"), dir.join("stderr"));
        let program = Program {
            path,
            args: vec![STAND_IN.into(), log.clone().into(), serde_json_of(service).into()],
            stdin: Vec::new(),
            stderr: Some(File::create(&complaints).map_err(failed)?),
        };
        let child = lab
            .spawn_in(self.host, program)
            .map_err(|error| error.to_string())?;
        let deadline = Instant::now() + PATIENCE;
        while !lines(&log).iter().any(|line| line == "ready") {
            if Instant::now() > deadline || child.try_wait().map_err(failed)?.is_some() {
                let complaint = fs::read_to_string(&complaints).unwrap_or_default();
                return Err(format!(
                    "{} on {} does not listen: {complaint}",
                    service.name, self.host
                ));
            }
            std::thread::sleep(POLL);
        }
        self.services.push(Running {
            name: service.name.clone(),
            has_tcp: !service.tcp.is_empty(),
            log,
        });
        Ok(())
    }

    /// Whatever happened to the services that a careful visitor does not do.
    ///
    /// # Errors
    /// If the packet filter of the host cannot be read.
    pub fn disturbances(&self, lab: &Lab) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        for service in &self.services {
            let lines = settled(&service.log);
            let who = format!("{} on {}", service.name, self.host);
            if service.has_tcp && !lines.iter().any(|line| line.starts_with("connection")) {
                found.push(format!("{who} was never visited"));
            }
            let is_disturbance =
                |line: &&String| DISTURBANCES.iter().any(|beginning| line.starts_with(beginning));
            found.extend(
                lines
                    .iter()
                    .filter(is_disturbance)
                    .map(|line| format!("{who}: {line}")),
            );
        }
        let counted = lab
            .in_host(self.host, counted)
            .map_err(|error| error.to_string())?;
        for (what, packets) in
            counted.map_err(|error| format!("read the counters of {}: {error}", self.host))?
        {
            if packets != 0 {
                found.push(format!("{packets} {what} came to services of {}", self.host));
            }
        }
        Ok(found)
    }
}

/// A log once every connection in it has ended, or after a while.
fn settled(log: &Path) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = lines(log);
        let count = |word: &str| lines.iter().filter(|line| line.starts_with(word)).count();
        let ended: usize = ["closed", "reset", "error", "locked"].map(count).iter().sum();
        if count("connection") == ended || Instant::now() > deadline {
            return lines;
        }
        std::thread::sleep(POLL);
    }
}

fn lines(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A service as its stand-in reads it: JSON is YAML.
fn serde_json_of(service: &Service) -> String {
    let Service {
        name,
        tcp,
        udp,
        manner,
    } = service;
    let manner = match manner {
        crate::scenario::Manner::Silent => "silent",
        crate::scenario::Manner::Ssh => "ssh",
    };
    serde_json::json!({
        "name": name,
        "tcp": tcp.to_string(),
        "udp": udp.to_string(),
        "manner": manner,
    })
    .to_string()
}

/// Counts resets and datagrams to ports of the calling thread's network, before any filter.
fn watch(tcp: &PortSet, udp: &PortSet) -> Result<(), String> {
    let mut batch = Batch::new();
    batch.create_table(Family::Inet, WATCH).create_base_chain(
        Family::Inet,
        WATCH,
        "watch",
        Hook::Input,
        BEFORE_FILTERS,
        Policy::Accept,
    );
    let mut count = |ports: &PortSet, transport, further: Option<Match>| {
        for range in ports.ranges() {
            let port = Match::DestinationPorts(transport, range.first(), range.last());
            let rule = NewRule {
                matches: [port].into_iter().chain(further.clone()).collect(),
                action: Action::Count,
            };
            batch.append_rule(Family::Inet, WATCH, "watch", &rule);
        }
    };
    count(tcp, Transport::Tcp, Some(Match::TcpReset));
    count(udp, Transport::Udp, None);
    let mut socket = Socket::open(Protocol::Netfilter).map_err(|error| error.to_string())?;
    batch.commit(&mut socket).map_err(|error| error.to_string())
}

/// What was counted: resets and datagrams.
fn counted() -> Result<Vec<(&'static str, u64)>, String> {
    let ruleset = nft::read().map_err(|error| error.to_string())?;
    let table = ruleset.tables.iter().find(|table| table.name == WATCH);
    let rules = table
        .into_iter()
        .flat_map(|table| &table.chains)
        .flat_map(|chain| &chain.rules);
    let mut counted = [("TCP resets", 0), ("UDP datagrams", 0)];
    for rule in rules {
        let packets = rule
            .expressions
            .iter()
            .find(|expression| expression.name == "counter")
            .and_then(|counter| counter.long(nft::kernel::COUNTER_PACKETS))
            .ok_or("a rule has no counter")?;
        let looks_at_flags = rule
            .expressions
            .iter()
            .any(|expression| expression.name == "bitwise");
        counted[usize::from(!looks_at_flags)].1 += packets;
    }
    Ok(counted.to_vec())
}

/// The name of the counting table.
const WATCH: &str = "plumbline_watch";
/// Before any filter of the host.
const BEFORE_FILTERS: i32 = -300;
/// A program listens in less than a second, and a connection ends as soon; a busy machine needs some more.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a log is looked at.
const POLL: Duration = Duration::from_millis(10);
