//! Finds the tracepoint of io_uring operations, and the place of the opcode. Both differ by kernel.

use super::{
    btf::{Argument, BtfError, KernelBtf},
    tracefs::{self, TracefsError},
};

/// Its name since Linux 6.4, and its earlier name.
const NAMES: [&str; 2] = ["io_uring_submit_req", "io_uring_submit_sqe"];

/// The tracepoint of io_uring operations on this kernel.
pub(super) struct IoUring {
    /// The name of the tracepoint.
    pub(super) tracepoint: &'static str,
    /// Its arguments, from BTF; or why they are unknown.
    pub(super) arguments: Result<Arguments, String>,
    /// Offset of the opcode in its records, from tracefs.
    pub(super) record: Result<u64, TracefsError>,
}

/// How a raw tracepoint program finds the opcode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// Index of the argument that is the opcode; 0 if argument 0 is a `struct io_kiocb *` that contains it.
    pub(super) opcode_argument: u32,
    /// Offset of `io_kiocb.opcode`, if needed.
    pub(super) request_opcode: Option<u64>,
    /// Offset of `io_ring_ctx.sqo_task`, if submission threads are kernel threads (up to Linux 5.11).
    pub(super) sqo_task: Option<u64>,
}

impl IoUring {
    /// Finds the tracepoint on this kernel.
    pub(super) fn find(btf: &Result<KernelBtf, BtfError>) -> Self {
        let is_there = |name: &str| match btf {
            Ok(btf) => btf.tracepoint(name).is_some(),
            Err(_) => tracefs::require(&format!("io_uring/{name}")).is_ok(),
        };
        let [new, old] = NAMES;
        let tracepoint = if is_there(old) { old } else { new };
        Self {
            tracepoint,
            arguments: match btf {
                Ok(btf) => arguments(btf, tracepoint),
                Err(error) => Err(error.to_string()),
            },
            record: tracefs::offsets(&format!("io_uring/{tracepoint}"), ["opcode"]).map(|[offset]| offset),
        }
    }
}

fn arguments(btf: &KernelBtf, tracepoint: &str) -> Result<Arguments, String> {
    let arguments = btf.arguments(tracepoint).ok_or_else(|| format!("the kernel has no tracepoint {tracepoint}"))?;
    if arguments.first() == Some(&Argument::Pointer("io_kiocb".to_owned())) {
        let offset = btf.offset_of("io_kiocb", "opcode").ok_or("the kernel's BTF has no io_kiocb.opcode")?;
        return Ok(Arguments { request_opcode: Some(offset), ..Arguments::default() });
    }
    match arguments.iter().position(|argument| *argument == Argument::Byte) {
        Some(1) => {
            let sqo_task = btf.offset_of("io_ring_ctx", "sqo_task");
            Ok(Arguments { opcode_argument: 1, sqo_task, ..Arguments::default() })
        }
        Some(2) => Ok(Arguments { opcode_argument: 2, ..Arguments::default() }),
        _ => Err(format!("{tracepoint} has an unknown position of the opcode: {arguments:?}")),
    }
}
