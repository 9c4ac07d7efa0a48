//! The steps of a daemon from its start until it has taken the tables of the daemons before over.

use crate::{
    Scenario, program,
    state::{At, Daemon, File, Ids, Model, PROBES, Pins, Saved, Slot, Step, TABLES, Table, World, add, since},
};

impl Scenario {
    /// Whether the next step of a daemon needs nothing else.
    pub(crate) fn may_step(world: &World, daemon: &Daemon) -> bool {
        match daemon.at {
            Step::Absent | Step::Running => false,
            Step::Waiting => world.cpus.iter().all(|cpu| !cpu.is_awaited),
            // Only the saver is left.
            Step::Ending => daemon.newest.is_none(),
            _ => true,
        }
    }

    /// Runs the next step of a daemon.
    pub(crate) fn step(&self, world: &mut World, daemon: &mut Daemon) {
        let next = match daemon.at {
            Step::Running => Step::Running,
            Step::ReadTotals => self.read_totals(world, daemon),
            Step::Lock => self.lock(world, daemon),
            Step::RenewLease => self.renew_at_start(world, daemon),
            Step::ClearLease => {
                world.lease.is_over = false;
                Step::OpenTables
            }
            Step::OpenTables => self.open_tables(world, daemon),
            Step::Describe => {
                world.tables[daemon.id].pins = Pins::Whole;
                if self.describes_first { Step::Swap(0) } else { Step::Wait }
            }
            Step::Swap(probe) => {
                world.entries[probe] = daemon.id;
                match probe + 1 {
                    next if next < PROBES => Step::Swap(next),
                    _ if self.describes_first => Step::Wait,
                    _ => Step::Describe,
                }
            }
            Step::Wait if self.waits_for_programs => {
                program::wait(&mut world.cpus);
                Step::Waiting
            }
            Step::Wait | Step::Waiting => Step::TakeOver,
            Step::TakeOver => self.take_over(world, daemon),
            Step::Remove { left, frees } => self.remove(world, left, frees),
            Step::Free(step) => self.free(world, daemon, step),
            Step::Ending | Step::Absent => Step::Absent,
        };
        daemon.at = next;
        if next == Step::Absent {
            end(world, daemon);
        }
    }

    /// `Continuation::read`. A daemon that cannot lock the directory within a second ends.
    fn read_totals(&self, world: &mut World, daemon: &mut Daemon) -> Step {
        if world.is_directory_locked {
            return if self.ends_if_locked { Step::Absent } else { Step::Lock };
        }
        if !world.has_directory && !self.makes_directory {
            return Step::Lock;
        }
        lock_directory(world, daemon);
        if let File::Whole(Saved { generation, freed, model }) = world.file {
            (daemon.generation, daemon.freed, daemon.model) = (generation, freed, model);
        }
        Step::Lock
    }

    fn lock(&self, world: &mut World, daemon: &mut Daemon) -> Step {
        if world.is_locked && self.locks_pins {
            return Step::Absent;
        }
        (world.is_locked, daemon.has_lock) = (true, true);
        Step::RenewLease
    }

    fn renew_at_start(&self, world: &mut World, daemon: &mut Daemon) -> Step {
        world.lease.has_passed = false;
        daemon.has_gap = world.lease.is_over || world.has_gap_mark;
        let clears = world.lease.is_over || !self.looks_before_renewal;
        world.has_gap_mark |= world.lease.is_over && self.marks_gap;
        if clears { Step::ClearLease } else { Step::OpenTables }
    }

    /// Removes what is half-written, and makes the directory of the own tables.
    fn open_tables(&self, world: &mut World, daemon: &mut Daemon) -> Step {
        for (id, table) in world.tables.iter_mut().enumerate() {
            match table.pins {
                Pins::None => {}
                Pins::Half => *table = Table::default(),
                Pins::Whole => daemon.previous.put(id),
            }
        }
        daemon.id = world.next_id;
        world.next_id += 1;
        let slot = Slot { is_free: true, ..Slot::default() };
        world.tables[daemon.id] = Table { pins: Pins::Half, slot, ..Table::default() };
        if self.describes_first { Step::Describe } else { Step::Swap(0) }
    }

    fn take_over(&self, world: &mut World, daemon: &mut Daemon) -> Step {
        let Daemon { generation, freed, previous, has_gap, .. } = *daemon;
        let forgets = has_gap && self.reports_gap;
        let model = &mut daemon.model;
        model.is_whole &= !forgets;
        for id in previous.iter() {
            if id < generation && self.skips_earlier {
                continue;
            }
            let table = &mut world.tables[id];
            // The events in the ring buffers.
            model.is_whole |= std::mem::take(&mut table.has_birth);
            model.is_whole &= !(forgets && self.forgets_after_events);
            let is_known = id == generation || !self.knows_generation;
            let freed = freed.filter(|_| is_known && self.knows_freed);
            let Slot { holder, counts, .. } = table.slot;
            if holder != 0 && freed.is_none_or(|freed| (freed.cgroup, freed.counts) != (holder, counts)) {
                let baseline = model.slot.filter(|_| is_known);
                self.add_slot(model, holder, counts, baseline.unwrap_or_default());
            }
            if !is_known {
                model.remainder = [0; PROBES];
            }
            add_remainder(model, table.remainder);
        }
        // `Model::hand_over_all` and `Model::begin_again`.
        (model.slot, model.remainder) = (None, [0; PROBES]);
        (daemon.generation, daemon.freed) = Default::default();
        daemon.first_with_gap = forgets.then_some(1);
        if self.saves_before_removal {
            Step::Running
        } else {
            let left = std::mem::take(&mut daemon.previous);
            Step::Remove { left, frees: false }
        }
    }

    /// `Model::apply_slot`.
    pub(crate) fn add_slot(
        &self,
        model: &mut Model,
        cgroup: usize,
        counts: [u8; PROBES],
        (before_of, before): (usize, [u8; PROBES]),
    ) {
        let is_same = before_of == cgroup || !self.compares_cgroup;
        let before = if is_same { before } else { [0; PROBES] };
        add(&mut model.totals[cgroup], since(counts, before));
    }
}

/// `Model::apply`: the remainder.
pub(crate) fn add_remainder(model: &mut Model, remainder: [u8; PROBES]) {
    add(&mut model.totals[0], since(remainder, model.remainder));
    model.remainder = remainder;
}

/// `store::directory::Directory::make`.
pub(crate) fn lock_directory(world: &mut World, daemon: &mut Daemon) {
    (world.has_directory, world.is_directory_locked, daemon.has_directory_lock) = (true, true, true);
}

/// The end of a process, in whatever step it is: its locks end.
pub(crate) fn end(world: &mut World, daemon: &mut Daemon) {
    world.is_locked &= !daemon.has_lock;
    world.is_directory_locked &= !daemon.has_directory_lock;
    *daemon = Daemon::default();
}

/// A start of the daemon.
pub(crate) fn start(world: &mut World, daemon: &mut Daemon, samples: u8) {
    world.left.starts -= 1;
    *daemon = Daemon { at: Step::ReadTotals, samples, ..Daemon::default() };
}

/// The tables that exist.
pub(crate) fn pinned(world: &World) -> Ids {
    let mut ids = Ids::default();
    (1..TABLES).filter(|&id| world.tables[id].pins != Pins::None).for_each(|id| ids.put(id));
    ids
}

/// Whether no program runs.
pub(crate) fn is_quiet(world: &World) -> bool {
    world.cpus.iter().all(|cpu| cpu.at == At::Outside)
}
