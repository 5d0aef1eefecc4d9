//! Rules that decide by chance or by how much came before: the same packet passes at one time and not at another.

use super::{Expression, Place, Rule, Ruleset};

impl Ruleset {
    /// Whether any rule draws lots or counts.
    pub fn has_chance(&self) -> bool {
        let chains = self.tables.iter().flat_map(|table| &table.chains);
        chains.flat_map(|chain| &chain.rules).any(is_by_chance)
    }

    /// Whether the rule at a place draws lots or counts.
    pub fn is_by_chance(&self, place: &Place) -> bool {
        let mut tables = self.tables.iter();
        let table = tables.find(|table| table.family == place.family && table.name == place.table);
        let chain = table.and_then(|table| table.chain(&place.chain));
        let mut rules = chain.into_iter().flat_map(|chain| &chain.rules);
        rules.any(|rule| Some(rule.handle) == place.handle && is_by_chance(rule))
    }
}

fn is_by_chance(rule: &Rule) -> bool {
    rule.expressions.iter().any(|expression| match expression {
        Expression::Limit { .. }
        | Expression::Number { .. }
        | Expression::SetUpdate {
            conditional: true, ..
        } => true,
        Expression::XtMatch { name, .. } => XT_BY_CHANCE.contains(&name.as_str()),
        _ => false,
    })
}

/// Matches of iptables that draw lots or count packets or connections (iptables-extensions(8)).
const XT_BY_CHANCE: [&str; 7] = [
    "connlimit",
    "hashlimit",
    "limit",
    "quota",
    "rateest",
    "recent",
    "statistic",
];
