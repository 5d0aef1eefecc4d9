//! The ports of one pair against `nmap -sT`: the NodePort range, 2,768 ports, open, closed and silently dropped, over one
//! virtual cable between two network namespaces, client on one core and server on another, in turns. Both are measured from
//! outside, from the start of the process to its end: wall time and CPU time of the client.
//!
//! Ours asks a responder of ours for its proof and is answered; nmap connects to plain listeners and leaves. `nmap` and `bash`
//! (for its `time`) must be installed; without them the bench is skipped by name.

use std::{
    env,
    error::Error,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use plumbline_benches::{
    cable::{self, CLIENT_CORE, SERVER, SERVER_CORE},
    responder::{self, KEY, RUN},
};
use plumbline_model::{
    observation::{Record, Signal},
    port::{PortRange, PortSet, Protocol},
};
use plumbline_probe::{
    responder::tcp::arm,
    runner::{
        asking::{AskTarget, AskTask, Occupant, Peer},
        tcp::start,
    },
};
use plumbline_sys::{
    limits,
    netlink::{self, Socket},
    nft::{Action, Batch, Family, Hook, Match, NewRule, Policy, Transport},
    ns::NetNs,
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["responder"] => serve_ours(),
        ["listeners"] => listeners(),
        ["ask", expected] => ask(expected),
        _ if !arguments.contains(&"--bench") => say("scan: skipped, this is no run of `cargo bench`"),
        _ if !is_there("nmap") || !is_there("bash") => say("scan: skipped, nmap or bash is not installed"),
        _ => compare(),
    }
}

fn is_there(program: &str) -> bool {
    let asked = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// What stands behind the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Filtered,
}

fn compare() -> Outcome<()> {
    let there = cable::lay()?;
    for (state, name) in [
        (State::Open, "open"),
        (State::Closed, "closed"),
        (State::Filtered, "filtered"),
    ] {
        if state == State::Filtered {
            there.run(drop_everything)??;
        }
        let (mut wall, mut cpu) = (Vec::new(), Vec::new());
        let mut all = (Vec::new(), Vec::new());
        for turn in 0..TURNS {
            // Who goes first changes, so that neither always finds the warmer machine.
            let (ours, theirs) = if turn % 2 == 0 {
                let ours = measure_ours(&there, state, name)?;
                (ours, measure_nmap(&there, state)?)
            } else {
                let theirs = measure_nmap(&there, state)?;
                (measure_ours(&there, state, name)?, theirs)
            };
            wall.push(ours.wall_s / theirs.wall_s);
            cpu.push(ours.cpu_us / theirs.cpu_us);
            all.0.push(ours);
            all.1.push(theirs);
        }
        say(&format!("{name}: plumbline {}", summary(&all.0)))?;
        say(&format!("{name}: nmap      {}", summary(&all.1)))?;
        say(&format!(
            "{name}: {:.2} of nmap's time ({}), {:.2} of its CPU ({})",
            median(&wall),
            range(&wall),
            median(&cpu),
            range(&cpu)
        ))?;
        if state == State::Filtered {
            let silence = ATTEMPT_TIMEOUT.as_secs_f64() * f64::from(ATTEMPTS);
            let ours: Vec<f64> = all.0.iter().map(|figures| figures.wall_s / silence).collect();
            say(&format!(
                "{name}: {:.2} of timeout x attempts ({})",
                median(&ours),
                range(&ours)
            ))?;
        }
    }
    Ok(())
}

/// What one client did, from its start to its end.
#[derive(Debug, Clone, Copy)]
struct Figures {
    wall_s: f64,
    /// CPU time per port, in microseconds.
    cpu_us: f64,
}

fn summary(figures: &[Figures]) -> String {
    let wall: Vec<f64> = figures.iter().map(|figures| figures.wall_s).collect();
    let cpu: Vec<f64> = figures.iter().map(|figures| figures.cpu_us).collect();
    format!(
        "{:.3} s ({}), {:.1} us CPU a port ({})",
        median(&wall),
        range(&wall),
        median(&cpu),
        range(&cpu)
    )
}

fn measure_ours(there: &NetNs, state: State, name: &str) -> Outcome<Figures> {
    let program = env::current_exe()?.display().to_string();
    let server = serve(there, state, "responder")?;
    let measured = timed(&format!("{program} ask {name}"));
    stop(server)?;
    measured.map(|(figures, _)| figures)
}

fn measure_nmap(there: &NetNs, state: State) -> Outcome<Figures> {
    let server = serve(there, state, "listeners")?;
    let (first, last) = (ports().ranges()[0].first(), ports().ranges()[0].last());
    let measured = timed(&format!(
        "nmap -n -Pn -sT -p{first}-{last} -T5 --min-rate 100000 -oG - {SERVER}"
    ));
    stop(server)?;
    let (figures, said) = measured?;
    let word = match state {
        State::Open => "/open/",
        State::Closed => "closed (2768)",
        State::Filtered => "filtered (2768)",
    };
    let wanted = if state == State::Open {
        ports().count() as usize
    } else {
        1
    };
    if said.matches(word).count() != wanted {
        return Err(format!("nmap did not find every port {state:?}: {said}").into());
    }
    Ok(figures)
}

/// A server on the other side, which ends with its standard input.
fn serve(there: &NetNs, state: State, what: &str) -> Outcome<Option<Child>> {
    if state != State::Open {
        return Ok(None);
    }
    let mut command = Command::new("taskset");
    command
        .args(["-c", SERVER_CORE])
        .arg(env::current_exe()?)
        .arg(what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut server = there.spawn(&mut command, None)?;
    let mut ready = String::new();
    BufReader::new(server.stdout.take().ok_or("the server's output is a pipe")?).read_line(&mut ready)?;
    Ok(Some(server))
}

fn stop(server: Option<Child>) -> Outcome<()> {
    if let Some(mut server) = server {
        drop(server.stdin.take());
        server.wait()?;
    }
    Ok(())
}

/// Runs a command on the client's core; bash's `time` reads the kernel's own account of it.
fn timed(command: &str) -> Outcome<(Figures, String)> {
    let output = Command::new("taskset")
        .args(["-c", CLIENT_CORE, "bash", "-c"])
        .arg(format!("TIMEFORMAT='%R %U %S'; time {command}"))
        .output()?;
    let (said, times) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    );
    let fields: Vec<f64> = times
        .lines()
        .last()
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    let [wall_s, user, system] = fields[..] else {
        return Err(format!("{command}: {times}").into());
    };
    if !output.status.success() {
        return Err(format!("{command} ended with {}: {times}", output.status).into());
    }
    let cpu_us = (user + system) * 1e6 / f64::from(ports().count());
    Ok((Figures { wall_s, cpu_us }, said))
}

/// The packet filter of the other side drops every TCP segment to the range.
fn drop_everything() -> Outcome<()> {
    let (first, last) = (ports().ranges()[0].first(), ports().ranges()[0].last());
    let rule = NewRule {
        matches: vec![Match::DestinationPorts(Transport::Tcp, first, last)],
        action: Action::Drop,
    };
    let mut batch = Batch::new();
    batch
        .create_table(Family::Inet, TABLE)
        .create_base_chain(Family::Inet, TABLE, TABLE, Hook::Input, 0, Policy::Accept)
        .append_rule(Family::Inet, TABLE, TABLE, &rule);
    batch.commit(&mut Socket::open(netlink::Protocol::Netfilter)?)?;
    Ok(())
}

/// A responder of ours on every port.
fn serve_ours() -> Outcome<()> {
    limits::raise_open_files();
    let (responder, armed) = arm(responder::task(ports(), 1))?;
    if armed.ports != ports() {
        return Err(format!("not every port could be bound: {:?}", armed.refused).into());
    }
    until_the_end()?;
    drop(responder);
    Ok(())
}

/// A listener on every port, which leaves all to the kernel: the least work for who answers.
fn listeners() -> Outcome<()> {
    limits::raise_open_files();
    let listeners: Vec<TcpListener> = ports()
        .iter()
        .map(|port| TcpListener::bind((SERVER, port)))
        .collect::<Result<_, _>>()?;
    until_the_end()?;
    drop(listeners);
    Ok(())
}

fn until_the_end() -> Outcome<()> {
    say("ready")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Asks every port once and fails unless all of them are as expected.
fn ask(expected: &str) -> Outcome<()> {
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
        local: None,
        targets: vec![target],
        attempts: ATTEMPTS,
        attempt_timeout: ATTEMPT_TIMEOUT,
        max_rate_node: 0,
        max_rate_pair: 0,
        rates: std::sync::Arc::default(),
        second_look: false,
        lease: Duration::from_secs(600),
    };
    let records = start(task)?.finish();
    let mut found = PortSet::new();
    for record in &records {
        if let Record::Reach(reach) = record
            && reach.protocol == Protocol::Tcp
            && is_as_expected(expected, &reach.signal)
        {
            found.extend(&reach.ports);
        }
    }
    if found == ports() {
        Ok(())
    } else {
        Err(format!("not every port is {expected}: {records:?}").into())
    }
}

fn is_as_expected(expected: &str, signal: &Signal) -> bool {
    match expected {
        "open" => *signal == Signal::Verified,
        "closed" => *signal == Signal::Refused,
        _ => *signal == Signal::Silence,
    }
}

fn ports() -> PortSet {
    PortRange::new(30_000, 32_767)
        .expect("the range is not reversed")
        .into()
}

fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn range(figures: &[f64]) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(0.0, f64::max);
    format!("{least:.2} to {most:.2}")
}

fn say(line: &str) -> Outcome<()> {
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

/// The packet filter's table and chain.
const TABLE: &str = "bench";
/// What an audit asks for.
const ATTEMPTS: u32 = 3;
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(600);
/// Odd, so that the median is a turn that was.
const TURNS: u32 = 7;
