//! A program that stands in for the services of a live node: it listens where it is told, under whatever name its file has,
//! says nothing (or shows a banner, as sshd does), and writes down everything that happens to it.
//!
//! ```text
//! ready                       every port is bound
//! connection tcp 10250        a connection was accepted
//! octets tcp 10250 64         its client sent that many octets
//! closed tcp 10250            its client closed it properly (FIN)
//! reset tcp 10250             its client reset it
//! error tcp 10250 TimedOut    anything else, or a client that never closed
//! locked tcp 22 10.0.0.7      an address was refused because it came too often without logging in
//! datagram udp 7946 112       a datagram of that many octets
//! ```
//!
//! One thread a port and one a connection; they end with the program, which its starter kills.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::scenario::{Manner, Service};

/// With this argument, the path of a log and a service as YAML, a test's program is that service.
pub const STAND_IN: &str = "--stand-in";

/// The beginnings of lines of a log that no client may cause which disturbs nobody.
pub const DISTURBANCES: [&str; 5] = ["octets", "reset", "error", "locked", "datagram"];

/// Runs a service until it is killed.
pub fn main(log: &Path, service: &str) -> ExitCode {
    let run = || -> Result<(), String> {
        let service: Service = serde_saphyr::from_str(service).map_err(|error| error.to_string())?;
        let log = File::options().append(true).create(true).open(log);
        let log = log.map_err(|error| format!("open the log: {error}"))?;
        serve(&service, Log(Arc::new(Mutex::new(log))))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Its starter reads it there.
            let _ = writeln!(io::stderr().lock(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(service: &Service, log: Log) -> Result<(), String> {
    let bind = |protocol: &str, port: u16, error: io::Error| format!("bind {protocol} {port}: {error}");
    // At all addresses, of both families.
    let everywhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let mut threads = Vec::new();
    let doorkeeper = Doorkeeper::default();
    for port in service.tcp.iter() {
        let listener = TcpListener::bind((everywhere, port)).map_err(|error| bind("tcp", port, error))?;
        let (log, doorkeeper, manner) = (log.clone(), doorkeeper.clone(), service.manner);
        threads.push(thread::spawn(move || {
            accept(&listener, port, manner, &doorkeeper, &log)
        }));
    }
    for port in service.udp.iter() {
        let socket = UdpSocket::bind((everywhere, port)).map_err(|error| bind("udp", port, error))?;
        let log = log.clone();
        threads.push(thread::spawn(move || receive(&socket, port, &log)));
    }
    log.write("ready");
    if threads.is_empty() {
        // A name alone is enough for some.
        thread::sleep(LONGEST_LIFE);
    }
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked".to_owned())?;
    }
    Ok(())
}

fn accept(listener: &TcpListener, port: u16, manner: Manner, doorkeeper: &Doorkeeper, log: &Log) {
    while let Ok((client, from)) = listener.accept() {
        log.write(&format!("connection tcp {port}"));
        let (log, doorkeeper) = (log.clone(), doorkeeper.clone());
        thread::spawn(move || match manner {
            Manner::Silent => {
                listen(client, port, &log);
            }
            Manner::Ssh if doorkeeper.has_locked_out(from.ip()) => {
                log.write(&format!("locked tcp {port} {}", from.ip()));
            }
            Manner::Ssh => {
                if greet(client, port, &log) {
                    doorkeeper.left_without_logging_in(from.ip());
                }
            }
        });
    }
}

/// Writes down what a client does until it goes; whether it went without having said anything.
fn listen(mut client: TcpStream, port: u16, log: &Log) -> bool {
    // A client that is still there after that has forgotten us.
    let _ = client.set_read_timeout(Some(PATIENCE));
    let mut is_silent = true;
    loop {
        match client.read(&mut [0; 4096]) {
            Ok(0) => {
                log.write(&format!("closed tcp {port}"));
                return is_silent;
            }
            Ok(octets) => {
                is_silent = false;
                log.write(&format!("octets tcp {port} {octets}"));
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                log.write(&format!("reset tcp {port}"));
                return is_silent;
            }
            Err(error) => {
                log.write(&format!("error tcp {port} {:?}", error.kind()));
                return is_silent;
            }
        }
    }
}

fn greet(mut client: TcpStream, port: u16, log: &Log) -> bool {
    if let Err(error) = client.write_all(BANNER) {
        log.write(&format!("error tcp {port} {:?}", error.kind()));
        return true;
    }
    listen(client, port, log)
}

fn receive(socket: &UdpSocket, port: u16, log: &Log) {
    loop {
        match socket.recv_from(&mut [0; 65_536]) {
            Ok((octets, _)) => log.write(&format!("datagram udp {port} {octets}")),
            Err(error) => return log.write(&format!("error udp {port} {:?}", error.kind())),
        }
    }
}

#[derive(Debug, Clone)]
struct Log(Arc<Mutex<File>>);

impl Log {
    fn write(&self, line: &str) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written lacks what its reader looks for.
        let _ = writeln!(file, "{line}");
    }
}

/// Who came and left without logging in, and when: what sshd counts against an address.
#[derive(Debug, Clone, Default)]
struct Doorkeeper(Arc<Mutex<BTreeMap<IpAddr, Vec<Instant>>>>);

impl Doorkeeper {
    fn left_without_logging_in(&self, address: IpAddr) {
        let mut visits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        visits.entry(address).or_default().push(Instant::now());
    }

    fn has_locked_out(&self, address: IpAddr) -> bool {
        let visits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = visits
            .get(&address)
            .into_iter()
            .flatten()
            .filter(|visit| visit.elapsed() < MEMORY);
        recent.count() >= MOST_VISITS
    }
}

/// What OpenSSH says first.
const BANNER: &[u8] = b"SSH-2.0-OpenSSH_9.8p1 Debian-1\r\n";
/// As strict as an administrator may be: `PerSourcePenalties noauth:10s min:30s` locks out at the third visit.
const MOST_VISITS: usize = 3;
/// For how long a visit counts.
const MEMORY: Duration = Duration::from_secs(30);
/// Longer than any connection that is opened to look whether it opens.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than any scenario.
const LONGEST_LIFE: Duration = Duration::from_secs(900);
