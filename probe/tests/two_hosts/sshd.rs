//! A real SSH server that is strict, asked by many sources at once: nobody is refused, and nobody is locked out afterwards.

use std::{
    env, fs,
    io::Read as _,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use plumbline_model::observation::Signal;
use plumbline_probe::runner::asking::{AskTask, Occupant};
use plumbline_sys::route::Network;

use crate::hosts::{Ends, Hosts, ask, only, set, task};

/// As many sources ask at the same moment as would overrun it three times. Each connection without a login costs its source
/// ten seconds of a penalty that bites from fifteen seconds on: whoever connected twice for one test would be locked out.
pub(crate) fn a_strict_ssh_server_locks_nobody_out(hosts: &Hosts, ends: Ends) {
    let addresses: Vec<IpAddr> = (0..SOURCES)
        .map(|index| Ipv4Addr::new(10, 77, 0, 100 + index).into())
        .collect();
    let mut network = Network::open().unwrap();
    let link = network.link("cable").unwrap().unwrap().index;
    for address in &addresses {
        network.add_address(link, *address, 24).unwrap();
    }
    let server = Server::start(hosts, ends);
    for _ in 0..2 {
        let signals: Vec<(Signal, u32)> = thread::scope(|scope| {
            let sources = (0..).zip(&addresses).map(|(index, address)| {
                let task = source(ends, index, *address);
                scope.spawn(|| only(ask(task)))
            });
            // All of them begin before the first is waited for.
            let sources: Vec<_> = sources.collect();
            let reaches = sources.into_iter().map(|source| source.join().unwrap());
            reaches.map(|reach| (reach.signal, reach.attempts)).collect()
        });
        let expected = vec![(Signal::Connected, 1); addresses.len()];
        assert_eq!(signals, expected, "{}", server.log());
    }
    let is_strict = server.has_penalties;
    let log = server.stop();
    println!(
        "test a_strict_ssh_server_locks_nobody_out: {}, {}",
        version(),
        if is_strict {
            PENALTIES
        } else {
            "which knows no penalties"
        }
    );
    for word in ["drop connection", "refus", "throttling", "error:", "fatal:"] {
        assert!(!log.contains(word), "{log}");
    }
    for address in &addresses {
        network.delete_address(link, *address, 24).unwrap();
    }
}

/// What is missing for it here.
pub(crate) fn needs() -> Result<(), String> {
    let server = server();
    if !server.exists() {
        return Err(format!(
            "no {} here (PLUMBLINE_SSHD names another)",
            server.display()
        ));
    }
    // As whoever starts it at boot does.
    fs::create_dir_all(PRIVILEGE_SEPARATION)
        .map_err(|error| format!("make {PRIVILEGE_SEPARATION}: {error}"))?;
    let keygen = Command::new("ssh-keygen")
        .arg("-?")
        .stderr(Stdio::null())
        .status();
    keygen.map(drop).map_err(|error| format!("ssh-keygen: {error}"))
}

fn server() -> PathBuf {
    env::var_os("PLUMBLINE_SSHD").map_or_else(|| PathBuf::from("/usr/sbin/sshd"), PathBuf::from)
}

/// What it calls itself.
fn version() -> String {
    let said = Command::new(server()).arg("-V").output();
    let said = said.map(|said| String::from_utf8_lossy(&said.stderr).trim().to_owned());
    said.unwrap_or_else(|error| error.to_string())
}

fn source(ends: Ends, index: u32, address: IpAddr) -> AskTask {
    let mut task = AskTask {
        own_index: index,
        members: u32::from(SOURCES) + 1,
        local: Some(address),
        ..task(ends.answering, &set("22"))
    };
    task.targets[0].peer.index = u32::from(SOURCES);
    task.targets[0].occupant = Occupant::Sshd;
    task
}

struct Server {
    process: Child,
    directory: tempfile::TempDir,
    has_penalties: bool,
}

impl Server {
    fn start(hosts: &Hosts, ends: Ends) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(path("key"))
            .status();
        assert!(made.unwrap().success());
        // Before 9.8 it knows no penalties, and would not start.
        for has_penalties in [true, false] {
            let penalties = if has_penalties { PENALTIES } else { "" };
            let configuration = format!(
                "Port 22\nListenAddress {}\nHostKey {}\nMaxStartups 10\nPidFile none\nLogLevel VERBOSE\n{penalties}\n",
                ends.answering,
                path("key").display()
            );
            fs::write(path("configuration"), configuration).unwrap();
            let mut command = Command::new(server());
            command.args(["-D", "-e", "-f"]).arg(path("configuration"));
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(fs::File::create(path("log")).unwrap());
            let mut process = hosts.answering.spawn(&mut command, None).unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            let log = loop {
                let log = fs::read_to_string(path("log")).unwrap();
                let ended = process.try_wait().unwrap().is_some();
                if ended || log.contains("Server listening") {
                    break log;
                }
                assert!(Instant::now() < deadline, "{log}");
                thread::sleep(Duration::from_millis(10));
            };
            if process.try_wait().unwrap().is_none() {
                return Self {
                    process,
                    directory,
                    has_penalties,
                };
            }
            assert!(log.contains("PerSourcePenalties"), "{log}");
        }
        panic!("no SSH server without penalties either");
    }

    fn log(&self) -> String {
        let mut log = String::new();
        let file = fs::File::open(self.directory.path().join("log"));
        file.unwrap().read_to_string(&mut log).unwrap();
        log
    }

    fn stop(mut self) -> String {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.log()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone already unless the test failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// As strict as an administrator may be: a source that came and left without logging in a second time is locked out.
const PENALTIES: &str = "PerSourcePenalties noauth:10s min:15s";
/// Where sshd wants to be shut in before a login; Debian's does not start without.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";
/// At a hundred milliseconds each, the last asks after three seconds.
const SOURCES: u8 = 30;
