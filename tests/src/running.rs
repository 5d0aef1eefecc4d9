//! A program under test, seen from outside: started, read line by line, signalled, and never waited for without a bound.
//!
//! Two threads a program, which end when it has closed its outputs.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A program that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    started: Instant,
    /// Lines of its standard error.
    lines: Receiver<String>,
    stdout: Receiver<Vec<u8>>,
    seen: String,
}

/// What came of a program.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; nothing if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Running {
    /// Starts a program with nothing on its standard input.
    ///
    /// # Errors
    /// A sentence.
    pub fn start(command: &mut Command) -> Result<Self, String> {
        Self::start_with(command, &[])
    }

    /// Starts a program with this on its standard input (no more than a pipe holds).
    ///
    /// # Errors
    /// A sentence.
    pub fn start_with(command: &mut Command, stdin: &[u8]) -> Result<Self, String> {
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("start {}: {error}", command.get_program().display()))?;
        if let Some(mut pipe) = child.stdin.take() {
            // A program that ends without reading says why by its exit code.
            let _ = pipe.write_all(stdin);
        }
        let stderr = child.stderr.take().ok_or("no standard error")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let mut output = child.stdout.take().ok_or("no standard output")?;
        let (sender, stdout) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read before an error counts.
            let _ = output.read_to_end(&mut bytes);
            // Nobody waits any more if the test is over.
            let _ = sender.send(bytes);
        });
        Ok(Self {
            child,
            started,
            lines,
            stdout,
            seen: String::new(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said on standard error up to the last line that was waited for.
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Waits for a line on its standard error.
    ///
    /// # Errors
    /// If it does not come in time: what came instead.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()));
            match line {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                    if wanted(&line) {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!(
                        "waited {} s for {what} in vain:\n{}",
                        PATIENCE.as_secs(),
                        self.seen
                    ));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("it ended without {what}:\n{}", self.seen));
                }
            }
        }
    }

    /// Waits for an event of `--json-events`.
    ///
    /// # Errors
    /// If it does not come in time.
    pub fn wait_for_event(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let parse = |line: &str| serde_json::from_str::<Value>(line).ok();
        let line = self.wait_for(what, |line| parse(line).is_some_and(|event| wanted(&event)))?;
        parse(&line).ok_or_else(|| format!("{line} is not JSON"))
    }

    /// Waits until a phase of the run begins.
    ///
    /// # Errors
    /// If it does not come in time.
    pub fn wait_for_phase(&mut self, phase: &str) -> Result<(), String> {
        self.wait_for_event(&format!("phase {phase}"), |event| event["phase"] == phase)
            .map(|_| ())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the program has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<(), String> {
        if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
            return Err(format!(
                "it ended before the signal, with {status}:\n{}",
                self.seen
            ));
        }
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or("a process id that is none")?;
        kill_process(pid, signal).map_err(|error| format!("signal {pid:?}: {error}"))
    }

    /// Waits until it has ended by itself and closed its outputs.
    ///
    /// # Errors
    /// If it does neither in time; it is dead by then.
    pub fn end(mut self) -> Result<Ended, String> {
        let deadline = Instant::now() + PATIENCE;
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        let status = loop {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                break status;
            }
            if left(deadline).is_zero() {
                return Err(format!(
                    "it did not end within {} s:\n{}",
                    PATIENCE.as_secs(),
                    self.seen
                ));
            }
            std::thread::sleep(POLL);
        };
        let took = self.started.elapsed();
        let closed = Instant::now() + CLOSING;
        loop {
            match self.lines.recv_timeout(left(closed)) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!(
                        "it ended, and a process that it started lives on:\n{}",
                        self.seen
                    ));
                }
            }
        }
        let stdout = self.stdout.recv_timeout(CLOSING);
        let stdout =
            stdout.map_err(|_| "it ended, and a process that it started holds its standard output")?;
        Ok(Ended {
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: std::mem::take(&mut self.seen),
            took,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a program that has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end.
///
/// # Errors
/// If it cannot be started or does not end.
pub fn run(command: &mut Command) -> Result<Ended, String> {
    Running::start(command)?.end()
}

/// The ids of all processes that were started, at whatever distance, with this in their environment.
///
/// # Errors
/// If the processes cannot be listed.
pub fn processes_with(variable: &str, value: &str) -> io::Result<Vec<u32>> {
    let wanted = format!("{variable}={value}").into_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process that has ended meanwhile, or is another user's, is none of ours.
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if environment
            .split(|octet| *octet == 0)
            .any(|entry| entry == wanted)
        {
            found.push(pid);
        }
    }
    Ok(found)
}

/// What takes longer than this hangs: a machine that is busy with other things needs a few seconds for a small audit.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pipes close with the last process that holds them; what is ended with its parent may take its parent's last second.
const CLOSING: Duration = Duration::from_secs(5);
/// How often a process is looked at.
const POLL: Duration = Duration::from_millis(10);
