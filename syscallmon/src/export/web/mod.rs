//! Serves the exporter's pages as Prometheus' exporter-toolkit does with `--web.config.file`.
//!
//! Owns everything between bound listeners and an `axum::Router`: TLS, passwords, security headers, the reload of
//! their file, and the limits that keep a slow or hostile client from costing more than its own connection.
//! Never binds a port, never decides what a page says, never handles signals. The daemon's start-up calls it: it
//! makes a [`Server`] before privileges are dropped (a bad file is an error then) and runs it until shutdown.

mod accept;
mod auth;
mod client;
mod config;
mod connection;
mod connections;
mod error;
mod files;
mod form;
mod headers;
mod limits;
mod listen;
mod memory;
mod reload;
mod request_line;
mod server;
mod service;
mod tls;
mod watchdog;

#[cfg(test)]
mod tests;

pub use config::WebConfig;
pub use error::Error;
pub use limits::Limits;
pub use listen::{listen, listen_everywhere};
pub use server::Server;
pub use service::Caller;

/// For `fuzz/`.
#[cfg(fuzzing)]
pub mod fuzzing {
    use std::path::Path;

    use axum::http::HeaderMap;

    use super::{Error, WebConfig, auth::has_credentials, files::Files, request_line::Repair};

    /// Takes a text for a web configuration file at this path.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn web_config(path: &Path, text: &str) -> Result<WebConfig, Error> {
        WebConfig::parse(path, text, Files::default())
    }

    /// Whether these headers carry a user and a password.
    pub fn authorization(headers: &HeaderMap) -> bool {
        has_credentials(headers)
    }

    /// What hyper gets of these bytes, which come in two pieces.
    pub fn repaired(bytes: &[u8], at: usize) -> Vec<u8> {
        let (mut repair, mut out) = (Repair::default(), Vec::new());
        let (head, tail) = bytes.split_at(at.min(bytes.len()));
        repair.push(head, &mut out);
        repair.push(tail, &mut out);
        out
    }
}
