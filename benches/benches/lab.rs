//! A whole audit in a lab of 60 nodes, both families: `plumbline check --swarm lab`, from the start of the program to its end,
//! with the time at which it said what it was doing. Namespaces, probes, plan, tests, report and all: nothing is left out.
//!
//! `PLUMBLINE_BIN` names the program, which must be built like what it is compared with. Without it the bench is skipped by
//! name; without the right to make network namespaces the program says so.

use std::{
    env,
    error::Error,
    fs,
    io::{self, BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use plumbline_benches::synthetic;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    if !env::args().any(|argument| argument == "--bench") {
        return say("lab: skipped, this is no run of `cargo bench`");
    }
    let Some(program) = env::var_os("PLUMBLINE_BIN") else {
        return say("lab: skipped, PLUMBLINE_BIN does not name the program");
    };
    let scratch = env::temp_dir().join(format!("plumbline-bench-lab-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let mut file = synthetic::cluster_file(NODES);
    // A second range of services makes the cluster a dual-stack one.
    file.text = file
        .text
        .replace("10.96.0.0/20\n", "10.96.0.0/20\n      - fd00:96::/112\n");
    let cluster = scratch.join("cluster.yaml");
    fs::write(&cluster, &file.text)?;
    let mut took = Vec::new();
    for run in 0..RUNS {
        let out = scratch.join(format!("report-{run}"));
        let begun = Instant::now();
        let mut child = Command::new(&program)
            .args(["check", "--swarm", "lab"])
            .arg(&cluster)
            .arg("--out")
            .arg(&out)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = child.stderr.take().ok_or("the errors are a pipe")?;
        let mut lines = vec![(Duration::ZERO, "start".to_owned())];
        for line in BufReader::new(said).lines() {
            lines.push((begun.elapsed(), line?));
        }
        let output = child.wait_with_output()?;
        let all = begun.elapsed();
        lines.push((all, "end".to_owned()));
        took.push(all);
        say(&format!(
            "run {run}: {:.2} s, {}",
            all.as_secs_f64(),
            output.status
        ))?;
        for pair in lines.windows(2) {
            say(&format!(
                "  {:7.2} s  {}",
                (pair[1].0 - pair[0].0).as_secs_f64(),
                pair[0].1
            ))?;
        }
        for line in String::from_utf8_lossy(&output.stdout).lines().take(3) {
            say(&format!("  {line}"))?;
        }
        if let Ok(evidence) = fs::metadata(out.join("evidence.jsonl")) {
            say(&format!("  evidence.jsonl: {} octets", evidence.len()))?;
        }
    }
    took.sort();
    say(&format!("median: {:.2} s", took[took.len() / 2].as_secs_f64()))?;
    fs::remove_dir_all(&scratch)?;
    Ok(())
}

fn say(line: &str) -> Outcome<()> {
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

const NODES: u32 = 60;
/// Odd, so that the median is a run that was.
const RUNS: usize = 3;
