//! The tables of the daemon before. Its programs have ended, so its counts are final.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::Ordering::{Acquire, Release},
};

use aya::maps::{Map, MapData, MapError, MapType, RingBuf};
use rustix::param::page_size;

use super::super::{
    CgroupChange, Error, FirstCallEvent,
    events::{self, calls_and_changes},
    mapped::MappedArray,
    tables::CountTables,
};
use super::{
    RINGS,
    description::Description,
    directory::{clear_counts, discard_tables, has_name},
    dispatchers::description_in,
};
use crate::{
    error_report::chain,
    snapshot::Snapshot,
    syscalls::{CallId, CallTable},
};

/// The tables of the daemon before.
pub struct PreviousTables {
    id: u64,
    path: PathBuf,
    /// `None` if the saved totals have them.
    counts: Option<CountTables>,
    cgroup_events: PinnedRing,
    first_calls: PinnedRing,
    /// The call of this daemon for each position, if they differ.
    translation: Option<Vec<CallId>>,
}

impl PreviousTables {
    /// Opens the tables in a directory; without counts if the saved totals have them.
    ///
    /// # Errors
    ///
    /// When they are half-written, or have another layout.
    pub(super) fn open(id: u64, path: &Path, calls: &CallTable, is_saved: bool) -> Result<Self, String> {
        let description = Description::parse(&description_in(path)?)?;
        let map = |name: &'static str, len: usize| array(path, name, len);
        let counts = || CountTables::new(&map, &description.sizes(), description.cpus);
        let counts = (!is_saved).then(counts).transpose();
        let [cgroup_events, first_calls] = RINGS.map(|name| PinnedRing::open(&path.join(name)));
        Ok(Self {
            id,
            path: path.to_owned(),
            counts: counts.map_err(|error| error.to_string())?,
            cgroup_events: cgroup_events?,
            first_calls: first_calls?,
            translation: description.translation(calls),
        })
    }

    /// Returns their id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Reads all counts.
    pub fn snapshot(&mut self) -> Snapshot {
        let snapshot = self.counts.as_mut().map(CountTables::snapshot).unwrap_or_default();
        match &self.translation {
            Some(ids) => snapshot.translated(|call| translated(ids, call)),
            None => snapshot,
        }
    }

    /// Returns events, each kind in order: all births and deaths that the kernel still has, and first calls from a
    /// position of [`Kernel::first_calls_read`](super::super::Kernel::first_calls_read) on.
    ///
    /// Nothing is consumed: this daemon may end before it has saved what follows from them.
    pub fn events(&mut self, first_calls_from: u64) -> (Vec<FirstCallEvent>, Vec<CgroupChange>) {
        let Self { cgroup_events, first_calls, translation, .. } = self;
        let (mut calls, changes) = calls_and_changes(
            || first_calls.read(first_calls_from, events::first_call),
            || cgroup_events.read(0, events::cgroup_change),
        );
        if let Some(ids) = translation {
            for call in &mut calls {
                call.class = call.class.map(|class| translated(ids, class));
            }
        }
        (calls, changes)
    }

    /// Removes the counts, which take most of the memory.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn remove_counts(&mut self) -> Result<(), Error> {
        match self.counts.take() {
            Some(_) => clear_counts(&self.path),
            None => Ok(()),
        }
    }

    /// Removes them.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn remove(self) -> Result<(), Error> {
        discard_tables(&self.path)
    }
}

fn translated(ids: &[CallId], call: CallId) -> CallId {
    ids.get(usize::from(call.0)).copied().unwrap_or(CallId(0))
}

/// Maps a pinned array, if it has at least this many bytes.
fn array(path: &Path, name: &'static str, len: usize) -> Result<MappedArray, Error> {
    let path = path.join(name);
    let map = MapData::from_pin(&path)?;
    let info = map.info()?;
    let bytes = u64::from(info.value_size()) * u64::from(info.max_entries());
    if info.map_type()? != MapType::Array || bytes < len as u64 || !has_name(&info, &path) {
        return Err(Error::Object { name });
    }
    MappedArray::new(&map, len).map_err(|source| Error::Mmap { name, source })
}

/// A ring buffer of programs that have ended.
struct PinnedRing(Option<MapData>);

impl PinnedRing {
    fn open(path: &Path) -> Result<Self, String> {
        let unusable = |error: MapError| format!("the ring buffer {} is unusable: {error}", path.display());
        let map = MapData::from_pin(path).map_err(unusable)?;
        let info = map.info().map_err(unusable)?;
        if info.map_type().ok() != Some(MapType::RingBuf) || !has_name(&info, path) {
            return Err(format!("{} is another map", path.display()));
        }
        Ok(Self(Some(map)))
    }

    /// Reads records from a position on. If the kernel has overwritten the first of them, it reads those that no daemon
    /// has consumed. Reads them once.
    fn read<T>(&mut self, from: u64, decode: impl Fn(&[u8]) -> Option<T>) -> Vec<T> {
        let Some(map) = self.0.take() else { return Vec::new() };
        read(map, from, decode).unwrap_or_else(|error| {
            tracing::error!(error = chain(&error), "cannot read events of the daemon before");
            Vec::new()
        })
    }
}

fn read<T>(map: MapData, from: u64, decode: impl Fn(&[u8]) -> Option<T>) -> Result<Vec<T>, Error> {
    let mapped = |mapped: io::Result<MappedArray>| mapped.map_err(|source| Error::Mmap { name: "a ring", source });
    let (position, end) = (mapped(consumer(&map))?, mapped(MappedArray::read_only(&map, page_size()))?);
    let (consumed, end) = (position.u64(0).load(Acquire), end.u64(0).load(Acquire));
    let is_kept = end.saturating_sub(from) <= u64::from(map.info()?.max_entries());
    position.u64(0).store(if is_kept && from <= consumed { from } else { consumed }, Release);
    let mut ring = RingBuf::try_from(Map::RingBuf(map))?;
    let mut items = Vec::new();
    while let Some(record) = ring.next() {
        items.extend(decode(&record));
    }
    position.u64(0).store(consumed, Release);
    Ok(items)
}

/// Maps the position up to which a ring buffer was consumed. The page after it has the position of the producer.
pub(super) fn consumer(ring: &MapData) -> io::Result<MappedArray> {
    MappedArray::new(ring, size_of::<u64>())
}
