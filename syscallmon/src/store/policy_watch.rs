//! Reads policies again after their files have changed, and puts them in force. A file with a mistake keeps its older
//! policies in force.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    blocking::{self, FILE_TIMEOUT, Work},
    detect::Policies,
    settings::{LoadedPolicies, POLICY_WORK, PolicyFileStamps, PolicySources, log_problems},
    view::Requester,
};

/// Interval of looking at the files.
const PERIOD: Duration = Duration::from_secs(5);

/// Watches the files of policies, and puts changed policies in force.
pub struct PolicyWatch {
    sources: watch::Receiver<PolicySources>,
    files: Arc<PolicyFileStamps>,
    /// Policies in force.
    policies: Arc<Policies>,
    owner: Requester,
}

impl PolicyWatch {
    /// Watches the files of policies, and the part of the configuration that names them.
    #[must_use]
    pub fn new(
        sources: watch::Receiver<PolicySources>,
        (policies, files): (Arc<Policies>, PolicyFileStamps),
        owner: Requester,
    ) -> Self {
        Self { sources, files: Arc::new(files), policies, owner }
    }

    /// Watches until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = period.tick() => {
                    if self.have_changed().await {
                        self.load().await;
                    }
                }
                Ok(()) = self.sources.changed() => self.load().await,
            }
        }
    }

    /// Files that hang count as unchanged: their old content stays in force.
    async fn have_changed(&self) -> bool {
        let files = Arc::clone(&self.files);
        blocking::run(Work::Policy, POLICY_WORK, FILE_TIMEOUT, move || files.have_changed()).await.unwrap_or(false)
    }

    async fn load(&mut self) {
        let before = Arc::clone(&self.policies);
        let sources = self.sources.borrow_and_update().clone();
        let is_strict = sources.strict;
        let loaded = blocking::run(Work::Policy, POLICY_WORK, FILE_TIMEOUT, move || sources.load(&before)).await;
        let LoadedPolicies { policies, problems, files } = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                self.owner.set_policies(None, 1).await;
                tracing::error!("cannot read the policy files; the old policies stay in force: {error}");
                return;
            }
        };
        self.files = Arc::new(files);
        log_problems(&problems);
        let mut usable = Some(policies).filter(|policies| *policies != *self.policies).map(Arc::new);
        if is_strict && !problems.is_empty() {
            tracing::error!("the old policies stay in force (policy.strict)");
            usable = None;
        } else if let Some(policies) = &usable {
            self.policies = Arc::clone(policies);
            tracing::info!(policies = policies.iter().len(), "policies reloaded");
        }
        self.owner.set_policies(usable, problems.len()).await;
    }
}
