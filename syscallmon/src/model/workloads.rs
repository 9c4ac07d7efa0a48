//! Totals by workload, as the model and the views of it share them.

use std::{collections::BTreeMap, sync::Arc};

use super::Totals;
use crate::{
    snapshot::{Lost, ModelLoss},
    workload::Workload,
};

/// Totals by workload, sorted. A clone costs nothing, and shares what neither of the two changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Workloads(Arc<BTreeMap<Workload, Arc<Totals>>>);

impl Workloads {
    pub(super) fn get(&self, workload: &Workload) -> Option<&Arc<Totals>> {
        self.0.get(workload)
    }

    /// The totals of a workload, to be changed: views keep what they have.
    pub(super) fn get_mut(&mut self, workload: &Workload) -> Option<&mut Totals> {
        // Looked for first: a map that is not changed is not copied.
        self.get(workload)?;
        Arc::make_mut(&mut self.0).get_mut(workload).map(Arc::make_mut)
    }

    /// The same; new ones if there are none yet.
    pub(super) fn get_or_insert(&mut self, workload: &Workload, new: impl FnOnce() -> Totals) -> &mut Totals {
        let totals = Arc::make_mut(&mut self.0).entry(workload.clone()).or_insert_with(|| Arc::new(new()));
        Arc::make_mut(totals)
    }

    pub(super) fn remove(&mut self, workload: &Workload) -> Option<Totals> {
        self.get(workload)?;
        Arc::make_mut(&mut self.0).remove(workload).map(Arc::unwrap_or_clone)
    }

    pub(super) fn contains(&self, workload: &Workload) -> bool {
        self.0.contains_key(workload)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Workload, &Arc<Totals>)> {
        self.0.iter()
    }
}

/// The model at one moment: what is exported of it.
#[derive(Clone, Debug, Default)]
pub struct ModelView {
    pub(super) workloads: Workloads,
    pub(super) folded: u64,
    pub(super) capped: u64,
    pub(super) series: usize,
}

impl ModelView {
    /// Every workload and its totals, sorted, but those that wait for their name. Totals that did not change from one
    /// view to the next are the same [`Arc`].
    pub fn workloads(&self) -> impl Iterator<Item = (&Workload, &Arc<Totals>)> {
        self.workloads.iter().filter(|(_, totals)| totals.held_since.is_none())
    }

    /// The same with those that wait for their name.
    pub fn all(&self) -> impl Iterator<Item = (&Workload, &Arc<Totals>)> {
        self.workloads.iter()
    }

    /// One workload's totals, unless it waits for its name.
    #[must_use]
    pub fn get(&self, workload: &Workload) -> Option<&Arc<Totals>> {
        self.workloads.get(workload).filter(|totals| totals.held_since.is_none())
    }

    /// How many workloads there are, with those that wait for their name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.workloads.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait for their name.
    #[must_use]
    pub fn held(&self) -> usize {
        self.workloads.iter().filter(|(_, totals)| totals.held_since.is_some()).count()
    }

    /// Workloads that were folded into [`Workload::Gone`] so far.
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// Calls that went to the remainder since there was no room for their series.
    #[must_use]
    pub fn capped(&self) -> u64 {
        self.capped
    }

    /// How much was lost for each reason.
    #[must_use]
    pub fn losses(&self) -> Vec<Lost> {
        ModelLoss::all(|reason| match reason {
            ModelLoss::WorkloadsFolded => self.folded(),
            ModelLoss::MaxSeries => self.capped(),
        })
    }

    /// Series that are exported, of all workloads together but those that stand for many.
    #[must_use]
    pub fn series(&self) -> usize {
        self.series
    }
}
