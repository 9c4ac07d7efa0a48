//! `syscallmon record --host`: counts like the daemon, and writes a file that `syscallmon replay` serves.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::Record;
use crate::{
    alert::Alerts,
    command::{
        run::{Attached, Sampling, attach},
        stop::StopSignals,
    },
    logging,
    recording::{self, Header, MaskNames, RecordingSummary, WriteOptions},
    settings::{Config, PolicySources},
};

/// Why a recording ended.
enum StopReason {
    Duration,
    Signal(&'static str),
    /// The file is full, or could not be written.
    Writer,
}

impl Record {
    pub(super) fn record_host(&self, output: &Path) -> anyhow::Result<ExitCode> {
        let mut stop = StopSignals::new()?;
        let mut config = Config::resolve(self.settings.clone(), self.config.config_file.as_deref())?;
        // A recording judges no calls.
        config.policies = PolicySources::none();
        logging::start(config.log_level, config.log_format).context("cannot start logging")?;
        let file = create(output).with_context(|| format!("cannot create {}", output.display()))?;
        let attached = attach(&config, None).inspect_err(|_| {
            // Empty, and made by this command.
            let _ = std::fs::remove_file(output);
        })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the async runtime")?;
        let outcome = runtime.block_on(self.record(attached, &config, (file, output), &mut stop));
        runtime.shutdown_background();
        outcome.map(|()| ExitCode::SUCCESS)
    }

    async fn record(
        &self,
        attached: Attached,
        config: &Config,
        (file, output): (File, &Path),
        stop: &mut StopSignals,
    ) -> anyhow::Result<()> {
        let header = Header::new(&attached.first.facts, config.max_series, self.mask);
        let mask = if self.mask { MaskNames::Yes } else { MaskNames::No };
        let (sink, recording) = recording::start(file, header, WriteOptions { max_size: self.max_size << 20, mask })?;
        let (_tunables, watched) = watch::channel(config.tunables);
        let cache = attached.resolver.cache().clone();
        let Sampling { sampler, .. } = attached.into_sampling(Alerts::default(), watched, Some(sink))?;
        let (shutdown, begin, mut tasks) = (CancellationToken::new(), CancellationToken::new(), JoinSet::new());
        config.sources.start(&cache, &config.node, &shutdown, &mut tasks);
        begin.cancel();
        let mut sampling = sampler.start(begin, shutdown.clone(), shutdown.clone())?;
        tracing::info!(file = %output.display(), masked = self.mask, "recording");
        let reason = tokio::select! {
            () = sleep_for(self.duration) => StopReason::Duration,
            name = stop.received() => StopReason::Signal(name),
            () = recording.ended() => StopReason::Writer,
            ended = &mut sampling => {
                ended.context("the sampler failed")?;
                anyhow::bail!("the sampler ended unexpectedly");
            }
        };
        shutdown.cancel();
        let ended = async {
            sampling.await.context("the sampler failed")?;
            let finish = tokio::task::spawn_blocking(|| recording.finish());
            Ok::<_, anyhow::Error>(finish.await.context("cannot wait for the end of the recording")??)
        };
        let outcome = tokio::select! {
            outcome = ended => outcome.with_context(|| format!("cannot record into {}", output.display()))?,
            _ = stop.received() => anyhow::bail!("stopped by a second signal"),
        };
        self.tell(output, &outcome, &reason);
        Ok(())
    }

    /// Reports the content of the file, and why the recording ended.
    fn tell(&self, output: &Path, outcome: &RecordingSummary, reason: &StopReason) {
        let RecordingSummary { end, bytes, is_full } = outcome;
        let why = match reason {
            _ if *is_full => format!("reached {} MiB (--max-size)", self.max_size),
            StopReason::Duration => "reached the duration (--duration)".to_owned(),
            StopReason::Signal(name) => format!("received {name}"),
            StopReason::Writer => "the file was closed".to_owned(),
        };
        if end.missed > 0 {
            tracing::warn!(
                missed = end.missed,
                "samples were skipped because the disk was too slow; counts of short-lived cgroups may be missing"
            );
        }
        tracing::info!(file = %output.display(), samples = end.samples, bytes, "recording ended: {why}");
    }
}

async fn sleep_for(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Makes a new file. An existing file is never overwritten.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
