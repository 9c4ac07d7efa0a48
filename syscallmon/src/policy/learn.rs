//! How a policy learns: the key `learn` of its format.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When a baseline is complete. Time counts only while a workload of its kind is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Learn {
    /// When no new call has appeared for so long,
    #[serde(with = "humantime_serde")]
    pub quiet_for: Duration,
    /// and it has learned for so long altogether.
    #[serde(with = "humantime_serde")]
    pub at_least: Duration,
}

impl Default for Learn {
    fn default() -> Self {
        Self { quiet_for: Duration::from_hours(1), at_least: Duration::from_mins(10) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_default() {
        let learn = |text: &str| serde_json::from_str::<Learn>(text);
        assert_eq!(learn("{}").unwrap(), Learn::default());
        let quick = learn(r#"{"quiet_for": "30s"}"#).unwrap();
        assert_eq!((quick.quiet_for, quick.at_least), (Duration::from_secs(30), Duration::from_mins(10)));
        assert!(learn(r#"{"quiet": "30s"}"#).unwrap_err().to_string().contains("unknown field `quiet`"));
    }
}
