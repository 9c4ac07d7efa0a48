//! Probes on tracepoints other than the syscall tracepoints. They attach to raw tracepoints if the kernel's BTF has the
//! arguments, otherwise to classic tracepoints if tracefs has the records.

use aya::{
    Ebpf,
    programs::{RawTracePoint, TracePoint},
};

use super::{
    Error, Options, Probe, ProbeStatus,
    attachments::{AttachContext, Attachment},
    facts::Facts,
    hooks::{Hooks, Place},
    preemption::PREEMPTED,
    program,
    remedies::one_line,
};

/// A program and its tracepoint.
type Placed = (&'static str, &'static str);

/// The programs of a probe for both ways to attach, or why a way is impossible.
struct Ways {
    /// Raw tracepoints.
    raw: Result<Vec<Placed>, String>,
    /// Classic tracepoints of `category`.
    classic: Result<Vec<Placed>, String>,
    /// Category in tracefs.
    category: &'static str,
}

/// Births and deaths of cgroups.
#[expect(clippy::unnecessary_wraps, reason = "a row of the table of probes")]
pub(super) fn cgroup(_: &Options, facts: &Facts) -> Option<Box<dyn Attachment>> {
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
    Some(TracepointProbe::boxed(Probe::Cgroup, ways))
}

/// Container init.
#[expect(clippy::unnecessary_wraps, reason = "a row of the table of probes")]
pub(super) fn container_init(_: &Options, facts: &Facts) -> Option<Box<dyn Attachment>> {
    let placed = vec![
        ("container_init_moved", "cgroup_attach_task"),
        ("container_init_forked", "sched_process_fork"),
        ("container_init_executed", "sched_process_exec"),
    ];
    let known = facts.offsets.as_ref().err().or(facts.processes.as_ref().err());
    let ways = Ways {
        raw: known.map_or(Ok(placed), |error| Err(one_line(error))),
        classic: Err("classic tracepoints do not provide this information".to_owned()),
        category: "cgroup",
    };
    Some(TracepointProbe::boxed(Probe::ContainerInit, ways))
}

/// Births and deaths of threads; `None` if no feature needs them.
pub(super) fn task(options: &Options, facts: &Facts) -> Option<Box<dyn Attachment>> {
    let counts_denied = facts.counts_denied(options);
    let mut raw = vec![("task_exit", "sched_process_exit")];
    let mut classic = vec![("task_exit_tp", "sched_process_exit")];
    if counts_denied {
        raw.push(("task_fork", "sched_process_fork"));
        classic.push(("task_fork_tp", "sched_process_fork"));
    }
    let ways = Ways {
        // If the raw tracepoint is unusable, a program that may miss a thread is better than none.
        raw: match &facts.fork_record {
            Ok(_) if facts.lets_programs_sleep => Err(PREEMPTED.to_owned()),
            _ => Ok(raw),
        },
        classic: match &facts.fork_record {
            Err(error) => Err(error.to_string()),
            Ok(_) => Ok(classic),
        },
        category: "sched",
    };
    (counts_denied || options.features.latency).then(|| TracepointProbe::boxed(Probe::Task, ways))
}

/// Operations of io_uring; `None` if the feature is off.
pub(super) fn io_uring(options: &Options, facts: &Facts) -> Option<Box<dyn Attachment>> {
    let io_uring = &facts.io_uring;
    let ways = Ways {
        raw: match &io_uring.arguments {
            _ if facts.lets_programs_sleep => Err(PREEMPTED.to_owned()),
            Ok(_) => Ok(vec![("io_uring_submit", io_uring.tracepoint)]),
            Err(error) => Err(error.clone()),
        },
        classic: match &io_uring.record {
            Ok(_) => Ok(vec![("io_uring_submit_tp", io_uring.tracepoint)]),
            Err(error) => Err(error.to_string()),
        },
        category: "io_uring",
    };
    options.features.io_uring.then(|| TracepointProbe::boxed(Probe::IoUring, ways))
}

/// Attaches a probe in the first way that works.
struct TracepointProbe {
    probe: Probe,
    /// Ways that were not tried yet, the best one last.
    ways: Vec<(Way, Result<Vec<Placed>, String>)>,
    chosen: Option<(Way, Vec<Placed>)>,
    /// Why better ways failed.
    problems: Vec<String>,
}

/// A way to attach programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// On raw tracepoints.
    Raw,
    /// On the classic tracepoints of a category.
    Classic(&'static str),
}

impl TracepointProbe {
    fn boxed(probe: Probe, Ways { raw, classic, category }: Ways) -> Box<dyn Attachment> {
        let ways = vec![(Way::Classic(category), classic), (Way::Raw, raw)];
        Box::new(Self { probe, ways, chosen: None, problems: Vec::new() })
    }

    /// Loads the programs of the next way that works.
    fn choose(&mut self, mut load: impl FnMut(Way, &[Placed]) -> Result<(), Error>) {
        while let Some((way, placed)) = self.ways.pop() {
            match placed.and_then(|placed| load(way, &placed).map(|()| placed).map_err(|error| one_line(&error))) {
                Ok(placed) => {
                    self.chosen = Some((way, placed));
                    return;
                }
                Err(problem) => self.problems.push(problem),
            }
        }
    }
}

impl Attachment for TracepointProbe {
    fn load(&mut self, ebpf: &mut Ebpf, _: &AttachContext<'_>) -> Result<(), Error> {
        self.choose(|way, placed| way.load(ebpf, placed));
        Ok(())
    }

    fn attach(&mut self, ebpf: &mut Ebpf, hooks: &mut Hooks<'_>) -> Result<(), Error> {
        while let Some((way, placed)) = self.chosen.take() {
            match way.attach(ebpf, hooks, &placed) {
                Ok(()) => {
                    self.chosen = Some((way, placed));
                    break;
                }
                Err(error) => {
                    self.problems.push(one_line(&error));
                    self.choose(|way, placed| way.load(ebpf, placed));
                }
            }
        }
        Ok(())
    }

    fn status(&self) -> ProbeStatus {
        ProbeStatus {
            probe: self.probe,
            implementation: self.chosen.as_ref().map(|(way, _)| way.name()),
            problem: (!self.problems.is_empty()).then(|| self.problems.join("; ")),
        }
    }
}

impl Way {
    /// The value of the label `implementation`.
    fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw_tp",
            Self::Classic(_) => "tracepoint",
        }
    }

    fn load(self, ebpf: &mut Ebpf, placed: &[Placed]) -> Result<(), Error> {
        for (name, _) in placed {
            match self {
                Self::Raw => program::<RawTracePoint>(ebpf, name)?.load()?,
                Self::Classic(_) => program::<TracePoint>(ebpf, name)?.load()?,
            }
        }
        Ok(())
    }

    fn attach(self, ebpf: &mut Ebpf, hooks: &mut Hooks<'_>, placed: &[Placed]) -> Result<(), Error> {
        for &(name, tracepoint) in placed {
            let place = match self {
                Self::Raw => Place::Raw(tracepoint),
                Self::Classic(category) => Place::Classic(category, tracepoint),
            };
            hooks.attach(ebpf, name, place)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(raw: Result<Vec<Placed>, String>) -> TracepointProbe {
        let classic = Ok(vec![("classic", "t")]);
        TracepointProbe {
            probe: Probe::Cgroup,
            ways: vec![(Way::Classic("c"), classic), (Way::Raw, raw)],
            chosen: None,
            problems: Vec::new(),
        }
    }

    #[test]
    fn the_first_way_that_works_is_taken() {
        let mut best = probe(Ok(vec![("raw", "t")]));
        best.choose(|_, _| Ok(()));
        assert_eq!(best.status(), ProbeStatus { probe: Probe::Cgroup, implementation: Some("raw_tp"), problem: None });
        let mut unknown = probe(Err("no BTF".to_owned()));
        unknown.choose(|_, _| Ok(()));
        let status = unknown.status();
        assert_eq!((status.implementation, status.problem.as_deref()), (Some("tracepoint"), Some("no BTF")));
    }

    #[test]
    fn a_probe_that_cannot_be_attached_has_every_reason_in_its_error() {
        let mut none = probe(Err("no BTF".to_owned()));
        none.choose(|_, placed| Err(Error::Object { name: placed[0].0 }));
        let status = none.status();
        assert_eq!(status.implementation, None);
        assert!(status.problem.unwrap().starts_with("no BTF; the eBPF object has no usable classic"));
    }
}
