//! Errors of a web configuration file.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem;

/// Why a web configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened or read.
    #[error("cannot read {} ({what}): it must exist and be readable", path.display())]
    Read {
        /// What the file is for: the key that names it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is far larger than its purpose needs.
    #[error("{} ({what}) exceeds {limit} bytes: is it the right file?", path.display())]
    TooLarge {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Bytes.
        limit: u64,
    },
    /// The file is not YAML, or has a key or value that the format lacks. The source names key and line.
    #[error("web configuration {}", path.display())]
    Parse {
        /// The web configuration file.
        path: PathBuf,
        /// Key, line and column.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// A key's value cannot be used.
    #[error("web configuration {}: {key}: {why}", path.display())]
    Setting {
        /// The web configuration file.
        path: PathBuf,
        /// The key in it.
        key: &'static str,
        /// The reason and the remedy.
        why: String,
    },
    /// A certificate or key is not PEM of the right kind.
    #[error("web configuration {}: {key} contains no valid PEM", path.display())]
    Pem {
        /// The web configuration file.
        path: PathBuf,
        /// The key in it.
        key: &'static str,
        /// What the PEM reader said.
        #[source]
        source: pem::Error,
    },
    /// rustls refuses the certificate, its key, or the combination of settings.
    #[error("web configuration {}: {key} cannot be used for TLS", path.display())]
    Tls {
        /// The web configuration file.
        path: PathBuf,
        /// The key in it.
        key: &'static str,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
}

impl Error {
    /// The message with its causes, on one line: for logs, which print no chain.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(next) = cause {
            text.push_str(": ");
            text.push_str(&next.to_string());
            cause = next.source();
        }
        text.replace('\n', " ")
    }
}
