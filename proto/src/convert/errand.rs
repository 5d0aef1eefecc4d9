//! Errands: what probes do beside the port matrix.

mod link;

use plumbline_model::errand::Errand;

use super::{FieldError, Invalid, Roster};
use crate::v1;

mod active;
mod dial;
mod path;

/// An errand on the wire.
///
/// # Errors
/// If it names a node that is not on the roster.
pub(super) fn wire_errand(errand: &Errand, roster: &Roster) -> Result<v1::Errand, Invalid> {
    use v1::errand::Errand as Wire;
    let errand = match errand {
        Errand::Inspect => Wire::Inspect(v1::Inspect {}),
        Errand::Listen => Wire::Listen(v1::Listen {}),
        Errand::Link(errand) => Wire::Link(link::wire_link(errand, roster)?),
        Errand::Dial(errand) => Wire::Dial(dial::wire(errand)),
        Errand::Path(errand) => Wire::Path(path::wire(errand, roster)?),
        Errand::Hold(errand) => Wire::Hold(active::wire_hold(errand, roster)?),
        Errand::Tunnel(errand) => Wire::Tunnel(active::wire_tunnel(errand, roster)?),
    };
    Ok(v1::Errand { errand: Some(errand) })
}

/// Reads an errand that refers to this roster.
///
/// # Errors
/// If anything in it is out of range.
pub(super) fn errand(wire: &v1::Errand, roster: &Roster) -> Result<Errand, Invalid> {
    use v1::errand::Errand as Wire;
    let errand = wire
        .errand
        .as_ref()
        .ok_or_else(|| FieldError::Absent.at("errand"))?;
    Ok(match errand {
        Wire::Inspect(v1::Inspect {}) => Errand::Inspect,
        Wire::Listen(v1::Listen {}) => Errand::Listen,
        Wire::Link(errand) => Errand::Link(link::link(errand, roster)?),
        Wire::Dial(wire) => Errand::Dial(dial::read(wire).map_err(|e| e.within("dial"))?),
        Wire::Path(wire) => Errand::Path(path::read(wire, roster)?),
        Wire::Hold(wire) => Errand::Hold(active::hold(wire, roster).map_err(|e| e.within("hold"))?),
        Wire::Tunnel(wire) => Errand::Tunnel(active::tunnel(wire, roster).map_err(|e| e.within("tunnel"))?),
    })
}
