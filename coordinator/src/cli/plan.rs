//! `plumbline plan`: what would be sent, at which rate, with which privilege, and for how long.

use std::{collections::BTreeMap, fmt::Write as _};

use clap::{Args, ValueEnum};
use plumbline_model::{
    evidence::SwarmKind,
    id::NodeId,
    plan::{Expect, Plan, Sharing},
};
use serde::Serialize;

use super::{
    Failure,
    inputs::{Aim, InputArgs, Inputs},
    print,
    profiles::{plain_table, word},
};
use crate::{exit::Exit, render};

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// The format.
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
    Csv,
}

pub(crate) fn plan(args: &PlanArgs) -> Result<Exit, Failure> {
    let inputs = args.inputs.load(SwarmKind::Joined, Aim::default())?;
    for remark in &inputs.remarks {
        super::remark(remark);
    }
    let text = match args.output {
        Output::Table => table(&inputs),
        Output::Json => json(&inputs)?,
        Output::Csv => csv(&inputs.plan),
    };
    print(&text)?;
    Ok(Exit::Passed)
}

/// How long an audit lasts at its rates, the silence of everything included, and how much it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Effort {
    /// Distinct tests.
    tests: u64,
    /// Pair-ports left to inference.
    inferred: u64,
    /// Ordered pairs.
    pairs: u64,
    /// The most tests that one node makes.
    busiest_source_tests: u64,
    /// Seconds if everything answers.
    seconds_at_least: u64,
    /// Seconds if nothing answers.
    seconds_at_most: u64,
}

fn effort(inputs: &Inputs) -> Effort {
    let (plan, parameters) = (&inputs.plan, &inputs.parameters);
    let index = plan.index();
    let size = index.size();
    let (mut busiest, mut seconds) = (0u64, 0u64);
    for source in &plan.participants {
        let mut own = 0u64;
        let mut by_pair: BTreeMap<NodeId, u64> = BTreeMap::new();
        for target in index.targets_from(*source) {
            let ports = u64::from(target.ports.count());
            own += ports * target.destinations.len() as u64;
            for destination in target.destinations {
                *by_pair.entry(destination).or_default() += ports;
            }
        }
        busiest = busiest.max(own);
        let longest_pair = by_pair.into_values().max().unwrap_or(0);
        let at = |tests: u64, rate: u32| {
            if rate == 0 {
                0
            } else {
                tests.div_ceil(u64::from(rate))
            }
        };
        seconds = seconds
            .max(at(own, parameters.max_rate_node))
            .max(at(longest_pair, parameters.max_rate_pair));
    }
    let silence = u64::from(parameters.attempts) * u64::from(parameters.attempt_timeout_ms);
    // Each silent test takes all of its attempts' connections from the same rates.
    let at_most = seconds * u64::from(parameters.attempts) + silence.div_ceil(1000);
    Effort {
        tests: size.tests,
        inferred: size.inferred,
        pairs: size.pairs,
        busiest_source_tests: busiest,
        seconds_at_least: seconds,
        seconds_at_most: at_most,
    }
}

fn table(inputs: &Inputs) -> String {
    let (inventory, plan, parameters) = (&inputs.inventory, &inputs.plan, &inputs.parameters);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} ({}), version {}\n",
        render::printable(&inventory.name),
        word(&inventory.cluster_type),
        inventory.version
    );

    let mut nodes = plain_table(["NODE", "ROLES", "VERSION", "POOL"]);
    for node in &inventory.nodes {
        let roles: Vec<&str> = node.roles.iter().map(|role| role.as_str()).collect();
        nodes.add_row([
            node.id.to_string(),
            roles.join(" "),
            node.version.to_string(),
            node.pool.clone(),
        ]);
    }
    let _ = writeln!(out, "{}\n", nodes.trim_fmt());

    let mut rules = plain_table(["RULE", "PROTO", "PORTS", "FROM", "TO", "IF IT FAILS", "PURPOSE"]);
    for block in &plan.blocks {
        let how = match (block.expect, block.sharing) {
            (Expect::Open, Sharing::Exhaustive) => "",
            (Expect::Open, Sharing::Strata | Sharing::One) => " (shared among sources)",
            (Expect::Blocked, Sharing::One) => " (must not answer; one source tries)",
            (Expect::Blocked, Sharing::Exhaustive | Sharing::Strata) => " (must not answer)",
        };
        let ports = format!("{}{how}", block.ports);
        rules.add_row([
            block.rule.clone(),
            block.protocol.to_string(),
            ports,
            members(&block.sources),
            members(&block.destinations),
            word(&block.severity),
            block.purpose.clone(),
        ]);
    }
    let _ = writeln!(out, "{}\n", rules.trim_fmt());

    for (source, remedy, rules) in render::gaps_by_source(&plan.no_vantage) {
        let _ = writeln!(
            out,
            "no vantage: nothing of ours stands at {source}, from where {rules} must be reached; {remedy}"
        );
    }
    if !plan.no_vantage.is_empty() {
        out.push('\n');
    }
    let effort = effort(inputs);
    let _ = writeln!(
        out,
        "{} tests over {} ordered pairs, {} more pair-ports inferred; the busiest node makes {}.",
        effort.tests, effort.pairs, effort.inferred, effort.busiest_source_tests
    );
    let _ = writeln!(
        out,
        "About {} s if everything answers, at most {} s if nothing does.\n",
        effort.seconds_at_least, effort.seconds_at_most
    );
    out.push_str(&sent(parameters.max_rate_node, parameters.max_rate_pair));
    out
}

/// What security asks to see first.
fn sent(node: u32, pair: u32) -> String {
    format!(
        "What is sent, and only between the nodes above (and this machine):\n\
         \x20 TCP handshakes to the listed ports, a 56-octet proven hello to our own responder, a RST to close;\n\
         \x20 at most {node} connections a second from a node, {pair} between two nodes; three attempts before silence counts.\n\
         \x20 Control: one TLS 1.3 connection from each node to this machine; nothing listens on a node for it.\n\
         What is bound: on bare nodes the listed ports on the data address, for the length of the run. On live nodes nothing.\n\
         Privileges: ports below 1024 need CAP_NET_BIND_SERVICE; telling a host's firewall from the path needs CAP_NET_RAW\n\
         and CAP_NET_ADMIN (to read packets and rules). What lacks its privilege is reported as not measured.\n\
         What is changed on a node: nothing.\n"
    )
}

fn members(ids: &[NodeId]) -> String {
    /// Beyond this a count says more than a list.
    const LISTED: usize = 4;
    if ids.len() <= LISTED {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        return names.join(" ");
    }
    let nodes = ids.iter().filter(|id| **id != NodeId::Coordinator).count();
    let coordinator = if nodes < ids.len() { " + coordinator" } else { "" };
    format!("{nodes} nodes{coordinator}")
}

#[derive(Debug, Serialize)]
struct PlanJson<'a> {
    cluster: &'a str,
    version: &'a str,
    nodes: &'a [plumbline_model::inventory::Node],
    parameters: &'a plumbline_model::evidence::Parameters,
    effort: Effort,
    #[serde(flatten)]
    plan: &'a Plan,
}

fn json(inputs: &Inputs) -> Result<String, Failure> {
    let json = PlanJson {
        cluster: &inputs.inventory.name,
        version: inputs.inventory.version.as_str(),
        nodes: &inputs.inventory.nodes,
        parameters: &inputs.parameters,
        effort: effort(inputs),
        plan: &inputs.plan,
    };
    let mut text = serde_json::to_string_pretty(&json).map_err(|error| Failure::usage(&error))?;
    text.push('\n');
    Ok(text)
}

fn csv(plan: &Plan) -> String {
    let mut out = String::from("src,dst,family,protocol,ports,rule,expect,severity,purpose\n");
    for block in &plan.blocks {
        for source in &block.sources {
            for destination in &block.destinations {
                let ports = block.ports_for(*source, *destination);
                if ports.is_empty() {
                    continue;
                }
                let _ = writeln!(
                    out,
                    "{source},{destination},{},{},\"{ports}\",{},{},{},{}",
                    block.family,
                    block.protocol,
                    block.rule,
                    word(&block.expect),
                    word(&block.severity),
                    quoted(&block.purpose),
                );
            }
        }
    }
    out
}

/// A CSV field (RFC 4180): quoted, inner quotes doubled; a leading formula character is defused for spreadsheets.
fn quoted(text: &str) -> String {
    let defused = if text.starts_with(['=', '+', '-', '@']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    format!("\"{}\"", defused.replace('"', "\"\""))
}
