//! The tiers of tests that cross crates. What is shared by their test binaries lives here:
//!
//! * [`browser`]: a real browser, told what to do;
//! * [`gate`]: what becomes of a test that this machine cannot run;
//! * [`pages`]: reports of any size, and the pages made of them;
//! * [`rehearsal`]: a joined swarm in a lab, step by step;
//! * [`running`]: a program under test, seen from outside;
//! * [`trials`]: tests that enter network namespaces, each in a process of its own;
//! * [`scenario`]: a scenario file (cluster, faults, what must be found), and how a report is held against it;
//! * [`stand_in`]: a program that stands in for the services of a live node;
//! * [`stage`]: a lab with the real programs in it: the coordinator on the admin workstation, a probe on every host.

pub mod browser;
pub mod gate;
pub mod outside;
pub mod pages;
pub mod rehearsal;
pub mod running;
pub mod scenario;
pub mod stage;
pub mod stand_in;
pub mod trials;
pub mod untouched;
