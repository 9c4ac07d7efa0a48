//! Parses files of baselines. Users write these files and copy them between nodes.

#![no_main]

use std::{
    alloc::System,
    time::{Duration, Instant, SystemTime},
};

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use syscallmon::{
    detect::{Baseline, BaselineKey, Baselines, Learn},
    syscalls::CallTable,
};

/// Memory limit: higher use is a finding. Files have 1 MiB at most.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 64 << 20);

fuzz_target!(|text: &[u8]| {
    let table = CallTable::x86_64();
    if let Ok(text) = std::str::from_utf8(text) {
        text.lines().take(20).filter_map(|line| line.parse::<BaselineKey>().ok()).for_each(|kind| is_whole(&kind));
    }
    let Ok(baseline) = Baseline::from_json(text, &table) else { return };
    is_whole(&baseline.kind);
    assert_eq!(baseline.size(), baseline.calls().len() + baseline.unknown_calls(&table).count());
    let written = baseline.to_json().expect("what was read can be written");
    let read = Baseline::from_json(written.as_bytes(), &table).expect("what was written can be read");
    assert_eq!(read.to_json().expect("it was written before"), written);
    let (kind, mut baselines) = (baseline.kind.clone(), Baselines::default());
    assert!(baselines.adopt(baseline) && baselines.get(&kind).is_some() && baselines.take_changes().is_empty());
    lives(&kind, &mut baselines, &table);
    assert!(!baselines.forget(&kind) || baselines.iter().next().is_none());
});

/// Runs the baseline through a year of days, with a workload on every other day. The baseline's times may be anything.
fn lives(kind: &BaselineKey, baselines: &mut Baselines, table: &CallTable) {
    let (start, epoch) = (Instant::now(), SystemTime::UNIX_EPOCH);
    let call = table.id("x86_64", "mount").expect("it is a call");
    let policy = "p".into();
    for day in 0..365 {
        let passed = Duration::from_secs(day * 86_400);
        if day % 2 == 0 {
            let baseline = baselines.begin_or_get(kind, (&policy, Learn::default()), epoch + passed, day % 3 == 0);
            assert!(baseline.is_some_and(|baseline| baseline.kind == *kind));
        }
        let was_guarding = baselines.is_guarding(kind);
        let is_new = baselines.learn(kind, call, table, epoch + passed, Some("sh"));
        assert!(!is_new || (!was_guarding && baselines.calls(kind).is_some_and(|calls| calls.contains(&call))));
        baselines.tick(start + passed, epoch + passed);
        if day == 100 {
            baselines.relearn(kind, epoch + passed);
        }
    }
    baselines.approve(kind, epoch);
    assert!(baselines.get(kind).is_none() || baselines.is_guarding(kind));
}

/// Checks that a kind parses to itself, that its scope is a prefix of it, and that its file name stays in the
/// directory.
fn is_whole(kind: &BaselineKey) {
    assert_eq!(kind.as_str().parse::<BaselineKey>().as_ref().ok(), Some(kind));
    assert!(kind.as_str().starts_with(kind.scope()) && !kind.scope().is_empty());
    let file = kind.file_name();
    assert!(file.len() < 256 && !file.starts_with('.') && !file.contains('/') && file.ends_with(".json"));
}
