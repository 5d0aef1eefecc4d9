//! A real firewalld on hosts of the lab, each with a mount namespace, a message bus and a configuration of its own, and commands
//! typed there.
//!
//! It is ended with the lab: bus and firewalld are one process group. Its files are in a tmpfs that goes with its mount
//! namespace.

use std::{
    collections::BTreeMap,
    fs::File,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use plumbline_lab::{Lab, LabChild, Program};
use plumbline_model::{id::NodeId, report::Report};

use crate::scenario::FirewalldHost;

/// What a shell does to become firewalld. The bus runs as whoever runs the lab, lets everybody speak, and needs no user of its
/// own; the configuration is what firewalld has without
/// any.
const FIREWALLD: &str = r#"
mount -t tmpfs none /run
mkdir /run/dbus /run/firewalld /run/etc-firewalld
mount --bind /run/etc-firewalld /etc/firewalld
cat >/run/bus.conf <<'BUS'
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
BUS
dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile &
exec firewalld --nofork --nopid --log-file=/run/firewalld.log
"#;

/// The programs that it takes.
pub const PROGRAMS: [&str; 5] = ["firewalld", "firewall-cmd", "dbus-daemon", "unshare", "nsenter"];

/// firewalld on hosts, by host.
#[derive(Debug, Default)]
pub struct Firewalls(BTreeMap<NodeId, LabChild>);

impl Firewalls {
    /// Starts it on hosts, and types what they are to be told: on all at the same time, since each command takes a third of a
    /// second.
    ///
    /// # Errors
    /// A sentence, with what firewalld or a command said.
    pub fn start(lab: &mut Lab, hosts: &[FirewalldHost], work: &Path) -> Result<Self, String> {
        let mut started = Self::default();
        for FirewalldHost { on, .. } in hosts {
            let log = work.join(format!("firewalld-{on}.log"));
            let words = ["--mount", "--propagation", "private", "sh", "-ec", FIREWALLD];
            let program = Program {
                path: "unshare".into(),
                args: words.map(Into::into).into(),
                stdin: Vec::new(),
                stderr: Some(File::create(&log).map_err(|error| error.to_string())?),
            };
            let child = lab.spawn_in(*on, program).map_err(|error| error.to_string())?;
            started.0.insert(*on, child);
        }
        let lab: &Lab = lab;
        let prepare = |host: &FirewalldHost| {
            started.wait(lab, host.on, work)?;
            started.type_on(lab, host.on, &host.run)
        };
        thread::scope(|scope| {
            let threads: Vec<_> = hosts
                .iter()
                .map(|host| scope.spawn(move || prepare(host)))
                .collect();
            let ended = threads.into_iter().map(|thread| {
                let ended = thread.join();
                ended.unwrap_or_else(|_| Err("preparing firewalld panicked".to_owned()))
            });
            ended.collect::<Result<Vec<()>, String>>()
        })?;
        Ok(started)
    }

    fn wait(&self, lab: &Lab, on: NodeId, work: &Path) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while self.type_on(lab, on, "firewall-cmd --state").is_err() {
            let has_ended = self
                .0
                .get(&on)
                .is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if has_ended || Instant::now() > deadline {
                let log = std::fs::read_to_string(work.join(format!("firewalld-{on}.log")));
                return Err(format!(
                    "firewalld does not run on {on}: {}",
                    log.unwrap_or_default()
                ));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Types commands on a host, where its firewalld is if it has one.
    ///
    /// # Errors
    /// A sentence, with what the command said.
    pub fn type_on(&self, lab: &Lab, on: NodeId, commands: &str) -> Result<(), String> {
        let mut command = match self.0.get(&on) {
            Some(child) => {
                let mut command = Command::new("nsenter");
                let pid = child.pid().to_string();
                command.args(["--mount", "--target", &pid, "sh", "-ec", commands]);
                command
            }
            None => {
                let mut command = Command::new("sh");
                command.args(["-ec", commands]);
                command
            }
        };
        command.stdin(Stdio::null());
        let ran = lab.in_host(on, || command.output());
        let output = ran
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("type on {on}: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "on {on}: {commands:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ))
    }

    /// Types what the findings of a report say, each command on the node that its finding is about.
    ///
    /// # Errors
    /// A sentence, with what a command said.
    pub fn mend(&self, lab: &Lab, report: &Report) -> Result<(), String> {
        for finding in report.findings.iter().filter(|finding| finding.waived.is_none()) {
            let node = finding
                .cause
                .node
                .ok_or_else(|| format!("no node to type on: {}", finding.cause.detail))?;
            for command in &finding.fix.commands {
                self.type_on(lab, node, command)?;
            }
        }
        Ok(())
    }
}

/// It starts in less than a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked whether it runs.
const POLL: Duration = Duration::from_millis(100);
