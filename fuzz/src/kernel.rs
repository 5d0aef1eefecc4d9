//! Netlink. The kernel is trusted, its answers are large and of many versions: a reader that takes one of them wrong must say
//! so instead of ending the probe.

use plumbline_model::{canonical, firewall::Ruleset};
use plumbline_probe::facts;
use plumbline_sys::{
    netlink::{self, Reply},
    nft,
    route::{Address, Gateway, Link, Neighbor},
    sock_diag::Waiting,
};

use crate::{Reading, inputs};

/// A datagram of links, addresses, routes, neighbours, or the end of an exchange.
///
/// # Panics
/// If there are more messages than fit into the octets.
pub fn netlink(data: &[u8]) -> Reading {
    let mut replies = Vec::new();
    let split = netlink::split(data, &mut |reply| {
        replies.push(reply);
        Ok(())
    });
    assert!(
        replies.len() <= data.len() / HEADER_BYTES,
        "a message has a header"
    );
    let mut read = split.is_ok();
    for reply in &replies {
        match reply.verdict() {
            Ok(Some(verdict)) => assert!(!verdict.into_error(0).to_string().is_empty()),
            Ok(None) => read &= readers(reply),
            Err(_) => read = false,
        }
    }
    if read { Reading::Accepted } else { Reading::Refused }
}

fn readers(reply: &Reply) -> bool {
    let read = [
        Link::read(reply).map(|link| link.is_some()),
        Address::read(reply).map(|address| address.is_some()),
        Gateway::read(reply).map(|gateway| gateway.is_some()),
        Neighbor::read(reply).map(|neighbor| neighbor.is_some()),
    ];
    let made = read.iter().filter(|made| matches!(made, Ok(true))).count();
    assert!(made <= 1, "a message is one thing");
    read.iter().all(Result::is_ok)
}

/// A datagram of sockets that wait for somebody. It is of another family of netlink, whose numbers mean other messages.
///
/// # Panics
/// If a socket waits at port 0, or for both families at an address of one.
pub fn socket_list(data: &[u8]) -> Reading {
    let read = netlink::split(data, &mut |reply| {
        if reply.verdict()?.is_none()
            && let Some(socket) = Waiting::read(&reply)?
        {
            assert!(
                socket.port != 0 && (!socket.dual_stack || socket.address.is_unspecified()),
                "{socket:?}"
            );
        }
        Ok(())
    });
    Reading::of(&read)
}

/// The lists that make up the packet filter, in the order in which they are asked for: for each its length (four octets,
/// little endian) and the datagrams. Whatever is read goes the whole way: into the words of the model, into evidence, and
/// under judgement.
///
/// # Panics
/// If evidence of it does not read back the same.
pub fn packet_filter(data: &[u8]) -> Reading {
    let mut rest = data;
    let mut asked = 0_usize;
    let tables = nft::read_tables(&mut |_| {
        asked += 1;
        assert!(
            asked <= data.len() + FEWEST_LISTS,
            "more questions than there are octets"
        );
        let (list, further) = list(rest);
        rest = further;
        let mut replies = Vec::new();
        netlink::split(list, &mut |reply| {
            if reply.verdict()?.is_none() {
                replies.push(reply);
            }
            Ok(())
        })?;
        Ok(replies)
    });
    if let Ok(tables) = &tables {
        let ruleset = Ruleset {
            generation: 1,
            tables: facts::tables(tables),
            interfaces: Vec::new(),
            legacy_tables: Vec::new(),
        };
        let bytes = canonical::encode(&ruleset);
        assert_eq!(canonical::decode::<Ruleset>(&bytes).ok().as_ref(), Some(&ruleset));
        inputs::judge(&ruleset);
    }
    Reading::of(&tables)
}

/// The next list, and what follows it; nothing where the octets do not suffice.
fn list(data: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<4>() else {
        return (&[], &[]);
    };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    rest.split_at_checked(length).unwrap_or((&[], &[]))
}

/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// Tables, chains, rules and sets are asked for even if there are none.
const FEWEST_LISTS: usize = 4;
