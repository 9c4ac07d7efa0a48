//! Settings. One table feeds the flags, `--help`, the man page, the configuration file and its template.
//!
//! A flag `--web.listen-address` is the key `listen_address` under `web` in the file. Flags win over the file, and the
//! file wins over defaults. A row of [`table`] has everything about a setting. [`Config`] is the validated result, and
//! no other code reads settings.

mod address;
mod alert;
mod config;
mod file;
mod group;
mod latency;
mod policies;
mod policy_list;
mod table;

use clap::{Args, Command, FromArgMatches};

use self::group::Group;
pub use self::{
    address::{AddressError, ListenAddress},
    alert::AlertError,
    config::{Config, InvalidError},
    file::FileError,
    group::{Effect, Setting},
    latency::{Latency as LatencyConfig, LatencyError},
    policies::{
        LoadedPolicies, POLICY_WORK, PoliciesError, PolicyFileStamps, PolicyProblem, PolicySources, log_problems,
    },
    policy_list::PolicyItems,
    table::{Log, Metrics, Settings, Web},
};

/// Interface for the fuzz target of policy files.
#[cfg(fuzzing)]
pub mod fuzzing {
    use super::{PolicyItems, policy_list};

    /// Parses the policies in the text of a file that has nothing else.
    #[must_use]
    pub fn policies(text: &str) -> PolicyItems {
        policy_list::read(text, policy_list::OtherKeys::Refused)
    }
}

impl Settings {
    /// Returns every row of the table, in order.
    #[must_use]
    pub fn table() -> Vec<Setting> {
        let mut rows = Vec::new();
        Self::rows(&mut rows);
        rows
    }

    /// Fills in the defaults, which are parsed like flags.
    fn with_defaults(self) -> Self {
        let defaults = Self::table().into_iter().filter_map(|row| Some(format!("--{}={}", row.name, row.default?)));
        let flags = Self::augment_args(Command::new("defaults").no_binary_name(true));
        let matches = flags.try_get_matches_from(defaults).expect("each default is a value of its setting");
        self.or(Self::from_arg_matches(&matches).expect("each default is a value of its setting"))
    }
}
