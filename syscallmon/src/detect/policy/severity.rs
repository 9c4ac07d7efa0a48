//! How bad an unexpected call is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fair_share::Priority;

/// How bad an unexpected call is, as the label `severity` says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a note.
    Info,
    /// Somebody should look.
    #[default]
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Severity {
    /// As labels have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What is worse is lost later.
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
