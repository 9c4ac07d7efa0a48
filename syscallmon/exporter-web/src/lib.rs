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
#[cfg(fuzzing)]
pub mod fuzzing;
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
