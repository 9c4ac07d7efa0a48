//! Interface for the fuzz target of incidents.

use std::time::Instant;

use super::{
    Template,
    description::description,
    record::{Content, Record},
};
use crate::detect::{Incidents, Violation};

/// Texts of all sinks for the incident of one violation.
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
    let (mut incidents, now) = (Incidents::default(), Instant::now());
    incidents.join(violation, true, now);
    let notice = incidents.take_notices(now).pop().expect("a critical call is noticed at once");
    let record = Record { node: "node".into(), content: Content::Incident(notice.incident) };
    let json = record.json();
    let value = serde_json::from_str(&json).expect("a line is JSON");
    Written {
        message: record.message(),
        description: description(&record, 8 << 10),
        rendered: template.render(&value),
        json,
    }
}
