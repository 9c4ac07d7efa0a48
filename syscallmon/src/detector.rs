//! Judges calls: first ones at the moment when they are made, by the kernel's events, and repeats by the counters.
//!
//! Whatever the events miss, the counters tell at the next snapshot, without the process. A container whose name is not known yet waits for
//! it a little, since its name decides which policy it has.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    alert::Notice,
    kernel::FirstCall,
    model::News,
    policy::{Kind, Phase, Policies, Policy, Process, Told, Unexpected, Violation},
    process::{self, ProcessReader},
    state::State,
    syscalls::{CallId, CallTable},
    workload::{Directory, Label, Labels, Named, Naming, PATIENCE, Place, Workload, source::SourceName},
};

/// How long violations are kept after they were last seen.
const KEEP: Duration = Duration::from_hours(24);

/// Most first calls that wait for a name, of all containers and of one.
const MOST_WAITING: usize = 4096;
const MOST_WAITING_OF_ONE: usize = 256;

/// Processes that are asked for in a second, at most: of more, only what the kernel told is known.
const PROCESSES_PER_SECOND: u32 = 200;

/// A call that was made for the first time, or refused for the first time.
#[derive(Debug)]
pub struct First {
    call: CallId,
    number: u64,
    time: SystemTime,
    refused: bool,
    process: Process,
    is_partial: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Detector {
    policies: Arc<Policies>,
    /// Which policy each workload has, as long as what is known of it stays the same.
    watched: HashMap<Workload, Watched>,
    waiting: HashMap<Arc<Place>, Waiting>,
    processes: ProcessReader,
    /// The second that is going on, and how many processes were asked for in it.
    asked: (Instant, u32),
}

/// First calls of a container whose name is not known.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    calls: Vec<First>,
}

#[derive(Clone, Debug)]
struct Watched {
    about: Labels,
    policy: Option<Arc<Policy>>,
    /// Whose baseline it has, where its policy learns.
    kind: Option<Kind>,
}

/// Calls that are judged together.
struct Calls<'a> {
    named: &'a Named,
    call: CallId,
    comm: Option<&'a str>,
    is_partial: bool,
    time: SystemTime,
}

impl Detector {
    /// Judges by these policies.
    #[must_use]
    pub fn new(policies: Arc<Policies>, procfs: PathBuf) -> Self {
        Self {
            policies,
            watched: HashMap::new(),
            waiting: HashMap::new(),
            processes: ProcessReader::new(procfs),
            asked: (Instant::now(), 0),
        }
    }

    /// Whether which policy or baseline a workload has depends on what made its pod.
    #[must_use]
    pub fn uses_owner(&self) -> bool {
        let learns = self.policies.iter().any(|policy| policy.learn().is_some());
        learns || [Label::Owner, Label::OwnerKind].into_iter().any(|label| self.policies.look_at(label))
    }

    /// Asks, while it is there, who made a call that the workload's policy may not expect. `is_partial` says of its cgroup that it was there before
    /// it was watched.
    pub fn look_at(
        &mut self,
        named: &Named,
        call: &FirstCall,
        calls: &CallTable,
        time: SystemTime,
        is_partial: bool,
    ) -> First {
        let id = calls.position(call.abi, call.number);
        let may_object = match &named.workload {
            Workload::Named(_) => self.watched(named).policy.as_ref().is_some_and(|policy| policy.may_object(id)),
            Workload::Unresolved(_) => self.policies.iter().any(|policy| policy.may_object(id)),
            _ => false,
        };
        let process = process::of_event(call);
        let process = if may_object && self.may_ask() { self.processes.complete(process) } else { process };
        First { call: id, number: call.number, time, refused: call.denied, process, is_partial }
    }

    /// Whether another process may be asked for in this second.
    fn may_ask(&mut self) -> bool {
        let (begin, asked) = &mut self.asked;
        if begin.elapsed() >= Duration::from_secs(1) {
            (*begin, *asked) = (Instant::now(), 0);
        }
        *asked += 1;
        *asked <= PROCESSES_PER_SECOND
    }

    /// Judges a first call.
    pub fn first(&mut self, state: &mut State, naming: &Naming, named: &Named, first: First) {
        match &named.workload {
            Workload::Unresolved(place) if naming.waits(place) => {
                if let Some(waiting) = self.waiting_at(place) {
                    waiting.calls.push(first);
                }
            }
            workload if workload.is_one() => self.judge_first(state, named, first),
            _ => {}
        }
    }

    /// Whether first calls wait for names.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Where first calls of a container wait for its name; `None` where there are too many already.
    fn waiting_at(&mut self, place: &Arc<Place>) -> Option<&mut Waiting> {
        let all: usize = self.waiting.values().map(|waiting| waiting.calls.len()).sum();
        let waiting = self.waiting.entry(Arc::clone(place));
        let waiting = waiting.or_insert_with(|| Waiting { since: Instant::now(), calls: Vec::new() });
        (all < MOST_WAITING && waiting.calls.len() < MOST_WAITING_OF_ONE).then_some(waiting)
    }

    /// Judges first calls whose containers' names are known now, or are waited for no longer.
    pub fn named(&mut self, state: &mut State, naming: &Naming) {
        for (place, waiting) in std::mem::take(&mut self.waiting) {
            let named = naming.of_known(&place);
            let is_unknown = matches!(named.workload, Workload::Unresolved(_));
            if is_unknown && naming.waits(&place) && waiting.since.elapsed() < PATIENCE {
                self.waiting.insert(place, waiting);
            } else if named.workload.is_one() {
                waiting.calls.into_iter().for_each(|first| self.judge_first(state, &named, first));
            }
        }
    }

    fn judge_first(&mut self, state: &mut State, named: &Named, first: First) {
        let First { call, number, time, refused, process, is_partial } = first;
        let calls = Calls { named, call, comm: Some(&process.comm), is_partial, time };
        let Some(violation) = self.judge(state, &calls) else { return };
        let told = state
            .violations
            .first(Violation { number: Some(number), process: Some(process), refused, ..violation }, Instant::now());
        tell(state, told);
    }

    /// Judges what the counters tell.
    pub fn counted(&mut self, state: &mut State, news: &[News], now: SystemTime, is_partial: impl Fn(u64) -> bool) {
        for News { named, cgroup_id, before, calls, refused } in news {
            if before.as_ref().is_some_and(|before| self.is_judged_alike(before, named)) {
                continue;
            }
            let is_partial = is_partial(*cgroup_id);
            let calls = calls.iter().map(|(call, &count)| (call, count, false));
            let refused = refused.iter().map(|(call, &count)| (call, count, true));
            for (call, count, refused) in calls.chain(refused) {
                let calls = Calls { named, call, comm: None, is_partial, time: now };
                if let Some(violation) = self.judge(state, &calls) {
                    let told =
                        state.violations.counted(call, &Violation { count, refused, ..violation }, Instant::now());
                    tell(state, told);
                }
            }
        }
    }

    /// One call; what is wrong with it, if anything is. What is being learned is learned.
    fn judge(&mut self, state: &mut State, calls: &Calls<'_>) -> Option<Violation> {
        let &Calls { named, call, comm, is_partial, time } = calls;
        let Watched { about, policy, kind } = self.watched(named).clone();
        let policy = policy?;
        let kind = kind.filter(|_| is_owner_known(&state.directory, &about));
        let Unexpected { severity, reason } = match (policy.learn(), kind) {
            (None, _) => policy.judge(&about, call, None),
            (Some(_), None) => policy.judge_deny(&about, call),
            (Some(learn), Some(kind)) => {
                let State { baselines, calls, .. } = state;
                let baseline = baselines.begin_or_get(&kind, (policy.name(), *learn), time, is_partial);
                if baseline.is_some_and(|baseline| baseline.state == Phase::Guarding) {
                    policy.judge(&about, call, baselines.calls(&kind))
                } else {
                    let denied = policy.judge_deny(&about, call);
                    if denied.is_none() {
                        baselines.learn(&kind, call, calls, time, comm);
                    }
                    denied
                }
            }
        }?;
        Some(Violation {
            time,
            last_seen: time,
            count: 1,
            workload: named.workload.clone(),
            about,
            call: state.calls.call(call),
            number: None,
            refused: false,
            process: None,
            policy: Arc::clone(policy.name()),
            severity,
            reason,
            runtime_default_allows: self.policies.runtime_default_allows(call),
        })
    }

    fn watched(&mut self, named: &Named) -> &Watched {
        let Named { workload, about } = named;
        if self.watched.get(workload).is_none_or(|watched| watched.about != *about) {
            let policy = self.policies.of(about).cloned();
            let learns = policy.as_ref().is_some_and(|policy| policy.learn().is_some());
            // What has no name has no kind: it would be one of its own.
            let kind = (learns && matches!(workload, Workload::Named(_))).then(|| Kind::of(about)).flatten();
            self.watched.insert(workload.clone(), Watched { about: about.clone(), policy, kind });
        }
        &self.watched[workload]
    }

    /// Takes up other policies, lets learning go on, and forgets what is gone. To be called after each snapshot.
    pub fn tick(&mut self, state: &mut State, at: Instant, now: SystemTime) {
        if !Arc::ptr_eq(&self.policies, &state.policies) {
            self.policies = Arc::clone(&state.policies);
            self.watched.clear();
        }
        let State { model, directory, baselines, violations, .. } = state;
        self.watched.retain(|workload, _| model.has(workload));
        for (workload, watched) in &self.watched {
            if let Watched { policy: Some(policy), kind: Some(kind), about } = watched
                && let Some(learn) = policy.learn()
                && model.is_there(workload)
                && is_owner_known(directory, about)
            {
                // Whether it was there before was told with its first call.
                baselines.begin_or_get(kind, (policy.name(), *learn), now, true);
            }
        }
        for baseline in baselines.tick(at, now) {
            let (kind, calls) = (&baseline.kind, baseline.size());
            tracing::info!(%kind, calls, policy = %baseline.policy, "baseline is complete: other calls are unexpected from now on");
        }
        violations.forget(|workload| model.has(workload), at, KEEP);
    }

    /// Takes along what is known of workloads that have another name now, unless it gives them another policy: then they are judged anew.
    pub fn renamed(&mut self, state: &mut State, names: &HashMap<Workload, Named>) {
        for (from, to) in names {
            if to.workload.is_one() && self.is_judged_alike(from, to) {
                state.violations.rename(from, &to.workload);
            } else {
                state.violations.forget_all_of(from);
            }
        }
    }

    /// Whether a workload had the same policy under the name that it had before, and that does not learn by the name.
    fn is_judged_alike(&mut self, before: &Workload, named: &Named) -> bool {
        let old = self.watched.get(before).and_then(|watched| watched.policy.clone());
        let new = &self.watched(named).policy;
        let learns = new.as_ref().is_some_and(|policy| policy.learn().is_some());
        !learns && old.as_ref().map(|policy| policy.name()) == new.as_ref().map(|policy| policy.name())
    }
}

/// Whether what made a pod is known, as far as anybody knows it: before, its container is of another kind.
fn is_owner_known(directory: &Directory, about: &Labels) -> bool {
    let is_known = |uid: &Arc<str>| !directory.expects(SourceName::Kubernetes) || directory.knows_owner(uid);
    about.get(Label::Owner).is_some() || about.get(Label::PodUid).is_none_or(is_known)
}

fn tell(state: &State, told: Option<Told>) {
    if let Some(Told { violation, is_new }) = told {
        state.alerts.notify(Notice { violation, is_new });
    }
}
