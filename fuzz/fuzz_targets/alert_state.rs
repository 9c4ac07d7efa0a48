//! Reads the file of violations, incidents and alerts, and goes on from it. Another version of the daemon may have
//! written the file, or a disk may have damaged it.

#![no_main]

use std::{alloc::System, time::Duration};

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use syscallmon::{
    detect::{Incidents, Violations},
    store::fuzzing::{read, written},
};

/// Memory limit: higher use is a finding.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 256 << 20);

fuzz_target!(|file: &[u8]| {
    let Some(earlier) = read(file) else { return };
    let again = written(&earlier);
    let read_again = read(&again).expect("what was written can be read");
    // The first line has the time.
    let without_header = |file: &[u8]| file.iter().position(|byte| *byte == b'\n').map(|end| file[end..].to_vec());
    assert_eq!(without_header(&written(&read_again)), without_header(&again));

    let saved = earlier.saved.into_std();
    let (mut violations, mut incidents) = (Violations::default(), Incidents::default());
    for violation in earlier.detection.violations {
        violations.take_over(violation, saved);
    }
    for incident in earlier.detection.incidents {
        incidents.take_over(incident);
    }
    let mut now = saved;
    for _ in 0..4 {
        while let Some(due) = incidents.due().filter(|due| *due <= now) {
            incidents.take_notices(due);
        }
        let known: Vec<_> = violations.iter().take(20).cloned().collect();
        for violation in known {
            incidents.join(violation, false, now);
        }
        now += Duration::from_secs(600);
        incidents.tick(now, Duration::from_secs(1800));
    }
});
