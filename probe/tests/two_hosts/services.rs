//! Services of a live node: what they see of a test by their own reading, and what leaves the asking host by a capture.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use plumbline_model::{
    observation::{Reach, Signal, Unproven},
    port::PortSet,
};
use plumbline_probe::runner::{
    asking::{AskTask, Occupant},
    tcp::start,
};
use plumbline_sys::capture::{Capture, Direction, Packet};

use crate::hosts::{Ends, Hosts, ask, only, task};

/// A service that says nothing.
pub(crate) fn a_service_that_says_nothing_reads_the_end_of_its_input_and_no_error(hosts: &Hosts, ends: Ends) {
    let listener = listen(hosts, ends, 0);
    let (reach, read) = met(&listener, Occupant::Service, |mut connection| {
        connection.read_to_end(&mut Vec::new())
    });
    assert_eq!((&reach.signal, reach.attempts), (&Signal::Connected, 1));
    assert_eq!(read.unwrap(), 0);
}

/// A service that speaks first, and again after it was left.
pub(crate) fn a_service_that_greets_and_talks_on_is_heard_out(hosts: &Hosts, ends: Ends) {
    let listener = listen(hosts, ends, 0);
    let (reach, talked) = met(&listener, Occupant::Service, |mut connection| {
        connection.write_all(&[b'x'; 20_000])?;
        let read = connection.read_to_end(&mut Vec::new())?;
        // A connection that was reset would fail here.
        for _ in 0..10 {
            connection.write_all(&[b'y'; 1_000])?;
        }
        connection.shutdown(std::net::Shutdown::Write)?;
        io::Result::Ok(read)
    });
    assert_eq!(reach.signal, Signal::Connected);
    assert_eq!(talked.unwrap(), 0);
}

/// A service that takes no notice of the end of its input.
pub(crate) fn a_service_that_never_closes_is_left_without_a_reset(hosts: &Hosts, ends: Ends) {
    let listener = listen(hosts, ends, 0);
    let (reach, kept) = met(&listener, Occupant::Service, |mut connection| {
        let read = connection.read_to_end(&mut Vec::new())?;
        // Kept until the task is over.
        io::Result::Ok((connection, read))
    });
    assert_eq!(reach.signal, Signal::Connected);
    let (_connection, read) = kept.unwrap();
    assert_eq!(read, 0);
}

/// A task that is cancelled while it waits for a service to close.
pub(crate) fn a_service_is_not_reset_by_a_task_that_is_cancelled(hosts: &Hosts, ends: Ends) {
    let listener = listen(hosts, ends, 0);
    let (asking, read) = without_a_reset(|| {
        let asking = start(AskTask {
            attempt_timeout: Duration::from_secs(1),
            ..service_task(&listener, Occupant::Service)
        })
        .unwrap();
        let (mut connection, _) = listener.accept().unwrap();
        connection.write_all(b"welcome").unwrap();
        let deadline = Instant::now() + PATIENCE;
        while asking.done() < asking.total() {
            assert!(Instant::now() < deadline, "connected, and not told so");
            thread::yield_now();
        }
        asking.cancel();
        let records = asking.finish();
        let read = connection.read_to_end(&mut Vec::new());
        (records, read)
    });
    assert_eq!(asking.len(), 1);
    assert_eq!(read.unwrap(), 0);
}

/// memberlist reads the type of the message, and logs every error but the end of the stream.
pub(crate) fn memberlist_logs_no_error(hosts: &Hosts, ends: Ends) {
    let listener = listen(hosts, ends, 0);
    let (_, log) = met(&listener, Occupant::Service, |mut connection| {
        let mut kind = [0];
        match connection.read(&mut kind) {
            Ok(0) => String::new(),
            Ok(_) => format!("[ERR] memberlist: Received invalid msgType ({})", kind[0]),
            Err(error) => format!("[ERR] memberlist: failed to receive: {error}"),
        }
    });
    assert_eq!(log, "");
}

/// An SSH server: the banner, then a client that changed its mind.
pub(crate) fn an_ssh_server_is_heard_to_its_banner_and_left(hosts: &Hosts, ends: Ends) {
    let listener = listen(hosts, ends, 22);
    let (reach, read) = met(&listener, Occupant::Sshd, |mut connection| {
        connection.write_all(b"Authorised use only.\r\nSSH-2.0-OpenSSH_9.9\r\n")?;
        connection.read_to_end(&mut Vec::new())
    });
    assert_eq!((&reach.signal, reach.attempts), (&Signal::Connected, 1));
    assert_eq!(read.unwrap(), 0);
    // One that refuses, having too many connections that have not logged in, is asked no second time.
    let (reach, read) = met(&listener, Occupant::Sshd, |mut connection| {
        connection.write_all(b"Exceeded MaxStartups\r\n")
    });
    let how = Unproven::Closed;
    assert_eq!((&reach.signal, reach.attempts), (&Signal::Unproven { how }, 1));
    read.unwrap();
}

/// Asks the one port of a service, lets it serve its one connection, and sees to it that there was no other, and no reset.
fn met<T: Send>(
    listener: &TcpListener,
    occupant: Occupant,
    serve: impl FnOnce(TcpStream) -> T + Send,
) -> (Reach, T) {
    let met = without_a_reset(|| {
        thread::scope(|scope| {
            let service = scope.spawn(|| serve(listener.accept().unwrap().0));
            let reach = only(ask(service_task(listener, occupant)));
            (reach, service.join().unwrap())
        })
    });
    listener.set_nonblocking(true).unwrap();
    let another = listener.accept().map(|_| ()).unwrap_err();
    assert_eq!(another.kind(), io::ErrorKind::WouldBlock);
    listener.set_nonblocking(false).unwrap();
    met
}

/// Whatever happens, no RST leaves the asking host.
fn without_a_reset<T>(work: impl FnOnce() -> T) -> T {
    let mut capture = Capture::open(None).unwrap();
    let result = work();
    let mut segments = 0;
    while let Some(captured) = capture.take().unwrap() {
        let Packet::Tcp(segment) = &captured.packet else {
            continue;
        };
        segments += 1;
        let is_ours = captured.direction == Direction::Outgoing;
        assert!(!(is_ours && segment.is_reset()), "{captured:?}");
    }
    assert_eq!(capture.lost().unwrap(), 0);
    assert!(segments >= 2, "the capture saw no connection begin");
    result
}

fn service_task(listener: &TcpListener, occupant: Occupant) -> AskTask {
    let local = listener.local_addr().unwrap();
    let mut task = task(local.ip(), &PortSet::from_iter([local.port()]));
    task.targets[0].occupant = occupant;
    task
}

fn listen(hosts: &Hosts, ends: Ends, port: u16) -> TcpListener {
    let at = SocketAddr::new(ends.answering, port);
    let bind = || TcpListener::bind(at).unwrap();
    hosts.answering.run(bind).unwrap()
}

/// Far more than a connection takes.
const PATIENCE: Duration = Duration::from_secs(10);
