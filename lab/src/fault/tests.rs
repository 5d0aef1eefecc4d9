use super::*;

#[test]
fn faults_read_as_scenario_files_write_them() {
    let read = |text| serde_json::from_str::<Fault>(text).unwrap();
    let fault =
        read(r#"{"fault":"host_drop","host":"10.0.0.2","ports":"10250,30000-32767","from":"10.0.1.0/24"}"#);
    let expected = Fault::HostDrop {
        host: "10.0.0.2".parse().unwrap(),
        family: None,
        transport: None,
        ports: Some("10250,30000-32767".parse().unwrap()),
        from: Some("10.0.1.0/24".parse().unwrap()),
    };
    assert_eq!(fault, expected);
    let fault =
        read(r#"{"fault":"path_reject","from":"10.0.0.0/24","to":"10.0.1.5","with":"admin_prohibited"}"#);
    assert!(matches!(
        fault,
        Fault::PathReject {
            with: RejectWith::AdminProhibited,
            ports: None,
            ..
        }
    ));
    assert_eq!(read(&serde_json::to_string(&fault).unwrap()), fault);
}

#[test]
fn a_fault_that_is_misspelt_is_refused() {
    for text in [
        r#"{"fault":"host_dorp","host":"10.0.0.2"}"#,
        r#"{"fault":"host_drop","host":"10.0.0.2","port":"22"}"#,
        r#"{"fault":"host_drop","host":"10.0.0.2","from":"10.0.1.7/24"}"#,
        r#"{"fault":"host_drop"}"#,
    ] {
        assert!(serde_json::from_str::<Fault>(text).is_err(), "{text}");
    }
}
