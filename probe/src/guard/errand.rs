//! Which errands this host allows.

use plumbline_model::{errand::Errand, observation::UndoneWhy};
use plumbline_proto::convert::Roster;

use super::{Guard, Standing};

mod active;
mod dial;
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
        standing: &Standing,
    ) -> Result<Errand, UndoneWhy> {
        match errand {
            // What answers a question on the link is received by a packet socket, too.
            Errand::Listen | Errand::Link(_) if !self.policy.capture => Err(UndoneWhy::Policy),
            Errand::Hold(hold) => self
                .permit_hold(&hold, roster, standing)
                .map(|()| Errand::Hold(hold)),
            Errand::Tunnel(tunnel) => self
                .permit_tunnel(&tunnel, roster, standing)
                .map(|()| Errand::Tunnel(tunnel)),
            Errand::Path(errand) => Ok(Errand::Path(self.permit_path(errand, roster))),
            Errand::Dial(errand) => self.permit_dial(errand, standing).map(Errand::Dial),
            Errand::Inspect | Errand::Listen | Errand::Link(_) => Ok(errand),
        }
    }
}
