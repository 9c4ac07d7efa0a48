//! The flags that choose the calls of the container runtime.

use std::collections::BTreeSet;

use clap::{ArgAction, Args};

use crate::profile::base::{self, Runtime};

/// The container runtime that starts the program.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct RuntimeArgs {
    /// Container runtime that the profile is for, such as runc-1.3; by default all that were measured. Smaller.
    #[arg(long, value_name = "RUNTIME")]
    runtime: Option<Runtime>,

    /// The container runs with `no_new_privs`, which Kubernetes sets for allowPrivilegeEscalation: false. The runtime
    /// then makes fewer calls after it has loaded the profile.
    #[arg(long, action = ArgAction::SetTrue)]
    no_new_privileges: bool,
}

impl RuntimeArgs {
    fn no_new_privileges(&self) -> Option<bool> {
        self.no_new_privileges.then_some(true)
    }

    /// Returns the calls that the runtime makes.
    pub(super) fn made(&self) -> BTreeSet<&'static str> {
        base::base(self.runtime, self.no_new_privileges())
    }

    /// Returns the calls without which no container starts, and those that the runtime makes.
    pub(super) fn calls(&self) -> [BTreeSet<&'static str>; 2] {
        [base::needed(self.runtime, self.no_new_privileges()), self.made()]
    }

    /// Describes the choice.
    pub(super) fn describe(&self) -> String {
        let runtime = self.runtime.as_ref().map_or_else(|| "all measured runtimes".to_owned(), ToString::to_string);
        let privileges = if self.no_new_privileges { ", no_new_privs" } else { "" };
        format!("{runtime}{privileges}, measured {}", base::MEASURED_ON)
    }
}
