//! TIME-002: the kernel's clock is kept in step.

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    report::check::Check,
};

/// The kernel's clock is kept in step.
pub(crate) const CHECK: Check = Check {
    id: "TIME-002",
    asserts: "a program keeps the kernel's clock in step with others",
    how: "adjtimex(2) on each node, and the configurations of chronyd, ntpd and systemd-timesyncd; nothing is sent or set",
    needs: "nothing",
    rule: "warns if the kernel says STA_UNSYNC; not judged of nodes that share a kernel, and so a clock, with another",
    remedy: "give chronyd a server that the node reaches: chronyc sources, systemctl enable --now chronyd",
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
        let runs: Vec<&str> = host
            .what
            .time_sources
            .iter()
            .filter(|source| source.running)
            .map(|source| source.program.as_str())
            .collect();
        let why = match runs.as_slice() {
            [] => "no NTP program runs".to_owned(),
            programs => format!("though {} runs", programs.join(" and ")),
        };
        let complaint = of_setting(
            node,
            host.line,
            format!("nothing keeps the clock of {name} in step (STA_UNSYNC): {why}"),
            "Give the NTP program a server that this node reaches.",
            vec![
                "chronyc sources".to_owned(),
                "systemctl enable --now chronyd".to_owned(),
                "chronyc tracking".to_owned(),
            ],
        );
        rulings.push(Ruling::warn(name, complaint));
    }
    rulings
}
