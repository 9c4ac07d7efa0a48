//! Serves a recording as if it were live: feeds its samples to a model, and publishes views.
//!
//! A replay judges no calls: it has no policies, baselines or alerts.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    far_away,
    publisher::{ProviderStates, Publisher, ViewParts},
};
use crate::{
    alert::Alerts,
    detect::{Baselines, Detector},
    fair_share::Tenant,
    model::{Delta, Model, SeriesLayout, Totals},
    process::CommandLines,
    recording::{Header, Limits, Sample},
    view::{FirstCalls, Request, Requester, Requests, SnapshotInfo, View},
    workload::{Labels, MetadataCache, ProviderStatus, ResolvedWorkload, Workload},
};

/// Interval of views while nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Minimum interval of views while samples follow each other without a pause.
const VIEW: Duration = Duration::from_millis(100);

/// Maximum samples that were read and are not due yet.
const MAX_READ: usize = 4;

/// Why a sample cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlayError {
    /// There are more workloads than the limits permit.
    #[error("the recording has more than {0} workloads at one time")]
    Workloads(usize),
    /// There are longer names than the limits permit.
    #[error("the workload names of the recording exceed {0} bytes")]
    LabelBytes(usize),
}

/// A model of a recording.
#[derive(Debug)]
pub struct Player {
    model: Model,
    first_calls: FirstCalls,
    /// When counting began, and when the newest snapshot was taken, by this machine's clock.
    started: Instant,
    taken: Instant,
    /// Maximum series of ended workloads.
    gone_series: usize,
    limits: Limits,
    /// Maximum bytes of labels.
    label_bytes: usize,
}

impl Player {
    /// Returns an empty model.
    #[must_use]
    pub fn new(header: &Header, started: Instant, limits: Limits) -> Self {
        Self {
            model: Model::new(header.max_series().min(limits.series)),
            first_calls: FirstCalls::default(),
            started,
            taken: started,
            gone_series: (header.capacity().series as usize).min(limits.series),
            limits,
            label_bytes: 0,
        }
    }

    /// Returns the same with another layout of series.
    #[must_use]
    pub fn with_layout(self, layout: Arc<SeriesLayout>) -> Self {
        Self { model: self.model.with_layout(layout), ..self }
    }

    /// Applies a sample to the model, as the sampler did. Returns the new calls that the detector judged then.
    ///
    /// # Errors
    ///
    /// When it would exceed the limits.
    pub fn apply(&mut self, sample: &Sample) -> Result<Vec<Delta>, PlayError> {
        let taken = self.started + sample.taken;
        self.taken = taken;
        for &(id, born) in &sample.births {
            self.model.born(id, self.started + born);
        }
        for (metadata, call) in &sample.first_calls {
            self.first_calls.push(Tenant::of(&call.workload, metadata), call.clone());
        }
        self.model.forget_slots(&sample.freed_before, taken);
        self.model.forget_births(&sample.renamed_cgroups);
        let mut deltas = Vec::new();
        if !sample.renames.is_empty() {
            let renames: HashMap<Workload, ResolvedWorkload> = sample.renames.iter().cloned().collect();
            deltas = self.model.rename(&renames, taken);
            self.first_calls.rename(|identity| renames.get(&Workload::Unresolved(Arc::clone(identity))).cloned());
        }
        let names: HashMap<u64, &ResolvedWorkload> = sample.names.iter().map(|(id, named)| (*id, named)).collect();
        deltas.extend(self.model.apply(&sample.snapshot, taken, |id| names.get(&id).map(|&named| named.clone())));
        deltas.extend(self.model.release(taken, sample.name_timeout));
        self.model.forget_slots(&sample.freed, taken);
        self.model.forget_births(&sample.dead);
        let kept: HashSet<&Labels> = sample.kept.iter().collect();
        let keep = |totals: &Totals| kept.contains(&totals.metadata);
        deltas.extend(self.model.expire(taken, sample.expire_after, self.gone_series, keep));
        self.check_size(sample).map(|()| deltas)
    }

    /// Returns the calls of containers that still wait for their names. They get none after the last sample.
    pub fn release(&mut self) -> Vec<Delta> {
        self.model.release(self.taken, Duration::ZERO)
    }

    /// Labels are counted again only when there may be too many of them.
    fn check_size(&mut self, sample: &Sample) -> Result<(), PlayError> {
        let Limits { workloads, label_bytes, .. } = self.limits;
        let view = self.model.view();
        if view.len() > workloads {
            return Err(PlayError::Workloads(workloads));
        }
        let bytes = |labels: &Labels| labels.iter().map(|(_, value)| value.len()).sum::<usize>();
        let names = sample.names.iter().map(|(_, named)| named);
        let names = names.chain(sample.renames.iter().map(|(_, named)| named));
        self.label_bytes += names.map(|named| 2 * bytes(&named.metadata)).sum::<usize>();
        if self.label_bytes > label_bytes {
            let all = view.all().map(|(workload, totals)| {
                bytes(&totals.metadata) + workload.labels().map(|(_, value)| value.len()).sum::<usize>()
            });
            self.label_bytes = all.sum();
        }
        if self.label_bytes > label_bytes { Err(PlayError::LabelBytes(label_bytes)) } else { Ok(()) }
    }

    /// Returns the model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }
}

/// Speed of a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// This many times as fast as the original.
    Times(f64),
    /// As fast as the machine can.
    Max,
}

/// Feeds the samples of a recording to a player, and publishes views.
pub struct Replay {
    player: Player,
    speed: Speed,
    publisher: Publisher,
    requests: Requests,
    samples: mpsc::Receiver<Sample>,
    /// State that publishing needs and a replay leaves empty.
    detector: Detector,
    alerts: Alerts,
    /// Metadata providers, and the number of containers without a name.
    sources: (Vec<ProviderStatus>, usize),
    /// When the replay started, and the moment of the recording at that time.
    begin: Option<(Instant, Duration)>,
    next: Option<Sample>,
    published: Instant,
    over: Option<oneshot::Sender<Result<(), PlayError>>>,
}

/// Handles of a [`Replay`].
pub struct Controls {
    /// Sends requests to it.
    pub owner: Requester,
    /// Accepts samples. Dropped at the end of the recording.
    pub samples: Option<mpsc::Sender<Sample>>,
    /// Notified when all samples have been applied, or one could not be.
    pub over: oneshot::Receiver<Result<(), PlayError>>,
}

impl Replay {
    /// Returns a replay that publishes to this channel.
    #[must_use]
    pub fn new(player: Player, speed: Speed, views: watch::Sender<Arc<View>>) -> (Self, Controls) {
        let publisher = Publisher::new(views);
        let (owner, requests) = Requester::new();
        let (sender, samples) = mpsc::channel(MAX_READ);
        let (tell, over) = oneshot::channel();
        let nobody = ("/proc".into(), CommandLines::None);
        let mut detector = Detector::new(
            (Arc::default(), Baselines::default()),
            Arc::clone(&publisher.facts.calls),
            MetadataCache::default(),
            nobody,
        );
        detector.knows_arguments(publisher.facts.knows_arguments);
        let replay = Self {
            player,
            speed,
            publisher,
            requests,
            samples,
            detector,
            alerts: Alerts::default(),
            sources: (Vec::new(), 0),
            begin: None,
            next: None,
            published: Instant::now(),
            over: Some(tell),
        };
        (replay, Controls { owner, samples: Some(sender), over })
    }

    /// Serves until `shutdown`: samples when they are due, requests at once.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.due();
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(request) = self.requests.recv() => self.serve(request),
                _ = heartbeat.tick() => self.beat(),
                sample = self.samples.recv(), if self.next.is_none() && self.over.is_some() => match sample {
                    Some(sample) => self.next = Some(sample),
                    None => self.end(Ok(())),
                },
                () = sleep_until(due.unwrap_or_else(far_away).into()), if due.is_some() => self.play(),
            }
        }
    }

    /// Returns when the next sample is due.
    fn due(&mut self) -> Option<Instant> {
        let (now, at) = (Instant::now(), self.next.as_ref()?.taken);
        let (begin, first) = *self.begin.get_or_insert((now, at));
        match self.speed {
            Speed::Max => Some(now),
            Speed::Times(times) => {
                let pause = Duration::try_from_secs_f64(at.saturating_sub(first).as_secs_f64() / times);
                // A sample beyond the range of the clock is never due.
                Some(pause.ok().and_then(|pause| begin.checked_add(pause)).unwrap_or_else(far_away))
            }
        }
    }

    fn play(&mut self) {
        let Some(sample) = self.next.take() else { return };
        if let Err(error) = tokio::task::block_in_place(|| self.player.apply(&sample)) {
            self.end(Err(error));
            return;
        }
        let snapshot = SnapshotInfo {
            number: self.publisher.snapshot.number + 1,
            taken: Instant::now(),
            time: sample.time,
            duration: sample.took,
            series: sample.snapshot.series,
            histograms: sample.snapshot.histograms,
            cgroups: sample.snapshot.slots.len().saturating_sub(sample.freed.len()),
            losses: sample.snapshot.losses,
        };
        self.sources = (sample.sources, sample.unresolved);
        self.publisher.sampled(snapshot, self.player.taken, &self.player.model);
        if self.speed != Speed::Max || self.published.elapsed() >= VIEW {
            self.publish();
        }
    }

    /// Reports that all samples have been applied, or that one could not be.
    fn end(&mut self, outcome: Result<(), PlayError>) {
        self.samples.close();
        self.publish();
        if let Some(over) = self.over.take() {
            // The receiver may have ended.
            let _ = over.send(outcome);
        }
    }

    fn beat(&mut self) {
        if self.publisher.snapshot.number > 0 {
            self.publisher.snapshot.taken = Instant::now();
            self.publisher.changed();
            self.publish();
        }
    }

    fn serve(&mut self, request: Request) {
        let done = match request {
            Request::Refresh(done) => Some(done),
            Request::Release(done) => {
                self.player.model.release(self.player.taken, Duration::ZERO);
                self.publisher.changed();
                Some(done)
            }
            Request::Baselines(work) => {
                work(self.detector.baselines_mut());
                self.publisher.changed();
                None
            }
            // A replay has no policies and no configuration to reload, and leaves nothing.
            Request::Policies(..) | Request::Configuration(_) | Request::Lasting(..) | Request::Saved(..) => None,
        };
        self.publish();
        if let Some(done) = done {
            // A client that stopped waiting needs no answer.
            let _ = done.send(());
        }
    }

    fn publish(&mut self) {
        let Self { player, detector, alerts, sources: (sources, unresolved), .. } = self;
        let (model, first_calls) = (&player.model, &player.first_calls);
        let sources = ProviderStates::Recorded(sources, *unresolved);
        self.publisher.publish(&ViewParts { model, detector, first_calls, sources, alerts });
        self.published = Instant::now();
    }
}
