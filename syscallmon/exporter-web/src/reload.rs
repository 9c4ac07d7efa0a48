//! Keeps the configuration in force equal to its file, without a restart.
//!
//! `connection` and `service` call [`WatchedConfig::current`] for each handshake and request. It starts a check of the
//! files, at most once a second. A file that cannot be used leaves the previous configuration in force.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{config::WebConfig, error::Error, files::FileChange};

const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a request waits for a check of the files, which may be on a file system that does not answer.
const MAX_WAIT: Duration = Duration::from_millis(200);

/// Looks whether the configuration's files have changed, and loads them if so. It blocks: a file system that does not
/// answer keeps it for ever.
pub type FileCheck = Box<dyn FnOnce() + Send>;

/// Runs a check, and is ready once the check has ended or is given up.
type RunCheck = dyn Fn(FileCheck) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// The configuration in force, and where it comes from.
pub(super) struct WatchedConfig {
    path: Option<PathBuf>,
    current: RwLock<Arc<WebConfig>>,
    /// `None` while a check runs.
    next_check: Mutex<Option<Instant>>,
    run_check: Box<RunCheck>,
    /// So that a file that stays bad is reported once.
    last_warning: Mutex<Option<String>>,
}

impl WatchedConfig {
    /// Loads the file. Without a path the server is open, and stays so.
    pub(super) fn new(path: Option<PathBuf>) -> Result<Self, Error> {
        let config = path.as_deref().map_or_else(|| Ok(WebConfig::open()), WebConfig::load)?;
        Ok(Self {
            path,
            current: RwLock::new(Arc::new(config)),
            next_check: Mutex::new(Some(Instant::now() + CHECK_INTERVAL)),
            run_check: Box::new(|check| Box::pin(run_in_thread(check))),
            last_warning: Mutex::default(),
        })
    }

    /// Runs checks by `run`, in place of a thread for each.
    pub(super) fn check_with<F>(&mut self, run: impl Fn(FileCheck) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.run_check = Box::new(move |check| Box::pin(run(check)));
    }

    /// This configuration, for good. For `fuzz/`.
    #[cfg(fuzzing)]
    pub(super) fn fixed(config: WebConfig) -> Self {
        let current = RwLock::new(Arc::new(config));
        Self { current, next_check: Mutex::new(None), ..Self::new(None).expect("no file is read") }
    }

    /// The configuration to use now. The caller that finds a check due waits for it, for a moment; others
    /// go on meanwhile.
    pub(super) async fn current(self: &Arc<Self>) -> Arc<WebConfig> {
        if let Some(path) = self.due() {
            let checking = tokio::spawn(Arc::clone(self).check(path.to_owned()));
            let _ = tokio::time::timeout(MAX_WAIT, checking).await;
        }
        self.in_force()
    }

    /// Refreshes; if that hangs or panics, the previous configuration stays.
    async fn check(self: Arc<Self>, path: PathBuf) {
        let source = Arc::clone(&self);
        (self.run_check)(Box::new(move || source.refresh(&path))).await;
        *lock(&self.next_check) = Some(Instant::now() + CHECK_INTERVAL);
    }

    /// The file, if it is time to check it, for one caller at a time: while a check hangs, no other one starts.
    fn due(&self) -> Option<&Path> {
        let path = self.path.as_deref()?;
        let now = Instant::now();
        let mut next_check = lock(&self.next_check);
        next_check.take_if(|due| now >= *due).map(|_| path)
    }

    fn in_force(&self) -> Arc<WebConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn refresh(&self, path: &Path) {
        let mut last_warning = lock(&self.last_warning);
        let current = self.in_force();
        match current.change() {
            FileChange::None => *last_warning = None,
            FileChange::Unsettled => {}
            FileChange::Changed => match successor(path, &current) {
                Ok(config) => self.replace(config, &mut last_warning),
                Err(error) => {
                    warn_once(&mut last_warning, error.chain());
                }
            },
        }
    }

    fn replace(&self, config: WebConfig, last_warning: &mut Option<String>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        *last_warning = None;
        info!("web configuration reloaded");
    }
}

/// Loads the file anew. Turning TLS on or off is refused: Prometheus is configured for one of them, and a truncated
/// file must not make the server answer in clear text.
fn successor(path: &Path, current: &WebConfig) -> Result<WebConfig, Error> {
    let config = WebConfig::load(path)?;
    if config.is_tls() == current.is_tls() {
        return Ok(config);
    }
    let why = "turning TLS on or off requires a restart".to_owned();
    Err(Error::Setting { path: path.to_owned(), key: "tls_server_config", why })
}

/// Warns, and returns true, unless the last warning was the same.
fn warn_once(previous: &mut Option<String>, error: String) -> bool {
    let new = previous.as_ref() != Some(&error);
    if new {
        warn!(error, "cannot reload the web configuration; the previous one stays in force");
        *previous = Some(error);
    }
    new
}

/// Not in a thread of tokio's: the end of its runtime would wait for a check that hangs.
async fn run_in_thread(check: FileCheck) {
    let (done, ended) = oneshot::channel::<()>();
    let in_thread = move || {
        check();
        drop(done);
    };
    if thread::Builder::new().name("web_config".to_owned()).spawn(in_thread).is_ok() {
        // Nothing is sent: the channel closes when the check ends or panics.
        let _ = ended.await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread::sleep;

    use super::*;

    const SETTLED: Duration = Duration::from_millis(700);

    #[test]
    fn a_file_that_stays_bad_is_reported_once() {
        let mut previous = None;
        assert!(warn_once(&mut previous, "a".into()));
        assert!(!warn_once(&mut previous, "a".into()));
        assert!(warn_once(&mut previous, "b".into()));
    }

    #[tokio::test]
    async fn while_a_check_hangs_no_other_one_starts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut source = WatchedConfig::new(Some(file.path().to_owned())).unwrap();
        let started = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&started);
        source.check_with(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            std::future::pending()
        });
        let source = Arc::new(source);
        *lock(&source.next_check) = Some(Instant::now());
        for _ in 0..3 {
            source.current().await;
        }
        assert_eq!(started.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn tls_is_not_turned_on_by_a_reload() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.yml");
        fs::write(&path, "").unwrap();
        let source = WatchedConfig::new(Some(path.clone())).unwrap();
        let issued = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        fs::write(dir.path().join("c"), issued.cert.pem()).unwrap();
        fs::write(dir.path().join("k"), issued.signing_key.serialize_pem()).unwrap();
        fs::write(&path, "tls_server_config: {cert_file: c, key_file: k}").unwrap();
        sleep(SETTLED);
        source.refresh(&path);
        assert!(!source.in_force().is_tls());
        assert!(lock(&source.last_warning).as_ref().is_some_and(|text| text.contains("requires a restart")));
        fs::write(&path, "").unwrap();
        sleep(SETTLED);
        source.refresh(&path);
        assert_eq!(*lock(&source.last_warning), None);
    }
}
