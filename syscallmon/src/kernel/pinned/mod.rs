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
//! Only these names are ever made or removed. A directory without a description is half-written, and is removed.

mod description;
mod directory;
mod dispatchers;
mod previous;
mod program;

use std::{path::PathBuf, sync::Arc, time::Duration};

use aya::{Ebpf, EbpfLoader};

pub(super) use self::dispatchers::Dispatchers;
use self::{
    description::Description,
    directory::{Directory, TABLES, TASK_TABLES, TASKS},
};
pub use self::{
    directory::{check_pins, make_pin_directory, unpin},
    previous::PreviousTables,
};
use super::{Error, FirstCallEvent, Kernel, sizes::Sizes, tables::COUNT_TABLES};
use crate::{clock::monotonic_now, syscalls::CallTable};

/// Options of the pinned mode.
#[derive(Clone, Debug)]
pub struct PinOptions {
    /// A directory of this daemon's own, on a bpf file system.
    pub directory: PathBuf,
    /// How long programs run without a daemon.
    pub lease: Duration,
    /// The calls of the tables.
    pub calls: Arc<CallTable>,
    /// A time at which this process ran, before its first call of `bpf`, on `CLOCK_MONOTONIC`.
    pub begun: Duration,
}

/// Ring buffers that are pinned with the tables.
const RINGS: [&str; 2] = ["CGROUP_EVENTS", "FIRST_CALLS"];

/// The pins of this daemon.
pub(super) struct Pins {
    directory: Directory,
    pub(super) dispatchers: Dispatchers,
    calls: Arc<CallTable>,
    /// The id of this daemon's tables.
    pub(super) id: u64,
    /// Whether the programs had stopped before this daemon came, so calls are missing, and no saved totals say so.
    pub(super) has_gap: bool,
    begun: Duration,
    previous: Vec<PreviousTables>,
}

impl Pins {
    /// Locks the directory, and takes over what is pinned there.
    ///
    /// # Errors
    ///
    /// When another daemon uses the directory, or it is not on a bpf file system, or the kernel refuses.
    pub(super) fn open(options: &PinOptions) -> Result<Self, Error> {
        let directory = Directory::open(&options.directory)?;
        let dispatchers = Dispatchers::open(&directory, options.lease)?;
        let has_gap = dispatchers.was_over || directory.has_gap();
        let mut previous = Vec::new();
        for (id, path) in directory.tables()? {
            match PreviousTables::open(id, &path, &options.calls) {
                Ok(tables) => previous.push(tables),
                Err(problem) => {
                    tracing::warn!(path = %path.display(), problem, "pinned counts cannot be used, and are removed");
                    directory::remove_tables(&path)?;
                }
            }
        }
        // Monotonic, so that a later daemon has a higher id, also on a clock that was set back.
        let id = u64::try_from(monotonic_now().as_nanos()).unwrap_or(u64::MAX);
        Ok(Self {
            directory,
            dispatchers,
            calls: Arc::clone(&options.calls),
            id,
            has_gap,
            begun: options.begun,
            previous,
        })
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
            if self.has_gap || !directory::fits(&path, entries) {
                directory::remove(&path)?;
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
        let path = self.directory.make(&format!("{TABLES}{:016x}", self.id))?;
        for name in COUNT_TABLES.iter().chain(&RINGS) {
            directory::pin(ebpf.map(name).ok_or(Error::Object { name })?, &path.join(name))?;
        }
        // The last one: a directory without it is half-written.
        let description = Description::new(sizes, cpus, &self.calls);
        self.dispatchers.pin_description(&description, &path)
    }

    /// Returns the tables of the daemons before. Their counts are final from now on.
    pub(super) fn take_previous(&mut self) -> Vec<PreviousTables> {
        std::mem::take(&mut self.previous)
    }
}

impl Kernel {
    /// Returns the id of the pinned tables; `None` without pinned mode.
    #[must_use]
    pub fn pinned_id(&self) -> Option<u64> {
        self.pins.as_ref().map(|pins| pins.id)
    }

    /// Whether the lease of pinned programs had ended before this daemon came, so calls are missing.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.pins.as_ref().is_some_and(|pins| pins.has_gap)
    }

    /// Whether this daemon made a call that the programs of the daemon before reported.
    #[must_use]
    pub fn made(&self, call: &FirstCallEvent) -> bool {
        // The time shows that no other process had this id.
        self.pins.as_ref().is_some_and(|pins| call.pid == std::process::id() && call.monotonic >= pins.begun)
    }

    /// Returns the tables of the daemons before, the oldest first.
    pub fn take_previous(&mut self) -> Vec<PreviousTables> {
        self.pins.as_mut().map(Pins::take_previous).unwrap_or_default()
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
