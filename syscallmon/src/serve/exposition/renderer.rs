//! Renders expositions, once per snapshot and format.
//!
//! Families come from [`super::families`]. The text of workloads' series is kept in chunks, and rendered and compressed
//! again only where something has changed; formats and escaping are in [`super::encode`]. The prometheus crate gathers
//! the daemon's own metrics.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError},
    time::{Duration, Instant},
};

use axum::body::Bytes;
use prometheus::{Registry, proto::MetricFamily};

use super::{
    encode::{
        Format,
        chunks::Chunks,
        family::{Bounds, FamilyHead, FamilyKind, SeriesTextWriter},
        gathered,
        gzip::{self, Text},
        number::Timestamp,
    },
    families::{FAMILIES, Family, SeriesSource},
    host_samples::HostSamples,
    process_metrics::ProcessMetrics,
    workload_series::WorkloadToWrite,
};
use crate::{
    model::Totals,
    view::{View, Views},
    workload::Workload,
};

/// An exposition. Encodings are made at the first request for them.
#[derive(Debug, Default)]
pub struct Exposition {
    texts: Vec<Arc<Text>>,
    plain: OnceLock<Bytes>,
    gzip: OnceLock<Bytes>,
}

impl Exposition {
    /// Returns it as text.
    pub fn plain(&self) -> Bytes {
        self.plain.get_or_init(|| gzip::plain(&self.texts).concat().into()).clone()
    }

    /// Returns the same, gzipped.
    pub fn gzip(&self) -> Bytes {
        self.gzip.get_or_init(|| gzip::gzip(&self.texts).concat().into()).clone()
    }
}

/// Why an exposition could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The prometheus crate failed.
    #[error("cannot gather the daemon's own metrics")]
    Gather(#[from] prometheus::Error),
    /// Rendering panicked.
    #[error("cannot render the metrics")]
    Render(#[from] tokio::task::JoinError),
}

/// After this time without a request, the text of a format is not kept.
const KEEP: Duration = Duration::from_mins(5);

/// Renders, and keeps the last result.
#[derive(Debug)]
pub struct Renderer {
    views: Views,
    registry: Registry,
    text: Mutex<Rendered>,
    open_metrics: Mutex<Rendered>,
}

/// The last result in one format.
#[derive(Debug, Default)]
struct Rendered {
    /// Number of the snapshot, and time of the last request.
    number: Option<u64>,
    at: Option<Instant>,
    exposition: Arc<Exposition>,
    /// The chunks of each family of workloads' series, in order.
    families: Vec<Chunks<Workload, Totals>>,
}

impl Renderer {
    /// Returns a renderer of these views.
    ///
    /// # Errors
    ///
    /// When the daemon's own metrics have a mistake.
    pub fn new(views: Views) -> Result<Self, Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessMetrics::new()))?;
        Ok(Self { views, registry, text: Mutex::default(), open_metrics: Mutex::default() })
    }

    /// Returns the exposition of the newest snapshot. Blocks while it renders; concurrent callers get the same result.
    pub(in crate::serve) fn render(&self, format: Format) -> Arc<Exposition> {
        let (rendered, other) = match format {
            Format::Text => (&self.text, &self.open_metrics),
            Format::OpenMetrics => (&self.open_metrics, &self.text),
        };
        let mut rendered = rendered.lock().unwrap_or_else(PoisonError::into_inner);
        forget(other);
        let view = self.views.newest();
        if rendered.number != Some(view.snapshot.number) {
            // The old exposition is freed first, because two at once would double the memory.
            rendered.exposition = Arc::default();
            rendered.exposition = Arc::new(self.exposition(&view, format, &mut rendered.families));
            rendered.number = Some(view.snapshot.number);
        }
        rendered.at = Some(Instant::now());
        Arc::clone(&rendered.exposition)
    }

    fn exposition(&self, view: &View, format: Format, kept: &mut Vec<Chunks<Workload, Totals>>) -> Exposition {
        kept.resize_with(FAMILIES.len(), Chunks::default);
        let bounds = Bounds::new(format, view.facts.duration_bounds.iter().map(|bound| bound.seconds()));
        let mut texts = Texts::default();
        for (family, chunks) in FAMILIES.iter().zip(kept) {
            write(family, (view, &bounds), format, (chunks, &mut texts));
        }
        let own = self.registry.gather();
        gathered::write(&own, format, view.facts.created(None).map(Timestamp::from), &mut texts.open);
        texts.open.extend_from_slice(format.end().as_bytes());
        texts.close();
        Exposition { texts: texts.closed, ..Exposition::default() }
    }
}

/// Frees the result of a format without recent requests.
fn forget(rendered: &Mutex<Rendered>) {
    let rendered = match rendered.try_lock() {
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        rendered => rendered.ok(),
    };
    let is_old = |rendered: &MutexGuard<'_, Rendered>| rendered.at.is_some_and(|at| at.elapsed() > KEEP);
    if let Some(mut rendered) = rendered.filter(is_old) {
        *rendered = Rendered::default();
    }
}

/// Text under construction: chunks that are kept, and between them text that is written each time.
#[derive(Default)]
struct Texts {
    closed: Vec<Arc<Text>>,
    open: Vec<u8>,
}

impl Texts {
    fn close(&mut self) {
        if !self.open.is_empty() {
            self.closed.push(Arc::new(Bytes::from(std::mem::take(&mut self.open)).into()));
        }
    }
}

/// Writes a family, or nothing if it has no series.
fn write(
    family: &Family,
    (view, bounds): (&View, &Bounds),
    format: Format,
    (chunks, texts): (&mut Chunks<Workload, Totals>, &mut Texts),
) {
    let head = family.head();
    match family.series {
        SeriesSource::Host(collect) => {
            let created = view.facts.created(None).map(Timestamp::from);
            gathered::write(&[gather(family, |samples| collect(view, samples))], format, created, &mut texts.open);
        }
        SeriesSource::AllWorkloads(write) => {
            let begin = texts.open.len();
            head.write(format, &mut texts.open);
            let series = texts.open.len();
            write(view, &mut SeriesTextWriter::new(head, format, &mut texts.open));
            if texts.open.len() == series {
                texts.open.truncate(begin);
            }
        }
        SeriesSource::PerWorkload(write) => {
            chunks.update(view.model.workloads(), |workload, totals, out| {
                let workload = WorkloadToWrite::new(&view.facts, bounds, workload, totals);
                write(&workload, &mut SeriesTextWriter::new(head, format, out));
            });
            if !chunks.is_empty() {
                head.write(format, &mut texts.open);
                texts.close();
                texts.closed.extend(chunks.texts().cloned());
            }
        }
    }
}

/// Returns the series of a family in the types of the prometheus crate.
fn gather(family: &Family, collect: impl FnOnce(&mut HostSamples)) -> MetricFamily {
    let mut samples = HostSamples::new(family.kind);
    collect(&mut samples);
    let mut gathered = MetricFamily::default();
    gathered.set_name(family.name.to_owned());
    gathered.set_help(family.help.to_owned());
    gathered.set_field_type(family.kind);
    gathered.set_metric(samples.into_metrics());
    gathered
}

impl Family {
    fn head(&self) -> FamilyHead<'_> {
        let kind = match self.kind {
            prometheus::proto::MetricType::COUNTER => FamilyKind::Counter,
            prometheus::proto::MetricType::HISTOGRAM => FamilyKind::Histogram,
            _ => FamilyKind::Gauge,
        };
        FamilyHead { name: self.name, kind, help: self.help }
    }
}

#[cfg(test)]
mod tests;
