//! What a number means: its ABI, and its entry in the position table.

use core::arch::asm;

use syscallmon_common::{Abi, NUMBERS_PER_ABI, POSITION_FORKS, POSITION_MASK, POSITION_TIMED, X32_BIT};

use crate::{globals::position_entry, task::Task};

/// A number of an ABI's table.
#[derive(Clone, Copy)]
pub struct Numbered {
    pub abi: Abi,
    pub entry: Entry,
}

/// An entry of the position table.
#[derive(Clone, Copy)]
pub struct Entry(u16);

impl Entry {
    /// The position in a cgroup's row.
    #[inline(always)]
    pub fn position(self) -> u32 {
        u32::from(self.0 & POSITION_MASK)
    }

    /// Whether it is measured how long the call takes.
    #[inline(always)]
    pub fn is_timed(self) -> bool {
        self.0 & POSITION_TIMED != 0
    }

    /// Whether the call makes a task, which returns from it too.
    #[inline(always)]
    pub fn forks(self) -> bool {
        self.0 & POSITION_FORKS != 0
    }
}

/// The number of the call that a task is in, as the kernel reports it.
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

/// A number that registers have as 32 bits.
///
/// The compiler must not know: it would compare 32 bits of it, from which verifiers before Linux 6.8 conclude nothing for all 64.
#[inline(always)]
pub fn sign_extended(nr: i32) -> i64 {
    let mut nr = i64::from(nr);
    // SAFETY: copies a register to itself. (With no instruction at all, the object has two lines at one place, which kernels refuse.)
    unsafe { asm!("{0} = {0}", inout(reg) nr, options(pure, nomem, nostack, preserves_flags)) };
    nr
}

/// An operation of io_uring.
#[inline(always)]
pub fn of_operation(opcode: u8) -> Numbered {
    of(Abi::IoUring, u64::from(opcode))
}

#[inline(always)]
fn of(abi: Abi, number: u64) -> Numbered {
    let known = if number < NUMBERS_PER_ABI as u64 {
        position_entry(abi as usize * NUMBERS_PER_ABI + number as usize)
    } else {
        None
    };
    Numbered { abi, entry: Entry(known.unwrap_or(abi.unknown_position() as u16)) }
}
