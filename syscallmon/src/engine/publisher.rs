//! Publishes the sampler's state as views.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use tokio::sync::watch;

use crate::{
    alert::Alerts,
    detect::Detector,
    model::Model,
    view::{FirstCalls, FixedFacts, RateHistory, Reload, SnapshotInfo, View},
    workload::{MetadataCache, ProviderStatus},
};

/// Publishes views, and keeps those parts of them that nothing else keeps.
pub(super) struct Publisher {
    views: watch::Sender<Arc<View>>,
    pub(super) facts: Arc<FixedFacts>,
    pub(super) snapshot: SnapshotInfo,
    pub(super) policy_reload: Reload,
    config_reload: Reload,
    rates: RateHistory,
    number: u64,
    /// Whether anything has changed since the last view.
    is_due: bool,
}

/// The parts of a view.
pub(super) struct ViewParts<'a> {
    pub(super) model: &'a Model,
    pub(super) detector: &'a Detector,
    pub(super) first_calls: &'a FirstCalls,
    pub(super) sources: ProviderStates<'a>,
    pub(super) alerts: &'a Alerts,
}

/// State of metadata providers.
pub(super) enum ProviderStates<'a> {
    /// From the providers.
    Live(&'a MetadataCache),
    /// From a recording, with the number of containers without a name.
    Recorded(&'a [ProviderStatus], usize),
}

impl Publisher {
    /// Returns a publisher to the readers of this channel.
    pub(super) fn new(views: watch::Sender<Arc<View>>) -> Self {
        let first = Arc::clone(&views.borrow());
        let View { number, snapshot, policy_reload, config_reload, .. } = *first;
        let facts = Arc::clone(&first.facts);
        let rates = RateHistory::new(facts.started.0);
        Self { views, facts, snapshot, policy_reload, config_reload, rates, number, is_due: true }
    }

    /// Marks the next view as changed.
    pub(super) fn changed(&mut self) {
        self.is_due = true;
    }

    /// Notes a snapshot, and when it was taken by the clock of `model`.
    pub(super) fn sampled(&mut self, snapshot: SnapshotInfo, taken: Instant, model: &Model) {
        self.snapshot = snapshot;
        self.rates.update(taken, model.view(), &self.facts.calls);
        self.is_due = true;
    }

    pub(super) fn configuration_was_read(&mut self, problems: usize) {
        self.config_reload = self.config_reload.then(problems, SystemTime::now());
        self.is_due = true;
    }

    pub(super) fn policies_were_read(&mut self, problems: usize) {
        self.policy_reload = self.policy_reload.then(problems, SystemTime::now());
        self.is_due = true;
    }

    /// Publishes the current state, unless it equals the last view.
    pub(super) fn publish(&mut self, parts: &ViewParts<'_>) {
        if !std::mem::take(&mut self.is_due) {
            return;
        }
        let ViewParts { model, detector, first_calls, sources, alerts } = parts;
        let (sources, unresolved) = match sources {
            ProviderStates::Live(cache) => (cache.sources(), cache.unresolved()),
            ProviderStates::Recorded(sources, unresolved) => (sources.to_vec(), *unresolved),
        };
        self.number += 1;
        self.views.send_replace(Arc::new(View {
            number: self.number,
            facts: Arc::clone(&self.facts),
            snapshot: self.snapshot,
            model: model.view().clone(),
            rates: self.rates.view(),
            sources,
            unresolved,
            first_calls: first_calls.newest(),
            policies: Arc::clone(detector.policies()),
            policy_usage: Arc::clone(detector.usage()),
            policy_reload: self.policy_reload,
            violations: detector.violations().view(),
            incidents: detector.incidents().view(),
            baselines: detector.baselines().view(),
            alerts: alerts.status(),
            config_reload: self.config_reload,
        }));
    }
}
