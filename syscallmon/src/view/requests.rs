//! What others ask of the [`crate::engine::sampler`], which alone changes totals, baselines, violations and policies.
//!
//! Carries requests and their answers; knows neither the kernel nor HTTP.

#[cfg(fuzzing)]
pub mod fuzzing;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::detect::{Baselines, Policies};

/// Requests that wait. Who finds no room waits to ask.
const MAX_WAITING: usize = 64;

/// Something to be done, and whom to tell when it is.
pub(crate) enum Request {
    /// A snapshot that is fresh, and published.
    Refresh(oneshot::Sender<()>),
    /// To export what still waits for its name.
    Release(oneshot::Sender<()>),
    /// To look at baselines or to change them.
    Baselines(Box<dyn FnOnce(&mut Baselines) + Send>),
    /// These policies are to be in force; `None` leaves those that are. So many problems were found.
    Policies(Option<Arc<Policies>>, usize),
    /// The configuration was read again, with so many problems.
    Configuration(usize),
}

/// Asks for things. When the sampler has ended, nothing is done, and nobody waits.
#[derive(Clone, Debug)]
pub struct Requester(mpsc::Sender<Request>);

/// The other end of a [`Requester`].
pub(crate) type Requests = mpsc::Receiver<Request>;

impl Requester {
    pub(crate) fn new() -> (Self, Requests) {
        let (sender, requests) = mpsc::channel(MAX_WAITING);
        (Self(sender), requests)
    }

    /// Returns when the newest view is of a snapshot that is fresh, or when there will be no more.
    pub async fn refresh(&self) {
        self.ask(Request::Refresh).await;
    }

    /// Returns when workloads are exported that waited for their names.
    pub async fn release(&self) {
        self.ask(Request::Release).await;
    }

    /// Has baselines looked at or changed; `None` when nobody does any more.
    pub async fn baselines<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Baselines) -> T + Send + 'static,
    ) -> Option<T> {
        let (request, answer) = baselines(work);
        self.0.send(request).await.ok()?;
        answer.await.ok()
    }

    /// The same for a thread that may block.
    pub fn baselines_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Baselines) -> T + Send + 'static,
    ) -> Option<T> {
        let (request, answer) = baselines(work);
        self.0.blocking_send(request).ok()?;
        answer.blocking_recv().ok()
    }

    /// Puts policies in force, if any, and says how many problems were found when they were read.
    pub async fn set_policies(&self, policies: Option<Arc<Policies>>, problems: usize) {
        // An error means that nobody judges any more.
        let _ = self.0.send(Request::Policies(policies, problems)).await;
    }

    /// Says how many problems were found when the configuration was read again.
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
    // Who gave up waiting needs no answer.
    let work = move |baselines: &mut Baselines| drop(answer.send(work(baselines)));
    (Request::Baselines(Box::new(work)), wait)
}

#[cfg(test)]
pub(crate) mod testing {
    //! An owner of baselines without a kernel, who does at once what is asked for, and publishes.

    use std::{
        sync::{Arc, Mutex, MutexGuard},
        thread,
    };

    use super::{Request, Requester};
    use crate::{
        detect::Baselines,
        view::{View, Views},
    };

    /// The owner ends when nobody can ask any more.
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
