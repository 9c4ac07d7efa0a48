//! Read-only globals that user space sets before it loads the programs: the rows of [`syscallmon_common::globals`].
//!
//! Their map is frozen, so the verifier treats each value as a constant. Offsets from the kernel's BTF cost as little
//! as compiled ones, and the verifier removes branches on them.

use core::ptr::read_volatile;

use aya_ebpf::Global;
use syscallmon_common::{POSITION_TABLE_LEN, UNKNOWN_OFFSET};

macro_rules! declare {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $initial:expr;)*) => {
        $($(#[$doc])* #[unsafe(no_mangle)] pub static $name: Global<$type> = Global::new($initial);)*
    };
}

syscallmon_common::globals!(declare);

/// Position and flags of each (ABI, number). Unknown numbers have the position of their ABI's unknown calls.
#[unsafe(no_mangle)]
static POSITIONS: [u16; POSITION_TABLE_LEN] = [0; POSITION_TABLE_LEN];

/// Returns an entry of the table.
///
/// # Safety
///
/// The index must be below [`POSITION_TABLE_LEN`].
#[inline(always)]
pub unsafe fn position_entry(index: usize) -> u16 {
    // SAFETY: the caller keeps the index inside. Volatile, because user space replaces the initial values.
    unsafe { read_volatile(POSITIONS.as_ptr().add(index)) }
}
