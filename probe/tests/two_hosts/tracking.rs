//! What tests leave behind in the connection tracking of their own host, as its probe tells the coordinator, which slows them
//! down where there is little room.

use plumbline_model::observation::Signal;
use plumbline_probe::facts;
use plumbline_sys::nft::{Action, Hook, Match, NewRule};

use crate::hosts::{Ends, Filter, Hosts, ask, only, rule, set, task};

/// A test without an answer stays in the table when it is over: that is what the coordinator reckons with.
pub(crate) fn what_silent_tests_leave_behind_in_connection_tracking_is_told(hosts: &Hosts, ends: Ends) {
    // A host tracks as soon as a rule asks for the state of connections.
    let tracked = NewRule {
        matches: vec![Match::NewConnection],
        action: Action::Count,
    };
    let _tracking = Filter::new(None, Hook::Output, &[tracked]);
    let _filter = hosts.filter_there(&[rule("30000-30199", Action::Drop)]);
    let table = || facts::gather().conntrack.expect("the host tracks connections");
    let before = table();
    let reach = only(ask(task(ends.answering, &set("30000-30199"))));
    assert_eq!(reach.signal, Signal::Silence);
    let after = table();
    assert_eq!(after.max, before.max);
    // Others of this host may have come and gone meanwhile, but hardly two hundred.
    let left_behind = after.count.saturating_sub(before.count);
    assert!((200..400).contains(&left_behind), "{before:?}, then {after:?}");
}
