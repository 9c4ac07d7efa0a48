//! Why something could not be done as it should: one row for each reason. All that counts, exports, shows or explains a
//! loss derives from it.

/// Hands the table to a macro, in three groups by who counts: `Variant name "help";`.
///
/// `name` is the value of the label `reason` and the key in JSON; `help` is what METRICS.md and the landing page say,
/// and ends what `12 ...` begins.
///
/// - `tables`: the kernel side, in the map `LOST`, by [`Loss`].
/// - `programs`: the kernel, of programs that it skipped since they would have met themselves on their CPU. It does not
///   tell before Linux 5.12.
/// - `model`: user space, of the totals of workloads.
#[macro_export]
macro_rules! loss_reasons {
    ($with:ident) => {
        $with! {
            tables {
                CgroupsFull cgroups_full "calls counted in the remainder because every cgroup slot was in use";
                SeriesFull series_full "calls counted in the remainder because every series was in use";
                CgroupEvents cgroup_events "missed births and deaths of cgroups because their ring buffer was full";
                FirstSeenEvents first_seen_events "first calls not reported because their ring buffer was full";
                ErrorsFull errors_full "errors counted in the remainder because no slot or series was free";
                DeniedFull denied_full "denied calls counted in the remainder because no slot or series was free";
                HistogramsFull histograms_full "calls not measured because no slot or histogram was free";
                TimedCallsFull timed_calls_full "calls not measured because too many were in progress";
                Position position "calls not counted because of a bug in the table of positions";
                Reclaim reclaim "slots, series and histograms that the eBPF programs did not reclaim at once";
            }
            programs {
                Recursion recursion "calls not counted because the kernel skipped the program";
                ExitRecursion exit_recursion "calls without a recorded end because the kernel skipped the program";
            }
            model {
                WorkloadsFolded workloads_folded "ended workloads whose calls were moved to (gone)";
                MaxSeries max_series "calls counted in the remainder because workload.max-series was reached";
            }
        }
    };
}

/// Declares [`Loss`].
macro_rules! declare {
    (
        tables { $($variant:ident $name:ident $help:literal;)* }
        programs { $($programs:tt)* }
        model { $($model:tt)* }
    ) => {
        /// A reason that the kernel side counts: an index of the map `LOST`.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Loss {
            $(#[doc = $help] $variant,)*
        }

        impl Loss {
            /// All of them, in the order of their discriminants.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
            /// Number of reasons.
            pub const COUNT: usize = Self::ALL.len();
        }
    };
}

loss_reasons!(declare);
