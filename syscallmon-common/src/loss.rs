//! Why something could not be done as it should: one row for each reason. All that counts, exports, shows or explains a
//! loss derives from it.

/// Hands the table to a macro, in three groups by who counts: `Variant name "help";`.
///
/// `name` is the value of the label `reason` and the key in JSON; `help` is what METRICS.md and the landing page say,
/// and ends what `12 ...` begins.
///
/// - `tables`: the kernel side, in the map `LOST`, by [`LossReason`].
/// - `programs`: the kernel, of programs that it skipped since they would have met themselves on their CPU. It does not
///   tell before Linux 5.12.
/// - `model`: user space, of the totals of workloads.
#[macro_export]
macro_rules! loss_reasons {
    ($with:ident) => {
        $with! {
            tables {
                CgroupsFull cgroups_full "calls counted in the remainder, since every cgroup slot was taken";
                SeriesFull series_full "calls counted in the remainder, since every series was taken";
                CgroupEvents cgroup_events "births and deaths of cgroups that were missed: their ring buffer was full";
                FirstCallEvents first_call_events "first calls that were not reported: their ring buffer was full";
                ErrorsFull errors_full "errors counted in the remainder, since there was no slot or series";
                DeniedFull denied_full "refused calls counted in the remainder, since there was no slot or series";
                HistogramsFull histograms_full "calls that were not measured, since there was no slot or histogram";
                TimedCallsFull timed_calls_full "calls that were not measured, since too many were under way";
                Position position "calls that the tables have no place for, by a mistake in the table of positions";
                Reclaim reclaim "slots, series and histograms that the kernel side did not take back at once";
            }
            programs {
                Recursion recursion "calls that were not counted, since the kernel skipped the program";
                ExitRecursion exit_recursion "calls whose end was not seen, since the kernel skipped the program";
            }
            model {
                WorkloadsFolded workloads_folded "gone workloads whose calls were moved to (gone)";
                MaxSeries max_series "calls counted in the remainder, since workload.max-series was reached";
            }
        }
    };
}

/// Declares [`LossReason`].
macro_rules! declare {
    (
        tables { $($variant:ident $name:ident $help:literal;)* }
        programs { $($programs:tt)* }
        model { $($model:tt)* }
    ) => {
        /// A reason that the kernel side counts: an index of the map `LOST`.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum LossReason {
            $(#[doc = $help] $variant,)*
        }

        impl LossReason {
            /// All of them, in the order of their discriminants.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
            /// Number of reasons.
            pub const COUNT: usize = Self::ALL.len();
        }
    };
}

loss_reasons!(declare);
