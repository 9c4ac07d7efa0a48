//! The metadata of containers and pods, and the containers that wait for metadata: shared by providers and the
//! resolver.
//!
//! Both sides hold the lock only briefly. The cache keeps only requested metadata, and at most [`MAX_KNOWN`] entries.
//! So neither a provider with too many answers nor cgroups with names of containers make it grow.

mod container;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use self::container::Container;
use super::{
    cgroup_identity::CgroupIdentity,
    metadata::{ContainerId, ContainerInfo, PodInfo},
    owner::{ControllerAnswer, Owner, OwnerCache, PodOwner, Reference},
    providers::{Pod, PodChange, ProviderName},
    runtimes::Api,
};

/// Maximum containers, and maximum pods.
const MAX_KNOWN: usize = 16_384;

/// How long a container counts as new.
const NEW: Duration = Duration::from_mins(1);

/// The problem of an API server that answers and has no pods for this node.
const ELSEWHERE: &str = "the API server lists no pods for this node, but pods run here: set --kubernetes.node-name to the \
    name in `kubectl get nodes`, and kubernetes.kubeconfig to the cluster of this node";

/// The metadata of containers and pods, shared by providers and the resolver.
#[derive(Clone, Debug, Default)]
pub struct MetadataCache(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: Mutex<KnownContainers>,
    /// Changes when there is a container that no provider has been asked for yet.
    wanted: watch::Sender<()>,
    /// Changes when there is a controller of a pod that no API server has been asked for yet.
    owners_wanted: watch::Sender<()>,
}

/// Notifies of new requests.
pub(super) struct Wanted(watch::Receiver<()>);

impl Wanted {
    /// Waits for a request since the last call.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // There will be no further requests.
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Debug, Default)]
struct KnownContainers {
    containers: HashMap<ContainerId, Container>,
    pods: HashMap<Arc<str>, Pod>,
    /// Pods of an incomplete list.
    listed: Option<HashSet<Arc<str>>>,
    /// When a list was first complete.
    synced: Option<Instant>,
    /// Whether this node has pods that the API server's lists lack.
    is_elsewhere: bool,
    /// Owners of pods' controllers.
    owners: OwnerCache,
    sources: Vec<ProviderStatus>,
    /// Grows with every change that could change an answer.
    generation: u64,
}

/// State of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStatus {
    /// The provider.
    pub source: ProviderName,
    /// Its problem, if it does not answer.
    pub problem: Option<String>,
    /// Failures since the start of the daemon.
    pub failures: u64,
    /// Whether it was ever asked.
    was_asked: bool,
}

impl ProviderStatus {
    /// Whether its last answer succeeded.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.problem.is_none()
    }
}

impl MetadataCache {
    /// Returns the metadata of a container. Without metadata, it requests them from providers, or only from the one
    /// that can know the container.
    #[must_use]
    pub fn container(&self, id: &ContainerId, pod: Option<&Arc<str>>, api: Option<Api>) -> Option<Arc<ContainerInfo>> {
        let mut known = self.lock();
        if let Some(container) = known.containers.get(id) {
            return container.facts.clone();
        }
        if known.containers.len() >= MAX_KNOWN {
            return None;
        }
        let facts = known.of_pods(id).map(Arc::new);
        let is_unknown = facts.is_none();
        let container = Container {
            facts: facts.clone(),
            pod: pod.cloned(),
            api,
            since: Instant::now(),
            retries: HashMap::new(),
            known_by: None,
        };
        known.containers.insert(Arc::clone(id), container);
        drop(known);
        if is_unknown {
            self.0.wanted.send_replace(());
        }
        facts
    }

    /// Returns the metadata of a container without a request.
    #[must_use]
    pub fn known(&self, id: &ContainerId) -> Option<Arc<ContainerInfo>> {
        self.lock().containers.get(id)?.facts.clone()
    }

    /// Whether Kubernetes has reported the controller of this pod, or that it has none.
    #[must_use]
    pub fn knows_owner(&self, uid: &str) -> bool {
        let known = self.lock();
        known.pods.get(uid).is_some_and(|pod| known.owner(pod) != PodOwner::Pending)
    }

    /// Returns the metadata of a pod.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<PodInfo> {
        let known = self.lock();
        if let Some(pod) = known.pods.get(uid) {
            return Some(pod.facts.clone());
        }
        let facts = known.containers.values().filter_map(|container| container.facts.as_ref()?.pod.as_ref());
        facts.into_iter().find(|pod| pod.uid.as_ref() == uid).cloned()
    }

    /// Returns the owner of a pod from Kubernetes.
    #[must_use]
    pub fn owner(&self, uid: &str) -> Option<Owner> {
        let known = self.lock();
        match known.owner(known.pods.get(uid)?) {
            PodOwner::Owner(owner) => Some(owner),
            PodOwner::Pending | PodOwner::Nobody => None,
        }
    }

    /// Requests the metadata for a path in advance.
    pub fn prepare(&self, identity: &CgroupIdentity) {
        if let CgroupIdentity::Container { id, pod, api, .. } = identity {
            let _ = self.container(id, pod.as_ref(), *api);
        }
    }

    /// Returns how long a container has been waiting.
    #[must_use]
    pub fn wanted_for(&self, id: &ContainerId) -> Duration {
        self.lock().containers.get(id).map_or(Duration::ZERO, |container| container.since.elapsed())
    }

    /// Sets how long a container has been waiting.
    #[cfg(test)]
    pub(super) fn age(&self, id: &ContainerId, by: Duration) {
        let mut known = self.lock();
        let container = known.containers.get_mut(id).expect("a container that is wanted");
        container.since = container.since.checked_sub(by).expect("a host that is up for longer");
    }

    /// Removes containers other than these, except new ones, which may not have made a call yet.
    pub fn retain(&self, wanted: &HashSet<&ContainerId>) {
        self.lock().containers.retain(|id, container| wanted.contains(id) || container.since.elapsed() < NEW);
    }

    /// Whether a provider may know names that are not known yet.
    #[must_use]
    pub fn has_sources(&self) -> bool {
        !self.lock().sources.is_empty()
    }

    /// Whether the last answer of a provider of names failed.
    #[must_use]
    pub fn has_failing_source(&self) -> bool {
        let names = |status: &&ProviderStatus| status.source != ProviderName::KubernetesOwners;
        self.lock().sources.iter().filter(names).any(|status| status.was_asked && !status.is_up())
    }

    /// Whether a provider exists.
    #[must_use]
    pub fn expects(&self, source: ProviderName) -> bool {
        self.lock().sources.iter().any(|status| status.source == source)
    }

    /// Adds a provider before its first answer.
    pub(super) fn expect(&self, source: ProviderName) {
        self.lock().status(source);
    }

    /// Returns a number that changes with every change that could change an answer.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Returns the state of every provider that was asked and still exists.
    #[must_use]
    pub fn sources(&self) -> Vec<ProviderStatus> {
        self.lock().sources.iter().filter(|status| status.was_asked).cloned().collect()
    }

    /// Returns the number of containers without metadata. Containers of known pods count as part of the pod.
    #[must_use]
    pub fn unresolved(&self) -> usize {
        let known = self.lock();
        let of_containers = known.containers.values().filter_map(|container| container.facts.as_ref()?.pod.as_ref());
        let pods: HashSet<&str> =
            known.pods.keys().map(AsRef::as_ref).chain(of_containers.map(|pod| pod.uid.as_ref())).collect();
        let has_pod = |container: &Container| container.pod.as_deref().is_some_and(|uid| pods.contains(uid));
        known.containers.values().filter(|container| container.facts.is_none() && !has_pod(container)).count()
    }

    /// Applies a provider's answer for these containers.
    pub(crate) fn answered(&self, source: ProviderName, asked: &[ContainerId], answer: Vec<ContainerInfo>) {
        let mut known = self.lock();
        let now = Instant::now();
        let mut has_changed = false;
        for facts in answer {
            if let Some(container) = known.containers.get_mut(&facts.id) {
                has_changed |= container.update(source, facts, now);
            }
        }
        known.generation += u64::from(has_changed);
        for id in asked {
            if let Some(container) = known.containers.get_mut(id) {
                container.was_asked(source, now);
            }
        }
    }

    /// Returns containers that this provider knows and was not asked about recently, the longest ago first: they may
    /// have been renamed.
    pub(super) fn stale(&self, api: Api, after: Duration, most: usize) -> Vec<ContainerId> {
        let (known, now) = (self.lock(), Instant::now());
        let known_here = known.containers.iter().filter_map(|(id, container)| Some((container.known_by?, id)));
        let of_source = known_here.filter(|((source, _), _)| *source == ProviderName::of(api));
        let mut stale: Vec<_> =
            of_source.map(|((_, at), id)| (at, id)).filter(|(at, _)| now.duration_since(*at) >= after).collect();
        stale.sort_unstable();
        stale.into_iter().take(most).map(|(_, id)| Arc::clone(id)).collect()
    }

    /// Applies a change of pods from Kubernetes.
    pub(crate) fn pod_changed(&self, change: PodChange) {
        let mut known = self.lock();
        match change {
            PodChange::Restarted => known.listed = Some(HashSet::new()),
            PodChange::Applied(pod) => {
                if known.add_pod(pod) {
                    self.0.owners_wanted.send_replace(());
                }
            }
            PodChange::Deleted { uid } => {
                known.pods.remove(&uid);
                known.forget_owners();
            }
            PodChange::Synced => {
                if let Some(listed) = known.listed.take() {
                    known.pods.retain(|uid, _| listed.contains(uid));
                }
                known.synced.get_or_insert_with(Instant::now);
                known.forget_owners();
            }
        }
        known.generation += 1;
    }

    /// Returns the controller that the API server is to be asked about now; otherwise, when.
    pub(super) fn due_owner(&self) -> Result<Reference, Option<Instant>> {
        self.lock().owners.due(Instant::now())
    }

    /// Whether a controller existed when it was last asked about. Then a cached answer suffices.
    pub(super) fn is_verified(&self, reference: &Reference) -> bool {
        self.lock().owners.is_verified(reference)
    }

    /// Applies an answer of the API server about a controller.
    pub(super) fn owner_answered(&self, reference: &Reference, answer: ControllerAnswer) {
        let mut known = self.lock();
        let has_changed = known.owners.answered(reference, answer, Instant::now());
        known.generation += u64::from(has_changed);
    }

    /// Notifies of a possible request for a controller.
    pub(super) fn owners_wanted(&self) -> Wanted {
        Wanted(self.0.owners_wanted.subscribe())
    }

    /// Updates whether there are pods here. If the API server has none for this node, the node has another name there.
    pub(super) fn check_node(&self, has_pods: impl FnOnce() -> bool) {
        let mut known = self.lock();
        let is_empty = known.pods.is_empty() && known.synced.is_some_and(|since| since.elapsed() >= NEW);
        let is_elsewhere = is_empty && has_pods();
        let is_other = std::mem::replace(&mut known.is_elsewhere, is_elsewhere) != is_elsewhere;
        drop(known);
        if is_other {
            self.set_status(ProviderName::Kubernetes, None);
            if is_elsewhere {
                tracing::warn!(source = ProviderName::Kubernetes.name(), "{ELSEWHERE}");
            }
        }
    }

    /// Updates the state of a provider. Returns whether it changed.
    pub(crate) fn set_status(&self, source: ProviderName, problem: Option<String>) -> bool {
        let mut known = self.lock();
        let is_elsewhere = source == ProviderName::Kubernetes && known.is_elsewhere;
        let problem = problem.or_else(|| is_elsewhere.then(|| ELSEWHERE.to_owned()));
        let status = known.status(source);
        let is_other = !status.was_asked || status.problem.is_some() != problem.is_some();
        status.failures += u64::from(problem.is_some());
        status.problem = problem;
        status.was_asked = true;
        is_other
    }

    /// Removes a provider that is not installed, or no longer.
    pub(super) fn remove_status(&self, source: ProviderName) {
        self.lock().sources.retain(|status| status.source != source);
    }

    /// Returns containers that this provider is to be asked about now, up to a maximum; otherwise, when. New ones come
    /// first, because containers that no provider knows are requested repeatedly, and may be many.
    pub(super) fn due(&self, api: Api, most: usize) -> Result<Vec<ContainerId>, Option<Instant>> {
        let (known, now, source) = (self.lock(), Instant::now(), ProviderName::of(api));
        let unknown = known.containers.iter().filter(|(_, container)| container.facts.is_none());
        let unknown = unknown.filter(|(_, container)| api.may_know(container.api));
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for (id, container) in unknown {
            match container.retries.get(&source) {
                Some((at, _)) if *at > now => next = Some(next.map_or(*at, |next| next.min(*at))),
                retry => due.push((retry.map_or(Duration::ZERO, |(_, pause)| *pause), container.since, id)),
            }
        }
        due.sort_unstable();
        let due: Vec<ContainerId> = due.into_iter().take(most).map(|(.., id)| Arc::clone(id)).collect();
        if due.is_empty() { Err(next) } else { Ok(due) }
    }

    /// Notifies of a possible new request.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted(self.0.wanted.subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, KnownContainers> {
        // A thread that panicked while it had the lock left valid metadata.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownContainers {
    /// Returns the state of a provider, a new one if there is none.
    fn status(&mut self, source: ProviderName) -> &mut ProviderStatus {
        let identity = self.sources.iter().position(|status| status.source == source).unwrap_or_else(|| {
            let problem = Some("not connected yet".to_owned());
            self.sources.push(ProviderStatus { source, problem, failures: 0, was_asked: false });
            self.sources.len() - 1
        });
        &mut self.sources[identity]
    }

    /// Returns the metadata of a container from its pod.
    fn of_pods(&self, id: &ContainerId) -> Option<ContainerInfo> {
        self.pods.values().flat_map(|pod| &pod.containers).find(|container| container.id == *id).cloned()
    }

    /// Returns the owner of a pod.
    fn owner(&self, pod: &Pod) -> PodOwner {
        self.owners.of_pod(&pod.facts.namespace, pod.controller.as_ref(), pod.is_static)
    }

    /// Removes controllers without pods.
    fn forget_owners(&mut self) {
        let pods = self.pods.values();
        self.owners.retain(pods.filter_map(|pod| Some((&pod.facts.namespace, pod.controller.as_ref()?))));
    }

    /// Adds a pod. Returns whether its controller is to be requested.
    fn add_pod(&mut self, pod: Pod) -> bool {
        let uid = Arc::clone(&pod.facts.uid);
        if self.pods.len() >= MAX_KNOWN && !self.pods.contains_key(&uid) {
            return false;
        }
        for facts in &pod.containers {
            if let Some(container) = self.containers.get_mut(&facts.id).filter(|container| container.facts.is_none()) {
                container.facts = Some(Arc::new(facts.clone()));
            }
        }
        if let Some(listed) = &mut self.listed {
            listed.insert(Arc::clone(&uid));
        }
        let controller = pod.controller.clone();
        let namespace = Arc::clone(&pod.facts.namespace);
        let is_other = self.pods.insert(uid, pod).is_some_and(|before| before.controller != controller);
        if is_other {
            self.forget_owners();
        }
        controller.is_some_and(|controller| self.owners.want(&namespace, &controller))
    }
}
