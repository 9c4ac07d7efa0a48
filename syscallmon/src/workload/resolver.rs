//! Resolves cgroups to workloads: by path, by metadata, and by the configured rules.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    Api, CgroupIdentity, ContainerId, ContainerInfo, Label, Labels, MetadataCache, PodInfo, Selector, Workload,
    providers::ProviderName,
};

/// How long a container waits for its name before it is exported without. Providers need some seconds at their start,
/// and so does the kubelet to report new containers to the API.
pub const NAME_TIMEOUT: Duration = Duration::from_secs(10);

/// Rules of the configuration for workloads.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Labels that identify workloads. Cgroups with the same values are one workload.
    pub labels: Vec<Label>,
    /// Exports only workloads that one of these selects; all, if there are none.
    pub keep: Vec<Selector>,
    /// Excludes workloads that one of these selects.
    pub drop: Vec<Selector>,
    /// Whether pause containers are workloads of their own.
    pub pause: bool,
    /// Whether transient units of one kind are one workload.
    pub group_transient: bool,
}

impl Rules {
    /// Whether the rules use the owner of a pod.
    fn use_owner(&self) -> bool {
        let is_owner = |label| matches!(label, Label::Owner | Label::OwnerKind);
        let selectors = self.keep.iter().chain(&self.drop);
        self.labels.iter().copied().any(is_owner) || selectors.flat_map(Selector::labels).any(is_owner)
    }
}

/// A workload with all of its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedWorkload {
    /// The workload.
    pub workload: Workload,
    /// All of its labels, exported or not; of several containers, those of the newest.
    pub metadata: Labels,
}

/// Resolves cgroups, and keeps the results until metadata change.
#[derive(Debug)]
pub struct WorkloadResolver {
    cache: MetadataCache,
    rules: Rules,
    /// Whether the owner of a pod matters.
    uses_owner: bool,
    node: Arc<str>,
    cgroups: HashMap<u64, (Arc<CgroupIdentity>, ResolvedWorkload)>,
    /// Edition of the cache that the results are from.
    generation: u64,
    /// Cgroups that were another workload before.
    renamed: Vec<u64>,
}

impl WorkloadResolver {
    /// Returns a resolver with the node's name for the label.
    #[must_use]
    pub fn new(cache: MetadataCache, rules: Rules, node: Arc<str>) -> Self {
        let uses_owner = rules.use_owner();
        Self { cache, rules, uses_owner, node, cgroups: HashMap::new(), generation: 0, renamed: Vec::new() }
    }

    /// Sets whether policies use the owner of a pod, besides the rules.
    pub fn policies_use_owner(&mut self, use_owner: bool) {
        self.uses_owner = use_owner || self.rules.use_owner();
    }

    /// Returns the cache of metadata.
    #[must_use]
    pub fn cache(&self) -> &MetadataCache {
        &self.cache
    }

    /// Applies changed metadata. Returns whether there were any.
    pub fn refresh(&mut self) -> bool {
        let generation = self.cache.generation();
        if generation == self.generation {
            return false;
        }
        self.generation = generation;
        let mut cgroups = std::mem::take(&mut self.cgroups);
        for (id, (identity, named)) in &mut cgroups {
            let new = self.of_identity(identity);
            if !matches!(new.workload, Workload::Unresolved(_)) && !self.is_forgotten(&new.metadata, &named.metadata) {
                if !matches!(named.workload, Workload::Unresolved(_)) && new.workload != named.workload {
                    self.renamed.push(*id);
                }
                *named = new;
            }
        }
        self.cgroups = cgroups;
        true
    }

    /// Returns cgroups that had another name until now. Their earlier calls stay under that name.
    pub fn take_renamed(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.renamed)
    }

    /// Whether a container has less metadata than before because its pod was deleted. Its cgroup is still the same
    /// workload.
    fn is_forgotten(&self, new: &Labels, old: &Labels) -> bool {
        let is_gone = |uid: &Arc<str>| !self.cache.knows_owner(uid);
        let has_lost = new.get(Label::Owner).is_none() && old.get(Label::Owner).is_some();
        has_lost && new.get(Label::PodUid).is_none_or(is_gone)
    }

    /// Adds names for cgroups without one, which became known without a change of the cache.
    pub fn set(&mut self, names: &HashMap<Workload, ResolvedWorkload>) {
        for (_, named) in self.cgroups.values_mut() {
            if let Some(new) = names.get(&named.workload) {
                *named = new.clone();
            }
        }
    }

    /// Reports whether the API server has another name for this node: it has no pods for it, and there are cgroups of
    /// pods.
    pub fn check_node(&self) {
        self.cache.check_node(|| self.cgroups.values().any(|(identity, _)| identity.pod().is_some()));
    }

    /// Returns the workload of the cgroup with this id and path.
    pub fn name(&mut self, id: u64, path: &Arc<str>) -> &ResolvedWorkload {
        if !self.cgroups.contains_key(&id) {
            let identity = Arc::new(CgroupIdentity::of(path));
            let named = self.of_identity(&identity);
            self.cgroups.insert(id, (identity, named));
        }
        &self.cgroups[&id].1
    }

    /// Returns the workload of an identity. Requests metadata that are missing.
    #[must_use]
    pub fn of_identity(&self, identity: &Arc<CgroupIdentity>) -> ResolvedWorkload {
        self.by(identity, |id, pod, api| self.cache.container(id, pod, api))
    }

    /// Whether the name of a container may still arrive soon.
    #[must_use]
    pub fn waits(&self, identity: &CgroupIdentity) -> bool {
        let is_new = |id: &ContainerId| self.cache.wanted_for(id) < NAME_TIMEOUT;
        self.cache.has_sources() && matches!(identity, CgroupIdentity::Container { id, .. } if is_new(id))
    }

    /// Does the same as [`Self::of_identity`] without a request.
    #[must_use]
    pub fn of_known(&self, identity: &Arc<CgroupIdentity>) -> ResolvedWorkload {
        self.by(identity, |id, _, _| self.cache.known(id))
    }

    fn by(
        &self,
        identity: &Arc<CgroupIdentity>,
        container: impl Fn(&ContainerId, Option<&Arc<str>>, Option<Api>) -> Option<Arc<ContainerInfo>>,
    ) -> ResolvedWorkload {
        let metadata = match identity.as_ref() {
            CgroupIdentity::Container { id, pod, api, path } => container(id, pod.as_ref(), *api)
                .filter(|facts| !self.waits_for_owner(facts))
                .map(|facts| (facts.is_pause, self.about_container(&facts, path))),
            CgroupIdentity::Pod { uid, path } => self.cache.pod(uid).map(|pod| (false, self.about_pod(&pod, path))),
            CgroupIdentity::Cgroup(path) => {
                let group = self.rules.group_transient.then(|| identity.group()).flatten();
                Some((false, Labels::new(self.common(group.as_ref().unwrap_or(path)))))
            }
        };
        let metadata = metadata.or_else(|| Some((false, self.of_pod_alone(identity)?)));
        if let Some((is_pause, metadata)) = metadata {
            return ResolvedWorkload { workload: self.workload(is_pause, &metadata), metadata };
        }
        let metadata = self.about_unresolved(identity);
        let is_dropped = self.is_dropped_without_name(identity, &metadata);
        let workload = if is_dropped { Workload::Dropped } else { Workload::Unresolved(Arc::clone(identity)) };
        ResolvedWorkload { workload, metadata }
    }

    /// Whether the configuration excludes a container whatever its name is, or one that gets no name.
    fn is_dropped_without_name(&self, identity: &CgroupIdentity, metadata: &Labels) -> bool {
        let Rules { keep, drop, .. } = &self.rules;
        if keep.is_empty() && drop.is_empty() {
            return false;
        }
        let is_final = self.is_nameless(identity);
        let is_known = |label| match label {
            Label::Cgroup | Label::Node => true,
            // Without the runtime, it is a part of the label's later value.
            Label::ContainerId => is_final || metadata.get(Label::Runtime).is_some(),
            _ => is_final || metadata.get(label).is_some(),
        };
        let matches = |selector: &Selector| selector.matches_known(metadata, is_known);
        drop.iter().any(|selector| matches(selector) == Some(true))
            || !keep.is_empty() && keep.iter().all(|selector| matches(selector) == Some(false))
    }

    /// Whether a container has no name according to all providers that could know it.
    fn is_nameless(&self, identity: &CgroupIdentity) -> bool {
        let has_waited = |id: &ContainerId| self.cache.wanted_for(id) >= NAME_TIMEOUT;
        match identity {
            _ if !self.cache.has_sources() => true,
            CgroupIdentity::Container { id, .. } => has_waited(id) && !self.cache.has_failing_source(),
            CgroupIdentity::Pod { .. } | CgroupIdentity::Cgroup(_) => false,
        }
    }

    /// Whether its owner decides the workload, and the Kubernetes API may still report it. Runtimes know only names,
    /// and answer earlier.
    fn waits_for_owner(&self, facts: &ContainerInfo) -> bool {
        let is_new = || self.cache.wanted_for(&facts.id) < NAME_TIMEOUT;
        let is_unknown = |uid: &str| self.cache.expects(ProviderName::Kubernetes) && !self.cache.knows_owner(uid);
        self.uses_owner && facts.pod.as_ref().is_some_and(|pod| is_unknown(&pod.uid)) && is_new()
    }

    /// A container without a name after a while counts as part of its pod, if that is known.
    fn of_pod_alone(&self, identity: &CgroupIdentity) -> Option<Labels> {
        let CgroupIdentity::Container { id, pod: Some(uid), path, .. } = identity else { return None };
        let pod = self.cache.pod(uid)?;
        (self.cache.wanted_for(id) >= NAME_TIMEOUT).then(|| self.about_pod(&pod, path))
    }

    fn workload(&self, is_pause: bool, metadata: &Labels) -> Workload {
        let selects = |selector: &Selector| selector.matches(metadata);
        let Rules { labels, keep, drop, pause, .. } = &self.rules;
        if is_pause && !pause {
            Workload::Pause
        } else if drop.iter().any(selects) || !(keep.is_empty() || keep.iter().any(selects)) {
            Workload::Dropped
        } else {
            // The path of a container's cgroup adds nothing to its name.
            let has_name = metadata.get(Label::Container).or(metadata.get(Label::Pod)).is_some();
            let exported = metadata.only(labels);
            let without = exported.without(Label::Cgroup);
            Workload::Resolved(if has_name && !without.is_empty() { without } else { exported })
        }
    }

    fn about_container(&self, facts: &ContainerInfo, path: &Arc<str>) -> Labels {
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

    fn about_pod(&self, pod: &PodInfo, path: &Arc<str>) -> Labels {
        Labels::new(self.pod_labels(pod).into_iter().chain(self.common(path)))
    }

    fn pod_labels(&self, pod: &PodInfo) -> [(Label, Arc<str>); 5] {
        // Runtimes do not know the owner of a pod.
        let owner = self.cache.owner(&pod.uid);
        let (kind, owner) = owner.map(|owner| (owner.kind, owner.name)).unwrap_or_default();
        [
            (Label::Namespace, Arc::clone(&pod.namespace)),
            (Label::Pod, Arc::clone(&pod.name)),
            (Label::PodUid, Arc::clone(&pod.uid)),
            (Label::Owner, owner),
            (Label::OwnerKind, kind),
        ]
    }

    /// Returns the labels of a container without a name, from its path.
    fn about_unresolved(&self, identity: &CgroupIdentity) -> Labels {
        let (id, runtime) = match identity {
            CgroupIdentity::Container { id, api, .. } => (Some(id), api.and_then(Api::runtime)),
            CgroupIdentity::Pod { .. } | CgroupIdentity::Cgroup(_) => (None, None),
        };
        let id = id.map(|id| runtime.map_or_else(|| Arc::clone(id), |runtime| format!("{runtime}://{id}").into()));
        let container = [(Label::ContainerId, id), (Label::Runtime, runtime.map(Arc::from))];
        let known = container.into_iter().chain([(Label::PodUid, identity.pod().cloned())]);
        let known = known.filter_map(|(label, value)| Some((label, value?)));
        Labels::new(known.chain(self.common(identity.path())))
    }

    fn common(&self, path: &Arc<str>) -> [(Label, Arc<str>); 2] {
        [(Label::Cgroup, Arc::clone(path)), (Label::Node, Arc::clone(&self.node))]
    }

    /// Removes cgroups that are gone, and containers without a cgroup.
    pub fn forget<'a>(&'a mut self, dead: &[u64], unresolved: impl Iterator<Item = &'a Arc<CgroupIdentity>>) {
        if dead.is_empty() {
            return;
        }
        for id in dead {
            self.cgroups.remove(id);
        }
        let identities = self.cgroups.values().map(|(identity, _)| identity).chain(unresolved);
        let containers: HashSet<&ContainerId> = identities
            .filter_map(|identity| match identity.as_ref() {
                CgroupIdentity::Container { id, .. } => Some(id),
                _ => None,
            })
            .collect();
        self.cache.retain(&containers);
    }
}
