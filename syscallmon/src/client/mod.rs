//! Connections to other servers: host names, and HTTP.

pub mod http;
pub mod resolver;
