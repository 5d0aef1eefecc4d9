//! A host's packet filter.

use crate::{
    firewall::{Manager, Place},
    report::{Status, check},
    verdict::Way,
};

use super::{
    super::{
        CauseKind, Fix,
        blame::{Proof, Tests},
        filter::{By, FilterCase},
        fix::{look_at_filter, open_filter, said_list},
    },
    Teller, Told,
    swallowed::MAX_SAID_PARTS,
};

impl Teller<'_> {
    pub(super) fn host_firewall(&self, case: &FilterCase) -> Told {
        let (detail, fix) = match &case.by {
            By::Chance { places, is_firm } => return self.chance(case, places, *is_firm),
            By::Rules(places) => (self.said_rules(case, places), self.open(case, places)),
            By::Seen => (self.said_seen(case), self.look(case)),
        };
        Told {
            check: check::REACH_TCP.id,
            kind: CauseKind::HostFirewall,
            node: Some(case.node),
            detail,
            fix,
            most: Status::Fail,
        }
    }

    /// What a packet filter stops, by the way through it.
    fn stopped(&self, way: Way, tests: &Tests) -> String {
        let ports = self.ports(tests);
        match way {
            Way::In => format!("{ports} from {}", self.side(&tests.sources(), tests)),
            Way::Out => format!(
                "its own questions to {ports} of {}",
                self.side(&tests.destinations(), tests)
            ),
            Way::AnswerOut => format!(
                "its answers from {ports} to {}",
                self.side(&tests.sources(), tests)
            ),
            Way::AnswerIn => format!(
                "answers from {ports} of {}",
                self.side(&tests.destinations(), tests)
            ),
        }
    }

    fn said_rules(&self, case: &FilterCase, places: &[Place]) -> String {
        let name = self.name(case.node);
        let count = self.count(&case.tests);
        let by: Vec<String> = places.iter().map(ToString::to_string).collect();
        let by = said_list(&by, by.len());
        if let ([place], Some(Way::In)) = (places, case.only_way())
            && let Manager::Firewalld { zone: Some(zone) } = &place.manager
        {
            let ports = self.ports(&case.tests);
            return format!("firewalld zone {zone} on {name} lacks {ports}: {count} stopped by {place}");
        }
        let what: Vec<String> = case
            .parts
            .iter()
            .map(|part| self.stopped(part.way, &part.tests))
            .collect();
        format!(
            "the packet filter of {name} stops {}: {count}, by {by}",
            said_list(&what, MAX_SAID_PARTS)
        )
    }

    fn said_seen(&self, case: &FilterCase) -> String {
        let name = self.name(case.node);
        let count = self.count(&case.tests);
        let what: Vec<String> = case
            .parts
            .iter()
            .map(|part| {
                let what = self.stopped(part.way, &part.tests);
                match (part.way, part.proof) {
                    (Way::Out, _) => format!("{name} does not let {what} out"),
                    (_, Proof::Rejection) => format!("{name} itself rejects {what}"),
                    (Way::AnswerIn, _) => format!("{what} reach {name}, by its capture, and get no further"),
                    (Way::In | Way::AnswerOut, _) => {
                        format!("{what} reaches {name}, by its capture, and no answer leaves")
                    }
                }
            })
            .collect();
        let unread = case
            .parts
            .first()
            .map_or_else(String::new, |part| self.unread(case.node, part.way, &part.tests));
        format!("{}: {count}; {unread}", said_list(&what, MAX_SAID_PARTS))
    }

    fn open(&self, case: &FilterCase, places: &[Place]) -> Fix {
        let mut fix: Option<Fix> = None;
        for place in places {
            for part in &case.parts {
                let more = open_filter(
                    self.plan,
                    self.ledger,
                    place,
                    part.way,
                    &part.tests,
                    self.is_live(case.node),
                );
                match &mut fix {
                    None => fix = Some(more),
                    Some(fix) => {
                        let new = more
                            .commands
                            .into_iter()
                            .filter(|command| !fix.commands.contains(command));
                        let new: Vec<String> = new.collect();
                        fix.commands.extend(new);
                    }
                }
            }
        }
        fix.unwrap_or_else(|| self.look(case))
    }

    fn look(&self, case: &FilterCase) -> Fix {
        let is_in = case.only_way() == Some(Way::In);
        let interface = self.firewalld_interface(case.node).filter(|_| is_in);
        let (was_read, wants_privilege) = (self.ruleset(case.node), self.may_not_read(case.node));
        look_at_filter(self.plan, interface, was_read, wants_privilege, &case.tests)
    }
}
