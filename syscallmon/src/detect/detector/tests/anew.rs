//! Calls are judged anew when more becomes known of their workload.

use super::*;
use crate::{
    detect::Baseline,
    snapshot::{Counts, SlotCounts, Snapshot},
    workload::{
        Controller, PodInfo,
        providers::{Pod, PodChange},
    },
};

const LEARNS: &str = "[{name: shop, match: [{namespace: shop}], learn: {}}]";
const KIND: &str = "shop/StatefulSet/web/web";

/// A daemon with one container, with counts and a name that tests set.
pub(super) struct Scene {
    model: Model,
    pub(super) detector: Detector,
    calls: SortedCounts<CallId>,
    start: Instant,
}

impl Scene {
    pub(super) fn new(policies: &str) -> Self {
        Self {
            model: Model::new(usize::MAX),
            detector: judges(policies),
            calls: SortedCounts::default(),
            start: Instant::now(),
        }
    }

    /// The same where the Kubernetes API is away, with a baseline that guards and has these calls.
    fn without_kubernetes(learned: &[&str]) -> Self {
        let mut scene = Self::new(LEARNS);
        scene.detector.cache.set_status(ProviderName::Kubernetes, Some("away".to_owned()));
        assert!(scene.detector.baselines.adopt(baseline(learned, "guarding")));
        scene
    }

    fn id(&self, name: &str) -> CallId {
        self.detector.calls.id("x86_64", name).unwrap()
    }

    /// The container makes calls, and the counters tell of them; then facts are taken up.
    pub(super) fn make(&mut self, named: &ResolvedWorkload, calls: &[(&str, u64)]) {
        let made: SortedCounts<CallId> = calls.iter().map(|&(name, count)| (self.id(name), count)).collect();
        self.calls.add(&made);
        let counts = Arc::new(Counts { calls: self.calls.clone(), ..Counts::default() });
        let slots = vec![SlotCounts { slot: 1, cgroup_id: 1, counts }];
        let snapshot = Snapshot { slots, ..Snapshot::default() };
        let deltas = self.model.apply(&snapshot, Instant::now(), |_| Some(named.clone()));
        self.detector.judge_counted(&deltas, SystemTime::UNIX_EPOCH, |_| false);
        self.tick();
    }

    pub(super) fn tick(&mut self) {
        let at = self.start + Duration::from_secs(1);
        self.detector.tick(&self.model, at, SystemTime::UNIX_EPOCH);
    }

    fn first(&mut self, named: &ResolvedWorkload, name: &str) {
        let first = first(&self.detector, name);
        self.detector.judge_first(named, first);
    }

    fn unexpected(&self) -> Vec<(String, &'static str, u64)> {
        unexpected(&self.detector)
    }

    /// Reports the pod's controller, as Kubernetes does.
    fn tell_owner(&self) {
        let [uid, namespace, name] = [UID, "shop", "web-1"].map(Arc::from);
        let facts = PodInfo { uid, namespace, name };
        let [group, kind, name, uid] = ["apps", "StatefulSet", "web", "u"].map(Arc::from);
        let controller = Some(Controller { group, kind, name, uid });
        let pod = Pod { facts, containers: Vec::new(), controller, is_static: false };
        self.detector.cache.pod_changed(PodChange::Applied(pod));
    }
}

fn baseline(learned: &[&str], phase: &str) -> Baseline {
    let calls: Vec<String> = learned.iter().map(|name| format!("\"x86_64/{name}\": \"\"")).collect();
    let text = format!(
        r#"{{"version": 1, "kind": "{KIND}", "policy": "shop", "state": "{phase}", "began": "2026-01-01T00:00:00Z", "calls": {{{}}}}}"#,
        calls.join(",")
    );
    Baseline::from_json(text.as_bytes(), &CallTable::x86_64()).unwrap()
}

fn by(policy: &str, name: &'static str, count: u64) -> (String, &'static str, u64) {
    (policy.to_owned(), name, count)
}

#[test]
fn calls_of_a_pod_without_owner_are_judged_at_once_and_anew_when_it_is_known() {
    let mut scene = Scene::without_kubernetes(&["read", "unshare"]);
    let named = named(None);
    scene.first(&named, "mount");
    scene.first(&named, "execve");
    scene.make(&named, &[("mount", 2), ("unshare", 1), ("execve", 1), ("read", 5)]);
    let built_in = [by("runtime-default", "mount", 2), by("runtime-default", "unshare", 1)];
    assert_eq!(scene.unexpected(), built_in.clone(), "what is critical does not wait");
    scene.make(&named, &[]);
    assert_eq!(scene.unexpected(), built_in, "nothing new is known");
    scene.tell_owner();
    scene.tick();
    assert_eq!(scene.unexpected(), [by("shop", "execve", 1), by("shop", "mount", 2)]);
    for violation in scene.detector.violations.iter() {
        assert_eq!(violation.process.as_ref().map(|process| process.comm.as_str()), Some("sh"), "{violation:?}");
        assert_eq!(violation.metadata.get(Label::Owner).map(AsRef::as_ref), Some("web"));
    }
    scene.make(&named, &[("mount", 1)]);
    assert_eq!(scene.unexpected(), [by("shop", "execve", 1), by("shop", "mount", 3)], "each is counted once");
}

/// Calls are judged by their owner's policy, without learning.
const OF_OWNER: &str = "[{name: owned, match: [{owner: web}], allow: [read]}]";

#[test]
fn calls_of_an_idle_container_are_judged_anew_when_its_owner_becomes_known_after_all() {
    let mut scene = Scene::new(OF_OWNER);
    scene.make(&named(None), &[("mount", 2), ("write", 1)]);
    assert_owner_changes_judgement(scene);
}

#[test]
fn other_policies_judge_an_idle_container_anew_when_its_owner_becomes_known_after_all() {
    let mut scene = Scene::new("[]");
    scene.make(&named(None), &[("mount", 2), ("write", 1)]);
    scene.tick();
    scene.detector.set_policies(Arc::new(parsed(OF_OWNER, true)));
    assert_owner_changes_judgement(scene);
}

/// The built-in policy judges the calls until the owner is known, and the owner's policy then.
fn assert_owner_changes_judgement(mut scene: Scene) {
    scene.tick();
    assert_eq!(scene.unexpected(), [by("runtime-default", "mount", 2)]);
    scene.tell_owner();
    scene.tick();
    assert_eq!(scene.unexpected(), [by("owned", "write", 1), by("owned", "mount", 2)]);
}

#[test]
fn a_container_that_is_gone_is_judged_when_its_owner_is_known() {
    let mut scene = Scene::without_kubernetes(&["read"]);
    scene.make(&named(None), &[("chroot", 1)]);
    scene.model.forget_slots(&[1], Instant::now());
    scene.tick();
    assert_eq!(scene.unexpected(), [], "runtime-default allows it");
    scene.tell_owner();
    scene.tick();
    assert_eq!(scene.unexpected(), [by("shop", "chroot", 1)]);
}

#[test]
fn what_was_called_before_the_owner_was_known_is_learned() {
    let mut scene = Scene::new(LEARNS);
    scene.detector.cache.set_status(ProviderName::Kubernetes, Some("away".to_owned()));
    scene.make(&named(None), &[("read", 5), ("chroot", 1)]);
    assert_eq!(scene.detector.baselines.iter().count(), 0);
    scene.tell_owner();
    scene.make(&named(None), &[]);
    let baseline = scene.detector.baselines.get(&KIND.parse().unwrap()).unwrap();
    assert_eq!(baseline.size(), 2);
    assert!(baseline.partial, "nobody saw the start");
}

#[test]
fn a_file_that_is_read_late_judges_what_was_called_before() {
    let mut scene = Scene::new(LEARNS);
    scene.tell_owner();
    let named = named(None);
    scene.make(&named, &[("read", 5), ("chroot", 1)]);
    assert_eq!(scene.unexpected(), [], "it is learned");
    assert!(scene.detector.baselines.adopt(baseline(&["read"], "guarding")));
    scene.tick();
    assert_eq!(scene.unexpected(), [by("shop", "chroot", 1)]);
    assert!(scene.detector.baselines.adopt(baseline(&["read", "chroot"], "guarding")));
    scene.tick();
    assert_eq!(scene.unexpected(), [], "somebody has added it");
    assert!(scene.detector.baselines.adopt(baseline(&["read"], "learning")));
    scene.tick();
    assert_eq!(scene.detector.baselines.get(&KIND.parse().unwrap()).unwrap().size(), 2, "nothing learned is lost");
}

#[test]
fn what_was_forgotten_is_not_learned_again_from_what_was_called_before() {
    let mut scene = Scene::new(LEARNS);
    scene.tell_owner();
    scene.make(&named(None), &[("read", 5), ("chroot", 1)]);
    let key = KIND.parse().unwrap();
    assert!(scene.detector.baselines.forget(&key));
    scene.make(&named(None), &[("read", 1)]);
    scene.tick();
    assert_eq!(scene.detector.baselines.get(&key).unwrap().size(), 1);
}

#[test]
fn a_label_that_becomes_known_late_gives_all_calls_to_its_policy() {
    let mut scene = Scene::new("[{name: web, match: [{image: 'nginx*'}], allow: ['@runtime-default', mount]}]");
    let before = named(None);
    scene.make(&before, &[("mount", 2), ("setns", 1)]);
    assert_eq!(scene.unexpected(), [by("runtime-default", "mount", 2), by("runtime-default", "setns", 1)]);
    let metadata = before.metadata.with([(Label::Image, "nginx:1".into())]);
    scene.make(&ResolvedWorkload { metadata: metadata.clone(), ..before.clone() }, &[]);
    assert_eq!(scene.unexpected(), [by("web", "setns", 1)]);
    // The next container of the pod has another image: what the first one did stays as it was judged.
    let metadata = metadata.with([(Label::Image, "other:1".into()), (Label::ContainerId, "b".into())]);
    scene.make(&ResolvedWorkload { metadata, ..before }, &[("mount", 1)]);
    assert_eq!(scene.unexpected(), [by("runtime-default", "mount", 1), by("web", "setns", 1)]);
}

#[test]
fn a_name_that_comes_late_has_the_processes_of_the_first_calls() {
    let mut detector = judges("[{name: shop, match: [{namespace: shop}], allow: [read]}]");
    let event = first(&detector, "execve");
    detector.judge_first(&unresolved(), event);
    assert_eq!(detector.violations.len(), 0, "runtime-default allows it");
    detector.renamed(&HashMap::from([(unresolved().workload, named(None))]));
    let violation = detector.violations.iter().next().expect("the policy of its name does not");
    assert_eq!((violation.policy.as_ref(), violation.process.as_ref().unwrap().pid), ("shop", 7));
}

#[test]
fn other_policies_judge_anew_only_what_no_baseline_has_judged() {
    let mut scene = Scene::without_kubernetes(&["read"]);
    scene.make(&named(None), &[("chroot", 1)]);
    let policies = parsed("[{name: shop, match: [{namespace: shop}], learn: {at_least: 1h}}]", true);
    scene.detector.set_policies(Arc::new(policies));
    scene.tick();
    scene.tell_owner();
    scene.tick();
    assert_eq!(scene.unexpected(), [by("shop", "chroot", 1)]);
    let policies = parsed("[{name: strict, match: [{namespace: shop}], allow: [write]}]", true);
    scene.detector.set_policies(Arc::new(policies));
    scene.tick();
    scene.make(&named(None), &[("setns", 1)]);
    assert_eq!(scene.unexpected(), [by("shop", "chroot", 1), by("strict", "setns", 1)]);
}
