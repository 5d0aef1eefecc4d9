use super::*;

fn sample(name: &str) -> SourceText {
    let text = match name {
        "user" => include_str!("../../tests/clusters/01-user-l2-dedicated-lb-1.29.yaml"),
        "hybrid" => include_str!("../../tests/clusters/02-hybrid-l2-1.28.yaml"),
        "admin" => include_str!("../../tests/clusters/04-admin-1.16.yaml"),
        _ => include_str!("../../tests/clusters/07-standalone-dualstack-1.31.yaml"),
    };
    SourceText {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn cluster(name: &str) -> Cluster {
    read(&sample(name)).unwrap_or_else(|refused| panic!("{refused}"))
}

#[test]
fn the_samples_read_as_they_are_written() {
    let user = cluster("user");
    assert_eq!(user.to_string(), "user user-l2 (1.29.1100-gke.84)");
    assert_eq!(user.namespace, "cluster-user-l2");
    assert_eq!(user.load_balancer.nodes.len(), 3);
    assert_eq!(
        user.load_balancer.address_ranges[1].to_string(),
        "10.200.0.240-10.200.0.255"
    );
    assert_eq!(user.pools[0].nodes[3].address.to_string(), "10.210.2.12");
    let hybrid = cluster("hybrid");
    assert_eq!(hybrid.cluster_type, ClusterType::Hybrid);
    assert_eq!(hybrid.max_pods_per_node, Some(250));
    let admin = cluster("admin");
    assert_eq!((admin.control_plane.len(), admin.pools.len()), (1, 0));
    let standalone = cluster("standalone");
    assert_eq!(standalone.network.services[1].to_string(), "fd00:1234:2::/116");
    assert_eq!(standalone.cidr_configs[0].ipv6.unwrap().1, 120);
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let mut source = sample("user");
    for (from, to) in [
        ("type: user", "type: usr"),
        ("profile:", "profil:"),
        ("mode: bundled", "mode: bundle"),
    ] {
        source.text = source.text.replacen(from, to, 1);
    }
    assert_eq!(read(&source).unwrap_err().0.len(), 3);
}

#[test]
fn a_version_that_never_existed_is_one_that_no_table_knows() {
    let profile = crate::profile::read(&crate::profile::builtin("gdc-bare-metal").unwrap()).unwrap();
    for minor in 0..60 {
        let mut source = sample("user");
        source.text = source
            .text
            .replacen("1.29.1100-gke.84", &format!("1.{minor}.0"), 1);
        let standing = profile.standing(format!("1.{minor}").parse().unwrap());
        let exists = !matches!(standing, crate::profile::VersionStanding::NeverExisted { .. });
        assert_eq!(read(&source).is_ok(), exists, "1.{minor}");
    }
}

#[test]
fn a_large_file_of_nonsense_is_refused_with_few_words() {
    let lines: String = (0..100_000).map(|line| format!("key{line}: 1\n")).collect();
    let refused = read(&SourceText {
        name: "f".into(),
        text: lines,
    })
    .unwrap_err();
    assert_eq!(refused.0.len(), 40);
    assert!(
        refused.0[39]
            .help
            .as_ref()
            .unwrap()
            .contains("further complaints follow")
    );
}

#[test]
fn an_empty_file_and_one_without_a_cluster_are_refused() {
    for text in [
        "",
        "---\n# nothing\n",
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n",
    ] {
        let refused = read(&SourceText {
            name: "f".into(),
            text: text.into(),
        })
        .unwrap_err();
        assert_eq!(refused.0[0].message, "no document of kind Cluster", "{text:?}");
    }
}
