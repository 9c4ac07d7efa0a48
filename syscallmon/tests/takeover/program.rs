//! The steps of the kernel side. `tests/slots` has the steps inside `count::count`; here, it is one step.

use crate::{
    Scenario,
    state::{At, BORN, CPUS, Cgroup, Cpu, ENDING, Id, World},
};

/// An event of the host, or a step of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostAction {
    /// A task makes a call, and the dispatcher reads lease and entry.
    Call { cgroup: Cgroup, probe: usize },
    /// A program runs its next step.
    Program { cpu: usize, at: At },
    /// A cgroup is born. No task is in it before the event is in the ring buffer.
    Birth,
    /// A cgroup without tasks is removed.
    End,
    /// The time of the lease passes.
    Pass,
    /// A thread ends after the time of the lease, and `dispatch::lease` reads it.
    ThreadEnds,
}

impl Scenario {
    /// The possible next events.
    pub(crate) fn host_actions(&self, world: &World, actions: &mut Vec<HostAction>) {
        let free_cpu = world.cpus.iter().any(|cpu| cpu.at == At::Outside);
        if free_cpu && world.left.calls > 0 {
            let cgroups = [ENDING, BORN].into_iter().filter(|&cgroup| is_there(world, cgroup));
            let probes = (0..self.probes).filter(|&probe| world.entries[probe] != 0);
            actions
                .extend(cgroups.flat_map(|cgroup| probes.clone().map(move |probe| HostAction::Call { cgroup, probe })));
        }
        for (number, cpu) in world.cpus.iter().enumerate() {
            let is_same = number > 0 && world.cpus[number - 1] == *cpu;
            if cpu.at != At::Outside && !is_same {
                actions.push(HostAction::Program { cpu: number, at: cpu.at });
            }
        }
        let runs = |of| world.cpus.iter().any(|cpu| matches!(cpu.at, At::Count { cgroup, .. } if cgroup == of));
        let is_counted = world.entries[0] != 0;
        actions.extend((!world.is_born && is_counted).then_some(HostAction::Birth));
        let may_end = self.has_ends && !world.has_ended && is_counted && !runs(ENDING);
        actions.extend(may_end.then_some(HostAction::End));
        let lease = world.lease;
        actions.extend((world.left.ends > 0 && !lease.has_passed && is_counted).then_some(HostAction::Pass));
        let is_ending = world.cpus.iter().any(|cpu| cpu.at == At::EndLease);
        let may_end = lease.has_passed && !lease.is_over && !is_ending && free_cpu;
        actions.extend(may_end.then_some(HostAction::ThreadEnds));
    }

    pub(crate) fn happen(world: &mut World, action: HostAction) {
        match action {
            HostAction::Call { cgroup, probe } => call(world, cgroup, probe),
            HostAction::Program { cpu, at } => {
                world.cpus[cpu] = Cpu::default();
                match at {
                    At::Outside => {}
                    At::Count { cgroup, probe, id } => count(world, cgroup, probe, id),
                    At::EndLease => world.lease.is_over = true,
                }
            }
            HostAction::Birth => {
                world.is_born = true;
                // `cgroup_mkdir` has a dispatcher too.
                world.tables[world.entries[0]].has_birth |= !world.lease.is_over;
            }
            HostAction::End => world.has_ended = true,
            HostAction::Pass => {
                world.left.ends -= 1;
                world.lease.has_passed = true;
            }
            HostAction::ThreadEnds => run(world, At::EndLease),
        }
        world.cpus.sort_unstable();
    }
}

/// Whether a cgroup can have tasks.
fn is_there(world: &World, cgroup: Cgroup) -> bool {
    match cgroup {
        ENDING => !world.has_ended,
        BORN => world.is_born,
        _ => false,
    }
}

/// Runs a program on a free CPU.
fn run(world: &mut World, at: At) {
    if let Some(cpu) = world.cpus.iter_mut().find(|cpu| cpu.at == At::Outside) {
        cpu.at = at;
    }
}

/// A dispatcher of `dispatch.rs`: looks at the lease, and jumps to the program in its entry.
fn call(world: &mut World, cgroup: Cgroup, probe: usize) {
    world.left.calls -= 1;
    if world.lease.is_over {
        world.has_missed |= cgroup == BORN;
    } else {
        run(world, At::Count { cgroup, probe, id: world.entries[probe] });
    }
}

/// `count::count`: finds or takes the slot, and counts there or in the remainder.
fn count(world: &mut World, cgroup: Cgroup, probe: usize, id: Id) {
    let table = &mut world.tables[id];
    let slot = &mut table.slot;
    if slot.is_free {
        (slot.is_free, slot.holder, slot.is_found) = (false, cgroup, true);
    }
    if slot.is_found && slot.holder == cgroup {
        slot.counts[probe] += 1;
        world.made[cgroup][probe] += 1;
    } else {
        table.remainder[probe] += 1;
        world.made[0][probe] += 1;
    }
}

/// `kernel::wait_for_programs`: marks the programs that run now.
pub(crate) fn wait(cpus: &mut [Cpu; CPUS]) {
    for cpu in cpus {
        cpu.is_awaited = cpu.at != At::Outside;
    }
}
