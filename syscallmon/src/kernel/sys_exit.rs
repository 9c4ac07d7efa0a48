//! The `sys_exit` probe: which implementation sees how calls end. It follows that of `sys_enter`, and counting goes on without it.

use aya::Ebpf;

use super::{
    Error, Options, Probe, ProbeStatus,
    explain::one_line,
    facts::Facts,
    implementation::{
        End,
        Implementation::{self, RawTp, TpBtf, Tracepoint},
        Problem,
    },
};

/// What was chosen.
pub(super) struct Chosen {
    /// `None` where no program can be used.
    implementation: Option<Implementation>,
    problems: Vec<String>,
}

/// Loads the program that goes with an implementation of `sys_enter`; `None` when no signal needs it.
///
/// # Errors
///
/// When the kernel does not permit it.
pub(super) fn load(
    ebpf: &mut Ebpf,
    options: &Options,
    facts: &Facts,
    enter: Implementation,
) -> Result<Option<Chosen>, Error> {
    let signals = &options.signals;
    if !signals.need_exit() {
        return Ok(None);
    }
    let mut chosen = Chosen { implementation: None, problems: Vec::new() };
    if signals.denied
        && let Err(error) = &facts.seccomp
    {
        chosen.problems.push(format!("refused calls cannot be told: {}", one_line(error)));
    }
    if !signals.errors && !signals.latency && !facts.counts_denied(options) {
        return Ok(Some(chosen));
    }
    let candidates: &[Implementation] = match enter {
        TpBtf => &[TpBtf, RawTp, Tracepoint],
        RawTp => &[RawTp, Tracepoint],
        Tracepoint => &[Tracepoint],
    };
    for &implementation in candidates {
        match implementation.load(End::Exit, ebpf, facts) {
            Ok(()) => {
                chosen.implementation = Some(implementation);
                break;
            }
            Err(Problem::Fatal(error)) => return Err(error),
            Err(Problem::Told(problem)) => chosen.problems.push(format!("no {}: {problem}", implementation.name())),
        }
    }
    Ok(Some(chosen))
}

impl Chosen {
    /// Attaches it. What the kernel refuses is told by the status.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf) {
        let Some(implementation) = self.implementation else { return };
        if let Err(problem) = implementation.attach(End::Exit, ebpf) {
            self.implementation = None;
            self.problems.push(match problem {
                Problem::Fatal(error) => one_line(&error),
                Problem::Told(problem) => problem,
            });
        }
    }

    /// The name of the program.
    pub(super) fn program(&self) -> Option<&'static str> {
        self.implementation.map(|implementation| implementation.program(End::Exit))
    }

    /// What there is to say of it.
    pub(super) fn status(&self) -> ProbeStatus {
        ProbeStatus {
            probe: Probe::SysExit,
            implementation: self.implementation.map(Implementation::name),
            problem: (!self.problems.is_empty()).then(|| self.problems.join("; ")),
        }
    }
}
