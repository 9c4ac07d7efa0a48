//! A comparison of one argument.

use serde::Deserialize;

/// A comparison of one argument.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Comparison {
    pub(super) index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: Operator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Operator {
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

impl Comparison {
    /// Whether it holds on one side of the value.
    pub(super) fn is_ordered(&self) -> bool {
        matches!(self.op, Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual)
    }

    /// Returns the upper 32 bits of the value. Filters compare both halves one after the other.
    pub(super) fn upper_half(&self) -> u64 {
        self.value >> 32
    }

    /// Returns these arguments with the value that it requires. Other operators than equality leave them as they are.
    pub(super) fn required(&self, mut args: [u64; 6]) -> [u64; 6] {
        if let Some(argument) = args.get_mut(self.index as usize) {
            *argument = match self.op {
                Operator::Equal => self.value,
                Operator::MaskedEqual => (*argument & !self.value) | self.value_two,
                _ => *argument,
            };
        }
        args
    }

    /// Whether it holds, of the bits of the argument and of the values that `bits` has.
    pub(super) fn holds(&self, args: &[u64; 6], bits: u64) -> bool {
        let Some(&argument) = args.get(self.index as usize) else { return false };
        let (argument, value, value_two) = (argument & bits, self.value & bits, self.value_two & bits);
        match self.op {
            Operator::NotEqual => argument != value,
            Operator::Less => argument < value,
            Operator::LessOrEqual => argument <= value,
            Operator::Equal => argument == value,
            Operator::GreaterOrEqual => argument >= value,
            Operator::Greater => argument > value,
            // `value` is the mask.
            Operator::MaskedEqual => argument & value == value_two,
        }
    }
}
