//! The baselines for pages and metrics.

use std::{collections::BTreeMap, sync::Arc};

use super::{Removed, StoreStatus};
use crate::detect::{Baseline, BaselineKey, Learn, Progress};

/// A baseline at one moment, with what its progress depends on.
#[derive(Clone, Debug)]
pub(super) struct ViewedBaseline {
    pub(super) baseline: Arc<Baseline>,
    pub(super) learn: Option<Learn>,
    pub(super) is_alive: bool,
}

/// The baselines at one moment.
#[derive(Clone, Debug, Default)]
pub struct BaselinesView {
    pub(super) all: BTreeMap<BaselineKey, ViewedBaseline>,
    /// Recent kinds that are not learned because there is no room.
    pub refused: usize,
    /// Baselines that were removed automatically.
    pub removed: Removed,
    /// State of their store.
    pub store: StoreStatus,
}

impl BaselinesView {
    /// Returns every baseline, by key.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Baseline>> {
        self.all.values().map(|viewed| &viewed.baseline)
    }

    /// Returns every baseline with its progress, by key.
    pub fn with_progress(&self) -> impl Iterator<Item = (&Arc<Baseline>, Progress)> {
        let all = self.all.values();
        all.map(|viewed| (&viewed.baseline, Progress::of(&viewed.baseline, viewed.learn, viewed.is_alive)))
    }

    /// Returns the baseline with this key.
    #[must_use]
    pub fn get(&self, key: &BaselineKey) -> Option<&Arc<Baseline>> {
        self.all.get(key).map(|viewed| &viewed.baseline)
    }
}
