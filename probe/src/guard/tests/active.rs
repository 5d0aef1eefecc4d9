//! VIPs and tunnels.

use plumbline_model::{
    errand::{Encapsulation, HoldErrand, HoldPart, TunnelErrand},
    observation::UndoneWhy,
};

use super::*;

fn hold(vip: &str, part: HoldPart) -> Errand {
    Errand::Hold(HoldErrand {
        turn: 0,
        vip: vip.parse().unwrap(),
        port: 443,
        part,
    })
}

fn take(vip: &str) -> Errand {
    let callers = vec!["10.0.0.3".parse().unwrap()];
    hold(vip, HoldPart::Take { callers })
}

fn reach(vip: &str, holder: &str) -> Errand {
    let holders = vec![holder.parse().unwrap()];
    hold(vip, HoldPart::Reach { holders })
}

fn tunnel(peer: &str) -> Errand {
    Errand::Tunnel(TunnelErrand {
        turn: 0,
        encapsulation: Encapsulation::Vxlan,
        port: 8472,
        peer: peer.parse().unwrap(),
        takes: true,
    })
}

fn verdict(policy: &str, errand: Errand, standing: &Standing) -> Result<(), UndoneWhy> {
    guard(policy)
        .permit_errand(errand, &everybody(), standing)
        .map(|_| ())
}

const LIVE: Standing = Standing::Live { listeners: None };

#[test]
fn a_bare_node_may_take_a_vip_and_ask_for_it() {
    assert_eq!(verdict("", take("10.0.0.100"), &Standing::Bare), Ok(()));
    assert_eq!(
        verdict("", reach("10.0.0.100", "10.0.0.3"), &Standing::Bare),
        Ok(())
    );
    assert_eq!(verdict("", tunnel("10.0.0.3"), &Standing::Bare), Ok(()));
}

#[test]
fn a_live_node_takes_no_vip_and_makes_no_tunnel_but_may_ask() {
    assert_eq!(verdict("", take("10.0.0.100"), &LIVE), Err(UndoneWhy::Live));
    assert_eq!(verdict("", tunnel("10.0.0.3"), &LIVE), Err(UndoneWhy::Live));
    assert_eq!(verdict("", reach("10.0.0.100", "10.0.0.3"), &LIVE), Ok(()));
}

#[test]
fn a_policy_that_forbids_what_is_active_or_the_network_or_the_port_is_kept() {
    for policy in ["active: false", "networks: [10.0.1.0/24]", "ports: 22"] {
        for errand in [
            take("10.0.0.100"),
            reach("10.0.0.100", "10.0.0.3"),
            tunnel("10.0.0.3"),
        ] {
            assert_eq!(
                verdict(policy, errand, &Standing::Bare),
                Err(UndoneWhy::Policy),
                "{policy}"
            );
        }
    }
}

#[test]
fn no_address_is_a_vip_that_is_a_members_or_far_from_its_holders_or_no_address_of_a_host() {
    let not_vips = [
        "10.0.0.3",
        "10.1.0.100",
        "192.0.2.1",
        "169.254.169.254",
        "127.0.0.1",
        "224.0.0.18",
        "255.255.255.255",
        "fd00::100",
    ];
    for vip in not_vips {
        for errand in [take(vip), reach(vip, "10.0.0.3")] {
            let said = verdict("", errand, &Standing::Bare);
            assert!(matches!(said, Err(UndoneWhy::Failed { .. })), "{vip}: {said:?}");
        }
    }
}

#[test]
fn nobody_makes_a_tunnel_to_itself_or_to_the_workstation_without_an_address() {
    let said = verdict("", tunnel(OWN), &Standing::Bare);
    assert!(matches!(said, Err(UndoneWhy::Failed { .. })), "{said:?}");
}
