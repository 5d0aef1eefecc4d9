//! Worlds by chance, in a form that can be made smaller when one fails.

use proptest::{collection::vec, option, prelude::*};

use crate::{
    id::NodeId,
    port::{Family, PortSet, Protocol},
};

use super::{
    fault::{Fault, Hooked, Traffic, What, Whom},
    world::World,
};

/// Numbers that become a fault.
#[derive(Debug, Clone)]
struct Raw {
    kind: u8,
    node: usize,
    from: (u8, usize),
    to: (u8, usize),
    traffic: u8,
    family: Option<bool>,
    flag: bool,
    told: bool,
}

pub(super) fn worlds() -> impl Strategy<Value = World> {
    let sizes = vec(1_u8..=4, 2..=4);
    let side = || (0_u8..4, 0_usize..12);
    let fault = (
        0_u8..14,
        0_usize..12,
        side(),
        side(),
        0_u8..9,
        option::weighted(0.3, any::<bool>()),
        any::<bool>(),
        proptest::bool::weighted(0.7),
    );
    let raw = fault.prop_map(|(kind, node, from, to, traffic, family, flag, told)| Raw {
        kind,
        node,
        from,
        to,
        traffic,
        family,
        flag,
        told,
    });
    let large_enough = |sizes: &Vec<u8>| (3..=12).contains(&sizes.iter().sum::<u8>());
    (
        sizes.prop_filter("three to twelve nodes", large_enough),
        any::<bool>(),
        vec(raw, 1..=3),
    )
        .prop_map(|(sizes, dual, raw)| world(&sizes, dual, &raw))
}

fn world(sizes: &[u8], dual: bool, raw: &[Raw]) -> World {
    let node = |subnet: u8, host: u8| NodeId::Address([10, 0, subnet, host + 1].into());
    let subnets = (0..)
        .zip(sizes)
        .map(|(subnet, size)| (0..*size).map(|host| node(subnet, host)).collect());
    let mut world = World {
        subnets: subnets.collect(),
        dual,
        faults: Vec::new(),
    };
    for raw in raw {
        let fault = fault(&world, raw);
        // A live node binds nothing, so that nobody is in the way; and it is live once.
        let is_of_services =
            |fault: &Fault| matches!(fault.what, What::PortTaken { .. } | What::NoListener { .. });
        let is_second = |known: &Fault| is_of_services(known) && known.expected().1 == fault.expected().1;
        if !(is_of_services(&fault) && world.faults.iter().any(is_second)) {
            world.faults.push(fault);
        }
    }
    world
}

fn fault(world: &World, raw: &Raw) -> Fault {
    let nodes = world.nodes();
    let node = nodes[raw.node % nodes.len()];
    let whom = |(kind, index): (u8, usize)| match kind {
        0 => Whom::Anybody,
        1 => Whom::Subnet(index % world.subnets.len()),
        2 => Whom::Outside(index % world.subnets.len()),
        _ => Whom::Node(nodes[index % nodes.len()]),
    };
    let (from, to) = sides(world, whom(raw.from), whom(raw.to));
    let family = raw
        .family
        .filter(|_| world.dual)
        .map(|six| if six { Family::Ipv6 } else { Family::Ipv4 });
    let traffic = traffic(raw.traffic);
    let what = match raw.kind {
        0..=4 => return filter(raw, node, whom(raw.from), family, traffic),
        5..=7 => What::Path {
            from,
            to,
            traffic,
            rejects: raw.flag,
        },
        8 => What::Return { from, to, traffic },
        9 => What::NoRoute {
            node,
            to: whom(raw.to),
        },
        10 => {
            return Fault {
                what: What::LostProbe { node },
                family: None,
            };
        }
        11 => What::PortTaken {
            node,
            protocol: Protocol::Tcp,
            ports: "4240,10250".parse().unwrap(),
        },
        12 => What::NoListener {
            node,
            ports: "10250".parse().unwrap(),
        },
        _ => {
            let own = &world.subnets[world.subnet_of(node)];
            match own.iter().find(|other| **other != node) {
                Some(other) if raw.flag => What::Isolated { a: node, b: *other },
                _ => What::Lossy { node },
            }
        }
    };
    let of_all_families = matches!(
        what,
        What::PortTaken { .. } | What::NoListener { .. } | What::Isolated { .. } | What::Lossy { .. }
    );
    Fault {
        what,
        family: family.filter(|_| !of_all_families),
    }
}

fn filter(raw: &Raw, node: NodeId, from: Whom, family: Option<Family>, traffic: Traffic) -> Fault {
    let way = match raw.kind {
        0..=2 => Hooked::In,
        3 => Hooked::Out,
        _ => Hooked::AnswerOut,
    };
    // A rule names a prefix, and "outside" is none.
    let peers = match from {
        Whom::Outside(_) => Whom::Anybody,
        peers => peers,
    };
    let family = match peers {
        Whom::Anybody => family,
        _ => family.or(Some(Family::Ipv4)),
    };
    let what = What::Filter {
        node,
        way,
        peers,
        traffic: answerable(way, traffic),
        rejects: raw.flag && way == Hooked::In,
        told: raw.told,
    };
    Fault { what, family }
}

/// "Outside" is said of the other side's subnet.
fn sides(world: &World, from: Whom, to: Whom) -> (Whom, Whom) {
    match (from, to) {
        (Whom::Outside(_), to @ (Whom::Subnet(index) | Whom::Outside(index))) => {
            (Whom::Outside(index), subnet_or(to, index))
        }
        (Whom::Outside(_), Whom::Node(to)) => (Whom::Outside(world.subnet_of(to)), Whom::Node(to)),
        (from @ Whom::Subnet(index), Whom::Outside(_)) => (from, Whom::Outside(index)),
        (Whom::Node(from), Whom::Outside(_)) => (Whom::Node(from), Whom::Outside(world.subnet_of(from))),
        (Whom::Outside(index), Whom::Anybody) => (Whom::Outside(index), Whom::Subnet(index)),
        (Whom::Anybody, Whom::Outside(index)) => (Whom::Subnet(index), Whom::Outside(index)),
        sides => sides,
    }
}

fn subnet_or(side: Whom, index: usize) -> Whom {
    match side {
        Whom::Outside(_) => Whom::Subnet(index),
        side => side,
    }
}

fn traffic(choice: u8) -> Traffic {
    let of = |protocol, ports: &str| Traffic {
        protocol: Some(protocol),
        ports: Some(ports.parse::<PortSet>().unwrap()),
    };
    match choice {
        0 => of(Protocol::Tcp, "10250"),
        1 => of(Protocol::Tcp, "4240"),
        2 => of(Protocol::Tcp, "6444"),
        3 => of(Protocol::Tcp, "30000-30001"),
        4 => of(Protocol::Udp, "6081"),
        5 => of(Protocol::Udp, "6081-7946"),
        6 => Traffic {
            protocol: Some(Protocol::Tcp),
            ports: None,
        },
        7 => Traffic {
            protocol: Some(Protocol::Udp),
            ports: None,
        },
        _ => Traffic {
            protocol: None,
            ports: None,
        },
    }
}

/// Answers are told from questions by their source port.
fn answerable(way: Hooked, traffic: Traffic) -> Traffic {
    match (way, &traffic.ports) {
        (Hooked::AnswerOut, None) => Traffic {
            protocol: Some(Protocol::Tcp),
            ports: Some("10250".parse().unwrap()),
        },
        _ => traffic,
    }
}
