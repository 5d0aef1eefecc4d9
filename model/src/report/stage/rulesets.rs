//! Packet filters made by hand for tests.

use std::net::IpAddr;

use crate::firewall::{
    Base, Chain, CompareOp, Expression, Hook, InterfaceIndex, PayloadBase, Policy, RejectWith, Rule, Ruleset,
    Table, TableFamily, Verdict,
};

/// An nftables input chain with one rule for each entry: ports to drop, by handle from 1.
pub(crate) fn nft_that_drops(hook: Hook, ports: &[u16]) -> Ruleset {
    let name = if hook == Hook::Output { "output" } else { "input" };
    let rules = ports
        .iter()
        .zip(1..)
        .map(|(port, handle)| {
            rule(
                handle,
                &[destination_port(*port)[..].to_vec(), vec![stop()]].concat(),
            )
        })
        .collect();
    ruleset("filter", vec![chain(name, Some(hook), rules)])
}

/// An nftables input chain that drops one port from one source.
pub(crate) fn nft_that_drops_from(source: &str, port: u16) -> Ruleset {
    let IpAddr::V4(address) = source.parse().unwrap() else {
        panic!("an IPv4 stage")
    };
    let from = [
        Expression::Payload {
            base: PayloadBase::Network,
            offset: 12,
            length: 4,
            to: 1,
        },
        Expression::Compare {
            from: 1,
            op: CompareOp::Eq,
            data: address.octets().to_vec().into(),
        },
    ];
    let drops = [&from[..], &destination_port(port)[..], &[stop()]].concat();
    ruleset(
        "filter",
        vec![chain("input", Some(Hook::Input), vec![rule(1, &drops)])],
    )
}

/// An nftables input chain that drops what comes faster than a limit.
pub(crate) fn nft_that_limits() -> Ruleset {
    let limit = Expression::Limit {
        name: "limit".to_owned(),
    };
    let drops = [limit, stop()];
    ruleset(
        "filter",
        vec![chain("input", Some(Hook::Input), vec![rule(7, &drops)])],
    )
}

/// An nftables chain that draws lots and drops one packet in five of TCP.
pub(crate) fn nft_that_draws_lots(hook: Hook) -> Ruleset {
    let name = if hook == Hook::Output { "output" } else { "input" };
    let drops = [
        Expression::Meta { key: 16, to: 1 },
        Expression::Compare {
            from: 1,
            op: CompareOp::Eq,
            data: vec![6].into(),
        },
        Expression::Number { to: 1, modulus: 1000 },
        Expression::Compare {
            from: 1,
            op: CompareOp::Lt,
            data: 200_u32.to_be_bytes().to_vec().into(),
        },
        stop(),
    ];
    ruleset("filter", vec![chain(name, Some(hook), vec![rule(9, &drops)])])
}

/// An nftables output chain that drops answers from one port.
pub(crate) fn nft_that_drops_answers(port: u16) -> Ruleset {
    let from_port = [
        Expression::Payload {
            base: PayloadBase::Transport,
            offset: 0,
            length: 2,
            to: 1,
        },
        Expression::Compare {
            from: 1,
            op: CompareOp::Eq,
            data: port.to_be_bytes().to_vec().into(),
        },
    ];
    let drops = [&from_port[..], &[stop()]].concat();
    ruleset(
        "filter",
        vec![chain("output", Some(Hook::Output), vec![rule(1, &drops)])],
    )
}

/// firewalld with the data interface in zone public, which lets some ports in and rejects the rest.
pub(crate) fn firewalld_that_accepts(ports: &[u16]) -> Ruleset {
    let accept = || Expression::Verdict {
        verdict: Verdict::Accept,
    };
    let allow = ports
        .iter()
        .zip(1..)
        .map(|(port, handle)| {
            rule(
                handle,
                &[destination_port(*port)[..].to_vec(), vec![accept()]].concat(),
            )
        })
        .collect();
    let jump = |chain: &str| Expression::Verdict {
        verdict: Verdict::Jump {
            chain: chain.to_owned(),
        },
    };
    let reject = Expression::Reject {
        with: RejectWith::Icmpx { code: 3 },
    };
    let input = vec![rule(90, &[jump("filter_IN_public")]), rule(91, &[reject])];
    let public = vec![rule(80, &[jump("filter_IN_public_allow")])];
    ruleset(
        "firewalld",
        vec![
            chain("filter_INPUT", Some(Hook::Input), input),
            chain("filter_IN_public", None, public),
            chain("filter_IN_public_allow", None, allow),
        ],
    )
}

fn destination_port(port: u16) -> [Expression; 2] {
    [
        Expression::Payload {
            base: PayloadBase::Transport,
            offset: 2,
            length: 2,
            to: 1,
        },
        Expression::Compare {
            from: 1,
            op: CompareOp::Eq,
            data: port.to_be_bytes().to_vec().into(),
        },
    ]
}

fn stop() -> Expression {
    Expression::Verdict {
        verdict: Verdict::Drop,
    }
}

fn rule(handle: u64, expressions: &[Expression]) -> Rule {
    Rule {
        handle,
        expressions: expressions.to_vec(),
        comment: None,
    }
}

fn chain(name: &str, hook: Option<Hook>, rules: Vec<Rule>) -> Chain {
    let base = hook.map(|hook| Base {
        hook,
        priority: 0,
        kind: "filter".to_owned(),
        policy: Policy::Accept,
        devices: Vec::new(),
    });
    Chain {
        name: name.to_owned(),
        base,
        rules,
    }
}

fn ruleset(table: &str, chains: Vec<Chain>) -> Ruleset {
    Ruleset {
        generation: 1,
        tables: vec![Table {
            family: TableFamily::Inet,
            name: table.to_owned(),
            dormant: false,
            chains,
            sets: Vec::new(),
        }],
        interfaces: vec![InterfaceIndex {
            index: 2,
            name: "eth0".to_owned(),
        }],
        legacy_tables: Vec::new(),
    }
}
