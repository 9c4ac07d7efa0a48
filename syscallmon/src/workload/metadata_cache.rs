//! What is known of containers and pods, and what somebody wants to know: where sources and counting meet.
//!
//! Both sides take its lock for moments only. Only what was asked for is kept, and no more than [`MAX_KNOWN`] of it, so
//! neither a source that says too much nor somebody who makes cgroups with names of containers can make it large.

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
    owner::{Answer, Known as KnownOwner, Owner, OwnerCache, Reference},
    providers::{Pod, PodChange, ProviderName},
    runtimes::Api,
};

/// Most containers, and most pods, that are kept.
const MAX_KNOWN: usize = 16_384;

/// A container is new for so long.
const NEW: Duration = Duration::from_mins(1);

/// What is wrong where the API server answers and has no pods for this node.
const ELSEWHERE: &str = "the API server lists no pods for this node, but pods run here: set kubernetes.node-name to the \
    name in `kubectl get nodes`, and kubernetes.kubeconfig to the cluster of this node";

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct MetadataCache(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: Mutex<Known>,
    /// Changes when there is a container that nobody has been asked for yet.
    wanted: watch::Sender<()>,
    /// Changes when there is a controller of a pod that nobody has been asked for yet.
    owners_wanted: watch::Sender<()>,
}

/// Tells when there is something that nobody has been asked for yet.
pub(super) struct Wanted(watch::Receiver<()>);

impl Wanted {
    /// Waits for that, since the last time that it was waited for.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody will ever want anything again.
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    containers: HashMap<ContainerId, Container>,
    pods: HashMap<Arc<str>, Pod>,
    /// Pods of a list that is not complete yet.
    listed: Option<HashSet<Arc<str>>>,
    /// When a list was first complete.
    synced: Option<Instant>,
    /// Whether there are pods here and none in the API server's lists.
    is_elsewhere: bool,
    /// What pods' controllers lead to.
    owners: OwnerCache,
    sources: Vec<ProviderStatus>,
    /// Grows with everything that could change an answer.
    generation: u64,
}

/// How a source fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStatus {
    /// Which.
    pub source: ProviderName,
    /// Why it does not answer, if it does not.
    pub problem: Option<String>,
    /// How often it did not, since the daemon started.
    pub failures: u64,
    /// Whether it was ever asked.
    was_asked: bool,
}

impl ProviderStatus {
    /// Whether it answered when it was last asked.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.problem.is_none()
    }
}

impl MetadataCache {
    /// What is known of a container; where that is nothing, sources are asked, or only the one that can know it.
    #[must_use]
    pub fn container(&self, id: &ContainerId, api: Option<Api>) -> Option<Arc<ContainerInfo>> {
        let mut known = self.lock();
        if let Some(container) = known.containers.get(id) {
            return container.facts.clone();
        }
        if known.containers.len() >= MAX_KNOWN {
            return None;
        }
        let facts = known.of_pods(id).map(Arc::new);
        let is_unknown = facts.is_none();
        let container =
            Container { facts: facts.clone(), api, since: Instant::now(), retries: HashMap::new(), told_by: None };
        known.containers.insert(Arc::clone(id), container);
        drop(known);
        if is_unknown {
            self.0.wanted.send_replace(());
        }
        facts
    }

    /// What is known of a container, without asking anybody.
    #[must_use]
    pub fn known(&self, id: &ContainerId) -> Option<Arc<ContainerInfo>> {
        self.lock().containers.get(id)?.facts.clone()
    }

    /// Whether Kubernetes has reported the controller of this pod, or that it has none.
    #[must_use]
    pub fn knows_owner(&self, uid: &str) -> bool {
        let known = self.lock();
        known.pods.get(uid).is_some_and(|pod| known.owner(pod) != KnownOwner::Pending)
    }

    /// What is known of a pod.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<PodInfo> {
        let known = self.lock();
        if let Some(pod) = known.pods.get(uid) {
            return Some(pod.facts.clone());
        }
        let facts = known.containers.values().filter_map(|container| container.facts.as_ref()?.pod.as_ref());
        facts.into_iter().find(|pod| pod.uid.as_ref() == uid).cloned()
    }

    /// What made a pod, where Kubernetes says so.
    #[must_use]
    pub fn owner(&self, uid: &str) -> Option<Owner> {
        let known = self.lock();
        match known.owner(known.pods.get(uid)?) {
            KnownOwner::Owner(owner) => Some(owner),
            KnownOwner::Pending | KnownOwner::Nobody => None,
        }
    }

    /// Asks for what a path mentions, before it is needed.
    pub fn prepare(&self, identity: &CgroupIdentity) {
        if let CgroupIdentity::Container { id, api, .. } = identity {
            let _ = self.container(id, *api);
        }
    }

    /// For how long a container has been wanted.
    #[must_use]
    pub fn wanted_for(&self, id: &ContainerId) -> Duration {
        self.lock().containers.get(id).map_or(Duration::ZERO, |container| container.since.elapsed())
    }

    /// Lets a container have been wanted for so long.
    #[cfg(test)]
    pub(super) fn age(&self, id: &ContainerId, by: Duration) {
        let mut known = self.lock();
        let container = known.containers.get_mut(id).expect("a container that is wanted");
        container.since = container.since.checked_sub(by).expect("a host that is up for longer");
    }

    /// Forgets containers that are not among these, but those that are so new that they may not have made a call yet.
    pub fn retain(&self, wanted: &HashSet<&ContainerId>) {
        self.lock().containers.retain(|id, container| wanted.contains(id) || container.since.elapsed() < NEW);
    }

    /// Whether there is anybody who may know a name that is not known yet.
    #[must_use]
    pub fn has_sources(&self) -> bool {
        !self.lock().sources.is_empty()
    }

    /// Whether a source that may know names did not answer when it was last asked.
    #[must_use]
    pub fn has_failing_source(&self) -> bool {
        let names = |status: &&ProviderStatus| status.source != ProviderName::KubernetesOwners;
        self.lock().sources.iter().filter(names).any(|status| status.was_asked && !status.is_up())
    }

    /// Whether a source is there.
    #[must_use]
    pub fn expects(&self, source: ProviderName) -> bool {
        self.lock().sources.iter().any(|status| status.source == source)
    }

    /// Notes that a source is there, before it has answered.
    pub(super) fn expect(&self, source: ProviderName) {
        self.lock().status(source);
    }

    /// A number that changes whenever an answer could.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// How every source fares that was asked and is still there.
    #[must_use]
    pub fn sources(&self) -> Vec<ProviderStatus> {
        self.lock().sources.iter().filter(|status| status.was_asked).cloned().collect()
    }

    /// Containers that are wanted and not known.
    #[must_use]
    pub fn unresolved(&self) -> usize {
        self.lock().containers.values().filter(|container| container.facts.is_none()).count()
    }

    /// Takes up what a source answered to a question for these.
    pub(crate) fn answered(&self, source: ProviderName, asked: &[ContainerId], answer: Vec<ContainerInfo>) {
        let mut known = self.lock();
        let now = Instant::now();
        let mut is_news = false;
        for facts in answer {
            if let Some(container) = known.containers.get_mut(&facts.id) {
                is_news |= container.update(source, facts, now);
            }
        }
        known.generation += u64::from(is_news);
        for id in asked {
            if let Some(container) = known.containers.get_mut(id) {
                container.was_asked(source, now);
            }
        }
    }

    /// Containers that this API's source knows and was not asked for lately, the longest ago first: they may
    /// have been renamed.
    pub(super) fn stale(&self, api: Api, after: Duration, most: usize) -> Vec<ContainerId> {
        let (known, now) = (self.lock(), Instant::now());
        let told = known.containers.iter().filter_map(|(id, container)| Some((container.told_by?, id)));
        let of_source = told.filter(|((source, _), _)| *source == ProviderName::of(api));
        let mut stale: Vec<_> =
            of_source.map(|((_, at), id)| (at, id)).filter(|(at, _)| now.duration_since(*at) >= after).collect();
        stale.sort_unstable();
        stale.into_iter().take(most).map(|(_, id)| Arc::clone(id)).collect()
    }

    /// Takes up what Kubernetes says of pods.
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

    /// The controller that the API server is to be asked for now; otherwise, when.
    pub(super) fn due_owner(&self) -> Result<Reference, Option<Instant>> {
        self.lock().owners.due(Instant::now())
    }

    /// Whether a controller was there when it was last asked for: then a cached answer will do.
    pub(super) fn is_verified(&self, reference: &Reference) -> bool {
        self.lock().owners.is_verified(reference)
    }

    /// Takes up what the API server says of a controller.
    pub(super) fn owner_answered(&self, reference: &Reference, answer: Answer) {
        let mut known = self.lock();
        let is_news = known.owners.answered(reference, answer, Instant::now());
        known.generation += u64::from(is_news);
    }

    /// Tells when there may be a controller to be asked for.
    pub(super) fn owners_wanted(&self) -> Wanted {
        Wanted(self.0.owners_wanted.subscribe())
    }

    /// Takes up whether there are pods here: where the API server has none, this node has another name there.
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

    /// Notes how a source fares; whether that is another state than before.
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

    /// Takes a source out of those that there are: it is not installed (any more).
    pub(super) fn remove_status(&self, source: ProviderName) {
        self.lock().sources.retain(|status| status.source != source);
    }

    /// Containers that this API's source is to be asked for now, at most so many; otherwise, when. New ones come first:
    /// containers that nobody knows are asked for again and again, and may be many.
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

    /// Tells when there may be something new to be asked for.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted(self.0.wanted.subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // A thread that panicked while it had the lock left valid metadata.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The status of a source, a new one if it has none yet.
    fn status(&mut self, source: ProviderName) -> &mut ProviderStatus {
        let identity = self.sources.iter().position(|status| status.source == source).unwrap_or_else(|| {
            let problem = Some("not connected yet".to_owned());
            self.sources.push(ProviderStatus { source, problem, failures: 0, was_asked: false });
            self.sources.len() - 1
        });
        &mut self.sources[identity]
    }

    /// What pods say of a container.
    fn of_pods(&self, id: &ContainerId) -> Option<ContainerInfo> {
        self.pods.values().flat_map(|pod| &pod.containers).find(|container| container.id == *id).cloned()
    }

    /// What is known of what made a pod.
    fn owner(&self, pod: &Pod) -> KnownOwner {
        self.owners.of_pod(&pod.facts.namespace, pod.controller.as_ref(), pod.is_static)
    }

    /// Forgets controllers that no pod has any more.
    fn forget_owners(&mut self) {
        let pods = self.pods.values();
        self.owners.retain(pods.filter_map(|pod| Some((&pod.facts.namespace, pod.controller.as_ref()?))));
    }

    /// Takes up a pod; whether its controller is to be asked for.
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
