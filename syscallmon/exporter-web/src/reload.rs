//! Keeps the configuration in force equal to its file, without a restart and without a thread of its own.
//!
//! `connection` and `service` ask [`Source::current`] for each handshake and request; that is what looks at the file,
//! at most once a second. A file that cannot be used leaves the previous configuration in force.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::{config::WebConfig, error::Error, files::Change};
use crate::blocking::{self, FILE_TIMEOUT, Work};

const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a request waits for a look at the file, which may be on a file system that does not answer.
const MAX_WAIT: Duration = Duration::from_millis(200);

/// The configuration in force, and where it comes from.
pub(super) struct Source {
    path: Option<PathBuf>,
    current: RwLock<Arc<WebConfig>>,
    /// `None` while somebody looks.
    next_check: Mutex<Option<Instant>>,
    /// The last warning, so that a file that stays bad is reported once.
    complaint: Mutex<Option<String>>,
}

impl Source {
    /// Loads the file. Without a path the server is open, and stays so.
    pub(super) fn new(path: Option<PathBuf>) -> Result<Self, Error> {
        let config = path.as_deref().map_or_else(|| Ok(WebConfig::open()), WebConfig::load)?;
        Ok(Self {
            path,
            current: RwLock::new(Arc::new(config)),
            next_check: Mutex::new(Some(Instant::now() + CHECK_INTERVAL)),
            complaint: Mutex::default(),
        })
    }

    /// This configuration, for good. For `fuzz/`.
    #[cfg(fuzzing)]
    pub(super) fn fixed(config: WebConfig) -> Self {
        let (next_check, complaint) = (Mutex::new(None), Mutex::default());
        Self { path: None, current: RwLock::new(Arc::new(config)), next_check, complaint }
    }

    /// The configuration to use now. The caller that finds a check due waits for it, for a moment; others go on meanwhile.
    pub(super) async fn current(self: &Arc<Self>) -> Arc<WebConfig> {
        if let Some(path) = self.due() {
            let looking = tokio::spawn(Arc::clone(self).look(path.to_owned()));
            let _ = tokio::time::timeout(MAX_WAIT, looking).await;
        }
        self.in_force()
    }

    /// Refreshes; if that hangs or panics, the previous configuration stays.
    async fn look(self: Arc<Self>, path: PathBuf) {
        let (source, key) = (Arc::clone(&self), path.to_string_lossy().into_owned());
        let _ = blocking::run(Work::WebConfig, &key, FILE_TIMEOUT, move || source.refresh(&path)).await;
        *lock(&self.next_check) = Some(Instant::now() + CHECK_INTERVAL);
    }

    /// Whether it is time to look, for one caller at a time: a look that does not come back must not bring on more.
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
        let mut complaint = lock(&self.complaint);
        let current = self.in_force();
        match current.change() {
            Change::None => *complaint = None,
            Change::Unsettled => {}
            Change::Changed => match successor(path, &current) {
                Ok(config) => self.replace(config, &mut complaint),
                Err(error) => {
                    complain(&mut complaint, error.chain());
                }
            },
        }
    }

    fn replace(&self, config: WebConfig, complaint: &mut Option<String>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        *complaint = None;
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
    let why = "turning TLS on or off needs a restart".to_owned();
    Err(Error::Setting { path: path.to_owned(), key: "tls_server_config", why })
}

/// Warns, and returns true, unless the same was said before.
fn complain(previous: &mut Option<String>, error: String) -> bool {
    let new = previous.as_ref() != Some(&error);
    if new {
        warn!(error, "web configuration not reloaded; the previous one stays in force");
        *previous = Some(error);
    }
    new
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread::sleep;

    use super::*;

    const SETTLED: Duration = Duration::from_millis(700);

    #[test]
    fn file_that_stays_bad_is_complained_about_once_and_forgotten_when_mended() {
        let mut previous = None;
        assert!(complain(&mut previous, "a".into()));
        assert!(!complain(&mut previous, "a".into()));
        assert!(complain(&mut previous, "b".into()));
    }

    #[test]
    fn tls_is_not_turned_on_by_a_reload() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.yml");
        fs::write(&path, "").unwrap();
        let source = Source::new(Some(path.clone())).unwrap();
        let issued = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        fs::write(dir.path().join("c"), issued.cert.pem()).unwrap();
        fs::write(dir.path().join("k"), issued.signing_key.serialize_pem()).unwrap();
        fs::write(&path, "tls_server_config: {cert_file: c, key_file: k}").unwrap();
        sleep(SETTLED);
        source.refresh(&path);
        assert!(!source.in_force().is_tls());
        assert!(lock(&source.complaint).as_ref().is_some_and(|text| text.contains("needs a restart")));
        fs::write(&path, "").unwrap();
        sleep(SETTLED);
        source.refresh(&path);
        assert_eq!(*lock(&source.complaint), None);
    }
}
