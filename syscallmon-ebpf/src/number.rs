//! Decodes a call's number: its ABI, and its entry in the position table.

use syscallmon_common::{
    Abi, NUMBERS_PER_ABI, POSITION_ARGUMENTS, POSITION_FORKS, POSITION_MASK, POSITION_NO_ANSWER, POSITION_TIMED,
    X32_BIT,
};

use crate::{
    globals::{bounded, position_entry},
    task::Task,
};

/// The highest number of a table, and the mask of its numbers.
const LAST_NUMBER: i32 = NUMBERS_PER_ABI as i32 - 1;

/// A number in an ABI's table.
#[derive(Clone, Copy)]
pub struct Numbered {
    pub abi: Abi,
    pub entry: PositionEntry,
}

/// An entry of the position table.
#[derive(Clone, Copy)]
pub struct PositionEntry(u16);

impl PositionEntry {
    /// The position in a cgroup's row.
    #[inline(always)]
    pub fn position(self) -> u32 {
        u32::from(self.0 & POSITION_MASK)
    }

    /// Whether the duration of the call is measured.
    #[inline(always)]
    pub fn is_timed(self) -> bool {
        self.0 & POSITION_TIMED != 0
    }

    /// Whether the arguments of the call have classes.
    #[inline(always)]
    pub fn has_classes(self) -> bool {
        self.0 & POSITION_ARGUMENTS != 0
    }

    /// Whether the kernel answers the call with a result or an error.
    #[inline(always)]
    pub fn answers(self) -> bool {
        self.0 & POSITION_NO_ANSWER == 0
    }

    /// Whether the call creates a task, which also returns from it.
    #[inline(always)]
    pub fn forks(self) -> bool {
        self.0 & POSITION_FORKS != 0
    }
}

/// Returns the number of a task's current call, as the kernel reports it.
#[inline(always)]
pub fn of_call(task: impl Task, nr: i64) -> Numbered {
    let nr = nr as u64;
    if task.is_compat() {
        of(Abi::Compat, nr)
    } else if nr.wrapping_sub(X32_BIT) < NUMBERS_PER_ABI as u64 {
        of(Abi::X32, nr - X32_BIT)
    } else {
        of(Abi::Native, nr)
    }
}

/// An operation of io_uring.
#[inline(always)]
pub fn of_operation(opcode: u8) -> Numbered {
    of(Abi::IoUring, u64::from(opcode))
}

#[inline(always)]
fn of(abi: Abi, number: u64) -> Numbered {
    let known = number < NUMBERS_PER_ABI as u64;
    // SAFETY: each ABI has this many entries.
    let entry =
        known.then(|| unsafe { position_entry(abi as usize * NUMBERS_PER_ABI + bounded::<LAST_NUMBER>(number)) });
    Numbered { abi, entry: PositionEntry(entry.unwrap_or(abi.unknown_position() as u16)) }
}
