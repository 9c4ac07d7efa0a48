//! Reads and replays recordings. They are untrusted, because they come with bug reports.

#![no_main]

use std::{alloc::System, time::Instant};

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use syscallmon::{
    engine::Player,
    recording::{Limits, Reader, SampleOrEnd},
};

/// Memory limit: higher use is a finding. The limit is twice the memory that these recording limits permit.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 256 << 20);

const LIMITS: Limits = Limits {
    bytes: 16 << 20,
    samples: 1000,
    slots: 256,
    series: 65_536,
    events: 4096,
    workloads: 1024,
    label_bytes: 1 << 20,
    has_checksums: false,
};

fuzz_target!(|bytes: &[u8]| {
    // Reads the input as a file with checksums, then as the lines of a file.
    if let Ok(mut reader) = Reader::open(bytes, Limits { has_checksums: true, ..LIMITS }) {
        while let Some(Ok(SampleOrEnd::Sample(_))) = reader.next_record() {}
    }
    let Ok(mut reader) = Reader::of_lines(bytes, LIMITS) else { return };
    let started = Instant::now();
    let calls = reader.header().facts(started).calls;
    let mut player = Player::new(reader.header(), started, LIMITS);
    while let Some(Ok(SampleOrEnd::Sample(sample))) = reader.next_record() {
        assert!(sample.snapshot.slots.len() <= LIMITS.slots);
        let ids = sample.snapshot.slots.iter().flat_map(|slot| slot.counts.calls.iter());
        assert!(ids.map(|(id, _)| id).all(|id| calls.iter().nth(id.0.into()).is_some()));
        if player.apply(&sample).is_err() {
            break;
        }
        let view = player.model().view();
        assert!(view.len() <= LIMITS.workloads);
        let counted = view.all().map(|(_, totals)| totals.counts.calls.sum());
        assert!(counted.sum::<u64>() <= 1 << 60);
    }
});
