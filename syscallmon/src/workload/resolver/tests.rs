//! What becomes of cgroups when names, rules and time go on.

use super::*;
use crate::workload::{
    owner::tests::controller,
    providers::{Pod, PodChange, ProviderName},
};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const UID: &str = "2f6d8a0e-4b7c-4a55-9d32-6a1f0c9b8e71";

fn rules() -> Rules {
    Rules { labels: Label::DEFAULT.to_vec(), keep: Vec::new(), drop: Vec::new(), pause: false, group_transient: true }
}

fn resolver(rules: Rules) -> WorkloadResolver {
    WorkloadResolver::new(MetadataCache::default(), rules, "node1".into())
}

fn path() -> Arc<str> {
    format!("/kubepods/burstable/pod{UID}/{ID}/inner").into()
}

fn pod() -> PodInfo {
    let [uid, namespace, name] = [UID, "shop", "web-1"].map(Arc::from);
    PodInfo { uid, namespace, name }
}

/// The pod as the API server has it, with a controller.
fn owned() -> Pod {
    let controller = Some(controller("apps/StatefulSet", "web"));
    Pod { facts: pod(), containers: Vec::new(), controller, is_static: false }
}

/// A runtime reports the container.
fn tell(resolver: &WorkloadResolver, pod: Option<PodInfo>, is_pause: bool) {
    let [id, name, runtime] = [ID, "httpd", "containerd"].map(Arc::from);
    let facts = ContainerInfo { id, name, pod, image: Some("nginx:1".into()), runtime, is_pause };
    resolver.cache().answered(ProviderName::Cri, &[], vec![facts]);
}

/// The name of the cgroup after a runtime has reported it.
fn exported(rules: Rules, pod: Option<PodInfo>, is_pause: bool) -> String {
    let mut resolver = resolver(rules);
    resolver.name(1, &path());
    tell(&resolver, pod, is_pause);
    assert!(resolver.refresh() && !resolver.refresh());
    resolver.name(1, &path()).workload.to_string()
}

#[test]
fn a_container_has_its_path_as_name_until_a_provider_answers() {
    let mut resolver = resolver(rules());
    let unresolved = resolver.name(1, &path()).workload.clone();
    assert!(matches!(&unresolved, Workload::Unresolved(identity) if identity.path().ends_with(ID)));
    assert_eq!(exported(rules(), Some(pod()), false), "shop/web-1/httpd");
    assert_eq!(exported(rules(), None, false), "httpd");
}

#[test]
fn pause_containers_are_one_unless_they_shall_not_be() {
    assert_eq!(exported(rules(), Some(pod()), true), "(pause)");
    assert_eq!(exported(Rules { pause: true, ..rules() }, Some(pod()), true), "shop/web-1/httpd");
}

#[test]
fn what_is_not_kept_or_is_dropped_is_one() {
    let selector = |text: &str| vec![text.parse().unwrap()];
    for (keep, drop, expected) in [
        (vec![], selector(r#"image=~"nginx.*""#), "(dropped)"),
        (selector(r#"namespace="shop""#), vec![], "shop/web-1/httpd"),
        (selector(r#"namespace="db""#), vec![], "(dropped)"),
        (selector(r#"namespace="shop""#), selector(r#"node="node1""#), "(dropped)"),
    ] {
        assert_eq!(exported(Rules { keep, drop, ..rules() }, Some(pod()), false), expected);
    }
}

#[test]
fn labels_are_those_that_were_asked_for() {
    let labels = vec![Label::Image, Label::Namespace, Label::Cgroup];
    assert_eq!(exported(Rules { labels: labels.clone(), ..rules() }, Some(pod()), false), "shop/nginx:1");
    let mut resolver = resolver(Rules { labels, ..rules() });
    assert_eq!(
        resolver.name(2, &"/system.slice/cron.service".into()).workload.to_string(),
        "/system.slice/cron.service"
    );
}

#[test]
fn transient_units_have_the_name_of_their_group_unless_grouping_is_off() {
    let session = |id: u32| Arc::from(format!("/user.slice/user-1000.slice/session-{id}.scope"));
    let mut grouped = resolver(rules());
    let named = grouped.name(1, &session(1)).clone();
    assert_eq!(named.workload.to_string(), "/user.slice/user-1000.slice/session-*.scope");
    assert_eq!(
        named.metadata.get(Label::Cgroup).map(AsRef::as_ref),
        Some("/user.slice/user-1000.slice/session-*.scope")
    );
    assert_eq!(*grouped.name(2, &session(2)), named);
    let mut apart = resolver(Rules { group_transient: false, ..rules() });
    assert_eq!(apart.name(1, &session(1)).workload.to_string(), *session(1));
}

#[test]
fn all_known_metadata_is_in_the_labels() {
    let mut resolver = resolver(rules());
    resolver.name(1, &path());
    tell(&resolver, Some(pod()), false);
    resolver.cache().pod_changed(PodChange::Applied(owned()));
    resolver.refresh();
    let metadata: Vec<String> =
        resolver.name(1, &path()).metadata.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let id = format!("container_id=containerd://{ID}");
    let cgroup = format!("cgroup=/kubepods/burstable/pod{UID}/{ID}");
    let uid = format!("pod_uid={UID}");
    assert_eq!(
        metadata,
        [
            "namespace=shop",
            "pod=web-1",
            "container=httpd",
            &cgroup,
            &id,
            "image=nginx:1",
            "runtime=containerd",
            &uid,
            "node=node1",
            "owner=web",
            "owner_kind=StatefulSet"
        ]
    );
}

#[test]
fn a_container_keeps_its_owner_when_its_pod_is_deleted() {
    let mut resolver = resolver(Rules { labels: vec![Label::Owner], ..rules() });
    resolver.cache().pod_changed(PodChange::Applied(owned()));
    resolver.name(1, &path());
    tell(&resolver, Some(pod()), false);
    resolver.refresh();
    assert_eq!(resolver.name(1, &path()).workload.to_string(), "web");
    resolver.cache().pod_changed(PodChange::Deleted { uid: UID.into() });
    assert!(resolver.refresh());
    assert_eq!(resolver.name(1, &path()).workload.to_string(), "web");
}

#[test]
fn a_pod_that_is_taken_from_its_owner_has_none() {
    let mut resolver = resolver(Rules { labels: vec![Label::Owner, Label::Pod], ..rules() });
    resolver.cache().pod_changed(PodChange::Applied(owned()));
    resolver.name(1, &path());
    tell(&resolver, Some(pod()), false);
    resolver.refresh();
    assert_eq!(resolver.name(1, &path()).workload.to_string(), "web-1/web");
    resolver.cache().pod_changed(PodChange::Applied(Pod { controller: None, ..owned() }));
    assert!(resolver.refresh());
    assert_eq!(resolver.name(1, &path()).workload.to_string(), "web-1");
}

#[test]
fn a_workload_named_by_its_owner_waits_for_the_api() {
    let waits = |mut resolver: WorkloadResolver| {
        resolver.cache().set_status(ProviderName::Kubernetes, None);
        resolver.name(1, &path());
        tell(&resolver, Some(pod()), false);
        resolver.refresh();
        matches!(resolver.name(1, &path()).workload, Workload::Unresolved(_))
    };
    let by_policies = |use_owner| {
        let mut resolver = resolver(rules());
        resolver.policies_use_owner(use_owner);
        resolver
    };
    assert!(waits(resolver(Rules { labels: vec![Label::Owner], ..rules() })));
    assert!(waits(by_policies(true)) && !waits(by_policies(false)));
}

/// Rules that keep or drop by one selector.
fn selecting(keep: &str, drop: &str) -> Rules {
    let selectors = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap()).into_iter().collect();
    Rules { keep: selectors(keep), drop: selectors(drop), ..rules() }
}

/// What a container is that has waited for its name for so long, where these sources answer, or fail to.
fn unnamed(rules: Rules, waited: Duration, sources: &[(ProviderName, bool)]) -> String {
    let mut resolver = resolver(rules);
    for &(source, is_up) in sources {
        resolver.cache().set_status(source, (!is_up).then(|| "gone".to_owned()));
    }
    resolver.name(1, &path());
    resolver.cache().age(&ID.into(), waited);
    let identity = Arc::new(CgroupIdentity::of(&path()));
    match resolver.of_identity(&identity).workload {
        Workload::Unresolved(_) => "unresolved".to_owned(),
        workload => workload.to_string(),
    }
}

#[test]
fn a_container_without_a_name_is_dropped_by_what_is_known_of_it() {
    let (up, long) = ([(ProviderName::Cri, true)], NAME_TIMEOUT);
    let uid = format!(r#"pod_uid="{UID}""#);
    let dropped = "(dropped)";
    for (keep, drop, at_once, in_the_end) in [
        ("", r#"cgroup=~"/kubepods/.*""#, dropped, dropped),
        ("", r#"node="node1""#, dropped, dropped),
        ("", uid.as_str(), dropped, dropped),
        (r#"cgroup=~"/system.slice/.*""#, "", dropped, dropped),
        (r#"cgroup=~"/kubepods/.*""#, "", "unresolved", "unresolved"),
        // Its name decides, as long as one may come.
        (r#"namespace="shop""#, "", "unresolved", dropped),
        (r#"namespace="shop",node="node2""#, "", dropped, dropped),
        ("", r#"namespace="""#, "unresolved", dropped),
        ("", r#"container="web""#, "unresolved", "unresolved"),
    ] {
        let rules = || selecting(keep, drop);
        assert_eq!(unnamed(rules(), Duration::ZERO, &up), at_once, "{keep} {drop}");
        assert_eq!(unnamed(rules(), long, &up), in_the_end, "{keep} {drop}, in the end");
        assert_eq!(unnamed(rules(), Duration::ZERO, &[]), in_the_end, "{keep} {drop}, without sources");
        let failing = [(ProviderName::Cri, true), (ProviderName::Kubernetes, false)];
        assert_eq!(unnamed(rules(), long, &failing), at_once, "{keep} {drop}: a dead source hides nothing");
    }
}

#[test]
fn a_dropped_container_is_decided_anew_when_its_name_comes() {
    let mut resolver = resolver(selecting(r#"namespace="shop""#, ""));
    assert_eq!(resolver.name(1, &path()).workload, Workload::Dropped);
    tell(&resolver, Some(pod()), false);
    assert!(resolver.refresh());
    assert_eq!(resolver.name(1, &path()).workload.to_string(), "shop/web-1/httpd");
    assert_eq!(resolver.take_renamed(), [1], "what it did before is in another workload");
}

#[test]
fn a_renamed_container_is_another_workload() {
    let mut resolver = resolver(rules());
    resolver.name(1, &path());
    let tell = |resolver: &WorkloadResolver, name: &str| {
        let [id, name, runtime] = [ID, name, "docker"].map(Arc::from);
        let facts = ContainerInfo { id, name, pod: None, image: None, runtime, is_pause: false };
        resolver.cache().answered(ProviderName::Docker, &[], vec![facts]);
    };
    tell(&resolver, "web");
    resolver.refresh();
    assert_eq!((resolver.name(1, &path()).workload.to_string(), resolver.take_renamed()), ("web".to_owned(), vec![]));
    tell(&resolver, "web_old");
    assert!(resolver.refresh());
    assert_eq!(
        (resolver.name(1, &path()).workload.to_string(), resolver.take_renamed()),
        ("web_old".to_owned(), vec![1])
    );
}

#[test]
fn metadata_from_a_path_is_written_as_the_provider_writes_it() {
    let mut resolver = resolver(rules());
    let path: Arc<str> = format!("/system.slice/docker-{ID}.scope").into();
    let metadata = resolver.name(1, &path).metadata.clone();
    assert_eq!(metadata.get(Label::ContainerId).map(ToString::to_string), Some(format!("docker://{ID}")));
    assert_eq!(metadata.get(Label::Runtime).map(AsRef::as_ref), Some("docker"));
}

#[test]
fn cgroups_that_are_gone_are_forgotten_with_their_containers() {
    let mut resolver = resolver(rules());
    resolver.name(1, &path());
    resolver.forget(&[1], [].into_iter());
    assert!(resolver.cgroups.is_empty());
}
