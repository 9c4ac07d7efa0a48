//! Connections to other servers: host names.

pub mod resolver;
