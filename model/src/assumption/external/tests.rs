//! What is told of the outside, of hand-made sights.

use crate::{
    cause::CauseKind,
    errand::{Anchors, Via},
    evidence::Group,
    inventory::Server,
    observation::{
        Connected, Dialled, HostSettings, Issued, NoConnection, Record, SiteOutcome, SiteSeen, Unasked,
        Unresolved, Untrusted,
    },
    report::{
        Finding, Verdict,
        stage::{Stage, node},
    },
};

const NODES: [&str; 3] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
const SITES: [&str; 2] = ["a.example", "b.example"];

fn sound() -> SiteOutcome {
    SiteOutcome::Trusted(Connected {
        took_ms: 20,
        issuer: "CN=Plant Root".to_owned(),
    })
}

fn silent() -> SiteOutcome {
    SiteOutcome::NoConnection {
        why: NoConnection::Silent,
    }
}

fn signed_by(issuer: &str) -> SiteOutcome {
    SiteOutcome::Untrusted {
        why: Untrusted::UnknownIssuer,
        chain: vec![Issued {
            subject: "CN=a.example".to_owned(),
            issuer: issuer.to_owned(),
        }],
    }
}

/// Every node tells what it saw of every site.
fn findings(saw: impl Fn(&str, &str) -> SiteOutcome) -> Vec<Finding> {
    findings_among(&[Group::External], saw)
}

/// The same in a run that asks for other things as well, of hosts that are namespaces of one machine.
fn findings_among(groups: &[Group], saw: impl Fn(&str, &str) -> SiteOutcome) -> Vec<Finding> {
    let mut stage = Stage::of(&NODES);
    stage.parameters.groups = groups.to_vec();
    stage = stage.with_inventory(|inventory| {
        inventory.outward.roots = vec!["a root".to_owned()];
        let server = |host: &&str| Server {
            host: (*host).to_owned(),
            port: 443,
        };
        inventory.outward.sites = SITES.iter().map(server).collect();
    });
    for on in NODES {
        let mut settings = HostSettings::default();
        settings.machine.is_part = Some(true);
        stage = stage.tells(on, Record::Host(Box::new(settings)));
        for host in SITES {
            let seen = SiteSeen {
                host: host.to_owned(),
                port: 443,
                via: Via::Direct,
                anchors: Anchors::Given,
                addresses: Vec::new(),
                outcome: saw(on, host),
            };
            stage = stage.tells(on, Record::Dialled(Dialled::Site(seen)));
        }
    }
    let mut findings = stage.report().findings;
    findings.retain(|finding| finding.check.starts_with("EXT-"));
    findings
}

fn only(findings: Vec<Finding>) -> Finding {
    assert_eq!(findings.len(), 1, "{findings:#?}");
    findings.into_iter().next().unwrap()
}

#[test]
fn sites_that_everybody_reaches_are_no_news() {
    assert_eq!(findings(|_, _| sound()), []);
}

#[test]
fn a_node_that_reaches_nothing_is_one_finding_at_the_node() {
    let finding = only(findings(|on, host| match (on, host) {
        ("10.0.0.2", "a.example") => silent(),
        ("10.0.0.2", _) => SiteOutcome::Unasked {
            why: Unasked::Hopeless,
        },
        _ => sound(),
    }));
    assert_eq!(finding.cause.kind, CauseKind::ExternalUnreachable);
    assert_eq!(finding.cause.node, Some(node("10.0.0.2")));
    assert_eq!(finding.check, "EXT-005");
    assert!(
        !finding.cause.detail.contains("b.example"),
        "of what was not asked nothing is known: {}",
        finding.cause.detail
    );
}

#[test]
fn what_was_not_asked_or_is_forbidden_is_broken_for_nobody() {
    let hopeless = SiteOutcome::Unasked {
        why: Unasked::Hopeless,
    };
    let forbidden = SiteOutcome::NoConnection {
        why: NoConnection::Policy,
    };
    for unasked in [hopeless, forbidden] {
        let finding = only(findings(|on, host| match (on, host) {
            ("10.0.0.2", "b.example") => unasked.clone(),
            _ => sound(),
        }));
        assert_eq!(finding.cause.kind, CauseKind::Unmeasured, "{unasked:?}");
        assert_eq!(finding.cause.node, Some(node("10.0.0.2")));
    }
}

#[test]
fn an_outside_that_answers_nobody_in_a_lab_is_held_against_nobody_unless_it_was_asked_for_alone() {
    let all = [Group::Reach, Group::Host, Group::External];
    assert_eq!(findings_among(&all, |_, _| silent()), []);
    assert!(!findings(|_, _| silent()).is_empty());
    let a_proxy_signs = |on: &str, _: &str| {
        if on == NODES[0] {
            signed_by("CN=Middlebox")
        } else {
            silent()
        }
    };
    assert!(!findings_among(&all, a_proxy_signs).is_empty());
}

#[test]
fn a_site_that_nobody_reaches_is_one_finding_at_no_node() {
    let finding = only(findings(
        |_, host| if host == "a.example" { silent() } else { sound() },
    ));
    assert_eq!(finding.cause.node, None);
    assert!(
        finding.cause.detail.contains("a.example:443"),
        "{}",
        finding.cause.detail
    );
    assert!(!finding.cause.detail.contains("b.example"));
}

#[test]
fn one_signer_is_one_finding_whoever_meets_it() {
    let finding = only(findings(|on, host| match (on, host) {
        ("10.0.0.1", "b.example") => sound(),
        _ => signed_by("CN=Middlebox"),
    }));
    assert_eq!(finding.cause.kind, CauseKind::TlsIntercepted);
    assert!(finding.cause.detail.contains("CN=Middlebox"));
}

#[test]
fn name_servers_that_fail_are_told_apart_from_names_that_do_not_exist() {
    let unresolved = |why| SiteOutcome::Unresolved { why };
    let both = findings(|on, host| match (on, host) {
        ("10.0.0.1", _) => unresolved(Unresolved::Silent),
        (_, "a.example") => unresolved(Unresolved::NoSuchName),
        _ => sound(),
    });
    let kinds: Vec<CauseKind> = both.iter().map(|finding| finding.cause.kind).collect();
    assert_eq!(kinds, [CauseKind::NameServer; 2]);
    assert!(both.iter().all(|finding| finding.check == "EXT-001"));
}

#[test]
fn a_run_about_an_outside_that_nobody_names_is_incomplete_and_says_so() {
    let of = |groups: &[Group], sites: &[&str]| {
        let mut stage = Stage::of(&NODES).with_inventory(|inventory| {
            let server = |host: &&str| Server {
                host: (*host).to_owned(),
                port: 443,
            };
            inventory.outward.sites = sites.iter().map(server).collect();
        });
        stage.parameters.groups = groups.to_vec();
        stage.report()
    };
    let alone = of(&[Group::Config, Group::External], &[]);
    assert_eq!((alone.verdict, alone.findings.len()), (Verdict::Incomplete, 1));
    let detail = &alone.findings[0].cause.detail;
    assert!(detail.contains("nobody outside was asked"), "{detail}");
    let among_others = of(&[Group::Reach, Group::External], &[]);
    assert_eq!(among_others.findings, [], "there is nothing to look at");
    let named = of(&[Group::External], &SITES);
    assert!(!format!("{:?}", named.findings).contains("nobody outside was asked"));
}

#[test]
fn a_proxy_that_leaves_no_time_for_the_rest_is_the_proxys_failure_and_nothing_is_left_unmeasured() {
    use crate::{errand::ProxyServer, observation::TlsFailure};
    let mut stage = Stage::of(&NODES).with_inventory(|inventory| {
        inventory.outward.proxy = Some(ProxyServer {
            host: "proxy.example".to_owned(),
            port: 3128,
            login: None,
        });
        let server = |host: &&str| Server {
            host: (*host).to_owned(),
            port: 443,
        };
        inventory.outward.sites = SITES.iter().map(server).collect();
    });
    stage.parameters.groups = vec![Group::External];
    for on in NODES {
        let dripping = SiteOutcome::NoProxy {
            how: TlsFailure::Silent,
        };
        let late = SiteOutcome::Unasked { why: Unasked::Time };
        for (host, outcome) in SITES.iter().zip([dripping, late]) {
            let seen = SiteSeen {
                host: (*host).to_owned(),
                port: 443,
                via: Via::Proxy,
                anchors: Anchors::Given,
                addresses: Vec::new(),
                outcome,
            };
            stage = stage.tells(on, Record::Dialled(Dialled::Site(seen)));
        }
    }
    let report = stage.report();
    let finding = only(report.findings);
    assert_eq!(
        (finding.check.as_str(), finding.cause.kind),
        ("EXT-003", CauseKind::ProxyRefuses)
    );
    assert_eq!(report.verdict, Verdict::Failed);
    let said = (finding.cause.detail.as_str(), finding.fix.text.as_str());
    assert!(said.0.contains("none of the 3 machines can use"), "{said:?}");
    assert!(said.1.contains("external: proxy"), "{said:?}");
}
