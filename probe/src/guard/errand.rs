//! Which errands this host allows.

use plumbline_model::{errand::Errand, observation::UndoneWhy};
use plumbline_proto::convert::Roster;

use super::{Guard, Standing};

mod path;

impl Guard {
    /// Whether an errand may be done on a host that stands so.
    ///
    /// # Errors
    /// Why not, to be reported as it stands.
    pub(super) fn permit_errand(
        &self,
        errand: Errand,
        roster: &Roster,
        _standing: &Standing,
    ) -> Result<Errand, UndoneWhy> {
        match errand {
            Errand::Listen if !self.policy.capture => Err(UndoneWhy::Policy),
            Errand::Path(errand) => Ok(Errand::Path(self.permit_path(errand, roster))),
            Errand::Inspect
            | Errand::Listen
            | Errand::Link(_)
            | Errand::Dial(_)
            | Errand::Hold(_)
            | Errand::Tunnel(_) => Ok(errand),
        }
    }
}
