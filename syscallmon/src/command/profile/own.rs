//! `syscallmon profile self`, and its old name `syscallmon seccomp-profile`: the seccomp profile for the daemon itself.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;

use super::files::install;
use crate::command::output::print;

/// The format of OCI runtimes.
pub const PROFILE: &str = include_str!("own.json");

/// Print the seccomp profile for syscallmon itself, or install it into the directory of the kubelet.
#[derive(Debug, Args)]
pub(in crate::command) struct OwnProfile {
    /// Write the profile to this file instead; creates the directory, and replaces an existing file atomically.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl OwnProfile {
    pub(in crate::command) fn execute(self) -> anyhow::Result<ExitCode> {
        match self.output {
            Some(path) => {
                install(&path, PROFILE.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
            }
            None => print(PROFILE.as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_profile_is_installed_whole_and_with_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seccomp/syscallmon.json");
        for _ in 0..2 {
            install(&path, PROFILE.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), PROFILE);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn the_profile_refuses_by_default_and_allows_what_counting_needs() {
        let profile: serde_json::Value = serde_json::from_str(PROFILE).unwrap();
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        let allowed = profile["syscalls"].as_array().unwrap().iter().filter(|rule| rule["action"] == "SCMP_ACT_ALLOW");
        let names: Vec<&str> =
            allowed.flat_map(|rule| rule["names"].as_array().unwrap()).map(|name| name.as_str().unwrap()).collect();
        assert!(["bpf", "perf_event_open", "membarrier", "epoll_pwait"].iter().all(|name| names.contains(name)));
        assert!(["mount", "ptrace", "init_module", "unshare"].iter().all(|name| !names.contains(name)));
    }
}
