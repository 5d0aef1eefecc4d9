//! One body for each parser of octets that somebody else wrote: a function that takes any octets and must never panic, never
//! run away, and find what has to hold of whatever the parser made of them.
//!
//! | file | whose octets |
//! |---|---|
//! | [`inputs`] | the administrator's files and words; evidence and reports that somebody hands over |
//! | [`identity`] | keys, signatures, join strings, report directories |
//! | [`wire`] | the messages of a session |
//! | [`network`] | hellos, captured packets, ICMP errors |
//! | [`kernel`] | netlink: devices, addresses, routes, neighbours, the packet filter |
//!
//! `tests/bodies.rs` runs each body over the samples below `corpus/`, those of [`samples`], and over mutations of them, with every test run;
//! `fuzz_targets/` runs the same bodies under libFuzzer. README.md says how.
//!
//! What has to hold, wherever it applies:
//!
//! 1. what was read is written back as it was, or reads again as the same value;
//! 2. what was refused says where, and in words that fit a terminal;
//! 3. what is cut off anywhere is refused or means the same, never something else;
//! 4. nothing passes for signed that its key did not sign.

pub mod identity;
pub mod inputs;
pub mod kernel;
pub mod mutate;
pub mod network;
pub mod samples;
pub mod wire;

/// What a parser made of some octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// It read them.
    Accepted,
    /// It refused them.
    Refused,
}

impl Reading {
    fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() {
            Self::Accepted
        } else {
            Self::Refused
        }
    }

    fn of_option<T>(option: &Option<T>) -> Self {
        if option.is_some() {
            Self::Accepted
        } else {
            Self::Refused
        }
    }
}

/// A parser under test.
#[derive(Debug, Clone, Copy)]
pub struct Body {
    /// Its name, and that of its directory below `corpus/`.
    pub name: &'static str,
    /// The body.
    pub run: fn(&[u8]) -> Reading,
    /// How many mutations an ordinary test run tries: fewer where one takes milliseconds without optimisation, so that all
    /// bodies together stay within seconds.
    pub rounds: u32,
    /// Words that mean something to the parser and that flipping bits would never find.
    pub words: &'static [&'static str],
}

/// Every body.
pub const BODIES: &[Body] = &[
    Body {
        name: "cluster_file",
        run: inputs::cluster_file,
        rounds: 500,
        words: YAML,
    },
    Body {
        name: "profile",
        run: inputs::profile,
        rounds: 400,
        words: YAML,
    },
    Body {
        name: "word",
        run: inputs::word,
        rounds: 8_000,
        words: WORDS,
    },
    Body {
        name: "policy_file",
        run: inputs::policy_file,
        rounds: 1_000,
        words: YAML,
    },
    Body {
        name: "evidence_payload",
        run: inputs::evidence_payload,
        rounds: 8_000,
        words: JSON,
    },
    Body {
        name: "report_json",
        run: inputs::report_json,
        rounds: 600,
        words: JSON,
    },
    Body {
        name: "ruleset",
        run: inputs::ruleset,
        rounds: 500,
        words: JSON,
    },
    Body {
        name: "evidence",
        run: inputs::evidence,
        rounds: 60,
        words: JSON,
    },
    Body {
        name: "join_string",
        run: identity::join_string,
        rounds: 8_000,
        words: &[],
    },
    Body {
        name: "envelope",
        run: identity::envelope,
        rounds: 4_000,
        words: &[],
    },
    Body {
        name: "ssh_signature",
        run: identity::ssh_signature,
        rounds: 300,
        words: &[],
    },
    Body {
        name: "statement",
        run: identity::statement,
        rounds: 2_000,
        words: JSON,
    },
    Body {
        name: "key",
        run: identity::key,
        rounds: 4_000,
        words: &[],
    },
    Body {
        name: "certificate",
        run: identity::certificate,
        rounds: 8_000,
        words: &[],
    },
    Body {
        name: "join_claim",
        run: identity::join_claim,
        rounds: 1_000,
        words: WORDS,
    },
    Body {
        name: "report_directory",
        run: identity::report_directory,
        rounds: 100,
        words: JSON,
    },
    Body {
        name: "from_probe",
        run: wire::from_probe,
        rounds: 20_000,
        words: WORDS,
    },
    Body {
        name: "to_probe",
        run: wire::to_probe,
        rounds: 20_000,
        words: WORDS,
    },
    Body {
        name: "join_request",
        run: wire::join_request,
        rounds: 8_000,
        words: WORDS,
    },
    Body {
        name: "join_reply",
        run: wire::join_reply,
        rounds: 2_000,
        words: &[],
    },
    Body {
        name: "dns_answer",
        run: network::dns_answer,
        rounds: 20_000,
        words: &[],
    },
    Body {
        name: "proxy_answer",
        run: network::proxy_answer,
        rounds: 8_000,
        words: &[],
    },
    Body {
        name: "hello_request",
        run: network::hello_request,
        rounds: 8_000,
        words: &[],
    },
    Body {
        name: "hello_reply",
        run: network::hello_reply,
        rounds: 8_000,
        words: &[],
    },
    Body {
        name: "bgp_message",
        run: network::bgp_message,
        rounds: 8_000,
        words: &[],
    },
    Body {
        name: "stamp_packet",
        run: network::stamp_packet,
        rounds: 8_000,
        words: &[],
    },
    Body {
        name: "stamp_reflector",
        run: network::stamp_reflector,
        rounds: 4_000,
        words: &[],
    },
    Body {
        name: "captured_packet",
        run: network::captured_packet,
        rounds: 20_000,
        words: &[],
    },
    Body {
        name: "queued_error",
        run: network::queued_error,
        rounds: 20_000,
        words: &[],
    },
    Body {
        name: "netlink",
        run: kernel::netlink,
        rounds: 20_000,
        words: &[],
    },
    Body {
        name: "socket_list",
        run: kernel::socket_list,
        rounds: 8_000,
        words: &[],
    },
    Body {
        name: "packet_filter",
        run: kernel::packet_filter,
        rounds: 1_500,
        words: KERNEL,
    },
];

/// The body of a name.
pub fn body(name: &str) -> Option<&'static Body> {
    BODIES.iter().find(|body| body.name == name)
}

/// Of cluster files, profiles and policies.
const YAML: &[&str] = &[
    "Cluster",
    "NodePool",
    "Secret",
    "admin",
    "user",
    "hybrid",
    "standalone",
    "bundled",
    "manual",
    "layer2",
    "bgp",
    "1.15",
    "1.29.1100-gke.84",
    "1.33",
    "0",
    "65535",
    "65536",
    "-1",
    "30000-32767",
    "9-1",
    "10.40.1.1",
    "fd00::1",
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/33",
    "tcp",
    "udp",
    "icmp",
    "control_plane",
    "cluster_nodes",
    "true",
    "~",
    "null",
    "{}",
    "[]",
    "!!binary",
    "&a",
    "*a",
    "<<: *a",
    "---\n",
    "- ",
    "\t",
    "\u{feff}",
    "\u{202e}",
    "\"\\x1b[2J\"",
    "|\n",
    "1e999",
    "0x1f",
    "node:",
    "nodePoolSpec:",
    "addresses:",
    "k8sIP:",
    "when:",
    "ports:",
];
/// Of ids, versions, protocols and ports.
const WORDS: &[&str] = &[
    "coordinator",
    "10.0.0.1",
    "::ffff:10.0.0.1",
    "fe80::1%eth0",
    "0000000000000000",
    "1.29",
    "1.029",
    "-gke.1",
    "tcp",
    "udp",
    "icmp",
    "icmpv6",
    "ip",
    "0",
    "1",
    "65535",
    "65536",
    "4294967296",
    ",",
    "-",
    "1-65535",
    "22,80-90",
    "&& ",
    "!",
    "highly_available",
    "\u{1f}",
    "\u{e9}",
];
/// Of evidence, reports and attestations.
const JSON: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1.5",
    "1e400",
    "4294967295",
    "18446744073709551615",
    "18446744073709551616",
    "[]",
    "{}",
    "\"\"",
    "\\u0000",
    "\\ud800",
    "run",
    "swarm",
    "batch",
    "facts",
    "armed",
    "reach",
    "heard",
    "seen",
    "verified",
    "silence",
    "refused",
    "icmp",
    "unproven",
    "connected",
    "no_route",
    "exhausted",
    "not_tried",
    "local_denied",
    "taken",
    "live",
    "bare",
    "source",
    "destination",
    "coordinator",
    "ipv4",
    "ipv6",
    "tcp",
    "udp",
    "1-65535",
    "10250",
    "10.40.1.1",
    "10.40.1.2",
    "joined",
    "not_joined",
    "lost",
    "late",
    "closed",
    "duplicate",
    "interrupted",
    "finished",
    "roster",
    "jump",
    "goto",
    "drop",
    "accept",
    "return",
    "continue",
    "queue",
    "input",
    "output",
    "forward",
    "prerouting",
    "postrouting",
    "ingress",
    "payload",
    "compare",
    "lookup",
    "bitwise",
    "verdict",
    "reject",
    "immediate",
    "range",
    "nat",
    "ct",
    "meta",
    "fib",
    "limit",
];
/// Names of the packet filter's expressions.
const KERNEL: &[&str] = &[
    "meta\0",
    "cmp\0",
    "payload\0",
    "lookup\0",
    "bitwise\0",
    "immediate\0",
    "ct\0",
    "range\0",
    "reject\0",
    "nat\0",
    "fib\0",
    "match\0",
    "target\0",
    "dynset\0",
    "limit\0",
    "byteorder\0",
    "objref\0",
    "input\0",
    "\u{1}\0\u{1}",
    "filter\0",
];
