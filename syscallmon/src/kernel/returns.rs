//! Gives numbers back to the kernel side, and takes cgroups out of its hash table, without a system call on a map.
//!
//! Such calls would stop counting for as long as they take: the kernel runs no classic tracepoint program on a CPU where one
//! is under way (`bpf_disable_instrumentation`), not even for the tasks that preempted it there. So a list goes into mapped memory,
//! and a program that works through it is run on demand (`BPF_PROG_TEST_RUN` for raw tracepoints, Linux 5.10).

use std::sync::atomic::Ordering::Relaxed;

use aya::{
    Ebpf,
    programs::{ProgramError, RawTracePoint, RawTracePointRunOptions, TestRun},
};
use syscallmon_common::{RETURNS_LEN, Return};

use super::{
    Error,
    explain::privileges,
    mapped::{MappedArray, mapped},
};

/// The program.
pub(super) const PROGRAM: &str = "put_back";

/// The list.
pub(super) struct Returns {
    list: MappedArray,
}

impl Returns {
    /// Maps the list of an object whose program is loaded.
    pub(super) fn new(ebpf: &Ebpf) -> Result<Self, Error> {
        Ok(Self { list: mapped(ebpf, "RETURNS", RETURNS_LEN * size_of::<Return>())? })
    }

    /// Gives all of these back, in order.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; those before are done then.
    pub(super) fn put_back(&self, ebpf: &Ebpf, entries: &[Return]) -> Result<(), Error> {
        for chunk in entries.chunks(RETURNS_LEN) {
            self.write(chunk);
            run(ebpf)?;
            let left = (0..chunk.len()).filter(|&index| !self.is_done(index)).count();
            if left != 0 {
                return Err(Error::Returns { left, wanted: chunk.len() });
            }
        }
        Ok(())
    }

    /// Writes one list; a shorter one than there is room for ends with zeros.
    fn write(&self, chunk: &[Return]) {
        for (index, entry) in chunk.iter().chain([&Return::default()]).take(RETURNS_LEN).enumerate() {
            self.list.u64(2 * index).store(entry.key, Relaxed);
            let word = u64::from(entry.kind) | u64::from(entry.number) << 32;
            self.list.u64(2 * index + 1).store(word, Relaxed);
        }
    }

    /// Whether the program has struck an entry off the list: its kind is 0.
    fn is_done(&self, index: usize) -> bool {
        self.list.u32(4 * index + 2).load(Relaxed) == 0
    }

    /// Whether the process has the privileges that this takes, which are none from Linux 5.19 on; before, where
    /// `kernel.unprivileged_bpf_disabled` is set, it is `CAP_BPF`.
    pub(super) fn are_permitted(&self, ebpf: &Ebpf) -> bool {
        self.write(&[]);
        !matches!(run(ebpf), Err(Error::Privileges { .. }))
    }
}

/// Runs the program, which also tells the kernel side which process the daemon is.
pub(super) fn run(ebpf: &Ebpf) -> Result<(), Error> {
    let program = ebpf.program(PROGRAM).ok_or(Error::Object { name: PROGRAM })?;
    let program: &RawTracePoint = program.try_into()?;
    let run: Result<_, ProgramError> = program.test_run(RawTracePointRunOptions::new());
    run.map(drop).map_err(|error| privileges(&error, "running a program").unwrap_or(Error::Program(error)))
}
