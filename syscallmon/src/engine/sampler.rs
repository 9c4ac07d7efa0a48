//! The sampler: takes snapshots, one at a time, and updates names and totals.
//!
//! One task owns the kernel's tables, the tree, totals, baselines and violations. Two snapshots never run at once, and
//! no other task changes this state: other tasks send requests ([`crate::view::Requester`]) and read views
//! ([`crate::view`]). It samples at each poll, when a scrape requires fresher counts, and early when many slots of dead
//! cgroups can be freed. It does no HTTP, and never waits for a disk.

mod alive;
mod events;
mod handover;
mod idle;
mod naming;
mod paths;
mod record;
mod slots;
mod thread;

use std::{
    cell::{OnceCell, RefCell},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{alive::Alive, idle::serve_idle, record::Recorder};
pub use self::{
    handover::{Known, Lasting, SLOT_OFFSET},
    thread::{SamplerEnd, SamplerThread},
};
use super::{
    attribution::Attribution,
    far_away,
    publisher::{ProviderStates, Publisher, ViewParts},
};
use crate::{
    alert::Alerts,
    cgroup::Tree,
    detect::Detector,
    kernel::{EventStreams, Kernel, Probe},
    model::{Model, Totals},
    recording::SampleSender,
    snapshot::{Counts, Snapshot},
    view::{FirstCalls, LastingState, Request, Requester, Requests, SnapshotInfo, View},
    workload::{NAME_TIMEOUT, ResolvedWorkload, Workload, WorkloadResolver},
};

/// Maximum age of a snapshot that answers a scrape.
pub const MAX_SNAPSHOT_AGE: Duration = Duration::from_secs(1);

/// Minimum time between early samples: when many slots can be freed, and when none are left.
const EARLY_SAMPLE_PAUSE: Duration = Duration::from_millis(20);
const EXHAUSTED_SAMPLE_PAUSE: Duration = Duration::from_secs(1);

/// How long a snapshot waits for process look-ups of calls that it has counted.
const LOOKUP_WAIT: Duration = Duration::from_millis(5);

/// Interval of checks for names that first calls wait for.
const NAME_POLL: Duration = Duration::from_millis(50);

/// Settings that can change while the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunables {
    /// Time between two polls.
    pub poll_interval: Duration,
    /// How long ended workloads are exported.
    pub expire_after: Duration,
}

/// Takes snapshots, and owns everything that they change.
pub struct Sampler {
    kernel: Kernel,
    events: EventStreams,
    tree: Tree,
    attribution: Attribution,
    resolver: WorkloadResolver,
    model: Model,
    detector: Detector,
    first_calls: FirstCalls,
    alerts: Alerts,
    publisher: Publisher,
    tunables: watch::Receiver<Tunables>,
    requests: Requests,
    /// Without the cgroup probe, the tree is walked before every snapshot.
    has_cgroup_events: bool,
    /// Lost cgroup events that were handled.
    losses_seen: u64,
    /// Lost first calls that were handled.
    first_calls_lost: u64,
    /// Remaining complete walks that make up for lost events.
    walks_due: u32,
    last_walk: Instant,
    /// Number of dead cgroups that triggers an early sample.
    many_dead: usize,
    recorder: Recorder,
    /// What lets the next daemon continue; `None` without pinned mode.
    lasting: Option<Lasting>,
}

/// The parts of a sampler.
pub struct Beginning {
    /// The programs and their tables.
    pub kernel: Kernel,
    /// Events of the programs.
    pub events: EventStreams,
    /// Cgroups.
    pub tree: Tree,
    /// Workloads of cgroups.
    pub resolver: WorkloadResolver,
    /// Totals.
    pub model: Model,
    /// Detection.
    pub detector: Detector,
    /// Delivery of alerts.
    pub alerts: Alerts,
    /// Recording, if there is one.
    pub recording: Option<SampleSender>,
    /// What lets the next daemon continue; `None` without pinned mode.
    pub lasting: Option<Lasting>,
}

impl Sampler {
    /// Returns a sampler, and the handle for requests. Walks the tree once.
    fn new(
        beginning: Beginning,
        views: watch::Sender<Arc<View>>,
        tunables: watch::Receiver<Tunables>,
    ) -> (Self, Requester) {
        let Beginning { kernel, events, mut tree, mut resolver, model, mut detector, alerts, recording, lasting } =
            beginning;
        let (owner, requests) = Requester::new();
        tree.walk();
        resolver.policies_use_owner(detector.uses_owner());
        let has_cgroup_events = kernel.probes().iter().any(|status| status.probe == Probe::Cgroup && status.is_up());
        detector.sees_all_cgroups(tree.sees_all());
        let publisher = Publisher::new(views);
        let capacity = publisher.facts.capacity;
        let (slots, series) = (capacity.cgroups as usize, capacity.series as usize);
        let started = publisher.facts.started.0;
        let sampler = Self {
            attribution: Attribution::new(kernel.max_roots(), slots, series),
            kernel,
            events,
            tree,
            resolver,
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
            recorder: Recorder::new(recording, started),
            lasting,
        };
        (sampler, owner)
    }

    /// Samples from `begin` until `shutdown`, and then detaches everything by dropping the kernel's programs. Requests
    /// for baselines are served before and after, until `end`.
    async fn run(mut self, begin: CancellationToken, shutdown: CancellationToken, end: CancellationToken) {
        let until_begin = async {
            tokio::select! { () = begin.cancelled() => {}, () = shutdown.cancelled() => {} }
        };
        serve_idle(&mut self.requests, &mut self.detector, &self.alerts, until_begin).await;
        self.take_over();
        self.sample_until(&shutdown).await;
        let Self { kernel, events, mut requests, mut detector, alerts, .. } = self;
        drop((events, kernel));
        serve_idle(&mut requests, &mut detector, &alerts, end.cancelled()).await;
    }

    async fn sample_until(&mut self, shutdown: &CancellationToken) {
        let mut poll = poll_interval(self.tunables.borrow_and_update().poll_interval);
        let answers = self.detector.answers();
        loop {
            let (early, waits) = (self.early_sample(), self.detector.is_waiting());
            let (answer_deadline, notice_due) = (self.detector.answer_deadline(), self.detector.notice_due());
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
                () = sleep(NAME_POLL), if waits => self.judge_named(),
                () = sleep_until(notice_due.unwrap_or_else(far_away).into()), if notice_due.is_some() => {}
                Ok(()) = self.tunables.changed() => {
                    poll = poll_interval(self.tunables.borrow_and_update().poll_interval);
                }
            }
            self.deliver();
        }
        if self.recorder.is_active() || self.lasting.is_some() {
            // The recording, or the saved state, contains all calls until now.
            if let Some(lasting) = &mut self.lasting {
                lasting.save_soon();
            }
            self.sample();
        }
        self.judge_answered(Some(LOOKUP_WAIT));
        self.deliver_until(far_away());
        self.alerts.finish();
    }

    /// Judges first calls with a finished process look-up.
    fn judge_answered(&mut self, name_timeout: Option<Duration>) {
        let answered = self.detector.answered(name_timeout);
        if !answered.is_empty() {
            self.detector.judge_answered(&self.resolver, answered);
        }
    }

    /// Judges first calls that have waited for names.
    fn judge_named(&mut self) {
        self.find_paths_of(self.unknown(self.detector.without_path()));
        self.resolver.refresh();
        self.judge_waiting();
    }

    fn judge_waiting(&mut self) {
        self.detector.judge_found(&mut self.resolver, &self.tree);
        self.detector.judge_named(&self.resolver);
    }

    /// Delivers the notices of detection.
    fn deliver(&mut self) {
        self.deliver_until(Instant::now());
    }

    /// Delivers the notices that are due by this time.
    fn deliver_until(&mut self, due: Instant) {
        let notices = self.detector.take_notices(due);
        if self.detector.take_recorded() || !notices.is_empty() {
            self.publisher.changed();
        }
        for notice in notices {
            self.alerts.notify(notice);
        }
    }

    fn publish(&mut self) {
        let Self { model, detector, first_calls, resolver, alerts, .. } = self;
        let sources = ProviderStates::Live(resolver.cache());
        self.publisher.publish(&ViewParts { model, detector, first_calls, sources, alerts });
    }

    /// Returns when to sample before the next poll, if at all.
    fn early_sample(&self) -> Option<Instant> {
        let to_free = self.tree.dead().len() + self.attribution.misplaced().len();
        let pause = if to_free >= self.many_dead {
            EARLY_SAMPLE_PAUSE
        } else if self.kernel.are_slots_exhausted() {
            EXHAUSTED_SAMPLE_PAUSE
        } else {
            return None;
        };
        Some(self.publisher.snapshot.taken + pause)
    }

    /// Serves the requests so far. Requests for a fresh snapshot share one.
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
                Request::Lasting(known, answer) => {
                    self.deliver();
                    let _ = answer.send(LastingState::of(&self.detector, &self.alerts, known));
                }
                Request::Policies(policies, problems) => {
                    if let Some(policies) = policies {
                        self.detector.set_policies(policies);
                    }
                    self.detector.lacks_policies(problems > 0);
                    self.publisher.policies_were_read(problems);
                }
                Request::Configuration(problems) => self.publisher.configuration_was_read(problems),
                Request::Saved(number, save) => self.saved(number, save),
            }
        }
        let snapshot = self.publisher.snapshot;
        if !refreshed.is_empty() && (snapshot.number == 0 || snapshot.taken.elapsed() >= MAX_SNAPSHOT_AGE) {
            self.sample();
        }
        self.deliver();
        self.publish();
        for done in refreshed {
            // A client that stopped waiting needs no answer.
            let _ = done.send(());
        }
    }

    /// Takes one snapshot, and applies it everywhere. Blocks for some milliseconds.
    fn sample(&mut self) {
        let begin = Instant::now();
        self.take_events();
        if !self.has_cgroup_events {
            self.walk();
        }
        let (dead, retired) = self.retire_dead();
        let taken = Instant::now();
        let mut snapshot = self.kernel.snapshot();
        if let Some(lasting) = &self.lasting {
            lasting.correct(&mut snapshot);
        }
        self.report_first_calls();
        self.find_paths(&snapshot);
        // A cgroup without any event is counted completely after a walk has looked for its path.
        snapshot.slots.retain(|slot| self.tree.knows(slot.cgroup_id));
        let series = |counts: &Counts| counts.calls.len() + counts.errors.len() + counts.denied.len();
        let slots = snapshot.slots.iter().map(|slot| (slot.cgroup_id, series(&slot.counts)));
        self.attribution.look_at(slots, &self.tree);
        self.set_roots();
        self.count(&snapshot, taken);
        self.report_first_calls();
        // After the counts are applied, because this may take many system calls.
        match &mut self.lasting {
            Some(lasting) => lasting.retired(&retired, &snapshot),
            None => self.free(&retired),
        }
        self.forget(&dead);
        self.report_first_calls();
        self.finish_sample(&snapshot, &retired, taken, begin);
        let gone = (&retired[..], self.tunables.borrow().expire_after);
        self.save(taken);
        self.recorder.finish(snapshot, gone, &self.publisher.snapshot, self.resolver.cache());
    }

    /// Reports first calls that arrived during a sample. With many series, a sample takes longer than a report may.
    fn report_first_calls(&mut self) {
        self.take_events();
        self.judge_answered(None);
        self.deliver();
    }

    /// Applies new names to earlier counts, then counts the new calls.
    fn count(&mut self, snapshot: &Snapshot, now: Instant) {
        self.judge_answered(Some(LOOKUP_WAIT));
        let mut deltas = self.apply_names(now);
        self.judge_waiting();
        let known = |id| self.lasting.as_ref()?.name(id);
        let (tree, resolver, recorder) = (&self.tree, &mut self.resolver, &mut self.recorder);
        deltas.extend(self.model.apply(snapshot, now, |id| {
            let named = tree.path(id).map(|path| resolver.name(id, path).clone());
            let is_waiting = |named: &ResolvedWorkload| matches!(named.workload, Workload::Unresolved(_));
            let named = if named.as_ref().is_none_or(is_waiting) { known(id).or(named) } else { named }?;
            recorder.named(id, &named);
            Some(named)
        }));
        // Slightly longer than the timeout of names: the name of its pod may still arrive.
        let name_timeout =
            if self.resolver.cache().has_sources() { NAME_TIMEOUT + EARLY_SAMPLE_PAUSE } else { Duration::ZERO };
        deltas.extend(self.model.release(now, name_timeout));
        self.recorder.released(name_timeout);
        // Each first call in the remainder has an event with its cgroup. If events were lost, only the counters report
        // it.
        let losses = snapshot.losses.first_call_events;
        if std::mem::replace(&mut self.first_calls_lost, losses) == losses {
            deltas.retain(|delta| delta.named.workload != Workload::Remainder);
        }
        let time = SystemTime::now();
        self.detector.judge_counted(&deltas, time, |id| !self.model.is_whole(id));
        self.detector.tick(&self.model, now, time);
        self.resolver.policies_use_owner(self.detector.uses_owner());
    }

    /// Exports workloads that have waited too long for their names.
    fn release(&mut self, after: Duration) {
        let deltas = self.model.release(Instant::now(), after);
        self.detector.judge_counted(&deltas, SystemTime::now(), |id| !self.model.is_whole(id));
        self.publisher.changed();
    }

    fn finish_sample(&mut self, snapshot: &Snapshot, freed: &[u32], taken: Instant, begin: Instant) {
        self.model.forget_slots(freed, taken);
        let alive = OnceCell::new();
        let is_there = |totals: &Totals| alive.get_or_init(|| Alive::of(&self.tree)).has(totals);
        let recorder = RefCell::new(&mut self.recorder);
        let is_there = |totals: &Totals| {
            let is_there = is_there(totals);
            if is_there {
                recorder.borrow_mut().kept(&totals.metadata);
            }
            is_there
        };
        let expire_after = self.tunables.borrow().expire_after;
        let deltas = self.model.expire(taken, expire_after, self.publisher.facts.capacity.series as usize, is_there);
        self.detector.judge_counted(&deltas, SystemTime::now(), |id| !self.model.is_whole(id));
        self.deliver();
        let info = SnapshotInfo {
            number: self.publisher.snapshot.number + 1,
            taken,
            time: SystemTime::now(),
            duration: begin.elapsed(),
            series: snapshot.series,
            histograms: snapshot.histograms,
            cgroups: snapshot.slots.len().saturating_sub(freed.len()),
            losses: snapshot.losses,
        };
        self.publisher.sampled(info, taken, &self.model);
        self.publish();
    }
}

/// Ticks at once, and then at each interval. Skips late ticks.
fn poll_interval(period: Duration) -> tokio::time::Interval {
    let mut poll = interval(period);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    poll
}
