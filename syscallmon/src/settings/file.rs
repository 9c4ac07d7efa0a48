//! Reads the configuration file.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::{
    Settings,
    policy_list::{self, OtherKeys},
};
use crate::{files, workload::Budget};

/// Why a configuration file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened.
    #[error("cannot read the configuration {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not YAML, or has an unknown key or value.
    #[error("{path}: {message}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
}

impl Settings {
    /// Reads a file. Unknown keys are errors. An empty file sets nothing. Mistakes in its policies are kept beside the
    /// valid policies.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or parsed.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = files::read_text(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
        let settings: Result<Self, _> = Budget::with_file(|| parse(&text));
        let mut settings = settings.map_err(|message| FileError::Parse { path: path.to_owned(), message })?;
        settings.policies = settings.policies.map(|_| policy_list::read(&text, OtherKeys::Ignored));
        Ok(settings)
    }
}

/// Returns the value of a YAML text, or the mistake and its position in one line.
pub(super) fn parse<T: DeserializeOwned + Default>(text: &str) -> Result<T, String> {
    if is_empty(text) {
        return Ok(T::default());
    }
    serde_saphyr::from_str(text).map_err(|error| in_one_line(&error.to_string()))
}

/// Whether a text has comments only. For YAML, this is a document without a value.
pub(super) fn is_empty(text: &str) -> bool {
    text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

/// Maximum characters of a message. It quotes the wrong text, which can be the whole file.
const MAX_MESSAGE: usize = 1000;

/// Returns the message without the excerpt of the file after it.
pub(super) fn in_one_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    match line.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(text: &str) -> Result<Settings, String> {
        parse(text)
    }

    #[test]
    fn keys_follow_the_flags() {
        let read = settings(
            "web:\n  listen_address: ['127.0.0.1:1', '[::1]:2']\n  config:\n    file: web.yml\npoll:\n  interval: 10s\nprobe:\n  sys_enter: raw_tp\nlog:\n  level: debug\n",
        )
        .unwrap();
        assert_eq!(read.web.listen_address.unwrap().len(), 2);
        assert_eq!(read.web.config.file.as_deref(), Some(Path::new("web.yml")));
        assert_eq!(read.poll.interval, Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_file_of_comments_sets_nothing() {
        assert_eq!(settings("").unwrap(), Settings::default());
        assert_eq!(settings("# nothing\n\n  # at all\n").unwrap(), Settings::default());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = settings("poll:\n  interval: 5s\n  intervall: 5s\n").unwrap_err();
        assert!(error.contains("intervall") && error.contains("line 3"), "{error}");
        let error = settings("log:\n  level: loud\n").unwrap_err();
        assert!(error.contains("loud") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_message_is_short_whatever_was_mistyped() {
        let error = settings(&format!("log:\n  level: {}\n", "loud".repeat(10_000))).unwrap_err();
        assert!(error.contains("line 2") && error.len() < 2 * MAX_MESSAGE, "{} bytes", error.len());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Settings::read(Path::new("/nonexistent.yaml")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent.yaml") && error.contains("No such file"), "{error}");
    }
}
