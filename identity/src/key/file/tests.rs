use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_key_is_made_once_private_and_loaded_afterwards() {
    let directory = directory();
    let path = directory.path().join("identity.pem");
    let made = SigningKey::load_or_create(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    let loaded = SigningKey::load_or_create(&path).unwrap();
    assert_eq!(made.verifying_key(), loaded.verifying_key());
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        1,
        "nothing staged is left"
    );
}

#[test]
fn many_that_create_it_at_once_agree_on_one_key() {
    let directory = directory();
    let path = directory.path().join("identity.pem");
    let keys: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    SigningKey::load_or_create(&path)
                        .unwrap()
                        .verifying_key()
                        .fingerprint()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    let directory = directory();
    let path = directory.path().join("identity.pem");
    SigningKey::load_or_create(&path).unwrap();
    for exposed in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(exposed)).unwrap();
        let message = SigningKey::load_or_create(&path).unwrap_err().to_string();
        assert!(
            message.contains(&format!("chmod 600 {}", path.display())),
            "{message}"
        );
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(SigningKey::load_or_create(&path).is_ok());
}

#[test]
fn what_is_no_key_is_refused_with_what_it_is_and_left_alone() {
    let directory = directory();
    let path = directory.path().join("identity.pem");
    let good = SigningKey::generate().unwrap().to_pkcs8_pem();
    let cases = [
        (String::new(), "it is empty"),
        ("hello".to_owned(), "not a PEM file"),
        (good[..good.len() / 2].to_owned(), "damaged"),
        (
            good.replace("PRIVATE KEY", "EC PRIVATE KEY"),
            "openssl pkcs8 -topk8 -nocrypt",
        ),
        (
            good.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
            "encrypted with a passphrase",
        ),
        (
            SigningKey::generate().unwrap().verifying_key().to_pem(),
            "holds no private key",
        ),
        ("x".repeat(1 << 20), "not a PEM file"),
    ];
    for (content, expected) in cases {
        fs::write(&path, &content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let message = SigningKey::load_or_create(&path).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains(&path.display().to_string()), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn a_directory_and_a_place_that_does_not_exist_are_refused() {
    let directory = directory();
    let error = SigningKey::load_or_create(directory.path()).unwrap_err();
    assert!(matches!(error, KeyFileError::NotAFile { .. }), "{error:?}");
    let error = SigningKey::load_or_create(&directory.path().join("no/such/identity.pem")).unwrap_err();
    assert!(matches!(error, KeyFileError::Create { .. }), "{error:?}");
}
