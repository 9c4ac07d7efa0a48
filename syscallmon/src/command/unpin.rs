//! `syscallmon unpin`: removes what pinned mode left in the kernel.

use std::{path::Path, process::ExitCode, thread::sleep, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use tokio::time::Instant;

use super::{ConfigFile, output::print, run::resolve, stop::StopSignals};
use crate::{kernel, settings::Settings};

/// The directory, if the configuration has none.
const DEFAULT_DIRECTORY: &str = "/sys/fs/bpf/syscallmon";
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// Detach and remove the programs and tables that a daemon with --pin.directory left.
///
/// Counting ends, and counts that no daemon has read are lost. Refuses while a daemon runs with this directory, and
/// removes nothing that syscallmon did not make. Takes the flags and the file of `syscallmon run`. Of these, only
/// --pin.directory matters; without it, the directory is /sys/fs/bpf/syscallmon.
#[derive(Debug, Args)]
pub(super) struct Unpin {
    #[command(flatten)]
    config: ConfigFile,

    /// Prepare the start of a service. If the flags or the file have a --pin.directory, only make it, because the
    /// service's sandbox may not. Otherwise, remove what is left, because pinned mode was switched off.
    #[arg(long)]
    prepare: bool,

    /// How long to wait for the end of a daemon that uses the directory.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    wait: Duration,

    /// Do not end after the removal, but at a signal. For a pod of a `DaemonSet`, which would be started again.
    #[arg(long)]
    stay: bool,

    #[command(flatten)]
    settings: Settings,
}

impl Unpin {
    pub(super) fn execute(self) -> Result<ExitCode> {
        let mut stop = StopSignals::new().context("cannot handle signals")?;
        let pin = resolve(&self.settings, &self.config)?.pin;
        let directory = pin.as_ref().map_or(Path::new(DEFAULT_DIRECTORY), |(directory, _)| directory);
        if self.prepare && pin.is_some() {
            kernel::make_pin_directory(directory)?;
        } else if self.unpin(directory)? {
            print(format!("removed {} with its programs and tables\n", directory.display()).as_bytes())?;
        } else if !self.prepare {
            print(format!("nothing is pinned in {}\n", directory.display()).as_bytes())?;
        }
        if self.stay {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context("cannot start the async runtime")?.block_on(stop.received());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Removes what is pinned, once no daemon uses it. Returns whether anything was.
    fn unpin(&self, directory: &Path) -> Result<bool> {
        let begin = Instant::now();
        loop {
            match kernel::unpin(directory) {
                Err(kernel::Error::Pinned { .. }) if begin.elapsed() + PAUSE <= self.wait => sleep(PAUSE),
                removed => return Ok(removed?),
            }
        }
    }
}
