//! What the filter of a profile decides about one call.

use std::fmt;

use serde::Deserialize;

/// The error number of a refusal without an `errnoRet`.
const EPERM: u16 = 1;
/// The error number for a call that does not exist.
pub(super) const ENOSYS: u16 = 38;

/// The action of a rule, as in profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Action {
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// It runs.
    Allow,
    /// It runs, and the kernel logs it.
    Log,
    /// A tracer decides.
    Trace,
    /// A listener decides.
    Notify,
    /// It returns this error number.
    Errno(u16),
    /// The thread gets SIGSYS.
    Trap,
    /// The thread dies.
    KillThread,
    /// The process dies.
    KillProcess,
}

impl Action {
    pub(super) fn allows(self) -> bool {
        self.decision(None).allows()
    }

    pub(super) fn decision(self, errno: Option<u16>) -> Decision {
        match self {
            Self::Allow => Decision::Allow,
            Self::Log => Decision::Log,
            Self::Trace => Decision::Trace,
            Self::Notify => Decision::Notify,
            Self::Errno => Decision::Errno(errno.unwrap_or(EPERM)),
            Self::Trap => Decision::Trap,
            Self::KillThread => Decision::KillThread,
            Self::KillProcess => Decision::KillProcess,
        }
    }
}

impl Decision {
    /// Whether the call runs. A tracer can still refuse it.
    #[must_use]
    pub fn allows(self) -> bool {
        matches!(self, Self::Allow | Self::Log | Self::Trace)
    }

    /// Whether programs are told that the call does not exist. They use another one.
    #[must_use]
    pub fn is_nonexistent(self) -> bool {
        self == Self::Errno(ENOSYS)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => formatter.write_str("allowed"),
            Self::Log => formatter.write_str("allowed and logged"),
            Self::Trace => formatter.write_str("left to a tracer"),
            Self::Notify => formatter.write_str("left to a listener"),
            Self::Errno(errno) => match crate::syscalls::errno::name(*errno) {
                Some(name) => write!(formatter, "refused with {name}"),
                None => write!(formatter, "refused with error {errno}"),
            },
            Self::Trap => formatter.write_str("answered with SIGSYS"),
            Self::KillThread => formatter.write_str("refused by killing the thread"),
            Self::KillProcess => formatter.write_str("refused by killing the process"),
        }
    }
}
