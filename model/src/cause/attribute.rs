//! One run of failing ports of one pair put down to something, with the packet filters of both ends asked.

use crate::{
    firewall::Judgement,
    id::NodeId,
    ledger::{Arm, Ledger},
    observation::BindFailure,
    port::{PortRange, PortSet},
    verdict::{Cell, Mismatch, Outcome, PairVerdict, Spot, Way, Why},
};

use super::{
    CauseKind,
    blame::{Blame, Local, Proof, Rule, Setting},
    host::{Opinion, ask_range},
    pattern::{Pattern, Place},
};

/// What a cell's ports are put down to, split where that differs.
pub(super) fn blame(
    ledger: &Ledger<'_>,
    pair: &PairVerdict,
    cell: &Cell,
    ports: &PortSet,
) -> Vec<(PortSet, Blame)> {
    let asked = Asked { ledger, pair, ports };
    let (src, dst) = (pair.src, pair.dst);
    match (&cell.outcome, cell.spot) {
        (Outcome::Open | Outcome::OpenUnverified, _) => Vec::new(),
        (Outcome::IdentityMismatch { how }, spot) => asked.mismatched(*how, spot),
        (Outcome::Closed, _) => asked.all(Local::NoListener { node: dst }),
        (Outcome::Rejected { icmp, .. }, spot) => asked.rejected(*icmp, spot),
        (Outcome::FilteredForward, _) => asked.between(CauseKind::PathFilter, ""),
        (Outcome::Filtered | Outcome::FilteredReturn, Spot::SourceIn) => {
            asked.convict(src, Way::AnswerIn, Proof::Capture)
        }
        (Outcome::FilteredReturn, _) | (Outcome::Filtered, Spot::Return) => {
            asked.between(CauseKind::ReturnPathFilter, "")
        }
        (Outcome::Filtered, Spot::Forward) => asked.between(CauseKind::PathFilter, ""),
        (Outcome::Filtered, Spot::Destination) => asked.convict(dst, Way::In, Proof::Capture),
        (Outcome::Filtered, Spot::Unknown) => asked.somewhere(CauseKind::PathFilter, ""),
        (Outcome::Filtered, Spot::SourceOut) | (Outcome::LocalBlocked, _) => {
            asked.convict(src, Way::Out, Proof::Denied)
        }
        (Outcome::NoRoute, _) => asked.kept(&asked.routes(src, Setting::NoRoute).into()),
        (Outcome::NeighborUnresolved, _) => asked.kept(&Pattern::between(CauseKind::NotAdjacent, "").into()),
        (Outcome::Lossy { .. }, _) => asked.between(CauseKind::LossyPath, ""),
        (Outcome::Resource { errno }, _) => asked.all(Local::HostSetting {
            node: src,
            setting: Setting::Exhausted(*errno),
        }),
        (Outcome::NotMeasured(why), _) => asked.not_measured(*why),
    }
}

/// Failing ports of a pair.
#[derive(Clone, Copy)]
struct Asked<'a> {
    ledger: &'a Ledger<'a>,
    pair: &'a PairVerdict,
    ports: &'a PortSet,
}

impl Asked<'_> {
    fn all(&self, blame: impl Into<Blame>) -> Vec<(PortSet, Blame)> {
        vec![(self.ports.clone(), blame.into())]
    }

    fn between(&self, kind: CauseKind, how: &str) -> Vec<(PortSet, Blame)> {
        self.all(Pattern::between(kind, how))
    }

    fn routes(&self, node: NodeId, setting: Setting) -> Local {
        Local::Routes {
            node,
            family: self.pair.transport.0,
            setting,
        }
    }

    fn mismatched(&self, how: Mismatch, spot: Spot) -> Vec<(PortSet, Blame)> {
        let node = self.pair.dst;
        match (how, spot) {
            (Mismatch::OwnAddress { address }, _) => self.all(Local::HostSetting {
                node,
                setting: Setting::AnswersFrom(address),
            }),
            (Mismatch::ForeignAddress { .. }, _) => self.between(CauseKind::SourceNat, ""),
            (Mismatch::Unverified, _) => self.between(CauseKind::WrongResponder, ALTERED),
            (Mismatch::Unproven | Mismatch::Mute, Spot::Destination) => {
                self.all(Local::WrongResponder { node })
            }
            (Mismatch::Unproven | Mismatch::Mute, _) => {
                let log = self.ledger.node(node);
                match log.and_then(|log| log.translated_source(self.pair.transport, self.ports)) {
                    Some(_) => self.between(CauseKind::SourceNat, ""),
                    None => self.between(CauseKind::WrongResponder, ""),
                }
            }
        }
    }

    fn rejected(&self, icmp: Option<(u8, u8)>, spot: Spot) -> Vec<(PortSet, Blame)> {
        let how = icmp.map_or_else(|| "reset".to_owned(), said_in_ipv4);
        match spot {
            Spot::Destination => self.convict(self.pair.dst, Way::In, Proof::Rejection),
            Spot::Unknown => self.somewhere(CauseKind::PathReject, &how),
            _ => self.between(CauseKind::PathReject, &how),
        }
    }

    /// A place that no capture tells: a packet filter at either end that stops it is convicted, else it is between.
    fn somewhere(&self, kind: CauseKind, how: &str) -> Vec<(PortSet, Blame)> {
        let mut out = Vec::new();
        for (range, blame) in self.by_rule(self.ports, self.pair.dst, Way::In) {
            match blame {
                Some(blame) => out.push((range.into(), blame)),
                None => {
                    for (range, blame) in self.by_rule(&range.into(), self.pair.src, Way::Out) {
                        let blame = blame.unwrap_or_else(|| Pattern::between(kind, how).into());
                        out.push((range.into(), blame));
                    }
                }
            }
        }
        out
    }

    /// A question that its own host did not send, with an error that a rule of its packet filter may imitate.
    fn kept(&self, otherwise: &Blame) -> Vec<(PortSet, Blame)> {
        let node = self.pair.src;
        let asked = self.ask(self.ports, Way::Out).into_iter();
        asked
            .map(|(range, opinion)| match opinion {
                // What is dropped there gives another error, and without a route no filter is asked.
                Opinion::Stops(judgement) if matches!(*judgement, Judgement::Rejects { .. }) => {
                    (range.into(), stopped(node, Way::Out, Proof::Denied, &judgement))
                }
                _ => (range.into(), otherwise.clone()),
            })
            .collect()
    }

    /// A host on which captures or errors place the end of a packet: its packet filter is asked for a rule, and if it
    /// accepts, something else on the host is to blame.
    fn convict(&self, node: NodeId, way: Way, proof: Proof) -> Vec<(PortSet, Blame)> {
        let mut out = Vec::new();
        for (range, opinion) in self.ask(self.ports, way) {
            match (opinion, way) {
                (Opinion::Stops(judgement), _) => {
                    out.push((range.into(), stopped(node, way, proof, &judgement)))
                }
                // The question may pass and its answer not.
                (Opinion::Accepts, Way::In) => {
                    for (range, opinion) in self.ask(&range.into(), Way::AnswerOut) {
                        let blame = match opinion {
                            Opinion::Stops(judgement) => stopped(node, Way::AnswerOut, proof, &judgement),
                            opinion => self.unexplained(node, way, proof, &opinion),
                        };
                        out.push((range.into(), blame));
                    }
                }
                (opinion, _) => out.push((range.into(), self.unexplained(node, way, proof, &opinion))),
            }
        }
        out
    }

    /// The end of a packet at a host, of whose packet filter no rule stops it.
    fn unexplained(&self, node: NodeId, way: Way, proof: Proof, opinion: &Opinion) -> Blame {
        let setting = match (opinion, way) {
            (Opinion::Accepts, Way::Out) => return self.routes(node, Setting::NothingLeaves).into(),
            (Opinion::Accepts, Way::In | Way::AnswerOut) if proof == Proof::Capture => Setting::Unanswered,
            (Opinion::Accepts, Way::AnswerIn) => Setting::Unheard,
            _ => return Pattern::at(Place::Filter { node, way, proof }).into(),
        };
        Pattern::at(Place::Host { node, setting }).into()
    }

    fn ask(&self, ports: &PortSet, way: Way) -> Vec<(PortRange, Opinion)> {
        let key = (self.pair.src, self.pair.dst, self.pair.transport);
        let ranges = ports.ranges().iter();
        ranges
            .flat_map(|range| ask_range(self.ledger, key, *range, way))
            .collect()
    }

    /// Ranges with the rule of this node that stops them, if one does.
    fn by_rule(&self, ports: &PortSet, node: NodeId, way: Way) -> Vec<(PortRange, Option<Blame>)> {
        let asked = self.ask(ports, way).into_iter();
        asked
            .map(|(range, opinion)| match opinion {
                Opinion::Stops(judgement) => (range, Some(stopped(node, way, Proof::Capture, &judgement))),
                Opinion::Accepts | Opinion::None => (range, None),
            })
            .collect()
    }

    fn not_measured(&self, why: Why) -> Vec<(PortSet, Blame)> {
        let (ledger, pair) = (self.ledger, self.pair);
        let unmeasured = |node| Local::Unmeasured { why, node };
        match why {
            Why::NotArmed => self.not_armed(),
            Why::SourceLost if ledger.is_gone(pair.src) => self.all(Local::ProbeLost { node: pair.src }),
            Why::DestinationLost if ledger.is_gone(pair.dst) => self.all(Local::ProbeLost { node: pair.dst }),
            // Nobody misses it.
            Why::NoService => Vec::new(),
            Why::NoAddress => {
                let family = pair.transport.0;
                let lacks = |node: &NodeId| ledger.lacks_address(*node, family);
                match [pair.src, pair.dst].into_iter().find(lacks) {
                    Some(node) => self.all(Local::NoAddress { node, family }),
                    None => self.all(unmeasured(Some(pair.dst))),
                }
            }
            Why::LiveNode | Why::BusyUdp | Why::DestinationLost => self.all(unmeasured(Some(pair.dst))),
            Why::Policy | Why::Unreported | Why::SourceLost => self.all(unmeasured(Some(pair.src))),
            Why::Interrupted | Why::Unsupported => self.all(unmeasured(None)),
        }
    }

    fn not_armed(&self) -> Vec<(PortSet, Blame)> {
        let node = self.pair.dst;
        let mut out = Vec::new();
        let mut untold = self.ports.clone();
        let armed = self
            .ledger
            .node(node)
            .and_then(|log| log.armed(self.pair.transport));
        for (range, told) in armed.into_iter().flat_map(|map| map.runs()) {
            let Arm::Refused(failure) = told.what else {
                continue;
            };
            let refused = self.ports.intersection(&(*range).into());
            if refused.is_empty() {
                continue;
            }
            untold = untold.difference(&refused);
            let setting = |setting| Local::HostSetting { node, setting };
            let blame = match failure {
                BindFailure::Taken { process, pid } => {
                    out.extend(self.taken(refused, process.as_ref(), *pid));
                    continue;
                }
                BindFailure::Privilege => setting(Setting::Privilege),
                BindFailure::AddressMissing => setting(Setting::AddressMissing),
                BindFailure::OpenFiles => setting(Setting::OpenFiles),
                BindFailure::Policy => setting(Setting::Policy),
                BindFailure::Other { errno } => setting(Setting::Bind(*errno)),
                BindFailure::Live | BindFailure::Service { .. } | BindFailure::NoListener => {
                    Local::Unmeasured {
                        why: Why::LiveNode,
                        node: Some(node),
                    }
                }
            };
            out.push((refused, blame.into()));
        }
        if !untold.is_empty() {
            let blame = Local::Unmeasured {
                why: Why::NotArmed,
                node: Some(node),
            };
            out.push((untold, blame.into()));
        }
        out
    }

    /// A holder of which nobody knows the process may be another one on each port.
    fn taken(&self, ports: PortSet, process: Option<&String>, pid: Option<u32>) -> Vec<(PortSet, Blame)> {
        let taken = |alone| Local::PortTaken {
            node: self.pair.dst,
            process: process.cloned(),
            pid,
            alone,
        };
        match pid {
            Some(_) => vec![(ports, taken(None).into())],
            None => {
                let each = ports.iter();
                each.map(|port| {
                    (
                        PortSet::from_iter([port]),
                        taken(Some((self.pair.transport.1, port))).into(),
                    )
                })
                .collect()
            }
        }
    }
}

fn stopped(node: NodeId, way: Way, proof: Proof, judgement: &Judgement) -> Blame {
    match judgement.stopped_at() {
        Some(place) => Rule {
            node,
            place: place.clone(),
            way,
        }
        .into(),
        None => Pattern::at(Place::Filter { node, way, proof }).into(),
    }
}

/// What tells datagrams that the peer could not verify from connections that the peer never had.
pub(super) const ALTERED: &str = "altered";

/// The code by which a rule for both families says the same in IPv4 (nf_tables' `icmpx`), so that it is one way of failing.
fn said_in_ipv4((kind, code): (u8, u8)) -> String {
    let (kind, code) = match (kind, code) {
        (1, 0) => (3, 0),
        (1, 1) => (3, 13),
        (1, 3) => (3, 1),
        (1, 4) => (3, 3),
        other => other,
    };
    format!("ICMP {kind}/{code}")
}
