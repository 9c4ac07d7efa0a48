//! Serves an exporter's pages as Prometheus' exporter-toolkit does with `--web.config.file`.
//!
//! Owns everything between bound listeners and an `axum::Router`: TLS, passwords, security headers, the reload of
//! their file, and the limits that keep a slow or hostile client from costing more than its own connection.
//! Never decides what a page says, never handles signals. An exporter makes a [`Server`] before it drops privileges (a
//! bad file is an error then) and runs it until shutdown. [`listen`] opens sockets with bounded buffers.
//!
//! `README.md` has an example and the keys of the file.
//!
//! [`tls`] and [`regular_file`] are public because an exporter that is also a client needs them: which certificates are
//! trusted, and how files are opened and compared.

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
mod names;
pub mod regular_file;
mod reload;
mod request_line;
mod server;
mod service;
#[macro_use]
pub mod tls;
mod tls_config;
mod watchdog;

#[cfg(test)]
mod tests;

/// Compiles the example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use config::WebConfig;
pub use error::Error;
pub use limits::Limits;
pub use listen::{listen, listen_everywhere};
pub use reload::FileCheck;
pub use server::Server;
pub use service::Caller;
