//! Requests to the [`crate::engine::Sampler`], which alone changes totals, baselines, violations and policies.
//!
//! This module carries requests and their answers. It uses neither the kernel nor HTTP.

#[cfg(fuzzing)]
pub mod fuzzing;

use std::sync::Arc;

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::TotalsSave;
use crate::{
    alert::{Alerts, LastingDelivery},
    detect::{Baselines, Detector, LastingDetection, Policies},
};

/// Maximum waiting requests. Further clients wait for room.
const MAX_WAITING: usize = 64;

/// A request, and the channel for its answer.
pub(crate) enum Request {
    /// Publish a fresh snapshot.
    Refresh(oneshot::Sender<()>),
    /// Export workloads that still wait for their names.
    Release(oneshot::Sender<()>),
    /// Read or change baselines.
    Baselines(Box<dyn FnOnce(&mut Baselines) + Send>),
    /// Return what outlasts the daemon, unless this number of changes is still the newest.
    Lasting(Option<u64>, oneshot::Sender<Option<LastingState>>),
    /// Use these policies, which were read with this many problems; `None` keeps the current ones.
    Policies(Option<Arc<Policies>>, usize),
    /// Note that the configuration was read again with this many problems.
    Configuration(usize),
    /// Note that the totals with this number were written, or could not be.
    Saved(u64, TotalsSave),
}

/// What outlasts the daemon: violations, incidents, and their delivery.
#[derive(Clone, Debug)]
pub struct LastingState {
    /// When it was taken.
    pub at: Instant,
    /// Number of changes until then.
    pub changes: u64,
    /// Violations and incidents.
    pub detection: LastingDetection,
    /// What was sent, and what is still to be sent.
    pub delivery: LastingDelivery,
}

impl LastingState {
    /// Returns the state now, unless this number of changes is still the newest.
    pub(crate) fn of(detector: &Detector, alerts: &Alerts, known: Option<u64>) -> Option<Self> {
        let changes = detector.changes() + alerts.changes();
        let take = || {
            let at = Instant::now();
            Self { at, changes, detection: detector.lasting(at.into_std()), delivery: alerts.lasting() }
        };
        (known != Some(changes)).then(take)
    }
}

/// Sends requests. After the sampler has ended, requests have no effect, and no client waits.
#[derive(Clone, Debug)]
pub struct Requester(mpsc::Sender<Request>);

/// Receives the requests of a [`Requester`].
pub(crate) type Requests = mpsc::Receiver<Request>;

impl Requester {
    pub(crate) fn new() -> (Self, Requests) {
        let (sender, requests) = mpsc::channel(MAX_WAITING);
        (Self(sender), requests)
    }

    /// Returns when the newest view has a fresh snapshot, or when there will be no more.
    pub async fn refresh(&self) {
        self.ask(Request::Refresh).await;
    }

    /// Returns when workloads that waited for their names are exported.
    pub async fn release(&self) {
        self.ask(Request::Release).await;
    }

    /// Reads or changes baselines; `None` after the owner has ended.
    pub async fn baselines<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Baselines) -> T + Send + 'static,
    ) -> Option<T> {
        let (request, answer) = baselines(work);
        self.0.send(request).await.ok()?;
        answer.await.ok()
    }

    /// Does the same for a thread that may block.
    pub fn baselines_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Baselines) -> T + Send + 'static,
    ) -> Option<T> {
        let (request, answer) = baselines(work);
        self.0.blocking_send(request).ok()?;
        answer.blocking_recv().ok()
    }

    /// Returns what outlasts the daemon; `None` if this number of changes is still the newest, or after the owner has
    /// ended.
    pub async fn lasting(&self, known: Option<u64>) -> Option<LastingState> {
        let (answer, state) = oneshot::channel();
        self.0.send(Request::Lasting(known, answer)).await.ok()?;
        state.await.ok().flatten()
    }

    /// Notes that the totals with this number were written, or could not be.
    pub async fn saved(&self, number: u64, save: TotalsSave) {
        // An error means that nothing is freed any more.
        let _ = self.0.send(Request::Saved(number, save)).await;
    }

    /// Applies policies, if any, and the number of problems that were found when they were read.
    pub async fn set_policies(&self, policies: Option<Arc<Policies>>, problems: usize) {
        // An error means that detection has ended.
        let _ = self.0.send(Request::Policies(policies, problems)).await;
    }

    /// Notes the number of problems that were found when the configuration was read again.
    pub async fn configuration_was_read(&self, problems: usize) {
        let _ = self.0.send(Request::Configuration(problems)).await;
    }

    async fn ask(&self, request: impl FnOnce(oneshot::Sender<()>) -> Request) {
        let (done, wait) = oneshot::channel();
        if self.0.send(request(done)).await.is_ok() {
            let _ = wait.await;
        }
    }
}

fn baselines<T: Send + 'static>(
    work: impl FnOnce(&mut Baselines) -> T + Send + 'static,
) -> (Request, oneshot::Receiver<T>) {
    let (answer, wait) = oneshot::channel();
    // A client that stopped waiting needs no answer.
    let work = move |baselines: &mut Baselines| drop(answer.send(work(baselines)));
    (Request::Baselines(Box::new(work)), wait)
}

#[cfg(test)]
pub(crate) mod testing {
    //! An owner of baselines without a kernel. It serves requests at once, and publishes.

    use std::{
        sync::{Arc, Mutex, MutexGuard},
        thread,
    };

    use super::{Request, Requester};
    use crate::{
        detect::Baselines,
        view::{View, Views},
    };

    /// The owner ends when there are no more requesters.
    #[derive(Clone, Debug)]
    pub(crate) struct Owned {
        pub(crate) owner: Requester,
        pub(crate) views: Views,
        baselines: Arc<Mutex<Baselines>>,
    }

    impl Owned {
        pub(crate) fn new(baselines: Baselines, first: View) -> Self {
            let first = View { baselines: baselines.view(), ..first };
            let ((publish, views), (owner, mut requests)) = (Views::new(first.clone()), Requester::new());
            let baselines = Arc::new(Mutex::new(baselines));
            let of_thread = Arc::clone(&baselines);
            thread::spawn(move || {
                while let Some(request) = requests.blocking_recv() {
                    let mut baselines = of_thread.lock().unwrap();
                    if let Request::Baselines(work) = request {
                        work(&mut baselines);
                    }
                    publish.send_replace(Arc::new(View { baselines: baselines.view(), ..first.clone() }));
                }
            });
            Self { owner, views, baselines }
        }

        pub(crate) fn baselines(&self) -> MutexGuard<'_, Baselines> {
            self.baselines.lock().unwrap()
        }
    }
}
