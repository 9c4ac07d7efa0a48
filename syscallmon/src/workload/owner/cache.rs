//! `ReplicaSet`s and Jobs that are controllers of this node's pods, and their owners.
//!
//! There are at most as many as pods that name them. Namespaces take turns, so a namespace with many does not delay
//! others.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Claim, Controller, Intermediate, Owner, is_object_name};

/// Interval until the next request for a controller without an answer. It doubles with each request.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(1);

/// Answers are refreshed, because a controller can get another owner: soon after a change, because Kubernetes reverts a
/// wrong claim within seconds, and rarely later.
const FIRST_CHECK: Duration = Duration::from_mins(1);
const NEXT_CHECK: Duration = Duration::from_hours(1);

/// Rights may be granted while the daemon runs.
const FORBIDDEN_CHECK: Duration = Duration::from_mins(5);

/// A `ReplicaSet` or Job by the reference of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::workload) struct Reference {
    /// Its kind.
    pub level: Intermediate,
    /// The pod's namespace, which is also the controller's.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its UID in the reference.
    pub uid: Arc<str>,
}

/// Answer of the API server about a controller.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::workload) enum ControllerAnswer {
    /// It exists, with this UID and this controller.
    Found { uid: Arc<str>, controller: Option<Controller> },
    /// No object has that name.
    Missing,
    /// This node has no right to read it.
    Forbidden,
    /// There was no answer.
    Failed,
}

/// Controllers of pods, their owners, and when to ask about each again.
#[derive(Debug, Default)]
pub(in crate::workload) struct OwnerCache {
    entries: HashMap<Reference, CachedOwner>,
    /// The last turn of each namespace, as a growing number.
    turns: HashMap<Arc<str>, u64>,
    turn: u64,
}

#[derive(Debug)]
struct CachedOwner {
    state: State,
    /// Time of the next request, and the interval after that.
    next: Instant,
    pause: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// No answer so far.
    Pending,
    /// It is the object in the reference.
    Verified(Owner),
    /// It cannot be read. The reference is trusted, but not the form of its name.
    Unverified,
    /// It is another object.
    False,
}

/// Owner of a pod, as far as known.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::workload) enum PodOwner {
    /// Unknown so far.
    Pending,
    /// It has none.
    Nobody,
    /// This owner.
    Owner(Owner),
}

impl OwnerCache {
    /// Returns the owner of a pod in this namespace with this controller.
    pub(in crate::workload) fn of_pod(
        &self,
        namespace: &Arc<str>,
        claim: Option<&Controller>,
        is_static: bool,
    ) -> PodOwner {
        let Some(controller) = claim else { return PodOwner::Nobody };
        let reference = match controller.claim(is_static) {
            Claim::Nothing => return PodOwner::Nobody,
            Claim::Owner(owner) => return PodOwner::Owner(owner),
            Claim::Through(level) => Reference::new(level, namespace, controller),
        };
        let Some(reference) = reference else { return PodOwner::Nobody };
        match self.entries.get(&reference).map(|entry| &entry.state) {
            None | Some(State::Pending) => PodOwner::Pending,
            Some(State::Verified(owner)) => PodOwner::Owner(owner.clone()),
            Some(State::Unverified) => PodOwner::Owner(reference.level.owner(&reference.name, None)),
            Some(State::False) => PodOwner::Nobody,
        }
    }

    /// Requests the owner of a pod's controller. Returns whether the API server is to be asked.
    pub(in crate::workload) fn want(&mut self, namespace: &Arc<str>, controller: &Controller) -> bool {
        let Claim::Through(level) = controller.claim(false) else { return false };
        let Some(reference) = Reference::new(level, namespace, controller) else { return false };
        if self.entries.contains_key(&reference) {
            return false;
        }
        let entry = CachedOwner { state: State::Pending, next: Instant::now(), pause: FIRST_RETRY };
        self.entries.insert(reference, entry);
        true
    }

    /// Removes controllers that no pod names any more.
    pub(in crate::workload) fn retain<'a>(&mut self, named: impl Iterator<Item = (&'a Arc<str>, &'a Controller)>) {
        let named: HashSet<Reference> = named
            .filter_map(|(namespace, controller)| match controller.claim(false) {
                Claim::Through(level) => Reference::new(level, namespace, controller),
                _ => None,
            })
            .collect();
        self.entries.retain(|reference, _| named.contains(reference));
        let namespaces: HashSet<&Arc<str>> = self.entries.keys().map(|reference| &reference.namespace).collect();
        self.turns.retain(|namespace, _| namespaces.contains(namespace));
    }

    /// Returns the next controller to ask about; otherwise, when.
    pub(in crate::workload) fn due(&mut self, now: Instant) -> Result<Reference, Option<Instant>> {
        let turn = |reference: &Reference| self.turns.get(&reference.namespace).copied().unwrap_or(0);
        let due = self.entries.iter().filter(|(_, entry)| entry.next <= now);
        // Controllers without any answer come first.
        let first = due.min_by_key(|(reference, entry)| (entry.state != State::Pending, turn(reference), entry.next));
        let Some(reference) = first.map(|(reference, _)| reference.clone()) else {
            return Err(self.entries.values().map(|entry| entry.next).min());
        };
        self.turn += 1;
        self.turns.insert(Arc::clone(&reference.namespace), self.turn);
        Ok(reference)
    }

    /// Whether its state comes from an answer.
    pub(in crate::workload) fn is_verified(&self, reference: &Reference) -> bool {
        self.entries.get(reference).is_some_and(|entry| matches!(entry.state, State::Verified(_)))
    }

    /// Applies an answer of the API server. Returns whether anything changed.
    pub(in crate::workload) fn answered(
        &mut self,
        reference: &Reference,
        answer: ControllerAnswer,
        now: Instant,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(reference) else { return false };
        let state = match answer {
            ControllerAnswer::Found { uid, controller } if uid == reference.uid => {
                Some(State::Verified(reference.level.owner(&reference.name, controller.as_ref())))
            }
            // A deleted controller may have pods for a while, and keeps its owner.
            ControllerAnswer::Found { .. } | ControllerAnswer::Missing | ControllerAnswer::Forbidden
                if entry.is_verified() =>
            {
                None
            }
            ControllerAnswer::Found { .. } | ControllerAnswer::Missing => Some(State::False),
            ControllerAnswer::Forbidden => {
                entry.next = now + FORBIDDEN_CHECK;
                return std::mem::replace(&mut entry.state, State::Unverified) != State::Unverified;
            }
            ControllerAnswer::Failed => {
                entry.next = now + entry.pause;
                entry.pause = (entry.pause * 2).min(LAST_RETRY);
                return false;
            }
        };
        let has_changed = state.as_ref().is_some_and(|state| *state != entry.state);
        (entry.next, entry.pause) = (now + if has_changed { FIRST_CHECK } else { NEXT_CHECK }, FIRST_RETRY);
        if let Some(state) = state {
            entry.state = state;
        }
        has_changed
    }
}

impl CachedOwner {
    fn is_verified(&self) -> bool {
        matches!(self.state, State::Verified(_))
    }
}

impl Reference {
    /// `None` if no API server can have such an object.
    fn new(level: Intermediate, namespace: &Arc<str>, controller: &Controller) -> Option<Self> {
        let Controller { name, uid, .. } = controller;
        let is_whole = is_object_name(namespace) && is_object_name(name) && !uid.is_empty();
        is_whole.then(|| Self { level, namespace: Arc::clone(namespace), name: Arc::clone(name), uid: Arc::clone(uid) })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::controller, *};

    const SHOP: &str = "shop";

    fn found(reference: &Reference, above: &str) -> ControllerAnswer {
        ControllerAnswer::Found { uid: Arc::clone(&reference.uid), controller: Some(controller(above, "web")) }
    }

    fn owner(cache: &OwnerCache, claim: &Controller) -> String {
        match cache.of_pod(&SHOP.into(), Some(claim), false) {
            PodOwner::Pending => "pending".to_owned(),
            PodOwner::Nobody => "nobody".to_owned(),
            PodOwner::Owner(Owner { kind, name }) => format!("{kind}/{name}"),
        }
    }

    /// Returns a cache with a request for a controller in `shop`, and that request.
    fn wanted(claim: &Controller) -> (OwnerCache, Reference) {
        let mut cache = OwnerCache::default();
        assert!(cache.want(&SHOP.into(), claim) && !cache.want(&SHOP.into(), claim));
        let reference = cache.due(Instant::now()).unwrap();
        (cache, reference)
    }

    #[test]
    fn an_owner_is_known_when_the_api_server_has_answered() {
        let claim = controller("apps/ReplicaSet", "web-5d4f");
        let (mut cache, reference) = wanted(&claim);
        assert_eq!(owner(&cache, &claim), "pending");
        assert!(!cache.answered(&reference, ControllerAnswer::Failed, Instant::now()));
        assert_eq!(owner(&cache, &claim), "pending");
        assert!(cache.answered(&reference, found(&reference, "apps/Deployment"), Instant::now()));
        assert_eq!(owner(&cache, &claim), "Deployment/web");
        assert!(!cache.answered(&reference, ControllerAnswer::Missing, Instant::now()));
        assert_eq!(owner(&cache, &claim), "Deployment/web", "its last pods may still end");
        assert!(cache.answered(&reference, found(&reference, "argoproj.io/Rollout"), Instant::now()));
        assert_eq!(owner(&cache, &claim), "Rollout.argoproj.io/web");
    }

    #[test]
    fn another_uid_or_no_object_is_a_false_claim() {
        let claim = controller("apps/ReplicaSet", "web-5d4f");
        let other =
            || ControllerAnswer::Found { uid: "other".into(), controller: Some(controller("apps/Deployment", "web")) };
        for answer in [other(), ControllerAnswer::Missing] {
            let (mut cache, reference) = wanted(&claim);
            assert!(cache.answered(&reference, answer, Instant::now()));
            assert_eq!(owner(&cache, &claim), "nobody");
        }
    }

    #[test]
    fn the_same_uid_under_another_name_is_another_claim() {
        let (mut cache, reference) = wanted(&controller("apps/ReplicaSet", "web-5d4f"));
        cache.answered(&reference, found(&reference, "apps/Deployment"), Instant::now());
        let forged = Controller { name: "other".into(), ..controller("apps/ReplicaSet", "web-5d4f") };
        assert_eq!(owner(&cache, &forged), "pending");
        let job = Controller { group: "batch".into(), kind: "Job".into(), ..controller("", "web-5d4f") };
        assert_eq!(owner(&cache, &job), "pending");
    }

    #[test]
    fn where_nobody_may_know_the_pod_is_believed_but_no_pattern() {
        for (claim, expected) in [
            (controller("apps/ReplicaSet", "web-5d4f"), "ReplicaSet/web-5d4f"),
            (controller("batch/Job", "backup-29103845"), "Job/backup-29103845"),
        ] {
            let (mut cache, reference) = wanted(&claim);
            assert!(cache.answered(&reference, ControllerAnswer::Forbidden, Instant::now()));
            assert_eq!(owner(&cache, &claim), expected);
            assert!(cache.due(Instant::now() + FORBIDDEN_CHECK).is_ok(), "rights may be granted later");
        }
    }

    #[test]
    fn names_that_are_paths_are_never_asked_for() {
        let mut cache = OwnerCache::default();
        let path = controller("apps/ReplicaSet", "../../secrets/token");
        assert!(!cache.want(&SHOP.into(), &path));
        assert_eq!(owner(&cache, &path), "nobody");
        assert!(!cache.want(&"../x".into(), &controller("apps/ReplicaSet", "web")));
    }

    #[test]
    fn a_namespace_with_many_controllers_does_not_delay_another() {
        let mut cache = OwnerCache::default();
        for number in 0..500 {
            cache.want(&"evil".into(), &controller("apps/ReplicaSet", &format!("x-{number}")));
        }
        let _ = cache.due(Instant::now());
        cache.want(&SHOP.into(), &controller("apps/ReplicaSet", "web-5d4f"));
        let next = [cache.due(Instant::now()), cache.due(Instant::now())];
        assert!(next.iter().flatten().any(|reference| &*reference.namespace == SHOP), "{next:?}");
    }

    #[test]
    fn what_no_pod_names_is_forgotten() {
        let claim = controller("batch/Job", "backup-1");
        let (mut cache, reference) = wanted(&claim);
        cache.retain([(&SHOP.into(), &claim)].into_iter());
        assert!(cache.entries.contains_key(&reference));
        cache.retain(std::iter::empty());
        assert!(cache.entries.is_empty() && cache.turns.is_empty());
        assert!(!cache.answered(&reference, ControllerAnswer::Missing, Instant::now()));
    }

    #[test]
    fn answers_are_looked_at_again_and_failures_with_growing_pauses() {
        let (mut cache, reference) = wanted(&controller("batch/Job", "backup-1"));
        let now = Instant::now();
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            cache.answered(&reference, ControllerAnswer::Failed, now);
            assert_eq!(cache.due(now), Err(Some(now + Duration::from_secs(pause))));
        }
        for check in [FIRST_CHECK, NEXT_CHECK, NEXT_CHECK] {
            cache.answered(&reference, found(&reference, "batch/CronJob"), now);
            assert_eq!(cache.due(now), Err(Some(now + check)));
        }
        // It got another owner, which may have claimed it wrongly.
        cache.answered(&reference, found(&reference, "example.com/Evil"), now);
        assert_eq!(cache.due(now), Err(Some(now + FIRST_CHECK)));
    }
}
