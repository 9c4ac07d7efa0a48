//! A requested container: its metadata, and when its providers are asked.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::workload::{metadata::ContainerInfo, providers::ProviderName, runtimes::Api};

/// Interval until the next request for an unknown container. It doubles with each request.
pub(super) const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_mins(1);

/// A requested container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) facts: Option<Arc<ContainerInfo>>,
    /// The UID of its pod, if the path has one.
    pub(super) pod: Option<Arc<str>>,
    /// The provider that knows it, if the path shows it.
    pub(super) api: Option<Api>,
    /// Time of the request.
    pub(super) since: Instant,
    /// When each provider is asked again, and the interval after that.
    pub(super) retries: HashMap<ProviderName, (Instant, Duration)>,
    /// The provider that knows it, and the time of its last answer.
    pub(super) known_by: Option<(ProviderName, Instant)>,
}

impl Container {
    /// Applies a provider's answer. Returns whether it changed anything. Only the name of a container can change: its
    /// image stays the one that it was started from, even when the image has another name now.
    pub(super) fn update(&mut self, source: ProviderName, facts: ContainerInfo, now: Instant) -> bool {
        let new = match &self.facts {
            None => facts,
            Some(_) if self.known_by.is_none_or(|(by, _)| by != source) => return false,
            Some(old) if old.name == facts.name => return false,
            Some(old) => ContainerInfo { name: facts.name, ..old.as_ref().clone() },
        };
        self.known_by = Some((source, now));
        self.facts = Some(Arc::new(new));
        true
    }

    /// Notes that a provider was asked about it.
    pub(super) fn was_asked(&mut self, source: ProviderName, now: Instant) {
        match &mut self.known_by {
            Some((by, at)) if *by == source => *at = now,
            _ => {
                self.retries
                    .entry(source)
                    .and_modify(|retry| *retry = later(now, retry.1))
                    .or_insert_with(|| later(now, FIRST_RETRY));
            }
        }
    }
}

/// Returns the time of the next request, and the interval after that.
fn later(now: Instant, after: Duration) -> (Instant, Duration) {
    (now + after, (after * 2).min(LAST_RETRY))
}
