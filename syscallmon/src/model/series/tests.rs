//! Whatever is exported: sums stay, counters do not fall, and as many series are counted as there are.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{snapshot::ArgumentKey, syscalls::Errno};

fn granularity() -> impl Strategy<Value = Granularity> {
    prop::sample::select(vec![Granularity::Name, Granularity::Set, Granularity::None])
}

fn layout() -> impl Strategy<Value = SeriesLayout> {
    let all = (granularity(), granularity(), granularity(), granularity());
    all.prop_map(|(syscalls, errors, denied, latency)| {
        SeriesLayout::new(Granularities { syscalls, errors, denied, latency }, &CallTable::x86_64())
    })
}

/// Any counts of a few calls of every ABI, of io_uring, and of unknown numbers.
fn counts() -> impl Strategy<Value = Counts> {
    let call = prop_oneof![3 => 0..60_u16, 1 => 0..1300_u16];
    let of_call = (call, 1..9_u64, 0..9_u64, (1..3_u16, 0..3_u64), (0..3_u64, 0..3_u64, 0..2_u64), 0..3_u64);
    vec(of_call, 0..20).prop_map(|calls| {
        let mut all = Counts::default();
        for (call, made, container_init, (errno, errors), (denied, unsupported, other), timed) in calls {
            let call = CallId(call);
            let mut durations = Durations { sum_ns: 500 * timed, ..Durations::default() };
            durations.buckets[usize::from(call.0) % 4] = timed;
            let denials = [
                (DeniedKey::Of(call), denied),
                (DeniedKey::Unsupported(call), unsupported),
                (DeniedKey::OfRuntime(call), unsupported),
                (DeniedKey::Other, other),
            ];
            all.add(&Counts {
                calls: [(call, made)].into_iter().collect(),
                container_init: [(call, container_init.min(made))].into_iter().collect(),
                errors: [(ErrorKey::Of(call, Errno::new(errno)), errors), (ErrorKey::Other, other)]
                    .into_iter()
                    .collect(),
                denied: denials.into_iter().collect(),
                durations: [(call, durations)].into_iter().collect(),
                arguments: [
                    (ArgumentKey::Of(call), made),
                    (ArgumentKey::Denied(call), denied),
                    (ArgumentKey::Other, other),
                ]
                .into_iter()
                .collect(),
            });
        }
        all
    })
}

fn plus(counts: &Counts, more: &Counts) -> Counts {
    let mut sum = counts.clone();
    sum.add(more);
    sum
}

/// Sums by what is left of a key.
fn sums<K: Ord + Copy, T: Ord + Copy>(counts: &SortedCounts<K>, rest: impl Fn(K) -> T) -> SortedCounts<T> {
    counts.iter().map(|(key, &count)| (rest(key), count)).collect()
}

fn everything(durations: &SortedCounts<(&'static str, &'static str), Durations>) -> Durations {
    let mut all = Durations::default();
    durations.iter().for_each(|(_, durations)| all.add(durations));
    all
}

proptest! {
    #[test]
    fn sums_by_abi_and_errno_are_those_by_name(layout in layout(), counts in counts()) {
        let table = CallTable::x86_64();
        let abi = |call| table.call(call).abi;
        let of_failure = |failure| match failure {
            ErrorKey::Of(call, errno) => Some((abi(call), errno)),
            ErrorKey::Other => None,
        };
        let of_denial = |denial| match denial {
            DeniedKey::Of(call) | DeniedKey::OfRuntime(call) => Some((abi(call), false)),
            DeniedKey::Unsupported(call) => Some((abi(call), true)),
            DeniedKey::Other => None,
        };
        prop_assert_eq!(sums(&layout.calls(&counts), abi), sums(&counts.calls, abi));
        prop_assert_eq!(sums(&layout.errors(&counts), of_failure), sums(&counts.errors, of_failure));
        prop_assert_eq!(sums(&layout.denied(&counts), of_denial), sums(&counts.denied, of_denial));
        let by_name = SeriesLayout::default().durations(&counts, &table);
        prop_assert_eq!(everything(&layout.durations(&counts, &table)), everything(&by_name));
    }

    #[test]
    fn no_counter_falls(layout in layout(), before in counts(), new in counts()) {
        let after = plus(&before, &new);
        let (calls, errors, denied) = (layout.calls(&after), layout.errors(&after), layout.denied(&after));
        prop_assert!(layout.calls(&before).iter().all(|(key, count)| calls.get(key) >= Some(count)));
        prop_assert!(layout.errors(&before).iter().all(|(key, count)| errors.get(key) >= Some(count)));
        prop_assert!(layout.denied(&before).iter().all(|(key, count)| denied.get(key) >= Some(count)));
        let table = CallTable::x86_64();
        let durations = layout.durations(&after, &table);
        for (label, before) in layout.durations(&before, &table).iter() {
            let after = durations.get(label).copied().unwrap_or_default();
            prop_assert!(before.buckets.iter().zip(after.buckets).all(|(&before, after)| before <= after));
            prop_assert!(before.sum_ns <= after.sum_ns);
        }
    }

    #[test]
    fn series_are_counted_as_they_are_exported(layout in layout(), counts in counts()) {
        let calls = layout.calls(&counts).len() + layout.container_init(&counts).len();
        let scalars = calls + layout.errors(&counts).len() + layout.denied(&counts).len() + counts.arguments.len();
        let histograms = layout.count(&counts) - scalars;
        // Those of several ABIs are one series, and counted as several.
        let exported = layout.durations(&counts, &CallTable::x86_64()).len();
        prop_assert!(histograms.is_multiple_of(SERIES_PER_HISTOGRAM));
        prop_assert!((exported..=counts.durations.len()).contains(&(histograms / SERIES_PER_HISTOGRAM)));
    }

    #[test]
    fn both_parts_of_a_split_are_the_whole(layout in layout(), known in counts(), new in counts()) {
        let (fitting, rest) = layout.split(&new, &known);
        prop_assert_eq!(plus(&fitting, &rest), new);
        prop_assert_eq!(layout.count(&plus(&known, &fitting)), layout.count(&known), "no new series");
        let (again, new_series) = layout.split(&rest, &known);
        prop_assert!(again.is_empty() && again.container_init.is_empty() && new_series == rest);
        prop_assert!(rest.container_init.iter().all(|(call, _)| rest.calls.get(call).is_some()));
    }
}

#[test]
fn each_granularity_has_its_label() {
    let [name, set, none] = [Granularity::Name, Granularity::Set, Granularity::None];
    assert_eq!((name.label("openat"), none.label("openat")), (("syscall", "openat"), ("", "")));
    for (syscall, expected) in [
        ("openat", "@file-system"),
        ("close", "@basic-io"),
        ("ioctl", "@system-service"),
        ("cachestat", UNGROUPED),
        (UNKNOWN, UNKNOWN),
        (REMAINDER, REMAINDER),
    ] {
        assert_eq!(set.label(syscall), ("set", expected));
    }
}

/// As docs/series.md has it.
#[test]
fn sets_bound_the_series_of_a_workload() {
    for (table, most) in [(CallTable::x86_64(), 31), (CallTable::aarch64(), 28)] {
        let native = table.iter().filter(|(_, call)| call.is_native()).map(|(_, call)| call.syscall);
        assert_eq!(native.map(|syscall| Granularity::Set.label(syscall)).collect::<BTreeSet<_>>().len(), most);
    }
}

#[test]
fn calls_of_one_set_are_one_series_in_each_abi() {
    let table = CallTable::x86_64();
    let granularities = Granularities { syscalls: Granularity::Set, ..Granularities::default() };
    let layout = SeriesLayout::new(granularities, &table);
    let id = |abi, syscall| table.id(abi, syscall).unwrap();
    let calls = [("x86_64", "read", 1), ("x86_64", "write", 2), ("ia32", "read", 4), ("x86_64", "openat", 8)];
    let of_io_uring = [(IO_URING, "openat", 16), (IO_URING, "read", 32)];
    let calls = calls.into_iter().chain(of_io_uring).map(|(abi, syscall, count)| (id(abi, syscall), count));
    let counts = Counts { calls: calls.collect(), ..Counts::default() };
    let mut exported: Vec<u64> = layout.calls(&counts).iter().map(|(_, &count)| count).collect();
    exported.sort_unstable();
    assert_eq!((exported, layout.count(&counts)), (vec![3, 4, 8, 16, 32], 5));
}
