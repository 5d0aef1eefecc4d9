//! Two hosts, a cable, packet filters, and what is asked over it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use plumbline_model::{
    observation::{Armed, Reach, Record, Signal},
    port::PortSet,
};
use plumbline_probe::{
    responder::{ArmTask, Caller, Responder, tcp},
    runner::{
        asking::{AskTarget, AskTask, Occupant, Peer},
        tcp::start,
    },
};
use plumbline_sys::{
    netlink::{Protocol, Socket},
    nft::{Action, Batch, Family, Hook, Match, NewRule, Policy, Transport},
    ns::{self, NetNs},
    route::{self, Network, OperState, VethPeer},
};

/// The answering host; the asking host is the process's own namespace.
pub(crate) struct Hosts {
    pub(crate) answering: NetNs,
}

/// The addresses of both hosts in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) asking: IpAddr,
    pub(crate) answering: IpAddr,
    /// On the same network, of no host.
    pub(crate) absent: IpAddr,
    /// On another network (RFC 5737, RFC 3849), to which there is no route.
    pub(crate) elsewhere: IpAddr,
    prefix: u8,
}

pub(crate) const IPV4: Ends = Ends {
    asking: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1)),
    answering: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2)),
    absent: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 99)),
    elsewhere: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    prefix: 24,
};

pub(crate) const IPV6: Ends = Ends {
    asking: IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1)),
    answering: IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2)),
    absent: IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x99)),
    elsewhere: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    prefix: 64,
};

impl Hosts {
    pub(crate) fn new() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        ns::enter_private_network()?;
        let answering = NetNs::create()?;
        let mut network = Network::open()?;
        network.add_veth(
            "cable",
            None,
            VethPeer {
                name: "cable",
                namespace: answering.as_fd(),
            },
        )?;
        plug(IPV4.asking, IPV6.asking)?;
        answering.run(|| plug(IPV4.answering, IPV6.answering))??;
        answering.run(await_carrier)??;
        await_carrier()?;
        Ok(Self { answering })
    }

    pub(crate) fn responder(&self, ends: Ends, ports: &PortSet) -> Responder {
        self.responder_of(tcp::arm, ends, ports)
    }

    /// A responder of either transport.
    pub(crate) fn responder_of(
        &self,
        arm: fn(ArmTask) -> io::Result<(Responder, Armed)>,
        ends: Ends,
        ports: &PortSet,
    ) -> Responder {
        let caller = Caller {
            index: 0,
            node: IPV4.asking.into(),
            addresses: vec![IPV4.asking, IPV6.asking],
            key: KEY,
        };
        let task = ArmTask {
            run: RUN,
            own_index: 1,
            address: ends.answering,
            ports: ports.clone(),
            callers: vec![caller],
        };
        let (responder, armed) = self.answering.run(|| arm(task)).unwrap().unwrap();
        assert_eq!(armed.ports, *ports, "{:?}", armed.refused);
        responder
    }

    pub(crate) fn filter_there(&self, rules: &[NewRule]) -> Filter<'_> {
        Filter::new(Some(&self.answering), Hook::Input, rules)
    }

    /// Translates addresses on one of the hosts, `None` for the asking one.
    pub(crate) fn translate(host: Option<&'_ NetNs>, hook: Hook, rule: NewRule) -> Filter<'_> {
        let mut batch = Batch::new();
        batch
            .create_table(Family::Inet, TABLE)
            .create_nat_chain(Family::Inet, TABLE, TABLE, hook, 0)
            .append_rule(Family::Inet, TABLE, TABLE, &rule);
        Filter::of_batch(host, batch)
    }
}

fn plug(ipv4: IpAddr, ipv6: IpAddr) -> Result<(), route::Error> {
    let mut network = Network::open()?;
    let link = network
        .link("cable")?
        .expect("the cable has just been made")
        .index;
    network.add_address(link, ipv4, IPV4.prefix)?;
    network.add_address(link, ipv6, IPV6.prefix)?;
    network.set_up("lo", true)?;
    network.set_up("cable", true)
}

/// The kernel takes up to a second to notice that a cable has two ends, and IPv6 waits for that.
fn await_carrier() -> Result<(), route::Error> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut network = Network::open()?;
    let mut works = || {
        Ok(network
            .link("cable")?
            .is_some_and(|link| link.state == OperState::Up))
    };
    while !works()? {
        assert!(Instant::now() < deadline, "the cable does not come up");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Rules that are gone when the value is.
pub(crate) struct Filter<'a> {
    host: Option<&'a NetNs>,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(host: Option<&'a NetNs>, hook: Hook, rules: &[NewRule]) -> Self {
        let mut batch = Batch::new();
        batch.create_table(Family::Inet, TABLE).create_base_chain(
            Family::Inet,
            TABLE,
            TABLE,
            hook,
            0,
            Policy::Accept,
        );
        for rule in rules {
            batch.append_rule(Family::Inet, TABLE, TABLE, rule);
        }
        Self::of_batch(host, batch)
    }

    fn of_batch(host: Option<&'a NetNs>, batch: Batch) -> Self {
        let filter = Self { host };
        filter.commit(batch);
        filter
    }

    fn commit(&self, batch: Batch) {
        let commit = || {
            batch
                .commit(&mut Socket::open(Protocol::Netfilter).unwrap())
                .unwrap()
        };
        match self.host {
            Some(host) => host.run(commit).unwrap(),
            None => commit(),
        }
    }
}

impl Drop for Filter<'_> {
    fn drop(&mut self) {
        let mut batch = Batch::new();
        batch.delete_table(Family::Inet, TABLE);
        self.commit(batch);
    }
}

pub(crate) fn rule(ports: &str, action: Action) -> NewRule {
    rule_of(Transport::Tcp, ports, action)
}

pub(crate) fn rule_of(transport: Transport, ports: &str, action: Action) -> NewRule {
    let ports = set(ports).ranges()[0];
    NewRule {
        matches: vec![Match::DestinationPorts(transport, ports.first(), ports.last())],
        action,
    }
}

/// Asks ports of a host on which a responder may stand. The node is known by its IPv4 address in either family.
pub(crate) fn task(address: IpAddr, ports: &PortSet) -> AskTask {
    let peer = Peer {
        index: 1,
        node: IPV4.answering.into(),
        address,
        key: KEY,
    };
    AskTask {
        run: RUN,
        own_index: 0,
        members: 2,
        local: None,
        data_addresses: vec![IPV4.asking, IPV6.asking],
        targets: vec![AskTarget {
            peer,
            ports: ports.clone(),
            occupant: Occupant::Responder,
        }],
        attempts: 3,
        attempt_timeout: ATTEMPT,
        max_rate_node: 0,
        max_rate_pair: 0,
        rates: std::sync::Arc::default(),
        second_look: false,
        lease: Duration::from_secs(60),
    }
}

pub(crate) fn ask(task: AskTask) -> Vec<Reach> {
    reaches(start(task).unwrap().finish())
}

pub(crate) fn reaches(records: Vec<Record>) -> Vec<Reach> {
    let reach = |record| match record {
        Record::Reach(reach) => reach,
        other => panic!("{other:?}"),
    };
    records.into_iter().map(reach).collect()
}

pub(crate) fn only(mut reaches: Vec<Reach>) -> Reach {
    assert_eq!(
        reaches.len(),
        1,
        "one outcome for all ports was expected: {reaches:?}"
    );
    reaches.remove(0)
}

pub(crate) fn set(ports: &str) -> PortSet {
    ports.parse().unwrap()
}

pub(crate) const ATTEMPT: Duration = Duration::from_millis(600);
pub(crate) const KEY: [u8; 32] = [7; 32];
const RUN: [u8; 8] = *b"two host";
const TABLE: &str = "test";

/// On a path that loses half of the packets some ports answer at once, some at the second and some at the third attempt, and
/// none twice.
pub(crate) fn are_asked_again(reaches: &[Reach]) {
    let ports_after = |attempts: u32| -> u32 {
        let of = |reach: &&Reach| reach.signal == Signal::Verified && reach.attempts == attempts;
        reaches.iter().filter(of).map(|reach| reach.ports.count()).sum()
    };
    assert!(
        ports_after(1) > 0 && ports_after(2) > 0 && ports_after(3) > 0,
        "{reaches:?}"
    );
    assert!(reaches.iter().all(|reach| reach.answered <= 1), "{reaches:?}");
}
