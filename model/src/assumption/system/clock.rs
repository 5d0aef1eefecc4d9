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
        let standing = standing(&host.what.time_sources, host.what.machine.os.as_deref());
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
                start(unit),
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
    /// Nothing runs, and this unit is the one to start: of what is configured, or chrony's. Absent where it is not known by which
    /// name systemd has it.
    Idle(Option<&'static str>),
}

fn standing<'a>(sources: &'a [TimeSource], os: Option<&str>) -> Standing<'a> {
    // The kernel cuts names of programs after 15 octets.
    let is_timesyncd = |source: &TimeSource| source.program.starts_with("systemd-timesyn");
    let mut running = sources.iter().filter(|source| source.running);
    if let Some(other) = running.clone().find(|source| !is_timesyncd(source)) {
        return Standing::Untold(&other.program);
    }
    if running.next().is_some() {
        return Standing::Unserved;
    }
    Standing::Idle(unit(
        sources.first().map_or("chronyd", |source| &source.program),
        os,
    ))
}

/// The systemd unit of an NTP program. What a probe says is looked up and never repeated: the name of a unit goes into a command
/// for root.
fn unit(program: &str, os: Option<&str>) -> Option<&'static str> {
    // There chronyd is an alias, which systemctl enable refuses.
    let is_debian = matches!(os, Some("debian" | "ubuntu"));
    match program {
        "chronyd" if is_debian => Some("chrony"),
        "chronyd" => Some("chronyd"),
        // ntpd of Debian is ntp or ntpsec, by its release.
        "ntpd" if !is_debian => Some("ntpd"),
        "ntpsec" => Some("ntpsec"),
        "openntpd" => Some("openntpd"),
        _ if program.starts_with("systemd-timesyn") => Some("systemd-timesyncd"),
        _ => None,
    }
}

fn start(unit: Option<&str>) -> Vec<String> {
    let first = match unit {
        Some(unit) => format!("systemctl enable --now {unit}"),
        None => "systemctl list-unit-files '*ntp*' '*chrony*'".to_owned(),
    };
    vec![first, "timedatectl".to_owned()]
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
        let of = |sources: &[TimeSource]| format!("{:?}", standing(sources, None));
        assert_eq!(of(&[source("chronyd", true)]), "Untold(\"chronyd\")");
        assert_eq!(
            of(&[source("systemd-timesyn", true), source("ntpd", true)]),
            "Untold(\"ntpd\")"
        );
        assert_eq!(of(&[source("systemd-timesyn", true)]), "Unserved");
    }

    #[test]
    fn what_is_configured_is_to_be_started_and_never_a_second_program() {
        let of = |sources: &[TimeSource], os| match standing(sources, Some(os)) {
            Standing::Idle(unit) => unit,
            other => panic!("{other:?}"),
        };
        assert_eq!(of(&[], "rhel"), Some("chronyd"));
        assert_eq!(of(&[], "ubuntu"), Some("chrony"), "chronyd is an alias there");
        assert_eq!(
            of(&[source("systemd-timesyn", false)], "ubuntu"),
            Some("systemd-timesyncd")
        );
        assert_eq!(of(&[source("ntpd", false)], "rhel"), Some("ntpd"));
        assert_eq!(of(&[source("ntpd", false)], "debian"), None, "ntp or ntpsec");
    }

    #[test]
    fn a_unit_is_never_what_a_probe_calls_a_program() {
        for program in ["evil.service", "chronyd; reboot", "--root=/tmp"] {
            let sources = [source(program, false)];
            assert_eq!(standing(&sources, None), Standing::Idle(None), "{program}");
        }
        assert!(start(None).iter().all(|command| !command.contains("enable")));
    }
}
