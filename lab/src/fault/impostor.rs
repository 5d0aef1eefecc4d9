//! Something that answers in a host's place: a proxy on the way, as its clients see it.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use plumbline_model::port::PortSet;
use plumbline_sys::route;

/// Listeners that answer whatever they are sent with the complaint of a web server. One thread a port; they end when this is
/// dropped.
#[derive(Debug)]
pub(crate) struct Impostor {
    listeners: Vec<Arc<TcpListener>>,
    threads: Vec<JoinHandle<()>>,
}

impl Impostor {
    /// Listens in the calling thread's network namespace for connections to somebody else's address; the port that failed
    /// comes with the error.
    pub(crate) fn listen(address: IpAddr, ports: &PortSet) -> Result<Self, (u16, io::Error)> {
        let mut impostor = Self {
            listeners: Vec::new(),
            threads: Vec::new(),
        };
        for port in ports.iter() {
            impostor
                .add(SocketAddr::new(address, port))
                .map_err(|error| (port, error))?;
        }
        Ok(impostor)
    }

    fn add(&mut self, address: SocketAddr) -> io::Result<()> {
        let listener = Arc::new(route::listen_for_diverted(address)?);
        self.listeners.push(Arc::clone(&listener));
        let answer_all = move || {
            // Ends when the listener is shut down.
            while let Ok((client, _)) = listener.accept() {
                // A client that goes early is no matter.
                let _ = answer(client);
            }
        };
        self.threads.push(
            thread::Builder::new()
                .name(format!("impostor {}", address.port()))
                .spawn(answer_all)?,
        );
        Ok(())
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        for listener in &self.listeners {
            // Linux then wakes who waits in accept.
            let _ = rustix::net::shutdown(&**listener, rustix::net::Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn answer(mut client: TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(QUESTION_PATIENCE))?;
    // Unread octets would turn the close into a reset, and the answer would be lost with it.
    let _ = client.read(&mut [0; MOST_QUESTION_BYTES])?;
    client.write_all(ANSWER)?;
    client.shutdown(Shutdown::Both)
}

/// One thread listens on each.
pub(crate) const MOST_IMPOSTOR_PORTS: u32 = 64;
const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
/// A client that waits for a banner gets one after that; others are not kept waiting long behind it.
const QUESTION_PATIENCE: Duration = Duration::from_millis(200);
/// Longer than any first message of ours.
const MOST_QUESTION_BYTES: usize = 4096;
