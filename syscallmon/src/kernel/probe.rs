//! The probes: what each is called, which programs implement it, and how it fares.

use serde::{Deserialize, Serialize};

use super::{Options, attachments::Attachment, event_probe, facts::Facts, sys_enter, sys_exit};

/// A probe that can be attached. [`PROBES`] has a row for each, in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Counts calls. Without it there is nothing to export.
    SysEnter,
    /// Counts how calls end: errors, refused attempts, durations.
    SysExit,
    /// Births and deaths of threads, which refused attempts and durations need to know of. Without it, a thread whose
    /// id was another's may have one call too many counted as refused.
    Task,
    /// Births and deaths of cgroups. Without it, cgroups are found by walking the tree at each poll, and those
    /// that live shorter than the poll interval have no name.
    Cgroup,
    /// Tells what runtimes call while they set containers up from what the containers call. Without it, such calls look
    /// like the containers' own.
    Setup,
    /// Counts operations given to io_uring.
    IoUring,
}

/// What there is to know of a probe: a row of [`PROBES`].
pub struct ProbeRow {
    /// Which one.
    pub probe: Probe,
    /// The value of the label `probe`.
    pub name: &'static str,
    /// What `check` calls it.
    pub check: &'static str,
    /// The tracepoints that it is attached to, as `category/name`, as far as they are the same on every kernel.
    pub tracepoints: &'static [&'static str],
    /// What is missing without them.
    pub without: &'static str,
    /// When it is attached.
    pub(super) turn: Turn,
    /// How it is attached; `None` when these options do not ask for it.
    pub(super) wanted: fn(&Options, &Facts) -> Option<Box<dyn Attachment>>,
}

/// When a probe is attached, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// Before all others are loaded: who sets a container up must have been seen to begin before a call of theirs is
    /// counted.
    First,
    /// Before calls are counted: no birth may be missed of a cgroup that makes one.
    BeforeCalls,
    /// When calls begin to be counted.
    Calls,
    /// Then threads are known: one that is known begins every call before our eyes, so what it ends without having
    /// begun was refused.
    Threads,
    /// Then calls are seen to end.
    Ends,
}

impl Turn {
    /// All but the first.
    pub(super) const REST: [Self; 4] = [Self::BeforeCalls, Self::Calls, Self::Threads, Self::Ends];
}

/// Every probe. Loading, verification, `check`, and the order in which probes are told of derive from it.
pub static PROBES: [ProbeRow; 6] = [
    ProbeRow {
        probe: Probe::SysEnter,
        name: "sys_enter",
        check: "probe sys_enter",
        tracepoints: &["raw_syscalls/sys_enter"],
        without: "calls are not counted",
        turn: Turn::Calls,
        wanted: sys_enter::wanted,
    },
    ProbeRow {
        probe: Probe::SysExit,
        name: "sys_exit",
        check: "probe sys_exit",
        tracepoints: &["raw_syscalls/sys_exit"],
        without: "errors, denied calls and durations are not counted",
        turn: Turn::Ends,
        wanted: sys_exit::wanted,
    },
    ProbeRow {
        probe: Probe::Task,
        name: "task",
        check: "probe task",
        tracepoints: &["sched/sched_process_fork", "sched/sched_process_exit"],
        without: "one call of a thread may be wrongly counted as denied",
        turn: Turn::Threads,
        wanted: event_probe::task,
    },
    ProbeRow {
        probe: Probe::Cgroup,
        name: "cgroup",
        check: "probe cgroup",
        tracepoints: &["cgroup/cgroup_mkdir", "cgroup/cgroup_rmdir"],
        without: "short-lived cgroups have no path or name",
        turn: Turn::BeforeCalls,
        wanted: event_probe::cgroup,
    },
    ProbeRow {
        probe: Probe::Setup,
        name: "setup",
        check: "probe setup",
        tracepoints: &["cgroup/cgroup_attach_task", "sched/sched_process_fork", "sched/sched_process_exec"],
        without: "calls of container init are attributed to the container's program",
        turn: Turn::First,
        wanted: event_probe::setup,
    },
    ProbeRow {
        probe: Probe::IoUring,
        name: "io_uring",
        check: "probe io_uring",
        // Its name differs by kernel.
        tracepoints: &[],
        without: "io_uring operations are not counted",
        turn: Turn::BeforeCalls,
        wanted: event_probe::io_uring,
    },
];

impl Probe {
    /// What there is to know of it.
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
            assert!(row.turn == Turn::First || Turn::REST.contains(&row.turn));
        }
    }

    #[test]
    fn turns_are_taken_in_order() {
        assert!(Turn::First < Turn::REST[0] && Turn::REST.is_sorted());
    }
}
