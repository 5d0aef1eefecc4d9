//! What the kernel says about an attempt, as a signal of the model.
//!
//! SO_ERROR and the error queue together: a RST leaves the queue empty, an ICMP error fills it and names its sender.
//!
//! | at the target | SO_ERROR | error queue | signal |
//! |---|---|---|---|
//! | no listener; reject with RST | ECONNREFUSED | empty | `refused` |
//! | reject with an ICMP error | ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ENOPROTOOPT | type, code, offender | `icmp` |
//! | the local packet filter rejects | ECONNREFUSED | offender is ourselves | `local_denied` |
//! | the next hop does not resolve | EHOSTUNREACH after three seconds | 3/1 (v6: 1/3), offender is ourselves | `neighbor_unresolved` |
//! | no route | connect(2): ENETUNREACH | empty | `no_route` |
//! | drop | none | empty | `silence` |

use std::net::IpAddr;

use plumbline_model::observation::Signal;
use plumbline_sys::{
    Errno,
    icmp_error::{Origin, QueuedError},
};

/// What an error of connect(2) itself says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The kernel answered for the network, finally.
    Final(Signal),
    /// The connection was refused while connect(2) still ran, as happens over loopback: the error queue tells by whom.
    Heard(Errno),
    /// Something ran out here; later it may work.
    Starved(Errno),
}

/// Judges an error of connect(2).
pub(super) fn of_connect(errno: Errno) -> Refusal {
    match errno {
        // EINVAL is what a blackhole route returns; EHOSTUNREACH an unreachable one.
        Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::INVAL => {
            Refusal::Final(Signal::NoRoute)
        }
        Errno::PERM | Errno::ACCESS => Refusal::Final(Signal::LocalDenied { errno: number(errno) }),
        Errno::CONNREFUSED => Refusal::Heard(errno),
        _ => Refusal::Starved(errno),
    }
}

/// Judges the end of an attempt: its pending error and what was in the error queue. `own` is the local address.
pub(super) fn of_failure(pending: Errno, queued: Option<QueuedError>, own: Option<IpAddr>) -> Signal {
    if let Some(error) = queued {
        let from_icmp = matches!(error.origin, Origin::Icmp | Origin::Icmp6);
        let from_self = error.origin == Origin::Local || (error.offender.is_some() && error.offender == own);
        let kind = (error.origin, error.icmp_type, error.code);
        if from_self && matches!(kind, (Origin::Icmp, 3, 1) | (Origin::Icmp6, 1, 3)) {
            return Signal::NeighborUnresolved;
        }
        if from_self {
            return Signal::LocalDenied {
                errno: number(error.errno),
            };
        }
        if from_icmp {
            return Signal::Icmp {
                icmp_type: error.icmp_type,
                code: error.code,
                offender: error.offender,
            };
        }
    }
    match pending {
        Errno::CONNREFUSED => Signal::Refused,
        Errno::TIMEDOUT => Signal::Silence,
        Errno::HOSTUNREACH => Signal::NeighborUnresolved,
        Errno::NETUNREACH | Errno::NETDOWN => Signal::NoRoute,
        Errno::PERM | Errno::ACCESS => Signal::LocalDenied {
            errno: number(pending),
        },
        other => Signal::Exhausted { errno: number(other) },
    }
}

/// An errno as records carry it.
pub(super) fn number(errno: Errno) -> u32 {
    errno.raw_os_error().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const ROUTER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 254));

    fn icmp(errno: Errno, code: u8, offender: Option<IpAddr>) -> Option<QueuedError> {
        Some(QueuedError {
            errno,
            origin: Origin::Icmp,
            icmp_type: 3,
            code,
            offender,
            info: 0,
        })
    }

    #[test]
    fn a_reset_and_a_firewall_s_port_unreachable_differ() {
        assert_eq!(of_failure(Errno::CONNREFUSED, None, Some(OWN)), Signal::Refused);
        let rejected = of_failure(
            Errno::CONNREFUSED,
            icmp(Errno::CONNREFUSED, 3, Some(ROUTER)),
            Some(OWN),
        );
        assert_eq!(
            rejected,
            Signal::Icmp {
                icmp_type: 3,
                code: 3,
                offender: Some(ROUTER)
            }
        );
    }

    #[test]
    fn an_unresolved_neighbour_is_told_from_a_router_s_host_unreachable() {
        let own = of_failure(
            Errno::HOSTUNREACH,
            icmp(Errno::HOSTUNREACH, 1, Some(OWN)),
            Some(OWN),
        );
        assert_eq!(own, Signal::NeighborUnresolved);
        let router = of_failure(
            Errno::HOSTUNREACH,
            icmp(Errno::HOSTUNREACH, 1, Some(ROUTER)),
            Some(OWN),
        );
        assert_eq!(
            router,
            Signal::Icmp {
                icmp_type: 3,
                code: 1,
                offender: Some(ROUTER)
            }
        );
    }

    #[test]
    fn our_own_packet_filter_s_reject_is_local() {
        let signal = of_failure(
            Errno::CONNREFUSED,
            icmp(Errno::CONNREFUSED, 3, Some(OWN)),
            Some(OWN),
        );
        assert_eq!(
            signal,
            Signal::LocalDenied {
                errno: number(Errno::CONNREFUSED)
            }
        );
    }

    #[test]
    fn an_unknown_offender_is_not_taken_for_ourselves() {
        let signal = of_failure(Errno::HOSTUNREACH, icmp(Errno::HOSTUNREACH, 13, None), None);
        assert_eq!(
            signal,
            Signal::Icmp {
                icmp_type: 3,
                code: 13,
                offender: None
            }
        );
    }

    #[test]
    fn running_out_is_no_verdict_about_the_network() {
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::ADDRNOTAVAIL,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::AGAIN,
        ] {
            assert_eq!(of_connect(errno), Refusal::Starved(errno));
        }
        assert_eq!(of_connect(Errno::NETUNREACH), Refusal::Final(Signal::NoRoute));
    }
}
