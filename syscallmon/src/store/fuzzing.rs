//! Interface for the fuzz target of the file of alerts.

use super::{Earlier, alerts::document};
use crate::view::LastingState;

/// Identifies the boot in files of the target.
const BOOT: &str = "boot";

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
