//! The UDP responder against `udprate.c`, an echo in plain C with recvmmsg and sendmmsg: 112 octets there and back, over one
//! virtual cable between two network namespaces, client on one core and server on another, 256 in flight on one port, in
//! turns; the ratio is taken within each pair of turns, since the machine's mood changes between them.
//!
//! Our questions are signed beforehand, so that the responder is what is measured: it checks and makes an HMAC for each.
//!
//! `PLUMBLINE_LIMITS` names the directory that holds `udprate.c`. Without it the bench is skipped by name.

use std::{
    env,
    error::Error,
    io::{self, BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use plumbline_benches::{
    cable::{self, CLIENT, CLIENT_CORE, SERVER, SERVER_CORE},
    responder::{self, KEY},
};
use plumbline_measure::{
    hello::PairKey,
    stamp::{
        packet::{SenderPacket, Sent},
        session::{SessionId, SessionKey},
        time::{ErrorEstimate, WireTime},
    },
};
use plumbline_model::port::{PortRange, PortSet};
use plumbline_probe::responder::udp::arm;
use plumbline_sys::{
    ns::NetNs,
    udp::{Inbox, Outbox, UdpSocket},
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(),
        Some("ask") => ask(),
        _ if !arguments.iter().any(|argument| argument == "--bench") => {
            say("echo: skipped, this is no run of `cargo bench`")
        }
        _ => match env::var_os("PLUMBLINE_LIMITS") {
            None => say("echo: skipped, PLUMBLINE_LIMITS does not name the directory of udprate.c"),
            Some(limits) => compare(&PathBuf::from(limits)),
        },
    }
}

fn compare(limits: &Path) -> Outcome<()> {
    let scratch = env::temp_dir().join(format!("plumbline-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let result = compile(limits, &scratch).and_then(|udprate| turns(&udprate));
    std::fs::remove_dir_all(&scratch)?;
    result
}

fn compile(limits: &Path, scratch: &Path) -> Outcome<PathBuf> {
    let udprate = scratch.join("udprate");
    let compiled = Command::new("cc")
        .args(["-O2", "-w", "-o"])
        .arg(&udprate)
        .arg(limits.join("udprate.c"))
        .status()?;
    if compiled.success() {
        Ok(udprate)
    } else {
        Err(format!("cc ended with {compiled}").into())
    }
}

/// What one turn showed.
#[derive(Debug, Clone, Copy)]
struct Figures {
    per_second: f64,
    /// CPU time of the server per echo, in microseconds.
    cpu_us: f64,
}

fn turns(udprate: &Path) -> Outcome<()> {
    let server_side = cable::lay()?;
    let mut ratios = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        // Who goes first changes, so that neither always finds the warmer machine.
        let (ours, theirs) = if turn % 2 == 0 {
            let ours = measure_ours(&server_side)?;
            (ours, measure_udprate(udprate, &server_side)?)
        } else {
            let theirs = measure_udprate(udprate, &server_side)?;
            (measure_ours(&server_side)?, theirs)
        };
        let ratio = (ours.per_second / theirs.per_second, theirs.cpu_us / ours.cpu_us);
        say(&format!(
            "turn {turn}: plumbline {:.0} echoes/s {:.2} us CPU each, udprate {:.0} echoes/s {:.2} us CPU each: {:.2} of its \
             rate, {:.2} by CPU",
            ours.per_second, ours.cpu_us, theirs.per_second, theirs.cpu_us, ratio.0, ratio.1
        ))?;
        ratios.0.push(ratio.0);
        ratios.1.push(ratio.1);
    }
    say(&format!(
        "median ratio: {:.2} of udprate's rate, {:.2} by CPU",
        median(ratios.0),
        median(ratios.1)
    ))
}

fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn measure_ours(server_side: &NetNs) -> Outcome<Figures> {
    let program = env::current_exe()?;
    let mut command = Command::new("taskset");
    command
        .args(["-c", SERVER_CORE])
        .arg(&program)
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut server = server_side.spawn(&mut command, None)?;
    let mut output = BufReader::new(server.stdout.take().ok_or("the server's output is a pipe")?);
    output.read_line(&mut String::new())?;
    let client = Command::new("taskset")
        .args(["-c", CLIENT_CORE])
        .arg(&program)
        .arg("ask")
        .output();
    // The server ends with its standard input, and says what it took.
    drop(server.stdin.take());
    let mut cpu = String::new();
    output.read_to_string(&mut cpu)?;
    server.wait()?;
    let text = String::from_utf8(client?.stdout)?;
    let (per_second, echoes) = text
        .trim()
        .split_once(' ')
        .ok_or_else(|| format!("no figures from the client: {text:?}"))?;
    let cpu_us: f64 = cpu.trim().parse()?;
    Ok(Figures {
        per_second: per_second.parse()?,
        cpu_us: cpu_us / echoes.parse::<f64>()?,
    })
}

fn measure_udprate(udprate: &Path, server_side: &NetNs) -> Outcome<Figures> {
    let (server, port, size) = (SERVER.to_string(), PORT.to_string(), SIZE.to_string());
    let mut command = Command::new(udprate);
    command
        .args(["r", &server, &port, SERVER_CORE, "64"])
        .stderr(Stdio::piped());
    let child = server_side.spawn(&mut command, None)?;
    // It does not say when it is bound.
    thread::sleep(Duration::from_millis(300));
    let client = Command::new(udprate)
        .args(["s", &server, &port, CLIENT_CORE, "64", &size, "256", "2"])
        .output();
    let said = end(child)?;
    let text = String::from_utf8(client?.stdout)?;
    Ok(Figures {
        per_second: field(&text, "echoed=")?,
        cpu_us: field(&said, "user=")? + field(&said, "sys=")?,
    })
}

/// Asks a program to end, and returns what it says about itself.
fn end(mut child: Child) -> Outcome<String> {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or("a child has a process id")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    let mut said = String::new();
    child
        .stderr
        .take()
        .ok_or("the program's errors are a pipe")?
        .read_to_string(&mut said)?;
    child.wait()?;
    Ok(said)
}

fn field(text: &str, name: &str) -> Outcome<f64> {
    let value = text
        .split_once(name)
        .ok_or_else(|| format!("no {name} from udprate: {text:?}"))?
        .1;
    let digits = value.split(|c: char| c != '.' && !c.is_ascii_digit());
    Ok(digits.into_iter().next().unwrap_or_default().parse()?)
}

/// The server of a turn: a responder until its standard input ends. It prints the CPU time that it took, in microseconds.
fn serve() -> Outcome<()> {
    let (responder, armed) = arm(responder::task(port(), CALLERS))?;
    if armed.ports != port() {
        return Err(format!("the port could not be bound: {:?}", armed.refused).into());
    }
    say("ready")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(responder);
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    say(&(cpu.tv_sec * 1_000_000 + cpu.tv_nsec / 1000).to_string())
}

/// The client of a turn: sends what was signed beforehand, a window at a time, and prints echoes a second and how many.
fn ask() -> Outcome<()> {
    let questions = questions();
    let server = SocketAddr::new(SERVER, PORT);
    let socket = UdpSocket::toward(SERVER, Some(CLIENT))?;
    socket.reserve(4 << 20)?;
    let (mut inbox, mut outbox) = (Inbox::new(), Outbox::new());
    let begun = Instant::now();
    let (mut sent, mut echoed, mut in_flight, mut heard_at) = (0, 0, 0, begun);
    while sent < questions.len() || (in_flight > 0 && heard_at.elapsed() < LOST_AFTER) {
        let room = WINDOW - in_flight;
        if room >= Inbox::capacity() {
            for octets in questions.iter().skip(sent).take(Inbox::capacity()) {
                outbox.push(server, octets);
                sent += 1;
                in_flight += 1;
            }
            socket.send_many(&mut outbox);
        }
        let count = socket.receive_many(&mut inbox)?;
        if count > 0 {
            echoed += count;
            in_flight -= count.min(in_flight);
            heard_at = Instant::now();
        } else if heard_at.elapsed() > LOST_AFTER {
            in_flight = 0;
            heard_at = Instant::now();
        }
    }
    let count = f64::from(u32::try_from(echoed)?);
    say(&format!("{:.1} {count}", count / begun.elapsed().as_secs_f64()))
}

fn questions() -> Vec<[u8; SIZE]> {
    let key = SessionKey::derive(&PairKey::new(&KEY), PORT);
    let question = |sequence: u32| {
        let packet = SenderPacket {
            sent: Sent {
                sequence,
                at: WireTime::from_bits(1),
                error_estimate: ErrorEstimate::UNKNOWN,
            },
            ssid: SessionId::of_member(sequence % CALLERS).map_or(0, SessionId::to_wire),
        };
        packet.seal(&key)
    };
    (1..=ECHOES).map(question).collect()
}

fn port() -> PortSet {
    PortRange::new(PORT, PORT)
        .expect("the range is not reversed")
        .into()
}

fn say(line: &str) -> Outcome<()> {
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

/// Outside the range of ephemeral ports.
const PORT: u16 = 20_000;
const SIZE: usize = 112;
/// As udprate's figures in the fact sheet were taken with.
const WINDOW: usize = 256;
/// A responder answers one caller 65,536 times at once, and all together 262,144 times and then 200,000 times a second: few
/// enough that no limit is met.
const ECHOES: u32 = 400_000;
const CALLERS: u32 = 8;
/// As udprate does: what has not come back after this time is lost.
const LOST_AFTER: Duration = Duration::from_millis(20);
/// Odd, so that the median is a turn that was.
const TURNS: usize = 7;
