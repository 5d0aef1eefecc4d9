//! TIME-002: the kernel's clock is kept in step.

use crate::{
    assumption::{Lack, Ruling, Scene, inspected::of_setting},
    observation::TimeSource,
    report::check::Check,
};

/// The kernel's clock is kept in step.
pub(crate) const CHECK: Check = Check {
    id: "TIME-002",
    asserts: "a program keeps the kernel's clock in step with others",
    how: "adjtimex(2) on each node, and the configurations of chronyd, ntpd and systemd-timesyncd; nothing is sent or set",
    needs: "nothing",
    rule: "warns if the kernel says STA_UNSYNC and no NTP program runs, or systemd-timesyncd; chronyd without rtcsync and some \
           ntpd never tell the kernel, which is not measured, and whether such a clock is right TIME-001 tells; not judged of \
           nodes that share a kernel, and so a clock, with another",
    remedy: "start one NTP program, and give it a server that the node reaches",
    source: "adjtimex(2); certificates and etcd leases depend on clocks",
};

/// One ruling a node whose clock told.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let name = scene.name(node);
        let Some(clock) = host.what.clock.filter(|_| scene.is_machine(node, host.what)) else {
            continue;
        };
        if clock.synchronised {
            let detail = format!(
                "the clock of {name} is in step, to {} us at worst",
                clock.max_error_us
            );
            rulings.push(Ruling::pass(name, detail));
            continue;
        }
        let standing = standing(&host.what.time_sources);
        if let Standing::Untold(program) = standing {
            let why = format!(
                "{program} runs on {name} and has not told the kernel that the clock is in step, as is its way without rtcsync; \
                 whether the clock is right TIME-001 tells"
            );
            rulings.push(Ruling::not_measured(name, Lack::ToldElsewhere(why)));
            continue;
        }
        let (why, text, commands) = match standing {
            Standing::Idle(unit) => (
                "no NTP program runs",
                "Start an NTP program, one alone, with a server that this node reaches.",
                vec![format!("systemctl enable --now {unit}"), "timedatectl".to_owned()],
            ),
            Standing::Untold(_) | Standing::Unserved => (
                "though systemd-timesyncd runs",
                "Give systemd-timesyncd a server that this node reaches.",
                vec![
                    "timedatectl timesync-status".to_owned(),
                    "systemctl restart systemd-timesyncd".to_owned(),
                ],
            ),
        };
        let detail = format!("nothing keeps the clock of {name} in step (STA_UNSYNC): {why}");
        rulings.push(Ruling::warn(
            name,
            of_setting(node, host.line, detail, text, commands),
        ));
    }
    rulings
}

/// What a clock that is not in step comes to.
#[derive(Debug, PartialEq, Eq)]
enum Standing<'a> {
    /// A program runs that need not tell the kernel.
    Untold(&'a str),
    /// systemd-timesyncd runs, which tells the kernel as soon as a server has answered.
    Unserved,
    /// Nothing runs, and this unit is the one to start: of what is configured, or chronyd.
    Idle(&'a str),
}

fn standing(sources: &[TimeSource]) -> Standing<'_> {
    // The kernel cuts names of programs after 15 octets.
    let is_timesyncd = |source: &TimeSource| source.program.starts_with("systemd-timesyn");
    let mut running = sources.iter().filter(|source| source.running);
    if let Some(other) = running.clone().find(|source| !is_timesyncd(source)) {
        return Standing::Untold(&other.program);
    }
    if running.next().is_some() {
        return Standing::Unserved;
    }
    Standing::Idle(match sources.first() {
        Some(source) if is_timesyncd(source) => "systemd-timesyncd",
        Some(source) => &source.program,
        None => "chronyd",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(program: &str, running: bool) -> TimeSource {
        TimeSource {
            program: program.to_owned(),
            running,
            servers: Vec::new(),
        }
    }

    #[test]
    fn a_program_that_runs_and_need_not_tell_the_kernel_is_not_judged() {
        let of = |sources: &[TimeSource]| format!("{:?}", standing(sources));
        assert_eq!(of(&[source("chronyd", true)]), "Untold(\"chronyd\")");
        assert_eq!(
            of(&[source("systemd-timesyn", true), source("ntpd", true)]),
            "Untold(\"ntpd\")"
        );
        assert_eq!(of(&[source("systemd-timesyn", true)]), "Unserved");
    }

    #[test]
    fn what_is_configured_is_to_be_started_and_never_a_second_program() {
        let of = |sources: &[TimeSource]| format!("{:?}", standing(sources));
        assert_eq!(of(&[]), "Idle(\"chronyd\")");
        assert_eq!(
            of(&[source("systemd-timesyn", false)]),
            "Idle(\"systemd-timesyncd\")"
        );
        assert_eq!(of(&[source("ntpd", false)]), "Idle(\"ntpd\")");
    }
}
