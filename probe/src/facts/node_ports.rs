//! Ports of Services of type NodePort, from the rules of kube-proxy.
//!
//! | mode | where | what |
//! |---|---|---|
//! | iptables | chain `KUBE-NODEPORTS` of the table `nat` | a rule for each port: `-p tcp ... --dport 30080 -j ...` |
//! | nftables | map `service-nodeports` of the table `kube-proxy` | an element for each port: `tcp . 30080 : goto ...` |
//!
//! Ports of Services without an endpoint, or without one on this node where only such count, are dropped or rejected by
//! design: by rules of the chain `KUBE-EXTERNAL-SERVICES` of the table `filter`, and by elements of the map
//! `no-endpoint-nodeports`. Nobody serves them here.
//!
//! kube-proxy writes the same for each family into tables of that family. A Service is of one family unless it asks for both,
//! and a port that is served in one is nobody's in the other.
//!
//! What the legacy iptables, IPVS or an eBPF data path serve is not among nf_tables' rules, and is not found here.

use std::collections::BTreeMap;

use plumbline_model::{
    firewall::{Chain, CompareOp, Expression, Octets, PayloadBase, Rule, Ruleset, Set, Table, TableFamily},
    observation::NodePorts,
    port::{Family, PortRange, PortSet, Protocol},
};

/// The ports by family and transport. Of a rule or element that is not understood nothing is concluded.
pub fn node_ports(ruleset: &Ruleset) -> Vec<NodePorts> {
    let mut ports: BTreeMap<(Family, Protocol), PortSet> = BTreeMap::new();
    let mut without_endpoint: BTreeMap<(Family, Protocol), PortSet> = BTreeMap::new();
    for table in &ruleset.tables {
        for (of_iptables, of_nftables, known) in [
            (("nat", "KUBE-NODEPORTS"), "service-nodeports", &mut ports),
            (
                ("filter", "KUBE-EXTERNAL-SERVICES"),
                "no-endpoint-nodeports",
                &mut without_endpoint,
            ),
        ] {
            let by_rules = of_chain(table, of_iptables);
            let found = by_rules.into_iter().chain(of_map(table, of_nftables));
            for (protocol, found) in found {
                let found = PortSet::from(found);
                for family in families(table.family) {
                    known.entry((*family, protocol)).or_default().extend(&found);
                }
            }
        }
    }
    for (transport, unserved) in without_endpoint {
        ports
            .entry(transport)
            .and_modify(|ports| *ports = ports.difference(&unserved));
    }
    ports.retain(|_, ports| !ports.is_empty());
    let node_ports = |((family, protocol), ports)| NodePorts {
        family,
        protocol,
        ports,
    };
    ports.into_iter().map(node_ports).collect()
}

/// The families whose packets a table sees.
fn families(of: TableFamily) -> &'static [Family] {
    match of {
        TableFamily::Ip => &[Family::Ipv4],
        TableFamily::Ip6 => &[Family::Ipv6],
        TableFamily::Inet => &[Family::Ipv4, Family::Ipv6],
        TableFamily::Arp | TableFamily::Bridge | TableFamily::Netdev => &[],
    }
}

fn of_chain(table: &Table, (of, name): (&str, &str)) -> Vec<(Protocol, PortRange)> {
    let is_it = |chain: &&Chain| table.name == of && chain.name == name;
    let chain = table.chains.iter().find(is_it);
    let rules = chain.map_or(&[][..], |chain| &chain.rules);
    rules.iter().filter_map(destination).collect()
}

/// The transport and ports that a rule is for.
fn destination(rule: &Rule) -> Option<(Protocol, PortRange)> {
    let (mut protocol, mut ports) = (None, None);
    // What the registers hold, as far as it matters here.
    let mut loaded: BTreeMap<u32, Loaded> = BTreeMap::new();
    for expression in &rule.expressions {
        match expression {
            Expression::Meta { key, to } => {
                let of_transport = (*key == META_L4PROTO).then_some(Loaded::Transport);
                loaded.insert(*to, of_transport.unwrap_or(Loaded::Other));
            }
            Expression::Payload {
                base,
                offset,
                length,
                to,
            } => {
                loaded.insert(*to, field(*base, *offset, *length));
            }
            Expression::Compare {
                from,
                op: CompareOp::Eq,
                data,
            } => match loaded.get(from) {
                Some(Loaded::Transport) => protocol = transport(*data.0.first()?),
                Some(Loaded::DestinationPort) => ports = port(&data.0).and_then(single),
                Some(Loaded::Other) | None => {}
            },
            Expression::Range {
                from,
                inverted: false,
                first,
                last,
            } if loaded.get(from) == Some(&Loaded::DestinationPort) => {
                ports = PortRange::new(port(&first.0)?, port(&last.0)?);
            }
            Expression::XtMatch { name, info, .. } if name == "tcp" || name == "udp" => {
                protocol = Some(if name == "tcp" {
                    Protocol::Tcp
                } else {
                    Protocol::Udp
                });
                ports = xt_ports(info);
            }
            _ => {}
        }
    }
    protocol.zip(ports)
}

fn of_map(table: &Table, name: &str) -> Vec<(Protocol, PortRange)> {
    let is_it = |set: &&Set| table.name == "kube-proxy" && set.name == name;
    let map = table.sets.iter().find(is_it);
    let elements = map.map_or(&[][..], |map| &map.elements);
    // The transport takes one octet and the port two, each padded to four.
    let of_key = |Octets(key): &Octets| Some((transport(*key.first()?)?, single(port(key.get(4..)?)?)?));
    elements
        .iter()
        .filter_map(|element| of_key(&element.key))
        .collect()
}

/// What a register was loaded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loaded {
    Transport,
    DestinationPort,
    Other,
}

fn field(base: PayloadBase, offset: u32, length: u32) -> Loaded {
    match (base, offset, length) {
        // `protocol` of an IPv4 header, `next header` of an IPv6 one.
        (PayloadBase::Network, 9 | 6, 1) => Loaded::Transport,
        (PayloadBase::Transport, 2, 2) => Loaded::DestinationPort,
        _ => Loaded::Other,
    }
}

fn transport(number: u8) -> Option<Protocol> {
    match number {
        6 => Some(Protocol::Tcp),
        17 => Some(Protocol::Udp),
        _ => None,
    }
}

/// A port in network order at the beginning.
fn port(octets: &[u8]) -> Option<u16> {
    octets.first_chunk().map(|port| u16::from_be_bytes(*port))
}

fn single(port: u16) -> Option<PortRange> {
    PortRange::new(port, port)
}

/// `struct xt_tcp` and `struct xt_udp` begin alike: source ports (2 x 2), destination ports (2 x 2), in host order.
fn xt_ports(Octets(info): &Octets) -> Option<PortRange> {
    let port = |at: usize| Some(u16::from_ne_bytes(*info.get(at..)?.first_chunk()?));
    PortRange::new(port(4)?, port(6)?)
}

/// `NFT_META_L4PROTO`.
const META_L4PROTO: u32 = 16;

#[cfg(test)]
mod tests {
    use plumbline_model::firewall::Element;

    use super::*;

    fn table(name: &str, chains: Vec<Chain>, sets: Vec<Set>) -> Table {
        table_of(TableFamily::Ip, name, chains, sets)
    }

    fn table_of(family: TableFamily, name: &str, chains: Vec<Chain>, sets: Vec<Set>) -> Table {
        Table {
            family,
            name: name.to_owned(),
            dormant: false,
            chains,
            sets,
        }
    }

    fn chain(name: &str, rules: Vec<Vec<Expression>>) -> Chain {
        let rule = |expressions| Rule {
            handle: 1,
            expressions,
            comment: None,
        };
        Chain {
            name: name.to_owned(),
            base: None,
            rules: rules.into_iter().map(rule).collect(),
        }
    }

    /// Of tables of IPv4.
    fn told(tables: Vec<Table>) -> Vec<(Protocol, String)> {
        let told = told_of_both(tables);
        assert!(told.iter().all(|(family, ..)| *family == Family::Ipv4));
        told.into_iter()
            .map(|(_, protocol, ports)| (protocol, ports))
            .collect()
    }

    fn told_of_both(tables: Vec<Table>) -> Vec<(Family, Protocol, String)> {
        let ruleset = Ruleset {
            generation: 1,
            tables,
            interfaces: Vec::new(),
            legacy_tables: Vec::new(),
        };
        node_ports(&ruleset)
            .into_iter()
            .map(|of| (of.family, of.protocol, of.ports.to_string()))
            .collect()
    }

    /// `-p tcp -m comment --comment "..." -m tcp --dport PORT -j KUBE-EXT-...`, as iptables 1.8.4 writes it.
    fn by_xt(name: &str, port: u16) -> Vec<Expression> {
        let mut info = vec![0, 0, 0xff, 0xff];
        info.extend(port.to_ne_bytes());
        info.extend(port.to_ne_bytes());
        info.extend([0; 8]);
        vec![
            Expression::Payload {
                base: PayloadBase::Network,
                offset: 9,
                length: 1,
                to: 1,
            },
            Expression::Compare {
                from: 1,
                op: CompareOp::Eq,
                data: Octets(vec![if name == "tcp" { 6 } else { 17 }]),
            },
            Expression::XtMatch {
                name: "comment".to_owned(),
                revision: 0,
                info: Octets(b"default/web".to_vec()),
            },
            Expression::XtMatch {
                name: name.to_owned(),
                revision: 0,
                info: Octets(info),
            },
        ]
    }

    /// The same as later versions write it.
    fn by_registers(port: u16) -> Vec<Expression> {
        vec![
            Expression::Meta {
                key: META_L4PROTO,
                to: 1,
            },
            Expression::Compare {
                from: 1,
                op: CompareOp::Eq,
                data: Octets(vec![6]),
            },
            Expression::Payload {
                base: PayloadBase::Transport,
                offset: 2,
                length: 2,
                to: 1,
            },
            Expression::Compare {
                from: 1,
                op: CompareOp::Eq,
                data: Octets(port.to_be_bytes().to_vec()),
            },
        ]
    }

    #[test]
    fn rules_of_iptables_tell_ports_by_transport_in_either_writing() {
        let rules = vec![
            by_xt("tcp", 30080),
            by_xt("udp", 30053),
            by_registers(31443),
            Vec::new(),
        ];
        let told = told(vec![table(
            "nat",
            vec![chain("KUBE-NODEPORTS", rules)],
            Vec::new(),
        )]);
        let expected = [
            (Protocol::Tcp, "30080,31443".to_owned()),
            (Protocol::Udp, "30053".to_owned()),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn rules_elsewhere_are_nobody_s_node_ports() {
        let elsewhere = vec![
            table(
                "filter",
                vec![chain("KUBE-NODEPORTS", vec![by_registers(32000)])],
                Vec::new(),
            ),
            table(
                "nat",
                vec![chain("KUBE-SERVICES", vec![by_registers(443)])],
                Vec::new(),
            ),
        ];
        assert_eq!(told(elsewhere), []);
    }

    #[test]
    fn a_port_that_is_excluded_or_compared_with_something_else_is_none() {
        let mut excluded = by_registers(30080);
        let last = excluded.len() - 1;
        excluded[last] = Expression::Compare {
            from: 1,
            op: CompareOp::Neq,
            data: Octets(30080_u16.to_be_bytes().to_vec()),
        };
        let mut of_the_source = by_registers(30081);
        of_the_source[2] = Expression::Payload {
            base: PayloadBase::Transport,
            offset: 0,
            length: 2,
            to: 1,
        };
        let chain = chain("KUBE-NODEPORTS", vec![excluded, of_the_source]);
        assert_eq!(told(vec![table("nat", vec![chain], Vec::new())]), []);
    }

    fn map(name: &str, keys: &[&[u8]]) -> Set {
        let element = |key: &&[u8]| Element {
            key: Octets(key.to_vec()),
            key_end: None,
            flags: 0,
            data: None,
            verdict: None,
            conditional: false,
        };
        Set {
            name: name.to_owned(),
            flags: 0,
            key_length: 8,
            fields: vec![1, 2],
            elements: keys.iter().map(element).collect(),
            truncated: false,
        }
    }

    const OF_30080: &[u8] = &[6, 0, 0, 0, 0x75, 0x80, 0, 0];
    const OF_30005: &[u8] = &[17, 0, 0, 0, 0x75, 0x35, 0, 0];

    #[test]
    fn ports_of_services_without_an_endpoint_here_are_not_served() {
        let nat = vec![by_xt("tcp", 30080), by_xt("tcp", 30443), by_xt("udp", 30443)];
        let filter = vec![by_xt("tcp", 30443)];
        let iptables = vec![
            table(
                "filter",
                vec![chain("KUBE-EXTERNAL-SERVICES", filter)],
                Vec::new(),
            ),
            table("nat", vec![chain("KUBE-NODEPORTS", nat)], Vec::new()),
        ];
        let expected = [
            (Protocol::Tcp, "30080".to_owned()),
            (Protocol::Udp, "30443".to_owned()),
        ];
        assert_eq!(told(iptables), expected);
        let maps = vec![
            map("no-endpoint-nodeports", &[OF_30005]),
            map("service-nodeports", &[OF_30080, OF_30005]),
        ];
        let nftables = vec![table("kube-proxy", Vec::new(), maps)];
        assert_eq!(told(nftables), [(Protocol::Tcp, "30080".to_owned())]);
    }

    #[test]
    fn elements_of_nftables_tell_ports_by_transport() {
        // A transport that nobody tests, and an element that is cut off.
        let nobody_s: &[u8] = &[132, 0, 0, 0, 0x75, 0x35, 0, 0];
        let map = map("service-nodeports", &[OF_30080, OF_30005, nobody_s, &[6, 0]]);
        let expected = [
            (Protocol::Tcp, "30080".to_owned()),
            (Protocol::Udp, "30005".to_owned()),
        ];
        assert_eq!(told(vec![table("kube-proxy", Vec::new(), vec![map])]), expected);
    }

    #[test]
    fn a_port_is_served_in_the_family_whose_tables_have_it_and_in_no_other() {
        let nat = |family, ports: &[u16]| {
            let rules = ports.iter().map(|port| by_xt("tcp", *port)).collect();
            table_of(family, "nat", vec![chain("KUBE-NODEPORTS", rules)], Vec::new())
        };
        let without_endpoint = chain("KUBE-EXTERNAL-SERVICES", vec![by_xt("tcp", 30081)]);
        let tables = vec![
            nat(TableFamily::Ip, &[30080, 30081]),
            nat(TableFamily::Ip6, &[30081, 30082]),
            table_of(TableFamily::Ip6, "filter", vec![without_endpoint], Vec::new()),
        ];
        let expected = [
            (Family::Ipv4, Protocol::Tcp, "30080-30081".to_owned()),
            (Family::Ipv6, Protocol::Tcp, "30082".to_owned()),
        ];
        assert_eq!(told_of_both(tables), expected);
    }
}
