//! `syscallmon record`: counts like the daemon, and writes a file that `syscallmon replay` serves.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    ConfigFile,
    run::{Attached, Sampling, StopSignals, attach},
};
use crate::{
    alert::Alerts,
    logging,
    recording::{self, Header, MaskNames, RecordingSummary, WriteOptions},
    settings::{Config, PolicySources, Settings},
};

/// Record the system calls of every workload of this host into a file for `syscallmon replay`.
///
/// Counts like `syscallmon run` with the same flags and capabilities; a daemon may run at the same time. Writes
/// snapshots of counts, workload names and first calls. Ends after --duration, at --max-size, or on SIGINT or SIGTERM,
/// with status 0.
#[derive(Debug, Args)]
pub(super) struct Record {
    /// Record the whole host.
    #[arg(long, required = true)]
    host: bool,

    /// File to create; it must not exist. Only its owner can read it.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// Duration of the recording; by default until a signal.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,

    /// Maximum size of the file in MiB. The last sample can exceed it.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    max_size: u64,

    /// Replace names by pseudonyms: cgroups, pods, namespaces, containers, images, owners, nodes, executables, threads
    /// and arguments. Keeps numbers and names of calls.
    #[arg(long)]
    mask: bool,

    #[command(flatten)]
    config: ConfigFile,

    #[command(flatten)]
    settings: Settings,
}

/// Why a recording ended.
enum StopReason {
    Duration,
    Signal(&'static str),
    /// The file is full, or could not be written.
    Writer,
}

impl Record {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let mut stop = StopSignals::new()?;
        let mut config = Config::resolve(self.settings.clone(), self.config.config_file.as_deref())?;
        // A recording judges no calls.
        config.policies = PolicySources::none();
        logging::start(config.log_level, config.log_format).context("cannot start logging")?;
        let file = create(&self.output).with_context(|| format!("cannot create {}", self.output.display()))?;
        let attached = attach(&config).inspect_err(|_| {
            // Empty, and made by this command.
            let _ = std::fs::remove_file(&self.output);
        })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the async runtime")?;
        let outcome = runtime.block_on(self.record(attached, &config, file, &mut stop));
        runtime.shutdown_background();
        outcome.map(|()| ExitCode::SUCCESS)
    }

    async fn record(
        &self,
        attached: Attached,
        config: &Config,
        file: File,
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
        tracing::info!(file = %self.output.display(), masked = self.mask, "recording");
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
            outcome = ended => outcome.with_context(|| format!("cannot record into {}", self.output.display()))?,
            _ = stop.received() => anyhow::bail!("stopped by a second signal"),
        };
        self.tell(&outcome, &reason);
        Ok(())
    }

    /// Reports the content of the file, and why the recording ended.
    fn tell(&self, outcome: &RecordingSummary, reason: &StopReason) {
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
        tracing::info!(file = %self.output.display(), samples = end.samples, bytes, "recording ended: {why}");
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
