//! Gives cgroups their workloads: what the path says, what the directory knows, what the configuration wants.

#[cfg(test)]
mod tests;

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
    /// Whether transient units of one kind are one workload.
    pub group_transient: bool,
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
    /// Cgroups that were something else before.
    renamed: Vec<u64>,
}

impl Naming {
    /// With the node's name, for the label.
    #[must_use]
    pub fn new(directory: Directory, rules: Rules, node: Arc<str>) -> Self {
        let uses_owner = rules.use_owner();
        Self { directory, rules, uses_owner, node, cgroups: HashMap::new(), generation: 0, renamed: Vec::new() }
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
        for (id, (place, named)) in &mut cgroups {
            let new = self.of_place(place);
            if !matches!(new.workload, Workload::Unresolved(_)) && !self.is_forgotten(&new.about, &named.about) {
                if !matches!(named.workload, Workload::Unresolved(_)) && new.workload != named.workload {
                    self.renamed.push(*id);
                }
                *named = new;
            }
        }
        self.cgroups = cgroups;
        true
    }

    /// Cgroups that had another name until now. What they did under that name stays there.
    pub fn take_renamed(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.renamed)
    }

    /// Whether less is known of a container than before, as its pod was deleted: its cgroup is still what it was.
    fn is_forgotten(&self, new: &Labels, old: &Labels) -> bool {
        let is_gone = |uid: &Arc<str>| !self.directory.knows_owner(uid);
        let has_lost = new.get(Label::Owner).is_none() && old.get(Label::Owner).is_some();
        has_lost && new.get(Label::PodUid).is_none_or(is_gone)
    }

    /// Takes up names of what had none: they became known without anything new in the directory.
    pub fn set(&mut self, names: &HashMap<Workload, Named>) {
        for (_, named) in self.cgroups.values_mut() {
            if let Some(new) = names.get(&named.workload) {
                *named = new.clone();
            }
        }
    }

    /// Tells whether the API server calls this node by another name: it has no pods for it, and there are cgroups of some.
    pub fn check_node(&self) {
        self.directory.check_node(|| self.cgroups.values().any(|(place, _)| place.pod().is_some()));
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
                let group = self.rules.group_transient.then(|| place.group()).flatten();
                Some((false, Labels::new(self.common(group.as_ref().unwrap_or(path)))))
            }
        };
        let about = about.or_else(|| Some((false, self.of_pod_alone(place)?)));
        if let Some((is_pause, about)) = about {
            return Named { workload: self.workload(is_pause, &about), about };
        }
        let about = self.about_unresolved(place);
        let is_dropped = self.is_dropped_without_name(place, &about);
        let workload = if is_dropped { Workload::Dropped } else { Workload::Unresolved(Arc::clone(place)) };
        Named { workload, about }
    }

    /// Whether the configuration drops a container whatever its name may be, or one that nobody will name.
    fn is_dropped_without_name(&self, place: &Place, about: &Labels) -> bool {
        let Rules { keep, drop, .. } = &self.rules;
        if keep.is_empty() && drop.is_empty() {
            return false;
        }
        let is_final = self.is_nameless(place);
        let is_known = |label| match label {
            Label::Cgroup | Label::Node => true,
            // Without the runtime it is half of what the label will be.
            Label::ContainerId => is_final || about.get(Label::Runtime).is_some(),
            _ => is_final || about.get(label).is_some(),
        };
        let matches = |selector: &Selector| selector.matches_known(about, is_known);
        drop.iter().any(|selector| matches(selector) == Some(true))
            || !keep.is_empty() && keep.iter().all(|selector| matches(selector) == Some(false))
    }

    /// Whether nobody knows the name of a container, as far as all that could know it have answered.
    fn is_nameless(&self, place: &Place) -> bool {
        let has_waited = |id: &ContainerId| self.directory.wanted_for(id) >= PATIENCE;
        match place {
            _ if !self.directory.has_sources() => true,
            Place::Container { id, .. } => has_waited(id) && !self.directory.has_failing_source(),
            Place::Pod { .. } | Place::Cgroup(_) => false,
        }
    }

    /// Whether its owner decides what it is, and the Kubernetes API may still tell it. Runtimes know names only, and are quicker.
    fn waits_for_owner(&self, facts: &ContainerFacts) -> bool {
        let is_new = || self.directory.wanted_for(&facts.id) < PATIENCE;
        let is_unknown = |uid: &str| self.directory.expects(SourceName::Kubernetes) && !self.directory.knows_owner(uid);
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
        let Rules { labels, keep, drop, pause, .. } = &self.rules;
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
        let owner = self.directory.owner(&pod.uid);
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
        let (id, runtime) = match place {
            Place::Container { id, api, .. } => (Some(id), api.and_then(Api::runtime)),
            Place::Pod { .. } | Place::Cgroup(_) => (None, None),
        };
        let id = id.map(|id| runtime.map_or_else(|| Arc::clone(id), |runtime| format!("{runtime}://{id}").into()));
        let container = [(Label::ContainerId, id), (Label::Runtime, runtime.map(Arc::from))];
        let known = container.into_iter().chain([(Label::PodUid, place.pod().cloned())]);
        let known = known.filter_map(|(label, value)| Some((label, value?)));
        Labels::new(known.chain(self.common(place.path())))
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
