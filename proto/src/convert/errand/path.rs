//! Errand path.

use plumbline_model::{
    errand::{MAX_PATH_PORTS, MAX_PATHS, PathErrand, PathTarget},
    port::Family,
};

use crate::{
    convert::{
        FieldError, Invalid, Roster,
        assignment::{index_of, node_at},
        at_most, in_range,
        ports::family,
    },
    limits, v1,
};

pub(super) fn wire(errand: &PathErrand, roster: &Roster) -> Result<v1::Path, Invalid> {
    let target = |path: &PathTarget| {
        Ok(v1::PathTarget {
            destination: index_of("path.targets", path.node, roster)?,
            ipv6: path.family == Family::Ipv6,
            ports: path.ports.iter().copied().map(u32::from).collect(),
        })
    };
    Ok(v1::Path {
        targets: errand.paths.iter().map(target).collect::<Result<_, _>>()?,
        beyond: errand.beyond,
        max_rate: errand.max_rate,
    })
}

pub(super) fn read(wire: &v1::Path, roster: &Roster) -> Result<PathErrand, Invalid> {
    at_most("path.targets", wire.targets.len(), MAX_PATHS)?;
    let target = |(at, target): (usize, &v1::PathTarget)| {
        let field = |name: &str| format!("path.targets[{at}].{name}");
        at_most(&field("ports"), target.ports.len(), MAX_PATH_PORTS)?;
        let port = |port: &u32| {
            let port = in_range(&field("ports"), *port, 1, u16::MAX.into())?;
            u16::try_from(port).map_err(|_| FieldError::Absent.at(field("ports")))
        };
        Ok(PathTarget {
            node: node_at(&field("destination"), target.destination, roster)?,
            family: family(target.ipv6),
            ports: target.ports.iter().map(port).collect::<Result<_, _>>()?,
        })
    };
    let paths: Vec<PathTarget> = wire
        .targets
        .iter()
        .enumerate()
        .map(target)
        .collect::<Result<_, _>>()?;
    let key = |path: &PathTarget| (path.node, path.family);
    if !paths.windows(2).all(|pair| key(&pair[0]) < key(&pair[1])) {
        return Err(FieldError::Order.at("path.targets"));
    }
    Ok(PathErrand {
        paths,
        beyond: wire.beyond,
        max_rate: in_range("path.max_rate", wire.max_rate, 0, limits::MAX_RATE)?,
    })
}
