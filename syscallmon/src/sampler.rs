//! The daemon's heart: takes snapshots, one at a time, and keeps names and totals up to date.
//!
//! One task owns the kernel's tables, the tree and the writing side of the state, so two snapshots can never
//! run at once. It samples at each poll, when a scrape wants fresher counts, and early when many cgroups died,
//! whose slots others wait for.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rustix::time::{ClockId, clock_gettime};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    attribution::Attribution,
    cgroup::{Change, Tree},
    detector::Detector,
    fair_share::Tenant,
    first_calls::FirstCall,
    kernel::{self, CgroupChange, EventStreams, Kernel, Probe},
    model::Totals,
    process,
    snapshot::Snapshot,
    state::{Shared, SnapshotFacts, State},
    syscalls::CallTable,
    workload::{Label, Labels, Named, Naming, PATIENCE, Place, Workload},
};

/// A scrape is answered from a snapshot that is at most this old.
pub const FRESH: Duration = Duration::from_secs(1);

/// Least time between two early samples: when many slots can be freed, when there are none left, and between two walks for cgroups without
/// a name.
const EARLY: Duration = Duration::from_millis(20);
const EXHAUSTED: Duration = Duration::from_secs(1);
const WALK: Duration = Duration::from_secs(1);

/// How long a snapshot waits for answers of `/proc` about calls that it has counted.
const ANSWERS: Duration = Duration::from_millis(5);

/// How often names are looked for that first calls wait for.
const NAMES: Duration = Duration::from_millis(50);

/// A walk buries what it and the one before did not see.
const WALKS_AFTER_LOSS: u32 = 2;

/// What can be changed while the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunables {
    /// Time between two polls.
    pub poll_interval: Duration,
    /// How long workloads that are gone are exported.
    pub expire_after: Duration,
}

/// Asks the sampler for fresh counts.
#[derive(Clone, Debug)]
pub struct Refresher {
    requests: mpsc::Sender<oneshot::Sender<()>>,
}

impl Refresher {
    /// Returns when the newest snapshot is younger than [`FRESH`], or when there will be no more.
    pub async fn refresh(&self) {
        let (done, wait) = oneshot::channel();
        if self.requests.send(done).await.is_ok() {
            // An error means that the sampler has stopped: the last snapshot is the newest there will be.
            let _ = wait.await;
        }
    }
}

/// See the module.
pub struct Sampler {
    kernel: Kernel,
    events: EventStreams,
    calls: CallTable,
    tree: Tree,
    attribution: Attribution,
    naming: Naming,
    detector: Detector,
    /// Cgroups whose births were seen: all that they ever called is known.
    born: HashSet<u64>,
    shared: Shared,
    tunables: watch::Receiver<Tunables>,
    requests: mpsc::Receiver<oneshot::Sender<()>>,
    /// Without the cgroup probe, the tree is walked before every snapshot.
    has_cgroup_events: bool,
    /// Lost cgroup events that were noticed.
    losses_seen: u64,
    /// Lost first calls that were noticed.
    first_calls_lost: u64,
    /// Complete walks that are to make up for lost events.
    walks_due: u32,
    last_walk: Instant,
    /// Deaths that make an early sample worth while.
    many_dead: usize,
}

impl Sampler {
    /// A sampler, and the handle to ask it for fresh counts. Walks the tree once.
    #[must_use]
    pub fn new(
        kernel: Kernel,
        events: EventStreams,
        (mut tree, mut naming, mut detector): (Tree, Naming, Detector),
        shared: Shared,
        tunables: watch::Receiver<Tunables>,
    ) -> (Self, Refresher) {
        let (sender, requests) = mpsc::channel(64);
        tree.walk();
        naming.policies_use_owner(detector.uses_owner());
        let has_cgroup_events = kernel.probes().iter().any(|status| status.probe == Probe::Cgroup && status.is_up());
        detector.sees_all_cgroups(tree.sees_all());
        let slots = shared.lock().capacity.cgroups as usize;
        let many_dead = (slots / 8).max(1);
        let attribution = Attribution::new(kernel.most_roots(), slots);
        let calls = shared.lock().calls.clone();
        let sampler = Self {
            kernel,
            events,
            calls,
            tree,
            attribution,
            naming,
            detector,
            born: HashSet::new(),
            shared,
            tunables,
            requests,
            has_cgroup_events,
            losses_seen: 0,
            first_calls_lost: 0,
            walks_due: 0,
            last_walk: Instant::now(),
            many_dead,
        };
        (sampler, Refresher { requests: sender })
    }

    /// Samples until `shutdown`; then detaches everything, by dropping the kernel's programs.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut poll = poll_interval(self.tunables.borrow_and_update().poll_interval);
        let answers = self.detector.answers();
        loop {
            let (early, waits) = (self.early_sample(), self.detector.is_waiting());
            let answer_deadline = self.detector.answer_deadline();
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = poll.tick() => self.sample(),
                Some(request) = self.requests.recv() => self.serve(request),
                () = sleep_until(early.unwrap_or_else(far_away).into()), if early.is_some() => self.sample(),
                Ok(()) = self.events.ready() => self.take_events(),
                () = answers.notified() => self.judge_answered(None),
                () = sleep_until(answer_deadline.unwrap_or_else(far_away).into()), if answer_deadline.is_some() => {
                    self.judge_answered(None);
                }
                () = sleep(NAMES), if waits => self.judge_named(),
                Ok(()) = self.tunables.changed() => {
                    poll = poll_interval(self.tunables.borrow_and_update().poll_interval);
                }
            }
        }
    }

    /// Judges first calls about whose processes `/proc` has answered.
    fn judge_answered(&mut self, patience: Option<Duration>) {
        let answered = self.detector.answered(patience);
        if !answered.is_empty() {
            self.detector.judge_answered(&mut self.shared.lock(), &self.naming, answered);
        }
    }

    /// Judges first calls that have waited for names.
    fn judge_named(&mut self) {
        self.find_paths_of(&self.detector.without_path().collect::<HashSet<u64>>());
        self.naming.refresh();
        self.judge_waiting(&mut self.shared.clone().lock());
    }

    fn judge_waiting(&mut self, state: &mut State) {
        self.detector.found(state, &mut self.naming, &self.tree);
        self.detector.named(state, &self.naming);
    }

    /// When to sample before the next poll, if at all.
    fn early_sample(&self) -> Option<Instant> {
        let to_free = self.tree.dead().len() + self.attribution.misplaced().len();
        let pause = if to_free >= self.many_dead {
            EARLY
        } else if self.kernel.are_slots_exhausted() {
            EXHAUSTED
        } else {
            return None;
        };
        Some(self.shared.lock().snapshot.taken + pause)
    }

    /// Takes a snapshot unless the newest is fresh, then answers everybody who waits.
    fn serve(&mut self, request: oneshot::Sender<()>) {
        let snapshot = self.shared.lock().snapshot;
        if snapshot.number == 0 || snapshot.taken.elapsed() >= FRESH {
            self.sample();
        }
        let waiting = std::iter::from_fn(|| self.requests.try_recv().ok());
        for done in std::iter::once(request).chain(waiting) {
            // Whoever gave up waiting needs no answer.
            let _ = done.send(());
        }
    }

    /// Takes one snapshot through everything. Blocks for some milliseconds.
    fn sample(&mut self) {
        tokio::task::block_in_place(|| self.sample_blocking());
    }

    fn sample_blocking(&mut self) {
        let begin = Instant::now();
        self.take_events();
        if !self.has_cgroup_events {
            self.walk();
        }
        let (dead, retired) = self.retire_dead();
        let taken = Instant::now();
        let mut snapshot = self.kernel.snapshot();
        self.find_paths(&snapshot);
        // What was never heard of is counted, all of it, when a walk has looked for its path.
        snapshot.slots.retain(|slot| self.tree.knows(slot.cgroup_id));
        self.attribution.look_at(snapshot.slots.iter().map(|slot| slot.cgroup_id), &self.tree);
        self.set_roots();
        self.count(&snapshot, taken);
        // Not under the lock: this may take many system calls, and pages can be answered meanwhile.
        self.free(&retired);
        self.forget(&dead);
        self.take_up(&snapshot, &retired, taken, begin);
    }

    /// Frees retired slots.
    fn free(&mut self, retired: &[u32]) {
        if let Err(error) = self.kernel.free(retired) {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot free slots of cgroups yet; trying again");
        }
    }

    /// Tells the kernel side which cgroups are attribution roots.
    fn set_roots(&mut self) {
        let changes = self.attribution.take_changes();
        if changes.is_empty() {
            return;
        }
        if let Err(error) = self.kernel.set_roots(&changes) {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot note containers yet; trying again");
        }
    }

    /// Makes the counts final of the dead, and of nested cgroups that are to share another's slot; the dead, and the slots that all had.
    fn retire_dead(&mut self) -> (Vec<u64>, Vec<u32>) {
        let dead = self.tree.dead().to_vec();
        let misplaced = self.attribution.misplaced().iter().copied();
        let all: Vec<u64> = dead.iter().copied().chain(misplaced).collect();
        if all.is_empty() {
            return (dead, Vec::new());
        }
        match self.kernel.retire(&all) {
            Ok(retired) => {
                self.attribution.retired(&all);
                if !retired.is_empty() {
                    kernel::wait_for_programs();
                }
                (dead, retired)
            }
            Err(error) => {
                // They stay dead in the tree, and are tried again.
                tracing::error!(error = &error as &dyn std::error::Error, "cannot retire slots of dead cgroups");
                (Vec::new(), Vec::new())
            }
        }
    }

    /// Gives names that have become known to what was counted before, then counts what is new.
    fn count(&mut self, snapshot: &Snapshot, now: Instant) {
        self.judge_answered(Some(ANSWERS));
        let mut state = self.shared.lock();
        self.naming.refresh();
        for id in self.naming.take_renamed() {
            // Of what it is now, not all that it ever called is known.
            self.born.remove(&id);
        }
        self.naming.check_node();
        let (named, mut news) = (newly_named(&state, &self.naming), Vec::new());
        if !named.is_empty() {
            self.naming.set(&named);
            self.detector.renamed(&mut state, &named);
            news = state.model.rename(&named, now);
        }
        name_first_calls(&mut state, &self.naming);
        self.detector.found(&mut state, &mut self.naming, &self.tree);
        self.detector.named(&mut state, &self.naming);
        let (tree, naming) = (&self.tree, &mut self.naming);
        news.extend(state.model.apply(snapshot, now, |id| Some(naming.name(id, tree.path(id)?).clone())));
        // A little longer than for its pod's name to do.
        let patience = if naming.directory().has_sources() { PATIENCE + EARLY } else { Duration::ZERO };
        news.extend(state.model.release(now, patience));
        // Each first call in the remainder is an event, with its cgroup. Where events were lost, only the counters tell.
        let losses = snapshot.losses.first_seen_events;
        if std::mem::replace(&mut self.first_calls_lost, losses) == losses {
            news.retain(|news| news.named.workload != Workload::Remainder);
        }
        let (time, born) = (SystemTime::now(), &self.born);
        self.detector.counted(&mut state, &news, time, |id| !born.contains(&id));
        self.detector.tick(&mut state, now, time);
        self.naming.policies_use_owner(self.detector.uses_owner());
    }

    /// Forgets cgroups whose last counts were read.
    fn forget(&mut self, dead: &[u64]) {
        self.tree.forget(dead);
        self.attribution.forget(dead);
        self.set_roots();
        for id in dead {
            self.born.remove(id);
        }
        if self.born.capacity() > 1024 && self.born.len() < self.born.capacity() / 4 {
            self.born.shrink_to_fit();
        }
        let state = self.shared.lock();
        self.naming.forget(dead, state.model.unresolved());
    }

    /// Makes sure that every cgroup of the snapshot has a path that can have one.
    fn find_paths(&mut self, snapshot: &Snapshot) {
        // Whatever made a call was born before, so its birth has been reported by now.
        self.take_events();
        if snapshot.losses.cgroup_events > self.losses_seen {
            self.losses_seen = snapshot.losses.cgroup_events;
            self.walks_due = WALKS_AFTER_LOSS;
        }
        let waiting = self.detector.without_path();
        self.find_paths_of(&snapshot.slots.iter().map(|slot| slot.cgroup_id).chain(waiting).collect());
    }

    /// Walks where the path of one of these cgroups is not known, though not all the time.
    fn find_paths_of(&mut self, cgroups: &HashSet<u64>) {
        let unheard = |tree: &Tree| -> Vec<u64> { cgroups.iter().copied().filter(|&id| !tree.knows(id)).collect() };
        if (self.walks_due == 0 && unheard(&self.tree).is_empty()) || self.last_walk.elapsed() < WALK {
            return;
        }
        self.walk();
        for id in unheard(&self.tree) {
            // Looked for once, and not again at every snapshot.
            self.tree.add_unnamed(id);
        }
        self.take_names();
    }

    /// Takes up cgroups whose paths became known.
    fn take_names(&mut self) {
        for id in self.tree.take_named() {
            let Some(path) = self.tree.path(id) else { continue };
            let place = Place::of(path);
            self.attribution.named(id, &place, path);
            // So that whoever lives for a moment only is asked for in time.
            if self.born.contains(&id) {
                self.naming.directory().prepare(&place);
            }
        }
        self.set_roots();
    }

    fn walk(&mut self) {
        self.last_walk = Instant::now();
        if self.tree.walk() {
            self.walks_due = self.walks_due.saturating_sub(1);
        }
    }

    fn take_up(&mut self, snapshot: &Snapshot, freed: &[u32], taken: Instant, begin: Instant) {
        let mut state = self.shared.lock();
        state.model.forget_slots(freed, taken);
        let alive = OnceCell::new();
        let is_there = |totals: &Totals| alive.get_or_init(|| Alive::of(&self.tree)).has(totals);
        let (expire_after, most) = (self.tunables.borrow().expire_after, state.capacity.series as usize);
        state.model.expire(taken, expire_after, most, is_there);
        state.losses = snapshot.losses;
        state.series = snapshot.series;
        state.histograms = snapshot.histograms;
        state.cgroups = snapshot.slots.len() - freed.len();
        let number = state.snapshot.number + 1;
        state.snapshot = SnapshotFacts { number, taken, time: SystemTime::now(), duration: begin.elapsed() };
    }

    /// Takes up what the ring buffers have.
    fn take_events(&mut self) {
        // Drained before cgroups' births: whatever made a call was born before, so its birth is there when births are drained.
        let calls = self.events.first_calls();
        for change in self.events.cgroup_changes() {
            match &change {
                CgroupChange::Born { id, parent, path } => {
                    self.born.insert(*id);
                    self.tree.apply(Change::Born { id: *id, parent: *parent, path });
                }
                CgroupChange::Died { id } => self.tree.apply(Change::Died { id: *id }),
            }
        }
        self.take_names();
        if calls.is_empty() {
            return;
        }
        let (monotonic, now) = (monotonic_now(), SystemTime::now());
        let mut seen = HashSet::new();
        for call in calls {
            // Two CPUs may report one first call.
            if seen.insert((call.cgroup_id, call.abi as u32, call.number, call.denied)) {
                let time = now.checked_sub(monotonic.saturating_sub(call.monotonic)).unwrap_or(now);
                self.take_first_call(&call, time);
            }
        }
    }

    fn take_first_call(&mut self, call: &kernel::FirstCall, time: SystemTime) {
        let path = self.tree.path(call.cgroup_id).cloned();
        let unknown = || Named { workload: Workload::Unknown, about: Labels::default() };
        let named = path.map_or_else(unknown, |path| self.naming.name(call.cgroup_id, &path).clone());
        let is_partial = !self.born.contains(&call.cgroup_id);
        let judged_now = self.detector.look_at(&named, call, &self.calls, time, is_partial);
        let mut state = self.shared.lock();
        let tenant = Tenant::of(&named.workload, &named.about);
        state.first_calls.push(tenant, first_call(call, named.workload.clone(), &self.calls, time));
        if let Some(first) = judged_now {
            self.detector.first(&mut state, &self.naming, &named, first);
        }
    }
}

/// Workloads that waited for a name which is known now.
fn newly_named(state: &State, naming: &Naming) -> HashMap<Workload, Named> {
    let named = state.model.unresolved().map(|place| (Workload::Unresolved(Arc::clone(place)), naming.of_place(place)));
    named.filter(|(_, named)| !matches!(named.workload, Workload::Unresolved(_))).collect()
}

/// Gives first calls their workloads' names.
fn name_first_calls(state: &mut State, naming: &Naming) {
    state.first_calls.rename(|place| {
        let named = naming.of_known(place);
        (!matches!(named.workload, Workload::Unresolved(_))).then_some(named)
    });
}

/// What is there now, as paths tell.
struct Alive {
    paths: HashSet<Arc<str>>,
    /// Pods that have a container, be it only the one that holds their namespaces. Their own cgroup may stay when they are gone: on
    /// hybrid hosts the kubelet removes it from v1 hierarchies only.
    pods: HashSet<Arc<str>>,
}

impl Alive {
    fn of(tree: &Tree) -> Self {
        let places: Vec<Place> = tree.paths_alive().into_iter().map(Place::of).collect();
        Self {
            pods: places.iter().filter(|place| place.is_container()).filter_map(Place::pod).cloned().collect(),
            paths: places.iter().flat_map(Place::paths).collect(),
        }
    }

    /// Whether a workload's cgroup was made again, or its pod is still there: it may be about to start it once more.
    fn has(&self, totals: &Totals) -> bool {
        let is_in = |all: &HashSet<Arc<str>>, label| totals.about.get(label).is_some_and(|value| all.contains(value));
        is_in(&self.paths, Label::Cgroup) || is_in(&self.pods, Label::PodUid)
    }
}

fn first_call(call: &kernel::FirstCall, workload: Workload, calls: &CallTable, time: SystemTime) -> FirstCall {
    let name = calls.resolve(call.abi, call.number);
    FirstCall {
        time,
        workload,
        abi: name.abi,
        syscall: name.syscall,
        number: call.number,
        denied: call.denied,
        process: process::of_event(call),
    }
}

/// `CLOCK_MONOTONIC`, the clock of the kernel's events.
fn monotonic_now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// Ticks at once, then at each interval; late ticks are not made up for.
fn poll_interval(period: Duration) -> tokio::time::Interval {
    let mut poll = interval(period);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    poll
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_hours(1)
}
