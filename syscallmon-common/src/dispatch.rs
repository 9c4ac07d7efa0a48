//! What the dispatchers of the pinned mode and user space share: see `syscallmon-ebpf/src/dispatch.rs`.

/// The time until which the programs run without a daemon: the entry of the map `LEASE`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The end, in `CLOCK_MONOTONIC` nanoseconds. The daemon moves it forward.
    pub until_ns: u64,
    /// Not 0 after the end, until a daemon renews the lease: the programs do nothing.
    pub is_over: u64,
}

/// Bytes of the map `DESCRIPTION`. The description has the name of each position.
pub const DESCRIPTION_BYTES: usize = 128 * 1024;

/// Index of a program in the arrays of the dispatchers.
pub const DISPATCH_SYS_ENTER: u32 = 0;
/// As above.
pub const DISPATCH_SYS_EXIT: u32 = 1;
/// As above.
pub const DISPATCH_TASK_FORK: u32 = 2;
/// As above.
pub const DISPATCH_TASK_EXIT: u32 = 3;
/// As above.
pub const DISPATCH_CONTAINER_INIT_MOVED: u32 = 4;
/// As above.
pub const DISPATCH_CONTAINER_INIT_FORKED: u32 = 5;
/// As above.
pub const DISPATCH_CONTAINER_INIT_EXECUTED: u32 = 6;
/// As above.
pub const DISPATCH_IO_URING_SUBMIT: u32 = 7;
/// As above.
pub const DISPATCH_CGROUP_MKDIR: u32 = 8;
/// As above.
pub const DISPATCH_CGROUP_RMDIR: u32 = 9;
/// Length of these arrays.
pub const DISPATCH_LEN: u32 = 10;
