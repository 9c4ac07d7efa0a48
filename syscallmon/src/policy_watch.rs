//! Reads policies again when their files have changed, and puts them in force. What cannot be read leaves the old ones in force.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    settings::{LoadedPolicies, PolicySources, Watched},
    state::Shared,
};

/// How often files are looked at.
const PERIOD: Duration = Duration::from_secs(5);

/// See the module.
pub struct PolicyWatch {
    sources: watch::Receiver<PolicySources>,
    files: Watched,
    shared: Shared,
}

impl PolicyWatch {
    /// Watches the files that policies were read from, and the part of the configuration that says where they are.
    #[must_use]
    pub fn new(sources: watch::Receiver<PolicySources>, files: Watched, shared: Shared) -> Self {
        Self { sources, files, shared }
    }

    /// Watches until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = period.tick() => tokio::task::block_in_place(|| {
                    if self.files.have_changed() {
                        self.load();
                    }
                }),
                Ok(()) = self.sources.changed() => tokio::task::block_in_place(|| self.load()),
            }
        }
    }

    fn load(&mut self) {
        let LoadedPolicies { policies, files } = self.sources.borrow_and_update().load();
        self.files = files;
        let mut state = self.shared.lock();
        match policies {
            Ok(policies) => {
                state.policy_reload = (true, SystemTime::now());
                if *state.policies != policies {
                    tracing::info!(policies = policies.iter().len(), "policies reloaded");
                    state.policies = Arc::new(policies);
                }
            }
            Err(error) => {
                state.policy_reload.0 = false;
                drop(state);
                tracing::error!("the new policies are not in force, the old ones stay: {error}");
            }
        }
    }
}
