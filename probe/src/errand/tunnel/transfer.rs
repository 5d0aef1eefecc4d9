//! The transfer itself, inside the tunnel's namespace. Ends within [`MAX_TRANSFER_MS`] and a little, whatever the other end does.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use plumbline_model::{
    errand::{MAX_TRANSFER_MS, TRANSFER_OCTETS},
    observation::Tried,
};

use super::stream::Stream;
use crate::errand::Stop;

/// Which end this is.
pub(super) enum End {
    /// It takes what comes.
    Takes(TcpListener),
    /// It sends to this address.
    Sends(Ipv4Addr),
}

/// Listens at an address in the tunnel.
pub(super) fn listen(own: Ipv4Addr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::from((own, PORT)))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Takes or sends one transfer.
pub(super) fn transfer(end: End, seed: u32, stop: &Stop) -> Tried {
    let mut tried = Tried::default();
    let begun = Instant::now();
    let limits = Limits {
        until: begun + Duration::from_millis(MAX_TRANSFER_MS.into()),
        stop,
    };
    let mut stream = Stream::new(seed);
    // What ends early, or in an error, is told by what there is: how far it came.
    let _ = match end {
        End::Takes(listener) => take(&listener, &mut stream, &limits, &mut tried),
        End::Sends(to) => send(to, &mut stream, &limits, &mut tried),
    };
    tried.took_ms = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
    tried
}

/// When to end.
struct Limits<'a> {
    until: Instant,
    stop: &'a Stop,
}

impl Limits<'_> {
    fn check(&self) -> io::Result<()> {
        if self.stop.is_asked_for() || Instant::now() >= self.until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Tries again for as long as there is time, where a socket only asks for patience.
    fn patiently<T>(&self, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            self.check()?;
            match work() {
                Err(error) if is_patience(&error) => {}
                other => return other,
            }
        }
    }
}

fn is_patience(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

fn take(
    listener: &TcpListener,
    expected: &mut Stream,
    limits: &Limits<'_>,
    tried: &mut Tried,
) -> io::Result<()> {
    let mut connection = limits.patiently(|| {
        let accepted = listener.accept();
        if accepted.is_err() {
            std::thread::sleep(STEP);
        }
        accepted.map(|(connection, _)| connection)
    })?;
    tried.connected = true;
    prepare(&connection)?;
    let (mut octets, mut own) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut is_equal = true;
    while tried.octets < TRANSFER_OCTETS {
        let rest = usize::try_from(TRANSFER_OCTETS - tried.octets).unwrap_or(CHUNK);
        let room = CHUNK.min(rest);
        read_all(&mut connection, &mut octets[..room], limits)?;
        expected.fill(&mut own[..room]);
        is_equal &= octets[..room] == own[..room];
        tried.octets += room as u64;
    }
    tried.intact = is_equal;
    connection.write_all(&[u8::from(is_equal)])
}

fn send(to: Ipv4Addr, stream: &mut Stream, limits: &Limits<'_>, tried: &mut Tried) -> io::Result<()> {
    let to = SocketAddr::from((to, PORT));
    let mut connection = limits.patiently(|| TcpStream::connect_timeout(&to, PATIENCE))?;
    tried.connected = true;
    prepare(&connection)?;
    let mut octets = vec![0; CHUNK];
    while tried.octets < TRANSFER_OCTETS {
        let rest = usize::try_from(TRANSFER_OCTETS - tried.octets).unwrap_or(CHUNK);
        let room = CHUNK.min(rest);
        stream.fill(&mut octets[..room]);
        let mut written = 0;
        while written < room {
            written += limits.patiently(|| connection.write(&octets[written..room]))?;
        }
        tried.octets += room as u64;
    }
    let mut verdict = [0];
    read_all(&mut connection, &mut verdict, limits)?;
    tried.intact = verdict == [1];
    Ok(())
}

fn read_all(connection: &mut TcpStream, octets: &mut [u8], limits: &Limits<'_>) -> io::Result<()> {
    let mut filled = 0;
    while filled < octets.len() {
        match limits.patiently(|| connection.read(&mut octets[filled..]))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(())
}

/// Lets no call block for longer than a stop may take to be noticed.
fn prepare(connection: &TcpStream) -> io::Result<()> {
    connection.set_nonblocking(false)?;
    connection.set_read_timeout(Some(STOP_NOTICED))?;
    connection.set_write_timeout(Some(STOP_NOTICED))
}

const PORT: u16 = 5001;
const CHUNK: usize = 64 * 1024;
/// How often a connection is waited for.
const STEP: Duration = Duration::from_millis(10);
/// How long one attempt at a connection waits.
const PATIENCE: Duration = Duration::from_millis(1_000);
const STOP_NOTICED: Duration = Duration::from_millis(100);
