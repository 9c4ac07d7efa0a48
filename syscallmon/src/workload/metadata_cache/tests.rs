//! What is kept, what is asked for, and when.

use super::{container::FIRST_RETRY, *};
use crate::workload::owner::tests::controller;

fn id(text: &str) -> ContainerId {
    text.into()
}

fn facts(id: &str, pod: Option<PodInfo>) -> ContainerInfo {
    let [name, runtime] = ["web", "containerd"].map(Arc::from);
    ContainerInfo { id: id.into(), name, pod, image: None, runtime, is_pause: false }
}

fn pod(uid: &str, containers: &[&str]) -> Pod {
    let [namespace, name] = ["shop", "web-1"].map(Arc::from);
    let facts_of_pod = PodInfo { uid: uid.into(), namespace, name };
    let containers = containers.iter().map(|id| facts(id, Some(facts_of_pod.clone()))).collect();
    let controller = Some(controller("apps/ReplicaSet", &format!("web-{uid}")));
    Pod { facts: facts_of_pod, containers, controller, is_static: false }
}

#[test]
fn an_unknown_container_is_asked_for_at_once_and_again_later() {
    let cache = MetadataCache::default();
    assert_eq!(cache.due(Api::Cri, 9), Err(None), "nobody wants anything");
    assert_eq!(cache.container(&id("a"), None, None), None);
    assert_eq!(cache.due(Api::Cri, 9), Ok(vec![id("a")]));
    cache.answered(ProviderName::Cri, &[id("a")], Vec::new());
    let next = cache.due(Api::Cri, 9).unwrap_err().expect("it is asked for again");
    assert!(next > Instant::now() && next <= Instant::now() + FIRST_RETRY);
    assert_eq!(cache.due(Api::Docker, 9), Ok(vec![id("a")]), "others have their own time");
    assert_eq!(cache.unresolved(), 1);
}

#[test]
fn a_container_of_a_known_pod_needs_no_name() {
    let cache = MetadataCache::default();
    let uid: Arc<str> = "uid-1".into();
    let _ = cache.container(&id("pause"), Some(&uid), None);
    let _ = cache.container(&id("stranger"), Some(&"uid-2".into()), None);
    let _ = cache.container(&id("builder"), None, None);
    assert_eq!(cache.unresolved(), 3);
    cache.pod_changed(PodChange::Restarted);
    cache.pod_changed(PodChange::Applied(pod("uid-1", &["web"])));
    cache.pod_changed(PodChange::Synced);
    assert_eq!(cache.unresolved(), 2, "it counts as part of its pod");
    let _ = cache.container(&id("other"), Some(&"uid-2".into()), None);
    let PodInfo { namespace, name, .. } = pod("", &[]).facts;
    let known = facts("other", Some(PodInfo { uid: "uid-2".into(), namespace, name }));
    cache.answered(ProviderName::Cri, &[id("other")], vec![known]);
    assert_eq!(cache.unresolved(), 1, "another container of the pod has told its name");
}

#[test]
fn new_containers_are_asked_for_before_those_that_nobody_knew() {
    let cache = MetadataCache::default();
    let unknown: Vec<ContainerId> = (0..100).map(|number| id(&format!("unknown-{number}"))).collect();
    for id in &unknown {
        let _ = cache.container(id, None, None);
    }
    cache.answered(ProviderName::Cri, &unknown, Vec::new());
    std::thread::sleep(FIRST_RETRY);
    let _ = cache.container(&id("new"), None, None);
    let due = cache.due(Api::Cri, 16).unwrap();
    assert_eq!((due.len(), &due[0]), (16, &id("new")));
}

#[test]
fn only_podman_is_asked_for_podman_s_containers_and_for_no_others() {
    let cache = MetadataCache::default();
    let _ = cache.container(&id("a"), None, None);
    let _ = cache.container(&id("b"), None, Some(Api::Podman));
    assert_eq!(cache.due(Api::Cri, 9), Ok(vec![id("a")]));
    assert_eq!(cache.due(Api::Podman, 9), Ok(vec![id("b")]));
}

#[test]
fn the_first_answer_is_kept_and_what_nobody_asked_for_is_not() {
    let cache = MetadataCache::default();
    let _ = cache.container(&id("a"), None, None);
    let before = cache.generation();
    cache.answered(ProviderName::Cri, &[id("a")], vec![facts("a", None), facts("b", None)]);
    assert!(cache.generation() > before);
    assert_eq!(cache.container(&id("a"), None, None).as_deref(), Some(&facts("a", None)));
    assert_eq!((cache.unresolved(), cache.due(Api::Docker, 9)), (0, Err(None)));
    let known = cache.lock().containers.len();
    assert_eq!(known, 1);
}

#[test]
fn a_container_gets_its_new_name_from_the_provider_of_the_old_one() {
    let cache = MetadataCache::default();
    let _ = cache.container(&id("a"), None, None);
    cache.answered(ProviderName::Docker, &[id("a")], vec![facts("a", None)]);
    assert_eq!(cache.stale(Api::Docker, Duration::ZERO, 9), [id("a")]);
    assert!(cache.stale(Api::Docker, NEW, 9).is_empty() && cache.stale(Api::Cri, Duration::ZERO, 9).is_empty());
    let before = cache.generation();
    let renamed = || ContainerInfo { name: "shop".into(), image: Some("sha256:1".into()), ..facts("a", None) };
    cache.answered(ProviderName::Cri, &[id("a")], vec![renamed()]);
    cache.answered(ProviderName::Docker, &[id("a")], vec![facts("a", None)]);
    cache.answered(ProviderName::Docker, &[id("a")], Vec::new());
    assert_eq!(cache.generation(), before, "nothing has changed");
    cache.answered(ProviderName::Docker, &[id("a")], vec![renamed()]);
    let known = cache.container(&id("a"), None, None).unwrap();
    assert_eq!((&*known.name, &known.image), ("shop", &None), "it is still of the image that it was started from");
    assert!(cache.generation() > before);
}

#[test]
fn pods_name_containers_that_are_wanted_before_and_after() {
    let cache = MetadataCache::default();
    let _ = cache.container(&id("a"), None, None);
    cache.pod_changed(PodChange::Applied(pod("1", &["a", "b"])));
    for container in ["a", "b"] {
        assert!(cache.container(&id(container), None, None).is_some(), "{container}");
    }
    cache.pod_changed(PodChange::Deleted { uid: "1".into() });
    assert!(cache.container(&id("a"), None, None).is_some(), "it may still run for a moment");
    assert_eq!((cache.owner("1"), cache.pod("1").map(|pod| pod.name)), (None, Some("web-1".into())));
}

/// The owner of a pod in the cache, for an answer of the API server about its controller.
fn owner_after(answer: ControllerAnswer) -> (bool, Option<String>) {
    let cache = MetadataCache::default();
    cache.pod_changed(PodChange::Applied(pod("1", &[])));
    assert!(!cache.knows_owner("1") && cache.owner("1").is_none());
    let before = cache.generation();
    let reference = cache.due_owner().unwrap();
    cache.owner_answered(&reference, answer);
    let owner = cache.owner("1").map(|Owner { kind, name }| format!("{kind}/{name}"));
    (cache.knows_owner("1") && cache.generation() > before, owner)
}

#[test]
fn an_owner_is_what_the_api_server_says_and_unknown_until_then() {
    let above =
        |uid: &str| ControllerAnswer::Found { uid: uid.into(), controller: Some(controller("apps/Deployment", "web")) };
    assert_eq!(owner_after(above("u-web-1")), (true, Some("Deployment/web".to_owned())));
    assert_eq!(owner_after(above("u-web-2")), (true, None), "a false claim");
    assert_eq!(owner_after(ControllerAnswer::Forbidden), (true, Some("ReplicaSet/web-1".to_owned())));
    assert_eq!(owner_after(ControllerAnswer::Failed), (false, None), "it is asked for again");
}

#[test]
fn controllers_are_forgotten_with_the_last_pod_that_names_them() {
    let cache = MetadataCache::default();
    for change in [
        PodChange::Applied(pod("1", &[])),
        PodChange::Applied(Pod { controller: None, ..pod("1", &[]) }),
        PodChange::Applied(pod("1", &[])),
        PodChange::Deleted { uid: "1".into() },
    ] {
        let has_controller = matches!(&change, PodChange::Applied(pod) if pod.controller.is_some());
        cache.pod_changed(change);
        assert_eq!(cache.due_owner().is_ok(), has_controller);
    }
}

#[test]
fn pods_that_a_new_list_does_not_have_are_gone() {
    let cache = MetadataCache::default();
    for uid in ["1", "2"] {
        cache.pod_changed(PodChange::Applied(pod(uid, &[])));
    }
    cache.pod_changed(PodChange::Restarted);
    cache.pod_changed(PodChange::Applied(pod("2", &[])));
    assert!(cache.pod("1").is_some(), "as long as the list is not complete");
    cache.pod_changed(PodChange::Synced);
    assert_eq!((cache.pod("1"), cache.pod("2").is_some()), (None, true));
}

#[test]
fn a_node_that_the_api_server_calls_otherwise_is_a_problem() {
    let cache = MetadataCache::default();
    let problem = || cache.sources().first().and_then(|status| status.problem.clone());
    cache.set_status(ProviderName::Kubernetes, None);
    for change in [PodChange::Restarted, PodChange::Synced] {
        cache.pod_changed(change);
    }
    cache.check_node(|| true);
    assert_eq!(problem(), None, "pods may still come");
    cache.lock().synced = Instant::now().checked_sub(NEW);
    cache.check_node(|| false);
    assert_eq!(problem(), None, "no node of a cluster");
    cache.check_node(|| true);
    cache.set_status(ProviderName::Kubernetes, None);
    assert!(problem().is_some_and(|problem| problem.contains("kubernetes.node-name")));
    cache.pod_changed(PodChange::Applied(pod("1", &[])));
    cache.check_node(|| true);
    assert_eq!(problem(), None);
}

#[test]
fn nobody_can_make_it_large() {
    let cache = MetadataCache::default();
    for number in 0..2 * MAX_KNOWN {
        let _ = cache.container(&number.to_string().into(), None, None);
        cache.pod_changed(PodChange::Applied(pod(&number.to_string(), &[])));
    }
    let known = cache.lock();
    assert_eq!((known.containers.len(), known.pods.len()), (MAX_KNOWN, MAX_KNOWN));
}

#[test]
fn a_change_of_a_provider_s_state_is_logged_once() {
    let cache = MetadataCache::default();
    cache.expect(ProviderName::Cri);
    assert!(cache.has_sources() && cache.sources().is_empty(), "it is there, but was not asked");
    let changed = [None, None, Some("gone"), Some("gone"), None]
        .map(|problem: Option<&str>| cache.set_status(ProviderName::Cri, problem.map(str::to_owned)));
    assert_eq!(changed, [true, false, true, false, true]);
    assert_eq!(cache.sources()[0].failures, 2);
}
