//! Severity of unexpected calls.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fair_share::Priority;

/// Severity of an unexpected call, as in the label `severity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information.
    Info,
    /// Requires a look.
    #[default]
    Warning,
    /// Requires a look now.
    Critical,
}

impl Severity {
    /// Returns the value of a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A higher severity is evicted later.
impl From<Severity> for Priority {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Low,
            Severity::Warning => Self::Normal,
            Severity::Critical => Self::High,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
