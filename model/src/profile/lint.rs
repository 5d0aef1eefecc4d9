//! What is readable in a profile and yet deserves a look.

use crate::{
    source::{Complaints, Place, SourceText},
    yaml::{self, fields::At},
};

/// Where a rule stands in a text.
pub(super) fn place_of(source: &SourceText, rule: &str) -> Place {
    let mut unheard = Complaints::about(source);
    let documents = yaml::documents(source, &mut unheard).unwrap_or_default();
    let find = |document| {
        let mut fields = At::document(document).fields(&mut unheard)?;
        let rules = fields.optional("rules")?.items(&mut unheard);
        rules
            .iter()
            .find(|item| {
                let id = item
                    .fields(&mut unheard)
                    .and_then(|mut fields| fields.optional("id")?.text(&mut unheard));
                id.is_some_and(|id| id.value == rule)
            })
            .map(At::place)
    };
    documents.first().and_then(find).unwrap_or(Place::START)
}
