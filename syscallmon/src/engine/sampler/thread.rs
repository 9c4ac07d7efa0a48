//! The thread of the sampler: its own, because the threads for HTTP may be busy with clients.

use std::{io, sync::Arc, thread};

use tokio::{
    runtime::{self, Runtime},
    sync::{oneshot, watch},
};
use tokio_util::sync::CancellationToken;

use super::{Beginning, Sampler, Tunables};
use crate::{
    kernel::{self, EventRings},
    scheduling::prefer_short_slices,
    view::{Requester, View},
};

/// A sampler, and the runtime of its thread, which is not started yet.
pub struct SamplerThread {
    runtime: Runtime,
    sampler: Sampler,
}

/// Ready when the sampler has ended; an error if it panicked.
pub type SamplerEnd = oneshot::Receiver<()>;

impl SamplerThread {
    /// Makes a sampler of these parts, and the handle for requests. Walks the cgroup tree once.
    ///
    /// # Errors
    ///
    /// When the runtime cannot be made, or cannot watch the kernel's events.
    pub fn new(
        events: EventRings,
        beginning: impl FnOnce(kernel::EventStreams) -> Beginning,
        views: watch::Sender<Arc<View>>,
        tunables: watch::Receiver<Tunables>,
    ) -> Result<(Self, Requester), kernel::Error> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(kernel::Error::Wait)?;
        let watching = runtime.enter();
        let events = events.watch()?;
        drop(watching);
        let (sampler, owner) = Sampler::new(beginning(events), views, tunables);
        Ok((Self { runtime, sampler }, owner))
    }

    /// Starts the thread; see [`Sampler::run`].
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub fn start(
        self,
        begin: CancellationToken,
        shutdown: CancellationToken,
        end: CancellationToken,
    ) -> io::Result<SamplerEnd> {
        let (ended, end_of_sampler) = oneshot::channel();
        thread::Builder::new().name("sampler".to_owned()).spawn(move || {
            prefer_short_slices();
            self.runtime.block_on(self.sampler.run(begin, shutdown, end));
            // After a second signal, no task waits for it.
            let _ = ended.send(());
        })?;
        Ok(end_of_sampler)
    }
}
