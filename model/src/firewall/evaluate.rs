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
    Base, Bitwise, Chain, Expression, Hook, Judgement, Manager, Packet, Passage, Place, Policy, RejectKind,
    RejectWith, Rule, Ruleset, Table, TableFamily, Verdict,
    expression::NatKind,
    load::{Loaded, Traveller},
    register::{Registers, Truth, compare, known, within},
    render,
    sets::Found,
    xt,
};
use crate::port::{Family, Protocol};

pub(super) fn evaluate(ruleset: &Ruleset, packet: &Packet) -> Judgement {
    let mut walks = Walks {
        ruleset,
        packet,
        decisions: Vec::new(),
        steps: 0,
    };
    let first = walks.walk();
    let mut before = first.clone();
    let mut walked = 1_usize;
    while walks.next() {
        if walked == MAX_WALKS {
            return unknown(None, "too many rules depend on what is not known");
        }
        walked += 1;
        let changed = walks.decisions.len() - 1;
        let outcome = walks.walk();
        // Where everything stops the packet, the rule counts that stops it when no undecided condition holds: a reject with a
        // rate limit before a drop is a drop.
        let alike = before.accepts() && outcome.accepts()
            || before.stopped_at().is_some() && outcome.stopped_at().is_some();
        if !alike {
            let decision = walks.decisions.get(changed);
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
    if first.accepts() && !ruleset.legacy_tables.is_empty() {
        return unknown(
            None,
            &format!(
                "the legacy iptables ({}) were not read",
                ruleset.legacy_tables.join(", ")
            ),
        );
    }
    first
}

/// Every combination of decisions, depth first.
struct Walks<'a> {
    ruleset: &'a Ruleset,
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
    fn walk(&mut self) -> Judgement {
        let mut walk = Walk {
            traveller: Traveller::new(self.ruleset, self.packet),
            decisions: &mut self.decisions,
            decided: 0,
            steps: &mut self.steps,
        };
        match walk.way(self.ruleset) {
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
    table: &'a Table,
    base: &'a Chain,
    /// Every chain that was entered since the base chain.
    entered: Vec<&'a str>,
}

/// How a rule or a chain ends.
enum Step<'a> {
    /// The next rule.
    Continue,
    /// The next base chain.
    Accept,
    /// Back to the caller.
    Return,
    Jump(&'a str),
    Goto(&'a str),
}

impl<'a> Walk<'a, '_> {
    fn way(&mut self, ruleset: &'a Ruleset) -> Result<(), Ended> {
        for hook in hooks(&self.traveller.packet.passage) {
            for (table, chain, base) in base_chains(ruleset, *hook, self.traveller.packet) {
                self.traveller.enter(*hook, base.priority);
                let mut trail = Trail {
                    ruleset,
                    table,
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
            let Some(next) = trail.table.chain(target) else {
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
        *self.steps += 1;
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
            match self.expression(expression, trail, &mut registers) {
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

    fn expression(
        &mut self,
        expression: &'a Expression,
        trail: &Trail<'a>,
        registers: &mut Registers,
    ) -> Effect<'a> {
        match expression {
            Expression::Meta { key, to } => registers.store(*to, &self.traveller.meta(*key)),
            Expression::MetaSet { key: META_MARK, from } => self.traveller.set_mark(registers.load(*from, 4)),
            Expression::Payload {
                base,
                offset,
                length,
                to,
            } => {
                registers.store(*to, &self.traveller.payload(*base, *offset, *length));
            }
            Expression::PayloadSet { base, offset, length } => {
                self.traveller.forget_payload(*base, *offset, *length);
            }
            Expression::Compare { from, op, data } => {
                return Effect::of(
                    compare(&registers.load(*from, data.0.len()), *op, &data.0),
                    expression,
                );
            }
            Expression::Range {
                from,
                inverted,
                first,
                last,
            } => {
                let cells = registers.load(*from, first.0.len());
                return Effect::of(within(&cells, &first.0, &last.0).invert_if(*inverted), expression);
            }
            Expression::Bitwise {
                from,
                to,
                length,
                operation: Bitwise::MaskXor { mask, xor },
            } => {
                registers.mask_xor(*from, *to, octets(*length), &mask.0, &xor.0);
            }
            Expression::Bitwise {
                to,
                operation: Bitwise::Other,
                ..
            }
            | Expression::Number { to, .. } => {
                registers.forget(*to);
            }
            Expression::Byteorder {
                from,
                to,
                length,
                size,
            } => {
                registers.swap(*from, *to, octets(*length), octets(*size));
            }
            Expression::Lookup {
                set,
                from,
                to,
                inverted,
            } => {
                return lookup(trail.table, set, *from, *to, *inverted, registers);
            }
            Expression::Immediate { to, data } => registers.store(*to, &known(&data.0)),
            Expression::Verdict { verdict } => return Effect::verdict(verdict),
            Expression::Ct { key, direction, to } => match self.traveller.connection(*key, *direction) {
                Loaded::Value(cells) => registers.store(*to, &cells),
                Loaded::Nothing => return Effect::Break,
            },
            Expression::CtSet { .. } => self.traveller.forget_connection(),
            Expression::Notrack => self.traveller.notrack(),
            Expression::Fib { to, result, flags } => {
                registers.store(*to, &self.traveller.route(*result, *flags))
            }
            Expression::Reject { with } => {
                return Effect::Reject(reject_kind(*with, self.traveller.packet.family()));
            }
            Expression::Limit { name } => {
                return Effect::Undecided(format!("`{name}` depends on other traffic"));
            }
            Expression::SetUpdate {
                conditional: true,
                set,
            } => {
                return Effect::Undecided(format!("the meter {set} depends on other traffic"));
            }
            Expression::Object { object, name } => return named_object(*object, name),
            Expression::Nat {
                kind: NatKind::Source,
            } => return Effect::Step(Step::Accept),
            Expression::Nat {
                kind: NatKind::Destination,
            } => return elsewhere(),
            Expression::Queue => return Effect::Unknown("a program decides (queue)".to_owned()),
            Expression::XtMatch { name, revision, info } => {
                let context = xt::Context {
                    packet: self.traveller.packet,
                    mark: &self.traveller.mark,
                    state: self.traveller.connection_state(),
                };
                return Effect::of(xt::matches(name, *revision, &info.0, context), expression);
            }
            Expression::XtTarget { name, revision, info } => return self.target(name, *revision, &info.0),
            Expression::Other { name } if LOADERS.contains(&name.as_str()) => {
                registers.forget_all();
                return Effect::Undecided(format!("`{name}` is not read"));
            }
            Expression::Other { name } => return Effect::Unknown(format!("`{name}` is not known")),
            Expression::MetaSet { .. }
            | Expression::SetUpdate {
                conditional: false, ..
            }
            | Expression::Counter { .. }
            | Expression::Log
            | Expression::Aside { .. } => {}
        }
        Effect::Next
    }

    fn target(&mut self, name: &str, revision: u32, info: &[u8]) -> Effect<'a> {
        match xt::target(name, revision, info, self.traveller.packet.family()) {
            xt::Target::Continue => {}
            xt::Target::Reject(kind) => return Effect::Reject(kind),
            xt::Target::SourceNat => return Effect::Step(Step::Accept),
            xt::Target::DestinationNat => return elsewhere(),
            xt::Target::Notrack => self.traveller.notrack(),
            xt::Target::Mark { value, mask } => {
                let mut registers = Registers::new();
                registers.store(1, &self.traveller.mark);
                registers.mask_xor(1, 1, 4, &(!mask).to_le_bytes(), &value.to_le_bytes());
                self.traveller.set_mark(registers.load(1, 4));
            }
            xt::Target::UnknownMark => {
                self.traveller.set_mark(Registers::new().load(1, 4));
                self.traveller.forget_connection();
            }
            xt::Target::Unknown => {
                return Effect::Unknown(format!("the iptables target {name} is not known"));
            }
        }
        Effect::Next
    }
}

/// What an expression does.
enum Effect<'a> {
    /// The next expression.
    Next,
    /// The rule does not match.
    Break,
    /// The rule matches or not, with the reason why that is not known.
    Undecided(String),
    Step(Step<'a>),
    Drop,
    Reject(RejectKind),
    /// What becomes of the packet is not known.
    Unknown(String),
}

impl<'a> Effect<'a> {
    fn of(truth: Truth, expression: &Expression) -> Self {
        match truth {
            Truth::Yes => Self::Next,
            Truth::No => Self::Break,
            Truth::Maybe => Self::Undecided(match expression {
                Expression::XtMatch { name, .. } => {
                    format!("the iptables match `{name}` is not decided by what is known")
                }
                _ => "it asks for something about the packet that is not known".to_owned(),
            }),
        }
    }

    fn verdict(verdict: &'a Verdict) -> Self {
        match verdict {
            Verdict::Accept => Self::Step(Step::Accept),
            Verdict::Drop => Self::Drop,
            Verdict::Queue => Self::Unknown("a program decides (queue)".to_owned()),
            Verdict::Continue => Self::Step(Step::Continue),
            Verdict::Return => Self::Step(Step::Return),
            Verdict::Jump { chain } => Self::Step(Step::Jump(chain)),
            Verdict::Goto { chain } => Self::Step(Step::Goto(chain)),
        }
    }
}

fn lookup<'a>(
    table: &'a Table,
    name: &str,
    from: u32,
    to: Option<u32>,
    inverted: bool,
    registers: &mut Registers,
) -> Effect<'a> {
    let Some(set) = table.set(name) else {
        return Effect::Unknown(format!("the set {name} was not read"));
    };
    match (set.lookup(&registers.load(from, set.key_bytes())), to) {
        (Found::Nothing, _) => Effect::of(Truth::from(inverted), &Expression::Log),
        (Found::Element(element), Some(REGISTER_VERDICT)) => match &element.verdict {
            Some(verdict) => Effect::verdict(verdict),
            None => Effect::Unknown(format!("the map {name} gives no verdict")),
        },
        (Found::Element(element), Some(register)) => {
            match &element.data {
                Some(data) => registers.store(register, &known(&data.0)),
                None => registers.forget(register),
            }
            Effect::Next
        }
        (Found::Element(_), None) => Effect::of(Truth::from(!inverted), &Expression::Log),
        (Found::Unclear, Some(REGISTER_VERDICT)) => Effect::Unknown(format!(
            "which element of the map {name} is chosen depends on what is not known"
        )),
        (Found::Unclear, register) => {
            if let Some(register) = register {
                registers.forget(register);
            }
            Effect::Undecided(format!(
                "whether the set {name} holds it depends on what is not known"
            ))
        }
    }
}

fn named_object<'a>(object: u32, name: &str) -> Effect<'a> {
    match object {
        // Counter, connection tracking helper, timeout, security mark, expectation: nothing is decided by them.
        1 | 3 | 7 | 8 | 9 => Effect::Next,
        // Quota, limit, limit of connections, or one that a map chooses.
        0 | 2 | 4 | 5 => Effect::Undecided(format!("the named limit {name} depends on other traffic")),
        _ => Effect::Unknown(format!("the object {name} is not known")),
    }
}

fn elsewhere<'a>() -> Effect<'a> {
    Effect::Unknown("it sends the packet to another destination".to_owned())
}

fn reject_kind(with: RejectWith, family: Family) -> RejectKind {
    let icmp_type = match family {
        Family::Ipv4 => 3,
        Family::Ipv6 => 1,
    };
    match with {
        RejectWith::TcpReset => RejectKind::TcpReset,
        RejectWith::Icmp { code } => RejectKind::Icmp { icmp_type, code },
        RejectWith::Icmpx { code } => RejectKind::Icmp {
            icmp_type,
            code: match (family, code) {
                (Family::Ipv4, 1) => 3,
                (Family::Ipv4, 2) => 1,
                (Family::Ipv4, 3) => 13,
                (Family::Ipv6, 1) => 4,
                (Family::Ipv6, 2) => 3,
                (Family::Ipv6, 3) => 1,
                (_, _) => 0,
            },
        },
    }
}

/// Whether it matters that a rule gets this far.
fn changes_the_way(expression: &Expression) -> bool {
    match expression {
        Expression::Verdict { verdict } => *verdict != Verdict::Continue,
        Expression::Lookup { to, .. } => *to == Some(REGISTER_VERDICT),
        Expression::XtTarget { name, revision, info } => !matches!(
            xt::target(name, *revision, &info.0, Family::Ipv4),
            xt::Target::Continue
        ),
        Expression::MetaSet { .. }
        | Expression::PayloadSet { .. }
        | Expression::CtSet { .. }
        | Expression::Notrack
        | Expression::Reject { .. }
        | Expression::Nat { .. }
        | Expression::Queue => true,
        Expression::Other { name } => !LOADERS.contains(&name.as_str()),
        _ => false,
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

/// The base chains at a hook that see this packet, in the kernel's order: by priority, and of the same priority the one that
/// was made last comes first.
fn base_chains<'a>(
    ruleset: &'a Ruleset,
    hook: Hook,
    packet: &Packet,
) -> Vec<(&'a Table, &'a Chain, &'a Base)> {
    let device = match (&packet.passage, hook) {
        (Passage::Incoming { interface }, _) | (Passage::Outgoing { interface }, _) => interface,
        (Passage::Forwarded { from, .. }, Hook::Ingress) => from,
        (Passage::Forwarded { to, .. }, _) => to,
    };
    let family = packet.family();
    let sees = |table: &Table| match table.family {
        TableFamily::Inet => true,
        TableFamily::Ip => family == Family::Ipv4,
        TableFamily::Ip6 => family == Family::Ipv6,
        TableFamily::Netdev => matches!(hook, Hook::Ingress | Hook::Egress),
        TableFamily::Arp | TableFamily::Bridge => false,
    };
    let mut chains: Vec<_> = ruleset
        .tables
        .iter()
        .filter(|table| !table.dormant && sees(table))
        .flat_map(|table| table.chains.iter().map(move |chain| (table, chain)))
        .filter_map(|(table, chain)| Some((table, chain, chain.base.as_ref()?)))
        .filter(|(_, _, base)| {
            base.hook == hook && (base.devices.is_empty() || base.devices.contains(device))
        })
        // Translation looks at the first packet of a connection only.
        .filter(|(_, _, base)| base.kind != "nat" || packet.connection == super::Connection::New)
        .collect();
    chains.reverse();
    chains.sort_by_key(|(_, _, base)| base.priority);
    chains
}

impl Trail<'_> {
    fn place(&self, chain: &Chain, rule: Option<&Rule>) -> Place {
        Place {
            family: self.table.family,
            table: self.table.name.clone(),
            chain: chain.name.clone(),
            handle: rule.map(|rule| rule.handle),
            rule: match rule {
                Some(rule) => render::rule(rule, self.table, self.ruleset),
                None => "policy drop".to_owned(),
            },
            manager: self.manager(chain),
        }
    }

    fn manager(&self, chain: &Chain) -> Manager {
        if self.table.name == "firewalld" {
            return Manager::Firewalld {
                zone: self.entered.iter().find_map(|name| zone(name)).map(str::to_owned),
            };
        }
        let is_iptables = matches!(self.table.family, TableFamily::Ip | TableFamily::Ip6)
            && IPTABLES_TABLES.contains(&self.table.name.as_str())
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

fn octets(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
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
/// The kernel's own limit is 16 (`NFT_JUMP_STACK_SIZE`); deeper means that the evidence is no ruleset.
const MAX_DEPTH: usize = 16;
/// The register that holds the verdict.
const REGISTER_VERDICT: u32 = 0;
/// `NFT_META_MARK`.
const META_MARK: u32 = 3;
/// Expressions that only load something: a rule with them can match or not, but they do nothing to the packet.
const LOADERS: [&str; 8] = ["exthdr", "hash", "inner", "osf", "rt", "socket", "tunnel", "xfrm"];
/// What iptables-nft calls its tables.
const IPTABLES_TABLES: [&str; 5] = ["filter", "mangle", "nat", "raw", "security"];
/// What iptables-nft calls its base chains.
const IPTABLES_CHAINS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
