//! One run of failing ports of one pair put down to something, with the packet filters of both ends asked.

use crate::{
    firewall::Judgement,
    id::NodeId,
    ledger::{Arm, Ledger},
    observation::BindFailure,
    port::{PortRange, PortSet},
    verdict::{Cell, Mismatch, Outcome, PairVerdict, Spot, Why},
};

use super::{
    CauseKind,
    blame::{Between, Blame, FilterProof, Local, Setting, Side},
    host::{Opinion, ask_range},
};

/// What a cell's ports are put down to, split where that differs.
pub(super) fn blame(
    ledger: &Ledger<'_>,
    pair: &PairVerdict,
    cell: &Cell,
    ports: &PortSet,
) -> Vec<(PortSet, Blame)> {
    let one = |local: Local| vec![(ports.clone(), local.into())];
    let (src, dst) = (pair.src, pair.dst);
    match (&cell.outcome, cell.spot) {
        (Outcome::Open | Outcome::OpenUnverified, _) => Vec::new(),
        (
            Outcome::IdentityMismatch {
                how: Mismatch::ForeignAddress { address },
            },
            _,
        ) => vec![(
            ports.clone(),
            between(pair, CauseKind::SourceNat, &address.to_string()),
        )],
        (Outcome::IdentityMismatch { .. }, Spot::Destination) => one(Local::WrongResponder { node: dst }),
        (Outcome::IdentityMismatch { .. }, _) => {
            let translated = ledger
                .node(dst)
                .and_then(|log| log.translated_source(pair.transport, ports));
            let blame = match translated {
                Some(address) => between(pair, CauseKind::SourceNat, &address.to_string()),
                None => between(pair, CauseKind::WrongResponder, ""),
            };
            vec![(ports.clone(), blame)]
        }
        (Outcome::Closed, _) => one(Local::NoListener { node: dst }),
        (Outcome::Rejected { icmp, .. }, spot) => rejected(ledger, pair, ports, *icmp, spot),
        (Outcome::FilteredForward, _) => vec![(ports.clone(), between(pair, CauseKind::PathFilter, ""))],
        (Outcome::Filtered | Outcome::FilteredReturn, Spot::SourceIn) => {
            filter(ledger, pair, ports, src, Side::AnswerIn)
        }
        (Outcome::FilteredReturn, _) | (Outcome::Filtered, Spot::Return) => {
            vec![(ports.clone(), between(pair, CauseKind::ReturnPathFilter, ""))]
        }
        (Outcome::Filtered, Spot::Forward) => vec![(ports.clone(), between(pair, CauseKind::PathFilter, ""))],
        (Outcome::Filtered, Spot::Destination) => filter(ledger, pair, ports, dst, Side::In),
        (Outcome::Filtered, Spot::Unknown) => somewhere(ledger, pair, ports, CauseKind::PathFilter, ""),
        (Outcome::Filtered, Spot::SourceOut) | (Outcome::LocalBlocked, _) => {
            filter(ledger, pair, ports, src, Side::Out)
        }
        (Outcome::NoRoute, _) => one(Local::HostSetting {
            node: src,
            setting: Setting::NoRoute,
        }),
        (Outcome::NeighborUnresolved, _) => vec![(ports.clone(), between(pair, CauseKind::NotAdjacent, ""))],
        (Outcome::Lossy { .. }, _) => vec![(ports.clone(), between(pair, CauseKind::LossyPath, ""))],
        (Outcome::Resource { errno }, _) => one(Local::HostSetting {
            node: src,
            setting: Setting::Exhausted(*errno),
        }),
        (Outcome::NotMeasured(why), _) => not_measured(ledger, pair, ports, *why),
    }
}

fn rejected(
    ledger: &Ledger<'_>,
    pair: &PairVerdict,
    ports: &PortSet,
    icmp: Option<(u8, u8)>,
    spot: Spot,
) -> Vec<(PortSet, Blame)> {
    let how = icmp.map_or_else(
        || "TCP reset".to_owned(),
        |(kind, code)| format!("ICMP {kind}/{code}"),
    );
    match spot {
        Spot::Destination => convict(ledger, pair, ports, pair.dst, Side::In, FilterProof::Rejection),
        Spot::Unknown => somewhere(ledger, pair, ports, CauseKind::PathReject, &how),
        _ => vec![(ports.clone(), between(pair, CauseKind::PathReject, &how))],
    }
}

/// A place that no capture tells: a packet filter at either end that stops it is convicted, else it is between.
fn somewhere(
    ledger: &Ledger<'_>,
    pair: &PairVerdict,
    ports: &PortSet,
    kind: CauseKind,
    how: &str,
) -> Vec<(PortSet, Blame)> {
    let mut out = Vec::new();
    for (range, blame) in by_rule(ledger, pair, ports, pair.dst, Side::In) {
        match blame {
            Some(blame) => out.push((range.into(), blame)),
            None => {
                for (range, blame) in by_rule(ledger, pair, &range.into(), pair.src, Side::Out) {
                    out.push((range.into(), blame.unwrap_or_else(|| between(pair, kind, how))));
                }
            }
        }
    }
    out
}

/// A host on which captures or errors place the end of a packet.
fn filter(
    ledger: &Ledger<'_>,
    pair: &PairVerdict,
    ports: &PortSet,
    node: NodeId,
    side: Side,
) -> Vec<(PortSet, Blame)> {
    let proof = if side == Side::Out {
        FilterProof::Denied
    } else {
        FilterProof::Capture
    };
    convict(ledger, pair, ports, node, side, proof)
}

fn convict(
    ledger: &Ledger<'_>,
    pair: &PairVerdict,
    ports: &PortSet,
    node: NodeId,
    side: Side,
    without_rule: FilterProof,
) -> Vec<(PortSet, Blame)> {
    let key = (pair.src, pair.dst, pair.transport);
    let mut out = Vec::new();
    for range in ports.ranges() {
        for (range, opinion) in ask_range(ledger, key, *range, side) {
            let blame = match (opinion, side) {
                (Opinion::Stops(judgement), _) => stopped(node, side, &judgement),
                // The question may pass and its answer not.
                (Opinion::Accepts, Side::In) => {
                    let answers = ask_range(ledger, key, range, Side::AnswerOut);
                    for (range, opinion) in answers {
                        let blame = match opinion {
                            Opinion::Stops(judgement) => stopped(node, Side::AnswerOut, &judgement),
                            Opinion::Accepts if without_rule == FilterProof::Capture => Local::HostSetting {
                                node,
                                setting: Setting::Unanswered,
                            },
                            _ => Local::HostFirewall {
                                node,
                                side,
                                by: without_rule.clone(),
                            },
                        };
                        out.push((range.into(), blame.into()));
                    }
                    continue;
                }
                (Opinion::Accepts, Side::Out) => Local::HostSetting {
                    node,
                    setting: Setting::NothingLeaves,
                },
                _ => Local::HostFirewall {
                    node,
                    side,
                    by: without_rule.clone(),
                },
            };
            out.push((range.into(), blame.into()));
        }
    }
    out
}

/// Ranges with the rule of this node that stops them, if one does.
fn by_rule(
    ledger: &Ledger<'_>,
    pair: &PairVerdict,
    ports: &PortSet,
    node: NodeId,
    side: Side,
) -> Vec<(PortRange, Option<Blame>)> {
    let key = (pair.src, pair.dst, pair.transport);
    let asked = ports
        .ranges()
        .iter()
        .flat_map(|range| ask_range(ledger, key, *range, side));
    asked
        .map(|(range, opinion)| match opinion {
            Opinion::Stops(judgement) => (range, Some(stopped(node, side, &judgement).into())),
            Opinion::Accepts | Opinion::None => (range, None),
        })
        .collect()
}

fn not_measured(ledger: &Ledger<'_>, pair: &PairVerdict, ports: &PortSet, why: Why) -> Vec<(PortSet, Blame)> {
    let one = |local: Local| vec![(ports.clone(), local.into())];
    match why {
        Why::NotArmed => not_armed(ledger, pair, ports),
        Why::SourceLost if ledger.is_gone(pair.src) => one(Local::ProbeLost { node: pair.src }),
        Why::DestinationLost if ledger.is_gone(pair.dst) => one(Local::ProbeLost { node: pair.dst }),
        // Nobody misses it.
        Why::NoService => Vec::new(),
        Why::NoAddress => {
            let lacks = |node: &NodeId| ledger.lacks_address(*node, pair.transport.0);
            let node = [pair.src, pair.dst].into_iter().find(lacks);
            one(Local::Unmeasured {
                why,
                node: node.or(Some(pair.dst)),
            })
        }
        Why::LiveNode | Why::BusyUdp | Why::DestinationLost => one(Local::Unmeasured {
            why,
            node: Some(pair.dst),
        }),
        Why::Policy | Why::Unreported | Why::SourceLost => one(Local::Unmeasured {
            why,
            node: Some(pair.src),
        }),
        Why::Interrupted | Why::Unsupported => one(Local::Unmeasured { why, node: None }),
    }
}

fn not_armed(ledger: &Ledger<'_>, pair: &PairVerdict, ports: &PortSet) -> Vec<(PortSet, Blame)> {
    let mut out = Vec::new();
    let mut untold = ports.clone();
    let armed = ledger.node(pair.dst).and_then(|log| log.armed(pair.transport));
    for (range, told) in armed.into_iter().flat_map(|map| map.runs()) {
        let Arm::Refused(failure) = told.what else {
            continue;
        };
        let refused = ports.intersection(&(*range).into());
        if refused.is_empty() {
            continue;
        }
        untold = untold.difference(&refused);
        let setting = |setting| Local::HostSetting {
            node: pair.dst,
            setting,
        };
        let blame = match failure {
            BindFailure::Taken { process, pid } => {
                if pid.is_none() {
                    out.extend(refused.iter().map(|port| {
                        let alone = PortSet::from_iter([port]);
                        (alone, taken(pair, process.clone(), None, Some(port)).into())
                    }));
                    continue;
                }
                taken(pair, process.clone(), *pid, None)
            }
            BindFailure::Privilege => setting(Setting::Privilege),
            BindFailure::AddressMissing => setting(Setting::AddressMissing),
            BindFailure::OpenFiles => setting(Setting::OpenFiles),
            BindFailure::Policy => setting(Setting::Policy),
            BindFailure::Other { errno } => setting(Setting::Bind(*errno)),
            BindFailure::Live | BindFailure::Service { .. } | BindFailure::NoListener => Local::Unmeasured {
                why: Why::LiveNode,
                node: Some(pair.dst),
            },
        };
        out.push((refused, blame.into()));
    }
    if !untold.is_empty() {
        let blame = Local::Unmeasured {
            why: Why::NotArmed,
            node: Some(pair.dst),
        };
        out.push((untold, blame.into()));
    }
    out
}

fn taken(pair: &PairVerdict, process: Option<String>, pid: Option<u32>, alone: Option<u16>) -> Local {
    Local::PortTaken {
        node: pair.dst,
        transport: pair.transport,
        process,
        pid,
        alone,
    }
}

fn stopped(node: NodeId, side: Side, judgement: &Judgement) -> Local {
    let by = judgement
        .stopped_at()
        .map_or(FilterProof::Capture, |place| FilterProof::Rule(place.clone()));
    Local::HostFirewall { node, side, by }
}

fn between(pair: &PairVerdict, kind: CauseKind, how: &str) -> Blame {
    Blame::Between(Between {
        kind,
        transport: pair.transport,
        how: how.to_owned(),
    })
}
