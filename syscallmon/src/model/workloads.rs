//! Totals by workload, shared by the model and its views.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Instant,
};

use super::{Totals, seen::Origin};
use crate::{
    snapshot::{Lost, ModelLoss},
    syscalls::CallId,
    workload::Workload,
};

/// Totals by workload, sorted. A clone is cheap, and shares the parts that neither of the two changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Workloads(Arc<BTreeMap<Workload, Arc<Totals>>>);

impl From<BTreeMap<Workload, Arc<Totals>>> for Workloads {
    fn from(totals: BTreeMap<Workload, Arc<Totals>>) -> Self {
        Self(totals.into())
    }
}

impl Workloads {
    pub(super) fn get(&self, workload: &Workload) -> Option<&Arc<Totals>> {
        self.0.get(workload)
    }

    /// Returns the totals of a workload for changes. Views keep their own.
    pub(super) fn get_mut(&mut self, workload: &Workload) -> Option<&mut Totals> {
        // Looks first, because a map without changes is not copied.
        self.get(workload)?;
        Arc::make_mut(&mut self.0).get_mut(workload).map(Arc::make_mut)
    }

    /// Returns the same; new ones if there are none.
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

    /// Returns all totals for changes. Views keep their own.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Workload, &mut Totals)> {
        Arc::make_mut(&mut self.0).iter_mut().map(|(workload, totals)| (workload, Arc::make_mut(totals)))
    }

    /// Returns a pointer that is equal for the same map without changes in between.
    pub(super) fn edition(&self) -> Weak<BTreeMap<Workload, Arc<Totals>>> {
        Arc::downgrade(&self.0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Workload, &Arc<Totals>)> {
        self.0.iter()
    }
}

/// The exported state of the model at one moment.
#[derive(Clone, Debug, Default)]
pub struct ModelView {
    pub(super) workloads: Workloads,
    pub(super) folded: u64,
    pub(super) capped: u64,
    pub(super) series: usize,
    pub(super) origin: Origin,
}

impl ModelView {
    /// Returns every exported workload and its totals, sorted. Unchanged totals are the same [`Arc`] in the next view.
    pub fn workloads(&self) -> impl Iterator<Item = (&Workload, &Arc<Totals>)> {
        self.workloads.iter().filter(|(_, totals)| totals.held_since.is_none())
    }

    /// Returns the same with workloads that wait for their names.
    pub fn all(&self) -> impl Iterator<Item = (&Workload, &Arc<Totals>)> {
        self.workloads.iter()
    }

    /// Returns one workload's totals, unless it waits for its name.
    #[must_use]
    pub fn get(&self, workload: &Workload) -> Option<&Arc<Totals>> {
        self.workloads.get(workload).filter(|totals| totals.held_since.is_none())
    }

    /// Returns when a snapshot counted a call of a workload for the first and for the last time, to the second.
    #[must_use]
    pub fn seen(&self, totals: &Totals, call: CallId) -> Option<(Instant, Instant)> {
        self.origin.moments(*totals.seen.get(call)?)
    }

    /// Returns the number of workloads, with those that wait for their names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.workloads.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many wait for their names.
    #[must_use]
    pub fn held(&self) -> usize {
        self.workloads.iter().filter(|(_, totals)| totals.held_since.is_some()).count()
    }

    /// Returns the number of workloads that were folded into [`Workload::Gone`].
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// Returns the number of calls in the remainder for lack of series.
    #[must_use]
    pub fn capped(&self) -> u64 {
        self.capped
    }

    /// Returns the number of losses by reason.
    #[must_use]
    pub fn losses(&self) -> Vec<Lost> {
        ModelLoss::all(|reason| match reason {
            ModelLoss::WorkloadsFolded => self.folded(),
            ModelLoss::MaxSeries => self.capped(),
        })
    }

    /// Returns the number of exported series, without workloads that stand for many.
    #[must_use]
    pub fn series(&self) -> usize {
        self.series
    }
}
