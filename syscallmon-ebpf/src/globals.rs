//! Read-only globals that user space sets before it loads the programs: the rows of [`syscallmon_common::globals`].
//!
//! Their map is frozen, so the verifier treats each value as a constant. Offsets from the kernel's BTF cost as little
//! as compiled ones, and the verifier removes branches on them.

use core::{arch::asm, ptr::read_volatile};

use aya_ebpf::Global;
use syscallmon_common::{
    ARGUMENT_CALLS_LEN, ARGUMENT_RULES_LEN, ArgumentCall, ArgumentRule, POSITION_MASK, POSITION_TABLE_LEN,
    UNKNOWN_OFFSET,
};

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

/// Entries of [`ARGUMENT_CALL_OF`]: one for each value of a position.
const POSITIONS_LEN: usize = POSITION_MASK as usize + 1;

/// The entry of [`ARGUMENT_CALLS`] for each position; 0 for calls whose arguments have no classes.
#[unsafe(no_mangle)]
static ARGUMENT_CALL_OF: [u8; POSITIONS_LEN] = [0; POSITIONS_LEN];

/// The calls whose arguments have classes.
#[unsafe(no_mangle)]
static ARGUMENT_CALLS: [ArgumentCall; ARGUMENT_CALLS_LEN] = {
    const UNUSED: ArgumentCall = ArgumentCall { first: 0, rules: 0, classes: 0, source: 0 };
    [UNUSED; ARGUMENT_CALLS_LEN]
};

/// The rules of all these calls.
#[unsafe(no_mangle)]
static ARGUMENT_RULES: [ArgumentRule; ARGUMENT_RULES_LEN] = {
    const UNUSED: ArgumentRule = ArgumentRule {
        mask: 0,
        value: 0,
        second_mask: 0,
        second_value: 0,
        argument: 0,
        second: 0,
        class: 0,
        flags: 0,
        unreadable: 0,
    };
    [UNUSED; ARGUMENT_RULES_LEN]
};

/// Returns the entry of the call at a position.
#[inline(always)]
pub fn argument_call(position: u32) -> ArgumentCall {
    let position = bounded::<{ POSITIONS_LEN as i32 - 1 }>(u64::from(position));
    // SAFETY: the index is masked to the length. Volatile, because user space replaces the initial values.
    let number = unsafe { read_volatile(ARGUMENT_CALL_OF.as_ptr().add(position)) };
    let number = bounded::<{ ARGUMENT_CALLS_LEN as i32 - 1 }>(u64::from(number));
    // SAFETY: as above.
    unsafe { read_volatile(ARGUMENT_CALLS.as_ptr().add(number)) }
}

/// Returns a rule.
#[inline(always)]
pub fn argument_rule(number: u64) -> ArgumentRule {
    let number = bounded::<{ ARGUMENT_RULES_LEN as i32 - 1 }>(number);
    // SAFETY: as above.
    unsafe { read_volatile(ARGUMENT_RULES.as_ptr().add(number)) }
}

/// Masks a number, in a way that every verifier understands.
///
/// Before Linux 6.8, the verifier learns too little from a 32-bit comparison or from a comparison of a copy. The
/// compiler generates both.
#[inline(always)]
pub fn bounded<const MASK: i32>(number: u64) -> usize {
    let mut index = number;
    // SAFETY: one instruction, on one register.
    unsafe {
        asm!("{0} &= {1}", inout(reg) index, const MASK, options(pure, nomem, nostack, preserves_flags));
    }
    index as usize
}
