//! Pinned mode in the daemon: reads what the daemon before saved, and saves the totals of this one.

use std::{sync::Arc, time::Duration};

use crate::{
    blocking::{self, START_TIMEOUT, Work},
    clock::monotonic_now,
    engine::{Lasting, SLOT_OFFSET},
    kernel::PinOptions,
    model::{Model, SeriesLayout},
    settings::Config,
    store::{StoreError, TotalsError, TotalsFile, TotalsSaver},
    syscalls::CallTable,
    view::SavedTotals,
};

/// The file of totals, and what the daemon before saved in it.
pub(super) struct Continuation {
    file: TotalsFile,
    saved: Option<SavedTotals>,
    calls: Arc<CallTable>,
    /// When this daemon began to read.
    begun: Duration,
}

impl Continuation {
    /// Reads what the daemon before saved; `None` without pinned mode. Must be called before the first call is counted,
    /// because a slow disk must not delay the first reading.
    ///
    /// # Errors
    ///
    /// When another daemon uses the file: it may save totals after this reading, and end before this daemon takes the
    /// kernel's counts over.
    pub(super) fn read(config: &Config) -> anyhow::Result<Option<Self>> {
        if config.pin.is_none() {
            return Ok(None);
        }
        let begun = monotonic_now();
        let calls = Arc::new(CallTable::native());
        let (mut file, table) = (TotalsFile::new(&config.state_directory, &config.procfs), Arc::clone(&calls));
        let read = move || {
            let read = file.read(&table);
            (file, read)
        };
        let (file, saved) = match blocking::run_and_wait(Work::Totals, "state.directory", START_TIMEOUT, read) {
            Ok((file, Ok(saved))) => (file, saved),
            Ok((_, Err(TotalsError::Store(error @ StoreError::Locked { .. })))) => return Err(error.into()),
            Ok((file, Err(error))) => {
                let error = &error as &dyn std::error::Error;
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
        Ok(Some(Self { file, saved, calls, begun }))
    }

    /// Returns the kernel's options of pinned mode.
    pub(super) fn pin_options(&self, config: &Config) -> Option<PinOptions> {
        let (directory, lease) = config.pin.clone()?;
        Some(PinOptions { directory, lease, calls: Arc::clone(&self.calls), begun: self.begun })
    }

    /// Returns the totals to begin with, and in pinned mode what the sampler needs and what saves its totals.
    pub(super) fn begin(
        continuation: Option<Self>,
        most_series: usize,
        layout: Arc<SeriesLayout>,
    ) -> (Model, Option<(Lasting, TotalsSaver)>) {
        let new = |layout| Model::new(most_series).with_layout(layout);
        let Some(Self { file, saved, calls, .. }) = continuation else { return (new(layout), None) };
        let (saver, totals) = TotalsSaver::new(file, calls);
        let (known, model) = match saved {
            Some(SavedTotals { generation, absorbed, freed, model }) => {
                ((generation, absorbed, freed), Model::restored(model, SLOT_OFFSET, most_series, layout))
            }
            None => (Default::default(), new(layout)),
        };
        let names = model.names();
        (model, Some((Lasting::new(totals, known, names), saver)))
    }
}
