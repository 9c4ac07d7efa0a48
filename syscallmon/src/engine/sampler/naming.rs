//! Applies names of workloads that were awaited.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::{Sampler, events::name_first_calls};
use crate::{
    model::{Delta, Model},
    workload::{ResolvedWorkload, Workload, WorkloadResolver},
};

impl Sampler {
    /// Applies new names to workloads and to their first calls. Detection judges calls by these names.
    pub(super) fn apply_names(&mut self, now: Instant) -> Vec<Delta> {
        self.resolver.refresh();
        // After a rename, not all calls of the new workload are known.
        let renamed = self.resolver.take_renamed();
        self.model.forget_births(&renamed);
        self.resolver.check_node();
        let named = newly_named(&self.model, &self.resolver);
        let mut deltas = Vec::new();
        if !named.is_empty() {
            self.resolver.set(&named);
            self.detector.renamed(&named);
            deltas = self.model.rename(&named, now);
        }
        self.detector.name_taken_over(&self.resolver);
        let called = name_first_calls(&mut self.first_calls, &self.resolver);
        self.recorder.renamed(&renamed, named, called);
        deltas
    }
}

/// Renames workloads whose awaited name is known now.
fn newly_named(model: &Model, resolver: &WorkloadResolver) -> HashMap<Workload, ResolvedWorkload> {
    let named =
        model.unresolved().map(|identity| (Workload::Unresolved(Arc::clone(identity)), resolver.of_identity(identity)));
    named.filter(|(_, named)| !matches!(named.workload, Workload::Unresolved(_))).collect()
}
