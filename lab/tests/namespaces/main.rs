//! The lab itself, over real namespaces: it enters a network of its own as a process of one thread, then runs its tests one
//! after the other. A machine that cannot hold a lab runs none, says so, and fails if `PLUMBLINE_REQUIRE_LAB=1`.

#![expect(
    clippy::print_stdout,
    reason = "the results of a test binary without a harness"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test, which clippy cannot know without a harness"
)]

use std::{
    env, fs,
    io::{self, ErrorKind, Read},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

use plumbline_lab::{Entered, Fault, FaultId, Lab, Program, Stack, Topology, capabilities, enter};
use plumbline_model::id::NodeId;
use plumbline_sys::ns::{NetNs, Privilege, sysctl};

mod families;
mod faults;
mod hosts;
mod settings;
mod traffic;
mod translation;

type Test = (&'static str, fn(&Entered));

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let selected = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|filter| {
                if has("--exact") {
                    name == **filter
                } else {
                    name.contains(filter.as_str())
                }
            })
    };
    let tests: Vec<&Test> = hosts::TESTS
        .iter()
        .chain(families::TESTS)
        .chain(faults::TESTS)
        .chain(traffic::TESTS)
        .chain(translation::TESTS)
        .chain(settings::TESTS)
        .filter(|(name, _)| selected(name))
        .collect();
    if has("--list") {
        // What cargo-nextest asks for.
        for (name, _) in tests.iter().filter(|_| !has("--ignored")) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let machine = NetNs::current().unwrap();
    let before = traces();
    let entered = match capabilities()
        .map_err(|why| why.to_string())
        .and_then(|()| enter().map_err(chain))
    {
        Ok(entered) => entered,
        Err(why) => {
            println!("{} lab tests not run: {why}", tests.len());
            let required = env::var_os("PLUMBLINE_REQUIRE_LAB").is_some_and(|value| value == "1");
            return if required {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    println!(
        "running {} lab tests by right of {:?}",
        tests.len(),
        entered.privilege()
    );
    let mut failed = 0;
    for (name, test) in tests {
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| test(&entered)));
        failed += usize::from(outcome.is_err());
        println!(
            "test {name} ... {} ({:?})",
            if outcome.is_ok() { "ok" } else { "FAILED" },
            started.elapsed()
        );
    }
    // Without root there is no way back to look, and nothing that could have been changed.
    if entered.privilege() == Privilege::Root {
        let after = machine.run(traces).unwrap();
        println!(
            "test the_machine_is_left_as_it_was ... {}",
            if after == before { "ok" } else { "FAILED" }
        );
        failed += usize::from(after != before);
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Connected {
    Yes,
    No(ErrorKind),
}

/// Nothing came, neither answer nor refusal.
const SILENT: Connected = Connected::No(ErrorKind::TimedOut);

/// A socket that accepts (in its kernel's backlog) as long as it lives.
struct Listening {
    address: SocketAddr,
    socket: TcpListener,
}

impl Listening {
    /// Takes the connection that has waited longest; from whom.
    fn accept(&self) -> SocketAddr {
        self.socket.accept().unwrap().1
    }
}

fn listen(lab: &Lab, host: &str, port: u16) -> Listening {
    listen_at(lab, host, host, port)
}

/// The same at another address of the host.
fn listen_at(lab: &Lab, host: &str, address: &str, port: u16) -> Listening {
    let address = SocketAddr::new(address.parse().unwrap(), port);
    let socket = lab
        .in_host(node(host), || TcpListener::bind(address))
        .unwrap()
        .unwrap();
    Listening { address, socket }
}

fn connect(lab: &Lab, host: &str, target: SocketAddr) -> Connected {
    lab.in_host(node(host), || outcome(target)).unwrap()
}

fn outcome(target: SocketAddr) -> Connected {
    // Longer than the first retransmission of a SYN, so that a late answer is not taken for silence.
    match TcpStream::connect_timeout(&target, Duration::from_millis(1500)) {
        Ok(_) => Connected::Yes,
        Err(error) => Connected::No(error.kind()),
    }
}

fn up(entered: &Entered, hosts: &[&str]) -> Lab {
    Lab::up(entered, topology(hosts)).unwrap_or_else(|error| panic!("{}", chain(error)))
}

fn topology(hosts: &[&str]) -> Topology {
    let hosts: Vec<IpAddr> = hosts.iter().map(|host| host.parse().unwrap()).collect();
    Topology::from_addresses(&hosts, &[], Stack::Single).unwrap()
}

/// A dual-stack lab.
fn dual(entered: &Entered, hosts: &[&str]) -> Lab {
    let topology = Topology::from_addresses(&parsed(hosts), &[], Stack::Dual).unwrap();
    Lab::up(entered, topology).unwrap_or_else(|error| panic!("{}", chain(error)))
}

fn parsed(hosts: &[&str]) -> Vec<IpAddr> {
    hosts.iter().map(|host| host.parse().unwrap()).collect()
}

/// A fault as a scenario file writes it.
fn fault(text: &str) -> Fault {
    serde_json::from_str(text).unwrap()
}

fn plant(lab: &mut Lab, text: &str) -> FaultId {
    lab.apply(&fault(text))
        .unwrap_or_else(|error| panic!("{text}: {}", chain(error)))
}

/// A UDP socket of a host, which says to whoever asks as whom it sees them.
fn echo(lab: &Lab, host: &str, address: &str, port: u16) -> UdpSocket {
    let address = SocketAddr::new(address.parse().unwrap(), port);
    let socket = lab
        .in_host(node(host), || UdpSocket::bind(address))
        .unwrap()
        .unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket
}

/// Asks, has the other socket answer, and reads the answer: the address that the other end saw.
fn ask_udp(lab: &Lab, host: &str, target: &UdpSocket) -> Result<IpAddr, ErrorKind> {
    let address = target.local_addr().unwrap();
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let asking = lab.in_host(node(host), || UdpSocket::bind(any)).unwrap().unwrap();
    asking.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    asking.send_to(b"?", address).unwrap();
    let (_, from) = target.recv_from(&mut [0; 8]).map_err(|error| error.kind())?;
    target.send_to(b"!", from).unwrap();
    asking.recv_from(&mut [0; 8]).map_err(|error| error.kind())?;
    Ok(from.ip())
}
fn node(address: &str) -> NodeId {
    address.parse().unwrap()
}

fn shell(script: &str, stdin: &[u8], stderr: Option<fs::File>) -> Program {
    Program {
        path: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        stdin: stdin.to_vec(),
        stderr,
    }
}

/// Polls until there is something, and fails after the limit.
fn until<T>(limit: Duration, mut poll: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(started.elapsed() < limit, "nothing within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read_all(mut file: fs::File) -> String {
    io::Seek::rewind(&mut file).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

/// What a lab could leave behind in the machine's own network: devices, and the limits of the neighbour table.
fn traces() -> (String, Vec<String>) {
    let limits = (1..=3).map(|number| sysctl(&format!("net/ipv4/neigh/default/gc_thresh{number}")));
    (devices(), limits.map(Result::unwrap_or_default).collect())
}

/// The names of the devices of this thread's namespace, one a line.
fn devices() -> String {
    let links = plumbline_sys::route::Network::open().unwrap().links().unwrap();
    links.into_iter().map(|link| link.name + "\n").collect()
}

fn chain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
