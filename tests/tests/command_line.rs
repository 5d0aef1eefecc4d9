//! The command line from outside: what is wrong with arguments and files is said once, clearly, with exit code 2, and
//! before anything else happens; and what a script relies on holds.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use plumbline_tests::{
    gate,
    running::{Ended, run},
    scenario::tests_dir,
    stage::Programs,
};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn a_cluster_file_that_cannot_be_read_is_refused_and_named() {
    let place = Place::new();
    place.write(
        "binary.yaml",
        &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0xff, 0xfe, 0x80],
    );
    place.write("nul.yaml", b"kind: Cluster\0\n");
    place.write("empty.yaml", b"");
    place.write("comments.yaml", b"# nothing\n---\n# but words\n");
    let sample = fs::read(sample()).unwrap();
    place.write("truncated.yaml", &sample[..sample.len() / 3]);
    let large = fs::File::create(place.path("large.yaml")).unwrap();
    large.set_len(100 * 1024 * 1024).unwrap();
    fs::create_dir(place.path("folder.yaml")).unwrap();
    symlink("nowhere", place.path("dangling.yaml")).unwrap();
    let cases = [
        ("absent.yaml", "No such file"),
        ("dangling.yaml", "No such file"),
        ("folder.yaml", "it is a directory"),
        ("binary.yaml", "binary.yaml:1:9: the octet 0xFF is no UTF-8"),
        ("nul.yaml", "nul.yaml:1:14: control character"),
        ("empty.yaml", "no document of kind Cluster"),
        ("comments.yaml", "no document of kind Cluster"),
        ("truncated.yaml", "truncated.yaml:"),
        ("large.yaml", "larger than 16 MiB"),
    ];
    for (file, words) in cases {
        place.refused(&["plan", file], &[file, words]);
        place.refused(&check_arguments(file, &[]), &[file, words]);
    }
    place.holds_nothing_new();
}

#[test]
fn a_cluster_file_that_may_not_be_read_is_refused_and_named() {
    if !gate::root("a_cluster_file_that_may_not_be_read_is_refused_and_named") {
        return;
    }
    let place = Place::new();
    place.write("secret.yaml", b"kind: Cluster\n");
    let mode = |file: &str, mode| fs::set_permissions(place.path(file), fs::Permissions::from_mode(mode));
    mode("secret.yaml", 0o000).unwrap();
    mode("", 0o755).unwrap();
    // The program lies where its builder put it, which may be a directory that nobody else may enter: a copy does not.
    place.copy_plumbline();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "./plumbline"])
        .args(["plan", "secret.yaml"])
        .current_dir(place.dir.path());
    let ended = run(&mut command).unwrap();
    is_refusal(&ended, &["secret.yaml", "Permission denied"]);
}

#[test]
fn words_that_plumbline_does_not_know_are_refused_with_the_usage() {
    let place = Place::new();
    let sample = sample();
    for arguments in [
        &["frobnicate"][..],
        &["plan", &sample, "--frobnicate"],
        &["check", &sample, "--swarm", "carrier-pigeon"],
        &["check", &sample, "--swarm", "joined"],
        &["plan", &sample, "--only", "everything"],
        &["plan", &sample, "--max-rate", "0"],
        &["render", "somewhere", "--format", "pdf"],
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.starts_with("error: "),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
    place.holds_nothing_new();
}

#[test]
fn a_report_directory_that_cannot_be_made_is_refused_before_the_run() {
    let place = Place::new();
    fs::create_dir(place.path("occupied")).unwrap();
    place.write("occupied/notes.txt", b"mine");
    place.write("file", b"mine");
    fs::create_dir(place.path("signed")).unwrap();
    place.write("signed/attestation.json", b"{}");
    for (out, words) in [
        ("signed/within/deeper", "would no longer verify"),
        (
            "occupied",
            "occupied for the report: it is not an empty directory",
        ),
        ("file", "file for the report: it is not an empty directory"),
        ("file/report", "file/report for the report"),
        ("/proc/none/report", "/proc/none"),
        ("/", "/ for the report"),
    ] {
        place.refused(&check_arguments(&sample(), &["--out", out]), &[words]);
    }
    assert_eq!(fs::read(place.path("occupied/notes.txt")).unwrap(), b"mine");
    assert_eq!(fs::read(place.path("file")).unwrap(), b"mine");
    fs::remove_file(place.path("identity.pem")).unwrap();
    place.holds_nothing_new();
}

#[test]
fn a_report_directory_where_nothing_may_be_written_is_refused_before_the_run() {
    if !gate::root("a_report_directory_where_nothing_may_be_written_is_refused_before_the_run") {
        return;
    }
    let place = Place::new();
    fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    place.copy_plumbline();
    fs::copy(sample(), place.path("cluster.yaml")).unwrap();
    fs::create_dir(place.path("mine")).unwrap();
    std::os::unix::fs::chown(place.path("mine"), Some(65534), Some(65534)).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "./plumbline"])
        .args([
            "check",
            "cluster.yaml",
            "--only",
            "config",
            "--swarm",
            "joined",
            "--listen",
            "127.0.0.1:0",
        ])
        .args([
            "--join-file",
            "mine/join.json",
            "--identity",
            "mine/identity.pem",
            "--out",
            "report",
        ])
        .current_dir(place.dir.path());
    is_refusal(&run(&mut command).unwrap(), &["report", "Permission denied"]);
}

#[test]
fn a_key_file_that_is_none_or_is_open_to_others_is_refused() {
    let (place, sample) = (Place::new(), sample());
    place.write("garbage.pem", b"-----BEGIN GARBAGE-----\n");
    fs::set_permissions(place.path("garbage.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(place.path("folder")).unwrap();
    // A good key, made by the program itself, and then opened to others.
    let made = place.run(&check_arguments(
        &sample,
        &["--only", "config", "--out", "report"],
    ));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let mode = fs::metadata(place.path("identity.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    fs::rename(place.path("identity.pem"), place.path("open.pem")).unwrap();
    fs::set_permissions(place.path("open.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    for (key, words) in [
        ("garbage.pem", "it is not a"),
        ("folder", "it is not a regular file"),
        ("open.pem", "chmod 600 open.pem"),
        ("absent/identity.pem", "No such file"),
    ] {
        let mut arguments = check_arguments(&sample, &["--out", "another"]);
        arguments.retain(|argument| *argument != "--identity" && *argument != "identity.pem");
        arguments.extend(["--identity", key]);
        place.refused(&arguments, &[key, words]);
    }
    assert!(!place.path("another").exists());
}

#[test]
fn a_port_that_is_taken_and_an_address_that_is_not_ours_are_refused_and_named() {
    let place = Place::new();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (listen, words) in [
        (taken.as_str(), "another port"),
        ("203.0.113.77:7443", "[::]:PORT"),
        ("[::1]:0", "every node is known by IPv4 alone"),
    ] {
        let arguments = [
            "check",
            &sample(),
            "--swarm",
            "joined",
            "--listen",
            listen,
            "--join-file",
            "join.json",
            "--identity",
            "identity.pem",
            "--out",
            "report",
        ];
        place.refused(&arguments, &[listen.trim_end_matches('0'), words]);
        assert!(
            !place.path("join.json").exists(),
            "no join string for a port that is not ours"
        );
        assert!(!place.path("report").exists());
    }
}

#[test]
fn a_listener_without_a_port_is_refused_with_one() {
    let place = Place::new();
    let sample = sample();
    for (listen, words) in [
        ("10.0.0.9", "the port is missing: 10.0.0.9:7443"),
        ("fd00::9", "[fd00::9]:7443"),
        ("localhost:7443", "expected an IP address"),
    ] {
        let ended = place.run(&[
            "check",
            &sample,
            "--swarm",
            "joined",
            "--listen",
            listen,
            "--join-file",
            "j",
        ]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(unwrapped(&ended.stderr).contains(words), "{}", ended.stderr);
    }
}

#[test]
fn a_file_that_is_no_join_file_is_not_overwritten_by_one() {
    let place = Place::new();
    place.write("join.json", b"kind: Cluster # mine\n");
    place.refused(
        &check_arguments(&sample(), &["--out", "report"]),
        &["join.json", "another name"],
    );
    assert_eq!(
        fs::read(place.path("join.json")).unwrap(),
        b"kind: Cluster # mine\n"
    );
}

#[test]
fn a_directory_without_a_report_cannot_be_retested() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    place.refused(
        &check_arguments(&sample(), &["--retest", "empty"]),
        &["no report directory"],
    );
}

#[test]
fn a_join_file_that_cannot_be_written_is_refused_and_nothing_is_left() {
    let place = Place::new();
    let arguments = [
        "check",
        &sample(),
        "--swarm",
        "joined",
        "--listen",
        "127.0.0.1:0",
        "--join-file",
        "absent/join.json",
        "--identity",
        "identity.pem",
        "--out",
        "report",
    ];
    place.refused(&arguments, &["absent/join.json", "No such file"]);
    fs::remove_file(place.path("identity.pem")).unwrap();
    place.holds_nothing_new();
}

#[test]
fn a_node_that_the_file_does_not_list_is_refused_with_what_shows_the_nodes() {
    let place = Place::new();
    for option in ["--nodes", "--exclude"] {
        place.refused(
            &["plan", &sample(), option, "10.9.8.7"],
            &["10.9.8.7", "plumbline plan"],
        );
        let ended = place.run(&["plan", &sample(), option, "node-one"]);
        assert_eq!(ended.code, Some(2));
        assert!(
            ended.stderr.contains("\"node-one\": neither an IP address"),
            "{}",
            ended.stderr
        );
    }
    let all = "10.200.0.11,10.200.0.12,10.200.0.13";
    place.refused(
        &["plan", &sample(), "--nodes", all, "--exclude", all],
        &["leave none"],
    );
}

#[test]
fn a_version_that_never_existed_is_refused_with_its_neighbours() {
    let place = Place::new();
    place.refused(
        &["plan", &sample(), "--version", "1.27"],
        &["1.27 never existed", "1.16", "1.28"],
    );
    let show = ["profiles", "show", "gdc-bare-metal", "--version", "1.27"];
    place.refused(&show, &["1.27 never existed", "1.16", "1.28"]);
    place.refused(
        &["profiles", "show", "gdc-bare-meta", "--version", "1.29"],
        &["did you mean gdc-bare-metal"],
    );
}

#[test]
fn checks_over_the_file_alone_pass_without_a_probe_and_their_report_verifies() {
    let place = Place::new();
    for (swarm, out) in [("joined", "by-joined"), ("lab", "by-lab")] {
        if swarm == "lab"
            && !gate::lab("checks_over_the_file_alone_pass_without_a_probe_and_their_report_verifies")
        {
            continue;
        }
        // The sample's noProxy leaves some nodes out, which warns.
        let waivers = sample().replace(".yaml", ".waivers.yaml");
        let mut arguments = vec![
            "check".to_owned(),
            sample(),
            "--waivers".to_owned(),
            waivers,
            "--swarm".to_owned(),
            swarm.to_owned(),
        ];
        if swarm == "joined" {
            arguments.extend(["--listen", "127.0.0.1:0", "--join-file", "join.json"].map(str::to_owned));
        }
        arguments.extend(["--only", "config", "--identity", "identity.pem", "--out", out].map(str::to_owned));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let checked = place.run(&arguments);
        assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
        assert!(
            checked.stdout.starts_with("PASSED  user-l2"),
            "{}",
            checked.stdout
        );
        let last = checked.stdout.lines().last().unwrap();
        assert_eq!(last, format!("report: {out}"));
        let verified = place.run(&["verify", out, "--trust", &format!("{out}/signer.pem")]);
        assert_eq!(verified.code, Some(0), "{}", verified.stdout);
        for format in ["text", "json", "csv", "html"] {
            let rendered = place.run(&["render", out, "--format", format]);
            assert_eq!(rendered.code, Some(0), "{format}: {}", rendered.stderr);
            assert!(!rendered.stdout.is_empty(), "{format}");
        }
    }
}

#[test]
fn a_plan_that_tests_no_port_lists_no_transport() {
    let place = Place::new();
    let access = place.run(&["plan", &sample(), "--only", "access"]);
    assert_eq!(access.code, Some(0), "{}", access.stderr);
    assert!(
        access.stdout.contains("No port is tested: each node"),
        "{}",
        access.stdout
    );
    assert!(!access.stdout.contains("0 tests"), "{}", access.stdout);
    assert!(
        !access.stdout.contains("CAP_NET_BIND_SERVICE"),
        "{}",
        access.stdout
    );
}

#[test]
fn a_plan_is_readable_by_machines() {
    let place = Place::new();
    let json = place.run(&["plan", &sample(), "-o", "json"]);
    assert_eq!(json.code, Some(0), "{}", json.stderr);
    let plan: Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(plan.is_object(), "{plan}");
    let csv = place.run(&["plan", &sample(), "-o", "csv"]);
    let mut lines = csv.stdout.lines();
    let columns = lines.next().unwrap().split(',').count();
    assert!(columns > 3, "{}", csv.stdout);
    let mut rows = 0;
    for line in lines {
        assert_eq!(fields_of(line), columns, "{line}");
        rows += 1;
    }
    assert!(rows > 10, "{}", csv.stdout);
    // A firewall has to let whole ranges through, whoever tries which of their ports.
    let ranges = csv.stdout.lines().filter(|line| line.contains("30000"));
    let mut pieces = ranges.filter(|line| !line.contains("30000-32767"));
    assert_eq!(pieces.next(), None);
    assert!(csv.stdout.contains("30000-32767"), "{}", csv.stdout);
    let again = place.run(&["plan", &sample(), "-o", "json"]);
    assert_eq!(json.stdout, again.stdout, "the same file gives the same plan");
}

#[test]
fn profiles_show_holds_exactly_the_documents_rows_for_four_versions_and_three_roles() {
    let place = Place::new();
    let tables = document_tables();
    assert_eq!(tables.len(), 12);
    for (role, version, rows) in tables {
        let shown = place.run(&[
            "profiles",
            "show",
            "gdc-bare-metal",
            "--version",
            &version,
            "--role",
            &role,
            "-o",
            "json",
        ]);
        assert_eq!(shown.code, Some(0), "{}", shown.stderr);
        let shown: Vec<Value> = serde_json::from_str(&shown.stdout).unwrap();
        let ours: Vec<String> = shown.iter().map(row_of).collect();
        assert_eq!(ours, rows, "{role} {version}");
        assert!(
            shown.iter().all(|row| row["role"] == role.as_str()),
            "{role} {version}"
        );
        assert!(
            shown
                .iter()
                .all(|row| row["cited"].as_array().is_some_and(|cited| !cited.is_empty()))
        );
    }
}

#[test]
fn a_reader_that_leaves_early_is_content_and_no_bug() {
    let place = Place::new();
    // Of which nothing is said on standard error.
    let without_warnings = tests_dir().join("clusters/02-hybrid-l2-1.28.yaml");
    let without_warnings = without_warnings.display().to_string();
    for arguments in [
        &["plan", &without_warnings, "-o", "json"][..],
        &["profiles", "show", "gdc-bare-metal", "--version", "1.29"],
        &["--help"],
    ] {
        // Nobody reads from the beginning, so that no timing decides.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(&place.programs.plumbline)
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        assert_eq!(stderr, "", "{arguments:?}");
    }
}

#[test]
fn no_colour_reaches_a_pipe_or_whoever_asks_for_none() {
    let place = Place::new();
    let made = place.run(&check_arguments(
        &sample(),
        &["--only", "config", "--out", "report"],
    ));
    assert!(!made.stdout.contains('\u{1b}') && !made.stderr.contains('\u{1b}'));
    // `script` gives the program a terminal; util-linux is part of every system that these tests run on.
    let program = place.programs.plumbline.display();
    let command = format!("{program} render report --format text");
    let on_a_terminal = |no_color: &str| {
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("NO_COLOR", no_color)
            .env("TERM", "xterm-256color")
            .current_dir(place.dir.path());
        run(&mut script).unwrap()
    };
    let (plain, coloured) = (on_a_terminal("1"), on_a_terminal(""));
    assert_eq!(
        (plain.code, coloured.code),
        (Some(0), Some(0)),
        "{}",
        plain.stdout
    );
    assert!(!plain.stdout.contains('\u{1b}'), "{}", plain.stdout);
    assert!(coloured.stdout.contains('\u{1b}'), "{}", coloured.stdout);
}

#[test]
fn help_tells_the_exit_codes_and_every_command_has_help() {
    let place = Place::new();
    let help = place.run(&["--help"]);
    assert_eq!(help.code, Some(0));
    for words in [
        "0 passed",
        "1 failed",
        "2 usage",
        "3 incomplete",
        "4 verification failed",
        "70 a bug",
    ] {
        assert!(
            unwrapped(&help.stdout).contains(words),
            "{words}: {}",
            help.stdout
        );
    }
    for command in ["check", "plan", "profiles", "verify", "render", "demo", "probe"] {
        let help = place.run(&[command, "--help"]);
        assert_eq!(help.code, Some(0), "{command}");
        assert!(help.stdout.contains("Usage:"), "{command}");
    }
    let probe = run(Command::new(&place.programs.probe).arg("--help")).unwrap();
    for words in ["0 the run is over", "2 usage", "4 refused"] {
        assert!(
            unwrapped(&probe.stdout).contains(words),
            "{words}: {}",
            probe.stdout
        );
    }
}

#[test]
fn a_report_that_is_not_there_is_wrong_usage_and_not_a_failed_verification() {
    let place = Place::new();
    place.write("file", b"");
    for path in ["absent", "file"] {
        place.refused(&["verify", path], &[path]);
        place.refused(&["render", path, "--format", "text"], &[path]);
    }
}

/// An empty working directory with the programs under test.
struct Place {
    dir: TempDir,
    programs: Programs,
    /// What the test itself laid there.
    laid: std::cell::RefCell<Vec<PathBuf>>,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap_or_else(|error| panic!("make a working directory: {error}")),
            programs: Programs::from_env().unwrap_or_else(|error| panic!("{error}")),
            laid: std::cell::RefCell::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap_or_else(|error| panic!("write {name}: {error}"));
        self.laid.borrow_mut().push(self.path(name));
    }

    /// By another program: what a test beside this one starts inherits the files that we write, and a program that somebody
    /// holds open for writing does not start ("text file busy").
    fn copy_plumbline(&self) {
        let copied = run(Command::new("cp").args([&self.programs.plumbline, &self.path("plumbline")]));
        let copied = copied.unwrap_or_else(|error| panic!("copy plumbline: {error}"));
        assert_eq!(copied.code, Some(0), "{}", copied.stderr);
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(&self.programs.plumbline);
        command.args(arguments).current_dir(self.dir.path());
        run(&mut command).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    /// One message with these words, exit code 2, and no result.
    fn refused(&self, arguments: &[&str], words: &[&str]) {
        is_refusal(&self.run(arguments), words);
    }

    /// Nothing was made here but what the test made.
    fn holds_nothing_new(&self) {
        let entries = fs::read_dir(self.dir.path()).unwrap_or_else(|error| panic!("{error}"));
        for entry in entries.filter_map(Result::ok) {
            let laid = self.laid.borrow().contains(&entry.path());
            let by_hand = ["large.yaml", "folder.yaml", "dangling.yaml", "occupied", "signed"]
                .iter()
                .any(|name| entry.file_name() == *name);
            assert!(laid || by_hand, "{} was left behind", entry.path().display());
        }
    }
}

fn is_refusal(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert_eq!(ended.stdout, "", "a refusal has no result");
    assert!(ended.stderr.starts_with("plumbline: "), "{}", ended.stderr);
    assert_eq!(
        ended.stderr.matches("plumbline: ").count(),
        1,
        "one message: {}",
        ended.stderr
    );
    for words in words {
        assert!(
            ended.stderr.contains(words),
            "{words:?} is missing: {}",
            ended.stderr
        );
    }
}

fn sample() -> String {
    let path: &Path = &tests_dir().join("clusters/01-user-l2-dedicated-lb-1.29.yaml");
    path.display().to_string()
}

fn check_arguments<'a>(cluster: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["check", cluster, "--swarm", "joined", "--listen", "127.0.0.1:0"];
    arguments.extend(["--join-file", "join.json", "--identity", "identity.pem"]);
    arguments.extend(more);
    arguments
}

/// Fields of a CSV line whose quoted fields hold no quotation mark.
fn fields_of(line: &str) -> usize {
    let outside: String = line.split('"').step_by(2).collect();
    outside.split(',').count()
}

/// Help is wrapped at the terminal's width.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Role, version and rows (`tcp inbound 22`) of the document's tables of nodes.
fn document_tables() -> Vec<(String, String, Vec<String>)> {
    let text = include_str!("../../model/tests/inputs/gdc_tables.txt");
    let mut tables: Vec<(String, String, Vec<String>)> = Vec::new();
    for section in text.split("\n[").skip(1) {
        let Some((title, rows)) = section.split_once("]\n") else {
            continue;
        };
        let Some((role, version)) = title.split_once(' ') else {
            continue;
        };
        let rows = rows
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .flat_map(|line| {
                let row: Vec<&str> = line.split(' ').take(3).collect();
                // A row of two protocols is one rule each.
                let protocols = row[0]
                    .split('+')
                    .map(|protocol| format!("{protocol} {}", row[1..].join(" ")));
                protocols.collect::<Vec<_>>()
            })
            .collect();
        tables.push((role.to_owned(), version.to_owned(), rows));
    }
    tables
}

fn row_of(row: &Value) -> String {
    let text = |field: &str| row[field].as_str().unwrap_or("?").to_owned();
    let (first, last) = (&row["first_port"], &row["last_port"]);
    let ports = if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    };
    format!("{} {} {ports}", text("protocol"), text("direction"))
}
