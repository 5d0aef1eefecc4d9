//! A data centre on one machine: every node of a cluster file is a network namespace at its own address, in its subnet,
//! behind a router; faults are planted by name. `demo`, `--swarm lab`, the lab tier of the tests and the benches stand on it.
//! Hosts speak the family of their names, or both, and may have further interfaces on switches of their own.
//!
//! ```text
//!   +-----------+   +-----------+        +-----------+
//!   | 10.0.0.11 |   | 10.0.0.12 |        | 10.0.1.11 |     a namespace a host, interface eth0
//!   +-----+-----+   +-----+-----+        +-----+-----+
//!         |               |                    |
//!     +---+---------------+---+          +-----+-----+
//!     |        bridge         |          |  bridge   |      a namespace a subnet, so that a switch can fail too
//!     +-----------+-----------+          +-----+-----+
//!                 | net0                       | net1
//!              +--+----------------------------+--+
//!              |              router              |         forwards, never limits its ICMP errors
//!              +----------------+-----------------+
//!                               | admin
//!                     +---------+---------+
//!                     | admin workstation |                 this process, after [`enter`]
//!                     +-------------------+
//! ```
//!
//! Nothing is left behind: namespaces live as long as the [`Lab`] that holds their descriptors, programs started in them are
//! ended with it, and the machine's own network is never touched (one setting of the whole machine apart, see
//! [`Lab::up`]). If the process is killed, the namespaces go with it; programs inside stay until they notice.
//!
//! Needs Linux with veth, bridge and nf_tables, and root or permission to make user namespaces: see [`capabilities`].

mod child;
mod enter;
mod fault;
mod neighbours;
mod running;
mod topology;
mod wiring;

pub use child::{LabChild, Program};
pub use enter::{Entered, Unavailable, capabilities, enter};
pub use fault::{BadRoute, Fault, FaultError, FaultId, InvalidSide, RejectWith, Side, Transport};
pub use running::{Lab, LabError};
pub use topology::{AdminLeg, FurtherNetwork, Host, Prefix, Stack, Stand, Subnet, Topology, TopologyError};
