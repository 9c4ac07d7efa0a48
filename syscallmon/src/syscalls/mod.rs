//! Syscall numbers: one table per ABI and one of io_uring's operations, and a dense id for each entry.
//!
//! Defines the numbering that kernel and user space share: a [`CallId`] is the position of a call in a cgroup's row of
//! the kernel's index. Does not depend on the running kernel. All other modules get names here.

pub mod arguments;
pub mod errno;
mod harmless;
pub mod names;
pub mod runtime_default;
pub mod saved;
pub mod sets;
mod siblings;
mod table;

use std::{collections::BTreeSet, ops::Range};

use serde::{Deserialize, Serialize, Serializer};
use syscallmon_common::{
    Abi, NUMBERS_PER_ABI, POSITION_ARGUMENTS, POSITION_FORKS, POSITION_NO_ANSWER, POSITION_TABLE_LEN, POSITION_TIMED,
    POSITIONS_PER_CGROUP,
};

/// The label `syscall` of a number that its ABI does not have.
pub const UNKNOWN: &str = "unknown";

pub use self::{
    arguments::ArgumentClasses,
    harmless::HARMLESS,
    siblings::{sibling_arguments, siblings},
};
use arguments::{ClassedCall, KernelRules};

/// The Linux release whose headers the tables come from.
pub use table::LINUX_VERSION;

/// A call that is counted separately: an (ABI, syscall) pair, an ABI's unknown numbers, or a [class of
/// arguments](arguments) of a pair.
///
/// The value of a pair is a position in the rows of the kernel's index, below [`POSITIONS_PER_CGROUP`]. Classes have
/// the values after those of all pairs. A value is valid only with the [`CallTable`] that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u16);

/// An errno by its number. All numbers without a name are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "u16", into = "u16")]
pub struct Errno(u16);

impl From<u16> for Errno {
    fn from(number: u16) -> Self {
        Self::new(number)
    }
}

impl From<Errno> for u16 {
    fn from(errno: Errno) -> Self {
        errno.0
    }
}

impl Errno {
    /// Converts a number.
    #[must_use]
    pub fn new(number: u16) -> Self {
        Self(errno::name(number).map_or(0, |_| number))
    }

    /// Returns the kernel's name, or [`UNKNOWN`].
    #[must_use]
    pub fn name(self) -> &'static str {
        errno::name(self.0).unwrap_or(UNKNOWN)
    }
}

/// The name of a call, as in the labels `abi` and `syscall`. JSON of a class of arguments has the label `argument`,
/// too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// `x86_64`, `ia32`, `x32`, `aarch64` or `aarch32`; [`IO_URING`] for an operation of io_uring.
    pub abi: &'static str,
    /// The kernel's name of the syscall or operation, or [`UNKNOWN`]. A class of arguments has a name such as
    /// `socket(AF_ALG)`.
    pub syscall: &'static str,
}

impl Call {
    /// The name without the argument of a class.
    #[must_use]
    pub fn name(&self) -> &'static str {
        split_argument(self.syscall).0
    }

    /// The name for messages. Other arguments than those with a class of their own are not worth a word.
    #[must_use]
    pub fn text(&self) -> &'static str {
        if self.argument() == arguments::OTHER { self.name() } else { self.syscall }
    }

    /// The argument of a class; empty for calls.
    #[must_use]
    pub fn argument(&self) -> &'static str {
        split_argument(self.syscall).1
    }

    /// Whether it belongs to an architecture's own ABI.
    #[must_use]
    pub fn is_native(&self) -> bool {
        matches!(self.abi, "x86_64" | "aarch64")
    }
}

impl Serialize for Call {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Parts {
            abi: &'static str,
            syscall: &'static str,
            #[serde(skip_serializing_if = "str::is_empty")]
            argument: &'static str,
        }
        Parts { abi: self.abi, syscall: self.name(), argument: self.argument() }.serialize(serializer)
    }
}

/// Splits `socket(AF_ALG)` into the call and its argument, which is empty for a call alone.
#[must_use]
pub fn split_argument(name: &str) -> (&str, &str) {
    let parts = name.strip_suffix(')').and_then(|name| name.split_once('('));
    // `(remainder)` is a name.
    parts.filter(|(call, _)| !call.is_empty()).unwrap_or((name, ""))
}

/// The calls of one architecture's kernel.
#[derive(Clone, Debug)]
pub struct CallTable {
    abis: [Option<&'static str>; Abi::COUNT],
    /// All calls, then all classes of arguments.
    calls: Vec<Call>,
    /// Number of calls without the classes.
    len: usize,
    classed: Vec<ClassedCall>,
    positions: Vec<u16>,
}

/// The tables of the kernel side that a [`CallTable`] determines.
#[derive(Clone, Debug)]
pub struct KernelTables {
    /// See [`CallTable::positions`].
    pub positions: Vec<u16>,
    /// Rules of classes of arguments.
    pub arguments: KernelRules,
}

/// Calls that create a task.
const FORKS: [&str; 4] = ["clone", "clone3", "fork", "vfork"];

/// Calls that a probe puts into a program. They return the result of the program's own function.
const NO_ANSWER: [&str; 2] = ["uprobe", "uretprobe"];

/// A table of (number, name), sorted by number.
type Numbers = &'static [(u16, &'static str)];

/// Stands for the ABI of an io_uring operation, which is not a system call.
pub const IO_URING: &str = "io_uring";

const IO_URING_OPERATIONS: Option<(&str, Numbers)> = Some((IO_URING, table::io_uring::TABLE));

impl CallTable {
    /// Returns the table of the architecture of this binary.
    #[must_use]
    pub fn native() -> Self {
        if cfg!(target_arch = "aarch64") { Self::aarch64() } else { Self::x86_64() }
    }

    /// Returns the table with x86_64, ia32 and x32.
    #[must_use]
    pub fn x86_64() -> Self {
        Self::new([
            Some(("x86_64", table::x86_64::TABLE)),
            Some(("ia32", table::ia32::TABLE)),
            Some(("x32", table::x32::TABLE)),
            IO_URING_OPERATIONS,
        ])
    }

    /// Returns the table with aarch64 and aarch32.
    #[must_use]
    pub fn aarch64() -> Self {
        Self::new([
            Some(("aarch64", table::aarch64::TABLE)),
            Some(("aarch32", table::aarch32::TABLE)),
            None,
            IO_URING_OPERATIONS,
        ])
    }

    /// Assigns the positions: first each ABI's unknown numbers, then the known calls in order.
    fn new(tables: [Option<(&'static str, Numbers)>; Abi::COUNT]) -> Self {
        let native = tables[0].map_or("", |(name, _)| name);
        let mut calls: Vec<Call> =
            tables.iter().map(|table| Call { abi: table.map_or(native, |(name, _)| name), syscall: UNKNOWN }).collect();
        let mut positions = vec![0; POSITION_TABLE_LEN];
        for (abi, table) in Abi::ALL.into_iter().zip(&tables) {
            let row = &mut positions[abi as usize * NUMBERS_PER_ABI..][..NUMBERS_PER_ABI];
            // An ABI that the architecture lacks: its numbers count as unknown ones of the native ABI.
            row.fill(if table.is_some() { abi as u16 } else { Abi::Native as u16 });
            for &(number, syscall) in table.map_or(&[] as Numbers, |(_, numbers)| numbers) {
                row[usize::from(number)] = u16::try_from(calls.len()).expect("fewer than 65,536 calls");
                calls.push(Call { abi: table.map_or(native, |(name, _)| name), syscall });
            }
        }
        assert!(calls.len() <= POSITIONS_PER_CGROUP, "syscallmon-common's POSITIONS_PER_CGROUP is too small");
        let len = calls.len();
        let (arguments, classed) = arguments::of_calls(&calls);
        calls.extend(arguments);
        Self { abis: tables.map(|table| table.map(|(name, _)| name)), calls, len, classed, positions }
    }

    /// Returns the table for the kernel side: the position of each (ABI, number), [`POSITION_TABLE_LEN`] entries, with
    /// the flags [`POSITION_TIMED`] for these calls, [`POSITION_FORKS`] for calls that create a task, and
    /// [`POSITION_NO_ANSWER`] for calls with a result that is not from the kernel, and [`POSITION_ARGUMENTS`] for calls
    /// whose arguments have classes.
    #[must_use]
    pub fn positions(&self, timed: &BTreeSet<CallId>) -> Vec<u16> {
        let all =
            |names: &[&'static str]| -> BTreeSet<CallId> { names.iter().flat_map(|name| self.named(name)).collect() };
        let (forks, no_answer) = (all(&FORKS), all(&NO_ANSWER));
        let classed = self.classed.iter().map(|classed| classed.call).collect();
        let flag = |set: &BTreeSet<CallId>, position, flag| if set.contains(&CallId(position)) { flag } else { 0 };
        let flags = |position| {
            flag(timed, position, POSITION_TIMED)
                | flag(&forks, position, POSITION_FORKS)
                | flag(&no_answer, position, POSITION_NO_ANSWER)
                | flag(&classed, position, POSITION_ARGUMENTS)
        };
        self.positions.iter().map(|&position| position | flags(position)).collect()
    }

    /// Returns the tables for the kernel side, and the rules of classes of arguments, with the same options.
    #[must_use]
    pub fn kernel_tables(&self, timed: &BTreeSet<CallId>, classes: ArgumentClasses) -> KernelTables {
        KernelTables { positions: self.positions(timed), arguments: arguments::kernel_rules(&self.classed, classes) }
    }

    /// Returns the system calls with a name, in every ABI that has it.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = CallId> + 'a {
        let named = move |call: &Call| call.syscall == name && call.abi != IO_URING && name != UNKNOWN;
        (0..).zip(&self.calls).filter(move |(_, call)| named(call)).map(|(id, _)| CallId(id))
    }

    /// Returns the call of an ABI, or operation of io_uring, with this name.
    #[must_use]
    pub fn id(&self, abi: &str, syscall: &str) -> Option<CallId> {
        self.all().find(|(_, call)| call.abi == abi && call.syscall == syscall).map(|(id, _)| id)
    }

    /// Returns the name of a call. An id that is not in this table is [`UNKNOWN`] in the native ABI.
    #[must_use]
    pub fn call(&self, id: CallId) -> Call {
        self.calls.get(usize::from(id.0)).copied().unwrap_or(self.calls[Abi::Native as usize])
    }

    /// Returns every call in the order of ids. Each ABI's unknown numbers come first.
    pub fn iter(&self) -> impl Iterator<Item = (CallId, Call)> {
        self.all().take(self.len)
    }

    /// Returns every call in the order of ids, and then every class of arguments.
    pub fn all(&self) -> impl Iterator<Item = (CallId, Call)> {
        (0..).map(CallId).zip(self.calls.iter().copied())
    }

    /// Whether an id is that of a class of arguments.
    #[must_use]
    pub fn is_class(&self, id: CallId) -> bool {
        usize::from(id.0) >= self.len
    }

    /// Returns the classes of a call's arguments; none for most calls.
    pub fn classes(&self, call: CallId) -> impl Iterator<Item = CallId> + use<> {
        self.class_ids(call).map(CallId)
    }

    /// Returns the range of their ids.
    #[must_use]
    pub fn class_ids(&self, call: CallId) -> Range<u16> {
        self.classed(call).map_or(0..0, |classed| classed.classes.clone())
    }

    /// Returns the call of a class of arguments. A call is its own.
    #[must_use]
    pub fn call_of_class(&self, id: CallId) -> CallId {
        let index = self.classed.partition_point(|classed| classed.classes.end <= id.0);
        self.classed.get(index).filter(|classed| classed.classes.contains(&id.0)).map_or(id, |classed| classed.call)
    }

    /// Returns arguments in registers that are of one class only; none if the arguments are in memory.
    #[must_use]
    pub fn examples(&self, class: CallId) -> Vec<[u64; 6]> {
        let classed = self.classed(self.call_of_class(class));
        classed.map(|classed| classed.examples(self.call(class).argument())).unwrap_or_default()
    }

    /// Whether every call of this name has a class of arguments.
    #[must_use]
    pub fn is_always_classed(&self, call: CallId) -> bool {
        self.classed(call).is_some_and(ClassedCall::is_complete)
    }

    fn classed(&self, call: CallId) -> Option<&ClassedCall> {
        self.classed.binary_search_by_key(&call, |classed| classed.call).ok().map(|index| &self.classed[index])
    }

    /// Returns the name of the architecture's own ABI.
    #[must_use]
    pub fn native_abi(&self) -> &'static str {
        self.calls[Abi::Native as usize].abi
    }

    /// Returns the call of a number in an ABI; the number is without x32's bit.
    #[must_use]
    pub fn resolve(&self, abi: Abi, number: u64) -> Call {
        self.call(self.position(abi, number))
    }

    /// Does the same by the ABI's id.
    #[must_use]
    pub fn position(&self, abi: Abi, number: u64) -> CallId {
        let index = usize::try_from(number).ok().filter(|&number| number < NUMBERS_PER_ABI);
        CallId(index.map_or(abi as u16, |number| self.positions[abi as usize * NUMBERS_PER_ABI + number]))
    }

    /// Returns what the kernel side reports: the class of arguments, if there is one and it belongs to the call.
    #[must_use]
    pub fn reported(&self, abi: Abi, number: u64, class: Option<CallId>) -> CallId {
        let call = self.position(abi, number);
        class.filter(|&class| self.is_class(class) && self.call_of_class(class) == call).unwrap_or(call)
    }

    /// Returns the names of the architecture's ABIs.
    pub fn abis(&self) -> impl Iterator<Item = &'static str> {
        self.abis.iter().copied().flatten().filter(|&abi| abi != IO_URING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_means_different_calls_in_different_abis() {
        let table = CallTable::x86_64();
        let name = |abi, number| table.resolve(abi, number);
        assert_eq!(name(Abi::Native, 20), Call { abi: "x86_64", syscall: "writev" });
        assert_eq!(name(Abi::Compat, 20), Call { abi: "ia32", syscall: "getpid" });
        assert_eq!(name(Abi::X32, 39), Call { abi: "x32", syscall: "getpid" });
        assert_eq!(name(Abi::X32, 547), Call { abi: "x32", syscall: "pwritev2" });
        assert_eq!(CallTable::aarch64().resolve(Abi::Native, 172), Call { abi: "aarch64", syscall: "getpid" });
        assert_eq!(CallTable::aarch64().resolve(Abi::Compat, 20), Call { abi: "aarch32", syscall: "getpid" });
    }

    #[test]
    fn operations_of_io_uring_have_a_table_of_their_own() {
        for table in [CallTable::x86_64(), CallTable::aarch64()] {
            let name = |opcode| table.resolve(Abi::IoUring, opcode);
            assert_eq!(name(18), Call { abi: IO_URING, syscall: "openat" });
            assert_eq!(name(250), Call { abi: IO_URING, syscall: UNKNOWN });
        }
    }

    #[test]
    fn a_call_is_found_by_abi_and_name() {
        let table = CallTable::x86_64();
        for (id, Call { abi, syscall }) in table.iter() {
            assert_eq!(table.id(abi, syscall), Some(id), "{abi}/{syscall}");
        }
        assert_eq!((table.id("x86_64", "opennat"), table.id("aarch64", "openat")), (None, None));
    }

    #[test]
    fn numbers_that_no_table_has_are_unknown_in_their_own_abi() {
        let table = CallTable::x86_64();
        for number in [400, 512, 575, 576, 9999, u64::MAX] {
            assert_eq!(table.resolve(Abi::Native, number), Call { abi: "x86_64", syscall: UNKNOWN }, "{number}");
        }
        assert_eq!(table.resolve(Abi::Compat, 570), Call { abi: "ia32", syscall: UNKNOWN });
        assert_eq!(table.resolve(Abi::X32, 548), Call { abi: "x32", syscall: UNKNOWN });
    }

    #[test]
    fn calls_of_the_newest_kernels_have_names() {
        for table in [CallTable::x86_64(), CallTable::aarch64()] {
            for (number, syscall) in [(463, "setxattrat"), (467, "open_tree_attr"), (468, "file_getattr")] {
                assert_eq!(table.resolve(Abi::Native, number).syscall, syscall);
            }
        }
        assert_eq!(CallTable::x86_64().resolve(Abi::Native, 335).syscall, "uretprobe");
    }

    #[test]
    fn an_architecture_without_x32_counts_its_numbers_as_native_unknowns() {
        let table = CallTable::aarch64();
        assert_eq!(table.resolve(Abi::X32, 39), Call { abi: "aarch64", syscall: UNKNOWN });
        assert_eq!(table.abis().collect::<Vec<_>>(), ["aarch64", "aarch32"]);
    }

    #[test]
    fn calls_of_a_name_are_marked_in_every_abi() {
        let table = CallTable::x86_64();
        let timed: BTreeSet<CallId> = table.named("openat").collect();
        assert_eq!(timed.len(), 3, "x86_64, ia32 and x32, but no operation of io_uring");
        let positions = table.positions(&timed);
        let entry = |abi: Abi, number: usize| positions[abi as usize * NUMBERS_PER_ABI + number];
        assert_ne!(entry(Abi::Native, 257) & POSITION_TIMED, 0);
        assert_ne!(entry(Abi::Compat, 295) & POSITION_TIMED, 0);
        assert_eq!(entry(Abi::IoUring, 18) & POSITION_TIMED, 0);
        let forks = [57, 58, 56, 435, 39].map(|number| entry(Abi::Native, number) & POSITION_FORKS != 0);
        assert_eq!(forks, [true, true, true, true, false], "fork, vfork, clone, clone3, getpid");
        assert_ne!(entry(Abi::Native, 335) & POSITION_NO_ANSWER, 0, "uretprobe");
    }

    #[test]
    fn errnos_without_a_name_are_one() {
        assert_eq!((Errno::new(11).name(), Errno::new(500).name()), ("EAGAIN", UNKNOWN));
        assert_eq!(Errno::new(500), Errno::new(450));
    }

    #[test]
    fn every_known_call_has_a_position_of_its_own() {
        for table in [CallTable::x86_64(), CallTable::aarch64()] {
            let mut known: Vec<u16> =
                table.positions.iter().copied().filter(|&p| usize::from(p) >= Abi::COUNT).collect();
            let count = known.len();
            known.sort_unstable();
            known.dedup();
            assert_eq!(known.len(), count);
            assert_eq!(table.iter().count(), count + Abi::COUNT);
        }
    }
}
