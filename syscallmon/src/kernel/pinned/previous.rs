//! The tables of the daemon before. Its programs have ended, so its counts are final.

use std::path::{Path, PathBuf};

use aya::maps::{Map, MapData, RingBuf};

use super::super::{
    CgroupChange, Error, FirstCallEvent,
    events::{self, calls_and_changes},
    mapped::MappedArray,
    tables::CountTables,
};
use super::{RINGS, description::Description, directory::remove_tables, dispatchers::description_in};
use crate::{
    snapshot::Snapshot,
    syscalls::{CallId, CallTable},
};

/// The tables of the daemon before.
pub struct PreviousTables {
    id: u64,
    path: PathBuf,
    counts: CountTables,
    cgroup_events: RingBuf<MapData>,
    first_calls: RingBuf<MapData>,
    /// The call of this daemon for each position, if they differ.
    translation: Option<Vec<CallId>>,
}

impl PreviousTables {
    /// Opens the tables in a directory.
    ///
    /// # Errors
    ///
    /// When they are half-written, or have another layout.
    pub(super) fn open(id: u64, path: &Path, calls: &CallTable) -> Result<Self, String> {
        let description = Description::parse(&description_in(path)?)?;
        let map = |name: &'static str, len: usize| array(path, name, len);
        let counts = CountTables::new(&map, &description.sizes(), description.cpus);
        let [cgroup_events, first_calls] = RINGS.map(|name| ring(&path.join(name)));
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
        let snapshot = self.counts.snapshot();
        match &self.translation {
            Some(ids) => snapshot.translated(|call| translated(ids, call)),
            None => snapshot,
        }
    }

    /// Takes the events that no daemon has taken, each kind in order.
    pub fn events(&mut self) -> (Vec<FirstCallEvent>, Vec<CgroupChange>) {
        let Self { cgroup_events, first_calls, translation, .. } = self;
        let (mut calls, changes) = calls_and_changes(
            || drain(first_calls, events::first_call),
            || drain(cgroup_events, events::cgroup_change),
        );
        if let Some(ids) = translation {
            for call in &mut calls {
                call.class = call.class.map(|class| translated(ids, class));
            }
        }
        (calls, changes)
    }

    /// Removes them.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn remove(self) -> Result<(), Error> {
        remove_tables(&self.path)
    }
}

fn translated(ids: &[CallId], call: CallId) -> CallId {
    ids.get(usize::from(call.0)).copied().unwrap_or(CallId(0))
}

/// Maps a pinned array, if it has at least this many bytes.
fn array(path: &Path, name: &'static str, len: usize) -> Result<MappedArray, Error> {
    let map = MapData::from_pin(path.join(name))?;
    let info = map.info()?;
    let bytes = u64::from(info.value_size()) * u64::from(info.max_entries());
    if info.map_type()? != aya::maps::MapType::Array || bytes < len as u64 {
        return Err(Error::Object { name });
    }
    MappedArray::new(&map, len).map_err(|source| Error::Mmap { name, source })
}

fn ring(path: &Path) -> Result<RingBuf<MapData>, String> {
    let unusable = |error: aya::maps::MapError| format!("the ring buffer {} is unusable: {error}", path.display());
    let map = MapData::from_pin(path).map_err(unusable)?;
    RingBuf::try_from(Map::RingBuf(map)).map_err(unusable)
}

fn drain<T>(ring: &mut RingBuf<MapData>, decode: impl Fn(&[u8]) -> Option<T>) -> Vec<T> {
    let mut items = Vec::new();
    while let Some(record) = ring.next() {
        items.extend(decode(&record));
    }
    items
}
