//! Connections to other servers: host names, and HTTP.

pub(crate) mod exchange;
pub mod http;
pub mod resolver;
