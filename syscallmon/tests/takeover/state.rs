//! The state of the model: what is pinned, what is on disk, and what the daemons keep.
//!
//! Each table has one slot. So a second cgroup counts in the remainder until the slot is freed and used again. Each
//! probe counts in a series of its own.

/// Cgroups are numbered from 1. Number 0 stands for the remainder, or for no cgroup.
pub(crate) type Cgroup = usize;
/// The id of a daemon's tables, in the order in which daemons made them; 0 means none.
pub(crate) type Id = usize;

pub(crate) const CPUS: usize = 2;
pub(crate) const CGROUPS: usize = 3;
pub(crate) const PROBES: usize = 2;
pub(crate) const DAEMONS: usize = 2;
/// Three daemons, the next one of `invariants::next_daemon`, and none.
pub(crate) const TABLES: usize = 5;

/// The cgroup that may end.
pub(crate) const ENDING: Cgroup = 1;
/// The cgroup that may be born while programs count.
pub(crate) const BORN: Cgroup = 2;

/// The number of calls by probe.
pub(crate) type Counts = [u8; PROBES];
/// Calls by cgroup; those of the remainder first.
pub(crate) type Calls = [Counts; CGROUPS];

/// As `Amount::since`: a count that fell started again from 0.
pub(crate) fn since(counts: Counts, before: Counts) -> Counts {
    std::array::from_fn(|probe| counts[probe].checked_sub(before[probe]).unwrap_or(counts[probe]))
}

pub(crate) fn add(counts: &mut Counts, more: Counts) {
    counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
}

/// A set of ids of tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ids(u8);

impl Ids {
    pub(crate) fn has(self, id: Id) -> bool {
        self.0 & 1 << id != 0
    }

    pub(crate) fn put(&mut self, id: Id) {
        self.0 |= 1 << id;
    }

    pub(crate) fn remove(&mut self, id: Id) {
        self.0 &= !(1 << id);
    }

    /// The oldest first.
    pub(crate) fn iter(self) -> impl Iterator<Item = Id> {
        (1..TABLES).filter(move |&id| self.has(id))
    }
}

/// The whole state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) world: World,
    /// Sorted, because processes are interchangeable.
    pub(crate) daemons: [Daemon; DAEMONS],
}

/// Everything but the daemons.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub(crate) struct World {
    /// Sorted, because CPUs are interchangeable.
    pub(crate) cpus: [Cpu; CPUS],
    /// `TO_RAW` and the other arrays: the tables of the program that each dispatcher runs.
    pub(crate) entries: [Id; PROBES],
    pub(crate) lease: Lease,
    /// `tables_<id>` by id.
    pub(crate) tables: [Table; TABLES],
    pub(crate) next_id: Id,
    /// The directory `gap`: calls were not counted, and no saved totals say so.
    pub(crate) has_gap_mark: bool,
    /// `directory::Directory::lock`.
    pub(crate) is_locked: bool,
    /// The directory of `store::totals`: whether it exists, its lock, and `state.jsonl`.
    pub(crate) has_directory: bool,
    pub(crate) is_directory_locked: bool,
    pub(crate) file: File,
    pub(crate) is_born: bool,
    pub(crate) has_ended: bool,
    pub(crate) left: Left,
    /// Calls that programs counted: the truth for totals.
    pub(crate) made: Calls,
    /// Whether a call of the cgroup that may be born was not counted, because the lease had ended.
    pub(crate) has_missed: bool,
    /// Whether totals could not be saved.
    pub(crate) has_failed: bool,
    /// The newest published totals, and whether any of them ever fell.
    pub(crate) published: Calls,
    pub(crate) has_fallen: bool,
}

/// How often something may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) calls: u8,
    pub(crate) starts: u8,
    pub(crate) crashes: u8,
    /// Orderly ends of daemons.
    pub(crate) stops: u8,
    /// Totals that cannot be saved.
    pub(crate) failures: u8,
    /// Tables that the kernel does not remove.
    pub(crate) refusals: u8,
    /// Ends of the lease.
    pub(crate) ends: u8,
}

/// One CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Cpu {
    pub(crate) at: At,
    /// Whether a grace period waits for the program that runs here.
    pub(crate) is_awaited: bool,
}

/// The next step of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum At {
    /// No program runs.
    #[default]
    Outside,
    /// `count::count`: the dispatcher has read its entry, and the program of a daemon counts next.
    Count { cgroup: Cgroup, probe: usize, id: Id },
    /// `dispatch::lease`: has read `until_ns`, and writes `is_over` next.
    EndLease,
}

/// The map `LEASE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    /// Whether `until_ns` has passed.
    pub(crate) has_passed: bool,
    pub(crate) is_over: bool,
}

/// The tables of a daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Table {
    pub(crate) pins: Pins,
    pub(crate) slot: Slot,
    /// `REMAINDER`.
    pub(crate) remainder: Counts,
    /// Whether `CGROUP_EVENTS` has the birth of a cgroup.
    pub(crate) has_birth: bool,
}

/// What is pinned of the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Pins {
    #[default]
    None,
    /// A directory without a description.
    Half,
    Whole,
}

/// The slot of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    /// Whether `FREE_SLOTS` has it.
    pub(crate) is_free: bool,
    /// `SLOTS`.
    pub(crate) holder: Cgroup,
    /// Whether `SLOT_OF_CGROUP` has it.
    pub(crate) is_found: bool,
    /// `COUNTERS` of its series.
    pub(crate) counts: Counts,
}

/// The file of totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum File {
    #[default]
    None,
    /// A part of totals: only without a rename.
    Cut,
    Whole(Saved),
}

/// `SavedTotals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Saved {
    pub(crate) generation: Id,
    pub(crate) freed: Option<Retired>,
    pub(crate) model: Model,
}

/// The counts of a retired slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Retired {
    pub(crate) cgroup: Cgroup,
    pub(crate) counts: Counts,
}

/// `model::Model`: totals, and the part of the kernel's counts that they contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Model {
    pub(crate) totals: Calls,
    /// `Model::slots`: the cgroup of the slot, and its counts.
    pub(crate) slot: Option<(Cgroup, Counts)>,
    /// `Model::remainder`.
    pub(crate) remainder: Counts,
    /// `Model::births`: whether all calls of the cgroup are said to be counted.
    pub(crate) is_whole: bool,
}

/// A process of the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Daemon {
    pub(crate) at: Step,
    /// Whether it has locked the directory of pins, and the directory of totals.
    pub(crate) has_lock: bool,
    pub(crate) has_directory_lock: bool,
    /// `Pins`.
    pub(crate) id: Id,
    pub(crate) has_gap: bool,
    pub(crate) model: Model,
    /// `Lasting`: of the state that was read.
    pub(crate) generation: Id,
    pub(crate) freed: Option<Retired>,
    /// Tables of the daemons before, until they are removed.
    pub(crate) previous: Ids,
    /// The retired slot, with the number of the first state without it.
    pub(crate) retired: Option<(u8, Retired)>,
    /// The number of the first state that knows of a gap.
    pub(crate) first_with_gap: Option<u8>,
    /// The number of the newest state.
    pub(crate) number: u8,
    /// The state that the saver writes next.
    pub(crate) newest: Option<(u8, Saved)>,
    /// `Request::Saved`.
    pub(crate) answer: Option<(u8, bool)>,
    pub(crate) samples: u8,
}

/// The next step of a daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    /// There is no process.
    #[default]
    Absent,
    /// `Continuation::read`: locks the directory of totals, and reads the file.
    ReadTotals,
    /// `directory::Directory::open`.
    Lock,
    /// `Dispatchers::open`: moves the end of the lease, and looks whether it had ended.
    RenewLease,
    /// `Dispatchers::renew_lease`: lets the dispatchers run programs again.
    ClearLease,
    /// `Pins::open` opens the tables of the daemons before. `Pins::pin_tables` begins.
    OpenTables,
    /// `Dispatchers::pin_description`.
    Describe,
    /// `Dispatchers::attach`: sets an entry.
    Swap(usize),
    /// `kernel::wait_for_programs` begins, and ends.
    Wait,
    Waiting,
    /// `Sampler::take_over`.
    TakeOver,
    /// `Sampler::sample_until` waits.
    Running,
    /// `Sampler::saved`: `PreviousTables::remove` for each table.
    Remove {
        left: Ids,
        frees: bool,
    },
    /// `Tables::free`.
    Free(FreeStep),
    /// The sampler has ended and dropped the pins. The last state is written.
    Ending,
}

/// The order of `Tables::free`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FreeStep {
    /// Clears `SLOTS`.
    Holder,
    /// Clears a series.
    Series(usize),
    /// Runs the program that gives the number back.
    GiveBack,
}
