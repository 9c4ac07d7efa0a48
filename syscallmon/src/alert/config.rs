//! The configuration of alerts. Its values are parsed here, and `settings/alert.rs` checks settings that depend on each
//! other.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use serde::{Deserialize, Serialize, Serializer};

pub use super::template::Template;
pub use crate::client::http::HttpClientConfig;
use crate::{detect::IncidentTimes, process::CommandLines};

/// Sinks of alerts, and their limits.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertConfig {
    /// Destination of lines of JSON.
    pub log: LogTarget,
    /// How much of command lines is kept.
    pub command_line: CommandLines,
    /// Minimum time between two records of an incident without new calls.
    pub repeat_interval: Duration,
    /// How long incidents take.
    pub incidents: IncidentTimes,
    /// Maximum new alerts per workload, policy and severity.
    pub rate_limit: RateLimit,
    /// The Alertmanagers; none if there is no URL.
    pub alertmanager: Alertmanagers,
    /// The webhook, if its URL is set.
    pub webhook: Option<WebhookConfig>,
    /// Whether to create Kubernetes Events.
    pub kubernetes_events: bool,
    /// The kubeconfig, if the service account is not used.
    pub kubeconfig: Option<PathBuf>,
}

/// Alertmanagers. Each gets every alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Alertmanagers {
    /// Their URLs.
    pub urls: Vec<Url>,
    /// Credentials, and CA certificates to verify the server by.
    pub client_config: HttpClientConfig,
    /// Additional labels of every alert.
    pub labels: Vec<ExtraLabel>,
    /// An alert is resolved after this time without a call.
    pub resolve_after: Duration,
}

/// The configuration of a webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookConfig {
    /// Its URL.
    pub url: Url,
    /// Credentials, and CA certificates to verify the server by.
    pub client_config: HttpClientConfig,
    /// The text to send; the record as JSON if there is none.
    pub template: Option<Template>,
    /// Its content type.
    pub content_type: HeaderValue,
    /// Additional headers.
    pub headers: Vec<ExtraHeader>,
}

/// A value that is not valid.
#[derive(Debug, thiserror::Error)]
pub enum AlertValueError {
    /// It is not a URL.
    #[error("{url:?} is not a valid URL: {why}")]
    Url {
        /// The value, without parts that could be secret.
        url: String,
        /// The mistake.
        why: &'static str,
    },
    /// It is not a limit.
    #[error("{0:?} is not a rate limit: expected NUMBER/DURATION, such as 20/10m (1 to 10000, 1s to 1day)")]
    RateLimit(String),
    /// It is not a label.
    #[error("{0:?} is not a label: expected NAME=VALUE, with letters, digits and _ in the name")]
    Label(String),
    /// All alerts have this label.
    #[error("{0:?} is a label that all alerts already have: choose another name")]
    TakenLabel(String),
    /// It is not a header.
    #[error("{0:?} is not a header: expected NAME: VALUE")]
    Header(String),
    /// It is not a template.
    #[error("template: {0}")]
    Template(String),
}

/// Destination of lines of JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum LogTarget {
    /// The standard output.
    #[default]
    Stdout,
    /// The standard error output, between log messages.
    Stderr,
    /// None.
    Off,
    /// A file, which is appended to.
    File(PathBuf),
}

impl fmt::Display for LogTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => formatter.write_str("stdout"),
            Self::Stderr => formatter.write_str("stderr"),
            Self::Off => formatter.write_str("off"),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

impl From<String> for LogTarget {
    fn from(text: String) -> Self {
        match text.as_str() {
            "stdout" => Self::Stdout,
            "stderr" => Self::Stderr,
            "off" => Self::Off,
            _ => Self::File(text.into()),
        }
    }
}

/// A maximum per time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RateLimit {
    /// The maximum.
    pub count: u32,
    /// The time.
    pub period: Duration,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { count: 20, period: Duration::from_mins(10) }
    }
}

impl FromStr for RateLimit {
    type Err = AlertValueError;

    fn from_str(text: &str) -> Result<Self, AlertValueError> {
        let parsed = text.split_once('/').and_then(|(count, period)| {
            Some(Self { count: count.trim().parse().ok()?, period: humantime::parse_duration(period.trim()).ok()? })
        });
        let periods = Duration::from_secs(1)..=Duration::from_hours(24);
        parsed
            .filter(|limit| (1..=10_000).contains(&limit.count) && periods.contains(&limit.period))
            .ok_or_else(|| AlertValueError::RateLimit(text.to_owned()))
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.count, humantime::format_duration(self.period).to_string().replace(' ', ""))
    }
}

impl Serialize for RateLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A URL to send to. Its path may be a secret, so it is not shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Url(Uri);

impl Url {
    /// The URL.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// Returns a URL with the same host, and a path below its path.
    #[must_use]
    pub fn below(&self, path: &str) -> Uri {
        let mut parts = self.0.clone().into_parts();
        let whole = format!("{}{path}", self.0.path().trim_end_matches('/'));
        parts.path_and_query = whole.parse().ok();
        Uri::from_parts(parts).unwrap_or_else(|_| self.0.clone())
    }
}

impl FromStr for Url {
    type Err = AlertValueError;

    fn from_str(text: &str) -> Result<Self, AlertValueError> {
        let start = text.split_once("://").map_or(text, |(_, rest)| rest).split('/').next().unwrap_or_default();
        let host = start.rsplit('@').next().unwrap_or_default().to_owned();
        let wrong = |why| AlertValueError::Url { url: host.clone(), why };
        let uri: Uri = text.parse().map_err(|_| wrong("needs the form https://HOST:PORT/PATH"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong("needs http:// or https:// at its beginning"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a password in a URL is visible to other users: use username and password_file"));
        }
        if authority.host().is_empty() {
            return Err(wrong("the host is missing"));
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.scheme_str().unwrap_or_default();
        write!(formatter, "{scheme}://{}", self.0.authority().map_or("", |authority| authority.as_str()))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// An additional label of alerts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ExtraLabel {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Labels that identify alerts besides the labels of workloads.
const OWN_LABELS: [&str; 7] = ["alertname", "severity", "policy", "syscall", "abi", "incident", "node"];

impl FromStr for ExtraLabel {
    type Err = AlertValueError;

    fn from_str(text: &str) -> Result<Self, AlertValueError> {
        let invalid = || AlertValueError::Label(text.to_owned());
        let (name, value) = text.split_once('=').ok_or_else(invalid)?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(is_word) {
            return Err(invalid());
        }
        if OWN_LABELS.contains(&name) || name.parse::<crate::workload::Label>().is_ok() {
            return Err(AlertValueError::TakenLabel(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// An additional header of requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ExtraHeader {
    /// Its name.
    pub name: HeaderName,
    /// Its value, which is never shown.
    pub value: HeaderValue,
}

impl FromStr for ExtraHeader {
    type Err = AlertValueError;

    fn from_str(text: &str) -> Result<Self, AlertValueError> {
        let (name, value) = text.split_once(':').ok_or_else(|| AlertValueError::Header(text.to_owned()))?;
        // The value may be a secret.
        let invalid = || AlertValueError::Header(name.to_owned());
        let name: HeaderName = name.trim().parse().map_err(|_| invalid())?;
        let mut value: HeaderValue = value.trim().parse().map_err(|_| invalid())?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

/// Strings of the configuration file are parsed like flags.
macro_rules! from_string {
    ($($name:ident),+) => {
        $(impl TryFrom<String> for $name {
            type Error = AlertValueError;

            fn try_from(text: String) -> Result<Self, AlertValueError> {
                text.parse()
            }
        })+
    };
}
from_string!(RateLimit, Url, ExtraLabel, ExtraHeader, Template);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_cannot_be_sent_to_are_refused_without_their_secrets() {
        for (url, says) in [
            ("alertmanager:9093", "http://"),
            ("ftp://host/", "http://"),
            ("https://", "form"),
            ("http://me:secret@host/", "password_file"),
            ("http://host/secret path", "form"),
            ("/secret", ""),
        ] {
            let error = url.parse::<Url>().unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("secret "), "{url}: {error}");
            assert!(!error.contains("secret@") && !error.contains("secret\""), "{url}: {error}");
        }
        let url: Url = "https://hooks.example/services/secret".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://hooks.example https://hooks.example");
    }

    #[test]
    fn a_path_goes_below_that_of_the_url() {
        for (url, below) in [
            ("http://a:9093", "http://a:9093/api"),
            ("http://a:9093/", "http://a:9093/api"),
            ("https://[::1]/am/", "https://[::1]/am/api"),
        ] {
            assert_eq!(url.parse::<Url>().unwrap().below("/api").to_string(), below);
        }
    }

    #[test]
    fn limits_are_read_as_they_are_shown() {
        for (text, shown) in [("20/10m", "20/10m"), (" 1 / 90s", "1/1m30s"), ("10000/1day", "10000/1day")] {
            assert_eq!(text.parse::<RateLimit>().unwrap().to_string(), shown);
            assert_eq!(shown.parse::<RateLimit>().unwrap(), text.parse().unwrap());
        }
        for text in ["", "20", "0/10m", "20/0s", "10001/1m", "-1/1m", "1/2days", "20/10m/2"] {
            assert!(text.parse::<RateLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn labels_that_alerts_have_are_not_overwritten() {
        let label = "cluster=a=b".parse::<ExtraLabel>().unwrap();
        assert_eq!((label.name.as_str(), label.value.as_str()), ("cluster", "a=b"));
        for text in ["cluster", "=a", "1a=b", "a-b=c", "severity=none", "pod=mine"] {
            assert!(text.parse::<ExtraLabel>().is_err(), "{text}");
        }
    }

    #[test]
    fn headers_are_not_shown() {
        let header: ExtraHeader = "X-Key: secret".parse().unwrap();
        assert!(!format!("{header:?}").contains("secret"));
        for text in ["X-Key", "X Key: secret", "X-Key: secret\nX: y"] {
            let error = text.parse::<ExtraHeader>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
