use std::net::Ipv4Addr;

use super::*;
use crate::epoll::{Epoll, Events, Interest, Ready};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Far more than a loopback connection takes; a failing test ends, a passing one never waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

fn any_port() -> SocketAddr {
    SocketAddr::new(LOCALHOST, 0)
}

fn next_change(socket: &TcpSocket) -> Ready {
    let (epoll, mut events) = (Epoll::new().unwrap(), Events::with_capacity(1));
    epoll.add(socket, 0, Interest::EveryChange).unwrap();
    epoll.wait(&mut events, Some(PATIENCE)).unwrap();
    let ready = events.iter().next();
    ready.expect("the socket changes before patience ends")
}

fn accepted(listener: &TcpListener) -> (TcpSocket, SocketAddr) {
    let (epoll, mut events) = (Epoll::new().unwrap(), Events::with_capacity(1));
    epoll.add(listener, 0, Interest::Readable).unwrap();
    epoll.wait(&mut events, Some(PATIENCE)).unwrap();
    listener
        .accept()
        .unwrap()
        .expect("a connection arrives before patience ends")
}

#[test]
fn a_connection_carries_octets_and_ends_by_reset() {
    let listener = TcpListener::bind(any_port(), 16).unwrap();
    let socket = TcpSocket::toward(LOCALHOST).unwrap();
    socket.bind_address(LOCALHOST).unwrap();
    socket.reset_on_close().unwrap();
    socket.connect(listener.local_address().unwrap()).unwrap();
    let (other_end, from) = accepted(&listener);
    assert_eq!(from, socket.local_address().unwrap());
    assert!(next_change(&socket).writable);
    assert_eq!(socket.send(b"octets"), Ok(6));
    let mut octets = [0; 16];
    next_change(&other_end);
    assert_eq!(other_end.receive(&mut octets), Ok(Received::Octets(6)));
    assert_eq!(other_end.receive(&mut octets), Ok(Received::Nothing));
    drop(socket);
    assert!(next_change(&other_end).failed);
    assert_eq!(other_end.receive(&mut octets), Err(Errno::CONNRESET));
}

#[test]
fn a_disconnected_socket_has_reset_its_connection_and_connects_again() {
    let listener = TcpListener::bind(any_port(), 16).unwrap();
    let peer = listener.local_address().unwrap();
    let socket = TcpSocket::toward(LOCALHOST).unwrap();
    socket.reset_on_close().unwrap();
    socket.bind_address(LOCALHOST).unwrap();
    for _ in 0..3 {
        socket.connect(peer).unwrap();
        let (other_end, from) = accepted(&listener);
        assert_eq!(from.ip(), LOCALHOST);
        assert_eq!(socket.take_error(), None);
        socket.disconnect().unwrap();
        assert!(next_change(&other_end).failed);
        assert_eq!(other_end.receive(&mut [0; 16]), Err(Errno::CONNRESET));
    }
}

#[test]
fn a_closed_port_is_refused_with_an_empty_error_queue() {
    let free = TcpListener::bind(any_port(), 1).unwrap().local_address().unwrap();
    let socket = TcpSocket::toward(LOCALHOST).unwrap();
    let refused = match socket.connect(free) {
        Ok(_) => {
            assert!(next_change(&socket).failed);
            socket.take_error()
        }
        Err(errno) => Some(errno),
    };
    assert_eq!(refused, Some(Errno::CONNREFUSED));
    assert_eq!(socket.take_icmp_error(), None);
}

#[test]
fn further_attempts_come_from_the_port_of_the_first_one() {
    let listener = TcpListener::bind(any_port(), 16).unwrap();
    let peer = listener.local_address().unwrap();
    let socket = TcpSocket::toward(LOCALHOST).unwrap();
    socket.reset_on_close().unwrap();
    socket.bind_address(LOCALHOST).unwrap();
    socket.connect(peer).unwrap();
    let local = socket.local_address().unwrap();
    socket.disconnect().unwrap();
    socket.bind_again(local).unwrap();
    for _ in 0..2 {
        socket.connect(peer).unwrap();
        assert_eq!(socket.local_address(), Ok(local));
        socket.disconnect().unwrap();
    }
}

#[test]
fn a_port_with_a_listener_cannot_be_taken_wherever_it_listens() {
    for holder in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
        // The standard library sets SO_REUSEADDR on listeners, as most servers do.
        let holder = std::net::TcpListener::bind(holder).unwrap();
        let port = holder.local_addr().unwrap().port();
        let taken = TcpListener::bind(SocketAddr::new(LOCALHOST, port), 16);
        assert_eq!(taken.err(), Some(Errno::ADDRINUSE), "{holder:?}");
    }
}

#[test]
fn an_address_of_another_host_cannot_be_bound() {
    // TEST-NET-1, RFC 5737.
    let elsewhere = IpAddr::from([192, 0, 2, 1]);
    let listener = TcpListener::bind(SocketAddr::new(elsewhere, 0), 16);
    assert_eq!(listener.err(), Some(Errno::ADDRNOTAVAIL));
    let socket = TcpSocket::toward(elsewhere).unwrap();
    assert_eq!(socket.bind_address(elsewhere), Err(Errno::ADDRNOTAVAIL));
}

#[test]
fn a_connection_that_is_left_in_order_ends_for_its_peer_without_an_error() {
    let listener = TcpListener::bind(any_port(), 16).unwrap();
    let socket = TcpSocket::toward(LOCALHOST).unwrap();
    socket.connect(listener.local_address().unwrap()).unwrap();
    let (other_end, _) = accepted(&listener);
    assert!(next_change(&socket).writable);
    assert!(socket.finish_writing());
    assert!(next_change(&other_end).readable);
    assert_eq!(other_end.receive(&mut [0; 16]), Ok(Received::Closed));
    // And may still say something.
    assert_eq!(other_end.send(b"bye"), Ok(3));
    assert!(next_change(&socket).readable);
    assert_eq!(socket.receive(&mut [0; 16]), Ok(Received::Octets(3)));
}

#[test]
fn an_attempt_that_is_left_in_order_is_no_connection_and_may_be_made_again_from_its_port() {
    // A listener whose queue is full answers no SYN.
    let full = std::net::TcpListener::bind(any_port()).unwrap();
    let peer = full.local_addr().unwrap();
    net::listen(&full, 0).unwrap();
    let _fill = std::net::TcpStream::connect(peer).unwrap();
    let socket = TcpSocket::toward(LOCALHOST).unwrap();
    assert_eq!(socket.connect(peer), Ok(Connecting::InProgress));
    let local = socket.local_address().unwrap();
    assert!(!socket.finish_writing());
    assert_eq!(socket.take_error(), None);
    socket.bind_again(local).unwrap();
    assert_eq!(socket.connect(peer), Ok(Connecting::InProgress));
    assert_eq!(socket.local_address(), Ok(local));
}
