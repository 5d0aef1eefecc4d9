//! Errands: what a probe does beside the port matrix. Each runs on a thread of its own, which ends by itself, when it is told
//! to stop, and when its handle is dropped.

mod data_link;
mod dial;
mod hold;
mod inspect;
mod link;
mod listen;
mod pace;
mod path;
mod tunnel;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use plumbline_model::{
    errand,
    evidence::Member,
    id::{NodeId, RunId},
    observation::{Record, UndoneWhy},
};

use crate::guard::Policy;

pub use self::{dial::DialPace, pace::LinkPace, path::PathPace};

/// From where an errand is done, and who the others are.
#[derive(Debug, Clone)]
pub struct Post {
    /// The run.
    pub run: RunId,
    /// How fast ARP and ND may be sent, over all errands.
    pub link_pace: LinkPace,
    /// How fast strangers may be asked, over all errands.
    pub dial_pace: DialPace,
    /// How fast the paths to members may be measured, over all errands.
    pub path_pace: PathPace,
    /// What the owner of this host allows, for what is known only when it is about to be done.
    pub policy: Arc<Policy>,
    /// This node.
    pub node: NodeId,
    /// Its index in the roster.
    pub own_index: u32,
    /// The roster's members, this one among them.
    pub members: Vec<Member>,
    /// Everybody else.
    pub peers: BTreeMap<NodeId, Peer>,
}

/// Another member of the roster.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its index in the roster.
    pub index: u32,
    /// What the roster says of it.
    pub member: Member,
    /// The key of tests from here to there.
    pub key: [u8; 32],
    /// The key of tests from there to here.
    pub key_back: [u8; 32],
}

/// Whether an errand has to end now.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether it has.
    pub fn is_asked_for(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Blocks until it has.
    fn wait(&self) {
        while !self.is_asked_for() {
            std::thread::sleep(LOOK_AT_STOP);
        }
    }

    fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An errand under way.
#[derive(Debug)]
pub struct Errand {
    stop: Stop,
    is_open_ended: bool,
    tells_when_ready: bool,
    thread: Option<JoinHandle<Vec<Record>>>,
}

/// What an errand's thread does; what is over already is nothing that others wait for.
fn begun(begun: Begun, tells_when_ready: &mut bool) -> Box<dyn FnOnce() -> Vec<Record> + Send> {
    match begun {
        Begun::UnderWay(work) => work,
        Begun::Over(records) => {
            *tells_when_ready = false;
            Box::new(move || records)
        }
    }
}

/// What became of beginning an errand that others wait for.
enum Begun {
    /// It is under way.
    UnderWay(Box<dyn FnOnce() -> Vec<Record> + Send>),
    /// There is nothing to wait for, and this is why.
    Over(Vec<Record>),
}

/// Begins an errand. When this returns, an open-ended one is under way.
///
/// # Errors
/// Why it cannot begin.
pub fn start(errand: errand::Errand, post: &Post) -> Result<Errand, UndoneWhy> {
    let is_open_ended = errand.is_open_ended();
    let mut tells_when_ready = errand.tells_when_ready();
    let stop = Stop::default();
    let (post, stopped) = (post.clone(), stop.clone());
    let work: Box<dyn FnOnce() -> Vec<Record> + Send> = match errand {
        errand::Errand::Inspect => Box::new(move || inspect::inspect(&post, &stopped)),
        errand::Errand::Listen => {
            let listening = listen::open(&post)?;
            Box::new(move || listening.until(&stopped))
        }
        errand::Errand::Link(errand) => Box::new(move || link::ask(&errand, &post, &stopped)),
        errand::Errand::Dial(errand) => Box::new(move || dial::dial(&errand, &post, &stopped)),
        errand::Errand::Path(errand) => Box::new(move || path::measure(&errand, &post, &stopped)),
        errand::Errand::Hold(errand) => begun(hold::begin(errand, post, stopped)?, &mut tells_when_ready),
        errand::Errand::Tunnel(errand) => {
            begun(tunnel::begin(errand, &post, stopped)?, &mut tells_when_ready)
        }
    };
    let thread = std::thread::Builder::new()
        .name("errand".to_owned())
        .spawn(work)
        .map_err(|error| UndoneWhy::Failed {
            reason: format!("start a thread: {error}"),
        })?;
    Ok(Errand {
        stop,
        is_open_ended,
        tells_when_ready,
        thread: Some(thread),
    })
}

impl Errand {
    /// Whether it goes on until it is stopped.
    pub fn is_open_ended(&self) -> bool {
        self.is_open_ended
    }

    /// Whether it is worth telling that it is under way: others wait for it.
    pub fn tells_when_ready(&self) -> bool {
        self.tells_when_ready
    }

    /// Whether its thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks it to end soon: within a tenth of a second.
    pub fn stop(&self) {
        self.stop.ask();
    }

    /// What it found. Blocks until it ends.
    pub fn finish(mut self) -> Vec<Record> {
        let thread = self.thread.take();
        thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.stop.ask();
    }
}

/// How often a thread that only waits looks whether it has to end: half of the time within which it must.
const LOOK_AT_STOP: Duration = Duration::from_millis(50);
