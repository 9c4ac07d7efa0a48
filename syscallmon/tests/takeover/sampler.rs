//! The steps of a daemon that samples, saves its totals, and removes and frees what they contain.

use crate::{
    Scenario,
    daemon::{add_remainder, lock_directory},
    state::{CGROUPS, Daemon, ENDING, File, FreeStep, Ids, PROBES, Pins, Retired, Saved, Slot, Step, Table, World},
};

impl Scenario {
    /// `Sampler::sample`. `stops`: the last one, after which the pins are dropped.
    pub(crate) fn sample(&self, world: &mut World, daemon: &mut Daemon, stops: bool) {
        let table = &mut world.tables[daemon.id];
        daemon.model.is_whole |= std::mem::take(&mut table.has_birth);
        let slot = &mut table.slot;
        // `Tables::retire`. No program runs for a cgroup without tasks.
        let retires = world.has_ended && slot.is_found && slot.holder == ENDING;
        slot.is_found &= !retires;
        let Slot { holder, counts, .. } = *slot;
        let remainder = table.remainder;
        if holder != 0 && daemon.retired.is_none() {
            let before = daemon.model.slot.replace((holder, counts)).unwrap_or_default();
            self.add_slot(&mut daemon.model, holder, counts, before);
        }
        add_remainder(&mut daemon.model, remainder);
        if retires {
            daemon.model.slot = None;
            daemon.retired = Some((daemon.number + 1, Retired { cgroup: holder, counts }));
        }
        self.publish(world, daemon);
        self.renew_lease(world, daemon);
        Self::save(daemon);
        if !self.frees_after_save && daemon.retired.take().is_some() {
            daemon.at = Step::Free(self.free_steps()[0]);
        }
        if stops {
            world.is_locked = false;
            (daemon.has_lock, daemon.at) = (false, Step::Ending);
        }
    }

    /// `Publisher::publish`.
    fn publish(&self, world: &mut World, daemon: &Daemon) {
        if !self.publishes {
            return;
        }
        let (before, now) = (world.published, daemon.model.totals);
        // A failed save is said to lose calls of cgroups that end.
        let first = if world.has_failed && world.has_ended { ENDING + 1 } else { 0 };
        world.has_fallen |=
            (first..CGROUPS).any(|cgroup| (0..PROBES).any(|probe| now[cgroup][probe] < before[cgroup][probe]));
        world.published = now;
    }

    /// `Kernel::renew_lease`, as `Sampler::save` uses it.
    fn renew_lease(&self, world: &mut World, daemon: &mut Daemon) {
        world.lease.has_passed = false;
        if world.lease.is_over && self.looks_before_renewal {
            world.has_gap_mark |= self.marks_gap;
            daemon.model.is_whole = false;
            daemon.first_with_gap = Some(daemon.number + 1);
        }
        world.lease.is_over = false;
    }

    /// `Sampler::save`: hands the state over to the saver, which takes the newest one.
    fn save(daemon: &mut Daemon) {
        daemon.number += 1;
        let saved =
            Saved { generation: daemon.id, freed: daemon.retired.map(|(_, retired)| retired), model: daemon.model };
        daemon.newest = Some((daemon.number, saved));
    }

    /// `TotalsSaver::write`, and `TotalsFile::write` by `file::replace_without_sync`.
    pub(crate) fn write(&self, world: &mut World, daemon: &mut Daemon, fails: bool) {
        let Some((number, saved)) = daemon.newest else { return };
        if !daemon.has_directory_lock {
            if world.is_directory_locked {
                (daemon.newest, daemon.answer) = (None, Some((number, false)));
                return;
            }
            lock_directory(world, daemon);
        }
        if fails {
            world.left.failures -= 1;
            world.has_failed = true;
        } else if !self.renames && world.file != File::Cut {
            world.file = File::Cut;
            return;
        } else {
            world.file = File::Whole(saved);
        }
        (daemon.newest, daemon.answer) = (None, Some((number, !fails)));
    }

    /// `Sampler::saved`.
    pub(crate) fn saved(&self, world: &mut World, daemon: &mut Daemon) {
        let Some((number, is_saved)) = daemon.answer.take() else { return };
        let is_in = |first: u8| first <= number || !self.compares_numbers;
        let frees = daemon.retired.is_some_and(|(first, _)| is_in(first));
        if frees {
            daemon.retired = None;
        }
        if is_saved && daemon.first_with_gap.is_some_and(is_in) {
            (daemon.first_with_gap, world.has_gap_mark) = (None, false);
        }
        let left = if is_saved { std::mem::take(&mut daemon.previous) } else { Ids::default() };
        daemon.at = self.after_removal(left, frees);
    }

    /// `directory::remove_tables`: first the description, then the rest.
    pub(crate) fn remove(&self, world: &mut World, mut left: Ids, frees: bool) -> Step {
        if let Some(id) = left.iter().next() {
            let table = &mut world.tables[id];
            if table.pins == Pins::Whole {
                table.pins = Pins::Half;
            } else {
                *table = Table::default();
                left.remove(id);
            }
        }
        self.after_removal(left, frees)
    }

    /// The kernel does not remove the first of these tables.
    pub(crate) fn refuse(&self, world: &mut World, daemon: &mut Daemon, mut left: Ids, frees: bool) {
        world.left.refusals -= 1;
        if let Some(id) = left.iter().next() {
            left.remove(id);
        }
        daemon.at = self.after_removal(left, frees);
    }

    fn after_removal(&self, left: Ids, frees: bool) -> Step {
        if left.iter().next().is_some() {
            Step::Remove { left, frees }
        } else if frees {
            Step::Free(self.free_steps()[0])
        } else {
            Step::Running
        }
    }

    /// The order of `Tables::free`.
    fn free_steps(&self) -> [FreeStep; PROBES + 2] {
        let (holder, back) = (FreeStep::Holder, FreeStep::GiveBack);
        if self.clears_holder_first {
            [holder, FreeStep::Series(0), FreeStep::Series(1), back]
        } else {
            [FreeStep::Series(0), FreeStep::Series(1), holder, back]
        }
    }

    /// `Tables::free`.
    pub(crate) fn free(&self, world: &mut World, daemon: &mut Daemon, step: FreeStep) -> Step {
        let slot = &mut world.tables[daemon.id].slot;
        match step {
            FreeStep::Holder => slot.holder = 0,
            FreeStep::Series(probe) => slot.counts[probe] = 0,
            FreeStep::GiveBack => slot.is_free = true,
        }
        let steps = self.free_steps();
        let next = steps.iter().skip_while(|&&other| other != step).nth(1);
        next.map_or(Step::Running, |&next| Step::Free(next))
    }
}
