//! Reasons for lost or unattributed calls and events, one row each. All code that counts, exports or shows losses
//! derives from this table.

/// Passes the table to a macro, in three groups by what counts: `Variant name "help";`.
///
/// `name` is the value of the label `reason` and the key in JSON. METRICS.md and the landing page show `help`, which
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
                CgroupsFull cgroups_full "calls counted in the remainder: no free cgroup slot";
                SeriesFull series_full "calls counted in the remainder: no free series";
                CgroupEvents cgroup_events "births and deaths of cgroups dropped: ring buffer full";
                FirstCallEvents first_call_events "first calls not reported: ring buffer full";
                ErrorsFull errors_full "errors counted in the remainder: no free slot or series";
                DeniedFull denied_full "denied calls counted in the remainder: no free slot or series";
                HistogramsFull histograms_full "calls not measured: no free slot or histogram";
                TimedCallsFull timed_calls_full "calls not measured: too many measured calls at the same time";
                Position position "calls not counted: position outside of the tables (a bug)";
                Reclaim reclaim "slots, series and histograms not reclaimed at the first attempt";
            }
            programs {
                Recursion recursion "calls not counted: the kernel skipped the program";
                ExitRecursion exit_recursion "ends of calls not seen: the kernel skipped the program";
            }
            model {
                WorkloadsFolded workloads_folded "ended workloads folded into (gone)";
                MaxSeries max_series "calls counted in the remainder: workload.max-series reached";
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
