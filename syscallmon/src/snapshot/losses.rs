//! Losses by reason: the rows of [`loss_reasons`] with their counts.

use serde::{Deserialize, Serialize};
use syscallmon_common::{LossReason, loss_reasons};

/// Name and help of a reason for losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossReasonInfo {
    /// The value of the label `reason`.
    pub name: &'static str,
    /// What is counted, in a few words.
    pub help: &'static str,
}

/// The count of a reason; `None` if unknown.
pub type Lost = (LossReasonInfo, Option<u64>);

macro_rules! declare {
    (
        tables { $($table:ident $in_table:ident $table_help:literal;)* }
        programs { $($program:ident $of_program:ident $program_help:literal;)* }
        model { $($model:ident $of_model:ident $model_help:literal;)* }
    ) => {
        /// All reasons, in the order in which they are exported.
        pub const LOSS_REASONS: &[LossReasonInfo] = &[
            $(LossReasonInfo { name: stringify!($in_table), help: $table_help },)*
            $(LossReasonInfo { name: stringify!($of_program), help: $program_help },)*
            $(LossReasonInfo { name: stringify!($of_model), help: $model_help },)*
        ];

        /// Running totals of losses in a snapshot, since the probes were loaded.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Losses {
            $(#[doc = $table_help] pub $in_table: u64,)*
            $(#[doc = $program_help] pub $of_program: Option<u64>,)*
        }

        impl Losses {
            /// Reads the counts of the kernel side; skipped programs are still unknown.
            #[must_use]
            pub fn of_tables(count: impl Fn(LossReason) -> u64) -> Self {
                Self { $($in_table: count(LossReason::$table),)* $($of_program: None,)* }
            }

            /// Adds losses of the tables of a daemon before. The kernel itself goes on counting skipped programs.
            pub fn add_tables(&mut self, before: &Self) {
                $(self.$in_table += before.$in_table;)*
            }

            /// Returns the count of each reason.
            #[must_use]
            pub fn all(&self) -> Vec<Lost> {
                let counts = [$(Some(self.$in_table),)* $(self.$of_program,)*];
                LOSS_REASONS.iter().copied().zip(counts).collect()
            }
        }

        /// A reason for losses in the totals of workloads.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ModelLoss {
            $(#[doc = $model_help] $model,)*
        }

        impl ModelLoss {
            /// Returns the count of each reason.
            #[must_use]
            pub fn all(count: impl Fn(Self) -> u64) -> Vec<Lost> {
                vec![$({
                    let info = LossReasonInfo { name: stringify!($of_model), help: $model_help };
                    (info, Some(count(Self::$model)))
                },)*]
            }
        }
    };
}

loss_reasons!(declare);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_count_has_the_name_of_its_reason() {
        let losses = Losses { recursion: Some(99), ..Losses::of_tables(|reason| 10 + reason as u64) };
        let all: Vec<(&str, Option<u64>)> = losses.all().iter().map(|(reason, count)| (reason.name, *count)).collect();
        assert_eq!(all[0], ("cgroups_full", Some(10)));
        assert!(all.contains(&("timed_calls_full", Some(18))), "{all:?}");
        assert_eq!(all[LossReason::COUNT..], [("recursion", Some(99)), ("exit_recursion", None)]);
        let json = serde_json::to_value(losses).unwrap();
        for (name, count) in all {
            assert_eq!(json[name].as_u64(), count, "{name}");
        }
    }

    #[test]
    fn all_reasons_are_distinguished_and_explained() {
        let of_model = ModelLoss::all(|_| 1);
        let reasons: Vec<LossReasonInfo> =
            Losses::default().all().into_iter().chain(of_model).map(|(reason, _)| reason).collect();
        assert_eq!(reasons, LOSS_REASONS);
        let names: HashSet<&str> = reasons.iter().map(|reason| reason.name).collect();
        assert_eq!(names.len(), reasons.len());
        assert!(reasons.iter().all(|reason| reason.help.len() > 20 && !reason.help.ends_with('.')), "{reasons:?}");
    }

    #[test]
    fn a_recording_without_a_reason_has_lost_nothing_for_it() {
        let losses: Losses = serde_json::from_str(r#"{"series_full": 3, "recursion": null}"#).unwrap();
        assert_eq!(losses, Losses { series_full: 3, ..Losses::default() });
    }
}
