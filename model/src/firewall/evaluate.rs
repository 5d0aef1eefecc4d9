//! The walk of a packet through the chains.
//!
//! ```text
//! to a socket:     ingress -> prerouting -> input
//! from a socket:   output -> postrouting -> egress
//! through:         ingress -> prerouting -> forward -> postrouting -> egress
//! ```
//!
//! At each hook the base chains come in the order of their priority. A chain that accepts hands the packet to the next one; a
//! chain that drops ends its way.
//!
//! A rule that cannot be decided (a rate limit, a bit that nobody knows) forks the walk, unless its outcome changes nothing.
//! The walk is made again for every combination of such decisions, up to [`MAX_WALKS`]; if all of them end alike, that is the
//! judgement, and otherwise it is unknown, with the first decision that made a difference.

use super::{
    Chain, Hook, Judgement, Manager, Packet, Passage, Place, Policy, RejectKind, Rule, Ruleset, TableFamily,
    index::{Attached, Index, Names},
    load::Traveller,
    register::Registers,
    render,
};
use crate::port::{Family, Protocol};

mod effect;

use effect::{Effect, Step, apply, changes_the_way};

/// What becomes of a packet, and how many steps it took to find out.
pub(super) fn evaluate(index: &Index<'_>, packet: &Packet) -> (Judgement, usize) {
    let mut walks = Walks {
        index,
        packet,
        decisions: Vec::new(),
        steps: 0,
    };
    let judgement = walks.judge();
    (judgement, walks.steps)
}

/// Tables of the legacy iptables that may see packets of a family: all but those of the other one.
fn unread_tables(ruleset: &Ruleset, family: Family) -> Vec<&str> {
    let of_the_other = match family {
        Family::Ipv4 => "ip6 ",
        Family::Ipv6 => "ip ",
    };
    let tables = ruleset.legacy_tables.iter().map(String::as_str);
    tables.filter(|table| !table.starts_with(of_the_other)).collect()
}

/// Every combination of decisions, depth first.
struct Walks<'a> {
    index: &'a Index<'a>,
    packet: &'a Packet,
    decisions: Vec<Decision>,
    /// Rules looked at, over all walks.
    steps: usize,
}

/// An undecided rule that was taken to match or not.
#[derive(Debug, Clone)]
struct Decision {
    matches: bool,
    place: Place,
    why: String,
}

impl Walks<'_> {
    /// Walks until two walks end differently, or every combination is tried.
    fn judge(&mut self) -> Judgement {
        let first = self.walk();
        let mut before = first.clone();
        let mut walked = 1_usize;
        while self.next() {
            if walked == MAX_WALKS {
                return unknown(None, "too many rules depend on what is not known");
            }
            walked += 1;
            let changed = self.decisions.len() - 1;
            let outcome = self.walk();
            // Where everything stops the packet, the rule counts that stops it when no undecided condition holds: a reject with a
            // rate limit before a drop is a drop.
            let alike = before.accepts() && outcome.accepts()
                || before.stopped_at().is_some() && outcome.stopped_at().is_some();
            if !alike {
                let decision = self.decisions.get(changed);
                return match [before, outcome]
                    .into_iter()
                    .find(|judgement| matches!(judgement, Judgement::Unknown { .. }))
                {
                    Some(judgement) => judgement,
                    None => Judgement::Unknown {
                        place: decision.map(|decision| decision.place.clone()),
                        why: decision.map_or_else(String::new, |decision| decision.why.clone()),
                    },
                };
            }
            before = outcome;
        }
        let unread = unread_tables(self.index.ruleset, self.packet.family());
        if first.accepts() && !unread.is_empty() {
            return unknown(
                None,
                &format!("the legacy iptables ({}) were not read", unread.join(", ")),
            );
        }
        first
    }

    fn walk(&mut self) -> Judgement {
        let mut walk = Walk {
            traveller: Traveller::new(self.index.ruleset, self.packet),
            decisions: &mut self.decisions,
            decided: 0,
            steps: &mut self.steps,
        };
        match walk.way(self.index) {
            Ok(()) => Judgement::Accepts,
            Err(ended) => *ended,
        }
    }

    /// Turns the last decision that was "no" into "yes"; false once there is none.
    fn next(&mut self) -> bool {
        while let Some(mut last) = self.decisions.pop() {
            if !last.matches {
                last.matches = true;
                self.decisions.push(last);
                return true;
            }
        }
        false
    }
}

/// How a walk ended before its end.
type Ended = Box<Judgement>;

/// One walk.
struct Walk<'a, 'w> {
    traveller: Traveller<'a>,
    decisions: &'w mut Vec<Decision>,
    /// How many of `decisions` this walk has met.
    decided: usize,
    steps: &'w mut usize,
}

/// A chain under way: where it stands and how the packet came there, for [`Place`].
struct Trail<'a> {
    ruleset: &'a Ruleset,
    names: &'a Names<'a>,
    base: &'a Chain,
    /// Every chain that was entered since the base chain.
    entered: Vec<&'a str>,
}

impl<'a> Walk<'a, '_> {
    fn way(&mut self, index: &'a Index<'a>) -> Result<(), Ended> {
        for hook in hooks(&self.traveller.packet.passage) {
            for Attached { names, chain, base } in index.base_chains(*hook, self.traveller.packet) {
                *self.steps += 1;
                self.traveller.enter(*hook, base.priority);
                let mut trail = Trail {
                    ruleset: index.ruleset,
                    names,
                    base: chain,
                    entered: vec![&chain.name],
                };
                match self.chain(&mut trail, chain, 0)? {
                    Step::Accept => {}
                    _ if base.policy == Policy::Accept => {}
                    _ => {
                        return Err(Box::new(Judgement::Drops {
                            place: trail.place(chain, None),
                        }));
                    }
                }
            }
        }
        Ok(())
    }

    fn chain(&mut self, trail: &mut Trail<'a>, chain: &'a Chain, depth: usize) -> Result<Step<'a>, Ended> {
        if depth > MAX_DEPTH {
            return Err(ended(
                Some(trail.place(chain, None)),
                "its chains jump deeper than the kernel allows",
            ));
        }
        for rule in &chain.rules {
            let (target, comes_back) = match self.rule(trail, chain, rule)? {
                Step::Continue => continue,
                Step::Jump(name) => (name, true),
                Step::Goto(name) => (name, false),
                end @ (Step::Accept | Step::Return) => return Ok(end),
            };
            let Some(next) = trail.names.chain(target) else {
                return Err(ended(
                    Some(trail.place(chain, Some(rule))),
                    "it jumps to a chain that was not read",
                ));
            };
            trail.entered.push(&next.name);
            match self.chain(trail, next, depth + 1)? {
                Step::Accept => return Ok(Step::Accept),
                _ if comes_back => {}
                _ => return Ok(Step::Return),
            }
        }
        Ok(Step::Return)
    }

    fn rule(&mut self, trail: &Trail<'a>, chain: &'a Chain, rule: &'a Rule) -> Result<Step<'a>, Ended> {
        *self.steps += 1 + searched(trail.names, rule);
        if *self.steps > MAX_STEPS {
            return Err(ended(None, "it has too many rules"));
        }
        let mut registers = Registers::new();
        // Why it is not known whether the rule matches. That is decided only where the rule would do something.
        let mut undecided = None;
        for expression in &rule.expressions {
            let here = || trail.place(chain, Some(rule));
            if changes_the_way(expression)
                && let Some(why) = undecided.take()
                && !self.decide(here, why)
            {
                return Ok(Step::Continue);
            }
            match apply(expression, trail.names, &mut self.traveller, &mut registers) {
                Effect::Next => {}
                Effect::Break => return Ok(Step::Continue),
                Effect::Undecided(why) => undecided = undecided.or(Some(why)),
                Effect::Step(Step::Continue) => {}
                Effect::Step(step) => return Ok(step),
                Effect::Drop => return Err(Box::new(Judgement::Drops { place: here() })),
                Effect::Reject(kind) => return Err(Box::new(self.refuse(kind, here()))),
                Effect::Unknown(why) => return Err(ended(Some(here()), &why)),
            }
        }
        Ok(Step::Continue)
    }

    /// Whether an undecided rule is taken to match in this walk.
    fn decide(&mut self, place: impl FnOnce() -> Place, why: String) -> bool {
        let at = self.decided;
        self.decided += 1;
        match self.decisions.get(at) {
            Some(decision) => decision.matches,
            None => {
                self.decisions.push(Decision {
                    matches: false,
                    place: place(),
                    why,
                });
                false
            }
        }
    }

    /// A reset answers TCP only; for anything else the kernel drops the packet and sends nothing.
    fn refuse(&self, kind: RejectKind, place: Place) -> Judgement {
        if kind == RejectKind::TcpReset && self.traveller.packet.protocol != Protocol::Tcp {
            Judgement::Drops { place }
        } else {
            Judgement::Rejects { place, kind }
        }
    }
}

fn hooks(passage: &Passage) -> &'static [Hook] {
    match passage {
        Passage::Incoming { .. } => &[Hook::Ingress, Hook::Prerouting, Hook::Input],
        Passage::Outgoing { .. } => &[Hook::Output, Hook::Postrouting, Hook::Egress],
        Passage::Forwarded { .. } => &[
            Hook::Ingress,
            Hook::Prerouting,
            Hook::Forward,
            Hook::Postrouting,
            Hook::Egress,
        ],
    }
}

impl Trail<'_> {
    fn place(&self, chain: &Chain, rule: Option<&Rule>) -> Place {
        Place {
            family: self.names.table.family,
            table: self.names.table.name.clone(),
            chain: chain.name.clone(),
            handle: rule.map(|rule| rule.handle),
            rule: match rule {
                Some(rule) => render::rule(rule, self.names.table, self.ruleset),
                None => "policy drop".to_owned(),
            },
            manager: self.manager(chain),
        }
    }

    fn manager(&self, chain: &Chain) -> Manager {
        if self.names.table.name == "firewalld" {
            return Manager::Firewalld {
                zone: self.entered.iter().find_map(|name| zone(name)).map(str::to_owned),
            };
        }
        let is_iptables = matches!(self.names.table.family, TableFamily::Ip | TableFamily::Ip6)
            && IPTABLES_TABLES.contains(&self.names.table.name.as_str())
            && IPTABLES_CHAINS.contains(&self.base.name.as_str());
        if is_iptables {
            Manager::Iptables {
                chain: chain.name.clone(),
            }
        } else {
            Manager::Nftables
        }
    }
}

/// How many steps a rule is worth beyond its first: every element of the sets that it looks into is compared.
fn searched(names: &Names<'_>, rule: &Rule) -> usize {
    let sets = rule.expressions.iter().filter_map(|expression| match expression {
        super::Expression::Lookup { set, .. } => names.set(set),
        _ => None,
    });
    let elements: usize = sets.map(|set| set.elements.len()).sum();
    (elements + rule.expressions.len()) / PARTS_A_STEP
}

/// firewalld names the chains of zone `public` `filter_IN_public`, `filter_FWD_public` and so on, and those of a policy
/// `filter_IN_policy_NAME`. A zone's own chain is entered before its parts (`filter_IN_public_deny`).
fn zone(chain: &str) -> Option<&str> {
    let name = [
        "filter_IN_",
        "filter_FWD_",
        "filter_OUT_",
        "mangle_PRE_",
        "nat_PRE_",
        "nat_POST_",
    ]
    .iter()
    .find_map(|prefix| chain.strip_prefix(prefix))?;
    (!name.starts_with("policy_")).then_some(name)
}

fn unknown(place: Option<Place>, why: &str) -> Judgement {
    Judgement::Unknown {
        place,
        why: why.to_owned(),
    }
}

fn ended(place: Option<Place>, why: &str) -> Ended {
    Box::new(unknown(place, why))
}

/// Combinations of undecided rules that are tried. Six of them between a packet and its port are already unusual.
const MAX_WALKS: usize = 64;
/// Rules looked at for one packet, over all walks: ten times the largest ruleset that is carried.
const MAX_STEPS: usize = 100_000;
/// Expressions of a rule and elements of its sets that make a step: a set of the largest size that is kept may be looked into
/// some twenty times on a packet's way.
const PARTS_A_STEP: usize = 16;
/// The kernel's own limit is 16 (`NFT_JUMP_STACK_SIZE`); deeper means that the evidence is no ruleset.
const MAX_DEPTH: usize = 16;
/// What iptables-nft calls its tables.
const IPTABLES_TABLES: [&str; 5] = ["filter", "mangle", "nat", "raw", "security"];
/// What iptables-nft calls its base chains.
const IPTABLES_CHAINS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
