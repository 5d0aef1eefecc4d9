//! Taking the packet filter down.

use std::{collections::BTreeMap, io};

use super::{
    kernel as k,
    raw::{Base, Chain, Data, Element, Expression, Rule, Ruleset, Set, Table, expression_names, text},
};
use crate::netlink::{Attribute, Attributes, Error, Message, Protocol, Reply, Socket};

/// Why the packet filter could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The kernel has no nf_tables.
    #[error("read the packet filter: this kernel has no nf_tables")]
    Absent(#[source] Error),
    /// `CAP_NET_ADMIN` over the network namespace is missing.
    #[error("read the packet filter: CAP_NET_ADMIN is missing")]
    Privilege(#[source] Error),
    /// It changed during each attempt.
    #[error("read the packet filter: it changed during each of {GENERATION_ATTEMPTS} attempts")]
    Unstable,
    /// It has more rules than are carried.
    #[error("read the packet filter: it has {rules} rules, of which at most {MAX_RULES} are carried")]
    TooManyRules {
        /// How many there are.
        rules: usize,
    },
    /// The exchange failed.
    #[error("read the packet filter")]
    Exchange(#[source] Error),
    /// The list of legacy tables could not be read.
    #[error("read {path}")]
    Legacy {
        /// The file.
        path: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reads every table, chain, rule and set of the calling thread's network namespace, all of one generation. A namespace
/// without any table gives an empty ruleset.
///
/// # Errors
/// [`ReadError`] as its variants say.
pub fn read() -> Result<Ruleset, ReadError> {
    let mut socket = Socket::open(Protocol::Netfilter).map_err(classify)?;
    for _ in 0..GENERATION_ATTEMPTS {
        let before = generation(&mut socket).map_err(classify)?;
        let tables = match read_tables(&mut |question| socket.dump(question)) {
            Ok(tables) => tables,
            // A table or set that vanishes between two lists, or a list that never held still: the generation has changed.
            Err(error) if matches!(error, Error::Unstable) || error.refused_errno() == Some(libc::ENOENT) => {
                continue;
            }
            Err(error) => return Err(classify(error)),
        };
        if generation(&mut socket).map_err(classify)? == before {
            let rules = tables
                .iter()
                .flat_map(|table| &table.chains)
                .map(|chain| chain.rules.len())
                .sum();
            if rules > MAX_RULES {
                return Err(ReadError::TooManyRules { rules });
            }
            return Ok(Ruleset {
                generation: before,
                tables,
            });
        }
    }
    Err(ReadError::Unstable)
}

/// Tables of the legacy iptables in the calling thread's network namespace, as `ip NAME` or `ip6 NAME`. Their rules are
/// invisible to nf_tables and are not read.
///
/// # Errors
/// [`ReadError::Legacy`] if the list exists and cannot be read.
pub fn legacy_tables() -> Result<Vec<String>, ReadError> {
    let mut tables = Vec::new();
    for (family, path) in LEGACY_LISTS {
        match std::fs::read_to_string(path) {
            Ok(names) => tables.extend(names.lines().map(|name| format!("{family} {name}"))),
            // The module is not loaded.
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ReadError::Legacy { path, source }),
        }
    }
    tables.sort();
    Ok(tables)
}

fn classify(error: Error) -> ReadError {
    match &error {
        Error::Open(source) if source.raw_os_error() == Some(libc::EPROTONOSUPPORT) => {
            ReadError::Absent(error)
        }
        // The netfilter multiplexer answers EINVAL for a subsystem that is not there.
        _ if error.refused_errno() == Some(libc::EINVAL) => ReadError::Absent(error),
        _ if error.refused_errno() == Some(libc::EPERM) => ReadError::Privilege(error),
        _ => ReadError::Exchange(error),
    }
}

fn generation(socket: &mut Socket) -> Result<u32, Error> {
    let reply = socket.get(get(k::MSG_GETGEN, NFPROTO_UNSPEC))?;
    let reply = reply.ok_or(Error::Malformed("no generation in the answer"))?;
    let (_, attributes) = reply.parts::<NFGENMSG_BYTES>()?;
    attributes
        .get(k::GEN_ID)
        .and_then(Attribute::be32)
        .ok_or(Error::Malformed("a generation without a number"))
}

/// Reads every table, chain, rule and set out of the answers to its questions: `list` answers a question with a list, as
/// [`Socket::dump`] does. Apart from [`read()`] so that answers can come from elsewhere than the kernel.
///
/// # Errors
/// What `list` refuses, and answers that do not parse.
pub fn read_tables(
    list: &mut impl FnMut(&Message) -> Result<Vec<Reply>, Error>,
) -> Result<Vec<Table>, Error> {
    let mut tables = Vec::new();
    each(
        &list(&get(k::MSG_GETTABLE, NFPROTO_UNSPEC))?,
        |family, attributes| {
            tables.push(Table {
                family,
                name: text(attributes, k::TABLE_NAME),
                flags: number(attributes, k::TABLE_FLAGS),
                chains: Vec::new(),
                sets: Vec::new(),
            });
            Ok(())
        },
    )?;
    let index: BTreeMap<(u8, String), usize> = tables
        .iter()
        .enumerate()
        .map(|(at, table)| ((table.family, table.name.clone()), at))
        .collect();
    let find = |family: u8, name: String| index.get(&(family, name)).copied();

    each(
        &list(&get(k::MSG_GETCHAIN, NFPROTO_UNSPEC))?,
        |family, attributes| {
            let chain = read_chain(attributes)?;
            if let Some(at) = find(family, text(attributes, k::CHAIN_TABLE)) {
                tables[at].chains.push(chain);
            }
            Ok(())
        },
    )?;
    each(
        &list(&get(k::MSG_GETRULE, NFPROTO_UNSPEC))?,
        |family, attributes| {
            let rule = read_rule(attributes)?;
            let chain_name = text(attributes, k::RULE_CHAIN);
            let chains = find(family, text(attributes, k::RULE_TABLE)).map(|at| &mut tables[at].chains);
            if let Some(chain) = chains.and_then(|all| all.iter_mut().find(|chain| chain.name == chain_name))
            {
                chain.rules.push(rule);
            }
            Ok(())
        },
    )?;
    each(
        &list(&get(k::MSG_GETSET, NFPROTO_UNSPEC))?,
        |family, attributes| {
            let set = read_set(attributes)?;
            if let Some(at) = find(family, text(attributes, k::SET_TABLE)) {
                tables[at].sets.push(set);
            }
            Ok(())
        },
    )?;
    for table in &mut tables {
        for set in &mut table.sets {
            read_elements(list, table.family, &table.name, set)?;
        }
    }
    Ok(tables)
}

fn read_chain(attributes: Attributes<'_>) -> Result<Chain, Error> {
    let base = match attributes.get(k::CHAIN_HOOK) {
        Some(hook) => {
            let hook = hook.nested()?;
            let mut devices: Vec<String> = hook
                .get(k::HOOK_DEV)
                .and_then(Attribute::text)
                .map(str::to_owned)
                .into_iter()
                .collect();
            if let Some(list) = hook.get(k::HOOK_DEVS) {
                let names = list.nested()?;
                devices = names
                    .iter()
                    .filter(|(kind, _)| *kind == k::DEVICE_NAME)
                    .filter_map(|(_, name)| name.text().map(str::to_owned))
                    .collect();
            }
            Some(Base {
                hook: number(hook, k::HOOK_HOOKNUM),
                priority: number(hook, k::HOOK_PRIORITY).cast_signed(),
                policy: attributes
                    .get(k::CHAIN_POLICY)
                    .and_then(Attribute::be32)
                    .unwrap_or(k::VERDICT_ACCEPT),
                kind: text(attributes, k::CHAIN_TYPE),
                devices,
            })
        }
        None => None,
    };
    Ok(Chain {
        name: text(attributes, k::CHAIN_NAME),
        base,
        rules: Vec::new(),
    })
}

fn read_rule(attributes: Attributes<'_>) -> Result<Rule, Error> {
    let mut expressions = Vec::new();
    if let Some(list) = attributes.get(k::RULE_EXPRESSIONS) {
        for (kind, element) in list.nested()?.iter() {
            if kind == k::LIST_ELEM {
                expressions.push(Expression::parse(element.nested()?));
            }
        }
    }
    Ok(Rule {
        handle: attributes
            .get(k::RULE_HANDLE)
            .and_then(Attribute::be64)
            .unwrap_or(0),
        expressions,
        comment: attributes
            .get(k::RULE_USERDATA)
            .and_then(|data| comment(data.bytes())),
    })
}

/// User data is a run of type, length (one octet each) and value; nft ends the comment with a zero octet.
pub(super) fn comment(mut userdata: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = userdata {
        let value = rest.get(..usize::from(*length))?;
        if *kind == k::USERDATA_COMMENT {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return std::str::from_utf8(text).ok().map(str::to_owned);
        }
        userdata = &rest[value.len()..];
    }
    None
}

fn read_set(attributes: Attributes<'_>) -> Result<Set, Error> {
    let mut fields = Vec::new();
    let description = attributes.get(k::SET_DESC).map(Attribute::nested).transpose()?;
    if let Some(concatenation) = description.and_then(|inner| inner.get(k::SET_DESC_CONCAT)) {
        for (_, field) in concatenation.nested()?.iter() {
            fields.push(number(field.nested()?, k::SET_FIELD_LEN));
        }
    }
    Ok(Set {
        name: text(attributes, k::SET_NAME),
        flags: number(attributes, k::SET_FLAGS),
        key_length: number(attributes, k::SET_KEY_LEN),
        fields,
        elements: Vec::new(),
        truncated: false,
    })
}

fn read_elements(
    list: &mut impl FnMut(&Message) -> Result<Vec<Reply>, Error>,
    family: u8,
    table: &str,
    set: &mut Set,
) -> Result<(), Error> {
    let request = get(k::MSG_GETSETELEM, family).with(|top| {
        top.text(k::ELEMENTS_TABLE, table)
            .text(k::ELEMENTS_SET, &set.name);
    });
    each(&list(&request)?, |_, attributes| {
        let Some(elements) = attributes.get(k::ELEMENTS_ELEMENTS) else {
            return Ok(());
        };
        for (_, element) in elements.nested()?.iter() {
            if set.elements.len() == MAX_ELEMENTS {
                set.truncated = true;
                break;
            }
            set.elements.push(read_element(element.nested()?)?);
        }
        Ok(())
    })
}

fn read_element(attributes: Attributes<'_>) -> Result<Element, Error> {
    let data = |attribute: u16| attributes.get(attribute).map_or(Ok(None), Data::parse);
    let octets = |data: Option<Data>| match data {
        Some(Data::Value(octets)) => Some(octets),
        _ => None,
    };
    Ok(Element {
        key: octets(data(k::ELEMENT_KEY)?).unwrap_or_default(),
        key_end: octets(data(k::ELEMENT_KEY_END)?),
        flags: number(attributes, k::ELEMENT_FLAGS),
        data: data(k::ELEMENT_DATA)?,
        expressions: expression_names(attributes, k::ELEMENT_EXPR, k::ELEMENT_EXPRESSIONS),
    })
}

fn each(
    replies: &[Reply],
    mut take: impl FnMut(u8, Attributes<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    for reply in replies {
        let (nfgenmsg, attributes) = reply.parts::<NFGENMSG_BYTES>()?;
        take(nfgenmsg[0], attributes)?;
    }
    Ok(())
}

/// A number that the kernel leaves out where it is 0.
fn number(attributes: Attributes<'_>, attribute: u16) -> u32 {
    attributes.get(attribute).and_then(Attribute::be32).unwrap_or(0)
}

fn get(message: u16, family: u8) -> Message {
    Message::new(k::message_type(message), 0, &[family, 0, 0, 0])
}

/// `/proc/net` would show the namespace of the process's first thread.
const LEGACY_LISTS: [(&str, &str); 2] = [
    ("ip", "/proc/thread-self/net/ip_tables_names"),
    ("ip6", "/proc/thread-self/net/ip6_tables_names"),
];
/// Tools change a ruleset once in seconds; one that changes during each of five readings of milliseconds is being rewritten
/// in a loop.
const GENERATION_ATTEMPTS: usize = 5;
/// Elements kept of one set: a hand-written set has dozens; lists of whole countries would make the evidence megabytes.
const MAX_ELEMENTS: usize = 4_096;
/// Rules carried: 30 times a firewalld host. A live node whose services make more is judged without its ruleset.
const MAX_RULES: usize = 10_000;
/// `struct nfgenmsg`.
const NFGENMSG_BYTES: usize = 4;
const NFPROTO_UNSPEC: u8 = 0;
