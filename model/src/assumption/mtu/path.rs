//! MTU-002: paths carry what the interfaces do.

use crate::{
    assumption::{
        Ruling, Scene,
        paths::{self, Path},
    },
    report::check::Check,
};

use super::limits::{Standing, limits, standing};

/// Paths carry what the interfaces do.
pub(crate) const CHECK: Check = Check {
    id: "MTU-002",
    asserts: "the path between two nodes carries packets as large as the interfaces at both ends take, in both directions",
    how: "after the port matrix every node sends packets of its interface's MTU that must not be fragmented \
          (IP_PMTUDISC_PROBE) to every other, each with a small one behind it: authenticated STAMP packets to a UDP port of the tables, \
          which are answered with small ones, so that each direction is measured by itself; ICMP echo where no responder answers. If \
          they stay away, the largest size that passes is searched. Above 32 nodes: control plane and load balancer nodes among each \
          other, and a sample for everybody else",
    needs: "nothing; toward live nodes ICMP echo: net.ipv4.ping_group_range, or CAP_NET_RAW",
    rule: "fails if packets are lost for their size without an ICMP error; warns if an ICMP error says why, or if nothing but echo requests of or to \
          live nodes is lost, which a filter may drop; a size counts as lost if six \
           packets stayed away while the small ones behind them did not; not measured where nothing answers",
    remedy: "raise the MTU of the hop that is too small, or lower the nodes'; let ICMP type 3 code 4 and ICMPv6 type 2 pass",
    source: "RFC 1191, RFC 8201, RFC 8899 section 1.1",
};

/// Judges every path; what several have in common is one complaint.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Ruling> {
    let all = paths::told(scene);
    let mut rulings = Vec::new();
    for limit in limits(scene, &all) {
        let (subject, complaint) = (limit.subject(scene), limit.complaint(scene));
        rulings.push(match limit.silent && !limit.is_guess() {
            true => Ruling::fail(subject, complaint),
            false => Ruling::warn(subject, complaint),
        });
    }
    let whole: Vec<Path<'_>> = all
        .iter()
        .filter(|path| matches!(standing(scene, path), Standing::Whole(_)))
        .copied()
        .collect();
    rulings.extend(paths::passes(scene, &whole, |paths| {
        let sizes = paths.iter().filter_map(|path| match standing(scene, path) {
            Standing::Whole(mtu) => Some(mtu),
            _ => None,
        });
        let (least, most) = (sizes.clone().min().unwrap_or(0), sizes.max().unwrap_or(0));
        let families = paths::families(paths.iter().copied());
        match least == most {
            true => format!("{families} packets of {most} octets pass"),
            false => {
                format!("{families} packets of {least} to {most} octets pass, as the interfaces take them")
            }
        }
    }));
    rulings.extend(paths::mute(scene, &all));
    let hidden = "packets of every size are lost there, so that nobody can say which are lost for their size";
    rulings.extend(paths::undecided(scene, &all, hidden, |path| {
        path.is_measured() && standing(scene, path) == Standing::Unknown
    }));
    rulings.extend(paths::untold(scene));
    rulings
}
