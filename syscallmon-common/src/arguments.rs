//! Rules that give the arguments of a call their classes. User space fills the tables before it loads the programs.

#[cfg(feature = "bytes")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Entries of the table of calls with classes, for all ABIs; a power of two. Entry 0 is unused.
pub const ARGUMENT_CALLS_LEN: usize = 128;
/// Entries of the table of rules; a power of two.
pub const ARGUMENT_RULES_LEN: usize = 512;
/// Maximum rules of one call: the verifier follows the search through all of them.
pub const MAX_RULES_PER_CALL: u32 = 80;

/// A call whose arguments have classes: an entry of `ARGUMENT_CALLS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(FromBytes, Immutable, IntoBytes, KnownLayout))]
pub struct ArgumentCall {
    /// Its rules: the first in `ARGUMENT_RULES`, and their number.
    pub first: u16,
    /// Number of its rules, at most [`MAX_RULES_PER_CALL`].
    pub rules: u16,
    /// Position of the class 0 of the rules.
    pub classes: u16,
    /// Where its arguments are: one of the constants below, such as [`SOURCE_REGISTERS`].
    pub source: u16,
}

/// All arguments are in registers: [`ArgumentCall::source`].
pub const SOURCE_REGISTERS: u16 = 0;
/// Argument 0 leads to a `struct clone_args`, whose `flags` replace it: [`ArgumentCall::source`].
pub const SOURCE_CLONE3: u16 = 1;
/// Argument 1 leads to 32-bit arguments of a call of sockets. If that is `socket`, family, type and protocol replace
/// the arguments 1 to 3: [`ArgumentCall::source`].
pub const SOURCE_SOCKETCALL: u16 = 2;
/// Argument 1 leads to a `struct io_uring_params`, whose `flags` replace it: [`ArgumentCall::source`].
pub const SOURCE_IO_URING_SETUP: u16 = 3;
/// Argument 0 leads to a 32-bit `struct mmap_arg_struct`, whose `prot` becomes argument 2: [`ArgumentCall::source`].
pub const SOURCE_OLD_MMAP: u16 = 4;

/// A rule: calls whose arguments it matches are of its class. An entry of `ARGUMENT_RULES`.
///
/// A call has the class of the first rule that matches. A rule with [`RULE_CONTINUES`] is different: the rules after it
/// are tried too, so a call may have several classes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(FromBytes, Immutable, IntoBytes, KnownLayout))]
pub struct ArgumentRule {
    /// The bits of the first argument that are compared; 0 for none.
    pub mask: u64,
    /// Their value.
    pub value: u64,
    /// The bits of the second argument that are compared; 0 for none.
    pub second_mask: u32,
    /// Their value.
    pub second_value: u32,
    /// Number of the first argument, below 4; likewise the second.
    pub argument: u8,
    /// Number of the second argument.
    pub second: u8,
    /// The class, relative to [`ArgumentCall::classes`].
    pub class: u16,
    /// [`RULE_CONTINUES`] and [`RULE_IS_REST`].
    pub flags: u16,
    /// 1: matches only calls whose arguments in memory cannot be read. 0: matches only others.
    pub unreadable: u16,
}

/// After a match, the rules that follow are tried too: [`ArgumentRule::flags`].
pub const RULE_CONTINUES: u16 = 1;
/// Matches only if no rule before it does; otherwise, the search ends there: [`ArgumentRule::flags`].
pub const RULE_IS_REST: u16 = 2;
