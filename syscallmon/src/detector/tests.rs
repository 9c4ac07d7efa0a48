use std::path::Path;

use super::*;
use crate::{
    kernel::Capacity,
    model::Model,
    policy::{PolicyList, Source},
    tally::Tally,
    workload::{Label, Rules},
};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const UID: &str = "2f6d8a0e-4b7c-4a55-9d32-6a1f0c9b8e71";

/// A state with these policies and the built-in one, and who judges by them.
fn judges(policies: &str) -> (State, Detector) {
    let capacity = Capacity { cgroups: 1, series: 1, errors: 1, histograms: 1, timed_calls: 1 };
    let known = (Model::new(usize::MAX), Directory::default());
    let mut state = State::new(CallTable::x86_64(), Vec::new(), capacity, 1, "cgroup2".into(), Vec::new(), known);
    let list: PolicyList = serde_saphyr::from_str(&format!("policies: {policies}")).unwrap();
    let source = |spec| Source { spec, profiles: Vec::new(), origin: "test".into() };
    state.policies =
        Arc::new(Policies::new(list.policies.into_iter().map(source).collect(), true, &state.calls).unwrap());
    let detector = Detector::new(Arc::clone(&state.policies), Path::new("/nonexistent").to_owned());
    (state, detector)
}

fn about(owner: Option<&str>) -> Labels {
    let labels = [
        (Label::Namespace, "shop"),
        (Label::Pod, "web-1"),
        (Label::Container, "web"),
        (Label::ContainerId, ID),
        (Label::PodUid, UID),
        (Label::Owner, owner.unwrap_or_default()),
        (Label::OwnerKind, owner.map(|_| "Deployment").unwrap_or_default()),
    ];
    Labels::new(labels.map(|(label, value)| (label, value.into())))
}

fn named(owner: Option<&str>) -> Named {
    let about = about(owner);
    Named { workload: Workload::Named(about.only(&Label::DEFAULT)), about }
}

/// The same before anybody knew its name.
fn unresolved() -> Named {
    let path: Arc<str> = format!("/kubepods/pod{UID}/{ID}").into();
    let place = Arc::new(Place::of(&path));
    let about = Labels::new([(Label::ContainerId, ID.into()), (Label::Cgroup, path)]);
    Named { workload: Workload::Unresolved(place), about }
}

fn made(state: &State, named: Named, calls: &[(&str, u64)]) -> News {
    let id = |name| state.calls.id("x86_64", name).unwrap();
    let calls: Tally<CallId> = calls.iter().map(|&(name, count)| (id(name), count)).collect();
    News { named, cgroup_id: 1, before: None, calls, refused: Tally::default() }
}

fn count(state: &mut State, detector: &mut Detector, news: News) {
    detector.counted(state, &[news], SystemTime::UNIX_EPOCH, |_| false);
}

/// Unexpected calls: which policy, which call, how often.
fn unexpected(state: &State) -> Vec<(String, &'static str, u64)> {
    let all = state.violations.counts();
    all.map(|(counted, count)| (counted.policy.to_string(), state.calls.call(counted.call).syscall, count)).collect()
}

fn first(state: &State, name: &str) -> First {
    let process =
        Process { pid: 7, tid: 7, uid: 0, comm: "sh".to_owned(), exe: None, command_line: None, parents: Vec::new() };
    let (call, time) = (state.calls.id("x86_64", name).unwrap(), SystemTime::UNIX_EPOCH);
    First { call, number: 165, time, refused: false, process, is_partial: false }
}

#[test]
fn a_first_call_and_the_counters_make_one_violation() {
    let (mut state, mut detector) = judges("[]");
    let event = first(&state, "mount");
    detector.judge_first(&mut state, &named(None), event);
    let news = made(&state, named(None), &[("mount", 3), ("read", 9)]);
    count(&mut state, &mut detector, news);
    assert_eq!(unexpected(&state), [("runtime-default".to_owned(), "mount", 3)]);
    let violation = state.violations.iter().next().unwrap();
    assert_eq!((violation.count, violation.process.as_ref().unwrap().comm.as_str()), (3, "sh"));
}

#[test]
fn a_name_decides_which_policy_judges_a_first_call() {
    let shop = "[{name: shop, match: [{namespace: shop}], allow: [mount]}]";
    let (mut state, mut detector) = judges(shop);
    state.directory.set_status(SourceName::Cri, None);
    let rules = Rules { labels: Label::DEFAULT.to_vec(), keep: Vec::new(), drop: Vec::new(), pause: false };
    let naming = Naming::new(state.directory.clone(), rules, "node1".into());
    let Workload::Unresolved(place) = unresolved().workload else { unreachable!() };
    // Asked for, so that it is waited for.
    assert!(matches!(naming.of_place(&place).workload, Workload::Unresolved(_)));
    let event = first(&state, "mount");
    detector.first(&mut state, &naming, &unresolved(), event);
    detector.named(&mut state, &naming);
    assert!(detector.is_waiting() && state.violations.is_empty());
    let [name, runtime] = ["web", "containerd"].map(Arc::from);
    let pod = crate::workload::PodFacts { uid: UID.into(), namespace: "shop".into(), name: "web-1".into() };
    let facts =
        crate::workload::ContainerFacts { id: ID.into(), name, pod: Some(pod), image: None, runtime, is_pause: false };
    state.directory.answered(SourceName::Cri, &[], vec![facts]);
    detector.named(&mut state, &naming);
    assert!(!detector.is_waiting());
    assert_eq!(state.violations.len(), 0, "the policy of its namespace allows it");
}

#[test]
fn what_was_judged_under_a_path_is_judged_anew_by_the_policy_of_the_name() {
    let (mut state, mut detector) = judges("[{name: shop, match: [{namespace: shop}], allow: [mount]}]");
    let news = made(&state, unresolved(), &[("mount", 3), ("setns", 2)]);
    count(&mut state, &mut detector, news);
    assert_eq!(unexpected(&state).len(), 2);
    detector.renamed(&mut state, &HashMap::from([(unresolved().workload, named(None))]));
    let news = made(&state, named(None), &[("mount", 3), ("setns", 2)]);
    count(&mut state, &mut detector, News { before: Some(unresolved().workload), ..news });
    assert_eq!(unexpected(&state), [("shop".to_owned(), "setns", 2)]);
}

#[test]
fn what_the_same_policy_judged_goes_along_and_is_not_counted_twice() {
    let (mut state, mut detector) = judges("[]");
    let news = made(&state, unresolved(), &[("mount", 3)]);
    count(&mut state, &mut detector, news);
    detector.renamed(&mut state, &HashMap::from([(unresolved().workload, named(None))]));
    let news = made(&state, named(None), &[("mount", 3)]);
    count(&mut state, &mut detector, News { before: Some(unresolved().workload), ..news });
    assert_eq!(unexpected(&state), [("runtime-default".to_owned(), "mount", 3)]);
    assert_eq!(state.violations.iter().next().unwrap().workload, named(None).workload);
}

#[test]
fn while_it_learns_a_policy_judges_what_it_denies_and_then_the_rest() {
    let (mut state, mut detector) = judges("[{name: shop, match: [{namespace: shop}], learn: {}, deny: [ptrace]}]");
    let web = named(Some("web"));
    let news = made(&state, web.clone(), &[("mount", 3), ("ptrace", 1)]);
    count(&mut state, &mut detector, news);
    assert_eq!(unexpected(&state), [("shop".to_owned(), "ptrace", 1)]);
    let kind: Kind = "shop/Deployment/web/web".parse().unwrap();
    assert!(state.baselines.approve(&kind, SystemTime::UNIX_EPOCH));
    let news = made(&state, web, &[("mount", 1), ("setns", 2)]);
    count(&mut state, &mut detector, news);
    assert_eq!(unexpected(&state), [("shop".to_owned(), "ptrace", 1), ("shop".to_owned(), "setns", 2)]);
}

#[test]
fn nothing_is_learned_before_it_is_known_whose_it_is() {
    let (mut state, mut detector) = judges("[{name: all, match: ['container_id!=\"\"'], learn: {}}]");
    state.directory.set_status(SourceName::Kubernetes, None);
    for named in [unresolved(), named(None)] {
        let news = made(&state, named, &[("mount", 3)]);
        count(&mut state, &mut detector, news);
    }
    assert_eq!(
        state.baselines.iter().count(),
        0,
        "neither its path nor its pod is a kind, when the API may tell of an owner"
    );
    let news = made(&state, named(Some("web")), &[("mount", 3)]);
    count(&mut state, &mut detector, news);
    assert_eq!(state.baselines.iter().next().unwrap().kind.as_str(), "shop/Deployment/web/web");
}

#[test]
fn other_policies_are_taken_up_at_the_next_snapshot() {
    let (mut state, mut detector) = judges("[]");
    state.policies = Arc::new(Policies::new(Vec::new(), false, &state.calls).unwrap());
    detector.tick(&mut state, Instant::now(), SystemTime::UNIX_EPOCH);
    let news = made(&state, named(None), &[("mount", 3)]);
    count(&mut state, &mut detector, news);
    assert_eq!(unexpected(&state), []);
}
