//! Live nodes, and ports that must not answer.

use crate::{
    cause::CauseKind,
    firewall::Hook,
    ledger::Ledger,
    observation::{BindFailure, NotTried, Signal},
    port::{
        Family::{Ipv4, Ipv6},
        PortRange,
        Protocol::{Tcp, Udp},
    },
    report::stage::{CP, LB, Stage, W1, W2, nft_that_drops, node},
    verdict::{Filter, Outcome, PairVerdict, Spot, Way, judge_busy, pairs_of, served_ports},
};

use super::outcome;

fn kubelet() -> Stage {
    Stage::of(&[LB, W1])
        .rule("kubelet", "10250", &[LB], &[W1])
        .live(W1)
}

fn of_10250(stage: &Stage) -> String {
    outcome(stage, LB, W1, "10250")
}

#[test]
fn a_service_of_a_live_node_that_accepts_is_open_but_unverified() {
    assert_eq!(
        of_10250(&kubelet().serves(W1, "10250", "kubelet")),
        "open_unverified"
    );
}

#[test]
fn a_live_node_that_resets_is_closed_with_or_without_a_listener() {
    assert_eq!(of_10250(&kubelet()), "closed");
    let served = kubelet().serves(W1, "10250", "kubelet");
    assert_eq!(of_10250(&served.sees(LB, W1, "10250", Signal::Refused)), "closed");
}

#[test]
fn silence_of_a_live_node_is_placed_as_any_other() {
    let silent = kubelet().silent(LB, W1, "10250", Some((1, 0)), Some((0, 0)));
    assert_eq!(of_10250(&silent), "filtered_forward");
}

fn node_ports() -> Stage {
    Stage::of(&[LB, W1])
        .rule("nodeport", "30000-30009", &[LB], &[W1])
        .through_services()
        .live(W1)
}

#[test]
fn node_ports_without_a_service_are_neither_tested_nor_missed() {
    let stage = node_ports()
        .has_services(W1, "30001")
        .serves(W1, "30002", "haproxy");
    assert_eq!(outcome(&stage, LB, W1, "30001"), "open_unverified");
    assert_eq!(outcome(&stage, LB, W1, "30002"), "open_unverified");
    assert_eq!(outcome(&stage, LB, W1, "30003"), "not_measured no_service");
}

#[test]
fn a_listener_that_was_not_listed_is_not_taken_for_none() {
    let cut = |stage: Stage| {
        stage.knows(W1, |facts| {
            facts.listeners.clear();
            facts.listeners_cut = true;
        })
    };
    let stage = cut(node_ports().serves(W1, "30002", "haproxy"));
    // Nobody asked it: it was not known to be served.
    assert_eq!(outcome(&stage, LB, W1, "30002"), "not_measured live_node");
    assert_eq!(outcome(&stage, LB, W1, "30003"), "not_measured no_service");
    let untold = cut(node_ports().tells_of_no_responder(W1));
    assert_ne!(outcome(&untold, LB, W1, "30003"), "not_measured no_service");
}

#[test]
fn a_node_port_without_a_service_that_was_tried_all_the_same_counts_only_if_it_tells_something() {
    let tried = |signal| outcome(&node_ports().sees(LB, W1, "30005", signal), LB, W1, "30005");
    assert_eq!(tried(Signal::Refused), "not_measured no_service");
    // Services of an eBPF data path are not seen in the packet filter.
    assert_eq!(tried(Signal::Connected), "open_unverified");
}

#[test]
fn a_node_port_that_another_rule_asks_for_is_tested() {
    let stage = Stage::of(&[LB, W1])
        .rule("nodeport", "30000-30009", &[LB], &[W1])
        .through_services()
        .rule("own", "30005", &[LB], &[W1])
        .live(W1);
    let report = stage.report();
    let closed: Vec<_> = report
        .reachability
        .iter()
        .filter(|row| row.outcome == "closed")
        .collect();
    assert!(closed.iter().all(|row| row.ports.to_string() == "30005"));
    assert_eq!(closed.len(), 2);
}

#[test]
fn node_ports_of_a_bare_node_are_tested_as_any_other() {
    let bare = Stage::of(&[LB, W1])
        .rule("nodeport", "30000-30009", &[LB], &[W1])
        .through_services();
    assert_eq!(outcome(&bare, LB, W1, "30003"), "open");
}

#[test]
fn a_service_of_one_family_is_neither_tested_nor_missed_in_the_other() {
    let nodes = &[LB, W1];
    let stage = Stage::of(nodes)
        .dual()
        .rule("nodeport", "30000-30009", &[LB], &[W1])
        .through_services()
        .over(Ipv6, Tcp)
        .rule("nodeport", "30000-30009", &[LB], &[W1])
        .through_services()
        .live(W1)
        .over(Ipv4, Tcp)
        .has_services(W1, "30001");
    let outcome_in = |family| {
        let report = stage.report();
        let mut rows = report
            .reachability
            .into_iter()
            .filter(|row| row.family == family && row.src == node(LB) && row.ports.contains(30001));
        rows.next().unwrap().outcome
    };
    assert_eq!(outcome_in(Ipv4), "open_unverified");
    assert_eq!(outcome_in(Ipv6), "not_measured");
    assert_ne!(stage.report().verdict, crate::report::Verdict::Incomplete);
}

#[test]
fn a_listener_at_another_address_serves_nobody_else() {
    let stage = node_ports().serves(W1, "30001", "haproxy");
    let entries = stage.entries();
    let ledger = Ledger::replay(&entries).unwrap();
    let facts = ledger.node(W1.parse().unwrap()).unwrap().facts.unwrap().what;
    let mut local = facts.clone();
    local.listeners.truncate(1);
    local.listeners[0].address = "127.0.0.1".parse().unwrap();
    let address = W1.parse().unwrap();
    assert_eq!(served_ports(facts, address, Tcp).to_string(), "30001");
    assert!(served_ports(&local, address, Tcp).is_empty());
    assert!(served_ports(facts, address, Udp).is_empty());
    // The probe tells of a socket that serves both families at the unspecified address of each.
    local.listeners[0].address = "::".parse().unwrap();
    assert!(served_ports(&local, address, Tcp).is_empty());
    let ipv6 = "fd00::2".parse().unwrap();
    assert_eq!(served_ports(&local, ipv6, Tcp).to_string(), "30001");
}

/// GENEVE on a live worker, kubelet beside it.
fn tunnel() -> Stage {
    Stage::of(&[LB, W1])
        .rule("kubelet", "10250", &[LB], &[W1])
        .over(Ipv4, Udp)
        .rule("geneve", "6081", &[LB], &[W1])
        .over(Ipv4, Tcp)
        .live(W1)
        .serves(W1, "10250", "kubelet")
}

/// What is said of GENEVE if packet filters speak like this: the outcome, where, and whether by the packet filters alone.
fn by_filters(stage: &Stage, ask: impl Fn(Way) -> Filter) -> (Outcome, Spot, bool) {
    let entries = stage.entries();
    let ledger = Ledger::replay(&entries).unwrap();
    let mut pairs = pairs_of(&stage.plan, &ledger).pairs;
    let asked = |_: &PairVerdict, range: PortRange, way| vec![(range, ask(way))];
    judge_busy(&mut pairs, asked, |_| Some(1));
    let of_udp = |pair: &&PairVerdict| pair.transport.1 == Udp;
    let [cell] = &pairs.iter().find(of_udp).unwrap().cells[..] else {
        panic!("one port, one cell")
    };
    assert_eq!(cell.attempts, 0);
    (cell.outcome.clone(), cell.spot, cell.by_ruleset)
}

#[test]
fn nothing_is_sent_to_udp_of_a_live_node_so_that_without_packet_filters_it_is_not_measured() {
    assert_eq!(outcome(&tunnel(), LB, W1, "6081"), "not_measured busy_udp");
    let served = tunnel().over(Ipv4, Udp).serves(W1, "6081", "kernel");
    assert_eq!(outcome(&served, LB, W1, "6081"), "not_measured busy_udp");
}

#[test]
fn packet_filters_that_let_it_pass_make_it_open_where_something_else_got_through() {
    let passes = |_| Filter::Passes;
    let (outcome, _, by_ruleset) = by_filters(&tunnel(), passes);
    assert_eq!((outcome.word(), by_ruleset), ("open_unverified", true));
    let cut = tunnel().silent(LB, W1, "10250", None, None);
    assert_eq!(by_filters(&cut, passes).0.word(), "not_measured");
}

#[test]
fn a_packet_filter_that_stops_it_says_where() {
    for (stops, spot) in [
        (Way::Out, Spot::SourceOut),
        (Way::In, Spot::Destination),
        (Way::AnswerOut, Spot::Destination),
        (Way::AnswerIn, Spot::SourceIn),
    ] {
        let ask = |way| {
            if way == stops {
                Filter::Stops
            } else {
                Filter::Passes
            }
        };
        let (outcome, found, _) = by_filters(&tunnel(), ask);
        assert_eq!((outcome, found), (Outcome::Filtered, spot));
        // Of a filter that cannot be read nothing is concluded, and one that stops for sure decides beside it.
        let ask = |way| {
            if way == stops {
                Filter::Stops
            } else {
                Filter::Untold
            }
        };
        assert_eq!(by_filters(&tunnel(), ask).0, Outcome::Filtered);
        let ask = |way| {
            if way == stops {
                Filter::Untold
            } else {
                Filter::Passes
            }
        };
        assert_eq!(by_filters(&tunnel(), ask).0.word(), "not_measured");
    }
}

/// A port of loopback scope, tried by one other node.
fn loopback() -> Stage {
    Stage::of(&[LB, W1])
        .rule("exporter.local", "9101", &[LB], &[W1])
        .that_warns()
        .that_blocks()
}

#[test]
fn a_port_that_must_not_answer_is_bound_by_nobody_and_told_by_what_answers() {
    let tried = |signal| outcome(&loopback().sees(LB, W1, "9101", signal), LB, W1, "9101");
    assert_eq!(tried(Signal::Connected), "open_unverified");
    assert_eq!(tried(Signal::Refused), "closed");
    assert_eq!(tried(Signal::Silence), "filtered");
    let why = NotTried::Cancelled;
    assert_eq!(tried(Signal::NotTried { why }), "not_measured interrupted");
}

#[test]
fn a_port_that_must_not_answer_is_judged_alike_on_a_live_node() {
    let live = loopback().live(W1).serves(W1, "9101", "node-exporter");
    assert_eq!(
        outcome(&live.sees(LB, W1, "9101", Signal::Connected), LB, W1, "9101"),
        "open_unverified"
    );
}

#[test]
fn a_bare_node_that_cannot_bind_is_not_taken_for_a_live_one() {
    let stage = Stage::of(&[CP, W2])
        .over(Ipv4, Udp)
        .rule("geneve", "6081", &[CP], &[W2]);
    let stage = stage.cannot_bind(W2, "6081", BindFailure::OpenFiles);
    assert_eq!(outcome(&stage, CP, W2, "6081"), "not_measured not_armed");
}

#[test]
fn the_rulesets_of_both_ends_judge_busy_udp_and_a_rule_that_drops_it_is_the_hosts() {
    let read = tunnel().filters(LB, nft_that_drops(Hook::Input, &[]));
    let passes = read.clone().filters(W1, nft_that_drops(Hook::Input, &[22]));
    assert_eq!(outcome(&passes, LB, W1, "6081"), "open_unverified");
    assert_eq!(passes.report().findings, []);
    let drops = read.filters(W1, nft_that_drops(Hook::Input, &[6081]));
    assert_eq!(outcome(&drops, LB, W1, "6081"), "filtered");
    let [finding] = &drops.report().findings[..] else {
        panic!("one rule, one finding")
    };
    assert_eq!(
        (finding.cause.kind, finding.cause.node),
        (CauseKind::HostFirewall, Some(node(W1)))
    );
}
