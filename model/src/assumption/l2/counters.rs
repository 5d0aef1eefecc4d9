//! L2-011: cables do not damage frames.

use crate::{
    assumption::{Ruling, Scene, inspected::of_setting},
    observation::{Device, DeviceCounters},
    report::check::Check,
};

/// Cables do not damage frames.
pub(crate) const CHECK: Check = Check {
    id: "L2-011",
    asserts: "the network cards under the data address receive and send without errors while the run goes on",
    how: "the counters of the data interface and of what it stands on, by netlink, when the run begins and when it ends; nothing \
          is sent for it",
    needs: "nothing",
    rule: "warns if errors, wrong checksums, packets missed or losses of the carrier were counted meanwhile, fails if they are more \
           than one packet of a thousand; what hosts drop that they have no use for is not counted, nor what virtual devices count",
    remedy: "look at the cable, the transceiver and the port of the switch: ethtool -S",
    source: "Linux: Documentation/networking/statistics.rst; IEEE 802.3 clause 30",
};

/// One ruling a node whose cards were counted twice.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let (told, mut rulings) = scene.inspected();
    for (node, host) in told {
        let name = scene.name(node);
        let cards = host.what.devices.iter().filter(|device| device.kind.is_none());
        let counted: Vec<(&Device, DeviceCounters)> =
            cards.filter_map(|device| Some((device, device.grown?))).collect();
        let bad: Vec<(&Device, Damage)> = counted
            .iter()
            .filter_map(|(device, grown)| Some((*device, damage(grown)?)))
            .collect();
        let Some((worst, _)) = bad.first() else {
            if !counted.is_empty() {
                rulings.push(Ruling::pass(
                    name.clone(),
                    format!("no card of {name} counted an error during the run"),
                ));
            }
            continue;
        };
        let all: Vec<String> = bad
            .iter()
            .map(|(device, damage)| format!("{} of {}", damage.said, device.name))
            .collect();
        let complaint = of_setting(
            node,
            host.line,
            format!("{name} counted during the run: {}", all.join(", ")),
            "Look at the cable, the transceiver and the port of the switch.",
            vec![
                format!("ethtool -S {}", worst.name),
                format!("ip -s -s link show dev {}", worst.name),
            ],
        );
        rulings.push(if bad.iter().any(|(_, damage)| damage.is_grave) {
            Ruling::fail(name, complaint)
        } else {
            Ruling::warn(name, complaint)
        });
    }
    rulings
}

/// What went wrong at a card.
struct Damage {
    said: String,
    is_grave: bool,
}

fn damage(grown: &DeviceCounters) -> Option<Damage> {
    let counted = [
        (grown.rx_errors.max(grown.rx_crc_errors), "receive errors"),
        (grown.tx_errors, "send errors"),
        (grown.rx_missed, "packets missed"),
        (grown.carrier_losses, "losses of the carrier"),
    ];
    let total: u64 = counted
        .iter()
        .fold(0, |total: u64, (number, _)| total.saturating_add(*number));
    let said: Vec<String> = counted
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    let packets = grown.rx_packets.saturating_add(grown.tx_packets);
    (total > 0).then(|| Damage {
        said: said.join(" and "),
        is_grave: total >= FEW && total.saturating_mul(GRAVE_ONE_OF) > packets,
    })
}

/// One packet of a thousand is lost: TCP is visibly slower.
const GRAVE_ONE_OF: u64 = 1000;
/// Fewer are chance, whatever share they are of a short run.
const FEW: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_by_their_share_and_drops_are_not() {
        let of = |change: fn(&mut DeviceCounters)| {
            let mut grown = DeviceCounters {
                rx_packets: 50_000,
                tx_packets: 50_000,
                ..DeviceCounters::default()
            };
            change(&mut grown);
            damage(&grown).map(|damage| damage.is_grave)
        };
        assert_eq!(of(|_| {}), None);
        assert_eq!(of(|grown| grown.rx_dropped = 4000), None);
        assert_eq!(of(|grown| grown.rx_crc_errors = 3), Some(false));
        assert_eq!(of(|grown| grown.rx_errors = 101), Some(true));
        assert_eq!(of(|grown| grown.tx_errors = 100), Some(false));
        let few = DeviceCounters {
            rx_packets: 10,
            carrier_losses: 2,
            ..DeviceCounters::default()
        };
        assert!(damage(&few).is_some_and(|damage| !damage.is_grave));
    }
}
