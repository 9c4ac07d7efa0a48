//! The totals that outlast the daemon in pinned mode.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{model::SavedModel, snapshot::SlotCounts};

/// What outlasts the daemon.
#[derive(Clone, Debug)]
pub struct SavedTotals {
    /// The generation of the kernel's tables that the slots of `model` belong to.
    pub generation: u64,
    /// The position in the first calls of `generation` from which the next daemon reads: all earlier ones are reported.
    pub first_calls_from: u64,
    /// Earlier generations, with the positions from which the next daemon reads their first calls. The totals contain
    /// all of their counts.
    pub absorbed: Vec<(u64, u64)>,
    /// Slots of `generation` that the totals contain completely, with their last counts. The kernel may not have given
    /// them back yet.
    pub freed: Vec<SlotCounts>,
    /// The totals.
    pub model: SavedModel,
}

/// The newest totals, with their number.
pub type NewestTotals = Option<(u64, Arc<SavedTotals>)>;

/// Receives the totals after each snapshot.
pub type TotalsSender = watch::Sender<NewestTotals>;

/// What became of totals that were to be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TotalsSave {
    /// The file has them.
    Done,
    /// They are too large for a file.
    TooLarge,
    /// The disk has a problem.
    Failed,
}
