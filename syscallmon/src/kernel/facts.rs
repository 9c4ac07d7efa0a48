//! Finds out once, before loading, what this kernel offers: by trying, never by its version.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    panic,
    thread::{self, Scope},
};

use aya::{
    Btf, EbpfLoader, Endianness,
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};

use super::{
    Error, Options,
    btf::{BtfError, KernelBtf},
    io_uring::IoUring,
    offsets::{ArgumentOffsets, Offsets, ProcessOffsets, RegisterOffsets, SeccompOffsets, css_of_controller},
    remedies::privileges,
    sleepable,
    tracefs::{self, TracefsError},
};
use crate::syscalls::ArgumentClasses;

/// What this kernel offers.
pub(super) struct Facts {
    /// The kernel's BTF again, as aya reads it, for BTF-typed programs.
    pub(super) program_btf: Result<Btf, aya::BtfError>,
    /// Offsets of the fields that all programs read.
    pub(super) offsets: Result<Offsets, BtfError>,
    /// Offsets for finding denied calls.
    pub(super) seccomp: Result<SeccompOffsets, BtfError>,
    /// Offsets for reading processes.
    pub(super) processes: Result<ProcessOffsets, BtfError>,
    /// Offsets for reading registers at the end of calls.
    pub(super) registers: Result<RegisterOffsets, BtfError>,
    /// The daemon's pid namespace, which defines the ids in events; 0 if it is the initial one or unknown.
    pub(super) pid_namespace: u32,
    /// Whether `bpf_task_pt_regs` can be used (Linux 5.15 with BTF).
    pub(super) has_task_pt_regs: bool,
    /// Offset of the child's id in records of `sched_process_fork`.
    pub(super) fork_record: Result<[u64; 1], TracefsError>,
    /// Whether `bpf_get_current_task_btf` can be used (Linux 5.11 with BTF).
    pub(super) has_task_btf: bool,
    /// Offset in `css_set` of the state of the counted v1 controller; `None` without one, or without BTF.
    pub(super) v1_css: Option<u64>,
    /// Offsets of `root`, `id` and `path` in records of the cgroup tracepoints.
    pub(super) cgroup_records: Result<[u64; 3], TracefsError>,
    /// The tracepoint of io_uring operations.
    pub(super) io_uring: IoUring,
    /// Whether programs on the syscall tracepoints may sleep, which implies that other programs there are preempted.
    pub(super) lets_programs_sleep: bool,
}

impl Facts {
    /// Tests this kernel. Returns a loader as well: aya reads the kernel's BTF to make one, although the object has no
    /// relocations. Each reading takes tens of milliseconds, so they run side by side.
    ///
    /// # Errors
    ///
    /// When the privileges for testing are missing, or the kernel lacks the v1 controller to count.
    pub(super) fn find(options: &Options) -> Result<(Self, EbpfLoader<'static>), Error> {
        let path = options.btf_path();
        thread::scope(|scope| {
            let loader = side_by_side(scope, EbpfLoader::new);
            let program_btf = side_by_side(scope, || Btf::parse_file(&path, Endianness::default()));
            let facts = Self::test(options, &KernelBtf::read(&path), program_btf);
            let mut loader = loader();
            // Frees the loader's copy.
            loader.btf(None);
            Ok((facts?, loader))
        })
    }

    fn test(
        options: &Options,
        btf: &Result<KernelBtf, BtfError>,
        program_btf: impl FnOnce() -> Result<Btf, aya::BtfError>,
    ) -> Result<Self, Error> {
        let offsets = btf.as_ref().map_err(Clone::clone).and_then(Offsets::read);
        let v1_css = match (btf, options.hierarchies.v1) {
            (Ok(btf), Some(v1)) => Some(css_of_controller(btf, v1.controller)?),
            _ => None,
        };
        let may_sleep =
            |name| btf.as_ref().ok().and_then(|btf| btf.tracepoint(name)).is_some_and(sleepable::is_accepted);
        Ok(Self {
            seccomp: btf.as_ref().map_err(Clone::clone).and_then(SeccompOffsets::read),
            processes: btf.as_ref().map_err(Clone::clone).and_then(ProcessOffsets::read),
            registers: btf.as_ref().map_err(Clone::clone).and_then(RegisterOffsets::read),
            pid_namespace: pid_namespace(),
            has_task_btf: offsets.is_ok() && has_helper(BpfHelper::BPF_FUNC_get_current_task_btf)?,
            has_task_pt_regs: offsets.is_ok() && has_helper(BpfHelper::BPF_FUNC_task_pt_regs)?,
            fork_record: tracefs::offsets("sched/sched_process_fork", ["child_pid"]),
            offsets,
            v1_css,
            io_uring: IoUring::find(btf),
            cgroup_records: tracefs::offsets("cgroup/cgroup_mkdir", ["root", "id", "path"]),
            // Old kernels (5.10) accept such a program on any tracepoint, and let none of them sleep.
            lets_programs_sleep: may_sleep("sys_enter") && !may_sleep("cgroup_mkdir"),
            program_btf: program_btf(),
        })
    }

    /// Whether denied calls can be counted.
    pub(super) fn counts_denied(&self, options: &Options) -> bool {
        options.features.denied && self.seccomp.is_ok()
    }

    /// Whether classes of arguments can be counted.
    pub(super) fn counts_arguments(&self, options: &Options) -> bool {
        options.features.arguments != ArgumentClasses::None && self.arguments().is_some()
    }

    /// Returns where a call's arguments are.
    pub(super) fn arguments(&self) -> Option<ArgumentOffsets> {
        self.registers.as_ref().ok()?.arguments
    }

    /// Whether cgroup2 is counted: if requested, or if nothing else can be counted.
    pub(super) fn counts_cgroup2(&self, options: &Options) -> bool {
        options.hierarchies.cgroup2 || self.v1_css.is_none()
    }
}

/// The number of the initial pid namespace (`PROC_PID_INIT_INO` of `include/linux/proc_ns.h`).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

fn pid_namespace() -> u32 {
    let number = fs::metadata("/proc/self/ns/pid").map(|namespace| namespace.ino());
    number.ok().filter(|&number| number != INITIAL_PID_NAMESPACE).and_then(|number| number.try_into().ok()).unwrap_or(0)
}

/// Starts work in a thread. The returned function waits for its result. If the kernel refuses the thread, the function
/// does the work.
fn side_by_side<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl Fn() -> T + Copy + Send + 'scope,
) -> impl FnOnce() -> T {
    let thread = thread::Builder::new().spawn_scoped(scope, work);
    move || match thread {
        Ok(thread) => thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic)),
        Err(_) => work(),
    }
}

fn has_helper(helper: BpfHelper) -> Result<bool, Error> {
    is_helper_supported(ProgramType::RawTracePoint, helper)
        .map_err(|error| privileges(&error, "loading a program").unwrap_or(Error::Program(error)))
}
