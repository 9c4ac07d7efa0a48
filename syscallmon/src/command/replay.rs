//! `syscallmon replay`: serves a recording as if it were live.

use std::{
    fs::File,
    io::BufReader,
    net::TcpListener,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    sync::Arc,
    thread,
    time::Instant,
};

use anyhow::Context;
use clap::Args;
use exporter_web::{Limits as WebLimits, Server};
use flate2::read::GzDecoder;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{output::print, run::bind, stop::StopSignals};
use crate::{
    engine::{Controls, PlayError, Player, Replay as Playing, Speed},
    files, logging,
    model::SeriesLayout,
    recording::{End, Limits, ReadError, Reader, Sample, SampleOrEnd},
    serve::{Site, web_server},
    settings::{self, Config, Settings, Web},
    view::{FixedFacts, View, Views},
};

/// Serve a recording of `syscallmon record` over HTTP, like a live daemon.
///
/// Serves metrics, API and pages of the recorded host, with the recorded times. Requires no privileges and runs on any
/// machine. Policies, baselines and alerts are not recorded. At the end of the recording, serves the last state until
/// SIGTERM or SIGINT. Of a truncated or damaged file, serves the part before the damage.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Recording to serve.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Speed: factor such as 2.5, or max for as fast as possible.
    #[arg(long, value_name = "N|max", default_value = "1")]
    speed: SpeedSetting,

    /// Replay the whole file, print the metrics at its end and exit, with status 1 if the file is truncated or damaged.
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    web: Web,

    #[command(flatten)]
    metrics: settings::Metrics,

    #[command(flatten)]
    log: settings::Log,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct SpeedSetting(Speed);

impl FromStr for SpeedSetting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self(Speed::Max));
        }
        let times = text.parse().ok().filter(|times| (0.001..=1e6).contains(times));
        times.map(|times| Self(Speed::Times(times))).ok_or("expected a number from 0.001 to 1000000, or max")
    }
}

type FileReader = Reader<BufReader<GzDecoder<File>>>;

/// What was read from a recording: its last record, if it has one.
type FileOutcome = Result<Option<End>, ReadError>;

/// A running replay.
pub(super) struct Running {
    pub(super) site: Site,
    controls: Controls,
    read: oneshot::Receiver<FileOutcome>,
    pub(super) playing: Playing,
}

impl Replay {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let mut stop = StopSignals::new()?;
        let (web, metrics, log) = (self.web.clone(), self.metrics.clone(), self.log.clone());
        let settings = Settings { web, metrics, log, ..Settings::default() };
        let config = Config::resolve(settings, None)?;
        logging::start(config.log_level, config.log_format).context("cannot start logging")?;
        let reader = open(&self.file).with_context(|| format!("cannot replay {}", self.file.display()))?;
        let header = reader.header();
        tracing::info!(
            file = %self.file.display(), started = %humantime::format_rfc3339_seconds(header.started()),
            syscallmon = header.syscallmon, kernel = header.kernel, masked = header.is_masked, "replaying"
        );
        let listeners = if self.once { Vec::new() } else { bind(&config.listen_addresses)? };
        let server = web_server(config.web_config_file.clone(), WebLimits::with_connections(config.max_connections))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the async runtime")?;
        let status = runtime.block_on(async {
            let speed = if self.once { Speed::Max } else { self.speed.0 };
            let running = start(reader, &config, speed)?;
            if self.once {
                print_end(running, &mut stop).await
            } else {
                serve(running, (listeners, server), &mut stop).await
            }
        });
        runtime.shutdown_background();
        status
    }
}

/// Begins to read and to play a recording.
pub(super) fn start(reader: FileReader, config: &Config, speed: Speed) -> anyhow::Result<Running> {
    let started = Instant::now();
    let recorded = reader.header().facts(started);
    let layout = Arc::new(SeriesLayout::new(config.granularities, &recorded.calls));
    let player = Player::new(reader.header(), started, Limits::default()).with_layout(Arc::clone(&layout));
    let facts = FixedFacts { layout, created_timestamps: config.created_timestamps, ..recorded };
    let (publish, views) = Views::new(View::empty(Arc::new(facts)));
    let (playing, mut controls) = Playing::new(player, speed, publish);
    let (_tunables, watched) = watch::channel(config.tunables);
    let site = Site::new(views, controls.owner.clone(), &config.telemetry_path, watched)?;
    let samples = controls.samples.take().context("samples are given once")?;
    let (tell, read) = oneshot::channel();
    let work = move || drop(tell.send(read_all(reader, &samples)));
    thread::Builder::new().name("recording".to_owned()).spawn(work).context("cannot start a thread")?;
    Ok(Running { site, controls, read, playing })
}

pub(super) fn open(path: &Path) -> anyhow::Result<FileReader> {
    Ok(Reader::open(files::open(path)?, Limits::default()).map_err(|error| error.problem)?)
}

/// Sends samples until the replay has ended, or there are no more.
fn read_all(mut reader: FileReader, samples: &mpsc::Sender<Sample>) -> FileOutcome {
    while let Some(record) = reader.next_record() {
        match record? {
            SampleOrEnd::Sample(sample) => {
                if samples.blocking_send(*sample).is_err() {
                    return Ok(None);
                }
            }
            SampleOrEnd::End(end) => return Ok(Some(end)),
        }
    }
    Ok(None)
}

async fn serve(
    running: Running,
    (listeners, server): (Vec<TcpListener>, Server),
    stop: &mut StopSignals,
) -> anyhow::Result<ExitCode> {
    let Running { site, controls, read, playing } = running;
    let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
    let listeners = listeners.into_iter().map(tokio::net::TcpListener::from_std).collect::<Result<_, _>>()?;
    tasks.spawn(playing.run(shutdown.clone()));
    tasks.spawn(server.run(listeners, site.router(), shutdown.clone()));
    let end = async {
        if let Some(outcome) = ended(controls.over, read).await {
            tell(&outcome);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        name = stop.received() => tracing::info!(signal = name, "stopping"),
        Some(ended) = tasks.join_next() => {
            ended.context("a task failed")?;
            anyhow::bail!("a task ended unexpectedly");
        }
        () = end => {}
    }
    shutdown.cancel();
    let ended = async {
        while let Some(ended) = tasks.join_next().await {
            ended.context("a task failed")?;
        }
        anyhow::Ok(ExitCode::SUCCESS)
    };
    tokio::select! {
        ended = ended => ended,
        _ = stop.received() => anyhow::bail!("stopped by a second signal"),
    }
}

/// Prints the metrics at the end of the recording.
async fn print_end(running: Running, stop: &mut StopSignals) -> anyhow::Result<ExitCode> {
    let Running { site, controls, read, playing } = running;
    let shutdown = CancellationToken::new();
    let playing = tokio::spawn(playing.run(shutdown.clone()));
    let outcome = tokio::select! {
        outcome = ended(controls.over, read) => outcome.context("the replay failed")?,
        name = stop.received() => anyhow::bail!("stopped by {name}"),
    };
    // Names are not awaited any longer: containers without one are exported by path.
    controls.owner.release().await;
    print(&site.exposition().await?)?;
    shutdown.cancel();
    playing.await.context("the replay failed")?;
    Ok(if tell(&outcome) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How a file ended, and whether its samples could be applied.
struct ReplayOutcome {
    file: FileOutcome,
    played: Result<(), PlayError>,
}

/// Returns the outcome after all samples were applied.
async fn ended(
    over: oneshot::Receiver<Result<(), PlayError>>,
    read: oneshot::Receiver<FileOutcome>,
) -> Option<ReplayOutcome> {
    let played = over.await.ok()?;
    Some(ReplayOutcome { file: read.await.ok()?, played })
}

/// Reports how the recording ended. Returns whether all of it could be used.
fn tell(outcome: &ReplayOutcome) -> bool {
    match outcome {
        ReplayOutcome { played: Err(error), .. } => tracing::error!("cannot read the rest of the recording: {error}"),
        ReplayOutcome { file: Err(error), .. } => tracing::error!("{error}"),
        ReplayOutcome { file: Ok(end), .. } => {
            let End { samples, missed } = end.unwrap_or(End { samples: 0, missed: 0 });
            tracing::info!(samples, missed, "reached the end of the recording");
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward_and_not_without_end() {
        let speed = |text: &str| text.parse::<SpeedSetting>().map(|speed| speed.0);
        assert_eq!((speed("max"), speed("2.5")), (Ok(Speed::Max), Ok(Speed::Times(2.5))));
        for text in ["0", "-1", "nan", "inf", "1e9", "fast", ""] {
            assert!(speed(text).is_err(), "{text}");
        }
    }
}
