mod anew;
mod arguments;
mod lasting;
mod usage;

use std::{collections::BTreeSet, path::Path};

use super::*;
use crate::{
    detect::{BaselineKey, PolicyList, Source},
    model::Model,
    process::ProcessTree,
    snapshot::SortedCounts,
    workload::{Label, Rules, providers::ProviderName},
};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const UID: &str = "2f6d8a0e-4b7c-4a55-9d32-6a1f0c9b8e71";

/// Who judges by these policies and the built-in one.
fn judges(policies: &str) -> Detector {
    let calls = Arc::new(CallTable::x86_64());
    let policies = Arc::new(parsed(policies, true));
    let processes = (Path::new("/nonexistent").to_owned(), CommandLines::Full);
    Detector::new((policies, Baselines::default()), calls, MetadataCache::default(), processes)
}

fn parsed(policies: &str, built_in: bool) -> Policies {
    let list: PolicyList = serde_saphyr::from_str(&format!("policies: {policies}")).unwrap();
    let source = |spec| Source { spec, profiles: Vec::new(), origin: "test".into() };
    Policies::new(list.policies.into_iter().map(source).collect(), built_in, &CallTable::x86_64()).unwrap()
}

fn metadata(owner: Option<&str>) -> Labels {
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

fn named(owner: Option<&str>) -> ResolvedWorkload {
    let metadata = metadata(owner);
    ResolvedWorkload { workload: Workload::Resolved(metadata.only(&Label::DEFAULT)), metadata }
}

/// The same workload before its metadata arrives.
fn unresolved() -> ResolvedWorkload {
    let path: Arc<str> = format!("/kubepods/pod{UID}/{ID}").into();
    let identity = Arc::new(CgroupIdentity::of(&path));
    let metadata = Labels::new([(Label::ContainerId, ID.into()), (Label::Cgroup, path)]);
    ResolvedWorkload { workload: Workload::Unresolved(identity), metadata }
}

fn made(detector: &Detector, named: ResolvedWorkload, calls: &[(&str, u64)]) -> Delta {
    let id = |name| detector.calls.id("x86_64", name).unwrap();
    let calls: SortedCounts<CallId> = calls.iter().map(|&(name, count)| (id(name), count)).collect();
    Delta { named, cgroup_id: 1, before: None, calls, denied: SortedCounts::default() }
}

fn count(detector: &mut Detector, delta: Delta) {
    detector.judge_counted(&[delta], SystemTime::UNIX_EPOCH, |_| false);
}

/// Unexpected calls: which policy, which call, how often.
fn unexpected(detector: &Detector) -> Vec<(String, &'static str, u64)> {
    let all = detector.violations.counts();
    all.map(|(counted, count)| (counted.policy.to_string(), detector.calls.call(counted.call).syscall, count)).collect()
}

fn first(detector: &Detector, name: &str) -> FirstCall {
    let (comm, tree) = ("sh".to_owned(), ProcessTree::default());
    let process = Process { pid: 7, tid: 7, uid: 0, comm, exe: None, command_line: None, parents: Vec::new(), tree };
    let (call, time) = (detector.calls.id("x86_64", name).unwrap(), SystemTime::UNIX_EPOCH);
    FirstCall { cgroup_id: 1, call, number: 165, time, denied: false, process, is_partial: false }
}

#[test]
fn a_first_call_and_the_counters_make_one_violation() {
    let mut detector = judges("[]");
    let event = first(&detector, "mount");
    detector.judge_first(&named(None), event);
    let delta = made(&detector, named(None), &[("mount", 3), ("read", 9)]);
    count(&mut detector, delta);
    assert_eq!(unexpected(&detector), [("runtime-default".to_owned(), "mount", 3)]);
    let violation = detector.violations.iter().next().unwrap();
    assert_eq!((violation.count, violation.process.as_ref().unwrap().comm.as_str()), (3, "sh"));
}

#[test]
fn a_name_decides_which_policy_judges_a_first_call() {
    let shop = "[{name: shop, match: [{namespace: shop}], allow: [mount]}]";
    let mut detector = judges(shop);
    let resolver = resolver(&detector);
    let Workload::Unresolved(identity) = unresolved().workload else { unreachable!() };
    // Asked for, so that it is waited for.
    assert!(matches!(resolver.of_identity(&identity).workload, Workload::Unresolved(_)));
    let event = first(&detector, "mount");
    detector.first(&resolver, &unresolved(), event);
    detector.judge_named(&resolver);
    assert!(detector.is_waiting() && detector.violations.is_empty());
    let [name, runtime] = ["web", "containerd"].map(Arc::from);
    let pod = crate::workload::PodInfo { uid: UID.into(), namespace: "shop".into(), name: "web-1".into() };
    let facts =
        crate::workload::ContainerInfo { id: ID.into(), name, pod: Some(pod), image: None, runtime, is_pause: false };
    detector.cache.answered(ProviderName::Cri, &[], vec![facts]);
    detector.judge_named(&resolver);
    assert!(!detector.is_waiting());
    assert_eq!(detector.violations.len(), 0, "the policy of its namespace allows it");
}

#[test]
fn what_was_judged_under_a_path_is_judged_anew_by_the_policy_of_the_name() {
    let mut detector = judges("[{name: shop, match: [{namespace: shop}], allow: [mount]}]");
    let delta = made(&detector, unresolved(), &[("mount", 3), ("setns", 2)]);
    count(&mut detector, delta);
    assert_eq!(unexpected(&detector).len(), 2);
    detector.renamed(&HashMap::from([(unresolved().workload, named(None))]));
    let delta = made(&detector, named(None), &[("mount", 3), ("setns", 2)]);
    count(&mut detector, Delta { before: Some(unresolved().workload), ..delta });
    assert_eq!(unexpected(&detector), [("shop".to_owned(), "setns", 2)]);
}

#[test]
fn what_the_same_policy_judged_goes_along_and_is_not_counted_twice() {
    let mut detector = judges("[]");
    let delta = made(&detector, unresolved(), &[("mount", 3)]);
    count(&mut detector, delta);
    detector.renamed(&HashMap::from([(unresolved().workload, named(None))]));
    let delta = made(&detector, named(None), &[("mount", 3)]);
    count(&mut detector, Delta { before: Some(unresolved().workload), ..delta });
    assert_eq!(unexpected(&detector), [("runtime-default".to_owned(), "mount", 3)]);
    assert_eq!(detector.violations.iter().next().unwrap().workload, named(None).workload);
}

#[test]
fn while_it_learns_a_policy_judges_what_it_denies_and_then_the_rest() {
    let mut detector = judges("[{name: shop, match: [{namespace: shop}], learn: {}, deny: [ptrace]}]");
    let web = named(Some("web"));
    let delta = made(&detector, web.clone(), &[("chroot", 3), ("ptrace", 1)]);
    count(&mut detector, delta);
    assert_eq!(unexpected(&detector), [("shop".to_owned(), "ptrace", 1)]);
    let key: BaselineKey = "shop/Deployment/web/web".parse().unwrap();
    assert!(detector.baselines.approve(&key, SystemTime::UNIX_EPOCH));
    let delta = made(&detector, web, &[("chroot", 1), ("exit_group", 1), ("setns", 2)]);
    count(&mut detector, delta);
    assert_eq!(unexpected(&detector), [("shop".to_owned(), "ptrace", 1), ("shop".to_owned(), "setns", 2)]);
}

#[test]
fn nothing_is_learned_before_the_owner_is_known() {
    let mut detector = judges("[{name: all, match: ['container_id!=\"\"'], learn: {}}]");
    detector.cache.set_status(ProviderName::Kubernetes, None);
    for named in [unresolved(), named(None)] {
        let delta = made(&detector, named, &[("mount", 3)]);
        count(&mut detector, delta);
    }
    assert_eq!(
        detector.baselines.iter().count(),
        0,
        "neither its path nor its pod is a kind, when the API may tell of an owner"
    );
    let delta = made(&detector, named(Some("web")), &[("mount", 3)]);
    count(&mut detector, delta);
    assert_eq!(detector.baselines.iter().next().unwrap().kind.as_str(), "shop/Deployment/web/web");
}

/// Names, with a source of them that never answers.
fn resolver(detector: &Detector) -> WorkloadResolver {
    detector.cache.set_status(ProviderName::Cri, None);
    let rules = Rules {
        labels: Label::DEFAULT.to_vec(),
        keep: Vec::new(),
        drop: Vec::new(),
        pause: false,
        group_transient: true,
    };
    WorkloadResolver::new(detector.cache.clone(), rules, "node1".into())
}

fn tree() -> Tree {
    Tree::new([].into_iter())
}

/// The violations: workload, cgroup and process of each.
fn violations(detector: &Detector) -> Vec<(String, String, u32)> {
    let of = |violation: &Violation| {
        let cgroup = violation.metadata.get(Label::Cgroup).map(ToString::to_string).unwrap_or_default();
        (violation.workload.to_string(), cgroup, violation.process.as_ref().map_or(0, |process| process.pid))
    };
    let mut violations: Vec<_> = detector.violations.iter().map(of).collect();
    violations.sort();
    violations
}

#[test]
fn a_call_of_an_unknown_cgroup_is_judged_when_its_path_is_known() {
    let mut detector = judges("[]");
    let (mut resolver, mut tree) = (resolver(&detector), tree());
    let event = FirstCall { cgroup_id: 7, ..first(&detector, "mount") };
    detector.first(&resolver, &unknown(7), event);
    detector.judge_found(&mut resolver, &tree);
    assert_eq!((detector.without_path().collect::<Vec<_>>(), violations(&detector)), (vec![7], Vec::new()));
    let path = format!("/system.slice/lxc.payload/docker-{ID}.scope");
    tree.apply(crate::cgroup::TreeChange::Born { id: 7, parent: None, unprivileged: false, path: path.as_bytes() });
    detector.judge_found(&mut resolver, &tree);
    detector.judge_named(&resolver);
    // The detector waits for the container's name.
    assert!(detector.without_path().next().is_none() && detector.is_waiting());
    // No policy applies to a unit of the host.
    let event = FirstCall { cgroup_id: 8, ..first(&detector, "mount") };
    detector.first(&resolver, &unknown(8), event);
    tree.apply(crate::cgroup::TreeChange::Born {
        id: 8,
        parent: None,
        unprivileged: false,
        path: b"/system.slice/a.service",
    });
    detector.judge_found(&mut resolver, &tree);
    assert_eq!(violations(&detector), []);
}

#[test]
fn what_stays_unknown_is_reported_as_such_where_it_would_be_critical() {
    let mut detector = judges("[]");
    let (mut resolver, mut tree) = (resolver(&detector), tree());
    tree.add_unnamed(7);
    for sees_all in [false, true] {
        detector.sees_all_cgroups(sees_all);
        for name in ["mount", "read", "getcpu", "vhangup"] {
            let event = FirstCall { cgroup_id: 7, ..first(&detector, name) };
            detector.first(&resolver, &unknown(7), event);
        }
        detector.judge_found(&mut resolver, &tree);
        let delta = Delta { cgroup_id: 7, ..made(&detector, unknown(0), &[("mount", 3), ("read", 5)]) };
        count(&mut detector, delta);
        let expected = ("(unknown)".to_owned(), "(id 7)".to_owned(), 7);
        assert_eq!(violations(&detector), if sees_all { vec![expected] } else { Vec::new() });
    }
    assert_eq!(unexpected(&detector), [("runtime-default".to_owned(), "mount", 3)]);
}

#[test]
fn the_remainder_and_pause_containers_are_judged() {
    let mut detector = judges("[]");
    let remainder = ResolvedWorkload { workload: Workload::Remainder, metadata: Labels::default() };
    let delta = made(&detector, remainder, &[("mount", 3), ("read", 5)]);
    count(&mut detector, delta);
    let pause = ResolvedWorkload { workload: Workload::Pause, metadata: metadata(None) };
    let resolver = resolver(&detector);
    let event = first(&detector, "ptrace");
    detector.first(&resolver, &pause, event);
    let workloads: Vec<String> = violations(&detector).into_iter().map(|(workload, ..)| workload).collect();
    assert_eq!(workloads, ["(pause)", "(remainder)"]);
    let dropped = ResolvedWorkload { workload: Workload::Dropped, metadata: metadata(None) };
    let event = first(&detector, "bpf");
    detector.first(&resolver, &dropped, event);
    assert_eq!(violations(&detector).len(), 2);
}

#[test]
fn a_flood_of_calls_that_wait_for_names_delays_no_other_and_loses_none() {
    let mut detector = judges("[]");
    let resolver = resolver(&detector);
    let container = |number: u32| {
        let identity = Arc::new(CgroupIdentity::of(&format!("/kubepods/pod{UID}/{number:064x}").into()));
        ResolvedWorkload {
            workload: resolver.of_identity(&identity).workload,
            metadata: Labels::new([(Label::ContainerId, ID.into())]),
        }
    };
    let critical = ["mount", "ptrace", "bpf"];
    for number in 0..40 {
        for _ in 0..300 {
            let event = first(&detector, "mount");
            detector.first(&resolver, &container(number), event);
        }
    }
    let before = detector.violations.len();
    for name in critical {
        let event = first(&detector, name);
        detector.first(&resolver, &container(1000), event);
    }
    let waits = |detector: &Detector| detector.waiting.of(&container(1000).workload);
    assert_eq!(waits(&detector), 3);
    assert!(before > 0, "what could wait no longer was judged at once");
    for _ in 0..300 {
        let event = first(&detector, "mount");
        detector.first(&resolver, &container(41), event);
    }
    assert_eq!(waits(&detector), 3, "its calls still wait");
}

#[test]
fn other_policies_judge_from_then_on() {
    let mut detector = judges("[]");
    detector.set_policies(Arc::new(parsed("[]", false)));
    let delta = made(&detector, named(None), &[("mount", 3)]);
    count(&mut detector, delta);
    assert_eq!(unexpected(&detector), []);
}

#[test]
fn what_is_critical_is_judged_while_it_learns_and_not_learned() {
    let mut detector = judges("[{name: shop, match: [{namespace: shop}], learn: {}}]");
    let delta = made(&detector, named(Some("web")), &[("unshare", 2), ("read", 1)]);
    count(&mut detector, delta);
    assert_eq!(unexpected(&detector), [("shop".to_owned(), "unshare", 2)]);
    assert_eq!(detector.baselines.iter().next().unwrap().size(), 1);
}

#[test]
fn a_sibling_of_a_learned_call_is_expected_unless_it_is_critical() {
    let mut detector = judges("[{name: shop, match: [{namespace: shop}], critical: [writev], learn: {}}]");
    let delta = made(&detector, named(Some("web")), &[("openat", 1), ("write", 1)]);
    count(&mut detector, delta);
    let kind = detector.baselines.iter().next().unwrap().kind.clone();
    detector.baselines.approve(&kind, SystemTime::now());
    let delta = made(&detector, named(Some("web")), &[("open", 1), ("lseek", 1), ("writev", 1), ("unlink", 1)]);
    count(&mut detector, delta);
    let calls: BTreeSet<String> = unexpected(&detector).into_iter().map(|(_, call, _)| call.to_string()).collect();
    assert_eq!(calls, ["unlink".to_owned(), "writev".to_owned()].into());
}

#[test]
fn a_container_without_a_name_is_judged_by_the_built_in_policy_where_its_own_would_learn() {
    let mut detector = judges("[{name: all, match: ['container_id!=\"\"'], learn: {}}]");
    let delta = made(&detector, unresolved(), &[("mount", 3), ("read", 1)]);
    count(&mut detector, delta);
    assert_eq!(unexpected(&detector), [("runtime-default".to_owned(), "mount", 3)]);
}
