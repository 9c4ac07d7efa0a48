//! Gives cgroups their workloads: what the path says, what the directory knows, what the configuration wants.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    Api, ContainerFacts, ContainerId, Directory, Label, Labels, Place, PodFacts, Selector, Workload, source::SourceName,
};

/// For how long a container waits for its name before it is exported without: sources need some seconds when they start, and so does
/// the kubelet to tell the API of new containers.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What the configuration wants of workloads.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Labels that tell workloads apart; what has the same ones is counted together.
    pub labels: Vec<Label>,
    /// Only workloads that one of these selects; all, if there are none.
    pub keep: Vec<Selector>,
    /// No workloads that one of these selects.
    pub drop: Vec<Selector>,
    /// Whether pause containers are workloads of their own.
    pub pause: bool,
}

impl Rules {
    /// Whether it matters to them what made a pod.
    fn use_owner(&self) -> bool {
        let is_owner = |label| matches!(label, Label::Owner | Label::OwnerKind);
        let selectors = self.keep.iter().chain(&self.drop);
        self.labels.iter().copied().any(is_owner) || selectors.flat_map(Selector::labels).any(is_owner)
    }
}

/// A workload, and all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The workload.
    pub workload: Workload,
    /// Every label that it could have, exported or not; of a container, the newest one.
    pub about: Labels,
}

/// Names cgroups, and remembers the names as long as nothing new is known.
#[derive(Debug)]
pub struct Naming {
    directory: Directory,
    rules: Rules,
    /// Whether anybody wants to know what made a pod.
    uses_owner: bool,
    node: Arc<str>,
    cgroups: HashMap<u64, (Arc<Place>, Named)>,
    /// The directory's, of which the names are.
    generation: u64,
}

impl Naming {
    /// With the node's name, for the label.
    #[must_use]
    pub fn new(directory: Directory, rules: Rules, node: Arc<str>) -> Self {
        let uses_owner = rules.use_owner();
        Self { directory, rules, uses_owner, node, cgroups: HashMap::new(), generation: 0 }
    }

    /// Whether policies want to know what made a pod, besides the rules.
    pub fn policies_use_owner(&mut self, use_owner: bool) {
        self.uses_owner = use_owner || self.rules.use_owner();
    }

    /// What is known of containers and pods.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Takes up what has become known; whether that is anything.
    pub fn refresh(&mut self) -> bool {
        let generation = self.directory.generation();
        if generation == self.generation {
            return false;
        }
        self.generation = generation;
        let mut cgroups = std::mem::take(&mut self.cgroups);
        for (place, named) in cgroups.values_mut() {
            let new = self.of_place(place);
            // Who told may have forgotten, such as when a pod is deleted; the cgroup is still what it was.
            let is_less = |label| new.about.get(label).is_none() && named.about.get(label).is_some();
            if !matches!(new.workload, Workload::Unresolved(_)) && !is_less(Label::Owner) {
                *named = new;
            }
        }
        self.cgroups = cgroups;
        true
    }

    /// Takes up names of what had none: they became known without anything new in the directory.
    pub fn set(&mut self, names: &HashMap<Workload, Named>) {
        for (_, named) in self.cgroups.values_mut() {
            if let Some(new) = names.get(&named.workload) {
                *named = new.clone();
            }
        }
    }

    /// The name of the cgroup with this id and path.
    pub fn name(&mut self, id: u64, path: &Arc<str>) -> &Named {
        if !self.cgroups.contains_key(&id) {
            let place = Arc::new(Place::of(path));
            let named = self.of_place(&place);
            self.cgroups.insert(id, (place, named));
        }
        &self.cgroups[&id].1
    }

    /// The name of whatever is at a place; where it is not known, it is asked for.
    #[must_use]
    pub fn of_place(&self, place: &Arc<Place>) -> Named {
        self.by(place, |id, api| self.directory.container(id, api))
    }

    /// Whether the name of a container may still come soon.
    #[must_use]
    pub fn waits(&self, place: &Place) -> bool {
        let is_new = |id: &ContainerId| self.directory.wanted_for(id) < PATIENCE;
        self.directory.has_sources() && matches!(place, Place::Container { id, .. } if is_new(id))
    }

    /// The same as [`Self::of_place`] without asking anybody.
    #[must_use]
    pub fn of_known(&self, place: &Arc<Place>) -> Named {
        self.by(place, |id, _| self.directory.known(id))
    }

    fn by(
        &self,
        place: &Arc<Place>,
        container: impl Fn(&ContainerId, Option<Api>) -> Option<Arc<ContainerFacts>>,
    ) -> Named {
        let about = match place.as_ref() {
            Place::Container { id, api, path, .. } => container(id, *api)
                .filter(|facts| !self.waits_for_owner(facts))
                .map(|facts| (facts.is_pause, self.about_container(&facts, path))),
            Place::Pod { uid, path } => self.directory.pod(uid).map(|pod| (false, self.about_pod(&pod, path))),
            Place::Cgroup(path) => {
                Some((false, Labels::new([(Label::Cgroup, Arc::clone(path)), (Label::Node, Arc::clone(&self.node))])))
            }
        };
        let about = about.or_else(|| Some((false, self.of_pod_alone(place)?)));
        match about {
            Some((is_pause, about)) => Named { workload: self.workload(is_pause, &about), about },
            None => Named { workload: Workload::Unresolved(Arc::clone(place)), about: self.about_unresolved(place) },
        }
    }

    /// Whether its owner decides what it is, and the Kubernetes API may still tell it. Runtimes know names only, and are quicker.
    fn waits_for_owner(&self, facts: &ContainerFacts) -> bool {
        let is_new = || self.directory.wanted_for(&facts.id) < PATIENCE;
        let is_unknown = |uid: &str| self.directory.expects(SourceName::Kubernetes) && !self.directory.has_pod(uid);
        self.uses_owner && facts.pod.as_ref().is_some_and(|pod| is_unknown(&pod.uid)) && is_new()
    }

    /// A container that nobody calls by a name after a while is something of its pod's, where that is known.
    fn of_pod_alone(&self, place: &Place) -> Option<Labels> {
        let Place::Container { id, pod: Some(uid), path, .. } = place else { return None };
        let pod = self.directory.pod(uid)?;
        (self.directory.wanted_for(id) >= PATIENCE).then(|| self.about_pod(&pod, path))
    }

    fn workload(&self, is_pause: bool, about: &Labels) -> Workload {
        let selects = |selector: &Selector| selector.matches(about);
        let Rules { labels, keep, drop, pause } = &self.rules;
        if is_pause && !pause {
            Workload::Pause
        } else if drop.iter().any(selects) || !(keep.is_empty() || keep.iter().any(selects)) {
            Workload::Dropped
        } else {
            // What a container's cgroup is called tells nothing that its name does not.
            let has_name = about.get(Label::Container).or(about.get(Label::Pod)).is_some();
            let exported = about.only(labels);
            let without = exported.without(Label::Cgroup);
            Workload::Named(if has_name && !without.is_empty() { without } else { exported })
        }
    }

    fn about_container(&self, facts: &ContainerFacts, path: &Arc<str>) -> Labels {
        let id = format!("{}://{}", facts.runtime, facts.id);
        let container = [
            (Label::Container, Arc::clone(&facts.name)),
            (Label::ContainerId, id.into()),
            (Label::Image, facts.image.clone().unwrap_or_default()),
            (Label::Runtime, Arc::clone(&facts.runtime)),
        ];
        let pod = facts.pod.as_ref().map(|pod| self.pod_labels(pod));
        Labels::new(container.into_iter().chain(pod.into_iter().flatten()).chain(self.common(path)))
    }

    fn about_pod(&self, pod: &PodFacts, path: &Arc<str>) -> Labels {
        Labels::new(self.pod_labels(pod).into_iter().chain(self.common(path)))
    }

    fn pod_labels(&self, pod: &PodFacts) -> [(Label, Arc<str>); 5] {
        // Runtimes do not know what made a pod.
        let owner = pod.owner.clone().or_else(|| self.directory.owner(&pod.uid));
        let (kind, owner) = owner.map(|owner| (owner.kind, owner.name)).unwrap_or_default();
        [
            (Label::Namespace, Arc::clone(&pod.namespace)),
            (Label::Pod, Arc::clone(&pod.name)),
            (Label::PodUid, Arc::clone(&pod.uid)),
            (Label::Owner, owner),
            (Label::OwnerKind, kind),
        ]
    }

    /// What its path tells of a container that nobody has named yet.
    fn about_unresolved(&self, place: &Place) -> Labels {
        let id = match place {
            Place::Container { id, .. } => Some((Label::ContainerId, id.to_string().into())),
            Place::Pod { .. } | Place::Cgroup(_) => None,
        };
        let pod = place.pod().map(|uid| (Label::PodUid, Arc::clone(uid)));
        Labels::new(id.into_iter().chain(pod).chain(self.common(place.path())))
    }

    fn common(&self, path: &Arc<str>) -> [(Label, Arc<str>); 2] {
        [(Label::Cgroup, Arc::clone(path)), (Label::Node, Arc::clone(&self.node))]
    }

    /// Forgets cgroups that are gone, and containers that are neither at another's place nor at one of these.
    pub fn forget<'a>(&'a mut self, dead: &[u64], unresolved: impl Iterator<Item = &'a Arc<Place>>) {
        if dead.is_empty() {
            return;
        }
        for id in dead {
            self.cgroups.remove(id);
        }
        let places = self.cgroups.values().map(|(place, _)| place).chain(unresolved);
        let containers: HashSet<&ContainerId> = places
            .filter_map(|place| match place.as_ref() {
                Place::Container { id, .. } => Some(id),
                _ => None,
            })
            .collect();
        self.directory.retain(&containers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{
        Owner,
        source::{Pod, PodChange, SourceName},
    };

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "2f6d8a0e-4b7c-4a55-9d32-6a1f0c9b8e71";

    fn rules() -> Rules {
        Rules { labels: Label::DEFAULT.to_vec(), keep: Vec::new(), drop: Vec::new(), pause: false }
    }

    fn naming(rules: Rules) -> Naming {
        Naming::new(Directory::default(), rules, "node1".into())
    }

    fn path() -> Arc<str> {
        format!("/kubepods/burstable/pod{UID}/{ID}/inner").into()
    }

    fn pod() -> PodFacts {
        let [uid, namespace, name] = [UID, "shop", "web-1"].map(Arc::from);
        PodFacts { uid, namespace, name, owner: None }
    }

    /// A runtime tells of the container.
    fn tell(naming: &Naming, pod: Option<PodFacts>, is_pause: bool) {
        let [id, name, runtime] = [ID, "httpd", "containerd"].map(Arc::from);
        let facts = ContainerFacts { id, name, pod, image: Some("nginx:1".into()), runtime, is_pause };
        naming.directory().answered(SourceName::Cri, &[], vec![facts]);
    }

    /// What the cgroup is called once a runtime has told.
    fn told(rules: Rules, pod: Option<PodFacts>, is_pause: bool) -> String {
        let mut naming = naming(rules);
        naming.name(1, &path());
        tell(&naming, pod, is_pause);
        assert!(naming.refresh() && !naming.refresh());
        naming.name(1, &path()).workload.to_string()
    }

    #[test]
    fn a_container_is_called_by_its_path_until_somebody_tells() {
        let mut naming = naming(rules());
        let unresolved = naming.name(1, &path()).workload.clone();
        assert!(matches!(&unresolved, Workload::Unresolved(place) if place.path().ends_with(ID)));
        assert_eq!(told(rules(), Some(pod()), false), "shop/web-1/httpd");
        assert_eq!(told(rules(), None, false), "httpd");
    }

    #[test]
    fn pause_containers_are_one_unless_they_shall_not_be() {
        assert_eq!(told(rules(), Some(pod()), true), "(pause)");
        assert_eq!(told(Rules { pause: true, ..rules() }, Some(pod()), true), "shop/web-1/httpd");
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
            assert_eq!(told(Rules { keep, drop, ..rules() }, Some(pod()), false), expected);
        }
    }

    #[test]
    fn labels_are_those_that_were_asked_for() {
        let labels = vec![Label::Image, Label::Namespace, Label::Cgroup];
        assert_eq!(told(Rules { labels: labels.clone(), ..rules() }, Some(pod()), false), "shop/nginx:1");
        let mut naming = naming(Rules { labels, ..rules() });
        assert_eq!(
            naming.name(2, &"/system.slice/cron.service".into()).workload.to_string(),
            "/system.slice/cron.service"
        );
    }

    #[test]
    fn all_that_is_known_is_told_besides() {
        let mut naming = naming(rules());
        naming.name(1, &path());
        tell(&naming, Some(pod()), false);
        let owner = Some(Owner { kind: "Deployment".into(), name: "web".into() });
        let applied = Pod { facts: PodFacts { owner, ..pod() }, containers: Vec::new() };
        naming.directory().pod_changed(PodChange::Applied(applied));
        naming.refresh();
        let about: Vec<String> =
            naming.name(1, &path()).about.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let id = format!("container_id=containerd://{ID}");
        let cgroup = format!("cgroup=/kubepods/burstable/pod{UID}/{ID}");
        let uid = format!("pod_uid={UID}");
        assert_eq!(
            about,
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
                "owner_kind=Deployment"
            ]
        );
    }

    #[test]
    fn a_container_keeps_its_owner_when_its_pod_is_deleted() {
        let mut naming = naming(Rules { labels: vec![Label::Owner], ..rules() });
        let owner = Some(Owner { kind: "Deployment".into(), name: "web".into() });
        let applied = Pod { facts: PodFacts { owner, ..pod() }, containers: Vec::new() };
        naming.directory().pod_changed(PodChange::Applied(applied));
        naming.name(1, &path());
        tell(&naming, Some(pod()), false);
        naming.refresh();
        assert_eq!(naming.name(1, &path()).workload.to_string(), "web");
        naming.directory().pod_changed(PodChange::Deleted { uid: UID.into() });
        assert!(naming.refresh());
        assert_eq!(naming.name(1, &path()).workload.to_string(), "web");
    }

    #[test]
    fn what_is_told_apart_by_its_owner_waits_for_the_api() {
        let waits = |mut naming: Naming| {
            naming.directory().set_status(SourceName::Kubernetes, None);
            naming.name(1, &path());
            tell(&naming, Some(pod()), false);
            naming.refresh();
            matches!(naming.name(1, &path()).workload, Workload::Unresolved(_))
        };
        let by_policies = |use_owner| {
            let mut naming = naming(rules());
            naming.policies_use_owner(use_owner);
            naming
        };
        assert!(waits(naming(Rules { labels: vec![Label::Owner], ..rules() })));
        assert!(waits(by_policies(true)) && !waits(by_policies(false)));
    }

    #[test]
    fn cgroups_that_are_gone_are_forgotten_with_their_containers() {
        let mut naming = naming(rules());
        naming.name(1, &path());
        naming.forget(&[1], [].into_iter());
        assert!(naming.cgroups.is_empty());
    }
}
