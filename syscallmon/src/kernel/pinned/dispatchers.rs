//! Dispatchers: programs that stay attached, and run the programs of the current daemon.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{MapData, MapType, ProgramArray},
    programs::{
        BtfTracePoint, RawTracePoint, TracePoint,
        links::{FdLink, PinnedLink},
    },
};
use syscallmon_common::{
    DESCRIPTION_BYTES, DISPATCH_CGROUP_MKDIR, DISPATCH_CGROUP_RMDIR, DISPATCH_CONTAINER_INIT_EXECUTED,
    DISPATCH_CONTAINER_INIT_FORKED, DISPATCH_CONTAINER_INIT_MOVED, DISPATCH_IO_URING_SUBMIT, DISPATCH_LEN,
    DISPATCH_SYS_ENTER, DISPATCH_SYS_EXIT, DISPATCH_TASK_EXIT, DISPATCH_TASK_FORK, Lease,
};

use super::{
    super::{
        Error,
        hooks::Place,
        mapped::{MappedArray, mapped},
        program,
        remedies::privileges,
    },
    description::{DESCRIPTION, Description},
    directory::{self, DISPATCH, PinDirectory, Shape},
    program::{self as pinned_program, Identity},
};
use crate::clock::monotonic_now;

/// The object with the dispatchers.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../bpf/dispatch.bpf.o");

/// An array of programs, and the number of its entries.
type Array = (&'static str, u32);

const TO_RAW: Array = ("TO_RAW", DISPATCH_LEN);
const TO_CLASSIC: Array = ("TO_CLASSIC", DISPATCH_LEN);
const TO_ENTER_BTF: Array = ("TO_ENTER_BTF", 1);
const TO_EXIT_BTF: Array = ("TO_EXIT_BTF", 1);
/// Maps that all daemons use.
const SHARED: [Array; 5] = [TO_RAW, TO_CLASSIC, TO_ENTER_BTF, TO_EXIT_BTF, (LEASE, 1)];
const LEASE: &str = "LEASE";

/// Returns the shape of one of these maps.
fn shape((name, entries): Array) -> Shape {
    let (kind, value) =
        if name == LEASE { (MapType::Array, size_of::<Lease>()) } else { (MapType::ProgramArray, size_of::<u32>()) };
    Shape { kind, key: 4, value: u32::try_from(value).unwrap_or_default(), entries }
}

/// The program that ends the lease, and its tracepoint.
const LEASE_PROGRAM: &str = "lease";
const LEASE_TRACEPOINT: &str = "sched_process_exit";

/// Beginnings of the names of pinned links and programs. Names of BPF objects have no dot.
pub(super) const LINK: &str = "link_";
const PROGRAM: &str = "prog_";

/// Each dispatcher, with the array and the index through which it runs a program of the same name.
const DISPATCHERS: [(&str, Array, u32); 19] = [
    ("sys_enter_btf", TO_ENTER_BTF, 0),
    ("sys_exit_btf", TO_EXIT_BTF, 0),
    ("sys_enter_raw", TO_RAW, DISPATCH_SYS_ENTER),
    ("sys_exit_raw", TO_RAW, DISPATCH_SYS_EXIT),
    ("task_fork", TO_RAW, DISPATCH_TASK_FORK),
    ("task_exit", TO_RAW, DISPATCH_TASK_EXIT),
    ("container_init_moved", TO_RAW, DISPATCH_CONTAINER_INIT_MOVED),
    ("container_init_forked", TO_RAW, DISPATCH_CONTAINER_INIT_FORKED),
    ("container_init_executed", TO_RAW, DISPATCH_CONTAINER_INIT_EXECUTED),
    ("io_uring_submit", TO_RAW, DISPATCH_IO_URING_SUBMIT),
    ("cgroup_mkdir", TO_RAW, DISPATCH_CGROUP_MKDIR),
    ("cgroup_rmdir", TO_RAW, DISPATCH_CGROUP_RMDIR),
    ("sys_enter_tp", TO_CLASSIC, DISPATCH_SYS_ENTER),
    ("sys_exit_tp", TO_CLASSIC, DISPATCH_SYS_EXIT),
    ("task_fork_tp", TO_CLASSIC, DISPATCH_TASK_FORK),
    ("task_exit_tp", TO_CLASSIC, DISPATCH_TASK_EXIT),
    ("io_uring_submit_tp", TO_CLASSIC, DISPATCH_IO_URING_SUBMIT),
    ("cgroup_mkdir_tp", TO_CLASSIC, DISPATCH_CGROUP_MKDIR),
    ("cgroup_rmdir_tp", TO_CLASSIC, DISPATCH_CGROUP_RMDIR),
];

/// The probe without which no call is counted.
const SYS_ENTER: &str = "sys_enter";

/// Returns the name of a dispatcher without its implementation.
fn probe(name: &str) -> &str {
    ["_btf", "_raw", "_tp"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// Whether a name in the directory of dispatchers is one of this module's.
pub(super) fn is_ours(name: &str) -> bool {
    let is_program = |name: &str| name == LEASE_PROGRAM || DISPATCHERS.iter().any(|(known, _, _)| *known == name);
    SHARED.iter().any(|(known, _)| *known == name)
        || name.strip_prefix(LINK).or_else(|| name.strip_prefix(PROGRAM)).is_some_and(is_program)
}

/// Why calls are missing in what a daemon takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinGap {
    /// Programs had stopped at the end of their lease.
    Lease,
    /// No program of ours was attached to `sys_enter`.
    Detached,
    /// A daemon found calls missing, and ended before it saved totals.
    Unsaved,
}

/// The dispatchers, and the arrays of programs.
pub(in crate::kernel) struct Dispatchers {
    /// This daemon's copy of the object. It uses the pinned maps.
    ebpf: Ebpf,
    path: PathBuf,
    lease: MappedArray,
    length: Duration,
    /// Why calls are missing, if any are.
    pub(super) gap: Option<PinGap>,
    used: Vec<Used>,
}

/// A dispatcher that this daemon uses.
struct Used {
    name: &'static str,
    /// The attached program. Later, the daemon has no privileges to open it.
    program: Option<OwnedFd>,
    /// Keeps it attached until the daemon ends, also without its pin.
    _link: FdLink,
}

impl Dispatchers {
    /// Loads the object with the pinned maps, and renews the lease.
    pub(super) fn open(directory: &PinDirectory, length: Duration) -> Result<Self, Error> {
        let path = directory.make(DISPATCH)?;
        for array in SHARED {
            if !directory::fits(&path.join(array.0), Some(shape(array)))? {
                directory::replace(&path.join(array.0))?;
            }
        }
        let mut loader = EbpfLoader::new();
        for (name, _) in SHARED {
            loader.map_pin_path(name, path.join(name));
        }
        let ebpf =
            loader.load(OBJECT).map_err(|error| privileges(&error, "making a map").unwrap_or(Error::Load(error)))?;
        let lease = mapped(&ebpf, LEASE, size_of::<Lease>())?;
        let mut dispatchers = Self { ebpf, path, lease, length, gap: None, used: Vec::new() };
        let is_attached =
            DISPATCHERS.iter().any(|(name, _, _)| probe(name) == SYS_ENTER && dispatchers.is_linked(name));
        // Before the program that ends it is attached.
        let was_over = dispatchers.renew_lease(directory, length);
        dispatchers.gap = match (is_attached, was_over) {
            (false, _) => Some(PinGap::Detached),
            (true, true) => Some(PinGap::Lease),
            (true, false) => directory.has_gap().then_some(PinGap::Unsaved),
        };
        if dispatchers.gap.is_some() {
            directory.mark_gap()?;
        }
        program::<RawTracePoint>(&mut dispatchers.ebpf, LEASE_PROGRAM)?.load()?;
        let link = dispatchers.place(LEASE_PROGRAM, Place::Raw(LEASE_TRACEPOINT))?;
        dispatchers.used.push(Used { name: LEASE_PROGRAM, program: None, _link: link });
        Ok(dispatchers)
    }

    /// Lets the programs run for the time of a lease from now on, or longer if the next renewal may come later. Returns
    /// whether the lease had ended, and marks the gap first: a crash does not hide it.
    pub(super) fn renew_lease(&self, directory: &PinDirectory, at_least: Duration) -> bool {
        let until = monotonic_now().saturating_add(self.length.max(at_least)).as_nanos();
        self.lease.u64(0).store(u64::try_from(until).unwrap_or(u64::MAX), Relaxed);
        // A program that read the time before may still end the lease. The next renewal sees that.
        let was_over = self.lease.u64(1).load(Relaxed) != 0;
        if was_over {
            if let Err(error) = directory.mark_gap() {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot mark that calls were not counted");
            }
            self.lease.u64(1).store(0, Relaxed);
        }
        was_over
    }

    /// Lets a dispatcher run a program of a daemon's object. From then on, it does not run the program of the daemon
    /// before: each call runs one of both.
    pub(in crate::kernel) fn attach(&mut self, ebpf: &Ebpf, name: &'static str, place: Place) -> Result<(), Error> {
        let &(_, (array, _), index) =
            DISPATCHERS.iter().find(|(known, _, _)| *known == name).ok_or(Error::Object { name })?;
        self.load(name, place)?;
        if self.placed(name)?.is_none() {
            // Another implementation of the same probe would count each call twice.
            let others = DISPATCHERS.iter().filter(|(other, _, _)| *other != name && probe(other) == probe(name));
            others.into_iter().try_for_each(|(other, _, _)| self.unplace(other))?;
        }
        let program = ebpf.program(name).ok_or(Error::Object { name })?.fd()?;
        let map = self.ebpf.map_mut(array).ok_or(Error::Object { name: array })?;
        ProgramArray::try_from(map)?.set(index, program, 0)?;
        let link = self.place(name, place)?;
        self.used.push(Used { name, program: pinned_program::open(&self.pin(PROGRAM, name)).ok(), _link: link });
        Ok(())
    }

    /// Detaches the dispatchers that this daemon does not use: others use them with other options.
    pub(in crate::kernel) fn remove_unused(&self) -> Result<(), Error> {
        let unused = DISPATCHERS.iter().filter(|(name, _, _)| !self.used.iter().any(|used| used.name == *name));
        unused.into_iter().try_for_each(|(name, _, _)| self.unplace(name))
    }

    /// Returns a dispatcher, whose skipped runs the kernel counts.
    pub(in crate::kernel) fn descriptor(&self, name: &str) -> Option<BorrowedFd<'_>> {
        self.used.iter().find(|used| used.name == name)?.program.as_ref().map(AsFd::as_fd)
    }

    /// Returns a pin of this daemon that others have removed.
    pub(super) fn missing(&self) -> Option<PathBuf> {
        let pins = self.used.iter().flat_map(|used| [LINK, PROGRAM].map(|kind| self.pin(kind, used.name)));
        let maps = SHARED.iter().map(|(name, _)| self.path.join(name));
        pins.chain(maps).find(|pin| pin.symlink_metadata().is_err())
    }

    fn load(&mut self, name: &'static str, place: Place) -> Result<(), Error> {
        let ebpf = &mut self.ebpf;
        match place {
            Place::Btf(tracepoint) => {
                let btf = Btf::from_sys_fs().map_err(|error| Error::Load(error.into()))?;
                program::<BtfTracePoint>(ebpf, name)?.load(tracepoint, &btf)?;
            }
            Place::Raw(_) => program::<RawTracePoint>(ebpf, name)?.load()?,
            Place::Classic(..) => program::<TracePoint>(ebpf, name)?.load()?,
        }
        Ok(())
    }

    /// Keeps the pinned dispatcher if it is the same as this daemon's, and otherwise attaches and pins this daemon's.
    fn place(&mut self, name: &'static str, place: Place) -> Result<FdLink, Error> {
        if let Some(link) = self.placed(name)? {
            return Ok(link);
        }
        self.unplace(name)?;
        let link = self.link(name, place)?;
        let (program_pin, link_pin) = (self.pin(PROGRAM, name), self.pin(LINK, name));
        let program = self.ebpf.program_mut(name).ok_or(Error::Object { name })?;
        let error = |path: &Path, error| Error::Pin { path: path.to_owned(), source: io::Error::other(error) };
        program.pin(&program_pin).map_err(|problem| error(&program_pin, problem))?;
        link.pin(&link_pin).map(FdLink::from).map_err(|problem| error(&link_pin, problem))
    }

    /// Returns the link of a pinned dispatcher with the same instructions and maps as this daemon's.
    fn placed(&self, name: &'static str) -> Result<Option<FdLink>, Error> {
        let Some((link, pinned)) = self.linked(name) else { return Ok(None) };
        let own = self.ebpf.program(name).ok_or(Error::Object { name })?.fd()?;
        let error = |source| Error::Pin { path: self.pin(PROGRAM, name), source };
        Ok(pinned.is_like(&pinned_program::identity(own.as_fd()).map_err(error)?).then_some(link))
    }

    /// Returns the pinned link of a name and the pinned program, if the link belongs to the program.
    fn linked(&self, name: &str) -> Option<(FdLink, Identity)> {
        let link = FdLink::from(PinnedLink::from_pin(self.pin(LINK, name)).ok()?);
        let program = pinned_program::open(&self.pin(PROGRAM, name)).ok()?;
        let program = pinned_program::identity(program.as_fd()).ok()?;
        (link.info().ok()?.program_id() == program.id).then_some((link, program))
    }

    fn is_linked(&self, name: &str) -> bool {
        self.linked(name).is_some()
    }

    fn unplace(&self, name: &str) -> Result<(), Error> {
        let (program_pin, link_pin) = (self.pin(PROGRAM, name), self.pin(LINK, name));
        if link_pin.exists() {
            tracing::warn!(dispatcher = name, "another dispatcher was pinned, and is removed");
        }
        directory::replace(&link_pin)?;
        directory::replace(&program_pin)
    }

    fn link(&mut self, name: &'static str, place: Place) -> Result<FdLink, Error> {
        let ebpf = &mut self.ebpf;
        Ok(match place {
            Place::Btf(_) => {
                let program: &mut BtfTracePoint = program(ebpf, name)?;
                let link = program.attach()?;
                program.take_link(link)?.into()
            }
            Place::Raw(tracepoint) => {
                let program: &mut RawTracePoint = program(ebpf, name)?;
                let link = program.attach(tracepoint)?;
                program.take_link(link)?.into()
            }
            Place::Classic(category, tracepoint) => {
                let program: &mut TracePoint = program(ebpf, name)?;
                let link = program.attach(category, tracepoint)?;
                // Before Linux 5.15, there are no links of perf events.
                program.take_link(link)?.try_into().map_err(|_| Error::NoLink { tracepoint })?
            }
        })
    }

    fn pin(&self, kind: &str, name: &str) -> PathBuf {
        self.path.join(format!("{kind}{name}"))
    }

    /// Writes the description of this daemon's tables, and pins it beside them.
    pub(super) fn pin_description(&self, description: &Description, tables: &Path) -> Result<(), Error> {
        let path = tables.join(DESCRIPTION);
        let error = |source| Error::Pin { path: path.clone(), source };
        let mut bytes = serde_json::to_vec(description).map_err(|problem| error(problem.into()))?;
        if bytes.len() > DESCRIPTION_BYTES {
            return Err(error(io::Error::other("the description is too large")));
        }
        bytes.resize(bytes.len().next_multiple_of(size_of::<u64>()), 0);
        let map = mapped(&self.ebpf, DESCRIPTION, DESCRIPTION_BYTES)?;
        for (index, word) in bytes.as_chunks().0.iter().enumerate() {
            map.u64(index).store(u64::from_ne_bytes(*word), Relaxed);
        }
        directory::pin(self.ebpf.map(DESCRIPTION).ok_or(Error::Object { name: DESCRIPTION })?, &path)
    }
}

/// Reads the bytes of a pinned description.
pub(super) fn description_in(tables: &Path) -> Result<Vec<u8>, String> {
    let map = MapData::from_pin(tables.join(DESCRIPTION)).map_err(|_| "half-written: no description".to_owned())?;
    let map =
        MappedArray::new(&map, DESCRIPTION_BYTES).map_err(|error| format!("cannot map the description: {error}"))?;
    let words = (0..DESCRIPTION_BYTES / size_of::<u64>()).map(|index| map.u64(index).load(Relaxed));
    Ok(words.flat_map(u64::to_ne_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dispatcher_has_an_entry_of_its_own() {
        for (index, (name, (array, entries), at)) in DISPATCHERS.iter().enumerate() {
            assert!(at < entries, "{name}");
            let others = DISPATCHERS.iter().enumerate().filter(|(other, _)| *other != index);
            assert!(others.clone().all(|(_, (_, (other, _), place))| (other, place) != (array, at)), "{name}");
        }
    }

    #[test]
    fn only_names_of_this_module_are_ours() {
        for name in ["link_sys_enter_btf", "prog_lease", "TO_RAW", "LEASE"] {
            assert!(is_ours(name), "{name}");
        }
        for name in ["link_", "sys_enter_btf", "link_other", "TO_OTHER", "prog_link_lease"] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
