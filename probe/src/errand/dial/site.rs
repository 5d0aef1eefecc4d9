//! A server outside that speaks TLS.

use plumbline_model::{
    errand::{DialErrand, Site},
    observation::Dialled,
};

use crate::errand::Stop;

/// Connects to a site.
pub(super) fn connect(_site: &Site, _errand: &DialErrand, _stop: &Stop) -> Option<Dialled> {
    None
}
