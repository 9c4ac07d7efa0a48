//! Read-only globals that user space sets before it loads the programs: the rows of [`syscallmon_common::globals`].
//!
//! The map behind them is frozen, so the verifier treats each value as a constant: offsets read from
//! the kernel's BTF cost as little as compiled ones, and branches on them vanish.

use core::ptr::read_volatile;

use aya_ebpf::Global;
use syscallmon_common::{POSITION_TABLE_LEN, UNKNOWN_OFFSET};

macro_rules! declare {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $initial:expr;)*) => {
        $($(#[$doc])* #[unsafe(no_mangle)] pub static $name: Global<$type> = Global::new($initial);)*
    };
}

syscallmon_common::globals!(declare);

/// By (ABI, number): the position of the call, that of its ABI's unknown calls for numbers that the ABI does not know,
/// and flags.
#[unsafe(no_mangle)]
static POSITIONS: [u16; POSITION_TABLE_LEN] = [0; POSITION_TABLE_LEN];

/// The table's entry.
///
/// # Safety
///
/// The index must be below [`POSITION_TABLE_LEN`].
#[inline(always)]
pub unsafe fn position_entry(index: usize) -> u16 {
    // SAFETY: inside, as the caller says; volatile because user space replaces the initial values.
    unsafe { read_volatile(POSITIONS.as_ptr().add(index)) }
}
