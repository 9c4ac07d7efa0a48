//! Writes the totals of pinned mode after each snapshot, and at the end.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::TotalsFile;
use crate::{
    blocking::{self, FILE_TIMEOUT, Work},
    error_report::chain,
    syscalls::CallTable,
    view::{NewestTotals, Requester, TotalsSave, TotalsSender},
};

/// Minimum time between two writes. A large file takes about 40 ms of CPU time.
const PAUSE: Duration = Duration::from_millis(200);

/// Writes totals. A slow disk delays nothing but the end of slots: totals that come meanwhile replace each other.
#[derive(Clone, Debug)]
pub struct TotalsSaver {
    file: Arc<Mutex<TotalsFile>>,
    calls: Arc<CallTable>,
    newest: watch::Receiver<NewestTotals>,
}

impl TotalsSaver {
    /// Returns what writes this file, and where totals are sent.
    #[must_use]
    pub fn new(file: TotalsFile, calls: Arc<CallTable>) -> (Self, TotalsSender) {
        let (sender, newest) = watch::channel(None);
        (Self { file: Arc::new(Mutex::new(file)), calls, newest }, sender)
    }

    /// Writes the newest totals whenever there are newer ones, until `shutdown`.
    pub async fn run(mut self, owner: Requester, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = self.newest.changed() => if changed.is_err() { return },
            }
            if let Some((number, save)) = self.write().await {
                owner.saved(number, save).await;
            }
            // Cgroups that come and go must not keep a CPU busy with writing.
            tokio::select! { () = shutdown.cancelled() => return, () = sleep(PAUSE) => {} }
        }
    }

    /// Writes the newest totals. Returns their number, and what became of them.
    pub async fn write(&mut self) -> Option<(u64, TotalsSave)> {
        let (number, totals) = self.newest.borrow_and_update().clone()?;
        let (file, calls) = (Arc::clone(&self.file), Arc::clone(&self.calls));
        let write = move || file.lock().unwrap_or_else(PoisonError::into_inner).write(&totals, &calls);
        let save = match blocking::run(Work::Totals, "state.directory", FILE_TIMEOUT, write).await {
            Ok(Ok(_)) => TotalsSave::Done,
            Ok(Err(error)) => {
                tracing::error!(error = chain(&error), "cannot save totals: a restart loses calls");
                if error.is_too_large() { TotalsSave::TooLarge } else { TotalsSave::Failed }
            }
            Err(error) => {
                tracing::error!("the state directory does not respond: a restart loses calls: {error}");
                TotalsSave::Failed
            }
        };
        Some((number, save))
    }
}
