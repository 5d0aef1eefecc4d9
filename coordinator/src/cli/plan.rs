//! `plumbline plan`: what would be sent, at which rate, with which privilege, and for how long.

mod effort;
mod errands;

use std::{collections::BTreeMap, fmt::Write as _};

use clap::{Args, ValueEnum};
use comfy_table::Table;
use plumbline_model::{
    evidence::SwarmKind,
    id::NodeId,
    inventory::Inventory,
    plan::{Block, Expect, Plan, Sharing},
    port::Family,
    profile::{Profile, Source},
    source::Gravity,
};
use serde::Serialize;

use self::effort::{Effort, sent};
use super::{
    Failure,
    inputs::{Aim, InputArgs, Inputs},
    print,
    profiles::{plain_table, word},
};
use crate::{
    exit::Exit,
    render::{self, csv},
};

const EXAMPLES: &str = "\
Nothing is sent.

Examples:
  plumbline plan cluster.yaml                      nodes, rules, packets, privileges, duration
  plumbline plan cluster.yaml --nodes 10.0.0.4     what one node would do
  plumbline plan cluster.yaml --version 1.30       with the ports of another version, too
  plumbline plan cluster.yaml -o csv               every connection that must be open";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
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
    for finding in &inputs.findings {
        super::remark(&finding.to_string());
    }
    let contradictions = inputs
        .findings
        .iter()
        .filter(|finding| finding.gravity <= Gravity::Contradiction);
    if contradictions.count() > 0 {
        return Err(Failure::usage_message(format!(
            "plan: the file contradicts itself, and a plan of it would be of another cluster: mend the lines above; `plumbline \
             check {} --only config` makes a report of them",
            args.inputs.files()
        )));
    }
    let text = match args.output {
        Output::Table => table(&inputs),
        Output::Json => json(&inputs)?,
        Output::Csv => connections(&inputs.plan, &inputs.profiles),
    };
    print(&text)?;
    Ok(Exit::Passed)
}

fn table(inputs: &Inputs) -> String {
    let (inventory, plan, parameters) = (&inputs.inventory, &inputs.plan, &inputs.parameters);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} ({}), version {}\n",
        render::printable(&inventory.name),
        inventory
            .cluster_type
            .map_or_else(|| inventory.profile.clone(), |kind| word(&kind)),
        inventory.version
    );

    out.push_str(&settings(inputs));
    out.push_str(&nodes(inventory));
    if !plan.blocks.is_empty() {
        let _ = writeln!(out, "{}\n", rules_table(plan).trim_fmt());
    }
    out.push_str(&untested(plan));
    let effort = Effort::of(plan, parameters);
    out.push_str(&made(plan, &effort));
    if !plan.participants.is_empty() {
        out.push_str(&errands::beside(&plan.errands, parameters));
        out.push_str(&sent(&effort, !plan.errands.is_empty(), parameters));
    }
    out
}

/// The nodes, one line each, and the vantages if there are any.
fn nodes(inventory: &Inventory) -> String {
    let mut nodes = plain_table(["NODE", "ROLES", "VERSION", "POOL", "LABELS"]);
    for node in &inventory.nodes {
        let roles: Vec<&str> = node.roles.iter().map(|role| role.as_str()).collect();
        let labels: Vec<String> = (node.labels.iter())
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        nodes.add_row([
            node.id.to_string(),
            roles.join(" "),
            node.version.to_string(),
            render::printable(&node.pool),
            render::printable(&labels.join(" ")),
        ]);
    }
    let mut out = format!("{}\n\n", nodes.trim_fmt());
    if !inventory.vantages.is_empty() {
        let mut vantages = plain_table(["VANTAGE", "NAME", "STANDS FOR"]);
        for vantage in &inventory.vantages {
            let sources: Vec<&str> = vantage.stands_for.iter().map(Source::word).collect();
            let name = render::printable(&vantage.name);
            vantages.add_row([vantage.id.to_string(), name, sources.join(" ")]);
        }
        let _ = writeln!(out, "{}\n", vantages.trim_fmt());
    }
    out
}

/// What the port tables ask for and nobody can test.
fn untested(plan: &Plan) -> String {
    let mut out = String::new();
    for (source, remedy, rules) in render::gaps_by_source(&plan.no_vantage) {
        let _ = writeln!(
            out,
            "no vantage: nothing of ours stands at {source}, from where {rules} must be reached; {remedy}"
        );
    }
    for rule in &plan.not_tested {
        let _ = writeln!(
            out,
            "not tested: {}, {} ({}): a protocol without ports, which no probe sends",
            rule.protocol.words(),
            render::printable(&rule.purpose),
            rule.rule
        );
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// How many tests are made, and how long that takes.
fn made(plan: &Plan, effort: &Effort) -> String {
    if effort.tests > 0 {
        return format!(
            "{} over {}, {} inferred; the busiest node makes {}.\nAbout {} s if everything answers; at most {} s if nothing \
             does, and seconds more to look again at what failed.\n\n",
            render::count(effort.tests, "test"),
            render::count(effort.pairs, "ordered pair"),
            render::count(effort.inferred, "more pair-port"),
            effort.busiest_source_tests,
            effort.seconds_at_least,
            effort.seconds_at_most
        );
    }
    if plan.participants.is_empty() {
        "No port is tested and no node is asked: the file alone is checked.\n".to_owned()
    } else {
        "No port is tested: each node is asked whether it can be reached and driven.\n\n".to_owned()
    }
}

/// What the profiles let a cluster set: the value, and whether the file says it.
#[derive(Debug, Serialize)]
struct Setting<'a> {
    profile: &'a str,
    option: &'a str,
    value: &'a str,
    default: bool,
}

fn options(inputs: &Inputs) -> Vec<Setting<'_>> {
    let inventory = &inputs.inventory;
    let all = inputs.profiles.iter().flat_map(|profile| {
        profile.options.keys().filter_map(move |option| {
            Some(Setting {
                profile: &profile.id,
                option,
                value: profile.value_of(option, inventory)?,
                default: !inventory.options.contains_key(option),
            })
        })
    });
    all.collect()
}

/// The profiles and their options, one line each; nothing where there is nothing to choose.
fn settings(inputs: &Inputs) -> String {
    let options = options(inputs);
    if options.is_empty() {
        return String::new();
    }
    let mut table = plain_table(["PROFILE", "OPTION", "VALUE", ""]);
    for option in options {
        let origin = if option.default { "default" } else { "" };
        table.add_row([option.profile, option.option, option.value, origin]);
    }
    format!("{}\n\n", table.trim_fmt())
}

/// The rules, one line each: what both families have in common stands on one.
fn rules_table(plan: &Plan) -> Table {
    let mut table = plain_table([
        "RULE",
        "PROTO",
        "IP",
        "PORTS",
        "FROM",
        "TO",
        "IF IT FAILS",
        "PURPOSE",
    ]);
    let mut families: Vec<(&Block, Vec<Family>)> = Vec::new();
    for block in &plan.blocks {
        let same = families
            .iter_mut()
            .find(|(other, _)| is_same_but_for_family(other, block));
        match same {
            Some((_, families)) => families.push(block.family),
            None => families.push((block, vec![block.family])),
        }
    }
    for (block, families) in families {
        let how = match (block.expect, block.sharing) {
            (Expect::Open, Sharing::Exhaustive) => "",
            (Expect::Open, Sharing::Strata | Sharing::One) => " (shared among sources)",
            (Expect::Blocked, Sharing::One) => " (must not answer; one source tries)",
            (Expect::Blocked, Sharing::Exhaustive | Sharing::Strata) => " (must not answer)",
        };
        let versions = families.iter().map(|family| match family {
            Family::Ipv4 => "4",
            Family::Ipv6 => "6",
        });
        table.add_row([
            block.rule.clone(),
            block.protocol.to_string(),
            versions.collect::<Vec<_>>().join(" "),
            format!("{}{how}", block.ports),
            members(&block.sources),
            members(&block.destinations),
            word(&block.severity),
            block.purpose.clone(),
        ]);
    }
    table
}

fn is_same_but_for_family(a: &Block, b: &Block) -> bool {
    a.family != b.family
        && (&a.rule, a.protocol, a.expect, a.sharing) == (&b.rule, b.protocol, b.expect, b.sharing)
        && (&a.ports, &a.sources, &a.destinations) == (&b.ports, &b.sources, &b.destinations)
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
    profiles: Vec<&'a str>,
    options: Vec<Setting<'a>>,
    vantages: &'a [plumbline_model::inventory::Vantage],
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
        profiles: inputs
            .profiles
            .iter()
            .map(|profile| profile.id.as_str())
            .collect(),
        options: options(inputs),
        vantages: &inputs.inventory.vantages,
        nodes: &inputs.inventory.nodes,
        parameters: &inputs.parameters,
        effort: Effort::of(&inputs.plan, &inputs.parameters),
        plan: &inputs.plan,
    };
    let mut text = serde_json::to_string_pretty(&json).map_err(|error| Failure::usage(&error))?;
    text.push('\n');
    Ok(text)
}

/// What has to be let through, whole: which source asks for which share of a large range is nothing to a firewall.
fn connections(plan: &Plan, profiles: &[Profile]) -> String {
    let mut out = csv::Table::new(&[
        "src", "dst", "family", "protocol", "ports", "rule", "expect", "severity", "purpose", "citation",
    ]);
    let rules = profiles.iter().flat_map(|profile| &profile.rules);
    let cited: BTreeMap<&str, String> = rules
        .map(|rule| (rule.id.as_str(), rule.cited.join("; ")))
        .collect();
    for block in &plan.blocks {
        let citation = cited.get(block.rule.as_str()).cloned().unwrap_or_default();
        for source in &block.sources {
            for destination in &block.destinations {
                if source == destination || block.ports.is_empty() {
                    continue;
                }
                out.row(&[
                    source.to_string(),
                    destination.to_string(),
                    block.family.word().to_owned(),
                    block.protocol.to_string(),
                    block.ports.to_string(),
                    block.rule.clone(),
                    word(&block.expect),
                    word(&block.severity),
                    block.purpose.clone(),
                    citation.clone(),
                ]);
            }
        }
    }
    out.into_text()
}
