//! How programs are attached: directly, or behind the dispatchers of the pinned mode.

use aya::{
    Ebpf,
    programs::{BtfTracePoint, RawTracePoint, TracePoint},
};

use super::{Error, pinned::Dispatchers, program};

/// The place of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// BTF-typed, on the tracepoint that the program was loaded for: `sys_enter` or `sys_exit`.
    Btf(&'static str),
    /// On a raw tracepoint.
    Raw(&'static str),
    /// On the classic tracepoint of a category.
    Classic(&'static str, &'static str),
}

/// How programs are attached.
pub(super) enum Hooks<'a> {
    /// Each program is attached as long as the daemon runs.
    Direct,
    /// The pinned dispatchers run the programs.
    Dispatched(&'a mut Dispatchers),
}

impl Hooks<'_> {
    /// Attaches a loaded program of the object.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf, name: &'static str, place: Place) -> Result<(), Error> {
        match (self, place) {
            (Self::Dispatched(dispatchers), _) => return dispatchers.attach(ebpf, name, place),
            (Self::Direct, Place::Btf(_)) => program::<BtfTracePoint>(ebpf, name)?.attach().map(drop)?,
            (Self::Direct, Place::Raw(tracepoint)) => {
                program::<RawTracePoint>(ebpf, name)?.attach(tracepoint).map(drop)?;
            }
            (Self::Direct, Place::Classic(category, tracepoint)) => {
                program::<TracePoint>(ebpf, name)?.attach(category, tracepoint).map(drop)?;
            }
        }
        Ok(())
    }
}
