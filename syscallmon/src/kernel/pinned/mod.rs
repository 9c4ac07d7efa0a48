//! The pinned mode: programs go on counting while no daemon runs, and the next daemon takes their counts over.
//!
//! Below the directory, on a bpf file system:
//!
//! - `dispatch/`: the [dispatchers](Dispatchers), attached, and the arrays through which they run a daemon's programs.
//! - `tasks_1/`: states of threads and processes. All daemons use the same, so a call or a start of a container that is
//!   under way is judged as if nothing had happened.
//! - `tables_<id>/`: the counts of one daemon's programs, and the [description](description::Description) of their
//!   layout. A new daemon makes its own tables. When its programs run, it reads the tables of the daemon before
//!   ([`PreviousTables`]) once, and removes them after the totals with their counts are saved.
//! - `gap/`: the [lease](syscallmon_common::Lease) had ended, so calls are missing, and no saved totals say so yet.
//!
//! Only these names are ever made or removed. A directory without a description is half-written: its tables are
//! removed. The directory itself stays until a daemon has saved its totals. So it marks a start that failed, and a
//! daemon that finds [`MAX_STARTS`] of them removes everything and begins anew.

mod description;
mod directory;
mod dispatchers;
mod previous;
mod program;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Acquire},
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapType},
};
use syscallmon_common::{ContainerInit, TASK_STATES_PER_ROW};

pub(super) use self::dispatchers::Dispatchers;
use self::{
    description::{DESCRIPTION, Description},
    directory::{Shape, TASK_TABLES, TASKS},
};
pub use self::{
    directory::{PinDirectory, check_pins, make_pin_directory, unpin},
    dispatchers::PinGap,
    previous::PreviousTables,
};
use super::{Error, FirstCallEvent, Kernel, mapped::MappedArray, sizes::Sizes, tables::COUNT_TABLES};
use crate::{clock::monotonic_now, syscalls::CallTable};

/// Options of the pinned mode.
#[derive(Clone, Debug)]
pub struct PinOptions {
    /// The locked directory.
    pub directory: Arc<PinDirectory>,
    /// The generation of the saved totals. They contain all counts of earlier ones.
    pub saved: u64,
    /// How long programs run without a daemon.
    pub lease: Duration,
    /// The calls of the tables.
    pub calls: Arc<CallTable>,
    /// A time at which this process ran, before its first call of `bpf`, on `CLOCK_MONOTONIC`.
    pub begun: Duration,
}

/// What follows when pins cannot be used.
pub(super) const BEGINS_ANEW: &str = "all pinned programs and counts are removed, and counting begins anew";

/// Ring buffers that are pinned with the tables.
const RINGS: [&str; 2] = ["CGROUP_EVENTS", FIRST_CALLS];
const FIRST_CALLS: &str = "FIRST_CALLS";

/// Starts in a row whose tables are kept while no daemon saves totals. More would fill the kernel's memory, or repeat a
/// failure for ever.
const MAX_STARTS: usize = 8;

/// The pins of this daemon.
pub(super) struct Pins {
    directory: Arc<PinDirectory>,
    pub(super) dispatchers: Dispatchers,
    calls: Arc<CallTable>,
    /// The id of this daemon's tables, and their directory.
    pub(super) id: u64,
    begun: Duration,
    tables: PathBuf,
    /// The position up to which first calls were read.
    first_calls: Option<MappedArray>,
    previous: Vec<PreviousTables>,
    /// Directories of starts that left no usable tables.
    remains: Vec<PathBuf>,
}

impl Pins {
    /// Takes over what is pinned in the directory.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(super) fn open(options: &PinOptions) -> Result<Self, Error> {
        let (directory, calls) = (Arc::clone(&options.directory), Arc::clone(&options.calls));
        let is_later = |(id, _): &&(u64, PathBuf)| *id > options.saved;
        let starts = directory.tables()?.iter().filter(is_later).count();
        if starts >= MAX_STARTS {
            tracing::error!(starts, "daemons ended before they saved totals: {BEGINS_ANEW}");
            directory.clear()?;
        }
        let mut earlier = directory.tables()?;
        // Each has first calls that may not be reported.
        let saved = earlier.iter().filter(|(id, _)| *id < options.saved).count();
        for (_, path) in earlier.drain(..saved.saturating_sub(MAX_STARTS)) {
            directory::discard_tables(&path)?;
        }
        // Monotonic, so that a later daemon has a higher id, also on a clock that was set back.
        let now = u64::try_from(monotonic_now().as_nanos()).unwrap_or(u64::MAX);
        let id = earlier.last().map_or(now, |(last, _)| now.max(last.saturating_add(1)));
        // First, so that a start that fails leaves a mark.
        let tables = directory.make_tables(id)?;
        let dispatchers = Dispatchers::open(&directory, options.lease)?;
        let (mut previous, mut remains) = (Vec::new(), Vec::new());
        for (id, path) in earlier {
            match PreviousTables::open(id, &path, &calls, id < options.saved) {
                Ok(tables) => previous.push(tables),
                Err(problem) => {
                    tracing::warn!(path = %path.display(), problem, "pinned counts cannot be used, and are removed");
                    if path.is_dir() {
                        directory::clear_tables(&path)?;
                    }
                    remains.push(path);
                }
            }
        }
        let begun = options.begun;
        Ok(Self { directory, dispatchers, calls, id, begun, tables, first_calls: None, previous, remains })
    }

    /// Lets the object use the pinned states of threads, if they fit.
    ///
    /// # Errors
    ///
    /// When what is pinned cannot be removed.
    pub(super) fn share_task_tables(
        &self,
        loader: &mut EbpfLoader<'_>,
        sizes: &[(&'static str, u32)],
    ) -> Result<(), Error> {
        let tasks = self.directory.make(TASKS)?;
        for name in TASK_TABLES {
            let path = tasks.join(name);
            let entries = sizes.iter().find(|(size, _)| *size == name).map(|&(_, entries)| entries);
            let shape = entries.map(|entries| task_shape(name, entries));
            if self.dispatchers.gap.is_some() || !directory::fits(&path, shape)? {
                directory::replace(&path)?;
            }
            loader.map_pin_path(name, path);
        }
        Ok(())
    }

    /// Pins this daemon's tables, before the first of its programs runs.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(super) fn pin_tables(&mut self, ebpf: &Ebpf, sizes: &Sizes, cpus: usize) -> Result<(), Error> {
        for name in COUNT_TABLES.iter().chain(&RINGS) {
            directory::pin(ebpf.map(name).ok_or(Error::Object { name })?, &self.tables.join(name))?;
        }
        let Some(Map::RingBuf(ring)) = ebpf.map(FIRST_CALLS) else { return Err(Error::Object { name: FIRST_CALLS }) };
        let consumer = previous::consumer(ring).map_err(|source| Error::Mmap { name: FIRST_CALLS, source })?;
        self.first_calls = Some(consumer);
        // The last one: a directory without it is half-written.
        let description = Description::new(sizes, cpus, &self.calls);
        self.dispatchers.pin_description(&description, &self.tables)
    }

    /// Returns a pin of this daemon that others have removed.
    fn missing(&self) -> Option<PathBuf> {
        let tables = || [DESCRIPTION].into_iter().chain(COUNT_TABLES).chain(RINGS).map(|name| self.tables.join(name));
        let is_missing = |path: &PathBuf| path.symlink_metadata().is_err();
        if !self.directory.is_there() {
            return Some(self.tables.clone());
        }
        self.dispatchers.missing().or_else(|| tables().find(is_missing))
    }
}

/// Returns the shape of a table of states.
fn task_shape(name: &str, entries: u32) -> Shape {
    let (kind, value) = if name == TASK_TABLES[0] {
        (MapType::Array, TASK_STATES_PER_ROW)
    } else {
        (MapType::LruHash, size_of::<ContainerInit>())
    };
    Shape { kind, key: 4, value: u32::try_from(value).unwrap_or_default(), entries }
}

impl Kernel {
    /// Returns the id of the pinned tables; `None` without pinned mode.
    #[must_use]
    pub fn pinned_id(&self) -> Option<u64> {
        self.pins.as_ref().map(|pins| pins.id)
    }

    /// Returns why calls before this daemon are missing, if any are.
    #[must_use]
    pub fn gap(&self) -> Option<PinGap> {
        self.pins.as_ref()?.dispatchers.gap
    }

    /// Whether this daemon made a call that the programs of the daemon before reported.
    #[must_use]
    pub fn made(&self, call: &FirstCallEvent) -> bool {
        // The time shows that no other process had this id.
        self.pins.as_ref().is_some_and(|pins| call.pid == std::process::id() && call.monotonic >= pins.begun)
    }

    /// Returns the tables of the daemons before, the oldest first.
    /// Returns the position up to which this daemon has read first calls. A later daemon may read them again from
    /// there.
    #[must_use]
    pub fn first_calls_read(&self) -> u64 {
        let consumer = self.pins.as_ref().and_then(|pins| pins.first_calls.as_ref());
        consumer.map_or(0, |consumer| consumer.u64(0).load(Acquire))
    }

    /// Returns the tables of the daemons before, the oldest first. Their counts are final from now on.
    pub fn take_previous(&mut self) -> Vec<PreviousTables> {
        self.pins.as_mut().map(|pins| std::mem::take(&mut pins.previous)).unwrap_or_default()
    }

    /// Removes what starts without usable tables left, after totals were saved.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn remove_remains(&mut self) -> Result<(), Error> {
        let remains = self.pins.as_mut().map(|pins| std::mem::take(&mut pins.remains)).unwrap_or_default();
        remains.iter().try_for_each(|path| directory::discard_tables(path))
    }

    /// Returns a pin of this daemon that others have removed: the next daemon cannot continue.
    #[must_use]
    pub fn missing_pin(&self) -> Option<PathBuf> {
        self.pins.as_ref()?.missing()
    }

    /// Lets pinned programs run for the time of a lease from now on, and at least for this time. Returns whether the
    /// lease had ended, so calls are missing.
    #[must_use]
    pub fn renew_lease(&self, at_least: Duration) -> bool {
        self.pins.as_ref().is_some_and(|pins| pins.dispatchers.renew_lease(&pins.directory, at_least))
    }

    /// Notes that saved totals say that calls are missing.
    ///
    /// # Errors
    ///
    /// When the mark cannot be removed.
    pub fn gap_is_saved(&self) -> Result<(), Error> {
        self.pins.as_ref().map_or(Ok(()), |pins| pins.directory.forget_gap())
    }
}
