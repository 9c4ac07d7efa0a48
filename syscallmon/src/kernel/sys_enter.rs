//! The `sys_enter` probe: which implementation counts on this kernel.

use aya::Ebpf;

use super::{
    Error, Options, Probe, ProbeStatus, SysEnter,
    facts::Facts,
    implementation::{
        End,
        Implementation::{self, RawTp, TpBtf, Tracepoint},
        Problem,
    },
    preemption::{self, PREEMPTED},
};

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
        match implementation.load(End::Enter, ebpf, facts) {
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
    /// Takes the classic tracepoint instead, where this one is seen to lose calls and the choice is ours.
    ///
    /// # Errors
    ///
    /// When the kernel does not permit the test.
    pub(super) fn settle(mut self, ebpf: &mut Ebpf, options: &Options, facts: &Facts) -> Result<Self, Error> {
        let is_open = options.sys_enter == SysEnter::Auto && !facts.lets_programs_sleep;
        if is_open && preemption::is_seen(ebpf)? {
            self.problems.push(PREEMPTED.to_owned());
            match Tracepoint.load(End::Enter, ebpf, facts) {
                Ok(()) => self.implementation = Tracepoint,
                Err(Problem::Fatal(error)) => return Err(error),
                Err(Problem::Told(problem)) => self.problems.push(problem),
            }
        }
        Ok(self)
    }

    /// Attaches it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(super) fn attach(&self, ebpf: &mut Ebpf) -> Result<(), Error> {
        self.implementation.attach(End::Enter, ebpf).map_err(|problem| match problem {
            Problem::Fatal(error) => error,
            Problem::Told(reason) => Error::SysEnter { implementation: self.implementation.name().to_owned(), reason },
        })
    }

    /// How it is run.
    pub(super) fn implementation(&self) -> Implementation {
        self.implementation
    }

    /// The name of the program.
    pub(super) fn program(&self) -> &'static str {
        self.implementation.program(End::Enter)
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
