//! Packets that end on a host whose packet filter is not to blame.

use crate::{
    id::NodeId,
    port::Family,
    report::{Status, check},
    sysctl::of_interface,
};

use super::{
    super::{
        CauseKind,
        blame::{Setting, Tests},
        counted::Counted,
        filter::{HostCase, OwnQuestions},
        fix::said_list,
    },
    Teller, Told,
    setting::Said,
};

impl Teller<'_> {
    /// Packets that a capture saw arrive, that the packet filter accepts, and that get no further.
    pub(super) fn swallowed(&self, case: &HostCase) -> Told {
        let (node, tests) = (case.node, &case.tests);
        let (name, count) = (self.name(node), self.count(tests));
        let what: Vec<String> = case
            .parts
            .iter()
            .map(|part| match case.setting {
                Setting::Unheard => format!(
                    "{} of {}",
                    self.ports(part),
                    self.side(&part.destinations(), part)
                ),
                _ => format!("{} from {}", self.ports(part), self.side(&part.sources(), part)),
            })
            .collect();
        let what = said_list(&what, MAX_SAID_PARTS);
        // Counters convict also where nobody could read the packet filter.
        let accepts = match case.counted {
            Some(_) => "",
            None => " its packet filter accepts them,",
        };
        let detail = match case.setting {
            Setting::Unheard => format!(
                "answers from {what} reach {name}, by its capture,{accepts} and they get no further: {count}"
            ),
            Setting::Overrun => format!("some attempts at {what} were answered and some were not: {count}"),
            _ => format!(
                "questions to {what} reach {name}, by its capture,{accepts} and no answer leaves: {count}"
            ),
        };
        let astray = match case.own_questions {
            OwnQuestions::Unconcerned => "",
            OwnQuestions::Astray => ", and its own questions to them do not arrive",
            OwnQuestions::Kept => ", and not all of its own questions leave",
        };
        let detail = detail + astray;
        if let Some(counted) = case.counted {
            let mut said = self.dropped_by_count(node, detail, counted, tests);
            if case.setting == Setting::Overrun {
                said.most = Status::Warn;
            }
            return said.of(node);
        }
        let said = Said {
            kind: CauseKind::HostSetting,
            most: Status::Fail,
            check: check::REACH_TCP.id,
            detail,
            text: "The kernel drops them after the capture, or has no way back: look at the route to the peers, reverse path \
                   filtering, the connection tracking table and listen queues.",
            commands: vec![
                format!("{} route get {}", self.ip(tests), self.a_peer(node, tests)),
                "sysctl -a | grep -w rp_filter".to_owned(),
                "nstat -az TcpExtListenDrops TcpExtListenOverflows TcpExtIPReversePathFilter".to_owned(),
                "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max".to_owned(),
            ],
        };
        said.of(node)
    }

    /// What a kernel's counters convict: `detail` says of what.
    pub(super) fn dropped_by_count(
        &self,
        node: NodeId,
        detail: String,
        counted: Counted,
        tests: &Tests,
    ) -> Said {
        let (kind, why, text, commands) = match counted {
            Counted::ReversePath { packets } => {
                let interface = self.data_interface(node).unwrap_or("all");
                (
                    CauseKind::HostSetting,
                    format!(
                        "reverse path filtering dropped {packets} packets meanwhile (TcpExt.IPReversePathFilter)"
                    ),
                    "The way back to these peers leads through another interface than their packets come by. Give the data \
                     interface the route back, or let reverse path filtering be loose there, also in /etc/sysctl.d.",
                    vec![
                        format!("ip route get {}", self.a_peer(node, tests)),
                        "sysctl -a | grep -F .rp_filter".to_owned(),
                        format!(
                            "sysctl -w {}=2",
                            of_interface(Family::Ipv4, interface, "rp_filter")
                        ),
                    ],
                )
            }
            Counted::ListenQueue { connections } => (
                CauseKind::Capacity,
                format!("a full queue turned away {connections} connections meanwhile (TcpExt.ListenDrops)"),
                "Raise the limits on waiting connections, also in /etc/sysctl.d, and see who is slow to accept.",
                vec![
                    "ss -H -l -n -t".to_owned(),
                    format!("sysctl -w net.core.somaxconn={QUEUE}"),
                    format!("sysctl -w net.ipv4.tcp_max_syn_backlog={QUEUE}"),
                ],
            ),
            Counted::TableFull { packets, max } => {
                let limit = max.map_or_else(String::new, |max| format!(" of {max} entries"));
                let raised = max.unwrap_or(LEAST_TABLE).saturating_mul(2).max(LEAST_TABLE);
                (
                    CauseKind::Capacity,
                    format!(
                        "a full connection tracking table{limit} dropped {packets} packets meanwhile (conntrack.drop)"
                    ),
                    "Raise the limit on tracked connections, also in /etc/sysctl.d, or exempt this traffic from tracking.",
                    vec![
                        "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max".to_owned(),
                        format!("sysctl -w net.netfilter.nf_conntrack_max={raised}"),
                    ],
                )
            }
        };
        Said {
            kind,
            most: Status::Fail,
            check: check::REACH_TCP.id,
            detail: format!("{detail}; {why}"),
            text,
            commands,
        }
    }
}

/// Connections that may wait where too few did: eight times what recent kernels allow (`net.core.somaxconn` is 4096).
const QUEUE: u32 = 32_768;

/// Entries that a host of a cluster has room for at least: what recent kernels give a host of 4 GiB and more.
const LEAST_TABLE: u32 = 262_144;

/// More parts than this in one sentence are not read by anybody.
pub(super) const MAX_SAID_PARTS: usize = 4;
