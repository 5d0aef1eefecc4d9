//! SYS-006: connection tracking has room.

use crate::{
    assumption::{Explains, Pairs, Ruling, Scene, inspected::of_setting},
    cause::CauseKind,
    observation::HostSettings,
    report::check::Check,
};

/// Connection tracking has room.
pub(crate) const CHECK: Check = Check {
    id: "SYS-006",
    asserts: "less than seven tenths of the connections that a node can track are tracked when the run begins",
    how: "net.netfilter.nf_conntrack_count and nf_conntrack_max on each node",
    needs: "nothing",
    rule: "warns from 70 percent on, fails from 95 percent on, where new connections are about to be dropped; nodes that are a \
           part of a machine, which has one limit for all, are not judged",
    remedy: "sysctl -w net.netfilter.nf_conntrack_max=..., and find who opens so many: conntrack -L",
    source: "Linux nf_conntrack-sysctl.rst",
};

/// One ruling a node that tracks connections.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let name = scene.name(node);
        let used = used(host.what).filter(|_| scene.is_machine(node, host.what));
        let Some(Used { count, most, percent }) = used else {
            continue;
        };
        let said = format!("{name} tracks {count} of {most} connections");
        if percent < TIGHT_PERCENT {
            rulings.push(Ruling::pass(name, said));
            continue;
        }
        let is_full = percent >= FULL_PERCENT;
        let consequence = if is_full { ": new ones are dropped" } else { "" };
        let mut complaint = of_setting(
            node,
            host.line,
            format!("{said}, {percent} percent{consequence}"),
            "Raise the limit, and find who opens so many connections.",
            vec![
                format!("sysctl -w {MOST}={}", most.saturating_mul(2)),
                "conntrack -L | awk '{print $5}' | sort | uniq -c | sort -n | tail".to_owned(),
            ],
        );
        if is_full {
            complaint.explains = Explains {
                kinds: &[CauseKind::HostSetting],
                pairs: Pairs::Touching(vec![node]),
            };
        }
        rulings.push(if is_full {
            Ruling::fail(name, complaint)
        } else {
            Ruling::warn(name, complaint)
        });
    }
    rulings
}

struct Used {
    count: u64,
    most: u64,
    percent: u64,
}

fn used(host: &HostSettings) -> Option<Used> {
    let number = |name: &str| host.sysctls.get(name)?.parse::<u64>().ok();
    let (count, most) = (number(COUNT)?, number(MOST)?);
    // 0 is no limit.
    let percent = count.saturating_mul(100).checked_div(most)?;
    Some(Used { count, most, percent })
}

const COUNT: &str = "net.netfilter.nf_conntrack_count";
const MOST: &str = "net.netfilter.nf_conntrack_max";
const TIGHT_PERCENT: u64 = 70;
const FULL_PERCENT: u64 = 95;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_known_where_both_numbers_are_and_no_limit_is_never_full() {
        let of = |count: &str, most: &str| {
            let host = HostSettings {
                sysctls: [
                    (COUNT.to_owned(), count.to_owned()),
                    (MOST.to_owned(), most.to_owned()),
                ]
                .into(),
                ..HostSettings::default()
            };
            used(&host).map(|used| used.percent)
        };
        assert_eq!(of("70", "100"), Some(70));
        assert_eq!(of("262144", "262144"), Some(100));
        assert_eq!(of("5", "0"), None);
        assert_eq!(of("x", "100"), None);
        assert!(used(&HostSettings::default()).is_none());
    }
}
