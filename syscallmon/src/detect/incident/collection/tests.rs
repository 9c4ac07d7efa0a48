use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use proptest::prelude::*;

use super::*;
use crate::{
    detect::{IncidentState, MAX_CALLS, Reason, Severity},
    process::{Ancestor, Process, ProcessTree},
    syscalls::{Call, CallId, CallTable},
    workload::Labels,
};

const NEVER: Duration = Duration::from_hours(24);
const SECOND: Duration = Duration::from_secs(1);

fn key(pid: u32) -> ProcessKey {
    ProcessKey { pid, started: Some(u64::from(pid) + 1000) }
}

/// A process with these ancestors inside its container, the nearest first.
fn process(pid: u32, comm: &str, ancestors: &[u32]) -> Process {
    let of = |pid, comm: &str, tree| Process {
        pid,
        tid: pid,
        uid: 0,
        comm: comm.to_owned(),
        exe: None,
        command_line: None,
        parents: Vec::new(),
        tree,
    };
    let root = ancestors.last().map(|&root| Box::new(of(root, "root", ProcessTree::default())));
    let ancestors = ancestors.iter().copied().map(key).collect();
    of(pid, comm, ProcessTree { started: key(pid).started, ancestors, knows_parent: true, root })
}

fn made(pod: &str, syscall: &'static str, process: impl Into<Option<Process>>) -> Violation {
    let labels = Labels::new([(Label::Namespace, "shop".into()), (Label::Pod, pod.into())]);
    Violation {
        time: SystemTime::UNIX_EPOCH,
        last_seen: SystemTime::UNIX_EPOCH,
        count: 1,
        workload: Workload::Resolved(labels.clone()),
        metadata: labels,
        call: Call { abi: "x86_64", syscall },
        number: None,
        denied: false,
        process: process.into(),
        policy: "p".into(),
        severity: Severity::Critical,
        reason: Reason::NotAllowed,
        runtime_default_allows: false,
    }
}

/// Incidents, and the time.
struct Test {
    incidents: Incidents,
    now: Instant,
}

impl Test {
    fn new() -> Self {
        Self { incidents: Incidents::default(), now: Instant::now() }
    }

    fn join(&mut self, violation: Violation) -> StableId {
        self.incidents.join(violation, true, self.now)
    }

    /// The state and the calls of each notice, and how many of them are new.
    fn notices(&mut self) -> Vec<(IncidentState, Vec<&'static str>, usize)> {
        let notices = self.incidents.take_notices(self.now);
        let of = |notice: IncidentNotice| {
            let calls = notice.incident.calls.iter().map(|call| call.call.syscall).collect();
            (notice.incident.state, calls, notice.news.len())
        };
        notices.into_iter().map(of).collect()
    }

    fn incident(&self, id: StableId) -> Arc<Incident> {
        self.incidents.view().into_iter().find(|incident| incident.id == id).expect("it is kept")
    }
}

#[test]
fn an_intruder_s_burst_is_one_incident_and_one_notice_that_a_critical_call_hastens() {
    let mut test = Test::new();
    let shell = || process(40, "sh", &[]);
    let warning = |syscall| Violation { severity: Severity::Warning, ..made("web", syscall, shell()) };
    let id = test.join(warning("chmod"));
    assert_eq!(test.notices(), [], "it waits for more");
    test.now += SECOND / 10;
    assert_eq!(test.join(made("web", "mount", process(41, "mount", &[40]))), id);
    assert_eq!(test.notices(), [(IncidentState::New, vec!["mount", "chmod"], 2)], "at once");
    for (pid, syscall) in [(42, "unshare"), (43, "ptrace"), (44, "bpf")] {
        test.now += SECOND / 10;
        assert_eq!(test.join(made("web", syscall, process(pid, syscall, &[40]))), id);
        assert_eq!(test.notices(), []);
    }
    assert_eq!(test.incidents.due(), Some(test.now + SECOND * 7 / 10));
    test.now += SECOND;
    let all = vec!["mount", "unshare", "ptrace", "bpf", "chmod"];
    assert_eq!(test.notices(), [(IncidentState::Grown, all, 3)]);
    let incident = test.incident(id);
    assert_eq!(
        incident.message(),
        "shop/web: mount, unshare, ptrace, ... (started by sh) made 5 unexpected calls: mount, unshare, ptrace, bpf, \
         chmod (critical)"
    );
    assert_eq!(
        (incident.count, incident.severity, incident.process.as_ref().unwrap().pid),
        (5, Severity::Critical, 40)
    );
}

#[test]
fn a_warning_is_noticed_after_a_second() {
    let mut test = Test::new();
    test.join(Violation { severity: Severity::Warning, ..made("web", "chmod", process(40, "sh", &[])) });
    assert_eq!(test.incidents.due(), Some(test.now + SECOND));
    test.now += SECOND;
    assert_eq!(test.notices(), [(IncidentState::New, vec!["chmod"], 1)]);
}

#[test]
fn a_critical_call_waits_only_shortly_after_another() {
    let mut test = Test::new();
    test.join(made("web", "mount", process(40, "sh", &[])));
    test.notices();
    test.now += SECOND;
    test.join(made("web", "bpf", process(40, "sh", &[])));
    assert_eq!(test.notices(), [(IncidentState::Grown, vec!["mount", "bpf"], 1)]);
    test.join(made("web", "setns", process(40, "sh", &[])));
    assert_eq!((test.notices(), test.incidents.due()), (vec![], Some(test.now + SECOND)));
}

#[test]
fn other_trees_and_workloads_are_incidents_of_their_own() {
    let mut test = Test::new();
    let first = test.join(made("web", "mount", process(41, "mount", &[40])));
    assert_ne!(test.join(made("web", "bpf", process(51, "bpf", &[50]))), first, "another tree");
    assert_ne!(test.join(made("db", "bpf", process(42, "bpf", &[40]))), first, "another workload");
    assert_eq!(test.join(made("web", "reboot", process(43, "reboot", &[40]))), first);
    let mut again = process(42, "setns", &[40]);
    again.tree.ancestors[0].started = Some(7);
    assert_ne!(test.join(made("web", "setns", again)), first, "the id of the root was used again");
}

#[test]
fn a_process_whose_parents_have_ended_belongs_to_their_tree() {
    let mut test = Test::new();
    let id = test.join(made("web", "mount", process(42, "evil", &[41, 40])));
    // Its parents have ended, and it is a child of init now.
    assert_eq!(test.join(made("web", "bpf", process(42, "evil", &[]))), id);
    assert_eq!(test.join(made("web", "setns", process(43, "evil", &[42]))), id);
    // It had ended before it was looked up: only the kernel's parent is known.
    let mut gone = process(44, "evil", &[]);
    (gone.tree.started, gone.tree.knows_parent) = (None, false);
    gone.parents = vec![Ancestor { pid: 41, comm: "sh".to_owned(), exe: None }];
    assert_eq!(test.join(made("web", "ptrace", gone)), id);
}

#[test]
fn of_processes_that_had_ended_too_early_those_with_one_parent_are_one_tree() {
    let mut test = Test::new();
    let gone = |pid, parent| {
        let mut gone = process(pid, "mount", &[]);
        (gone.tree.started, gone.tree.knows_parent) = (None, false);
        gone.parents = vec![Ancestor { pid: parent, comm: "sh".to_owned(), exe: None }];
        gone
    };
    let id = test.join(made("web", "mount", gone(41, 40)));
    assert_eq!(test.join(made("web", "bpf", gone(42, 40))), id);
    assert_eq!(test.incident(id).process.as_ref().unwrap().pid, 41);
    assert_eq!(test.join(made("web", "setns", process(40, "sh", &[]))), id, "the parent itself");
    assert_eq!(test.incident(id).process.as_ref().unwrap().pid, 40, "it is the root");
    assert_ne!(test.join(made("web", "ptrace", gone(51, 50))), id);
    let mut outside = gone(52, 50);
    outside.tree.knows_parent = true;
    let newest = test.incidents.newest[&made("web", "", None).workload];
    assert_ne!(test.join(made("web", "reboot", outside)), newest, "its parent is known to be outside");
    assert_ne!(test.join(made("db", "mount", gone(43, 40))), id);
}

#[test]
fn calls_without_a_process_join_the_open_incident_and_one_without_a_process_gets_it_later() {
    let mut test = Test::new();
    let id = test.join(made("web", "mount", None));
    assert_eq!(test.incident(id).message(), "shop/web: a process made an unexpected call: mount (critical)");
    assert_eq!(test.join(made("web", "bpf", process(41, "evil", &[40]))), id);
    assert_eq!(test.incident(id).process.as_ref().unwrap().pid, 40);
    assert_eq!(test.join(made("web", "setns", None)), id);
    assert_ne!(test.join(made("web", "ptrace", process(60, "other", &[]))), id, "it has a process now");
    assert_ne!(test.join(made("db", "mount", None)), id);
}

#[test]
fn after_the_window_a_new_call_is_another_incident_and_a_repeat_continues_its_own() {
    let mut test = Test::new();
    let window = test.incidents.times.window;
    let id = test.join(made("web", "mount", process(40, "sh", &[])));
    test.now += window * 9 / 10;
    assert_eq!(test.join(made("web", "bpf", process(40, "sh", &[]))), id);
    test.notices();
    test.now += window;
    let other = test.join(made("web", "setns", process(40, "sh", &[])));
    assert_ne!(other, id, "also of the same process");
    let repeat = Violation { count: 7, ..made("web", "mount", process(40, "sh", &[])) };
    assert_eq!(test.incidents.join(repeat, false, test.now), id);
    assert_eq!((test.incident(id).count, test.incident(id).calls.len()), (8, 2));
    let repeated = vec!["mount", "bpf"];
    assert!(test.notices().contains(&(IncidentState::Repeated, repeated, 0)));
}

#[test]
fn a_quiet_incident_is_resolved_once_and_goes_on_with_its_next_call() {
    let mut test = Test::new();
    test.join(made("web", "mount", process(40, "sh", &[])));
    test.notices();
    for _ in 0..2 {
        test.now += test.incidents.times.resolve_after;
        test.incidents.tick(test.now, NEVER);
    }
    assert_eq!(test.notices(), [(IncidentState::Resolved, vec!["mount"], 0)]);
    let repeat = Violation { count: 2, ..made("web", "mount", process(40, "sh", &[])) };
    test.incidents.join(repeat, false, test.now);
    assert_eq!(test.notices(), [(IncidentState::Repeated, vec!["mount"], 0)]);
    test.now += NEVER;
    test.incidents.tick(test.now, NEVER);
    assert_eq!(test.notices(), [(IncidentState::Resolved, vec!["mount"], 0)]);
    let Incidents { kept, violations, processes, newest, due, .. } = &test.incidents;
    assert_eq!((kept.len(), violations.len(), processes.len(), newest.len(), due.len()), (0, 0, 0, 0, 0));
}

#[test]
fn lesser_calls_are_left_out_and_counted() {
    let (mut test, table) = (Test::new(), CallTable::x86_64());
    let id = test.join(made("web", "", process(40, "sh", &[])));
    let calls = (500..1000).map(|id| table.call(CallId(id)));
    for call in calls {
        test.join(Violation { call, denied: true, ..made("web", "", process(40, "sh", &[])) });
    }
    let warning = |syscall| Violation { severity: Severity::Warning, ..made("web", syscall, process(40, "sh", &[])) };
    test.join(warning("chmod"));
    test.join(made("web", "mount", process(40, "sh", &[])));
    let incident = test.incident(id);
    assert_eq!((incident.calls.len(), incident.number_of_calls(), incident.count), (MAX_CALLS, 503, 503));
    let first: Vec<(&str, bool)> = incident.calls.iter().map(|call| (call.call.syscall, call.denied)).take(3).collect();
    assert_eq!(first[..2], [("", false), ("mount", false)], "denied attempts hide no call that ran");
    assert!(first[2].1 && incident.calls.iter().all(|call| call.severity == Severity::Critical));
}

#[test]
fn a_container_that_gets_its_name_keeps_its_incident() {
    let mut test = Test::new();
    let id = test.join(made("unnamed", "mount", process(40, "sh", &[])));
    let named = made("web", "bpf", process(41, "sh", &[40]));
    test.incidents.rename(&made("unnamed", "", None).workload, &named.workload, test.now);
    assert_eq!(test.join(named.clone()), id);
    let repeat = Violation { count: 3, ..made("web", "mount", None) };
    assert_eq!(test.incidents.join(repeat, false, test.now), id);
    assert_eq!((test.incident(id).workload.clone(), test.incident(id).count), (named.workload, 4));
}

#[test]
fn calls_that_are_allowed_now_leave_their_incident_and_the_last_one_ends_it() {
    let mut test = Test::new();
    let id = test.join(made("web", "mount", process(40, "sh", &[])));
    let warning = Violation { severity: Severity::Warning, ..made("web", "chmod", process(40, "sh", &[])) };
    test.join(warning.clone());
    test.now += SECOND;
    test.notices();
    test.incidents.end_calls(&warning.workload, |call| call.call.syscall == "mount");
    assert_eq!((test.incident(id).severity, test.incident(id).count), (Severity::Warning, 1));
    test.incidents.end_calls(&warning.workload, |_| true);
    assert_eq!(test.notices(), [(IncidentState::Resolved, vec!["chmod"], 0)]);
    assert!(test.incidents.view().is_empty() && test.incidents.violations.is_empty());
}

#[test]
fn the_id_is_the_same_after_a_restart_and_another_for_a_later_incident_of_the_same_tree() {
    let mut test = Test::new();
    let call = || made("web", "mount", process(41, "mount", &[40]));
    let id = test.join(call());
    assert_eq!(Test::new().join(call()), id);
    assert_eq!(Test::new().join(made("web", "bpf", process(42, "bpf", &[40]))), id, "whatever is called first");
    test.now += NEVER / 2;
    assert_ne!(test.join(made("web", "bpf", process(41, "mount", &[40]))), id);
}

#[test]
fn who_forks_a_tree_for_each_call_takes_no_room_of_others_and_every_call_is_noticed() {
    let mut test = Test::new();
    let victim = test.join(made("victim", "mount", process(40, "sh", &[])));
    let mut noticed = test.notices().len();
    let evil = |pid: u32| {
        let labels = Labels::new([(Label::Namespace, "evil".into()), (Label::Pod, "evil".into())]);
        let workload = Workload::Resolved(labels.clone());
        let policy = format!("p{pid}").into();
        Violation { workload, metadata: labels, policy, ..made("", "mount", process(pid, "evil", &[])) }
    };
    let number = u32::try_from(CAPACITY.entries).unwrap() + 100;
    for pid in 0..number {
        test.join(evil(100 + pid));
        noticed += test.notices().len();
    }
    assert_eq!(noticed, number as usize + 1);
    assert!(test.incidents.kept.len() <= CAPACITY.entries && test.incidents.kept.contains(&victim));
    let Incidents { kept, violations, processes, due, .. } = &test.incidents;
    assert_eq!((violations.len(), processes.len(), due.len()), (kept.len(), kept.len(), 0), "indexes are bounded");
}

const CALLS: [&str; 6] = ["mount", "bpf", "ptrace", "setns", "chmod", "reboot"];
const PODS: [&str; 3] = ["a", "b", "c"];

/// What happens to violations.
#[derive(Clone, Debug)]
enum Op {
    /// A call: of a pod, by its index; by a process, or none; so often.
    Call {
        pod: usize,
        call: usize,
        process: Option<(u32, Vec<u32>)>,
        times: u64,
        is_critical: bool,
    },
    /// So many seconds pass.
    Pass(u64),
    Take,
}

fn op() -> impl Strategy<Value = Op> {
    let process = prop::option::of((40..48_u32, prop::collection::vec(40..48_u32, 0..3)));
    let call = (0..PODS.len(), 0..CALLS.len(), process, 1..4_u64, any::<bool>());
    prop_oneof![
        6 => call.prop_map(|(pod, call, process, times, is_critical)| {
            Op::Call { pod, call, process, times, is_critical }
        }),
        1 => (0..900_u64).prop_map(Op::Pass),
        2 => Just(Op::Take),
    ]
}

proptest! {
    #[test]
    fn every_violation_reaches_exactly_one_incident_and_one_notice(ops in proptest::collection::vec(op(), 0..120)) {
        let mut test = Test::new();
        let mut counts: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        let mut incident_of: BTreeMap<(usize, usize), StableId> = BTreeMap::new();
        let mut noticed: BTreeSet<StableId> = BTreeSet::new();
        for op in ops.into_iter().chain([Op::Pass(2), Op::Take]) {
            match op {
                Op::Call { pod, call, process, times, is_critical } => {
                    let severity = if is_critical { Severity::Critical } else { Severity::Warning };
                    let key = (pod, call);
                    let is_new = !counts.contains_key(&key);
                    let count = counts.entry(key).or_default();
                    *count += times;
                    let process = process.map(|(pid, ancestors)| self::process(pid, "sh", &ancestors));
                    let made = Violation { count: *count, severity, ..made(PODS[pod], CALLS[call], process) };
                    let id = test.incidents.join(made, is_new, test.now);
                    prop_assert_eq!(*incident_of.entry(key).or_insert(id), id, "a violation stays in its incident");
                }
                Op::Pass(seconds) => {
                    test.now += Duration::from_secs(seconds);
                    test.incidents.tick(test.now, NEVER * 1000);
                }
                Op::Take => {
                    for notice in test.incidents.take_notices(test.now) {
                        for new in notice.news {
                            prop_assert!(new.is_new && noticed.insert(new.violation.id()), "noticed twice");
                        }
                    }
                }
            }
            let incidents = test.incidents.view();
            let calls: Vec<StableId> =
                incidents.iter().flat_map(|incident| incident.calls.iter().map(|call| call.id())).collect();
            prop_assert_eq!(calls.len(), counts.len(), "one incident has it");
            prop_assert_eq!(calls.iter().collect::<BTreeSet<_>>().len(), counts.len());
            prop_assert_eq!(incidents.iter().map(|incident| incident.count).sum::<u64>(), counts.values().sum::<u64>());
            for incident in incidents {
                let of_it = incident.calls.iter().all(|call| call.workload == incident.workload);
                let worst = incident.calls.iter().map(|call| call.severity).max();
                prop_assert!(of_it && worst <= Some(incident.severity));
            }
        }
        prop_assert_eq!(noticed.len(), counts.len(), "every violation was noticed");
        prop_assert_eq!(test.incidents.due(), None);
    }
}
