//! The pure half of an audit at sizes that matter: the plan of 1,000 nodes, the report of 200.

use criterion::{Criterion, criterion_group, criterion_main};
use plumbline_benches::synthetic;
use plumbline_model::{canonical, report};
use std::hint::black_box;

fn model(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("model");
    group.sample_size(10);
    let file = synthetic::cluster_file(1_000);
    group.bench_function("read and plan 1000 nodes, every source's targets", |bencher| {
        bencher.iter(|| {
            let (_, plan) = synthetic::plan(black_box(&file));
            let index = plan.index();
            plan.participants
                .iter()
                .map(|node| index.targets_from(*node).len())
                .sum::<usize>()
        });
    });
    let evidence = synthetic::evidence(200);
    group.bench_function("report of 200 nodes", |bencher| {
        bencher.iter(|| report::report(black_box(&evidence)).map(|report| canonical::encode(&report).len()));
    });
    let evidence = synthetic::evidence(A_MILLION_RESULTS);
    let results = synthetic::plan(&synthetic::cluster_file(A_MILLION_RESULTS))
        .1
        .size()
        .tests;
    assert!(results >= 1_000_000, "{results}");
    group.bench_function(
        format!("report of {A_MILLION_RESULTS} nodes, {results} results"),
        |bencher| {
            bencher
                .iter(|| report::report(black_box(&evidence)).map(|report| canonical::encode(&report).len()));
        },
    );
    group.finish();
}

/// Nodes whose plan has a million tests.
const A_MILLION_RESULTS: u32 = 270;

criterion_group!(benches, model);
criterion_main!(benches);
