//! Renders the text exposition format, once per snapshot, plain and gzipped.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>. Families come from
//! [`super::families`]; encoding and escaping are the prometheus crate's.

use std::{
    collections::HashMap,
    io::Write,
    sync::{Mutex, PoisonError},
};

use axum::body::Bytes;
use flate2::{Compression, write::GzEncoder};
use prometheus::{
    Encoder, Registry, TextEncoder,
    core::{Collector, Desc},
    process_collector::ProcessCollector,
    proto::MetricFamily,
};

use super::{families::FAMILIES, sample::Samples};
use crate::state::{Shared, State};

/// An exposition, in both encodings.
#[derive(Clone, Debug)]
pub struct Exposition {
    /// As text.
    pub plain: Bytes,
    /// The same, gzipped.
    pub gzip: Bytes,
}

/// Why an exposition could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The prometheus crate refused.
    #[error("cannot encode the metrics")]
    Encode(#[from] prometheus::Error),
    /// The compressor refused.
    #[error("cannot compress the metrics")]
    Compress(#[from] std::io::Error),
}

/// Renders, and remembers what it rendered last.
#[derive(Debug)]
pub struct Renderer {
    shared: Shared,
    registry: Registry,
    last: Mutex<Option<(u64, Exposition)>>,
}

impl Renderer {
    /// A renderer of this state.
    ///
    /// # Errors
    ///
    /// When the table of families has a mistake.
    pub fn new(shared: Shared) -> Result<Self, Error> {
        let registry = Registry::new();
        registry.register(Box::new(StateCollector::new(shared.clone())?))?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self { shared, registry, last: Mutex::new(None) })
    }

    /// The exposition of the newest snapshot. Blocks for as long as rendering takes.
    ///
    /// # Errors
    ///
    /// When encoding or compressing fails.
    pub fn render(&self) -> Result<Exposition, Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.shared.lock().snapshot.number;
        if let Some((_, exposition)) = last.as_ref().filter(|(of, _)| *of == number) {
            return Ok(exposition.clone());
        }
        // What was rendered before goes first: two expositions at once would double the memory.
        *last = None;
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        let exposition = Exposition { gzip: gzip(&text)?, plain: text.into() };
        *last = Some((number, exposition.clone()));
        Ok(exposition)
    }
}

fn gzip(text: &[u8]) -> Result<Bytes, std::io::Error> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 16), Compression::fast());
    encoder.write_all(text)?;
    Ok(encoder.finish()?.into())
}

/// The families of [`FAMILIES`], from the state at the moment of collecting.
struct StateCollector {
    shared: Shared,
    descs: Vec<Desc>,
}

impl StateCollector {
    fn new(shared: Shared) -> Result<Self, prometheus::Error> {
        let desc = |family: &super::families::Family| {
            let labels = family.labels.iter().map(|&label| label.to_owned()).collect();
            Desc::new(family.name.to_owned(), family.help.to_owned(), labels, HashMap::new())
        };
        Ok(Self { shared, descs: FAMILIES.iter().map(desc).collect::<Result<_, _>>()? })
    }
}

impl Collector for StateCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        families(&self.shared.lock())
    }
}

/// Every family of a state; those without a series have no metrics.
fn families(state: &State) -> Vec<MetricFamily> {
    let family = |row: &super::families::Family| {
        let mut samples = Samples::new(row.kind);
        (row.collect)(state, &mut samples);
        let mut family = MetricFamily::default();
        family.set_name(row.name.to_owned());
        family.set_help(row.help.to_owned());
        family.set_field_type(row.kind);
        family.set_metric(samples.into_metrics());
        family
    };
    FAMILIES.iter().map(family).collect()
}
