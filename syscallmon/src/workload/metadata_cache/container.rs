//! A container that somebody wants to know: what is known of it, and when its sources are asked.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::workload::{metadata::ContainerInfo, providers::ProviderName, runtimes::Api};

/// A container that nobody knows is asked for again after this, then after twice that, and so on.
pub(super) const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_mins(1);

/// A container that somebody wants to know.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) facts: Option<Arc<ContainerInfo>>,
    /// Who knows it, where its path tells.
    pub(super) api: Option<Api>,
    /// Since when.
    pub(super) since: Instant,
    /// When each source is to be asked again, and after how long after that.
    pub(super) retries: HashMap<ProviderName, (Instant, Duration)>,
    /// The source that knows it, and when it last said so.
    pub(super) told_by: Option<(ProviderName, Instant)>,
}

impl Container {
    /// Takes up what a source says of it; whether that is news. Its name is what can change of a container: its image
    /// stays the one that it was started from, even when that has another name by now.
    pub(super) fn update(&mut self, source: ProviderName, facts: ContainerInfo, now: Instant) -> bool {
        let new = match &self.facts {
            None => facts,
            Some(_) if self.told_by.is_none_or(|(by, _)| by != source) => return false,
            Some(old) if old.name == facts.name => return false,
            Some(old) => ContainerInfo { name: facts.name, ..old.as_ref().clone() },
        };
        self.told_by = Some((source, now));
        self.facts = Some(Arc::new(new));
        true
    }

    /// Notes that a source was asked for it.
    pub(super) fn was_asked(&mut self, source: ProviderName, now: Instant) {
        match &mut self.told_by {
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

/// When to ask again, and how long to wait the next time.
fn later(now: Instant, after: Duration) -> (Instant, Duration) {
    (now + after, (after * 2).min(LAST_RETRY))
}
