//! What is known of containers and pods, and what somebody wants to know: where sources and counting meet.
//!
//! Both sides take its lock for moments only. Only what was asked for is kept, and no more than [`MOST`] of it, so neither
//! a source that says too much nor somebody who makes cgroups with names of containers can make it large.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    facts::{ContainerFacts, ContainerId, Owner, PodFacts},
    place::Place,
    runtimes::Api,
    source::{Pod, PodChange, SourceName},
};

/// Most containers, and most pods, that are kept.
const MOST: usize = 16_384;

/// A container is new for so long.
const NEW: Duration = Duration::from_mins(1);

/// A container that nobody knows is asked for again after this, then after twice that, and so on.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: Mutex<Known>,
    /// Changes when there is a container that nobody has been asked for yet.
    wanted: watch::Sender<()>,
}

/// Tells when there is a container that nobody has been asked for yet.
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
    sources: Vec<SourceStatus>,
    /// Grows with everything that could change an answer.
    generation: u64,
}

/// A container that somebody wants to know.
#[derive(Debug)]
struct Container {
    facts: Option<Arc<ContainerFacts>>,
    /// Who knows it, where its path tells.
    api: Option<Api>,
    /// Since when.
    since: Instant,
    /// When each source is to be asked again, and after how long after that.
    retries: HashMap<SourceName, (Instant, Duration)>,
}

/// How a source fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStatus {
    /// Which.
    pub source: SourceName,
    /// Why it does not answer, if it does not.
    pub problem: Option<String>,
    /// How often it did not, since the daemon started.
    pub failures: u64,
    /// Whether it was ever asked.
    was_asked: bool,
}

impl SourceStatus {
    /// Whether it answered when it was last asked.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.problem.is_none()
    }
}

impl Directory {
    /// What is known of a container; where that is nothing, sources are asked, or only the one that can know it.
    #[must_use]
    pub fn container(&self, id: &ContainerId, api: Option<Api>) -> Option<Arc<ContainerFacts>> {
        let mut known = self.lock();
        if let Some(container) = known.containers.get(id) {
            return container.facts.clone();
        }
        if known.containers.len() >= MOST {
            return None;
        }
        let facts = known.of_pods(id).map(Arc::new);
        let is_unknown = facts.is_none();
        let container = Container { facts: facts.clone(), api, since: Instant::now(), retries: HashMap::new() };
        known.containers.insert(Arc::clone(id), container);
        drop(known);
        if is_unknown {
            self.0.wanted.send_replace(());
        }
        facts
    }

    /// What is known of a container, without asking anybody.
    #[must_use]
    pub fn known(&self, id: &ContainerId) -> Option<Arc<ContainerFacts>> {
        self.lock().containers.get(id)?.facts.clone()
    }

    /// Whether Kubernetes has told of this pod.
    #[must_use]
    pub fn has_pod(&self, uid: &str) -> bool {
        self.lock().pods.contains_key(uid)
    }

    /// What is known of a pod.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<PodFacts> {
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
        self.lock().pods.get(uid).and_then(|pod| pod.facts.owner.clone())
    }

    /// Asks for what a path mentions, before it is needed.
    pub fn prepare(&self, place: &Place) {
        if let Place::Container { id, api, .. } = place {
            let _ = self.container(id, *api);
        }
    }

    /// For how long a container has been wanted.
    #[must_use]
    pub fn wanted_for(&self, id: &ContainerId) -> Duration {
        self.lock().containers.get(id).map_or(Duration::ZERO, |container| container.since.elapsed())
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

    /// Whether a source is there.
    #[must_use]
    pub fn expects(&self, source: SourceName) -> bool {
        self.lock().sources.iter().any(|status| status.source == source)
    }

    /// Notes that a source is there, before it has answered.
    pub(super) fn expect(&self, source: SourceName) {
        self.lock().status(source);
    }

    /// A number that changes whenever an answer could.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// How every source fares that was asked and is still there.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceStatus> {
        self.lock().sources.iter().filter(|status| status.was_asked).cloned().collect()
    }

    /// Containers that are wanted and not known.
    #[must_use]
    pub fn unresolved(&self) -> usize {
        self.lock().containers.values().filter(|container| container.facts.is_none()).count()
    }

    /// Takes up what a source answered to a question for these.
    pub(crate) fn answered(&self, source: SourceName, asked: &[ContainerId], answer: Vec<ContainerFacts>) {
        let mut known = self.lock();
        let now = Instant::now();
        let mut is_news = false;
        for facts in answer {
            if let Some(container) = known.containers.get_mut(&facts.id).filter(|container| container.facts.is_none()) {
                container.facts = Some(Arc::new(facts));
                is_news = true;
            }
        }
        known.generation += u64::from(is_news);
        for id in asked {
            if let Some(container) = known.containers.get_mut(id) {
                container
                    .retries
                    .entry(source)
                    .and_modify(|retry| *retry = later(now, retry.1))
                    .or_insert_with(|| later(now, FIRST_RETRY));
            }
        }
    }

    /// Takes up what Kubernetes says of pods.
    pub(super) fn pod_changed(&self, change: PodChange) {
        let mut known = self.lock();
        match change {
            PodChange::Restarted => known.listed = Some(HashSet::new()),
            PodChange::Applied(pod) => known.add_pod(pod),
            PodChange::Deleted { uid } => {
                known.pods.remove(&uid);
            }
            PodChange::Synced => {
                if let Some(listed) = known.listed.take() {
                    known.pods.retain(|uid, _| listed.contains(uid));
                }
            }
        }
        known.generation += 1;
    }

    /// Notes how a source fares; whether that is another state than before.
    pub(crate) fn set_status(&self, source: SourceName, problem: Option<String>) -> bool {
        let mut known = self.lock();
        let status = known.status(source);
        let is_other = !status.was_asked || status.problem.is_some() != problem.is_some();
        status.failures += u64::from(problem.is_some());
        status.problem = problem;
        status.was_asked = true;
        is_other
    }

    /// Takes a source out of those that there are: it is not installed (any more).
    pub(super) fn remove_status(&self, source: SourceName) {
        self.lock().sources.retain(|status| status.source != source);
    }

    /// Containers that this API's source is to be asked for now, at most so many; otherwise, when.
    pub(super) fn due(&self, api: Api, most: usize) -> Result<Vec<ContainerId>, Option<Instant>> {
        let (known, now, source) = (self.lock(), Instant::now(), SourceName::of(api));
        let unknown = known.containers.iter().filter(|(_, container)| container.facts.is_none());
        let unknown = unknown.filter(|(_, container)| api.may_know(container.api));
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for (id, container) in unknown {
            match container.retries.get(&source) {
                Some((at, _)) if *at > now => next = Some(next.map_or(*at, |next| next.min(*at))),
                _ if due.len() < most => due.push(Arc::clone(id)),
                _ => {}
            }
        }
        if due.is_empty() { Err(next) } else { Ok(due) }
    }

    /// Tells when there may be something new to be asked for.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted(self.0.wanted.subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Whoever panicked with it left facts that are still true.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When to ask again, and how long to wait the next time.
fn later(now: Instant, after: Duration) -> (Instant, Duration) {
    (now + after, (after * 2).min(LAST_RETRY))
}

impl Known {
    /// The status of a source, a new one if it has none yet.
    fn status(&mut self, source: SourceName) -> &mut SourceStatus {
        let place = self.sources.iter().position(|status| status.source == source).unwrap_or_else(|| {
            let problem = Some("not asked yet".to_owned());
            self.sources.push(SourceStatus { source, problem, failures: 0, was_asked: false });
            self.sources.len() - 1
        });
        &mut self.sources[place]
    }

    /// What pods say of a container.
    fn of_pods(&self, id: &ContainerId) -> Option<ContainerFacts> {
        self.pods.values().flat_map(|pod| &pod.containers).find(|container| container.id == *id).cloned()
    }

    fn add_pod(&mut self, pod: Pod) {
        let uid = Arc::clone(&pod.facts.uid);
        if self.pods.len() >= MOST && !self.pods.contains_key(&uid) {
            return;
        }
        for facts in &pod.containers {
            if let Some(container) = self.containers.get_mut(&facts.id).filter(|container| container.facts.is_none()) {
                container.facts = Some(Arc::new(facts.clone()));
            }
        }
        if let Some(listed) = &mut self.listed {
            listed.insert(Arc::clone(&uid));
        }
        self.pods.insert(uid, pod);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ContainerId {
        text.into()
    }

    fn facts(id: &str, pod: Option<PodFacts>) -> ContainerFacts {
        let [name, runtime] = ["web", "containerd"].map(Arc::from);
        ContainerFacts { id: id.into(), name, pod, image: None, runtime, is_pause: false }
    }

    fn pod(uid: &str, containers: &[&str]) -> Pod {
        let [namespace, name] = ["shop", "web-1"].map(Arc::from);
        let owner = Some(Owner { kind: "Deployment".into(), name: "web".into() });
        let facts_of_pod = PodFacts { uid: uid.into(), namespace, name, owner };
        let containers = containers.iter().map(|id| facts(id, Some(facts_of_pod.clone()))).collect();
        Pod { facts: facts_of_pod, containers }
    }

    #[test]
    fn an_unknown_container_is_asked_for_at_once_and_again_later() {
        let directory = Directory::default();
        assert_eq!(directory.due(Api::Cri, 9), Err(None), "nobody wants anything");
        assert_eq!(directory.container(&id("a"), None), None);
        assert_eq!(directory.due(Api::Cri, 9), Ok(vec![id("a")]));
        directory.answered(SourceName::Cri, &[id("a")], Vec::new());
        let next = directory.due(Api::Cri, 9).unwrap_err().expect("it is asked for again");
        assert!(next > Instant::now() && next <= Instant::now() + FIRST_RETRY);
        assert_eq!(directory.due(Api::Docker, 9), Ok(vec![id("a")]), "others have their own time");
        assert_eq!(directory.unresolved(), 1);
    }

    #[test]
    fn only_podman_is_asked_for_podman_s_containers_and_for_no_others() {
        let directory = Directory::default();
        let _ = directory.container(&id("a"), None);
        let _ = directory.container(&id("b"), Some(Api::Podman));
        assert_eq!(directory.due(Api::Cri, 9), Ok(vec![id("a")]));
        assert_eq!(directory.due(Api::Podman, 9), Ok(vec![id("b")]));
    }

    #[test]
    fn the_first_answer_is_kept_and_what_nobody_asked_for_is_not() {
        let directory = Directory::default();
        let _ = directory.container(&id("a"), None);
        let before = directory.generation();
        directory.answered(SourceName::Cri, &[id("a")], vec![facts("a", None), facts("b", None)]);
        assert!(directory.generation() > before);
        assert_eq!(directory.container(&id("a"), None).as_deref(), Some(&facts("a", None)));
        assert_eq!((directory.unresolved(), directory.due(Api::Docker, 9)), (0, Err(None)));
        let known = directory.lock().containers.len();
        assert_eq!(known, 1);
    }

    #[test]
    fn pods_name_containers_that_are_wanted_before_and_after() {
        let directory = Directory::default();
        let _ = directory.container(&id("a"), None);
        directory.pod_changed(PodChange::Applied(pod("1", &["a", "b"])));
        for container in ["a", "b"] {
            assert!(directory.container(&id(container), None).is_some(), "{container}");
        }
        directory.pod_changed(PodChange::Deleted { uid: "1".into() });
        assert!(directory.container(&id("a"), None).is_some(), "it may still run for a moment");
        assert_eq!((directory.owner("1"), directory.pod("1").map(|pod| pod.name)), (None, Some("web-1".into())));
    }

    #[test]
    fn pods_that_a_new_list_does_not_have_are_gone() {
        let directory = Directory::default();
        for uid in ["1", "2"] {
            directory.pod_changed(PodChange::Applied(pod(uid, &[])));
        }
        directory.pod_changed(PodChange::Restarted);
        directory.pod_changed(PodChange::Applied(pod("2", &[])));
        assert!(directory.pod("1").is_some(), "as long as the list is not complete");
        directory.pod_changed(PodChange::Synced);
        assert_eq!((directory.pod("1"), directory.pod("2").is_some()), (None, true));
    }

    #[test]
    fn nobody_can_make_it_large() {
        let directory = Directory::default();
        for number in 0..2 * MOST {
            let _ = directory.container(&number.to_string().into(), None);
            directory.pod_changed(PodChange::Applied(pod(&number.to_string(), &[])));
        }
        let known = directory.lock();
        assert_eq!((known.containers.len(), known.pods.len()), (MOST, MOST));
    }

    #[test]
    fn a_change_of_a_source_s_state_is_told_once() {
        let directory = Directory::default();
        directory.expect(SourceName::Cri);
        assert!(directory.has_sources() && directory.sources().is_empty(), "it is there, but was not asked");
        let told = [None, None, Some("gone"), Some("gone"), None]
            .map(|problem: Option<&str>| directory.set_status(SourceName::Cri, problem.map(str::to_owned)));
        assert_eq!(told, [true, false, true, false, true]);
        assert_eq!(directory.sources()[0].failures, 2);
    }
}
