//! Validates the settings of alerts, and combines them.

use std::{path::PathBuf, time::Duration};

use http::HeaderValue;

use super::table::{Alert, Alertmanager, Webhook};
use crate::{
    alert::{AlertConfig, Alertmanagers, HttpClientConfig, WebhookConfig},
    detect::IncidentTimes,
};

/// Settings that contradict each other.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// An alert would be resolved between two snapshots.
    #[error(
        "alert.resolve-after: {resolve_after} must be at least two poll.interval of {poll_interval}: otherwise alerts are \
         resolved between two reads",
        resolve_after = humantime::format_duration(*resolve_after),
        poll_interval = humantime::format_duration(*poll_interval)
    )]
    ResolveAfter {
        /// The first setting.
        resolve_after: Duration,
        /// The second setting.
        poll_interval: Duration,
    },
    /// A user name without a password, or a password without a user name.
    #[error("{0}.username and {0}.password-file require each other")]
    HalfOfPassword(&'static str),
    /// Both kinds of credentials.
    #[error("{0}.bearer-token-file and {0}.username cannot be combined")]
    TwoCredentials(&'static str),
    /// A setting of a webhook that has no URL.
    #[error("alert.webhook.{0} requires alert.webhook.url")]
    NoWebhook(&'static str),
    /// A setting of an Alertmanager that has no URL.
    #[error("alert.alertmanager.{0} requires alert.alertmanager.url")]
    NoAlertmanager(&'static str),
    /// The content type cannot be a header.
    #[error("alert.webhook.content-type: {0:?} is not a content type")]
    ContentType(String),
}

impl Alert {
    /// Returns the configuration of alerts, for snapshots every `poll_interval`.
    ///
    /// # Errors
    ///
    /// When settings contradict each other.
    pub(super) fn resolve(
        &self,
        poll_interval: Duration,
        kubeconfig: Option<PathBuf>,
    ) -> Result<AlertConfig, AlertError> {
        let resolve_after = self.resolve_after();
        let alertmanager = self.alertmanager.clone().resolve(resolve_after)?;
        if !alertmanager.urls.is_empty() && resolve_after < 2 * poll_interval {
            return Err(AlertError::ResolveAfter { resolve_after, poll_interval });
        }
        Ok(AlertConfig {
            log: self.log(),
            command_line: self.command_line(),
            repeat_interval: self.repeat_interval(),
            // Between two snapshots, an incident is not quiet.
            incidents: IncidentTimes {
                window: self.incident_window(),
                resolve_after: resolve_after.max(2 * poll_interval),
            },
            rate_limit: self.rate_limit(),
            alertmanager,
            webhook: self.webhook.clone().resolve()?,
            kubernetes_events: self.kubernetes_events(),
            kubeconfig,
        })
    }
}

impl Alertmanager {
    fn resolve(self, resolve_after: Duration) -> Result<Alertmanagers, AlertError> {
        let Self { url, labels, ca_file, bearer_token_file, username, password_file } = self;
        let urls = url.unwrap_or_default();
        let labels = labels.unwrap_or_default();
        let client_config = client_config("alert.alertmanager", ca_file, bearer_token_file, username, password_file)?;
        if urls.is_empty() && (!labels.is_empty() || client_config != HttpClientConfig::default()) {
            return Err(AlertError::NoAlertmanager(if labels.is_empty() {
                "ca-file (or credentials)"
            } else {
                "labels"
            }));
        }
        Ok(Alertmanagers { urls, client_config, labels, resolve_after })
    }
}

impl Webhook {
    fn resolve(self) -> Result<Option<WebhookConfig>, AlertError> {
        let content_type = self.content_type();
        let Self { url, template, headers, ca_file, bearer_token_file, username, password_file, .. } = self;
        let client_config = client_config("alert.webhook", ca_file, bearer_token_file, username, password_file)?;
        let Some(url) = url else {
            let lonely = [
                ("template", template.is_some()),
                ("headers", headers.is_some_and(|headers| !headers.is_empty())),
                ("ca-file (or credentials)", client_config != HttpClientConfig::default()),
            ];
            let first = lonely.into_iter().find(|(_, is_set)| *is_set);
            return first.map_or(Ok(None), |(name, _)| Err(AlertError::NoWebhook(name)));
        };
        let content_type = HeaderValue::try_from(&content_type).map_err(|_| AlertError::ContentType(content_type))?;
        Ok(Some(WebhookConfig { url, client_config, template, content_type, headers: headers.unwrap_or_default() }))
    }
}

fn client_config(
    group: &'static str,
    ca_file: Option<PathBuf>,
    bearer_token_file: Option<PathBuf>,
    username: Option<String>,
    password_file: Option<PathBuf>,
) -> Result<HttpClientConfig, AlertError> {
    let basic = match (username, password_file) {
        (Some(username), Some(file)) => Some((username, file)),
        (None, None) => None,
        _ => return Err(AlertError::HalfOfPassword(group)),
    };
    if basic.is_some() && bearer_token_file.is_some() {
        return Err(AlertError::TwoCredentials(group));
    }
    Ok(HttpClientConfig { ca_file, bearer_token_file, basic })
}
