//! Probes on tracepoints that are not the syscalls': attached raw where the kernel's BTF tells the arguments, else classic, where
//! tracefs tells the records.

use aya::{
    Ebpf,
    programs::{RawTracePoint, TracePoint},
};

use super::{Error, Options, Probe, ProbeStatus, explain::one_line, facts::Facts, program};

/// A program, and the tracepoint that it belongs on.
pub(super) type Placed = (&'static str, &'static str);

/// What can be attached for a probe, in two ways; or why not.
pub(super) struct Ways {
    /// Raw tracepoints.
    pub(super) raw: Result<Vec<Placed>, String>,
    /// Classic tracepoints of `category`.
    pub(super) classic: Result<Vec<Placed>, String>,
    /// Where tracefs has them.
    pub(super) category: &'static str,
}

/// Whether programs are only loaded, to see how they fare, or attached too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Loaded.
    Verified,
    /// Loaded and attached.
    Attached,
}

/// Births and deaths of cgroups.
pub(super) fn cgroup(ebpf: &mut Ebpf, facts: &Facts, extent: Extent) -> ProbeStatus {
    let ways = Ways {
        raw: match &facts.offsets {
            Ok(_) => Ok(vec![("cgroup_mkdir", "cgroup_mkdir"), ("cgroup_rmdir", "cgroup_rmdir")]),
            Err(error) => Err(one_line(error)),
        },
        classic: match &facts.cgroup_records {
            Ok(_) => Ok(vec![("cgroup_mkdir_tp", "cgroup_mkdir"), ("cgroup_rmdir_tp", "cgroup_rmdir")]),
            Err(error) => Err(error.to_string()),
        },
        category: "cgroup",
    };
    place(ebpf, Probe::Cgroup, &ways, extent)
}

/// Who sets containers up.
pub(super) fn setup(ebpf: &mut Ebpf, facts: &Facts, extent: Extent) -> ProbeStatus {
    let placed = vec![
        ("setup_moved", "cgroup_attach_task"),
        ("setup_forked", "sched_process_fork"),
        ("setup_executed", "sched_process_exec"),
    ];
    let known = facts.offsets.as_ref().err().or(facts.processes.as_ref().err());
    let ways = Ways {
        raw: known.map_or(Ok(placed), |error| Err(one_line(error))),
        classic: Err("the classic tracepoints do not tell".to_owned()),
        category: "cgroup",
    };
    place(ebpf, Probe::Setup, &ways, extent)
}

/// Births and deaths of threads; `None` when no signal needs them.
pub(super) fn task(ebpf: &mut Ebpf, options: &Options, facts: &Facts, extent: Extent) -> Option<ProbeStatus> {
    let counts_denied = facts.counts_denied(options);
    let mut raw = vec![("task_exit", "sched_process_exit")];
    let mut classic = vec![("task_exit_tp", "sched_process_exit")];
    if counts_denied {
        raw.push(("task_fork", "sched_process_fork"));
        classic.push(("task_fork_tp", "sched_process_fork"));
    }
    let ways = Ways {
        // Where the better one cannot be had, one that may miss a thread is better than none.
        raw: match &facts.fork_record {
            Ok(_) if facts.lets_programs_sleep => Err(super::preemption::PREEMPTED.to_owned()),
            _ => Ok(raw),
        },
        classic: match &facts.fork_record {
            Err(error) => Err(error.to_string()),
            Ok(_) => Ok(classic),
        },
        category: "sched",
    };
    (counts_denied || options.signals.latency).then(|| place(ebpf, Probe::Task, &ways, extent))
}

/// Operations of io_uring; `None` when they are not asked for.
pub(super) fn io_uring(ebpf: &mut Ebpf, options: &Options, facts: &Facts, extent: Extent) -> Option<ProbeStatus> {
    let io_uring = &facts.io_uring;
    let ways = Ways {
        raw: match &io_uring.arguments {
            _ if facts.lets_programs_sleep => Err(super::preemption::PREEMPTED.to_owned()),
            Ok(_) => Ok(vec![("io_uring_submit", io_uring.tracepoint)]),
            Err(error) => Err(error.clone()),
        },
        classic: match &io_uring.record {
            Ok(_) => Ok(vec![("io_uring_submit_tp", io_uring.tracepoint)]),
            Err(error) => Err(error.to_string()),
        },
        category: "io_uring",
    };
    options.signals.io_uring.then(|| place(ebpf, Probe::IoUring, &ways, extent))
}

/// Takes the first way that works.
fn place(ebpf: &mut Ebpf, probe: Probe, ways: &Ways, extent: Extent) -> ProbeStatus {
    let status = |implementation, problem| ProbeStatus { probe, implementation, problem };
    let raw = ways.raw.clone().and_then(|placed| use_raw(ebpf, &placed, extent).map_err(|error| one_line(&error)));
    let Err(problem) = raw else { return status(Some("raw_tp"), None) };
    let classic = ways.classic.clone();
    match classic.and_then(|placed| use_classic(ebpf, ways.category, &placed, extent).map_err(|error| one_line(&error)))
    {
        Ok(()) => status(Some("tracepoint"), Some(problem)),
        Err(error) => status(None, Some(format!("{problem}; {error}"))),
    }
}

fn use_raw(ebpf: &mut Ebpf, placed: &[Placed], extent: Extent) -> Result<(), Error> {
    for (name, _) in placed {
        program::<RawTracePoint>(ebpf, name)?.load()?;
    }
    for (name, tracepoint) in placed.iter().filter(|_| extent == Extent::Attached) {
        program::<RawTracePoint>(ebpf, name)?.attach(tracepoint)?;
    }
    Ok(())
}

fn use_classic(ebpf: &mut Ebpf, category: &str, placed: &[Placed], extent: Extent) -> Result<(), Error> {
    for (name, _) in placed {
        program::<TracePoint>(ebpf, name)?.load()?;
    }
    for (name, tracepoint) in placed.iter().filter(|_| extent == Extent::Attached) {
        program::<TracePoint>(ebpf, name)?.attach(category, tracepoint)?;
    }
    Ok(())
}
