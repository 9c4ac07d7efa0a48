//! The pages of this process, for `top` without a daemon: live counts, or a recording.

use std::path::Path;

use anyhow::Context;
use axum::Router;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    alert::Alerts,
    command::{
        ConfigFile, replay,
        run::{self, Attached, Sampling},
    },
    engine::{SamplerEnd, Speed},
    serve::Site,
    settings::{Config, Settings},
};

/// Attaches the programs, as the daemon does.
pub(super) fn attach(file: &ConfigFile) -> anyhow::Result<(Attached, Config)> {
    let config = run::resolve(&Settings::default(), file)?;
    let attached = run::attach(&config, None)?;
    Ok((attached, config))
}

/// Counts that this process takes or plays.
pub(super) struct OwnCounts {
    router: Router,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
    sampling: Option<SamplerEnd>,
}

impl OwnCounts {
    /// Begins to count.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started.
    pub(super) fn start(attached: Attached, config: &Config) -> anyhow::Result<Self> {
        let (_tunables, watched) = watch::channel(config.tunables);
        let cache = attached.resolver.cache().clone();
        let Sampling { sampler, owner, views, .. } =
            attached.into_sampling(Alerts::default(), watched.clone(), None)?;
        let site = Site::new(views, owner, &config.telemetry_path, watched)?;
        let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
        config.sources.start(&cache, &config.node, &shutdown, &mut tasks);
        let begin = CancellationToken::new();
        begin.cancel();
        let sampling = Some(sampler.start(begin, shutdown.clone(), shutdown.clone())?);
        Ok(Self { router: site.router(), shutdown, tasks, sampling })
    }

    /// Plays a recording at its own speed.
    ///
    /// # Errors
    ///
    /// When the file is not a recording.
    pub(super) fn replay(path: &Path) -> anyhow::Result<Self> {
        let config = Config::resolve(Settings::default(), None)?;
        let reader = replay::open(path).with_context(|| format!("cannot play {}", path.display()))?;
        let replay::Running { site, playing, .. } = replay::start(reader, &config, Speed::Times(1.0))?;
        let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(playing.run(shutdown.clone()));
        Ok(Self { router: site.router(), shutdown, tasks, sampling: None })
    }

    /// Returns the pages.
    pub(super) fn router(&self) -> Router {
        self.router.clone()
    }

    /// Stops counting, and removes the programs.
    ///
    /// # Errors
    ///
    /// When a task has failed.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("a task failed")?;
        }
        match self.sampling {
            Some(sampling) => sampling.await.context("the sampler failed"),
            None => Ok(()),
        }
    }
}
