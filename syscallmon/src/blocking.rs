//! Runs work that the kernel can block for ever, outside of the async workers: files, DNS, `/proc`.
//!
//! A path can be a FIFO or lie on a dead NFS server, a resolver can be silent. A thread in such a call cannot be
//! stopped. So each job has a thread of its own and a deadline; its caller goes on at the deadline, and the thread
//! stays behind until the kernel lets it go. Each kind of work has [`MAX_THREADS`], and one thread for each key (a
//! path, a host name), so one dead file server takes no thread from another. These threads do not belong to tokio: the
//! end of the daemon does not wait for them.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

/// Threads of one kind of work.
const MAX_THREADS: usize = 8;

/// The usual deadline of a file.
pub const FILE_TIMEOUT: Duration = Duration::from_secs(3);

/// The deadline of files without which the daemon does not start: a host that boots is slow before it hangs.
pub const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A kind of blocking work, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Looks up the addresses of a host name.
    Dns,
    /// Reads passwords, tokens and certificates that are sent or trusted by sinks.
    Secret,
    /// Reads the web configuration and the files that it names.
    WebConfig,
    /// Reads policies and seccomp profiles.
    Policy,
    /// Reads and writes baselines.
    Baseline,
    /// Reads and writes violations, incidents and alerts.
    AlertState,
    /// Reads and writes totals.
    Totals,
    /// Reads a kubeconfig, its files and the token of the service account.
    Kubeconfig,
    /// Looks for the sockets of container runtimes.
    Socket,
    /// Writes alerts to a file, to stdout or to stderr.
    AlertLog,
    /// Reads the configuration file after SIGHUP.
    Config,
}

impl Work {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Dns,
        Self::Secret,
        Self::WebConfig,
        Self::Policy,
        Self::Baseline,
        Self::AlertState,
        Self::Totals,
        Self::Kubeconfig,
        Self::Socket,
        Self::AlertLog,
        Self::Config,
    ];

    /// The name in metrics and in error messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Secret => "secret",
            Self::WebConfig => "web_config",
            Self::Policy => "policy",
            Self::Baseline => "baseline",
            Self::AlertState => "alert_state",
            Self::Totals => "totals",
            Self::Kubeconfig => "kubeconfig",
            Self::Socket => "socket",
            Self::AlertLog => "alert_log",
            Self::Config => "config",
        }
    }

    fn lane(self) -> &'static Lane {
        static LANES: [Lane; Work::ALL.len()] = [const { Lane::new() }; Work::ALL.len()];
        &LANES[self as usize]
    }

    fn stuck(self) -> usize {
        self.lane().jobs().running.values().filter(|is_late| **is_late).count()
    }
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockingError {
    /// The deadline came first. The thread may still be in the kernel.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The system has no thread for it, or the job panicked.
    #[error("cannot start a thread")]
    Failed,
}

impl From<BlockingError> for io::Error {
    fn from(error: BlockingError) -> Self {
        let kind = match error {
            BlockingError::TimedOut(_) => io::ErrorKind::TimedOut,
            BlockingError::Failed => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Counts of one kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkStatus {
    /// The kind.
    pub work: Work,
    /// Callers that went on without a result.
    pub timeouts: u64,
    /// Threads that have not come back, although their callers have gone on.
    pub stuck: usize,
}

/// Returns the counts of every kind of work.
#[must_use]
pub fn status() -> [WorkStatus; Work::ALL.len()] {
    Work::ALL.map(|work| {
        let timeouts = work.lane().jobs().timeouts;
        WorkStatus { work, timeouts, stuck: work.stuck() }
    })
}

/// Runs `job` in a thread of its own and waits until `deadline` has passed.
///
/// Jobs with the same `key` run one after another: while one hangs, the next ones time out and take no thread.
///
/// # Errors
///
/// When there is no result at the deadline, or no thread.
pub async fn run<T: Send + 'static>(
    work: Work,
    key: &str,
    deadline: Duration,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlockingError> {
    let lane = work.lane();
    let result = async {
        let running = lane.start(key).await;
        let (sender, result) = oneshot::channel();
        let in_thread = move || {
            let result = job();
            drop(running);
            // An error means that the caller has gone on.
            let _ = sender.send(result);
        };
        thread::Builder::new().name(work.name().to_owned()).spawn(in_thread).map_err(|_| BlockingError::Failed)?;
        result.await.map_err(|_| BlockingError::Failed)
    };
    timeout(deadline, result).await.unwrap_or_else(|_| {
        lane.note_timeout(key);
        Err(BlockingError::TimedOut(deadline))
    })
}

/// Runs `job` with a deadline, for a caller outside of async code; see [`run`].
///
/// # Errors
///
/// When there is no result at the deadline, or no thread.
pub fn run_and_wait<T: Send + 'static>(
    work: Work,
    key: &str,
    deadline: Duration,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlockingError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.map_err(|_| BlockingError::Failed)?.block_on(run(work, key, deadline, job))
}

/// Runs a job that opens, reads or writes a file; see [`run`].
///
/// # Errors
///
/// The job's, or [`io::ErrorKind::TimedOut`].
pub async fn file<T: Send + 'static>(
    work: Work,
    key: &str,
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    run(work, key, FILE_TIMEOUT, job).await?
}

/// The jobs of one kind of work.
struct Lane {
    jobs: Mutex<Jobs>,
    /// Tells that a job has ended.
    ended: Notify,
}

struct Jobs {
    /// Keys of the jobs that run, and whether their callers have gone on.
    running: BTreeMap<Box<str>, bool>,
    timeouts: u64,
}

impl Lane {
    const fn new() -> Self {
        Self { jobs: Mutex::new(Jobs { running: BTreeMap::new(), timeouts: 0 }), ended: Notify::const_new() }
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is a thread for this key.
    async fn start(&'static self, key: &str) -> Running {
        loop {
            // Made before the look, so that no end in between is missed.
            let ended = self.ended.notified();
            if self.jobs().start(key) {
                return Running { lane: self, key: key.into() };
            }
            ended.await;
        }
    }

    fn note_timeout(&self, key: &str) {
        let mut jobs = self.jobs();
        jobs.timeouts += 1;
        if let Some(is_late) = jobs.running.get_mut(key) {
            *is_late = true;
        }
    }
}

impl Jobs {
    fn start(&mut self, key: &str) -> bool {
        let has_thread = self.running.len() < MAX_THREADS && !self.running.contains_key(key);
        if has_thread {
            self.running.insert(key.into(), false);
        }
        has_thread
    }
}

/// A job that runs; dropping it makes room for the next one.
struct Running {
    lane: &'static Lane,
    key: Box<str>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lane.jobs().running.remove(&self.key);
        self.lane.ended.notify_waiters();
    }
}
