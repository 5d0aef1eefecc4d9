//! Where commands are typed: at the node that a finding names, or by SSH to where the cluster file says.

use super::{others::advert, *};
use crate::report::stage::commands_by_ssh;

/// The commands of what is found where SSH reaches no node at its data address.
#[track_caller]
fn commands(stage: Stage) -> Vec<String> {
    let report = stage.with_ssh_elsewhere().report();
    assert_ne!(report.findings, []);
    commands_by_ssh(&report)
}

#[test]
fn questions_by_hand_go_where_ssh_goes() {
    let gateway = World::new().answers(A, GATEWAY, &[]).answers(B, GATEWAY, &[]);
    let worlds = [
        World::new().apart(A, B),
        World::new().answers(B, GATEWAY, &[]),
        gateway.answers(C, GATEWAY, &[]),
        World::new().answers(B, GATEWAY, &["02:00:00:00:00:fd"]),
    ];
    for world in worlds {
        let commands = commands(world.stage());
        assert!(
            commands
                .iter()
                .any(|command| command.contains("arping -c 3 -I eth0")),
            "{commands:?}"
        );
    }
}

#[test]
fn looks_at_interfaces_and_adverts_go_where_ssh_goes() {
    let mut cloned = World::new();
    cloned.macs.insert(B, mac(A));
    let mut off_subnet = World::new();
    off_subnet.balancers.insert(D);
    let mut foreign = World::new();
    foreign
        .adverts
        .insert(A, vec![advert(51, "10.0.0.77", "10.0.0.78")]);
    for (world, look) in [
        (cloned, "172.31.0.2 ip link show eth0"),
        (off_subnet, "172.31.1.1 ip address show"),
        (foreign, "172.31.0.1 tcpdump"),
    ] {
        let commands = commands(world.stage());
        assert!(
            commands.iter().any(|command| command.contains(look)),
            "{commands:?}"
        );
    }
}

#[test]
fn settings_of_a_balancer_are_made_where_ssh_goes() {
    let second = "02:00:00:00:77:02";
    let world = World::new().answers(A, B, &[&mac(B), second]);
    let stage = world.stage().knows(B, move |facts| {
        let mut further = facts.interfaces[0].clone();
        (further.name, further.mac) = ("eth1".to_owned(), second.to_owned());
        further.addresses = vec!["10.9.0.2/24".to_owned()];
        facts.interfaces.push(further);
    });
    assert_eq!(
        commands(stage),
        ["arp_ignore=1", "arp_announce=2"]
            .map(|set| format!("ssh -p 2222 172.31.0.2 sysctl -w net.ipv4.conf.all.{set}"))
    );
    let mut stage = World::new().stage().knows(B, |facts| {
        facts.interfaces[0].addresses = vec![format!("{B}/28")];
    });
    stage.parameters.swarm = SwarmKind::Joined;
    let commands = commands(stage);
    let look = "ssh -p 2222 172.31.0.2 ip address show".to_owned();
    assert!(commands.contains(&look), "{commands:?}");
}

#[test]
fn an_address_is_removed_where_ssh_goes() {
    let twin = World::new().answers(A, A, &[&mac(C)]).stage();
    let stage = twin.knows(C, |facts| facts.interfaces[0].addresses.push(format!("{A}/24")));
    assert_eq!(
        commands(stage)[0],
        format!("ssh -p 2222 172.31.0.3 ip address del {A}/24 dev eth0")
    );
}

#[test]
fn several_hosts_with_a_vip_are_looked_at_where_ssh_goes() {
    let world = World::new().answers(A, VIP, &[&mac(B), &mac(C)]);
    let has_it = |facts: &mut crate::observation::HostFacts| {
        facts.interfaces[0].addresses.push(format!("{VIP}/32"));
    };
    let stage = world.stage().live(C).knows(B, has_it).knows(C, has_it);
    let commands = commands(stage);
    for host in ["2", "3"] {
        let look = format!("ssh -p 2222 172.31.0.{host} ip address show to {VIP}");
        assert!(commands.contains(&look), "{commands:?}");
    }
}

#[test]
fn a_proxy_is_switched_off_at_the_node_for_all_and_for_the_interface_that_answers() {
    let world = World::new()
        .answers(A, B, &[&mac(B), &mac(C)])
        .answers(B, A, &[&mac(A), &mac(C)]);
    let vlan = world.stage().knows(C, |facts| {
        facts.interfaces[0].name = "eth0.100".to_owned();
    });
    let expected = ["all", "eth0/100"].map(|interface| {
        ["proxy_arp", "proxy_arp_pvlan"]
            .map(|setting| format!("ssh -p 2222 172.31.0.3 sysctl -w net.ipv4.conf.{interface}.{setting}=0"))
    });
    assert_eq!(commands(vlan), expected.concat());
}

#[test]
fn no_command_is_given_for_a_router_that_is_no_node() {
    let report = World::new().answers(A, B, &[&mac(B), OF_GATEWAY]).report();
    let fix = &only(&report).fix;
    assert_eq!(fix.commands, [""; 0]);
    assert!(fix.text.contains("proxy_arp_pvlan"), "{}", fix.text);
}
