//! Every body over its samples, over each beginning of them, and over mutations of them that are the same in every run.
//!
//! `PLUMBLINE_FUZZ_TIMES=N` tries N times as many mutations, of N seeds.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

use plumbline_fuzz::{BODIES, Body, Reading, mutate::Mutator, samples::made};

#[test]
fn every_sample_is_read_or_refused_as_its_name_says() {
    for body in BODIES {
        let samples = samples(body);
        for (path, octets) in &samples {
            let name = path.file_name().unwrap().to_string_lossy();
            let reading = (body.run)(octets);
            let expected = match name.split_once('-') {
                Some(("any", _)) => continue,
                Some(("refused", _)) => Reading::Refused,
                _ => Reading::Accepted,
            };
            assert_eq!(
                reading,
                expected,
                "{}; if the format was changed on purpose: fuzz/README.md, \"Samples\"",
                path.display()
            );
        }
        assert!(
            samples
                .iter()
                .any(|(_, octets)| (body.run)(octets) == Reading::Accepted),
            "{} has no sample that is read",
            body.name
        );
    }
}

#[test]
fn no_beginning_of_a_sample_makes_a_parser_panic() {
    for body in BODIES {
        let samples = samples(body);
        // Of long samples a part of the cuts, spread over them; as many of all samples as mutations are tried.
        let most = (body.rounds as usize / samples.len()).clamp(FEWEST_CUTS, MOST_CUTS);
        let beginnings = samples.iter().flat_map(|(_, octets)| {
            let step = octets.len() / most + 1;
            (0..octets.len()).step_by(step).map(|cut| octets[..cut].to_vec())
        });
        must_end(body, beginnings.collect());
    }
}

#[test]
fn no_mutation_of_a_sample_makes_a_parser_panic_or_run_away() {
    let times = std::env::var("PLUMBLINE_FUZZ_TIMES").map_or(1, |times| times.parse().unwrap());
    for body in BODIES {
        let samples: Vec<Vec<u8>> = samples(body).into_iter().map(|(_, octets)| octets).collect();
        for seed in 0..times {
            let mut mutator = Mutator::new(seed);
            must_end(
                body,
                (0..body.rounds)
                    .map(|_| mutator.mutate(&samples, body.words))
                    .collect(),
            );
        }
    }
}

#[test]
fn every_directory_of_samples_belongs_to_a_body() {
    for entry in fs::read_dir(corpus()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            plumbline_fuzz::body(&name).is_some(),
            "corpus/{name} belongs to no body"
        );
    }
}

/// Runs a body over many octets on a thread of its own, so that those that make it panic or run away can be named.
fn must_end(body: &'static Body, inputs: Vec<Vec<u8>>) {
    let inputs = Arc::new(inputs);
    let done = Arc::new(AtomicUsize::new(0));
    let (ends, ended) = mpsc::channel::<()>();
    let thread = std::thread::spawn({
        let (inputs, done) = (Arc::clone(&inputs), Arc::clone(&done));
        move || {
            let _ends = ends;
            for octets in inputs.iter() {
                (body.run)(octets);
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let mut before = 0;
    // The sender is dropped when the thread ends, whichever way it ends.
    while ended.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout) {
        let now = done.load(Ordering::Relaxed);
        assert!(
            now > before,
            "{} runs away on: {}",
            body.name,
            inputs[now].escape_ascii()
        );
        before = now;
    }
    if thread.join().is_err() {
        let octets = &inputs[done.load(Ordering::Relaxed)];
        panic!("{} panicked on: {}", body.name, octets.escape_ascii());
    }
}

/// The samples of a body with their names: files, and what is made.
fn samples(body: &Body) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = corpus().join(body.name);
    let made = made(body.name);
    if !made.is_empty() {
        assert!(!directory.exists(), "samples of {} are made", body.name);
        return (0..)
            .zip(made)
            .map(|(index, octets)| (format!("made{index}").into(), octets))
            .collect();
    }
    let mut paths: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| {
            entry
                .expect("a directory that can be opened can be listed")
                .path()
        })
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.clone(), fs::read(&path).expect("a sample can be read")))
        .collect()
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Cuts tried of one sample.
const MOST_CUTS: usize = 100;
const FEWEST_CUTS: usize = 10;
/// A parser needs milliseconds for one of these; this long a busy machine never keeps it.
const LONGEST: Duration = Duration::from_secs(60);
