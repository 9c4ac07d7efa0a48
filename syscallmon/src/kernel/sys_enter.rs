//! The `sys_enter` probe: which implementation counts on this kernel.

use std::path::Path;

use aya::{
    Btf, Ebpf, Endianness,
    programs::{BtfTracePoint, ProgramError, RawTracePoint, TracePoint},
};

use super::{
    Error, Options, Probe, ProbeStatus, SysEnter,
    explain::{one_line, privileges},
    facts::Facts,
    preemption::{self, PREEMPTED},
    program, tracefs,
};

/// A program that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Implementation {
    TpBtf,
    RawTp,
    Tracepoint,
}

use Implementation::{RawTp, TpBtf, Tracepoint};

/// The category and name of the classic tracepoint.
const TRACEPOINT: (&str, &str) = ("raw_syscalls", "sys_enter");

impl Implementation {
    /// The value of the label `implementation`.
    fn name(self) -> &'static str {
        match self {
            TpBtf => "tp_btf",
            RawTp => "raw_tp",
            Tracepoint => "tracepoint",
        }
    }

    fn program(self) -> &'static str {
        match self {
            TpBtf => "sys_enter_btf",
            RawTp => "sys_enter_raw",
            Tracepoint => "sys_enter_tp",
        }
    }

    fn load(self, ebpf: &mut Ebpf, btf: &Path, facts: &Facts) -> Result<(), Problem> {
        let name = self.program();
        match self {
            TpBtf => {
                if let Err(error) = &facts.offsets {
                    return Err(Problem::Told(one_line(error)));
                }
                if !facts.has_task_btf {
                    return Err(Problem::Told(
                        "the kernel has no helper bpf_get_current_task_btf: needs Linux 5.11".to_owned(),
                    ));
                }
                let btf = Btf::parse_file(btf, Endianness::default()).map_err(ProgramError::Btf)?;
                program::<BtfTracePoint>(ebpf, name)?.load("sys_enter", &btf)?;
            }
            RawTp => program::<RawTracePoint>(ebpf, name)?.load()?,
            Tracepoint => {
                let (category, tracepoint) = TRACEPOINT;
                tracefs::require(&format!("{category}/{tracepoint}"))
                    .map_err(|error| Problem::Told(error.to_string()))?;
                program::<TracePoint>(ebpf, name)?.load()?;
            }
        }
        Ok(())
    }

    fn attach(self, ebpf: &mut Ebpf) -> Result<(), Problem> {
        let name = self.program();
        match self {
            TpBtf => program::<BtfTracePoint>(ebpf, name)?.attach().map(|_| ())?,
            RawTp => program::<RawTracePoint>(ebpf, name)?.attach("sys_enter").map(|_| ())?,
            Tracepoint => program::<TracePoint>(ebpf, name)?.attach(TRACEPOINT.0, TRACEPOINT.1).map(|_| ())?,
        }
        Ok(())
    }
}

/// Why an implementation cannot be used.
enum Problem {
    /// None can.
    Fatal(Error),
    /// Another may.
    Told(String),
}

impl<E: Into<Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        let error = error.into();
        privileges(&error, "loading a program").map_or_else(|| Self::Told(one_line(&error)), Self::Fatal)
    }
}

/// What was chosen.
pub(super) struct Chosen {
    implementation: Implementation,
    /// Why no better one could be.
    problems: Vec<String>,
}

/// Loads the best program that the options permit and the kernel takes.
///
/// # Errors
///
/// When there is none.
pub(super) fn load(ebpf: &mut Ebpf, options: &Options, facts: &Facts) -> Result<Chosen, Error> {
    let preempted = options.sys_enter == SysEnter::Auto && facts.lets_programs_sleep;
    let candidates: &[Implementation] = match options.sys_enter {
        SysEnter::Auto if preempted => &[Tracepoint, TpBtf, RawTp],
        SysEnter::Auto => &[TpBtf, RawTp],
        SysEnter::TpBtf => &[TpBtf],
        SysEnter::RawTp => &[RawTp],
        SysEnter::Tracepoint => &[Tracepoint],
    };
    let mut problems: Vec<String> = preempted.then(|| PREEMPTED.to_owned()).into_iter().collect();
    for &implementation in candidates {
        match implementation.load(ebpf, &options.btf_path(), facts) {
            Ok(()) => {
                problems.extend(lost(options, facts));
                return Ok(Chosen { implementation, problems });
            }
            Err(Problem::Fatal(error)) => return Err(error),
            Err(Problem::Told(problem)) => problems.push(format!("no {}: {problem}", implementation.name())),
        }
    }
    let names: Vec<&str> = candidates.iter().map(|implementation| implementation.name()).collect();
    Err(Error::SysEnter { implementation: names.join(", "), reason: problems.join("; ") })
}

/// What no implementation can do on this kernel.
fn lost(options: &Options, facts: &Facts) -> Vec<String> {
    let mut lost = Vec::new();
    if facts.offsets.is_err() {
        lost.push(format!("32-bit calls cannot be told from {}", std::env::consts::ARCH));
        if options.hierarchies.v1.is_some() {
            lost.push("cgroups of v1 hierarchies cannot be told apart".to_owned());
        }
    }
    lost
}

impl Chosen {
    /// Attaches it; where it is seen to lose calls and the choice is ours, the classic tracepoint instead.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(super) fn attach(mut self, ebpf: &mut Ebpf, options: &Options, facts: &Facts) -> Result<Self, Error> {
        let is_open = options.sys_enter == SysEnter::Auto && !facts.lets_programs_sleep;
        if is_open && preemption::is_seen(ebpf)? {
            self.problems.push(PREEMPTED.to_owned());
            match Tracepoint.load(ebpf, &options.btf_path(), facts) {
                Ok(()) => self.implementation = Tracepoint,
                Err(Problem::Fatal(error)) => return Err(error),
                Err(Problem::Told(problem)) => self.problems.push(problem),
            }
        }
        match self.implementation.attach(ebpf) {
            Ok(()) => Ok(self),
            Err(Problem::Fatal(error)) => Err(error),
            Err(Problem::Told(reason)) => {
                Err(Error::SysEnter { implementation: self.implementation.name().to_owned(), reason })
            }
        }
    }

    /// The name of the program.
    pub(super) fn program(&self) -> &'static str {
        self.implementation.program()
    }

    /// What there is to say of it.
    pub(super) fn status(&self) -> ProbeStatus {
        ProbeStatus {
            probe: Probe::SysEnter,
            implementation: Some(self.implementation.name()),
            problem: (!self.problems.is_empty()).then(|| self.problems.join("; ")),
        }
    }
}
