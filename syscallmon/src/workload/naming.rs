//! Gives cgroups their workloads: what the path says, what the directory knows, what the configuration wants.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{ContainerFacts, ContainerId, Directory, Label, Labels, Place, PodFacts, Selector, Workload};

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
    node: Arc<str>,
    cgroups: HashMap<u64, (Arc<Place>, Named)>,
    /// The directory's, of which the names are.
    generation: u64,
}

impl Naming {
    /// With the node's name, for the label.
    #[must_use]
    pub fn new(directory: Directory, rules: Rules, node: Arc<str>) -> Self {
        Self { directory, rules, node, cgroups: HashMap::new(), generation: 0 }
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
            *named = self.of_place(place);
        }
        self.cgroups = cgroups;
        true
    }

    /// Names what is at a place: its name became known without anything new in the directory.
    pub fn set(&mut self, place: &Place, named: &Named) {
        for (_, name) in self.cgroups.values_mut().filter(|(at, _)| at.as_ref() == place) {
            *name = named.clone();
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

    /// The name of whatever is at a place.
    #[must_use]
    pub fn of_place(&self, place: &Arc<Place>) -> Named {
        let about = match place.as_ref() {
            Place::Container { id, api, path, .. } => {
                self.directory.container(id, *api).map(|facts| (facts.is_pause, self.about_container(&facts, path)))
            }
            Place::Pod { uid, path } => self.directory.pod(uid).map(|pod| (false, self.about_pod(&pod, path))),
            Place::Cgroup(path) => {
                Some((false, Labels::new([(Label::Cgroup, Arc::clone(path)), (Label::Node, Arc::clone(&self.node))])))
            }
        };
        let about = about.or_else(|| Some((false, self.of_pod_alone(place)?)));
        match about {
            Some((is_pause, about)) => Named { workload: self.workload(is_pause, &about), about },
            None => Named { workload: Workload::Unresolved(Arc::clone(place)), about: Labels::default() },
        }
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
            let names: Vec<Label> =
                labels.iter().copied().filter(|&label| !(has_name && label == Label::Cgroup)).collect();
            Workload::Named(about.only(&names))
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
