//! `syscallmon top`: a live table of workloads in the terminal.

mod columns;
mod details;
mod output;
mod own;
mod sample;
mod screen;
mod source;
mod state;
mod terminal;
#[cfg(test)]
mod tests;
mod text;

use std::{
    io::{IsTerminal, stdin, stdout},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Args;

use self::{
    columns::Column,
    output::Format,
    own::{OwnCounts, attach},
    screen::Origin,
    source::{Source, Wanted},
    state::{Start, State},
};
use super::{
    ConfigFile,
    daemon_flags::{DEFAULT_URL, DaemonArgs},
    output::print,
    stop::StopSignals,
};

/// Shortest interval.
const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// Show the workloads of a host with their system calls per second, live in the terminal.
///
/// Asks the daemon at --url, by default the one of this host. If no daemon runs on this host, the command counts the
/// calls itself. This requires CAP_BPF and CAP_PERFMON (or root). The key ? shows all keys.
#[derive(Debug, Args)]
pub(super) struct Top {
    #[command(flatten)]
    daemon: DaemonArgs,

    /// Recording of `syscallmon record --host` to play, instead of a daemon.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "username", "ca_file", "config_file"])]
    recording: Option<PathBuf>,

    /// Time between two samples.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = interval)]
    interval: Duration,

    /// Column to sort by.
    #[arg(long, value_name = "COLUMN", default_value = "rate")]
    sort: Column,

    /// Reverse the order.
    #[arg(long)]
    reverse: bool,

    /// Show only workloads with these words in their name, image or owner.
    #[arg(long, value_name = "WORDS", default_value = "")]
    filter: String,

    /// Columns to show, in this order. By default: rate, history, error-rate, denied-rate, calls, errors, name.
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    columns: Vec<Column>,

    /// Print samples to stdout instead of drawing a screen.
    #[arg(long, value_name = "FORMAT")]
    output: Option<Format>,

    /// Print one sample and exit; as a table, unless --output says otherwise.
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    config: ConfigFile,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval < MIN_INTERVAL {
        return Err(format!("the shortest is {}", humantime::format_duration(MIN_INTERVAL)));
    }
    Ok(interval)
}

impl Top {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let mut stop = StopSignals::new()?;
        let format = self.output.or(self.once.then_some(Format::Table));
        ensure!(
            format.is_some() || stdout().is_terminal() && stdin().is_terminal(),
            "no terminal: use --once or --output to print samples"
        );
        let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        // Programs are attached while there is one thread, because capabilities belong to threads.
        let asks_daemon = self.recording.is_none() && (self.daemon.url.is_some() || runtime()?.block_on(self.is_up()));
        let attached = if asks_daemon || self.recording.is_some() { None } else { Some(self.attach()?) };
        let runtime = runtime().context("cannot start the async runtime")?;
        let outcome = runtime.block_on(async {
            let own = match (attached, &self.recording) {
                (Some((attached, config)), _) => Some(OwnCounts::start(attached, &config)?),
                (None, Some(path)) => Some(OwnCounts::replay(path)?),
                (None, None) => None,
            };
            let (source, origin) = self.source(own.as_ref());
            let shown = match format {
                Some(format) => self.print(format, &source, &origin, &mut stop).await,
                None => terminal::show(&source, &origin, self.state(), self.interval, &mut stop).await,
            };
            if let Some(own) = own {
                own.stop().await?;
            }
            shown
        });
        runtime.shutdown_background();
        outcome.map(|()| ExitCode::SUCCESS)
    }

    /// Whether a daemon answers at the default address.
    async fn is_up(&self) -> bool {
        Source::Daemon(Box::new(self.daemon.daemon())).sample(&Wanted::default()).await.is_ok()
    }

    fn attach(&self) -> anyhow::Result<(super::run::Attached, crate::settings::Config)> {
        let hint = || format!("no daemon answers at {DEFAULT_URL}, and counting without a daemon failed");
        attach(&self.config).with_context(hint)
    }

    fn source(&self, own: Option<&OwnCounts>) -> (Source, Origin) {
        if let Some(own) = own {
            let title = match &self.recording {
                Some(path) => path.display().to_string(),
                None => "this host, counted by this command".to_owned(),
            };
            return (Source::Own(own.router()), Origin { title, daemon: String::new() });
        }
        let daemon = self.daemon.daemon();
        let url = daemon.url.to_string().trim_end_matches('/').to_owned();
        let origin = Origin { title: url.clone(), daemon: format!("--url {url} ") };
        (Source::Daemon(Box::new(daemon)), origin)
    }

    fn state(&self) -> State {
        let columns = if self.columns.is_empty() { Column::DEFAULT.to_vec() } else { self.columns.clone() };
        State::new(Start { sort: self.sort, reverse: self.reverse, filter: self.filter.clone(), columns })
    }

    /// Prints samples. Rates need two of them.
    async fn print(
        &self,
        format: Format,
        source: &Source,
        origin: &Origin,
        stop: &mut StopSignals,
    ) -> anyhow::Result<()> {
        let mut state = self.state();
        state.received(source.sample(&Wanted::default()).await?);
        let mut is_first = true;
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                _ = stop.received() => return Ok(()),
            }
            state.received(source.sample(&Wanted::default()).await?);
            print(format.text(&state, origin, is_first)?.as_bytes())?;
            is_first = false;
            if self.once {
                return Ok(());
            }
        }
    }
}
