//! Reads the file of totals, and continues with them. Another version of the daemon may have written the file, or a
//! disk may have damaged it.

#![no_main]

use std::{alloc::System, sync::Arc, time::Duration};

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use syscallmon::{
    model::Model,
    snapshot::Snapshot,
    store::fuzzing::{read_totals, written_totals},
};

/// Memory limit: higher use is a finding.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 256 << 20);

/// The first number that is no slot of the kernel.
const OFFSET: u32 = 1 << 31;

/// Maximum number of series.
const MOST_SERIES: usize = 100;

fuzz_target!(|file: &[u8]| {
    let Some(totals) = read_totals(file) else { return };
    let again = written_totals(&totals);
    let read_again = read_totals(&again).expect("what was written can be read");
    assert!(written_totals(&read_again) == again, "a file changes");

    let mut now = totals.model.at();
    let mut model = Model::restored(totals.model, OFFSET, MOST_SERIES, Arc::default());
    let names = model.names();
    // The same numbers in new tables are other slots.
    let snapshot = Snapshot { slots: totals.freed, ..Snapshot::default() };
    let slots: Vec<u32> = snapshot.slots.iter().map(|slot| slot.slot).collect();
    let older: Vec<u32> = slots.iter().map(|slot| slot.wrapping_add(OFFSET)).collect();
    model.begin_again();
    for _ in 0..3 {
        model.apply(&snapshot, now, |id| names.get(&id).cloned());
        model.release(now, Duration::ZERO);
        model.hand_over(&older, now);
        model.forget_slots(&slots, now);
        now += Duration::from_secs(600);
        model.expire(now, Duration::from_secs(900), MOST_SERIES, |totals| totals.created().is_some());
    }
});
