//! The daemon's heart: takes snapshots, one at a time, and keeps names and totals up to date.
//!
//! One task owns the kernel's tables, the tree, totals, baselines and violations, so two snapshots can never run at once, and nobody
//! else changes anything: others ask for it ([`crate::requests`]), and read views ([`crate::view`]). It samples at each poll, when a scrape wants fresher counts, and early when many cgroups died,
//! whose slots others wait for.

mod alive;
mod paths;
mod publisher;

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{
    alive::Alive,
    publisher::{Parts, Publisher},
};
use crate::{
    alert::Alerts,
    attribution::Attribution,
    cgroup::{Change, Tree},
    clock::monotonic_now,
    detector::Detector,
    fair_share::Tenant,
    first_calls::{FirstCall, FirstCalls},
    kernel::{self, CgroupChange, EventStreams, Kernel, Probe},
    model::{Model, News, Totals},
    process,
    requests::{Request, Requester, Requests},
    snapshot::{Counts, Snapshot},
    syscalls::CallTable,
    view::{SnapshotFacts, View},
    workload::{Labels, Named, Naming, PATIENCE, Workload},
};

/// A scrape is answered from a snapshot that is at most this old.
pub const FRESH: Duration = Duration::from_secs(1);

/// Least time between two early samples: when many slots can be freed, and when there are none left.
const EARLY: Duration = Duration::from_millis(20);
const EXHAUSTED: Duration = Duration::from_secs(1);

/// How long a snapshot waits for answers of `/proc` about calls that it has counted.
const ANSWERS: Duration = Duration::from_millis(5);

/// How often names are looked for that first calls wait for.
const NAMES: Duration = Duration::from_millis(50);

/// What can be changed while the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunables {
    /// Time between two polls.
    pub poll_interval: Duration,
    /// How long workloads that are gone are exported.
    pub expire_after: Duration,
}

/// See the module.
pub struct Sampler {
    kernel: Kernel,
    events: EventStreams,
    tree: Tree,
    attribution: Attribution,
    naming: Naming,
    model: Model,
    detector: Detector,
    first_calls: FirstCalls,
    alerts: Alerts,
    publisher: Publisher,
    tunables: watch::Receiver<Tunables>,
    requests: Requests,
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

/// What a sampler begins with.
pub struct Beginning {
    /// The programs and their tables.
    pub kernel: Kernel,
    /// What they report.
    pub events: EventStreams,
    /// Cgroups.
    pub tree: Tree,
    /// Names of workloads.
    pub naming: Naming,
    /// Totals, none yet.
    pub model: Model,
    /// Who judges calls.
    pub detector: Detector,
    /// Where violations go.
    pub alerts: Alerts,
}

impl Sampler {
    /// A sampler, and the handle to ask it for things. Walks the tree once.
    #[must_use]
    pub fn new(
        beginning: Beginning,
        views: watch::Sender<Arc<View>>,
        tunables: watch::Receiver<Tunables>,
    ) -> (Self, Requester) {
        let Beginning { kernel, events, mut tree, mut naming, model, mut detector, alerts } = beginning;
        let (owner, requests) = Requester::new();
        tree.walk();
        naming.policies_use_owner(detector.uses_owner());
        let has_cgroup_events = kernel.probes().iter().any(|status| status.probe == Probe::Cgroup && status.is_up());
        detector.sees_all_cgroups(tree.sees_all());
        let publisher = Publisher::new(views);
        let capacity = publisher.host.capacity;
        let (slots, series) = (capacity.cgroups as usize, capacity.series as usize);
        let sampler = Self {
            attribution: Attribution::new(kernel.most_roots(), slots, series),
            kernel,
            events,
            tree,
            naming,
            model,
            detector,
            first_calls: FirstCalls::default(),
            alerts,
            publisher,
            tunables,
            requests,
            has_cgroup_events,
            losses_seen: 0,
            first_calls_lost: 0,
            walks_due: 0,
            last_walk: Instant::now(),
            many_dead: (slots / 8).max(1),
        };
        (sampler, owner)
    }

    /// Samples from `begin` until `shutdown`; then detaches everything, by dropping the kernel's programs. Baselines are there for whoever
    /// asks before and after it, until `end`.
    pub async fn run(mut self, begin: CancellationToken, shutdown: CancellationToken, end: CancellationToken) {
        let until_begin = async {
            tokio::select! { () = begin.cancelled() => {}, () = shutdown.cancelled() => {} }
        };
        serve_idle(&mut self.requests, &mut self.detector, until_begin).await;
        self.sample_until(&shutdown).await;
        let Self { kernel, events, mut requests, mut detector, .. } = self;
        drop((events, kernel));
        serve_idle(&mut requests, &mut detector, end.cancelled()).await;
    }

    async fn sample_until(&mut self, shutdown: &CancellationToken) {
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
            self.deliver();
        }
    }

    /// Judges first calls about whose processes `/proc` has answered.
    fn judge_answered(&mut self, patience: Option<Duration>) {
        let answered = self.detector.answered(patience);
        if !answered.is_empty() {
            self.detector.judge_answered(&self.naming, answered);
        }
    }

    /// Judges first calls that have waited for names.
    fn judge_named(&mut self) {
        self.find_paths_of(&self.detector.without_path().collect::<HashSet<u64>>());
        self.naming.refresh();
        self.judge_waiting();
    }

    fn judge_waiting(&mut self) {
        self.detector.found(&mut self.naming, &self.tree);
        self.detector.named(&self.naming);
    }

    /// Has delivered what was found when calls were judged.
    fn deliver(&mut self) {
        for notice in self.detector.take_notices() {
            self.alerts.notify(notice);
            self.publisher.changed();
        }
    }

    fn publish(&mut self) {
        let Self { model, detector, first_calls, naming, alerts, .. } = self;
        self.publisher.publish(&Parts { model, detector, first_calls, directory: naming.directory(), alerts });
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
        Some(self.publisher.snapshot.taken + pause)
    }

    /// Does what others have asked for so far; of those who want a fresh snapshot, one is for all.
    fn serve(&mut self, request: Request) {
        let waiting = std::iter::from_fn(|| self.requests.try_recv().ok());
        let requests: Vec<Request> = std::iter::once(request).chain(waiting).collect();
        let mut refreshed = Vec::new();
        for request in requests {
            match request {
                Request::Refresh(done) => refreshed.push(done),
                Request::Release(done) => {
                    self.release(Duration::ZERO);
                    refreshed.push(done);
                }
                Request::Baselines(work) => {
                    work(self.detector.baselines_mut());
                    self.publisher.changed();
                }
                Request::Policies(policies, problems) => {
                    if let Some(policies) = policies {
                        self.detector.set_policies(policies);
                    }
                    self.publisher.policies_were_read(problems);
                }
                Request::Configuration(problems) => self.publisher.configuration_was_read(problems),
            }
        }
        let snapshot = self.publisher.snapshot;
        if !refreshed.is_empty() && (snapshot.number == 0 || snapshot.taken.elapsed() >= FRESH) {
            self.sample();
        }
        self.deliver();
        self.publish();
        for done in refreshed {
            // Who gave up waiting needs no answer.
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
        let series = |counts: &Counts| counts.calls.len() + counts.errors.len() + counts.denied.len();
        let slots = snapshot.slots.iter().map(|slot| (slot.cgroup_id, series(&slot.counts)));
        self.attribution.look_at(slots, &self.tree);
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
        let mut news = self.take_names_up(now);
        self.judge_waiting();
        let (tree, naming) = (&self.tree, &mut self.naming);
        news.extend(self.model.apply(snapshot, now, |id| Some(naming.name(id, tree.path(id)?).clone())));
        // A little longer than for its pod's name to do.
        let patience = if self.naming.directory().has_sources() { PATIENCE + EARLY } else { Duration::ZERO };
        news.extend(self.model.release(now, patience));
        // Each first call in the remainder is an event, with its cgroup. Where events were lost, only the counters tell.
        let losses = snapshot.losses.first_seen_events;
        if std::mem::replace(&mut self.first_calls_lost, losses) == losses {
            news.retain(|news| news.named.workload != Workload::Remainder);
        }
        let time = SystemTime::now();
        self.detector.counted(&news, time, |id| !self.model.is_whole(id));
        self.detector.tick(&self.model, now, time);
        self.naming.policies_use_owner(self.detector.uses_owner());
    }

    /// Gives names that have become known to workloads, and to their first calls. What they have called is to be judged by these.
    fn take_names_up(&mut self, now: Instant) -> Vec<News> {
        self.naming.refresh();
        // Of what they are now, not all that they ever called is known.
        self.model.forget_births(&self.naming.take_renamed());
        self.naming.check_node();
        let named = newly_named(&self.model, &self.naming);
        let mut news = Vec::new();
        if !named.is_empty() {
            self.naming.set(&named);
            self.detector.renamed(&named);
            news = self.model.rename(&named, now);
        }
        name_first_calls(&mut self.first_calls, &self.naming);
        news
    }

    /// Exports workloads that have waited for their names for so long.
    fn release(&mut self, after: Duration) {
        let news = self.model.release(Instant::now(), after);
        self.detector.counted(&news, SystemTime::now(), |id| !self.model.is_whole(id));
        self.publisher.changed();
    }

    /// Forgets cgroups whose last counts were read.
    fn forget(&mut self, dead: &[u64]) {
        self.tree.forget(dead);
        self.attribution.forget(dead);
        self.set_roots();
        self.model.forget_births(dead);
        self.naming.forget(dead, self.model.unresolved());
    }

    fn take_up(&mut self, snapshot: &Snapshot, freed: &[u32], taken: Instant, begin: Instant) {
        self.model.forget_slots(freed, taken);
        let alive = OnceCell::new();
        let is_there = |totals: &Totals| alive.get_or_init(|| Alive::of(&self.tree)).has(totals);
        let expire_after = self.tunables.borrow().expire_after;
        let news = self.model.expire(taken, expire_after, self.publisher.host.capacity.series as usize, is_there);
        self.detector.counted(&news, SystemTime::now(), |id| !self.model.is_whole(id));
        self.deliver();
        self.publisher.snapshot = SnapshotFacts {
            number: self.publisher.snapshot.number + 1,
            taken,
            time: SystemTime::now(),
            duration: begin.elapsed(),
            series: snapshot.series,
            histograms: snapshot.histograms,
            cgroups: snapshot.slots.len() - freed.len(),
            losses: snapshot.losses,
        };
        self.publisher.changed();
        self.publish();
    }

    /// Takes up what the ring buffers have.
    fn take_events(&mut self) {
        let (calls, changes) = self.events.take();
        let now = Instant::now();
        for change in changes {
            match &change {
                CgroupChange::Born { id, parent, unprivileged, path } => {
                    self.model.born(*id, now);
                    let (id, parent, unprivileged) = (*id, *parent, *unprivileged);
                    self.tree.apply(Change::Born { id, parent, unprivileged, path });
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
        let is_partial = !self.model.is_whole(call.cgroup_id);
        let judged_now = self.detector.look_at(&named, call, time, is_partial);
        let tenant = Tenant::of(&named.workload, &named.about);
        let calls = &self.publisher.host.calls;
        self.first_calls.push(tenant, first_call(call, named.workload.clone(), calls, time));
        self.publisher.changed();
        if let Some(first) = judged_now {
            self.detector.first(&self.naming, &named, first);
        }
    }
}

/// Gives whoever asks what needs no kernel, until `end`.
async fn serve_idle(requests: &mut Requests, detector: &mut Detector, end: impl Future<Output = ()>) {
    let serve = async {
        while let Some(request) = requests.recv().await {
            match request {
                Request::Baselines(work) => work(detector.baselines_mut()),
                Request::Policies(policies, _) => {
                    if let Some(policies) = policies {
                        detector.set_policies(policies);
                    }
                }
                // Dropped, which is an answer.
                Request::Refresh(_) | Request::Release(_) | Request::Configuration(_) => {}
            }
        }
    };
    tokio::select! { () = end => {}, () = serve => {} }
}

/// Workloads that waited for a name which is known now.
fn newly_named(model: &Model, naming: &Naming) -> HashMap<Workload, Named> {
    let named = model.unresolved().map(|place| (Workload::Unresolved(Arc::clone(place)), naming.of_place(place)));
    named.filter(|(_, named)| !matches!(named.workload, Workload::Unresolved(_))).collect()
}

/// Gives first calls their workloads' names.
fn name_first_calls(first_calls: &mut FirstCalls, naming: &Naming) {
    first_calls.rename(|place| {
        let named = naming.of_known(place);
        (!matches!(named.workload, Workload::Unresolved(_))).then_some(named)
    });
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

/// Ticks at once, then at each interval; late ticks are not made up for.
fn poll_interval(period: Duration) -> tokio::time::Interval {
    let mut poll = interval(period);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    poll
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_hours(1)
}
