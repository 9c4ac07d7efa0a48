//! Connections to other servers: host names, certificates.

pub mod resolver;
pub mod tls;
