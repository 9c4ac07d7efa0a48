//! The `sys_exit` probe: chooses the implementation that sees calls end. It follows that of `sys_enter`. Counting works
//! without it.

use aya::Ebpf;

use super::{
    Error, Options, Probe, ProbeStatus,
    attachments::{AttachContext, Attachment},
    facts::Facts,
    hooks::Hooks,
    implementation::{
        CallEnd,
        Implementation::{self, RawTp, TpBtf, Tracepoint},
        LoadProblem,
    },
    remedies::one_line,
};

/// Attaches the probe by the chosen implementation.
#[derive(Default)]
struct SysExitAttachment {
    /// `None` until a program is loaded, and if no program is usable.
    implementation: Option<Implementation>,
    problems: Vec<String>,
}

/// `None` if no feature needs it.
pub(super) fn attachment(options: &Options, _: &Facts) -> Option<Box<dyn Attachment>> {
    options.features.need_exit().then(|| Box::new(SysExitAttachment::default()) as Box<dyn Attachment>)
}

impl Attachment for SysExitAttachment {
    /// Loads the program for the implementation of `sys_enter`.
    ///
    /// # Errors
    ///
    /// When privileges are missing.
    fn load(&mut self, ebpf: &mut Ebpf, context: &AttachContext<'_>) -> Result<(), Error> {
        let &AttachContext { options, facts, sys_enter } = context;
        let features = &options.features;
        if features.denied
            && let Err(error) = &facts.seccomp
        {
            self.problems.push(format!("denied calls are not counted: {}", one_line(error)));
        }
        if !features.errors && !features.latency && !facts.counts_denied(options) {
            return Ok(());
        }
        let candidates: &[Implementation] = match sys_enter {
            Some(TpBtf) => &[TpBtf, RawTp, Tracepoint],
            Some(RawTp) => &[RawTp, Tracepoint],
            Some(Tracepoint) => &[Tracepoint],
            None => &[],
        };
        for &implementation in candidates {
            match implementation.load(CallEnd::Exit, ebpf, facts) {
                Ok(()) => {
                    self.implementation = Some(implementation);
                    break;
                }
                Err(LoadProblem::Fatal(error)) => return Err(error),
                Err(LoadProblem::Other(problem)) => {
                    self.problems.push(format!("no {}: {problem}", implementation.name()));
                }
            }
        }
        Ok(())
    }

    fn attach(&mut self, ebpf: &mut Ebpf, hooks: &mut Hooks<'_>) -> Result<(), Error> {
        let Some(implementation) = self.implementation else { return Ok(()) };
        if let Err(problem) = implementation.attach(CallEnd::Exit, ebpf, hooks) {
            self.implementation = None;
            self.problems.push(match problem {
                LoadProblem::Fatal(error) => one_line(&error),
                LoadProblem::Other(problem) => problem,
            });
        }
        Ok(())
    }

    fn status(&self) -> ProbeStatus {
        ProbeStatus {
            probe: Probe::SysExit,
            implementation: self.implementation.map(Implementation::name),
            problem: (!self.problems.is_empty()).then(|| self.problems.join("; ")),
        }
    }

    fn at_each_call(&self) -> Option<(Implementation, &'static str)> {
        self.implementation.map(|implementation| (implementation, implementation.program(CallEnd::Exit)))
    }
}
