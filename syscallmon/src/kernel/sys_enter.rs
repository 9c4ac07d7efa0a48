//! The `sys_enter` probe: chooses the implementation for this kernel.

use aya::Ebpf;

use super::{
    Error, NUMBERS_ONLY, Options, Probe, ProbeStatus, SysEnter,
    attachments::{AttachContext, Attachment},
    facts::Facts,
    hooks::Hooks,
    implementation::{
        CallEnd,
        Implementation::{self, RawTp, TpBtf, Tracepoint},
        LoadProblem,
    },
    preemption::{self, PREEMPTED},
};
use crate::syscalls::ArgumentClasses;

/// Attaches the probe by the chosen implementation.
#[derive(Default)]
struct SysEnterAttachment {
    /// `None` until a program is loaded.
    implementation: Option<Implementation>,
    /// Why better ones are unusable.
    problems: Vec<String>,
}

/// Always needed: without it there is nothing to count.
#[expect(clippy::unnecessary_wraps, reason = "a row of the table of probes")]
pub(super) fn attachment(_: &Options, _: &Facts) -> Option<Box<dyn Attachment>> {
    Some(Box::new(SysEnterAttachment::default()))
}

/// Returns what no implementation can do on this kernel.
fn lost(options: &Options, facts: &Facts) -> Vec<String> {
    let mut lost = Vec::new();
    if facts.offsets.is_err() {
        lost.push(format!("32-bit calls are counted as {}", std::env::consts::ARCH));
        if options.hierarchies.v1.is_some() {
            lost.push("cgroups of v1 hierarchies cannot be distinguished".to_owned());
        }
    }
    if options.features.arguments != ArgumentClasses::None && !facts.counts_arguments(options) {
        lost.push(NUMBERS_ONLY.to_owned());
    }
    lost
}

impl Attachment for SysEnterAttachment {
    /// Loads the best program that the options allow and the kernel accepts.
    ///
    /// # Errors
    ///
    /// When there is none.
    fn load(&mut self, ebpf: &mut Ebpf, context: &AttachContext<'_>) -> Result<(), Error> {
        let &AttachContext { options, facts, .. } = context;
        let preempted = options.sys_enter == SysEnter::Auto && facts.lets_programs_sleep;
        let candidates: &[Implementation] = match options.sys_enter {
            SysEnter::Auto if preempted => &[Tracepoint, TpBtf, RawTp],
            SysEnter::Auto => &[TpBtf, RawTp],
            SysEnter::TpBtf => &[TpBtf],
            SysEnter::RawTp => &[RawTp],
            SysEnter::Tracepoint => &[Tracepoint],
        };
        self.problems.extend(preempted.then(|| PREEMPTED.to_owned()));
        for &implementation in candidates {
            match implementation.load(CallEnd::Enter, ebpf, facts) {
                Ok(()) => {
                    self.problems.extend(lost(options, facts));
                    self.implementation = Some(implementation);
                    return Ok(());
                }
                Err(LoadProblem::Fatal(error)) => return Err(error),
                Err(LoadProblem::Other(problem)) => {
                    self.problems.push(format!("no {}: {problem}", implementation.name()));
                }
            }
        }
        let names: Vec<&str> = candidates.iter().map(|implementation| implementation.name()).collect();
        Err(Error::SysEnter { implementation: names.join(", "), reason: self.problems.join("; ") })
    }

    /// Changes to the classic tracepoint if the test sees lost calls and the options allow a choice.
    ///
    /// # Errors
    ///
    /// When the privileges for the test are missing.
    fn replace_lossy(&mut self, ebpf: &mut Ebpf, context: &AttachContext<'_>) -> Result<(), Error> {
        let is_open = context.options.sys_enter == SysEnter::Auto && !context.facts.lets_programs_sleep;
        if is_open && preemption::is_seen(ebpf)? {
            self.problems.push(PREEMPTED.to_owned());
            match Tracepoint.load(CallEnd::Enter, ebpf, context.facts) {
                Ok(()) => self.implementation = Some(Tracepoint),
                Err(LoadProblem::Fatal(error)) => return Err(error),
                Err(LoadProblem::Other(problem)) => self.problems.push(problem),
            }
        }
        Ok(())
    }

    /// Attaches the program.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    fn attach(&mut self, ebpf: &mut Ebpf, hooks: &mut Hooks<'_>) -> Result<(), Error> {
        let Some(implementation) = self.implementation else { return Ok(()) };
        implementation.attach(CallEnd::Enter, ebpf, hooks).map_err(|problem| match problem {
            LoadProblem::Fatal(error) => error,
            LoadProblem::Other(reason) => Error::SysEnter { implementation: implementation.name().to_owned(), reason },
        })
    }

    fn status(&self) -> ProbeStatus {
        ProbeStatus {
            probe: Probe::SysEnter,
            implementation: self.implementation.map(Implementation::name),
            problem: (!self.problems.is_empty()).then(|| self.problems.join("; ")),
        }
    }

    fn at_each_call(&self) -> Option<(Implementation, &'static str)> {
        self.implementation.map(|implementation| (implementation, implementation.program(CallEnd::Enter)))
    }
}
