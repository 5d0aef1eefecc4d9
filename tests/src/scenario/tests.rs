use super::*;

#[test]
fn every_scenario_file_reads_and_names_a_cluster_that_is_there() {
    let folder = tests_dir().join("scenarios");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let scenario = Scenario::read(&entry.unwrap().path()).unwrap_or_else(|error| panic!("{error}"));
        let topology = scenario.topology();
        assert!(topology.is_ok(), "{}: {topology:?}", scenario.about);
        count += 1;
    }
    assert!(count > 20, "{count}");
}

#[test]
fn an_event_is_a_signal_or_a_fault() {
    let read = |text: &str| serde_saphyr::from_str::<Event>(text);
    let event = read("{at: asking, what: kill, to: 10.0.0.1}").unwrap();
    assert!(matches!(event.what, Happening::Signal { what: What::Kill, .. }));
    let event =
        read("{at: asking, after_ms: 20, plant: {fault: cable_cut, host: 10.0.0.1}, heal_after_ms: 500}")
            .unwrap();
    assert_eq!(event.after_ms, 20);
    assert!(matches!(
        event.what,
        Happening::Fault {
            heal_after_ms: Some(500),
            ..
        }
    ));
    for text in [
        "{at: asking}",
        "{at: asking, what: kill}",
        "{at: asking, what: kill, to: 10.0.0.1, plant: {fault: cable_cut, host: 10.0.0.1}}",
        "{at: asking, what: kill, to: 10.0.0.1, heal_after_ms: 5}",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}
