use super::{Attributes, Error, Message, Protocol, Socket, message};

#[test]
fn attributes_come_back_as_they_were_built() {
    let message = Message::new(16, 0, &[1, 2, 3]).with(|top| {
        top.text(1, "eth0").u32(2, 7).be16(3, 0x1234).nested(4, |inner| {
            inner.u8(1, 9).be64(2, 1 << 40);
        });
    });
    let reply = only_reply(&encoded(&message));
    let (fixed, attributes) = reply.parts::<3>().unwrap();
    assert_eq!(fixed, &[1, 2, 3]);
    assert_eq!(attributes.get(1).unwrap().text(), Some("eth0"));
    assert_eq!(attributes.get(2).unwrap().u32(), Some(7));
    assert_eq!(
        attributes.get(2).unwrap().u16(),
        None,
        "a value of another length is not that type"
    );
    assert_eq!(attributes.get(3).unwrap().be16(), Some(0x1234));
    let inner = attributes.get(4).unwrap().nested().unwrap();
    assert_eq!(inner.get(1).unwrap().u8(), Some(9));
    assert_eq!(inner.get(2).unwrap().be64(), Some(1 << 40));
    assert!(inner.get(3).is_none());
}

#[test]
fn an_attribute_that_cannot_say_its_length_is_never_sent() {
    let message = Message::new(16, 0, &[]).with(|top| {
        top.nested(1, |inner| {
            inner.bytes(1, &[0; 65_533]);
        });
    });
    assert!(matches!(
        message.encode(1, &mut Vec::new()),
        Err(Error::Oversized)
    ));
}

#[test]
fn lengths_that_point_outside_are_refused_and_every_cut_is_survived() {
    let whole = encoded(&Message::new(16, 0, &[0; 16]).with(|top| {
        top.text(3, "lo").u32(4, 65_536);
    }));
    for cut in 1..whole.len() {
        assert!(
            message::split(&whole[..cut], &mut |_| Ok(())).is_err(),
            "cut at {cut}"
        );
    }
    for length in [0_u16, 1, 3, 9, u16::MAX] {
        let mut attribute = length.to_ne_bytes().to_vec();
        attribute.extend_from_slice(&[1, 0, 0, 0, 0, 0]);
        assert!(Attributes::parse(&attribute).is_err(), "length {length}");
    }
}

#[test]
fn the_kernel_lists_the_loopback_device() {
    let mut socket = Socket::open(Protocol::Route).unwrap();
    let list = socket
        .dump(&Message::new(libc::RTM_GETLINK, 0, &[0; 16]))
        .unwrap();
    let names: Vec<String> = list
        .iter()
        .filter_map(|reply| {
            reply
                .parts::<16>()
                .unwrap()
                .1
                .get(libc::IFLA_IFNAME)?
                .text()
                .map(str::to_owned)
        })
        .collect();
    assert!(names.iter().any(|name| name == "lo"), "{names:?}");
}

#[test]
fn a_refusal_carries_the_errno() {
    let mut socket = Socket::open(Protocol::Route).unwrap();
    let missing = Message::new(libc::RTM_GETLINK, 0, &[0; 16]).with(|top| {
        top.text(libc::IFLA_IFNAME, "absent0");
    });
    assert_eq!(
        socket.get(missing).unwrap_err().refused_errno(),
        Some(libc::ENODEV)
    );
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(1, &mut bytes).unwrap();
    bytes
}

fn only_reply(bytes: &[u8]) -> super::Reply {
    let mut replies = Vec::new();
    message::split(bytes, &mut |reply| {
        replies.push(reply);
        Ok(())
    })
    .unwrap();
    assert_eq!(replies.len(), 1);
    replies.remove(0)
}
