//! The probes: their names, their programs, and their status.

use serde::{Deserialize, Serialize};

use super::{Options, attachments::Attachment, facts::Facts, sys_enter, sys_exit, tracepoint_probe};

/// A probe. [`PROBES`] has a row for each, in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Counts calls. Required: without it there is nothing to export.
    SysEnter,
    /// Counts how calls end: errors, denied calls, durations.
    SysExit,
    /// Births and deaths of threads, for denied calls and durations. Without it, one call too many may count as denied
    /// when a thread id is reused.
    Task,
    /// Births and deaths of cgroups. Without it, each poll walks the tree, and cgroups that live shorter than the poll
    /// interval have no name.
    Cgroup,
    /// Distinguishes calls of container init from the containers' own calls. Without it, they look like the containers'
    /// own.
    ContainerInit,
    /// Counts operations of io_uring.
    IoUring,
}

/// A row of [`PROBES`].
pub struct ProbeRow {
    /// The probe.
    pub probe: Probe,
    /// The value of the label `probe`.
    pub name: &'static str,
    /// The name in the output of `check`.
    pub check: &'static str,
    /// Its tracepoints, as `category/name`, if they are the same on every kernel.
    pub tracepoints: &'static [&'static str],
    /// What is missing without the tracepoints.
    pub without: &'static str,
    /// When it is attached.
    pub(super) phase: AttachPhase,
    /// Builds the attachment; `None` if the options do not need the probe.
    pub(super) attachment: fn(&Options, &Facts) -> Option<Box<dyn Attachment>>,
}

/// The order in which probes are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AttachPhase {
    /// Before all others are loaded: container init must be seen to begin before its first call is counted.
    First,
    /// Before calls are counted: no birth of a cgroup that makes calls may be missed.
    BeforeCalls,
    /// Starts counting calls.
    Calls,
    /// Then tracks threads. A tracked thread begins each call after `sys_enter` is attached, so a call that ends
    /// without a beginning was denied.
    Threads,
    /// Then sees calls end.
    Ends,
}

impl AttachPhase {
    /// All phases but the first.
    pub(super) const REST: [Self; 4] = [Self::BeforeCalls, Self::Calls, Self::Threads, Self::Ends];
}

/// All probes. Loading, verification, `check` and the order of output derive from this table.
pub static PROBES: [ProbeRow; 6] = [
    ProbeRow {
        probe: Probe::SysEnter,
        name: "sys_enter",
        check: "probe sys_enter",
        tracepoints: &["raw_syscalls/sys_enter"],
        without: "calls are not counted",
        phase: AttachPhase::Calls,
        attachment: sys_enter::attachment,
    },
    ProbeRow {
        probe: Probe::SysExit,
        name: "sys_exit",
        check: "probe sys_exit",
        tracepoints: &["raw_syscalls/sys_exit"],
        without: "errors, denied calls and durations are not counted",
        phase: AttachPhase::Ends,
        attachment: sys_exit::attachment,
    },
    ProbeRow {
        probe: Probe::Task,
        name: "task",
        check: "probe task",
        tracepoints: &["sched/sched_process_fork", "sched/sched_process_exit"],
        without: "one call of a thread may be wrongly counted as denied",
        phase: AttachPhase::Threads,
        attachment: tracepoint_probe::task,
    },
    ProbeRow {
        probe: Probe::Cgroup,
        name: "cgroup",
        check: "probe cgroup",
        tracepoints: &["cgroup/cgroup_mkdir", "cgroup/cgroup_rmdir"],
        without: "short-lived cgroups have no path or name",
        phase: AttachPhase::BeforeCalls,
        attachment: tracepoint_probe::cgroup,
    },
    ProbeRow {
        probe: Probe::ContainerInit,
        name: "container_init",
        check: "probe container_init",
        tracepoints: &["cgroup/cgroup_attach_task", "sched/sched_process_fork", "sched/sched_process_exec"],
        without: "calls of container init are attributed to the container's program",
        phase: AttachPhase::First,
        attachment: tracepoint_probe::container_init,
    },
    ProbeRow {
        probe: Probe::IoUring,
        name: "io_uring",
        check: "probe io_uring",
        // The name of the tracepoint differs by kernel.
        tracepoints: &[],
        without: "io_uring operations are not counted",
        phase: AttachPhase::BeforeCalls,
        attachment: tracepoint_probe::io_uring,
    },
];

impl Probe {
    /// Returns its row.
    #[must_use]
    pub fn row(self) -> &'static ProbeRow {
        &PROBES[self as usize]
    }

    /// The value of the label `probe`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }
}

/// The status of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeStatus {
    /// The probe.
    pub probe: Probe,
    /// The active implementation: `tp_btf`, `raw_tp` or `tracepoint`. `None` when it is not attached.
    pub implementation: Option<&'static str>,
    /// Why a better implementation, or any, is unusable.
    pub problem: Option<String>,
}

impl ProbeStatus {
    /// Whether the probe is attached.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.implementation.is_some()
    }
}

/// The allowed implementation of `sys_enter`; `sys_exit` follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum SysEnter {
    /// The cheapest method that this kernel supports.
    #[default]
    Auto,
    /// BTF-typed raw tracepoint (Linux 5.11 with BTF).
    TpBtf,
    /// Raw tracepoint (Linux 4.18).
    RawTp,
    /// Classic tracepoint, for kernels that preempt raw tracepoints; requires tracefs.
    Tracepoint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_probe_has_its_row_and_its_name() {
        for (index, row) in PROBES.iter().enumerate() {
            assert_eq!(row.probe as usize, index);
            assert_eq!(serde_json::to_value(row.probe).unwrap(), row.name);
            assert_eq!(row.check, format!("probe {}", row.name));
            assert!(row.phase == AttachPhase::First || AttachPhase::REST.contains(&row.phase));
        }
    }

    #[test]
    fn phases_are_in_order() {
        assert!(AttachPhase::First < AttachPhase::REST[0] && AttachPhase::REST.is_sorted());
    }
}
