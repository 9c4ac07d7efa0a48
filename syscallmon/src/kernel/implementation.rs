//! The three ways to run a program at each system call, and why a way is unusable.

use aya::{
    Ebpf,
    programs::{BtfTracePoint, RawTracePoint, TracePoint},
};

use super::{
    Error,
    facts::Facts,
    hooks::{Hooks, Place},
    program,
    remedies::{one_line, privileges},
    tracefs,
};

/// A way to run a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Implementation {
    /// BTF-typed.
    TpBtf,
    /// On the raw tracepoint.
    RawTp,
    /// On the classic tracepoint.
    Tracepoint,
}

/// The end of a call that a program sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallEnd {
    /// `sys_enter`.
    Enter,
    /// `sys_exit`.
    Exit,
}

use Implementation::{RawTp, TpBtf, Tracepoint};

/// Category of the classic tracepoints.
const CATEGORY: &str = "raw_syscalls";

impl CallEnd {
    fn tracepoint(self) -> &'static str {
        match self {
            Self::Enter => "sys_enter",
            Self::Exit => "sys_exit",
        }
    }
}

impl Implementation {
    /// The value of the label `implementation`.
    pub(super) fn name(self) -> &'static str {
        match self {
            TpBtf => "tp_btf",
            RawTp => "raw_tp",
            Tracepoint => "tracepoint",
        }
    }

    /// The name of the program.
    pub(super) fn program(self, end: CallEnd) -> &'static str {
        match (end, self) {
            (CallEnd::Enter, TpBtf) => "sys_enter_btf",
            (CallEnd::Enter, RawTp) => "sys_enter_raw",
            (CallEnd::Enter, Tracepoint) => "sys_enter_tp",
            (CallEnd::Exit, TpBtf) => "sys_exit_btf",
            (CallEnd::Exit, RawTp) => "sys_exit_raw",
            (CallEnd::Exit, Tracepoint) => "sys_exit_tp",
        }
    }

    /// Loads the program.
    ///
    /// # Errors
    ///
    /// When this kernel cannot run it.
    pub(super) fn load(self, end: CallEnd, ebpf: &mut Ebpf, facts: &Facts) -> Result<(), LoadProblem> {
        let name = self.program(end);
        match self {
            TpBtf => {
                if let Err(error) = &facts.offsets {
                    return Err(LoadProblem::Other(one_line(error)));
                }
                if !facts.has_task_btf {
                    return Err(LoadProblem::Other(
                        "the kernel has no helper bpf_get_current_task_btf: requires Linux 5.11".to_owned(),
                    ));
                }
                Self::require_number(end, facts)?;
                let btf = facts.program_btf.as_ref().map_err(|error| LoadProblem::Other(one_line(error)))?;
                program::<BtfTracePoint>(ebpf, name)?.load(end.tracepoint(), btf)?;
            }
            RawTp => {
                Self::require_number(end, facts)?;
                program::<RawTracePoint>(ebpf, name)?.load()?;
            }
            Tracepoint => {
                tracefs::require(&format!("{CATEGORY}/{}", end.tracepoint()))
                    .map_err(|error| LoadProblem::Other(error.to_string()))?;
                program::<TracePoint>(ebpf, name)?.load()?;
            }
        }
        Ok(())
    }

    /// Checks that the call's number is known. Only the classic tracepoint has it at the exit; elsewhere it is read
    /// from the registers.
    fn require_number(end: CallEnd, facts: &Facts) -> Result<(), LoadProblem> {
        match &facts.registers {
            Err(error) if end == CallEnd::Exit => Err(LoadProblem::Other(one_line(error))),
            _ => Ok(()),
        }
    }

    /// Attaches the loaded program.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(super) fn attach(self, end: CallEnd, ebpf: &mut Ebpf, hooks: &mut Hooks<'_>) -> Result<(), LoadProblem> {
        let tracepoint = end.tracepoint();
        let place = match self {
            TpBtf => Place::Btf(tracepoint),
            RawTp => Place::Raw(tracepoint),
            Tracepoint => Place::Classic(CATEGORY, tracepoint),
        };
        Ok(hooks.attach(ebpf, self.program(end), place)?)
    }
}

/// Why an implementation is unusable.
pub(super) enum LoadProblem {
    /// All implementations are unusable.
    Fatal(Error),
    /// Another implementation may work.
    Other(String),
}

impl<E: Into<Error>> From<E> for LoadProblem {
    fn from(error: E) -> Self {
        let error = error.into();
        privileges(&error, "loading a program").map_or_else(|| Self::Other(one_line(&error)), Self::Fatal)
    }
}
