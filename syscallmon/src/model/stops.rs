//! How often workloads have ended.

use super::Model;
use crate::workload::{Label, Workload};

impl Model {
    /// Returns the number of ends of a workload: of its containers, or of its cgroup.
    #[must_use]
    pub fn stops(&self, workload: &Workload) -> u64 {
        self.view.workloads.get(workload).map_or(0, |totals| totals.stops)
    }

    /// Notes that a slot of a workload was freed.
    pub(super) fn note_stop(&mut self, workload: Option<&Workload>) {
        if let Some(totals) = workload.and_then(|workload| self.view.workloads.get_mut(workload)) {
            // A unit can have many cgroups, and a container has one slot for all of its own.
            let is_end = totals.is_gone() || totals.metadata.get(Label::ContainerId).is_some();
            totals.stops += u64::from(is_end);
        }
    }
}
