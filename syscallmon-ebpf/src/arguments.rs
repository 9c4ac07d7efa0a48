//! Counts the classes of a call's arguments, such as the address family of `socket` and the namespaces of `unshare`.
//!
//! The call itself is counted in its series as all calls are. A call whose entry in the position table has a flag is
//! counted again, in the series of each class of its arguments. User space defines the classes by rules, so the number
//! of series does not depend on the values that a program passes. Other calls pay for one test of a bit.
//!
//! Arguments in user memory are read at `sys_enter` too. Another thread can change them during the call, so such
//! classes tell what the memory contained then, and do not prove what the kernel did.

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
    counter::one_more,
    denied,
    globals::{
        OFFSET_REGS_ARGUMENT_0, OFFSET_REGS_ARGUMENT_0_AT_EXIT, OFFSET_REGS_ARGUMENT_1, OFFSET_REGS_ARGUMENT_2,
        OFFSET_REGS_ARGUMENT_3, OFFSET_REGS_COMPAT_0, OFFSET_REGS_COMPAT_0_AT_EXIT, OFFSET_REGS_COMPAT_1,
        OFFSET_REGS_COMPAT_2, OFFSET_REGS_COMPAT_3, argument_call, argument_rule,
    },
    maps::ARGUMENTS,
    task::{field, typed},
    word_of,
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

/// Counts the classes of a call that entered the kernel. `slot` is the call's slot, 0 for none.
#[inline(never)]
pub fn entered(ctx: &impl Enter, call: &Call, slot: u32) {
    count(call, slot, ctx.arguments(call.abi), OUTCOME_ARGUMENT);
}

/// Counts the classes of a call that seccomp denied. Inlined, because the verifier allows 8 frames.
#[inline(always)]
pub fn denied(call: &Call, slot: u32, arguments: Arguments) {
    count(call, slot, arguments, OUTCOME_ARGUMENT_DENIED);
}

/// Counts the classes of a call that seccomp denied by ending its thread.
#[inline(always)]
pub fn killed(call: &Call, slot: u32) {
    let Some(registers) = denied::registers() else { return };
    denied(call, slot, at_exit(call.abi, |offset| field(registers, offset).unwrap_or(0)));
}

#[inline(always)]
fn count(call: &Call, slot: u32, arguments: Arguments, outcome: u16) {
    let ArgumentCall { first, rules, classes, source } = argument_call(call.position);
    if rules == 0 {
        return;
    }
    let (arguments, is_readable) = with_memory(source, arguments);
    let [a, b, c, d] = arguments;
    let (mut at, end) = (u64::from(first), u64::from(first) + u64::from(rules));
    let mut has_class = 0;
    for _ in 0..MAX_CLASSES_PER_CALL {
        let state = at | end << 16 | u64::from(!is_readable) << 32 | has_class << 33;
        let found = next_rule(state, a, b, c, d);
        if found == NO_RULE {
            return;
        }
        let (class, continues) = (found as u16, found >> 48 != 0);
        let class = u32::from(classes.wrapping_add(class));
        let abi = call.abi as u32;
        count_class(u64::from(slot) | u64::from(class) << 32, call.cgroup_id, call.nr, abi, u32::from(outcome));
        if !continues {
            return;
        }
        (at, has_class) = (found >> 16 & 0xffff, 1);
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

/// No further rule matches.
const NO_RULE: u64 = u64::MAX;

/// Finds the next rule that matches the arguments of a call. `state` has the first rule to try, the end of the rules,
/// whether memory is unreadable, and whether a rule before matched. Returns the rule's class, the rule after it, and
/// whether that may match too. A global function: the verifier checks it once for each program.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn next_rule(state: u64, a: u64, b: u64, c: u64, d: u64) -> u64 {
    let (first, end) = (state & 0xffff, state >> 16 & 0xffff);
    let (is_unreadable, has_class) = ((state >> 32 & 1) as u16, state >> 33 & 1);
    let argument = |number: u8| match number {
        0 => a,
        1 => b,
        2 => c,
        _ => d,
    };
    for index in 0..u64::from(MAX_RULES_PER_CALL) {
        let at = first + index;
        if at >= end {
            break;
        }
        let rule = argument_rule(at);
        if rule.unreadable != is_unreadable && rule.flags & RULE_IS_REST == 0 {
            continue;
        }
        if rule.flags & RULE_IS_REST != 0 && has_class != 0 {
            break;
        }
        if argument(rule.argument) & rule.mask == rule.value
            && argument(rule.second) as u32 & rule.second_mask == rule.second_value
        {
            let continues = u64::from(rule.flags & RULE_CONTINUES);
            return u64::from(rule.class) | (at + 1) << 16 | continues << 48;
        }
    }
    NO_RULE
}

/// Counts one class of a call. `slot_and_class` has the slot, 0 for none, and the position of the class. A global
/// function, as above.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn count_class(slot_and_class: u64, cgroup_id: u64, nr: i64, abi: u32, outcome: u32) -> u32 {
    let (slot, class, outcome) = (slot_and_class as u32, (slot_and_class >> 32) as u32, outcome as u16);
    let abi = match abi {
        0 => Abi::Native,
        1 => Abi::Compat,
        _ => Abi::X32,
    };
    let call = Call { cgroup_id, nr, abi, position: class, is_class: true };
    if slot == 0 {
        allocate::argument_without_slot(&call, outcome);
        return 0;
    }
    let key = SeriesKey { slot, position: class as u16, outcome };
    if let Some(series) = known(&ARGUMENTS, key).or_else(|| allocate::argument(&call, key)) {
        one_more(series);
    }
    0
}
