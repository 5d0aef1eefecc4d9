//! The connect engine and its responder against `connrate.c`, the same exchange in plain C: connect, a question, an answer,
//! close by RST. Both over one virtual cable between two network namespaces, client on one core and server on another,
//! 64 in flight over 64 ports, in turns; the ratio is taken within each pair of turns, since the machine's mood changes
//! between them.
//!
//! `PLUMBLINE_LIMITS` names the directory that holds `connrate.c`. Without it the bench is skipped by name.

use std::{
    env,
    error::Error,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use plumbline_benches::{
    cable::{self, CLIENT, CLIENT_CORE, SERVER, SERVER_CORE},
    responder::{self, KEY, RUN},
};
use plumbline_model::{
    observation::{Record, Signal},
    port::{PortRange, PortSet},
};
use plumbline_probe::{
    responder::tcp::arm,
    runner::{
        asking::{AskTarget, AskTask, Occupant, Peer},
        tcp::start,
    },
};
use plumbline_sys::ns::NetNs;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(),
        Some("ask") => ask(),
        _ if !arguments.iter().any(|argument| argument == "--bench") => {
            say("connect: skipped, this is no run of `cargo bench`")
        }
        _ => match env::var_os("PLUMBLINE_LIMITS") {
            None => say("connect: skipped, PLUMBLINE_LIMITS does not name the directory of connrate.c"),
            Some(limits) => compare(&PathBuf::from(limits)),
        },
    }
}

fn compare(limits: &Path) -> Outcome<()> {
    let scratch = env::temp_dir().join(format!("plumbline-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let result = compile(limits, &scratch).and_then(|connrate| turns(&connrate));
    std::fs::remove_dir_all(&scratch)?;
    result
}

fn compile(limits: &Path, scratch: &Path) -> Outcome<PathBuf> {
    let connrate = scratch.join("connrate");
    let compiled = Command::new("cc")
        .args(["-O2", "-w", "-o"])
        .arg(&connrate)
        .arg(limits.join("connrate.c"))
        .status()?;
    if compiled.success() {
        Ok(connrate)
    } else {
        Err(format!("cc ended with {compiled}").into())
    }
}

fn turns(connrate: &Path) -> Outcome<()> {
    let server_side = cable::lay()?;
    let mut ratios = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        // Who goes first changes, so that neither always finds the warmer machine.
        let (ours, theirs) = if turn % 2 == 0 {
            let ours = measure_ours(&server_side)?;
            (ours, measure_connrate(connrate, &server_side)?)
        } else {
            let theirs = measure_connrate(connrate, &server_side)?;
            (measure_ours(&server_side)?, theirs)
        };
        let ratio = (ours.per_second / theirs.per_second, theirs.cpu_us / ours.cpu_us);
        say(&format!(
            "turn {turn}: plumbline {:.0}/s {:.1} us CPU each, connrate {:.0}/s {:.1} us CPU each: {:.2} of its rate, {:.2} \
             by CPU",
            ours.per_second, ours.cpu_us, theirs.per_second, theirs.cpu_us, ratio.0, ratio.1
        ))?;
        ratios.0.push(ratio.0);
        ratios.1.push(ratio.1);
    }
    say(&format!(
        "median ratio: {:.2} of connrate's rate, {:.2} by CPU",
        median(ratios.0),
        median(ratios.1)
    ))
}

/// What one client did.
#[derive(Debug, Clone, Copy)]
struct Figures {
    per_second: f64,
    /// CPU time of the client per connection, in microseconds.
    cpu_us: f64,
}

fn measure_ours(server_side: &NetNs) -> Outcome<Figures> {
    let own = env::current_exe()?;
    let mut server = Command::new("taskset");
    server
        .args(["-c", SERVER_CORE])
        .arg(&own)
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut server = server_side.spawn(&mut server, None)?;
    let mut ready = String::new();
    BufReader::new(server.stdout.take().ok_or("the server's output is a pipe")?).read_line(&mut ready)?;
    let output = Command::new("taskset")
        .args(["-c", CLIENT_CORE])
        .arg(&own)
        .arg("ask")
        .output();
    // The server ends with its standard input.
    drop(server.stdin.take());
    server.wait()?;
    let text = String::from_utf8(output?.stdout)?;
    let (per_second, cpu_us) = text
        .trim()
        .split_once(' ')
        .ok_or_else(|| format!("no figures from the client: {text:?}"))?;
    Ok(Figures {
        per_second: per_second.parse()?,
        cpu_us: cpu_us.parse()?,
    })
}

fn measure_connrate(connrate: &Path, server_side: &NetNs) -> Outcome<Figures> {
    let (server, first, ports) = (SERVER.to_string(), FIRST_PORT.to_string(), PORTS.to_string());
    let mut command = Command::new(connrate);
    command
        .args(["s", &server, &first, SERVER_CORE, &ports])
        .stderr(Stdio::piped());
    let mut child = server_side.spawn(&mut command, None)?;
    let mut ready = String::new();
    BufReader::new(child.stderr.take().ok_or("the server's errors are a pipe")?).read_line(&mut ready)?;
    let seconds = CONNRATE_SECONDS.to_string();
    let output = Command::new(connrate)
        .args(["c", &server, &first, CLIENT_CORE, "64", &seconds, "echo", &ports])
        .output();
    end(&mut child)?;
    let text = String::from_utf8(output?.stdout)?;
    let field = |name: &str| -> Outcome<f64> {
        let value = text
            .split_once(name)
            .ok_or_else(|| format!("no {name} from connrate: {text:?}"))?
            .1;
        Ok(value
            .split(|c: char| c != '.' && !c.is_ascii_digit())
            .next()
            .unwrap_or_default()
            .parse()?)
    };
    Ok(Figures {
        per_second: field("rate=")?,
        cpu_us: field("user=")? + field("sys=")?,
    })
}

fn end(child: &mut Child) -> io::Result<()> {
    child.kill()?;
    child.wait().map(drop)
}

/// The server of a turn: a responder until its standard input ends.
fn serve() -> Outcome<()> {
    let (responder, armed) = arm(responder::task(ports(), 1))?;
    if armed.ports != ports() {
        return Err(format!("not every port could be bound: {:?}", armed.refused).into());
    }
    say("ready")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(responder);
    Ok(())
}

/// The client of a turn: asks every port many times and prints connections a second and CPU time of each.
fn ask() -> Outcome<()> {
    let peer = Peer {
        index: 1,
        node: SERVER.into(),
        address: SERVER,
        key: KEY,
    };
    let target = AskTarget {
        peer,
        ports: ports(),
        occupant: Occupant::Responder,
    };
    let task = AskTask {
        run: RUN,
        own_index: 0,
        members: 2,
        data_addresses: Vec::new(),
        local: Some(CLIENT),
        targets: vec![target; ROUNDS],
        attempts: 3,
        attempt_timeout: Duration::from_millis(600),
        max_rate_node: 0,
        max_rate_pair: 0,
        rates: std::sync::Arc::default(),
        second_look: false,
        lease: Duration::from_secs(600),
    };
    let (begun, cpu_before) = (Instant::now(), cpu_time());
    let asking = start(task)?;
    let total = asking.total();
    let records = asking.finish();
    let (took, cpu) = (begun.elapsed(), cpu_time() - cpu_before);
    let verified =
        |record: &Record| matches!(record, Record::Reach(reach) if reach.signal == Signal::Verified);
    if let Some(other) = records.iter().find(|record| !verified(record)) {
        return Err(format!("not every connection was verified: {other:?}").into());
    }
    let count = f64::from(u32::try_from(total)?);
    say(&format!(
        "{:.1} {:.3}",
        count / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count
    ))
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

fn ports() -> PortSet {
    PortRange::new(FIRST_PORT, FIRST_PORT + PORTS - 1)
        .expect("the range is not reversed")
        .into()
}

fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn say(line: &str) -> Outcome<()> {
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

/// Outside the range of ephemeral ports.
const FIRST_PORT: u16 = 20_000;
/// As many as connrate's figures in the fact sheet were taken with.
const PORTS: u16 = 64;
/// With 64 ports 96,000 connections: two to five seconds, about as long as connrate runs.
const ROUNDS: usize = 1_500;
const CONNRATE_SECONDS: u32 = 3;
/// Odd, so that the median is a turn that was.
const TURNS: u32 = 7;
