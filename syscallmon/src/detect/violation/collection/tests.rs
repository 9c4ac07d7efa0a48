use std::{collections::BTreeSet, time::SystemTime};

use proptest::prelude::*;

use super::*;
use crate::{
    detect::Reason,
    process::{Process, ProcessTree},
    syscalls::CallTable,
    workload::{Label, Labels},
};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn call(name: &str) -> (CallId, Call) {
    let table = CallTable::x86_64();
    let id = table.named(name).next().unwrap();
    (id, table.call(id))
}

/// So many mounts, or other calls, of a workload at a time.
fn made(workload: &str, name: &str, count: u64, seconds: u64) -> Violation {
    Violation {
        time: at(seconds),
        last_seen: at(seconds),
        count,
        workload: Workload::cgroup(workload.into()),
        metadata: Labels::default(),
        call: call(name).1,
        number: None,
        denied: false,
        process: None,
        policy: "web".into(),
        severity: Severity::Critical,
        reason: Reason::NotAllowed,
        runtime_default_allows: false,
    }
}

fn by_event(workload: &str, name: &str, seconds: u64) -> Violation {
    let (comm, tree) = ("sh".to_owned(), ProcessTree::default());
    let process = Process { pid: 7, tid: 7, uid: 0, comm, exe: None, command_line: None, parents: Vec::new(), tree };
    Violation { process: Some(process), ..made(workload, name, 1, seconds) }
}

fn first(violations: &mut Violations, violation: Violation) -> Option<RecordedViolation> {
    violations.first(violation, Instant::now())
}

fn counted(violations: &mut Violations, call: CallId, violation: &Violation) -> Option<RecordedViolation> {
    violations.counted(call, violation, Instant::now())
}

fn total(violations: &Violations) -> u64 {
    violations.counts().map(|(_, count)| count).sum()
}

#[test]
fn a_first_call_is_recorded_at_once_and_its_count_adds_no_record() {
    let mut violations = Violations::default();
    assert!(first(&mut violations, by_event("/a", "mount", 1)).unwrap().is_new);
    assert_eq!(counted(&mut violations, call("mount").0, &made("/a", "mount", 1, 2)), None);
    assert_eq!((total(&violations), violations.iter().next().unwrap().count), (1, 1));
}

#[test]
fn repeats_are_recorded_with_their_number() {
    let mut violations = Violations::default();
    first(&mut violations, by_event("/a", "mount", 1));
    let recorded = counted(&mut violations, call("mount").0, &made("/a", "mount", 100_000, 2)).unwrap();
    assert_eq!((recorded.is_new, recorded.violation.count, recorded.violation.last_seen), (false, 100_000, at(2)));
    assert_eq!(recorded.violation.process.unwrap().comm, "sh");
    assert_eq!(total(&violations), 100_000);
}

#[test]
fn a_call_known_from_counters_alone_is_recorded_and_gets_its_process_later() {
    let mut violations = Violations::default();
    assert!(counted(&mut violations, call("mount").0, &made("/a", "mount", 3, 2)).unwrap().is_new);
    assert_eq!(first(&mut violations, by_event("/a", "mount", 3)), None);
    let violation = violations.iter().next().unwrap();
    assert_eq!((violation.count, violation.process.as_ref().unwrap().pid), (3, 7));
}

#[test]
fn refused_attempts_are_violations_of_their_own_and_one_count() {
    let mut violations = Violations::default();
    let denied = Violation { denied: true, ..made("/a", "mount", 2, 1) };
    assert!(counted(&mut violations, call("mount").0, &made("/a", "mount", 1, 1)).unwrap().is_new);
    assert!(counted(&mut violations, call("mount").0, &denied).unwrap().is_new);
    assert_eq!((violations.len(), violations.counts().count(), total(&violations)), (2, 1, 3));
}

/// The violations that there are of a pod: all calls of a foreign ABI, or so many.
fn flood(violations: &mut Violations, (namespace, pod): (&str, &str), calls: std::ops::Range<u16>, severity: Severity) {
    let (table, metadata) = (CallTable::x86_64(), metadata(namespace, pod));
    for id in calls {
        let call = table.call(CallId(id));
        let workload = Workload::Resolved(metadata.clone());
        let violation = Violation { workload, metadata: metadata.clone(), call, severity, ..by_event("", "mount", 1) };
        first(violations, violation);
    }
}

fn metadata(namespace: &str, pod: &str) -> Labels {
    Labels::new([(Label::Namespace, namespace.into()), (Label::Pod, pod.into())])
}

fn of_pod(violations: &Violations, namespace: &str, pod: &str) -> usize {
    violations.iter().filter(|violation| violation.metadata == metadata(namespace, pod)).count()
}

#[test]
fn sixteen_workloads_that_fill_everything_hide_no_seventeenth_s() {
    for is_one_namespace in [true, false] {
        let mut violations = Violations::default();
        for pod in 0..16 {
            let namespace = if is_one_namespace { "evil".to_owned() } else { format!("evil-{pod}") };
            flood(&mut violations, (&namespace, &format!("pod-{pod}")), 500..800, Severity::Critical);
        }
        assert_eq!(violations.len(), CAPACITY.entries);
        for name in ["mount", "ptrace", "bpf"] {
            let recorded = first(&mut violations, by_event("/victim", name, 1)).unwrap();
            assert!(recorded.is_new);
        }
        // They go on, and have all that they had before.
        flood(&mut violations, ("evil", "pod-16"), 0..1300, Severity::Critical);
        let victims = violations.iter().filter(|kept| kept.workload == Workload::cgroup("/victim".into()));
        assert_eq!(victims.count(), 3);
        assert_eq!(violations.len(), CAPACITY.entries);
    }
}

#[test]
fn many_pods_of_one_namespace_have_what_one_has() {
    let mut violations = Violations::default();
    flood(&mut violations, ("shop", "web"), 0..1280, Severity::Warning);
    for pod in 0..50 {
        flood(&mut violations, ("evil", &format!("pod-{pod}")), 0..300, Severity::Warning);
    }
    assert_eq!(of_pod(&violations, "shop", "web"), 1280, "fewer than half of all");
    flood(&mut violations, ("evil", "late"), 0..100, Severity::Warning);
    assert!((50..60).contains(&of_pod(&violations, "evil", "late")), "its share within its namespace");
}

#[test]
fn a_violation_that_is_not_kept_is_recorded_and_counted() {
    let mut violations = Violations::default();
    flood(&mut violations, ("evil", "pod"), 0..1300, Severity::Critical);
    for pod in 0..4 {
        flood(&mut violations, ("evil", &format!("pod-{pod}")), 0..1300, Severity::Critical);
    }
    let dropped = violations.dropped();
    let warning =
        Violation { metadata: metadata("evil", "pod"), severity: Severity::Warning, ..made("/evil", "read", 7, 1) };
    let recorded = counted(&mut violations, call("read").0, &warning).unwrap();
    assert!(recorded.is_new && violations.dropped() == dropped + 1);
    assert!(violations.iter().all(|kept| kept.severity == Severity::Critical), "it is the least of its namespace");
    assert_eq!(total(&violations), 7);
}

#[test]
fn a_name_that_comes_later_takes_them_along() {
    let mut violations = Violations::default();
    let (from, to) = (Workload::cgroup("/a".into()), Workload::cgroup("/b".into()));
    counted(&mut violations, call("mount").0, &made("/a", "mount", 3, 2));
    violations.rename(&from, &to);
    assert_eq!(violations.iter().next().unwrap().workload, to);
    assert_eq!(violations.counts().next().unwrap().0.workload, to);
    assert!(
        counted(&mut violations, call("mount").0, &made("/b", "mount", 1, 3)).is_some_and(|recorded| !recorded.is_new)
    );
}

#[test]
fn who_makes_more_than_can_be_kept_takes_no_time_from_others() {
    let (mut violations, table) = (Violations::default(), CallTable::x86_64());
    let mut recorded = 0;
    for pod in 0..8 {
        for id in 0..1280 {
            let metadata = metadata("evil", &format!("pod-{pod}"));
            let (workload, call) = (Workload::Resolved(metadata.clone()), table.call(CallId(id)));
            let severity = Severity::Warning;
            let violation = Violation { workload, metadata, call, severity, ..made("", "mount", 1, 1) };
            recorded += usize::from(counted(&mut violations, CallId(id), &violation).is_some());
        }
    }
    assert_eq!((recorded, violations.len()), (8 * 1280, 1024), "half of what can be kept until the next tick");
    assert!(counted(&mut violations, CallId(0), &made("/victim", "mount", 1, 1)).is_some());
    let warning = Violation { severity: Severity::Warning, ..made("/victim", "read", 1, 1) };
    assert!(counted(&mut violations, CallId(0), &warning).is_some());
    assert_eq!(violations.len(), 1026);
    assert_eq!(violations.dropped(), 8 * 1280 - 1024);
}

#[test]
fn counts_go_with_their_workload_and_violations_when_they_are_old() {
    const DAY: Duration = Duration::from_hours(24);
    let (mut violations, begin) = (Violations::default(), Instant::now());
    violations.counted(call("mount").0, &made("/a", "mount", 3, 20), begin + DAY / 2);
    violations.counted(call("mount").0, &made("/b", "mount", 3, 10), begin);
    violations.forget(|workload| *workload == Workload::cgroup("/b".into()), begin + DAY, DAY);
    assert_eq!(violations.counts().next().unwrap().0.workload, Workload::cgroup("/b".into()));
    assert_eq!(violations.iter().next().unwrap().workload, Workload::cgroup("/a".into()));
    assert_eq!((violations.counts().count(), violations.len()), (1, 1));
}

#[test]
fn steps_of_the_wall_clock_make_nothing_old_and_no_end_before_a_begin() {
    let (mut violations, begin) = (Violations::default(), Instant::now());
    let id = call("mount").0;
    violations.first(by_event("/a", "mount", 90_000), begin);
    violations.counted(id, &made("/a", "mount", 2, 10), begin);
    let kept = violations.iter().next().unwrap();
    assert!(kept.last_seen >= kept.time, "the clock was set back");
    // Forward, by 25 hours.
    violations.counted(id, &made("/b", "mount", 1, 180_000), begin);
    violations.forget(|_| true, begin + Duration::from_mins(1), Duration::from_hours(24));
    assert_eq!(violations.len(), 2);
}

#[test]
fn a_bad_one_is_not_hidden_behind_many_others() {
    let (mut violations, table) = (Violations::default(), CallTable::x86_64());
    // Of another ABI.
    for id in 500..900 {
        let call = table.call(CallId(id));
        first(&mut violations, Violation { call, severity: Severity::Warning, ..by_event("/a", "mount", 1) });
    }
    assert!(first(&mut violations, by_event("/a", "mount", 2)).is_some_and(|recorded| recorded.is_new));
}

#[test]
fn another_container_of_the_workload_is_recorded() {
    let mut violations = Violations::default();
    let of = |id: &str, seconds| {
        let metadata = Labels::new([(Label::ContainerId, id.into())]);
        Violation { metadata, ..by_event("/a", "mount", seconds) }
    };
    first(&mut violations, of("1", 1));
    assert_eq!(first(&mut violations, of("1", 2)), None);
    let recorded = first(&mut violations, of("2", 3)).unwrap();
    assert_eq!(
        (recorded.is_new, recorded.violation.metadata, recorded.violation.time),
        (false, of("2", 3).metadata, at(1))
    );
}

#[test]
fn what_another_policy_judges_is_forgotten() {
    let mut violations = Violations::default();
    counted(&mut violations, call("mount").0, &made("/a", "mount", 3, 2));
    counted(&mut violations, call("mount").0, &made("/b", "mount", 3, 2));
    violations.forget_all_of(&Workload::cgroup("/a".into()));
    assert_eq!((violations.len(), total(&violations)), (1, 3));
    assert!(
        counted(&mut violations, call("mount").0, &made("/a", "mount", 1, 3)).is_some_and(|recorded| recorded.is_new)
    );
}

/// What happens to violations of four workloads.
#[derive(Clone, Debug)]
enum Op {
    /// An event of a first call, which the counters tell of later.
    FirstCall(u8, &'static str),
    /// Calls that the counters tell of.
    ViolationKey(u8, &'static str, u64),
    Rename(u8, u8),
    /// Another policy judges.
    Forget(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let call = || prop_oneof![Just("mount"), Just("bpf"), Just("ptrace")];
    prop_oneof![
        3 => (0..4_u8, call()).prop_map(|(workload, call)| Op::FirstCall(workload, call)),
        4 => (0..4_u8, call(), 1..5_u64).prop_map(|(workload, call, count)| Op::ViolationKey(workload, call, count)),
        1 => (0..4_u8, 0..4_u8).prop_map(|(from, to)| Op::Rename(from, to)),
        1 => (0..4_u8).prop_map(Op::Forget),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_each_violation_is_new_once_and_every_call_is_counted(
        ops in proptest::collection::vec(op(), 0..60),
    ) {
        let path = |workload: u8| format!("/{workload}");
        let (mut violations, now) = (Violations::default(), Instant::now());
        let mut known: BTreeSet<(u8, &str)> = BTreeSet::new();
        let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
        for op in ops {
            match op {
                Op::FirstCall(workload, name) => {
                    let recorded = violations.first(by_event(&path(workload), name, 1), now);
                    let is_new = known.insert((workload, name));
                    prop_assert_eq!(recorded.map(|recorded| recorded.is_new), is_new.then_some(true));
                }
                Op::ViolationKey(workload, name, count) => {
                    let recorded = violations.counted(call(name).0, &made(&path(workload), name, count, 1), now);
                    let is_new = known.insert((workload, name));
                    prop_assert_eq!(recorded.is_some_and(|recorded| recorded.is_new), is_new);
                    *counts.entry(workload).or_default() += count;
                }
                Op::Rename(from, to) => {
                    violations.rename(&Workload::cgroup(path(from).into()), &Workload::cgroup(path(to).into()));
                    let of_from: Vec<_> = known.iter().filter(|(of, _)| *of == from).copied().collect();
                    for (_, name) in of_from {
                        known.remove(&(from, name));
                        known.insert((to, name));
                    }
                    let count = counts.remove(&from).unwrap_or(0);
                    *counts.entry(to).or_default() += count;
                }
                Op::Forget(workload) => {
                    violations.forget_all_of(&Workload::cgroup(path(workload).into()));
                    known.retain(|(of, _)| *of != workload);
                    counts.remove(&workload);
                }
            }
            prop_assert_eq!(total(&violations), counts.values().sum::<u64>());
            prop_assert_eq!((violations.len(), violations.dropped()), (known.len(), 0));
        }
    }
}
