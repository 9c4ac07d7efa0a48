//! Interface for the fuzz target of violations.

use std::sync::Arc;

use super::{
    Template,
    description::description,
    record::{Content, Record},
};
use crate::detect::Violation;

/// Texts of all sinks for one violation.
pub struct Written {
    /// The line of the log, which is also the body for a webhook.
    pub json: String,
    /// One sentence.
    pub message: String,
    /// Several lines.
    pub description: String,
    /// The body for a webhook with a template.
    pub rendered: String,
}

/// Returns the texts of all sinks.
#[must_use]
pub fn written(violation: Violation, template: &Template) -> Written {
    let record = Record { node: "node".into(), first: true, content: Content::Violation(Arc::new(violation)) };
    let json = record.json();
    let value = serde_json::from_str(&json).expect("a line is JSON");
    Written { message: record.message(), description: description(&record), rendered: template.render(&value), json }
}
