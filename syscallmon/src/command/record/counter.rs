//! Counts the calls of one cgroup and its nested cgroups: baseline, phases, time windows, first calls.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::child::{WAITS_IN, Waiting};
use crate::{
    clock::monotonic_now,
    error_report::chain,
    kernel::{CgroupChange, EventRings, FirstCallEvent, Kernel, Options, Root},
    profile::RecordedCall,
    snapshot::{ArgumentKey, Counts, DeniedKey, ErrorKey, Losses},
    syscalls::{CallId, CallTable},
};

/// How long the command may take to enter its cgroup.
const ENTRY_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(1);

/// The counter.
pub(super) struct Counter {
    kernel: Kernel,
    calls: CallTable,
    cgroup: u64,
    /// Cgroups of the host that died since the last reading. Their slots are reclaimed, as others may need them.
    dead: Vec<u64>,
    begin: Duration,
    baseline: Reading,
    last: Arc<Counts>,
    /// The end of the start-up phase, and the counts until then.
    startup: Option<(Duration, Arc<Counts>)>,
    windows: BTreeMap<CallId, u32>,
    window_count: u32,
    first: BTreeMap<(CallId, bool), First>,
}

/// What the kernel had counted at one moment.
#[derive(Default)]
struct Reading {
    counts: Arc<Counts>,
    losses: Losses,
}

/// A first call.
struct First {
    after: Duration,
    thread: String,
}

/// Everything that was counted.
pub(super) struct Counted {
    pub(super) calls: BTreeMap<String, RecordedCall>,
    pub(super) lost: u64,
    pub(super) windows: u32,
    pub(super) startup: Option<Duration>,
}

impl Counter {
    /// Loads and attaches the programs. All cgroups below `cgroup` share its slot from the begin.
    pub(super) fn load(options: &Options, cgroup: u64) -> anyhow::Result<(Self, EventRings)> {
        let calls = CallTable::native();
        let (mut kernel, rings) =
            Kernel::load(options, &calls.kernel_tables(&BTreeSet::new(), options.features.arguments))?;
        for status in kernel.probes() {
            if let Some(problem) = &status.problem {
                tracing::warn!(probe = status.probe.name(), "{problem}");
            }
        }
        if !options.btf_path().exists() {
            tracing::warn!(
                "calls in nested cgroups, denied calls and 32-bit calls are missing: this kernel has no BTF"
            );
        }
        kernel.set_roots(&[(cgroup, Some(Root::OfAll))]).context("cannot mark the cgroup of the command")?;
        let (begin, last) = (Duration::ZERO, Arc::default());
        let (baseline, startup, first) = (Reading::default(), None, BTreeMap::new());
        let (dead, windows, window_count) = (Vec::new(), BTreeMap::new(), 0);
        let counter =
            Self { kernel, calls, cgroup, dead, begin, baseline, last, startup, windows, window_count, first };
        Ok((counter, rings))
    }

    /// Waits until the command waits in its cgroup, which then has a slot. What was counted until then is subtracted.
    pub(super) fn wait_for(&mut self, command: &Waiting) -> anyhow::Result<()> {
        let waits_in = self.calls.id(self.calls.native_abi(), WAITS_IN).context("the table of calls has no tee")?;
        let begin = Instant::now();
        while begin.elapsed() < ENTRY_TIMEOUT && !command.has_failed() {
            let reading = self.read();
            if reading.counts.calls.get(waits_in).is_some() {
                self.last = Arc::clone(&reading.counts);
                self.baseline = reading;
                return Ok(());
            }
            if self.kernel.are_slots_exhausted() {
                bail!("every cgroup slot is in use: raise --capacity.cgroups");
            }
            thread::sleep(PAUSE);
        }
        if command.has_failed() {
            bail!("cannot move the command into its cgroup");
        }
        bail!("calls of the command are not counted: if every series is in use, raise --capacity.series")
    }

    /// Notes the begin of the command.
    pub(super) fn begin(&mut self) {
        self.begin = monotonic_now();
    }

    /// Returns the time since the begin.
    pub(super) fn elapsed(&self) -> Duration {
        monotonic_now().saturating_sub(self.begin)
    }

    /// Notes first calls of the command, and deaths of cgroups.
    pub(super) fn note(&mut self, (calls, changes): (Vec<FirstCallEvent>, Vec<CgroupChange>)) {
        for call in calls.into_iter().filter(|call| call.cgroup_id == self.cgroup && call.monotonic >= self.begin) {
            let key = (self.calls.reported(call.abi, call.number, call.class), call.denied);
            let first = First { after: call.monotonic.saturating_sub(self.begin), thread: call.comm };
            self.first.entry(key).or_insert(first);
        }
        let died = changes.into_iter().filter_map(|change| match change {
            CgroupChange::Died { id } => Some(id),
            CgroupChange::Born { .. } => None,
        });
        self.dead.extend(died.filter(|&id| id != self.cgroup));
    }

    /// Ends the start-up phase.
    pub(super) fn end_startup(&mut self) {
        let counts = self.read().counts;
        self.last = Arc::clone(&counts);
        self.startup = Some((self.elapsed(), counts));
    }

    /// Reclaims slots only.
    pub(super) fn reclaim(&mut self) {
        self.read();
    }

    /// Ends a time window, and begins the next.
    pub(super) fn end_window(&mut self) {
        let counts = self.read().counts;
        self.end_window_at(counts);
    }

    fn end_window_at(&mut self, counts: Arc<Counts>) {
        let new = counts.since(&self.last);
        for (call, _) in made_and_classes(&new) {
            *self.windows.entry(call).or_default() += 1;
        }
        self.window_count += 1;
        self.last = counts;
    }

    /// Reads the last counts. `separates_phases` tells whether there is a start-up phase; all calls belong to it if it
    /// did not end.
    pub(super) fn finish(mut self, separates_phases: bool) -> Counted {
        let end = self.read();
        let in_startup = separates_phases && self.startup.is_none();
        if !in_startup {
            self.end_window_at(Arc::clone(&end.counts));
        }
        let all = end.counts.since(&self.baseline.counts);
        let startup = match &self.startup {
            Some((_, counts)) => counts.since(&self.baseline.counts),
            None if in_startup => all.clone(),
            None => Counts::default(),
        };
        let unnamed = all.denied.get(DeniedKey::Other).copied().unwrap_or(0);
        if all.errors.get(ErrorKey::Other).is_some() {
            tracing::warn!("errors of some calls are missing: raise --capacity.errors");
        }
        let has_all_classes = all.arguments.get(ArgumentKey::Other).is_none()
            && end.losses.arguments_full == self.baseline.losses.arguments_full;
        if !has_all_classes {
            tracing::warn!("classes of arguments are not recorded: there were too many, raise --capacity.series");
        }
        Counted {
            calls: self.recorded(&all, &startup, has_all_classes),
            lost: lost(&self.baseline.losses, &end.losses).saturating_add(unnamed),
            windows: self.window_count,
            startup: self.startup.as_ref().map(|(after, _)| *after),
        }
    }

    /// Returns what was recorded of each call, and of each class of arguments if all are known.
    fn recorded(&self, all: &Counts, startup: &Counts, has_all_classes: bool) -> BTreeMap<String, RecordedCall> {
        let mut recorded: BTreeMap<CallId, RecordedCall> = BTreeMap::new();
        let in_startup: BTreeMap<CallId, u64> = made_and_classes(startup).collect();
        let is_recorded = |id: CallId| has_all_classes || !self.calls.is_class(id);
        for (id, count) in made_and_classes(all).filter(|(id, _)| is_recorded(*id)) {
            let call = recorded.entry(id).or_default();
            call.startup = in_startup.get(&id).copied().unwrap_or(0);
            call.serving = count.saturating_sub(call.startup);
            call.windows = self.windows.get(&id).copied().unwrap_or(0);
        }
        for (key, &count) in all.denied.iter() {
            if let DeniedKey::Of(id) | DeniedKey::Unsupported(id) | DeniedKey::OfRuntime(id) = key {
                recorded.entry(id).or_default().denied += count;
            }
        }
        for (key, &count) in all.arguments.iter().filter(|_| has_all_classes) {
            if let ArgumentKey::Denied(class) = key {
                recorded.entry(class).or_default().denied += count;
            }
        }
        for (key, &count) in all.errors.iter() {
            if let ErrorKey::Of(id, errno) = key {
                *recorded.entry(id).or_default().errors.entry(errno.name().to_owned()).or_default() += count;
            }
        }
        let named = recorded.into_iter().map(|(id, mut call)| {
            // A denied call was not made.
            let is_denied_only = call.startup + call.serving == 0;
            if let Some(First { after, thread }) = self.first.get(&(id, is_denied_only)) {
                call.first_seconds = Some((after.as_secs_f64() * 1e6).round() / 1e6);
                call.thread = Some(thread.clone());
            }
            let name = self.calls.call(id);
            (format!("{}/{}", name.abi, name.syscall), call)
        });
        named.collect()
    }

    /// Reads the counts of the command. Reclaims the slots of dead cgroups of the host.
    fn read(&mut self) -> Reading {
        let dead: HashSet<u64> = self.dead.drain(..).collect();
        let dead: Vec<u64> = dead.into_iter().collect();
        let retired = if dead.is_empty() { Ok(Vec::new()) } else { self.kernel.retire(&dead) };
        let snapshot = self.kernel.snapshot();
        if let Err(error) = retired.and_then(|retired| self.kernel.free(&retired)) {
            tracing::warn!(error = chain(&error), "cannot free slots of dead cgroups");
        }
        let slot = snapshot.slots.into_iter().find(|slot| slot.cgroup_id == self.cgroup);
        Reading { counts: slot.map(|slot| slot.counts).unwrap_or_default(), losses: snapshot.losses }
    }
}

/// Returns the classes of arguments of calls that were made, with their number.
fn classes(counts: &Counts) -> impl Iterator<Item = (CallId, u64)> {
    counts.arguments.iter().filter_map(|(key, &count)| match key {
        ArgumentKey::Of(class) => Some((class, count)),
        ArgumentKey::Denied(_) | ArgumentKey::Other => None,
    })
}

/// Returns the calls that were made and the classes of their arguments, with their number.
fn made_and_classes(counts: &Counts) -> impl Iterator<Item = (CallId, u64)> {
    counts.calls.iter().map(|(id, &count)| (id, count)).chain(classes(counts))
}

/// Returns the number of calls that may be missing, from the losses of the whole host. The cgroup has a slot, so the
/// table of slots is never the reason.
fn lost(before: &Losses, after: &Losses) -> u64 {
    let losses = |losses: &Losses| {
        let skipped = [losses.recursion, losses.exit_recursion].map(Option::unwrap_or_default);
        [losses.series_full, losses.denied_full, losses.position, skipped[0], skipped[1]]
    };
    let new = losses(after).into_iter().zip(losses(before)).map(|(after, before)| after.saturating_sub(before));
    new.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_that_can_concern_the_command_add_up_since_the_begin() {
        let before = Losses { series_full: 5, recursion: Some(1), cgroups_full: 7, ..Losses::default() };
        assert_eq!(lost(&before, &before), 0);
        let after = Losses { series_full: 7, recursion: Some(4), cgroups_full: 9, first_call_events: 3, ..before };
        assert_eq!(lost(&before, &after), 5);
    }
}
