//! Counts the classes of a call's arguments, such as the address family of `socket` and the namespaces of `unshare`.
//!
//! The call itself is counted in its series as all calls are. A call whose entry in the position table has a flag is
//! counted again, in the series of each class of its arguments. User space defines the classes by rules, so the number
//! of series does not depend on the values that a program passes. Other calls pay for one test of a bit.
//!
//! Arguments in user memory are read at `sys_enter` too. Another thread can change them during the call, so such
//! classes tell what the memory contained then, and do not prove what the kernel did.

use core::arch::asm;

use aya_ebpf::{
    helpers::bpf_probe_read_user,
    programs::{BtfTracePointContext, RawTracePointContext, TracePointContext},
};
use syscallmon_common::{
    Abi, ArgumentCall, MAX_RULES_PER_CALL, OUTCOME_ARGUMENT, OUTCOME_ARGUMENT_DENIED, RULE_CONTINUES, RULE_IS_REST,
    SOURCE_CLONE3, SOURCE_IO_URING_SETUP, SOURCE_OLD_MMAP, SOURCE_SOCKETCALL, SeriesKey,
};

use crate::{
    allocate::{self, Call, known},
    container_init,
    counter::one_more,
    denied,
    globals::{
        OFFSET_REGS_ARGUMENT_0, OFFSET_REGS_ARGUMENT_0_AT_EXIT, OFFSET_REGS_ARGUMENT_1, OFFSET_REGS_ARGUMENT_2,
        OFFSET_REGS_ARGUMENT_3, OFFSET_REGS_COMPAT_0, OFFSET_REGS_COMPAT_0_AT_EXIT, OFFSET_REGS_COMPAT_1,
        OFFSET_REGS_COMPAT_2, OFFSET_REGS_COMPAT_3, argument_call, argument_rule,
    },
    maps::ARGUMENTS,
    task::{field, typed, word_of},
};

/// Maximum classes of one call. A call has one for each namespace flag.
const MAX_CLASSES_PER_CALL: u32 = 12;

/// `SYS_SOCKET` of `include/uapi/linux/net.h`.
const SYS_SOCKET: u64 = 1;

/// The first four arguments of a call.
pub type Arguments = [u64; 4];

/// The data of `sys_enter`.
pub trait Enter {
    /// The arguments of the call.
    fn arguments(&self, abi: Abi) -> Arguments;
}

/// `struct pt_regs *regs, long id`, as BTF pointers.
impl Enter for BtfTracePointContext {
    #[inline(always)]
    fn arguments(&self, abi: Abi) -> Arguments {
        let registers: *const u8 = self.arg(0);
        of_registers(abi, false, |offset| typed(registers, offset))
    }
}

/// The same arguments as numbers.
impl Enter for RawTracePointContext {
    #[inline(always)]
    fn arguments(&self, abi: Abi) -> Arguments {
        let registers: *const u8 = self.arg(0);
        of_registers(abi, false, |offset| field(registers, offset).unwrap_or(0))
    }
}

/// `long id, unsigned long args[6]` after the common fields, in every kernel (`events/raw_syscalls/sys_enter/format`).
impl Enter for TracePointContext {
    #[inline(always)]
    fn arguments(&self, abi: Abi) -> Arguments {
        let words = [word_of(self, 16), word_of(self, 24), word_of(self, 32), word_of(self, 40)];
        of_abi(abi, words.map(|word| word as u64))
    }
}

/// Returns the arguments of a call that ends, from the registers with which it entered the kernel. They do not change
/// during the call, except argument 0 on arm64, which the kernel keeps elsewhere.
#[inline(always)]
pub fn at_exit(abi: Abi, read: impl Fn(u64) -> u64) -> Arguments {
    of_registers(abi, true, read)
}

#[inline(always)]
fn of_registers(abi: Abi, at_exit: bool, read: impl Fn(u64) -> u64) -> Arguments {
    if is_compat(abi) {
        let first = if at_exit { OFFSET_REGS_COMPAT_0_AT_EXIT.load() } else { OFFSET_REGS_COMPAT_0.load() };
        let [second, third] = [OFFSET_REGS_COMPAT_1.load(), OFFSET_REGS_COMPAT_2.load()];
        of_abi(abi, [read(first), read(second), read(third), read(OFFSET_REGS_COMPAT_3.load())])
    } else {
        let first = if at_exit { OFFSET_REGS_ARGUMENT_0_AT_EXIT.load() } else { OFFSET_REGS_ARGUMENT_0.load() };
        let [second, third] = [OFFSET_REGS_ARGUMENT_1.load(), OFFSET_REGS_ARGUMENT_2.load()];
        [read(first), read(second), read(third), read(OFFSET_REGS_ARGUMENT_3.load())]
    }
}

#[inline(always)]
fn is_compat(abi: Abi) -> bool {
    abi as u32 == Abi::Compat as u32
}

/// Arguments of 32-bit calls have 32 bits, whatever is above them in the registers.
#[inline(always)]
fn of_abi(abi: Abi, arguments: Arguments) -> Arguments {
    if is_compat(abi) { arguments.map(|argument| argument & 0xffff_ffff) } else { arguments }
}

/// Counts the classes of a call that entered the kernel. `slot` is the call's slot, 0 for none; `call` has its position
/// and, above it, its ABI. Numbers instead of a struct keep the stack small: all frames together have 512 bytes.
#[inline(never)]
pub fn entered(ctx: &impl Enter, cgroup_id: u64, nr: i64, slot: u32, call: u64) {
    let (position, abi) = (call as u32, abi_of((call >> 32) as u32));
    count((cgroup_id, nr, slot), (position, abi), ctx.arguments(abi), OUTCOME_ARGUMENT);
}

/// Counts the classes of a call that seccomp denied. Inlined, because the verifier allows 8 frames.
#[inline(always)]
pub fn denied(call: &Call, slot: u32, arguments: Arguments) {
    let Call { cgroup_id, nr, abi, position, .. } = *call;
    count((cgroup_id, nr, slot), (position, abi), arguments, OUTCOME_ARGUMENT_DENIED);
}

/// Counts the classes of a call that seccomp denied by ending its thread.
#[inline(always)]
pub fn killed(call: &Call, slot: u32) {
    let Some(registers) = denied::registers() else { return };
    denied(call, slot, at_exit(call.abi, |offset| field(registers, offset).unwrap_or(0)));
}

/// Returns the ABI of a discriminant. io_uring has no classes.
#[inline(always)]
fn abi_of(abi: u32) -> Abi {
    match abi {
        0 => Abi::Native,
        1 => Abi::Compat,
        _ => Abi::X32,
    }
}

#[inline(always)]
fn count((cgroup_id, nr, slot): (u64, i64, u32), (position, abi): (u32, Abi), arguments: Arguments, outcome: u16) {
    let ArgumentCall { first, rules, classes, source } = argument_call(position);
    if rules == 0 {
        return;
    }
    let (arguments, is_readable) = with_memory(source, arguments);
    let [a, b, c, d] = arguments;
    // One word each, because every word that the loop keeps is on the stack.
    let first_key = u64::from(slot) | u64::from(classes) << 32 | u64::from(outcome) << 48;
    let mut state = u64::from(first) | (u64::from(first) + u64::from(rules)) << 16 | u64::from(!is_readable) << 32;
    for _ in 0..MAX_CLASSES_PER_CALL {
        state = next_rule(state, a, b, c, d);
        if state == NO_RULE {
            return;
        }
        let key = first_key.wrapping_add((state >> 48) << 32);
        // Container init is looked for here and not deeper, where no stack is left.
        if count_class(key) != 0 && (outcome != OUTCOME_ARGUMENT || !container_init::in_runtime_init()) {
            new_class(key, cgroup_id, nr, abi as u32);
        }
        if state & STATE_CONTINUES == 0 {
            return;
        }
    }
}

/// Replaces arguments that lead to user memory by what is there. Returns whether the memory could be read: it cannot
/// if it is invalid, and if the kernel would have to load it from disk first.
#[inline(always)]
fn with_memory(source: u16, arguments: Arguments) -> (Arguments, bool) {
    let [a, b, c, d] = arguments;
    match source {
        SOURCE_CLONE3 => from_user::<u64>(a).map_or((arguments, false), |flags| ([flags, b, c, d], true)),
        SOURCE_SOCKETCALL if a & 0xffff_ffff == SYS_SOCKET => {
            let Some([family, kind, protocol]) = from_user::<[u32; 3]>(b) else { return (arguments, false) };
            ([a, u64::from(family), u64::from(kind), u64::from(protocol)], true)
        }
        SOURCE_IO_URING_SETUP => {
            // `sq_entries`, `cq_entries`, `flags` of `include/uapi/linux/io_uring.h`.
            let Some([_, _, flags]) = from_user::<[u32; 3]>(b) else { return (arguments, false) };
            ([a, u64::from(flags), c, d], true)
        }
        SOURCE_OLD_MMAP => {
            // `addr`, `len`, `prot` of `arch/x86/kernel/sys_ia32.c`.
            let Some([_, _, prot]) = from_user::<[u32; 3]>(a) else { return (arguments, false) };
            ([a, b, u64::from(prot), d], true)
        }
        _ => (arguments, true),
    }
}

#[inline(always)]
fn from_user<T>(address: u64) -> Option<T> {
    // SAFETY: the kernel checks the read.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}

/// State of the search through the rules of a call: the next rule, the end of the rules from bit 16 on, whether the
/// memory is unreadable in bit 32, these flags, and the class of the rule that matched from bit 48 on.
const STATE_HAS_CLASS: u64 = 1 << 33;
const STATE_CONTINUES: u64 = 1 << 34;

/// No further rule matches.
const NO_RULE: u64 = u64::MAX;

/// Finds the next rule that matches the arguments of a call. Returns the new state. A global function: the verifier
/// checks it once for each program.
///
/// The verifier follows each branch in each round, so a rule is compared without branches.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn next_rule(state: u64, a: u64, b: u64, c: u64, d: u64) -> u64 {
    let (first, end) = (state & 0xffff, state >> 16 & 0xffff);
    let (is_unreadable, has_class) = (state >> 32 & 1, state >> 33 & 1);
    for index in 0..u64::from(MAX_RULES_PER_CALL) {
        let at = first + index;
        if at >= end {
            break;
        }
        let rule = argument_rule(at);
        let flags = u64::from(rule.flags);
        let is_rest = flags / u64::from(RULE_IS_REST) & 1;
        let is_excluded = (is_rest ^ 1) & (u64::from(rule.unreadable) ^ is_unreadable);
        let first_differs = one_of(rule.argument, [a, b, c, d]) & rule.mask ^ rule.value;
        let second_differs =
            one_of(rule.second, [a, b, c, d]) & u64::from(rule.second_mask) ^ u64::from(rule.second_value);
        let is_end = is_rest & has_class;
        // 0 if the rule matches, or if the search ends there.
        if (is_excluded | first_differs | second_differs) & is_end.wrapping_sub(1) == 0 {
            let flags = is_unreadable << 32 | STATE_HAS_CLASS | (flags & u64::from(RULE_CONTINUES)) << 34;
            let matched = (at + 1) | end << 16 | flags | u64::from(rule.class) << 48;
            return if is_end != 0 { NO_RULE } else { matched };
        }
    }
    NO_RULE
}

/// Returns the argument with this number, below 4, without a branch.
#[inline(always)]
fn one_of(number: u8, [a, b, c, d]: Arguments) -> u64 {
    let (odd, high) = (all_bits(u64::from(number) & 1), all_bits(u64::from(number) >> 1 & 1));
    let (low_pair, high_pair) = (a ^ (a ^ b) & odd, c ^ (c ^ d) & odd);
    low_pair ^ (low_pair ^ high_pair) & high
}

/// Returns 0 for 0, and a word of ones for 1, in a way that the compiler does not change into a branch.
#[inline(always)]
fn all_bits(bit: u64) -> u64 {
    let mut bits = bit;
    // SAFETY: one instruction, on one register.
    unsafe { asm!("{0} = -{0}", inout(reg) bits, options(pure, nomem, nostack, preserves_flags)) };
    bits
}

/// Counts a class of a call. `key` is a [`SeriesKey`] as a word, with the slot 0 for none. Returns 1 if it has no
/// series yet. A global function, as above.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn count_class(key: u64) -> u32 {
    let key = SeriesKey::from_word(key);
    match if key.slot == 0 { None } else { known(&ARGUMENTS, key) } {
        Some(series) => {
            one_more(series);
            0
        }
        None => 1,
    }
}

/// Counts a class that has no series yet. A global function, as above.
#[cold]
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn new_class(key: u64, cgroup_id: u64, nr: i64, abi: u32) -> u32 {
    let key = SeriesKey::from_word(key);
    let call = Call { cgroup_id, nr, abi: abi_of(abi), position: u32::from(key.position), is_class: true };
    if key.slot == 0 {
        allocate::argument_without_slot(&call, key.outcome);
    } else if let Some(series) = allocate::argument(&call, key) {
        one_more(series);
    }
    0
}
