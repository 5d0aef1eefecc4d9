//! Options, extension and composition, on small profiles of the test's own.

use super::*;
use crate::{cluster, inventory::Inventory, source::SourceText};

const BASE: &str = r#"
schema: plumbline/profile/v1
id: base
title: a distribution
sources: [a page]
composes: [{profile: plugin, sets: {mode: "off", tunnel: geneve}}]
options:
  mode: {title: who carries pods, values: [builtin, "off"], default: builtin}
variables: {api: 6443}
rules:
  - {id: api, to: control_plane, protocol: tcp, ports: [$api], from: [cluster_nodes], used_by: all, purpose: API, cited: [a page]}
  - {id: both, to: any_node, protocol: tcp+udp, ports: [7946], from: [cluster_nodes], when: mode == builtin, used_by: all, purpose: gossip, cited: [a page]}
"#;

const PLUGIN: &str = r#"
schema: plumbline/profile/v1
id: plugin
aliases: [cni-plugin]
title: a network plugin
sources: [a page]
options:
  tunnel: {title: the overlay, values: [vxlan, geneve], default: vxlan}
  metrics: {title: whether it is scraped, kind: bool, default: false}
rules:
  - {id: plugin.geneve, to: any_node, protocol: udp, ports: [6081], from: [cluster_nodes], when: tunnel == geneve, used_by: all, purpose: overlay, cited: [a page]}
  - {id: plugin.metrics, to: any_node, protocol: tcp, ports: [9962], from: [cluster_nodes], when: metrics, used_by: all, purpose: metrics, cited: [a page]}
  - {id: plugin.esp, to: any_node, protocol: "ip:50", from: [cluster_nodes], used_by: all, purpose: tunnel, cited: [a page]}
"#;

const CHILD: &str = r#"
schema: plumbline/profile/v1
id: child
title: built upon base
sources: [a page]
extends: [base]
replaces: [both]
rules:
  - {id: own, to: worker, protocol: tcp, ports: [$api], from: [worker], when: mode == builtin, used_by: all, purpose: own, cited: [a page]}
"#;

fn text(name: &str, text: &str) -> SourceText {
    SourceText {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn added() -> Vec<SourceText> {
    vec![
        text("child.yaml", CHILD),
        text("base.yaml", BASE),
        text("plugin.yaml", PLUGIN),
    ]
}

fn inventory(profile: &str, with: &[&str]) -> Inventory {
    let sample = include_str!("../../../tests/clusters/02-hybrid-l2-1.28.yaml");
    let read = cluster::read(&text("cluster.yaml", sample)).unwrap();
    Inventory {
        profile: profile.to_owned(),
        with: with.iter().map(|name| (*name).to_owned()).collect(),
        variables: [].into(),
        ..Inventory::derive(&read.cluster)
    }
}

fn names(texts: &[SourceText]) -> Vec<&str> {
    texts.iter().map(|text| text.name.as_str()).collect()
}

fn rules_of(inventory: &Inventory, profiles: &[Profile]) -> Vec<String> {
    let rules = profiles.iter().flat_map(|profile| &profile.rules);
    rules
        .filter(|rule| rule.holds_for(inventory))
        .map(|rule| format!("{} {}", rule.id, rule.protocol))
        .collect()
}

fn refusal(text: &str) -> String {
    let source = self::text("p.yaml", text);
    read_among(&source, &added()).expect_err("accepted").to_string()
}

#[test]
fn a_clusters_profiles_come_with_those_that_they_extend_each_once_and_the_users_last() {
    let texts = texts_for(&inventory("child", &["cni-plugin"]), added()).unwrap();
    assert_eq!(names(&texts), ["child.yaml", "base.yaml", "plugin.yaml"]);
    let texts = texts_for(&inventory("gdc-bare-metal", &[]), added()).unwrap();
    assert_eq!(
        names(&texts),
        ["gdc-bare-metal", "child.yaml", "base.yaml", "plugin.yaml"]
    );
}

#[test]
fn an_unknown_profile_is_refused_with_the_nearest_name_and_a_foreign_plugin_with_what_fits() {
    let unknown = texts_for(&inventory("gdc-baremetal", &[]), Vec::new()).unwrap_err();
    assert!(
        unknown.to_string().contains("did you mean gdc-bare-metal?"),
        "{unknown}"
    );
    let foreign = texts_for(&inventory("base", &["gdc-bare-metal"]), added()).unwrap_err();
    assert!(foreign.to_string().contains("it takes plugin.yaml"), "{foreign}");
}

#[test]
fn options_take_the_inventorys_value_else_the_compositions_else_the_profiles() {
    let plain = inventory("base", &[]);
    let texts = texts_for(
        &plain,
        added()[1..2]
            .to_vec()
            .into_iter()
            .chain([added()[2].clone()])
            .collect(),
    )
    .unwrap();
    // The plugin is among the texts, so it is composed in.
    let with_plugin = all(&texts, None).unwrap();
    assert_eq!(
        rules_of(&plain, &with_plugin),
        ["api tcp", "plugin.geneve udp", "plugin.esp ip:50"]
    );
    let alone = all(
        &[text("base.yaml", &BASE.replace("composes", "# composes"))],
        None,
    )
    .unwrap();
    assert_eq!(rules_of(&plain, &alone), ["api tcp", "both tcp", "both udp"]);
    let set = Inventory {
        options: [("tunnel", "vxlan"), ("metrics", "true"), ("mode", "builtin")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..plain
    };
    assert_eq!(
        rules_of(&set, &with_plugin),
        [
            "api tcp",
            "both tcp",
            "both udp",
            "plugin.metrics tcp",
            "plugin.esp ip:50"
        ]
    );
    assert_eq!(check_options(&set, &with_plugin), []);
}

#[test]
fn what_no_profile_knows_is_a_misfit_with_the_nearest_word() {
    let profiles = all(&added(), None).unwrap();
    let wrong = Inventory {
        options: [("tunnl", "vxlan"), ("metrics", "yes"), ("tunnel", "vxlam")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        variables: [("apii".to_owned(), 7443)].into(),
        ..inventory("child", &[])
    };
    let misfits: Vec<String> = check_options(&wrong, &profiles)
        .iter()
        .map(|misfit| format!("{misfit}: {}", misfit.help))
        .collect();
    assert_eq!(
        misfits,
        [
            "`yes` is no value of the option `metrics` of profile plugin: valid: false, true",
            "`vxlam` is no value of the option `tunnel` of profile plugin: did you mean `vxlan`? valid: vxlan, geneve",
            "no profile of this run declares the option `tunnl`: did you mean `tunnel`?",
            "no profile of this run declares the variable `apii`: did you mean `api`?",
        ]
    );
}

#[test]
fn a_variable_of_the_inventory_moves_the_port_in_those_that_extend_too() {
    let moved = Inventory {
        variables: [("api".to_owned(), 7443)].into(),
        ..inventory("child", &[])
    };
    let profiles = all(&added(), None).unwrap();
    let rules = profiles.iter().flat_map(|profile| &profile.rules);
    let ports: Vec<String> = rules
        .filter(|rule| ["api", "own"].contains(&rule.id.as_str()))
        .map(|rule| rule.ports_in(&moved).to_string())
        .collect();
    assert_eq!(ports, ["7443", "7443"]);
}

#[test]
fn a_rule_that_another_profile_replaces_does_not_apply() {
    let inventory = inventory("child", &[]);
    let texts = [added()[0].clone(), added()[1].clone()];
    let library = added();
    let mut profiles = vec![
        read_among(&texts[0], &library).unwrap(),
        read_among(&texts[1], &library).unwrap(),
    ];
    library::replace_rules(&mut profiles);
    assert_eq!(rules_of(&inventory, &profiles), ["own tcp", "api tcp"]);
}

#[test]
fn one_rule_id_in_two_profiles_of_a_run_is_refused_with_its_line() {
    let twin = PLUGIN.replace("plugin.esp", "api");
    let mut texts = added();
    texts[2].text = twin;
    let refused = all(&texts, None).unwrap_err();
    assert_eq!(
        refused.to_string().lines().next(),
        Some("plugin.yaml:13:5: rule id `api` is also in profile base")
    );
}

#[test]
fn a_protocol_without_ports_is_a_row_without_ports() {
    let plugin = read(&text("plugin.yaml", PLUGIN)).unwrap();
    let rows = plugin.rows_of_every_version(None);
    let esp = rows.iter().find(|row| row.id == "plugin.esp").unwrap();
    assert_eq!((esp.first_port, esp.last_port), (None, None));
    let json = serde_json::to_value(esp).unwrap();
    assert!(json.get("first_port").is_none(), "{json}");
}

#[test]
fn slips_in_the_head_and_in_conditions_are_named_with_the_nearest_word() {
    let cases = [
        (
            BASE,
            "mode == builtin",
            "mode == buildin",
            "did you mean `mode == builtin`?",
        ),
        (BASE, "mode == builtin", "mode", "read the term \"mode\""),
        (PLUGIN, "when: metrics", "when: metric", "did you mean `metrics`?"),
        (PLUGIN, "when: metrics", "when: metrics == true", "read the term"),
        (
            PLUGIN,
            "default: vxlan",
            "default: vxlann",
            "did you mean `vxlan`?",
        ),
        (
            PLUGIN,
            "  tunnel:",
            "  lb_mode:",
            "cannot be the name of an option",
        ),
        (PLUGIN, "kind: bool", "kind: boool", "did you mean `bool`?"),
        (
            BASE,
            "{profile: plugin,",
            "{profile: plugins,",
            "did you mean `plugin`?",
        ),
        (
            BASE,
            "tunnel: geneve}",
            "tunel: geneve}",
            "`tunel: geneve` is no option",
        ),
        (
            CHILD,
            "extends: [base]",
            "extends: [bass]",
            "did you mean `base`?",
        ),
        (CHILD, "extends: [base]", "extends: [child]", "extends itself"),
        (
            CHILD,
            "replaces: [both]",
            "replaces: [bothh]",
            "did you mean `both`?",
        ),
        (
            CHILD,
            "id: own",
            "id: api",
            "is taken by a profile that this one extends",
        ),
        (CHILD, "[$api]", "[$apj]", "did you mean `$api`?"),
        (
            PLUGIN,
            "protocol: \"ip:50\"",
            "protocol: \"ip:50\", ports: [1]",
            "remove `ports`",
        ),
        (
            PLUGIN,
            "when: metrics",
            "verified: false",
            "nobody verified can only warn",
        ),
    ];
    for (base, from, to, message) in cases {
        assert!(base.contains(from), "{from}");
        let refused = refusal(&base.replacen(from, to, 1));
        assert!(refused.contains(message), "{to}: {refused}");
    }
}

#[test]
fn one_slip_is_one_complaint_and_what_follows_from_it_none() {
    let slips = CHILD
        .replace("extends: [base]", "extends: [bas]")
        .replace("from: [worker]", "fromm: [worker]");
    let refused = lint(&text("child.yaml", &slips), &[text("base.yaml", BASE)]).unwrap_err();
    let told: Vec<&str> = refused.0.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(told, ["unknown profile `bas`", "unknown field `rules[0].fromm`"]);
}

#[test]
fn two_profiles_that_extend_each_other_get_one_complaint_each() {
    let circular = BASE.replacen("id: base", "id: base\nextends: [child]", 1);
    let (base, child) = (text("base.yaml", &circular), text("child.yaml", CHILD));
    for (profile, other, named) in [(&child, &base, "base"), (&base, &child, "child")] {
        let others = [other.clone(), text("plugin.yaml", PLUGIN)];
        let refused = lint(profile, &others).unwrap_err();
        let told: Vec<&str> = refused.0.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(told, [format!("`{named}` extends this profile in turn")]);
    }
    let refused = all(&[child, base], None).unwrap_err().to_string();
    assert!(
        refused.contains("remove it from `extends` of one of the two"),
        "{refused}"
    );
}

#[test]
fn a_circle_of_three_profiles_is_told_and_ends() {
    let further = "schema: plumbline/profile/v1\nid: further\ntitle: closes it\nsources: [a page]\nextends: [child]\nrules: []\n";
    let base = BASE.replacen("id: base", "id: base\nextends: [further]", 1);
    let others = [text("base.yaml", &base), text("further.yaml", further)];
    let refused = lint(&text("child.yaml", CHILD), &others).unwrap_err();
    let told: Vec<&str> = refused.0.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(told, ["`base` extends this profile in turn"]);
}
