//! Reclaims slots, and informs the kernel side about attribution roots.

use super::Sampler;
use crate::error_report::chain;

impl Sampler {
    /// Frees retired slots. In pinned mode, only after the totals with their counts are saved.
    pub(super) fn free(&mut self, retired: &[u32]) {
        if let Err(error) = self.kernel.free(retired) {
            tracing::error!(error = chain(&error), "cannot free slots of cgroups; retrying");
        }
    }

    /// Informs the kernel side about attribution roots.
    pub(super) fn set_roots(&mut self) {
        let changes = self.attribution.take_changes();
        if changes.is_empty() {
            return;
        }
        if let Err(error) = self.kernel.set_roots(&changes) {
            tracing::error!(error = chain(&error), "cannot mark containers in the kernel; retrying");
        }
    }

    /// Retires the slots of dead cgroups, and of nested cgroups that must share another slot. Their counts are final
    /// then. Returns the dead cgroups and the retired slots.
    pub(super) fn retire_dead(&mut self) -> (Vec<u64>, Vec<u32>) {
        let dead = self.tree.dead().to_vec();
        let misplaced = self.attribution.misplaced().iter().copied();
        let all: Vec<u64> = dead.iter().copied().chain(misplaced).collect();
        if all.is_empty() {
            return (dead, Vec::new());
        }
        match self.kernel.retire(&all) {
            Ok(retired) => {
                self.attribution.retired(&all);
                (dead, retired)
            }
            Err(error) => {
                // They stay dead in the tree, and the next sample retries.
                tracing::error!(error = chain(&error), "cannot retire slots of dead cgroups");
                (Vec::new(), Vec::new())
            }
        }
    }

    /// Removes dead cgroups after their last counts were read.
    pub(super) fn forget(&mut self, dead: &[u64]) {
        self.tree.forget(dead);
        self.attribution.forget(dead);
        self.set_roots();
        self.model.forget_births(dead);
        self.recorder.forgotten(dead);
        if let Some(lasting) = &mut self.lasting {
            lasting.forget(dead);
        }
        self.resolver.forget(dead, self.model.unresolved());
    }
}
