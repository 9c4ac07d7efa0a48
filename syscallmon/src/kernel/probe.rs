//! The probes: what each is called, which programs implement it, and how it fares.

use serde::{Deserialize, Serialize};

/// A probe that can be attached, as the label `probe` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Counts calls. Without it there is nothing to export.
    SysEnter,
    /// Counts how calls end: errors, refused attempts, durations.
    SysExit,
    /// Births and deaths of threads, which refused attempts and durations need to know of. Without it, a thread whose id was
    /// another's may have one call too many counted as refused.
    Task,
    /// Births and deaths of cgroups. Without it, cgroups are found by walking the tree at each poll, and those
    /// that live shorter than the poll interval have no name.
    Cgroup,
    /// Tells what runtimes call while they set containers up from what the containers call. Without it, such calls look like the
    /// containers' own.
    Setup,
    /// Counts operations given to io_uring.
    IoUring,
}

impl Probe {
    /// The value of the label `probe`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SysEnter => "sys_enter",
            Self::SysExit => "sys_exit",
            Self::Task => "task",
            Self::Cgroup => "cgroup",
            Self::Setup => "setup",
            Self::IoUring => "io_uring",
        }
    }
}

/// How a probe fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeStatus {
    /// Which one.
    pub probe: Probe,
    /// What runs: `tp_btf`, `raw_tp` or `tracepoint`. `None` when it is not attached.
    pub implementation: Option<&'static str>,
    /// Why a better implementation, or any, could not be used.
    pub problem: Option<String>,
}

impl ProbeStatus {
    /// Whether the probe is attached.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.implementation.is_some()
    }
}

/// Which implementation of `sys_enter` may be used; `sys_exit` follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum SysEnter {
    /// The first that this kernel takes.
    #[default]
    Auto,
    /// BTF-typed, the cheapest (Linux 5.11 with BTF).
    TpBtf,
    /// A raw tracepoint and a helper (Linux 4.18).
    RawTp,
    /// The classic tracepoint, for kernels that preempt the others; needs tracefs.
    Tracepoint,
}
