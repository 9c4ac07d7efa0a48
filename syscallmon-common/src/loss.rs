//! Reasons for lost or unattributed calls and events, one row each. All code that counts, exports or shows losses
//! derives from this table.

/// Passes the table to a macro, in three groups by what counts: `Variant name "help";`.
///
/// `name` is the value of the label `reason` and the key in JSON. METRICS.md and the explorer show `help`, which
/// completes a line that begins with the count.
///
/// - `tables`: the kernel side counts in the map `LOST`, by [`LossReason`].
/// - `programs`: the kernel counts runs that it skipped because the program was already running on that CPU. Linux
///   reports them from 5.12 on.
/// - `model`: user space counts losses in the totals of workloads.
#[macro_export]
macro_rules! loss_reasons {
    ($with:ident) => {
        $with! {
            tables {
                CgroupsFull cgroups_full "calls counted in the remainder because every cgroup slot was in use";
                SeriesFull series_full "calls counted in the remainder because every series was in use";
                CgroupEvents cgroup_events "missed births and deaths of cgroups because their ring buffer was full";
                FirstCallEvents first_call_events "first calls not reported because their ring buffer was full";
                ErrorsFull errors_full "errors counted in the remainder because no slot or series was free";
                DeniedFull denied_full "denied calls counted in the remainder because no slot or series was free";
                ArgumentsFull arguments_full "classes of arguments counted in the remainder because no slot or series was free";
                HistogramsFull histograms_full "calls not measured because no slot or histogram was free";
                TimedCallsFull timed_calls_full "calls not measured because too many were in progress";
                Position position "calls not counted because of a bug in the table of positions";
                Reclaim reclaim "slots, series and histograms not reclaimed at the first attempt";
            }
            programs {
                Recursion recursion "calls not counted because the kernel skipped the program";
                ExitRecursion exit_recursion "calls without a recorded end because the kernel skipped the program";
            }
            model {
                WorkloadsFolded workloads_folded "gone workloads that were folded into (gone)";
                MaxSeries max_series "calls counted in the remainder because --workload.max-series was reached";
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
            /// All reasons, in the order of their discriminants.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
            /// Number of reasons.
            pub const COUNT: usize = Self::ALL.len();
        }
    };
}

loss_reasons!(declare);
