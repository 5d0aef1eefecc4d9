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
    rule: "warns if errors, wrong checksums, packets missed or losses of the carrier were counted meanwhile; fails if wrong checksums, \
           losses of the carrier and send errors, of which a cable may be the cause, are more than one packet of a thousand; what \
           hosts drop that they have no use for is not counted, nor what virtual devices count",
    remedy: "look at the cable, the transceiver and the port of the switch: ethtool -S; where packets were missed, at the size of the \
             card's ring: ethtool -g",
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
            remedy(bad.iter().any(|(_, damage)| damage.is_of_cable)),
            vec![
                format!("ethtool -S {}", worst.name),
                format!("ip -s -s link show dev {}", worst.name),
                format!("ethtool -g {}", worst.name),
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
    /// Whether a cable may be the cause.
    is_of_cable: bool,
    is_grave: bool,
}

fn remedy(is_of_cable: bool) -> &'static str {
    match is_of_cable {
        true => "Look at the cable, the transceiver and the port of the switch.",
        false => {
            "The card received more than the host fetched in time, or frames of a length that it does not take: look at the size of its \
             ring (ethtool -G), at the processors that serve its interrupts, and at the MTU of those who send."
        }
    }
}

fn damage(grown: &DeviceCounters) -> Option<Damage> {
    // Drivers count what the ring had no room for among the errors, too, and our own large packets by their length.
    let others = grown.rx_errors.saturating_sub(grown.rx_crc_errors);
    let counted = [
        (grown.rx_crc_errors, "frames with a wrong checksum"),
        (others.saturating_sub(grown.rx_missed), "other receive errors"),
        (grown.tx_errors, "send errors"),
        (grown.rx_missed, "packets missed"),
        (grown.carrier_losses, "losses of the carrier"),
    ];
    let of_cable = [grown.rx_crc_errors, grown.tx_errors, grown.carrier_losses];
    let of_cable = of_cable.into_iter().fold(0, u64::saturating_add);
    let said: Vec<String> = counted
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    let packets = grown.rx_packets.saturating_add(grown.tx_packets);
    (!said.is_empty()).then(|| Damage {
        said: said.join(" and "),
        is_of_cable: of_cable > 0,
        is_grave: of_cable >= FEW && of_cable.saturating_mul(GRAVE_ONE_OF) > packets,
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
        assert_eq!(of(|grown| grown.rx_crc_errors = 101), Some(true));
        assert_eq!(of(|grown| grown.tx_errors = 100), Some(false));
        // What the host did not fetch in time, and frames of a length of our own, are no cable's.
        let missed = |grown: &mut DeviceCounters| (grown.rx_errors, grown.rx_missed) = (5_000, 5_000);
        assert_eq!(of(missed), Some(false));
        assert_eq!(of(|grown| grown.rx_errors = 5_000), Some(false));
        let mut ring = DeviceCounters::default();
        missed(&mut ring);
        let ring = damage(&ring).unwrap();
        assert_eq!(ring.said, "5000 packets missed");
        assert!(remedy(ring.is_of_cable).contains("ring"));
        let few = DeviceCounters {
            rx_packets: 10,
            carrier_losses: 2,
            ..DeviceCounters::default()
        };
        assert!(damage(&few).is_some_and(|damage| !damage.is_grave));
    }
}
