//! Classes of arguments: the table from which the kernel's rules, names of metrics and policies, and conditions of
//! profiles derive.
//!
//! A class has the name `call(ARGUMENT)`, as `socket(AF_ALG)`. It is a call with an id of its own, after the ids of all
//! calls. Numbers are those of the kernel's headers, which [`table`] names; a test compares them with libc's.

mod comparisons;
mod rule;
mod sockets;
mod table;

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::LazyLock,
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use syscallmon_common::{
    ARGUMENT_CALLS_LEN, ARGUMENT_RULES_LEN, ArgumentCall, ArgumentRule, MAX_RULES_PER_CALL, POSITION_MASK,
};

pub use self::rule::{Condition, Level, Rule};
use self::table::Classed;
use super::{Call, CallId, CallTable};

/// Which classes of arguments are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ArgumentClasses {
    /// None.
    None,
    /// Those that matter for security. Calls with other arguments are of the class `other`.
    #[default]
    Security,
    /// All that have a name.
    All,
}

impl ArgumentClasses {
    /// Whether rules of a level are used.
    fn has(self, level: Level) -> bool {
        match self {
            Self::None => false,
            Self::Security => level == Level::Security,
            Self::All => true,
        }
    }
}

/// The argument of calls that no rule matches.
pub const OTHER: &str = "other";
/// The argument of calls whose arguments are in memory that could not be read.
pub const UNREADABLE: &str = "unreadable";

/// The rules of all calls with classes, as the kernel side has them.
#[derive(Clone, Debug)]
pub struct KernelRules {
    /// The entry of `calls` for each position.
    pub call_of: Vec<u8>,
    /// Calls with classes.
    pub calls: Vec<ArgumentCall>,
    /// Their rules.
    pub rules: Vec<ArgumentRule>,
}

/// A call with classes, in a table of calls.
#[derive(Clone, Debug)]
pub(super) struct ClassedCall {
    /// The call.
    pub(super) call: CallId,
    /// The ids of its classes.
    pub(super) classes: Range<u16>,
    row: &'static Classed,
}

/// Names of classes, as `socket(AF_ALG)`, by call and argument. Made once: [`Call`] has names that live forever.
static NAMES: LazyLock<HashMap<(&'static str, &'static str), &'static str>> = LazyLock::new(|| {
    let calls = table::rows().iter().flat_map(|row| row.calls.iter().map(move |&call| (call, row)));
    let classes = calls.flat_map(|(call, row)| row.arguments().map(move |argument| (call, argument)));
    let name = |(call, argument)| ((call, argument), &*format!("{call}({argument})").leak());
    classes.collect::<BTreeSet<_>>().into_iter().map(name).collect()
});

/// Returns the classes of calls, as calls, and which call has which.
pub(super) fn of_calls(calls: &[Call]) -> (Vec<Call>, Vec<ClassedCall>) {
    let (mut classes, mut found) = (Vec::new(), Vec::new());
    for (id, &Call { abi, syscall }) in (0..).map(CallId).zip(calls) {
        let Some(row) = table::rows().iter().find(|row| row.calls.contains(&syscall) && row.is_of(abi)) else {
            continue;
        };
        let first = calls.len() + classes.len();
        classes.extend(row.arguments().map(|argument| Call { abi, syscall: NAMES[&(syscall, argument)] }));
        let range = [first, calls.len() + classes.len()].map(|id| u16::try_from(id).expect("fewer than 65,536 calls"));
        found.push(ClassedCall { call: id, classes: range[0]..range[1], row });
    }
    (classes, found)
}

/// Returns the rules of these calls for the kernel side.
pub(super) fn kernel_rules(classed: &[ClassedCall], which: ArgumentClasses) -> KernelRules {
    let mut tables = KernelRules {
        call_of: vec![0; usize::from(POSITION_MASK) + 1],
        calls: vec![ArgumentCall::default()],
        rules: Vec::new(),
    };
    let mut of_row = HashMap::<&str, (u16, u16)>::new();
    for ClassedCall { call, classes, row } in classed {
        // The rules of one call are the same in every ABI.
        let &mut (first, rules) = of_row.entry(row.calls[0]).or_insert_with(|| {
            let first = tables.rules.len();
            tables.rules.extend(row.kernel_rules(which));
            let short = |count: usize| u16::try_from(count).expect("few rules");
            (short(first), short(tables.rules.len() - first))
        });
        tables.call_of[usize::from(call.0)] = u8::try_from(tables.calls.len()).expect("few calls with classes");
        tables.calls.push(ArgumentCall { first, rules, classes: classes.start, source: row.source });
        assert!(u32::from(rules) <= MAX_RULES_PER_CALL, "{} has too many rules", row.calls[0]);
    }
    assert!(tables.calls.len() <= ARGUMENT_CALLS_LEN && tables.rules.len() <= ARGUMENT_RULES_LEN);
    tables.calls.resize(ARGUMENT_CALLS_LEN, ArgumentCall::default());
    tables.rules.resize(ARGUMENT_RULES_LEN, ArgumentRule::default());
    tables
}

/// Returns the rules of a call whose arguments are in registers and always have a class.
fn filtered(call: &str) -> Option<&'static Classed> {
    table::rows().iter().find(|row| row.calls.contains(&call) && row.is_filtered())
}

/// Returns these classes of a call's arguments, and those that count as [`OTHER`] by default if that is one of them.
#[must_use]
pub fn with_details(call: &str, mut classes: BTreeSet<&'static str>) -> BTreeSet<&'static str> {
    if classes.contains(OTHER) {
        classes.extend(filtered(call).into_iter().flat_map(Classed::details));
    }
    classes
}

/// Returns what a filter compares to allow these classes of a call's arguments and no others: the call is allowed if
/// all conditions of one list hold.
///
/// `None` if every call is allowed, or a filter cannot tell the classes apart: arguments are in memory, calls have no
/// class, or there are too many lists.
#[must_use]
pub fn comparisons(call: &str, classes: &BTreeSet<&'static str>) -> Option<Vec<Vec<Condition>>> {
    let row = filtered(call)?;
    let is_known = |class: &&str| row.arguments().any(|known| known == *class);
    if classes.iter().all(is_known) { comparisons::of_rules(&row.rules, classes) } else { None }
}

impl CallTable {
    /// Whether these arguments, in registers, are of a class.
    #[must_use]
    pub fn has_class(&self, class: CallId, arguments: &[u64; 6]) -> bool {
        let classed = self.classed(self.call_of_class(class));
        classed.is_some_and(|classed| classed.has(self.call(class).argument(), arguments))
    }

    /// Returns a class, and for `other` the classes that are counted as `other` by default.
    #[must_use]
    pub fn with_details(&self, class: CallId) -> Vec<CallId> {
        let call = self.call(class);
        let arguments = with_details(call.name(), [call.argument()].into());
        let ids = self.classes(self.call_of_class(class));
        ids.filter(|id| arguments.contains(self.call(*id).argument())).collect()
    }
}

impl ClassedCall {
    /// Returns arguments of one class, for filters that see registers; none if the arguments are in memory.
    pub(super) fn examples(&self, argument: &str) -> Vec<[u64; 6]> {
        self.row.examples(argument)
    }

    /// Whether arguments are of a class.
    pub(super) fn has(&self, argument: &str, arguments: &[u64]) -> bool {
        self.row.classes_of(arguments).contains(&argument)
    }

    /// Whether every call has a class. Others are counted only if they have one.
    pub(super) fn is_complete(&self) -> bool {
        self.row.arguments().any(|argument| argument == OTHER)
    }
}

#[cfg(test)]
mod tests;
