//! Takes every call of a profile away in turn.

use anyhow::Result;

use super::{Profiles, machine::Machine, monitor::Monitor};

pub(super) fn all(_: [Machine; 2], _: &Monitor, _: &Profiles) -> Result<()> {
    Ok(())
}
