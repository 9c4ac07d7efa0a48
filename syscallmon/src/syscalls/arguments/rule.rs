//! Rules: which arguments are of a class.

use syscallmon_common::{ArgumentRule, RULE_CONTINUES, RULE_IS_REST};

/// Whether a class is counted by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Counted by default.
    Security,
    /// Counted with `--probe.arguments=all`.
    All,
}

/// A condition on one argument: `argument & mask == value`. A mask of 0 always holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The number of the argument, below 4.
    pub argument: u8,
    /// The compared bits.
    pub mask: u64,
    /// Their value.
    pub value: u64,
}

/// A rule of a call with classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The class, as `AF_ALG`.
    pub class: &'static str,
    /// Whether it is counted by default.
    pub level: Level,
    /// The first condition.
    pub first: Condition,
    /// The second condition, on 32 bits.
    pub second: Condition,
    /// Whether the rules after a match are tried too.
    pub continues: bool,
    /// Whether it matches only if no other rule does.
    pub is_rest: bool,
    /// Whether it matches only calls whose arguments cannot be read.
    pub is_unreadable: bool,
}

/// The bits of an `int`.
const INT: u64 = 0xffff_ffff;

impl Rule {
    /// Matches one value of an `int` argument.
    pub(super) fn int(argument: u8, class: &'static str, value: u32) -> Self {
        Self::masked(argument, class, INT, value.into())
    }

    /// Matches one value of a `long` argument.
    pub(super) fn long(argument: u8, class: &'static str, value: u64) -> Self {
        Self::masked(argument, class, u64::MAX, value)
    }

    /// Matches some bits of an argument.
    pub(super) fn masked(argument: u8, class: &'static str, mask: u64, value: u64) -> Self {
        let first = Condition { argument, mask, value };
        Self {
            class,
            level: Level::Security,
            first,
            second: Condition::default(),
            continues: false,
            is_rest: false,
            is_unreadable: false,
        }
    }

    /// Matches if all bits are set, beside other rules.
    pub(super) fn flag(argument: u8, class: &'static str, bits: u64) -> Self {
        Self { continues: true, ..Self::masked(argument, class, bits, bits) }
    }

    /// Matches calls that no other rule matches.
    pub(super) fn rest(class: &'static str) -> Self {
        Self { is_rest: true, ..Self::masked(0, class, 0, 0) }
    }

    /// Matches calls whose arguments cannot be read.
    pub(super) fn unreadable(class: &'static str) -> Self {
        Self { is_unreadable: true, ..Self::masked(0, class, 0, 0) }
    }

    /// Matches only if a second argument matches too.
    pub(super) fn and(self, argument: u8, mask: u32, value: u32) -> Self {
        Self { second: Condition { argument, mask: mask.into(), value: value.into() }, ..self }
    }

    /// Counted with `--probe.arguments=all` only.
    pub(super) fn detail(self) -> Self {
        Self { level: Level::All, ..self }
    }

    /// As the kernel side has it. `class` is the number of its class.
    pub(super) fn for_kernel(&self, class: u16) -> ArgumentRule {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let low = |number: u64| u32::try_from(number).expect("a condition on 32 bits");
        ArgumentRule {
            mask: self.first.mask,
            value: self.first.value,
            second_mask: low(self.second.mask),
            second_value: low(self.second.value),
            argument: self.first.argument,
            second: self.second.argument,
            class,
            flags: flag(self.continues, RULE_CONTINUES) | flag(self.is_rest, RULE_IS_REST),
            unreadable: self.is_unreadable.into(),
        }
    }

    /// Whether it matches arguments that can be read.
    #[must_use]
    pub fn matches(&self, arguments: &[u64]) -> bool {
        let holds = |condition: &Condition| {
            arguments
                .get(usize::from(condition.argument))
                .is_some_and(|value| value & condition.mask == condition.value)
        };
        !self.is_unreadable && holds(&self.first) && holds(&self.second)
    }
}
