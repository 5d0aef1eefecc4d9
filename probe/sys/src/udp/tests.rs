use std::net::UdpSocket as StdSocket;

use super::*;
use crate::epoll::{Epoll, Events, Interest};

fn answering(address: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
    let local = socket.local_address().unwrap();
    (socket, local)
}

/// Waits until there is something to read, for at most ten seconds.
fn wait(socket: &UdpSocket) {
    let (epoll, mut events) = (Epoll::new().unwrap(), Events::with_capacity(1));
    epoll.add(socket, 0, Interest::Readable).unwrap();
    epoll
        .wait(&mut events, Some(std::time::Duration::from_secs(10)))
        .unwrap();
    assert!(!events.is_empty(), "nothing came");
}

#[test]
fn many_datagrams_are_taken_and_answered_at_once_in_both_families() {
    for address in ["127.0.0.1", "::1"] {
        let (answering, local) = answering(address);
        let asking = UdpSocket::toward(local.ip(), None).unwrap();
        for octet in 0..3 {
            asking.send_to(&[octet; 112], local).unwrap();
        }
        wait(&answering);
        let (mut inbox, mut outbox) = (Inbox::new(), Outbox::new());
        assert_eq!(answering.receive_many(&mut inbox), Ok(3));
        for (octet, received) in (0..).zip(inbox.iter()) {
            assert_eq!(received.octets, [octet; 112]);
            assert_eq!(received.from.ip(), local.ip());
            assert!(received.ttl.is_some_and(|ttl| ttl > 0));
            assert!(outbox.push(received.from, &[octet + 10; 112]));
        }
        assert_eq!((answering.send_many(&mut outbox), outbox.is_empty()), (0, true));
        wait(&asking);
        let mut octets = [0; 128];
        for octet in 10..13 {
            assert_eq!(asking.receive_from(&mut octets), Ok(Some((112, local))));
            assert_eq!(octets[..112], [octet; 112]);
        }
        assert_eq!(asking.receive_from(&mut octets), Ok(None));
        assert_eq!(answering.receive_many(&mut inbox), Ok(0));
        assert_eq!(inbox.iter().count(), 0);
    }
}

#[test]
fn what_is_longer_than_a_test_packet_is_seen_to_be_longer() {
    let (answering, local) = answering("127.0.0.1");
    let asking = StdSocket::bind("127.0.0.1:0").unwrap();
    for length in [0, 112, 113, 128, 9000] {
        asking.send_to(&vec![1; length], local).unwrap();
    }
    wait(&answering);
    let mut inbox = Inbox::new();
    answering.receive_many(&mut inbox).unwrap();
    let lengths: Vec<usize> = inbox.iter().map(|received| received.octets.len()).collect();
    assert_eq!(lengths, [0, 112, 113, 128, 128]);
}

#[test]
fn one_read_takes_a_bounded_number_and_leaves_the_rest() {
    let (answering, local) = answering("127.0.0.1");
    let asking = StdSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..Inbox::capacity() + 1 {
        asking.send_to(&[1], local).unwrap();
    }
    wait(&answering);
    let mut inbox = Inbox::new();
    assert_eq!(answering.receive_many(&mut inbox), Ok(Inbox::capacity()));
    assert_eq!(answering.receive_many(&mut inbox), Ok(1));
}

#[test]
fn a_full_box_takes_no_more_and_no_datagram_that_is_too_long() {
    let to = "127.0.0.1:9".parse().unwrap();
    let mut outbox = Outbox::new();
    assert!(!outbox.push(to, &[0; 129]));
    assert!((0..Inbox::capacity()).all(|_| outbox.push(to, &[0; 128])));
    assert!(!outbox.push(to, &[0]));
}

#[test]
fn a_datagram_that_cannot_leave_does_not_keep_the_others() {
    let (answering, local) = answering("127.0.0.1");
    let mut outbox = Outbox::new();
    // Port 0 is nobody's: EINVAL.
    outbox.push("127.0.0.1:0".parse().unwrap(), &[1]);
    outbox.push(local, &[2]);
    assert_eq!(answering.send_many(&mut outbox), 1);
    wait(&answering);
    assert_eq!(answering.receive_many(&mut Inbox::new()), Ok(1));
}

#[test]
fn a_port_that_nobody_answers_is_an_icmp_error_about_the_one_that_was_asked() {
    for address in ["127.0.0.1", "::1"] {
        let (gone, local) = answering(address);
        drop(gone);
        let asking = UdpSocket::toward(local.ip(), None).unwrap();
        asking.send_to(&[1; 112], local).unwrap();
        wait(&asking);
        let (error, asked) = asking
            .take_icmp_error()
            .expect("the kernel answers for the closed port");
        assert_eq!((error.errno, asked), (Errno::CONNREFUSED, Some(local)));
        assert_eq!(error.offender, Some(local.ip()));
        assert_eq!(asking.take_icmp_error(), None);
    }
}

#[test]
fn a_port_is_shared_with_nobody() {
    let (_answering, local) = answering("127.0.0.1");
    assert_eq!(UdpSocket::bind(local).unwrap_err(), Errno::ADDRINUSE);
    let wildcard = StdSocket::bind("0.0.0.0:0").unwrap();
    let taken = SocketAddr::new(local.ip(), wildcard.local_addr().unwrap().port());
    assert_eq!(UdpSocket::bind(taken).unwrap_err(), Errno::ADDRINUSE);
}

#[test]
fn the_kernel_says_from_where_it_would_speak() {
    for peer in ["127.0.0.1:9", "[::1]:9"] {
        let peer: SocketAddr = peer.parse().unwrap();
        assert_eq!(UdpSocket::source_toward(peer), Ok(peer.ip()));
    }
}
