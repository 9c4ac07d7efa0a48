use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::alert::tests::{notice, violation};

const HOUR: Duration = Duration::from_hours(1);

struct Test {
    throttle: AlertThrottle,
    now: Instant,
    known: HashSet<StableId>,
}

impl Test {
    fn new(rate: &str) -> Self {
        let now = Instant::now();
        let throttle = AlertThrottle::new("node-1".into(), rate.parse().unwrap(), (HOUR, HOUR / 4), now);
        Self { throttle, now, known: HashSet::new() }
    }

    /// Notices an incident that has only this violation. It is new once.
    fn note(&mut self, violation: Violation, is_new: bool) -> ThrottleDecision {
        let is_new = self.known.insert(violation.id()) && is_new;
        let mut decisions = self.throttle.note(notice(violation, is_new), self.now);
        assert_eq!(decisions.len(), 1);
        decisions.remove(0)
    }

    /// Returns how many of these violations are sent, and how many summaries.
    fn sent(&mut self, workload: &str, calls: impl IntoIterator<Item = u32>, severity: Severity) -> (usize, usize) {
        let verdicts = calls.into_iter().map(|call| {
            let call =
                crate::syscalls::Call { abi: "x86_64", syscall: Box::leak(format!("call-{call}").into_boxed_str()) };
            self.note(Violation { call, severity, ..violation(workload, "") }, true)
        });
        let sent: Vec<ThrottleDecision> = verdicts.filter(|verdict| verdict.send).collect();
        let summaries = sent.iter().filter(|sent| matches!(sent.record.content, Content::Suppressed(_))).count();
        (sent.len() - summaries, summaries)
    }
}

#[test]
fn repeats_are_recorded_once_an_interval() {
    let mut test = Test::new("1/10m");
    let first = test.note(violation("web", "mount"), true);
    assert!(first.send && first.record.state() == IncidentState::New);
    for _ in 0..719 {
        test.now += Duration::from_secs(5);
        assert!(!test.note(violation("web", "mount"), false).send);
    }
    test.now += Duration::from_secs(5);
    let repeated = test.note(Violation { count: 721, ..violation("web", "mount") }, false);
    assert!(repeated.send && repeated.record.state() == IncidentState::Repeated);
}

/// A notice of one incident with these calls, of which the last ones are new.
fn growth(calls: &[(&'static str, &'static str, Severity)], news: usize) -> IncidentNotice {
    let of = |&(abi, syscall, severity): &(&'static str, &'static str, Severity)| Violation {
        call: crate::syscalls::Call { abi, syscall },
        severity,
        ..violation("web", "")
    };
    let new = |call| NewCall { violation: Arc::new(of(call)), is_new: true };
    let incident = crate::alert::tests::incident(calls.iter().map(of));
    IncidentNotice { incident: Arc::new(incident), news: calls[calls.len() - news..].iter().map(new).collect() }
}

const MOUNT: (&str, &str, Severity) = ("x86_64", "mount", Severity::Critical);
const BPF: (&str, &str, Severity) = ("x86_64", "bpf", Severity::Critical);
const PTRACE: (&str, &str, Severity) = ("x86_64", "ptrace", Severity::Critical);
const READ: (&str, &str, Severity) = ("x86_64", "read", Severity::Warning);

fn states(decisions: &[ThrottleDecision]) -> Vec<(IncidentState, bool, bool)> {
    let of = |decision: &ThrottleDecision| {
        let is_incident = matches!(decision.record.content, Content::Incident(_));
        (decision.record.state(), is_incident, decision.send)
    };
    decisions.iter().map(of).collect()
}

#[test]
fn growth_is_sent_at_once_within_the_rate_and_a_summary_stands_for_more() {
    use IncidentState::{Grown, New, Repeated, Resolved};
    let mut test = Test::new("2/10m");
    assert_eq!(states(&test.throttle.note(growth(&[MOUNT], 1), test.now)), [(New, true, true)]);
    assert_eq!(states(&test.throttle.note(growth(&[MOUNT, BPF], 1), test.now)), [(Grown, true, true)]);
    // The summary, and the incident for sinks that get every change.
    let beyond = test.throttle.note(growth(&[MOUNT, BPF, PTRACE], 1), test.now);
    assert_eq!(states(&beyond), [(New, false, true), (Grown, true, false)]);
    assert!(beyond[0].record.message().ends_with("the worst: ptrace (x86_64), by sh (pid 4711)"));
    assert_eq!(test.throttle.suppressed(), 1);
    // A lesser call has room, and brings the others along.
    let lesser = test.throttle.note(growth(&[MOUNT, BPF, PTRACE, READ], 1), test.now);
    assert_eq!(states(&lesser), [(Grown, true, true)]);
    let Content::Incident(incident) = &lesser[0].record.content else { unreachable!() };
    assert_eq!(incident.calls.len(), 4);
    let all = [MOUNT, BPF, PTRACE, READ];
    assert_eq!(states(&test.throttle.note(growth(&all, 0), test.now)), [(Repeated, true, false)]);
    let mut end = growth(&all, 0);
    Arc::make_mut(&mut end.incident).state = Resolved;
    assert_eq!(states(&test.throttle.note(end.clone(), test.now)), [(Resolved, true, true)]);
    assert_eq!(states(&test.throttle.note(end, test.now)), [], "once");
}

#[test]
fn growth_that_was_suppressed_is_sent_when_there_is_room_again() {
    let mut test = Test::new("1/10m");
    test.throttle.note(growth(&[MOUNT], 1), test.now);
    let beyond = test.throttle.note(growth(&[MOUNT, BPF], 1), test.now);
    assert_eq!(states(&beyond).last().unwrap(), &(IncidentState::Grown, true, false));
    test.now += Duration::from_mins(10);
    let later = test.throttle.note(growth(&[MOUNT, BPF], 0), test.now);
    assert_eq!(states(&later), [(IncidentState::Grown, true, true)]);
}

#[test]
fn an_incident_that_was_not_sent_has_no_end() {
    let mut test = Test::new("1/10m");
    let mut end = growth(&[MOUNT], 0);
    Arc::make_mut(&mut end.incident).state = IncidentState::Resolved;
    assert!(test.throttle.note(end, test.now).is_empty());
}

#[test]
fn denied_calls_and_calls_that_ran_are_distinguished() {
    let mut test = Test::new("20/10m");
    assert!(test.note(violation("web", "mount"), true).send);
    assert!(test.note(Violation { denied: true, ..violation("web", "mount") }, true).send);
}

#[test]
fn a_flood_is_recorded_up_to_its_limit_with_one_summary() {
    let mut test = Test::new("20/10m");
    assert_eq!(test.sent("web", 0..400, Severity::Warning), (20, 1));
    assert_eq!(test.throttle.suppressed(), 380);
    let again = test.note(violation("web", "mount"), true);
    assert_eq!((again.send, again.record.state()), (true, IncidentState::New), "a critical one is sent all the same");
    assert_eq!(test.sent("other", 0..5, Severity::Warning), (5, 0), "and other workloads' are");
}

#[test]
fn what_was_suppressed_is_recorded_when_there_is_room_again() {
    let mut test = Test::new("2/10m");
    assert_eq!(test.sent("web", 0..5, Severity::Warning), (2, 1));
    test.now += Duration::from_mins(5);
    assert_eq!(test.sent("web", 0..5, Severity::Warning), (1, 0));
    assert_eq!(test.sent("web", 0..2, Severity::Warning), (0, 0), "records that were sent are not sent again");
}

#[test]
fn a_summary_says_how_many() {
    let mut test = Test::new("1/1h");
    test.note(violation("web", "mount"), true);
    let summary = test.note(violation("web", "bpf"), true);
    assert!(summary.send);
    assert_eq!(
        summary.record.message(),
        "shop/web-1/web: 1 more critical violation of policy runtime-default not sent (limit: 1 per 1h), \
         the worst: bpf (x86_64), by sh (pid 4711)"
    );
    test.note(violation("web", "bpf"), false);
    assert_eq!(test.throttle.suppressed(), 1, "a repeat is no new one");
}

#[test]
fn what_is_long_over_is_forgotten() {
    let mut test = Test::new("20/10m");
    assert_eq!(test.sent("web", 0..20, Severity::Warning), (20, 0));
    test.now += 2 * HOUR;
    assert!(test.note(violation("other", "mount"), true).send);
    assert_eq!((test.throttle.sent.len(), test.throttle.quotas.len()), (1, 1));
}

/// Makes first calls of one ABI in a container. Returns how many are sent, and the summaries' messages.
fn of_abi(test: &mut Test, abi: &'static str, calls: std::ops::Range<u32>) -> (usize, Vec<String>) {
    let calls = calls.map(|call| {
        let syscall = Box::leak(format!("call-{call}").into_boxed_str());
        Violation { call: crate::syscalls::Call { abi, syscall }, ..violation("web", "") }
    });
    let sent: Vec<ThrottleDecision> =
        calls.map(|violation| test.note(violation, true)).filter(|sent| sent.send).collect();
    let is_summary = |sent: &&ThrottleDecision| matches!(sent.record.content, Content::Suppressed(_));
    let summaries: Vec<String> = sent.iter().filter(is_summary).map(|sent| sent.record.message()).collect();
    (sent.len() - summaries.len(), summaries)
}

#[test]
fn calls_of_foreign_abis_and_refused_ones_hide_no_call_that_ran() {
    let mut test = Test::new("20/10m");
    for abi in ["x32", "ia32", "io_uring"] {
        assert_eq!(of_abi(&mut test, abi, 0..400).0, 20, "{abi} has a quota of its own");
    }
    for call in 0..400 {
        let syscall = Box::leak(format!("call-{call}").into_boxed_str());
        let call = crate::syscalls::Call { abi: "x86_64", syscall };
        test.note(Violation { call, denied: true, ..violation("web", "") }, true);
    }
    let real = test.note(violation("web", "mount"), true);
    assert!(real.send && matches!(real.record.content, Content::Incident(_)), "{real:?}");
}

#[test]
fn a_summary_names_the_worst_and_is_repeated_when_that_is_worse() {
    let mut test = Test::new("2/10m");
    let (sent, summaries) = of_abi(&mut test, "x32", 0..400);
    assert_eq!((sent, summaries.len()), (2, 1));
    assert!(summaries[0].ends_with("the worst: call-2 (x32), by sh (pid 4711)"), "{}", summaries[0]);
    assert_eq!(of_abi(&mut test, "x86_64", 0..2), (2, Vec::new()));
    let worse = test.note(violation("web", "mount"), true);
    assert!(
        worse.send && worse.record.message().contains(": 399 more critical violations"),
        "{}",
        worse.record.message()
    );
    assert!(worse.record.message().ends_with("the worst: mount (x86_64), by sh (pid 4711)"));
    // It stays the worst, whatever follows.
    of_abi(&mut test, "x32", 500..600);
    test.note(Violation { denied: true, ..violation("web", "bpf") }, true);
    let (_, again) = of_abi(&mut test, "x32", 600..601);
    assert_eq!(again, [""; 0]);
    test.now += Duration::from_mins(9);
    let later = test.note(violation("web", "bpf"), true);
    assert!(later.send && matches!(later.record.content, Content::Incident(_)), "there is room again");
}

#[test]
fn summaries_are_repeated_while_it_goes_on() {
    let mut test = Test::new("2/10m");
    let summaries: usize = (0..60_u32)
        .map(|minute| {
            test.now += Duration::from_mins(1);
            of_abi(&mut test, "x86_64", minute * 100..minute * 100 + 100).1.len()
        })
        .sum();
    assert_eq!(summaries, 6, "once a period");
}

#[test]
fn quotas_are_bounded_and_no_workload_takes_another_s() {
    let mut test = Test::new("1/1h");
    assert!(test.note(violation("web", "mount"), true).send);
    for pod in 0..MAX_QUOTAS.entries + 100 {
        let name = format!("evil-{pod}").into();
        let metadata = crate::workload::Labels::new([
            (crate::workload::Label::Namespace, "evil".into()),
            (crate::workload::Label::Pod, name),
        ]);
        test.note(
            Violation { workload: Workload::Resolved(metadata.clone()), metadata, ..violation("", "mount") },
            true,
        );
    }
    assert_eq!(test.throttle.quotas.len(), MAX_QUOTAS.entries);
    assert_eq!(test.throttle.sent.len(), MAX_QUOTAS.entries + 101);
    let more = test.note(violation("web", "bpf"), true);
    assert!(matches!(more.record.content, Content::Suppressed(_)), "its quota is still known");
    assert_eq!(test.sent("evil", 0..1, Severity::Warning).0, 1);
    let metadata = crate::workload::Labels::new([(crate::workload::Label::Namespace, "evil".into())]);
    let warned = (0..100).filter(|call| {
        let workload = Workload::cgroup(format!("/evil-{call}").into());
        let severity = Severity::Info;
        let notice = Violation { workload, severity, metadata: metadata.clone(), ..violation("", "mount") };
        test.note(notice, true).send
    });
    assert_eq!(warned.count(), 2, "one, and the summary: what finds no room for a quota is limited all the same");
}

const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_new_violation_is_sent_or_counted_in_a_summary(
        notices in proptest::collection::vec((0..3_usize, 0..12_usize, any::<bool>(), 0..400_u64), 0..60),
    ) {
        let mut test = Test::new("3/10m");
        // The calls of each incident, and those that were sent.
        let mut calls: [Vec<(&str, &str, Severity)>; 3] = [(); 3].map(|()| Vec::new());
        let (mut sent, mut suppressed) = ([0; 3], 0);
        for (index, call, is_critical, seconds) in notices {
            test.now += Duration::from_secs(seconds % 20 * (seconds / 20));
            let severity = if is_critical { Severity::Critical } else { Severity::Warning };
            let call = ("x86_64", NAMES[call], severity);
            let is_new = calls[index].iter().all(|(_, name, _)| *name != call.1);
            if is_new {
                calls[index].push(call);
            }
            let mut notice = growth(&calls[index], usize::from(is_new));
            let id = StableId::of("test", [NAMES[index]]);
            Arc::make_mut(&mut notice.incident).id = id;
            let decisions = test.throttle.note(notice, test.now);
            let is_sent = decisions.iter().any(|of| of.send && matches!(of.record.content, Content::Incident(_)));
            let summary = decisions.iter().find_map(|of| match &of.record.content {
                Content::Suppressed(summary) => Some(summary.severity),
                Content::Incident(_) => None,
            });
            if is_sent {
                sent[index] = calls[index].len();
            } else if is_new {
                suppressed += 1;
                prop_assert_eq!(summary, Some(severity), "a summary stands for it");
            }
            prop_assert_eq!(test.throttle.suppressed(), suppressed);
            prop_assert!(is_sent || sent[index] > 0 || summary.is_some(), "nothing is silent");
        }
    }
}
