//! Interface for the fuzz targets of files in the state directory.

use std::sync::LazyLock;

use super::{Earlier, alerts::document, totals};
use crate::{
    clock::BootClock,
    syscalls::CallTable,
    view::{LastingState, SavedTotals},
};

/// Identifies the boot in files of the targets.
const BOOT: &str = "boot";

/// The calls, and the clock of the boot, which must stand still to compare files.
static CALLS: LazyLock<CallTable> = LazyLock::new(CallTable::native);
static CLOCK: LazyLock<BootClock> = LazyLock::new(BootClock::read);

/// Returns what a file has; `None` if it cannot be used.
#[must_use]
pub fn read(file: &[u8]) -> Option<Earlier> {
    document::read(file, BOOT, &"node".into()).ok()
}

/// Returns the file that a daemon writes that goes on from this.
#[must_use]
pub fn written(earlier: &Earlier) -> Vec<u8> {
    let Earlier { saved, detection, delivery } = earlier;
    let state = LastingState { at: *saved, changes: 0, detection: detection.clone(), delivery: delivery.clone() };
    let mut file = Vec::new();
    document::write(&mut file, &state, BOOT).expect("memory takes everything");
    file
}

/// Returns the totals of a file; `None` if it cannot be used.
#[must_use]
pub fn read_totals(file: &[u8]) -> Option<SavedTotals> {
    totals::document::read(file, &CALLS, (BOOT, *CLOCK)).ok()
}

/// Returns the file with these totals.
#[must_use]
pub fn written_totals(totals: &SavedTotals) -> Vec<u8> {
    let mut file = Vec::new();
    totals::document::write(&mut file, totals, &CALLS, (BOOT, *CLOCK)).expect("a small file is in memory");
    file
}
