//! Read-only globals that user space sets before it loads the programs.
//!
//! The map behind them is frozen, so the verifier treats each value as a constant: offsets read from
//! the kernel's BTF cost as little as compiled ones, and branches on them vanish.

use core::ptr::read_volatile;

use aya_ebpf::Global;
use syscallmon_common::{POSITION_TABLE_LEN, UNKNOWN_OFFSET};

/// `offsetof(struct task_struct, cgroups)`.
#[unsafe(no_mangle)]
pub static OFFSET_TASK_CGROUPS: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct css_set, dfl_cgrp)`.
#[unsafe(no_mangle)]
pub static OFFSET_CSS_SET_DFL_CGRP: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct cgroup, kn)`.
#[unsafe(no_mangle)]
pub static OFFSET_CGROUP_KN: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct cgroup, root)`.
#[unsafe(no_mangle)]
pub static OFFSET_CGROUP_ROOT: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct cgroup_root, hierarchy_id)`.
#[unsafe(no_mangle)]
pub static OFFSET_CGROUP_ROOT_HIERARCHY_ID: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct kernfs_node, id)`.
#[unsafe(no_mangle)]
pub static OFFSET_KERNFS_NODE_ID: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// Where in `task_struct` the word with the 32-bit flag is: `thread_info.status` on x86, `.flags` on arm64.
#[unsafe(no_mangle)]
pub static OFFSET_TASK_COMPAT: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// The flag in that word: `TS_COMPAT` on x86, `TIF_32BIT` on arm64.
#[unsafe(no_mangle)]
pub static COMPAT_MASK: Global<u32> = Global::new(0);
/// `offsetof(struct css_set, subsys[x])`, for the controller x of the v1 hierarchy that is counted by; unknown where none is.
#[unsafe(no_mangle)]
pub static OFFSET_CSS_SET_CSS: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// `offsetof(struct cgroup_subsys_state, cgroup)`.
#[unsafe(no_mangle)]
pub static OFFSET_CSS_CGROUP: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// Where a `cgroup_mkdir` or `cgroup_rmdir` record has its `root`, `id` and `path` (`events/cgroup/*/format` in tracefs).
#[unsafe(no_mangle)]
pub static OFFSET_EVENT_ROOT: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_EVENT_ID: Global<u64> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static OFFSET_EVENT_PATH: Global<u64> = Global::new(UNKNOWN_OFFSET);
/// Whether calls are counted by cgroup2 cgroups: 1 or 0.
#[unsafe(no_mangle)]
pub static COUNTS_CGROUP2: Global<u32> = Global::new(1);
/// Number of the v1 hierarchy that is counted by; -1 where none is.
#[unsafe(no_mangle)]
pub static V1_HIERARCHY: Global<i32> = Global::new(-1);
/// Whether the kernel has `bpf_get_current_task_btf` and its BTF told every offset: 1 or 0.
#[unsafe(no_mangle)]
pub static HAS_TASK_BTF: Global<u32> = Global::new(0);
/// Length of one CPU's row in `COUNTERS`: the number of series, and 1 since series 0 is none.
#[unsafe(no_mangle)]
pub static SERIES_PER_CPU: Global<u32> = Global::new(0);

/// The number of the call that `preemption_test` runs long in.
#[unsafe(no_mangle)]
pub static PREEMPTION_TEST_NR: Global<i64> = Global::new(-1);

/// Position of each call by (ABI, number); 0 for the numbers that the ABI does not know.
#[unsafe(no_mangle)]
static POSITIONS: [u16; POSITION_TABLE_LEN] = [0; POSITION_TABLE_LEN];

/// The table's entry, or `None` outside the table.
#[inline(always)]
pub fn position(index: usize) -> Option<u32> {
    let entry = POSITIONS.get(index)?;
    // SAFETY: a reference into a live static; volatile because user space replaces its initial value.
    Some(u32::from(unsafe { read_volatile(entry) }))
}
