//! Pinned mode in the daemon: reads what the daemon before saved, and saves the totals of this one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    blocking::{self, START_TIMEOUT, Work},
    clock::monotonic_now,
    engine::{Known, Lasting, SLOT_OFFSET},
    error_report::chain,
    kernel::{Error, Kernel, NOT_PINNED, PinDirectory, PinOptions},
    model::{Model, SeriesLayout},
    settings::Config,
    store::{StoreError, TotalsError, TotalsFile, TotalsSaver},
    syscalls::CallTable,
    view::SavedTotals,
};

/// The locked directory of pins, the file of totals, and what the daemon before saved in it.
pub(super) struct Continuation {
    pins: Arc<PinDirectory>,
    file: TotalsFile,
    saved: Option<SavedTotals>,
    calls: Arc<CallTable>,
    /// When this daemon began to read.
    begun: Duration,
}

/// Locks the directory of pins; `None` without pinned mode, or if nothing can be pinned there.
///
/// The first thing that a daemon locks: one of two daemons that start at the same time gets it, and the state with it.
///
/// # Errors
///
/// When another daemon uses it.
pub(super) fn lock_pins(config: &Config) -> anyhow::Result<Option<Arc<PinDirectory>>> {
    let Some((directory, _)) = &config.pin else { return Ok(None) };
    match PinDirectory::open(directory) {
        Ok(pins) => Ok(Some(Arc::new(pins))),
        Err(error @ Error::Pinned { .. }) => Err(error.into()),
        Err(error) => {
            tracing::error!(error = chain(&error), "{NOT_PINNED}");
            Ok(None)
        }
    }
}

impl Continuation {
    /// Reads what the daemon before saved; `None` without pinned mode. Must be called before the first call is counted,
    /// because a slow disk must not delay the first reading.
    ///
    /// # Errors
    ///
    /// When another daemon, with other pins, uses the file: it may save totals after this reading.
    pub(super) fn read(config: &Config, pins: Option<Arc<PinDirectory>>) -> anyhow::Result<Option<Self>> {
        let begun = monotonic_now();
        let file = TotalsFile::new(&config.state_directory, &config.procfs);
        let calls = Arc::new(CallTable::native());
        let Some(pins) = pins else {
            forget(file, calls);
            return Ok(None);
        };
        let (mut file, table) = (file, Arc::clone(&calls));
        let read = move || {
            let read = file.read(&table);
            (file, read)
        };
        let (file, saved) = match blocking::run_and_wait(Work::Totals, "state.directory", START_TIMEOUT, read) {
            Ok((file, Ok(saved))) => (file, saved),
            Ok((_, Err(TotalsError::Store(error @ StoreError::Locked { .. })))) => return Err(error.into()),
            Ok((file, Err(error))) => {
                let error = chain(&error);
                tracing::error!(
                    error,
                    "cannot use the totals of the daemon before: totals of ended workloads are lost"
                );
                (file, None)
            }
            Err(error) => {
                tracing::error!("the state directory does not respond: totals of ended workloads are lost: {error}");
                (TotalsFile::new(&config.state_directory, &config.procfs), None)
            }
        };
        Ok(Some(Self { pins, file, saved, calls, begun }))
    }

    /// Returns the kernel's options of pinned mode.
    pub(super) fn pin_options(&self, config: &Config) -> Option<PinOptions> {
        let (_, lease) = config.pin.as_ref()?;
        let saved = self.saved.as_ref().map_or(0, |saved| saved.generation);
        let (directory, calls) = (Arc::clone(&self.pins), Arc::clone(&self.calls));
        Some(PinOptions { directory, saved, lease: *lease, calls, begun: self.begun })
    }

    /// Returns the totals to begin with, and in pinned mode what the sampler needs and what saves its totals.
    pub(super) fn begin(
        continuation: Option<Self>,
        kernel: &Kernel,
        most_series: usize,
        layout: Arc<SeriesLayout>,
    ) -> (Model, Option<(Lasting, TotalsSaver)>) {
        let new = |layout| Model::new(most_series).with_layout(layout);
        let Some(Self { file, saved, calls, .. }) = continuation else { return (new(layout), None) };
        if kernel.pinned_id().is_none() {
            forget(file, calls);
            return (new(layout), None);
        }
        let (saver, totals) = TotalsSaver::new(file, calls);
        let (known, model) = match saved {
            Some(SavedTotals { generation, first_calls_from, absorbed, freed, model }) => {
                let known = Known { generation, first_calls_from, absorbed, freed };
                (known, Model::restored(model, SLOT_OFFSET, most_series, layout))
            }
            None => (Known::default(), new(layout)),
        };
        let names = model.names();
        (model, Some((Lasting::new(totals, known, names), saver)))
    }
}

/// Replaces totals that an earlier daemon left. This daemon begins at 0, so a later one must not continue with them.
/// Its counters would grow by calls that were exported long ago.
fn forget(mut file: TotalsFile, calls: Arc<CallTable>) {
    let forget = move || -> Result<(), TotalsError> {
        if file.is_there() {
            let generation = u64::try_from(monotonic_now().as_nanos()).unwrap_or(u64::MAX);
            let model = Model::new(0).to_save(Instant::now());
            let (absorbed, freed) = (Vec::new(), Vec::new());
            file.write(&SavedTotals { generation, first_calls_from: 0, absorbed, freed, model }, &calls)?;
        }
        Ok(())
    };
    match blocking::run_and_wait(Work::Totals, "state.directory", START_TIMEOUT, forget) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = chain(&error), "{STALE}"),
        Err(error) => tracing::warn!("{STALE}: {error}"),
    }
}

const STALE: &str = "cannot replace the totals of an earlier daemon in pinned mode: a later one continues with them";
