//! A web configuration file, parsed and validated into what connections and requests need.
//!
//! `reload` loads it and keeps one in force; `connection` takes its TLS, `service` its users and headers.

use std::path::Path;
use std::sync::Arc;

use axum::http::HeaderMap;
use tokio_rustls::rustls::ServerConfig;

use super::{
    auth::Users,
    error::Error,
    files::{FileChange, Files},
    form::{Form, HttpForm},
    tls_config,
};

/// What a web configuration file asks for.
#[derive(Debug, Default)]
pub struct WebConfig {
    tls: Option<Arc<ServerConfig>>,
    headers: HeaderMap,
    users: Users,
    files: Files,
}

impl WebConfig {
    /// Without a file: plain HTTP and no password.
    #[must_use]
    pub fn open() -> Self {
        Self::default()
    }

    /// Reads the file and the certificates it names; relative paths start at its directory. An empty file is
    /// [`WebConfig::open`].
    ///
    /// # Errors
    ///
    /// A file cannot be read, a key is unknown, or a value cannot be honoured; nothing is ignored silently.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mut files = Files::default();
        let text = text(&mut files, path)?;
        Self::parse(path, &text, files)
    }

    /// Takes the text of the file, and reads the certificates that it names.
    pub(super) fn parse(path: &Path, text: &str, mut files: Files) -> Result<Self, Error> {
        let form = Form::parse(path, text)?;
        refuse_rate_limit(path, &form)?;
        let HttpForm { http2, headers } = form.http_server_config.unwrap_or_default();
        let tls = match form.tls_server_config {
            Some(tls) => tls_config::server_config(&tls, http2.unwrap_or(true), path, &mut files)?,
            None => None,
        };
        Ok(Self {
            tls,
            headers: headers.unwrap_or_default().validate(path)?,
            users: Users::validate(form.basic_auth_users.unwrap_or_default(), path)?,
            files,
        })
    }

    /// Whether connections speak TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.clone()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(super) fn users(&self) -> &Users {
        &self.users
    }

    pub(super) fn change(&self) -> FileChange {
        self.files.change()
    }
}

fn text(files: &mut Files, path: &Path) -> Result<String, Error> {
    String::from_utf8(files.read("the web configuration", path)?).map_err(|error| Error::Setting {
        path: path.to_owned(),
        key: "the file",
        why: format!("is not UTF-8 from byte {} on; save it as UTF-8", error.utf8_error().valid_up_to()),
    })
}

fn refuse_rate_limit(path: &Path, form: &Form) -> Result<(), Error> {
    if form.rate_limit.is_none() {
        return Ok(());
    }
    let why = "is not implemented; remove it (connections are limited in number and time without it)".into();
    Err(Error::Setting { path: path.to_owned(), key: "rate_limit", why })
}
