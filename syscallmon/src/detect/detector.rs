//! Judges calls. First calls are judged at the kernel's event, and repeats by the counters.
//!
//! Calls without an event are judged by the counters at the next snapshot, without the process. First calls of a
//! container without a name wait a little, because the name selects the policy. Critical calls are reported even for an
//! unknown cgroup.

mod anew;
mod incidents;
mod lasting;
mod lookups;
mod provisional;
#[cfg(test)]
mod tests;
mod unattributed;
mod usage;
mod waiting;
mod watched;

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::Notify;

use self::{
    lasting::Lasting,
    lookups::ProcessLookups,
    provisional::Provisional,
    usage::Usage,
    waiting::{Awaited, WaitingCall, WaitingCalls},
    watched::{Basis, WorkloadPolicy},
};
pub use self::{lasting::LastingDetection, usage::PolicyUsage};
use super::{Baselines, Incidents, Phase, Policies, Unexpected, Violation, Violations};
use crate::{
    cgroup::Tree,
    fair_share::Priority,
    kernel::FirstCallEvent,
    model::{Delta, Model},
    process::{self, CommandLines, Process},
    syscalls::{CallId, CallTable},
    workload::{
        CgroupIdentity, Label, Labels, MetadataCache, NAME_TIMEOUT, ResolvedWorkload, Workload, WorkloadResolver,
    },
};

/// How long violations are kept after they were last seen.
const KEEP: Duration = Duration::from_hours(24);

/// A first call, or the first denial of a call.
#[derive(Clone, Debug)]
pub struct FirstCall {
    cgroup_id: u64,
    call: CallId,
    number: u64,
    time: SystemTime,
    denied: bool,
    process: Process,
    is_partial: bool,
}

/// Judges calls, and keeps the policies, baselines and violations.
#[derive(Debug)]
pub struct Detector {
    policies: Arc<Policies>,
    baselines: Baselines,
    violations: Violations,
    incidents: Incidents,
    /// Whether a violation was recorded since [`Self::take_recorded`].
    has_recorded: bool,
    calls: Arc<CallTable>,
    cache: MetadataCache,
    /// The policy of each workload, valid while its metadata stay the same.
    watched: HashMap<Workload, WorkloadPolicy>,
    /// The generation of `cache` at the last tick.
    generation: u64,
    waiting: WaitingCalls,
    provisional: Provisional,
    /// Whether all cgroups of the host are visible, so that an invisible one is reported.
    sees_all: bool,
    /// Whether the kernel side counts classes of arguments.
    knows_arguments: bool,
    lookups: ProcessLookups,
    usage: Usage,
    lasting: Lasting,
}

/// First calls that are judged together.
struct Calls<'a> {
    named: &'a ResolvedWorkload,
    call: CallId,
    comm: Option<&'a str>,
    is_partial: bool,
    time: SystemTime,
}

impl Detector {
    /// Returns a detector with these policies and baselines.
    #[must_use]
    pub fn new(
        (policies, baselines): (Arc<Policies>, Baselines),
        calls: Arc<CallTable>,
        cache: MetadataCache,
        (procfs, command_lines): (PathBuf, CommandLines),
    ) -> Self {
        Self {
            policies,
            baselines,
            violations: Violations::default(),
            incidents: Incidents::default(),
            has_recorded: false,
            calls,
            cache,
            watched: HashMap::new(),
            generation: 0,
            waiting: WaitingCalls::new(),
            provisional: Provisional::new(),
            sees_all: false,
            knows_arguments: false,
            lookups: ProcessLookups::new(procfs, command_lines),
            usage: Usage::new(),
            lasting: Lasting::default(),
        }
    }

    /// Whether the policy or baseline of a workload depends on the owner of its pod.
    #[must_use]
    pub fn uses_owner(&self) -> bool {
        let learns = self.policies.iter().any(|policy| policy.learn().is_some());
        learns || [Label::Owner, Label::OwnerKind].into_iter().any(|label| self.policies.look_at(label))
    }

    /// Accepts a first call. If the workload's policy may not expect it, `/proc` is asked about the process first;
    /// [`Self::answered`] judges the call later, and `None` is returned. `is_partial`: the cgroup existed before the
    /// daemon watched it.
    pub fn look_at(
        &mut self,
        named: &ResolvedWorkload,
        call: &FirstCallEvent,
        time: SystemTime,
        is_partial: bool,
    ) -> Option<FirstCall> {
        let id = self.calls.reported(call.abi, call.number, call.class);
        let may_object = match &named.workload {
            Workload::Resolved(_) | Workload::Pause => {
                self.policies.of(&named.metadata).is_some_and(|policy| policy.may_object(id))
            }
            Workload::Unresolved(_) => self.policies.iter().any(|policy| policy.may_object(id)),
            Workload::Unknown => self.policies.iter().any(|policy| policy.may_object(id)),
            Workload::Remainder | Workload::Gone | Workload::Dropped => false,
        };
        let process = process::of_event(call);
        let first = FirstCall {
            cgroup_id: call.cgroup_id,
            call: id,
            number: call.number,
            time,
            denied: call.denied,
            process,
            is_partial,
        };
        let may_object = may_object && !self.is_judged_by_arguments(id);
        if may_object { self.lookups.ask(named, first) } else { Some(first) }
    }

    /// Returns what is notified of results for [`Self::answered`].
    #[must_use]
    pub fn answers(&self) -> Arc<Notify> {
        self.lookups.answered()
    }

    /// Returns the latest time for calling [`Self::answered`].
    #[must_use]
    pub fn answer_deadline(&self) -> Option<Instant> {
        self.lookups.deadline()
    }

    /// Takes first calls with a finished process look-up. With a time to wait, it takes all first calls, because calls
    /// that are counted next must not be reported without their process.
    #[must_use]
    pub fn answered(&mut self, max_wait: Option<Duration>) -> VecDeque<(ResolvedWorkload, FirstCall)> {
        self.lookups.take(max_wait)
    }

    /// Judges first calls from [`Self::answered`].
    pub fn judge_answered(&mut self, resolver: &WorkloadResolver, answered: VecDeque<(ResolvedWorkload, FirstCall)>) {
        for (mut named, first) in answered {
            if let Workload::Unresolved(identity) = &named.workload {
                // The name may have arrived meanwhile.
                named = resolver.of_known(identity);
            }
            self.first(resolver, &named, first);
        }
    }

    /// Replaces the policies.
    pub fn set_policies(&mut self, policies: Arc<Policies>) {
        for (workload, watched) in &mut self.watched {
            watched.reload(workload, &policies);
        }
        self.usage.reload(&policies);
        self.policies = policies;
    }

    /// Returns the policies in force.
    #[must_use]
    pub fn policies(&self) -> &Arc<Policies> {
        &self.policies
    }

    /// Returns the baselines.
    #[must_use]
    pub fn baselines(&self) -> &Baselines {
        &self.baselines
    }

    /// Returns the baselines for changes.
    pub fn baselines_mut(&mut self) -> &mut Baselines {
        &mut self.baselines
    }

    /// Returns the violations.
    #[must_use]
    pub fn violations(&self) -> &Violations {
        &self.violations
    }

    /// Sets whether all cgroups of the host are visible.
    pub fn sees_all_cgroups(&mut self, sees_all: bool) {
        self.sees_all = sees_all;
    }

    /// Sets whether classes of arguments are counted. Otherwise policies judge calls by their number.
    pub fn knows_arguments(&mut self, knows: bool) {
        self.knows_arguments = knows;
    }

    /// Whether a call is judged by the classes of its arguments only.
    #[must_use]
    pub fn is_judged_by_arguments(&self, call: CallId) -> bool {
        self.knows_arguments && self.calls.is_always_classed(call)
    }

    /// Judges a first call, unless more metadata of its workload are expected soon.
    pub fn first(&mut self, resolver: &WorkloadResolver, named: &ResolvedWorkload, first: FirstCall) {
        match &named.workload {
            Workload::Unresolved(identity) if resolver.waits(identity) => {
                self.wait(resolver, Awaited::Name(Arc::clone(identity)), first);
            }
            Workload::Unknown => self.wait(resolver, Awaited::Path(first.cgroup_id), first),
            workload if workload.is_judged() => self.judge_first(named, first),
            _ => {}
        }
    }

    fn wait(&mut self, resolver: &WorkloadResolver, awaited: Awaited, first: FirstCall) {
        let severity = self.policies.worst_severity(first.call).map_or(Priority::Low, Priority::from);
        for WaitingCall { awaited, first, .. } in self.waiting.push(awaited, first, severity) {
            let named = match awaited {
                Awaited::Name(identity) => resolver.of_known(&identity),
                Awaited::Path(id) => unknown(id),
            };
            self.judge_first(&named, first);
        }
    }

    /// Whether first calls wait for names.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns cgroups without a known path that made first calls.
    pub fn without_path(&self) -> impl Iterator<Item = u64> {
        self.waiting.cgroups()
    }

    /// Judges first calls of cgroups that have a path now, and of cgroups that are known to have none.
    pub fn judge_found(&mut self, resolver: &mut WorkloadResolver, tree: &Tree) {
        let is_found = |awaited: &Awaited, age| match awaited {
            Awaited::Path(id) => tree.knows(*id) || age >= NAME_TIMEOUT,
            Awaited::Name(_) => false,
        };
        for WaitingCall { first, .. } in self.waiting.take(is_found) {
            match tree.path(first.cgroup_id) {
                Some(path) => {
                    let named = resolver.name(first.cgroup_id, path).clone();
                    self.first(resolver, &named, first);
                }
                None => self.judge_first(&unknown(first.cgroup_id), first),
            }
        }
    }

    /// Judges first calls of containers that have a name now, or have waited long enough.
    pub fn judge_named(&mut self, resolver: &WorkloadResolver) {
        let mut known: HashMap<Arc<CgroupIdentity>, ResolvedWorkload> = HashMap::new();
        let ready = self.waiting.take(|awaited, age| {
            let Awaited::Name(identity) = awaited else { return false };
            let named = known.entry(Arc::clone(identity)).or_insert_with(|| resolver.of_known(identity));
            let is_unknown = matches!(named.workload, Workload::Unresolved(_));
            !is_unknown || !resolver.waits(identity) || age >= NAME_TIMEOUT
        });
        for WaitingCall { awaited, first, .. } in ready {
            if let Awaited::Name(identity) = awaited
                && let Some(named) = known.get(&identity).filter(|named| named.workload.is_judged())
            {
                self.judge_first(named, first);
            }
        }
    }

    fn judge_first(&mut self, named: &ResolvedWorkload, first: FirstCall) {
        if self.is_provisional(named) {
            let priority = self.policies.worst_severity(first.call).map_or(Priority::Low, Priority::from);
            self.provisional.keep(named, &first, priority);
        }
        let FirstCall { call, number, time, denied, process, is_partial, .. } = first;
        let calls = Calls { named, call, comm: Some(&process.comm), is_partial, time };
        let Some(violation) = self.judge(&calls) else { return };
        let violation = Violation { number: Some(number), process: Some(process), denied, ..violation };
        let recorded = self.violations.first(violation, Instant::now());
        self.join_incident(recorded);
    }

    /// Whether more metadata may change the policy or baseline of a workload.
    fn is_provisional(&mut self, named: &ResolvedWorkload) -> bool {
        match &named.workload {
            Workload::Unresolved(_) => true,
            Workload::Resolved(_) => {
                let watched = self.watch(named);
                !watched.has_owner || watched.judged_by.as_ref().is_some_and(watched::JudgedBy::is_without_baseline)
            }
            _ => false,
        }
    }

    /// Judges calls by the counters.
    pub fn judge_counted(&mut self, deltas: &[Delta], now: SystemTime, is_partial: impl Fn(u64) -> bool) {
        for Delta { named, cgroup_id, before, calls, denied } in deltas {
            if before.as_ref().is_some_and(|before| self.is_judged_alike(before, named)) {
                continue;
            }
            let is_partial = is_partial(*cgroup_id);
            let named = &if named.workload == Workload::Unknown { unknown(*cgroup_id) } else { named.clone() };
            let calls = calls.iter().map(|(call, &count)| (call, count, false));
            let denied = denied.iter().map(|(call, &count)| (call, count, true));
            for (call, count, denied) in calls.chain(denied) {
                let calls = Calls { named, call, comm: None, is_partial, time: now };
                if let Some(violation) = self.judge(&calls) {
                    let violation = Violation { count, denied, ..violation };
                    let recorded = self.violations.counted(call, &violation, Instant::now());
                    self.join_incident(recorded);
                }
            }
        }
    }

    /// Judges one call, and learns it where its policy learns. Returns the offense, if there is one.
    fn judge(&mut self, calls: &Calls<'_>) -> Option<Violation> {
        let &Calls { named, call, time, .. } = calls;
        let is_judged_by_arguments = self.is_judged_by_arguments(call);
        if matches!(named.workload, Workload::Unknown | Workload::Remainder) {
            return if is_judged_by_arguments { None } else { self.judge_unattributed(calls) };
        }
        let watched = self.watch(named).clone();
        if let Some(policy) = &watched.policy {
            self.usage.note(policy, call);
        }
        if is_judged_by_arguments {
            return None;
        }
        let (found, basis) = self.verdict(&watched, calls);
        let judged_by = watched.judged_by(basis);
        if let Some(watched) = self.watched.get_mut(&named.workload) {
            watched.judged_by.get_or_insert(judged_by);
        }
        let (Unexpected { severity, reason }, policy) = found?;
        let metadata = watched.metadata;
        Some(Violation {
            time,
            last_seen: time,
            count: 1,
            workload: named.workload.clone(),
            metadata,
            call: self.calls.call(call),
            number: None,
            denied: false,
            process: None,
            policy,
            severity,
            reason,
            runtime_default_allows: self.policies.runtime_default_allows(call),
        })
    }

    /// Returns whether a call is unexpected, by which policy, and why.
    fn verdict(&mut self, watched: &WorkloadPolicy, calls: &Calls<'_>) -> (Option<(Unexpected, Arc<str>)>, Basis) {
        let &Calls { call, comm, is_partial, time, .. } = calls;
        let Some(policy) = &watched.policy else { return (None, Basis::Lists) };
        let (metadata, by_policy) = (&watched.metadata, |unexpected| (unexpected, Arc::clone(policy.name())));
        let Some(learn) = policy.learn() else {
            return (policy.judge(metadata, call, None).map(by_policy), Basis::Lists);
        };
        let Self { baselines, calls, policies, .. } = self;
        let baseline = watched.certain_key().and_then(|key| {
            baselines.hand_over(key, policy.name(), |name| policies.learns(name));
            let baseline = baselines.begin_or_get(key, (policy.name(), *learn), time, is_partial)?;
            Some((key, baseline))
        });
        let without = || (policies.judge_unlearned(policy, metadata, call), Basis::NoBaseline);
        let Some((key, baseline)) = baseline else { return without() };
        // A sibling of a learned call is not enough for a critical call.
        let learned = if policy.is_critical(call) { baseline.calls() } else { baseline.expected() };
        let found = if baseline.state == Phase::Guarding {
            policy.judge(metadata, call, Some(learned))
        } else {
            let found = policies.judge_while_learning(policy, metadata, call, learned);
            if found.is_none() {
                baselines.learn(key, call, calls, time, comm);
            }
            found
        };
        (found.map(by_policy), Basis::of(baselines.edition(key)))
    }

    /// Applies changed policies, advances learning, and removes old state. Must be called after each snapshot.
    pub fn tick(&mut self, model: &Model, at: Instant, now: SystemTime) {
        self.apply_facts(model, now);
        self.update_usage(model);
        for baseline in self.baselines.tick(at, now) {
            let (kind, calls) = (&baseline.kind, baseline.size());
            tracing::info!(%kind, calls, policy = %baseline.policy, "baseline complete; it guards from now on");
        }
        self.violations.forget(|workload| model.has(workload), at, KEEP);
        self.incidents.tick(at, KEEP);
    }
}

/// Stands for a cgroup with an unknown path.
fn unknown(cgroup_id: u64) -> ResolvedWorkload {
    // No path looks like this.
    let metadata = Labels::new([(Label::Cgroup, format!("(id {cgroup_id})").into())]);
    ResolvedWorkload { workload: Workload::Unknown, metadata }
}
