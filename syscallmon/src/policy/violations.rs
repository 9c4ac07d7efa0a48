//! The calls that nobody expected, of all workloads: how often each was made, and the newest with what is known of them.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Severity, Violation};
use crate::{
    syscalls::{Call, CallId},
    workload::Workload,
};

/// Most violations that are kept, of all workloads, and of one workload and severity: who makes every call there is hides nobody else's, nor a bad
/// one behind many others.
const MOST: usize = 4096;
const MOST_OF_ONE: usize = 256;

/// What was seen within so long gives no room to others, so that they do not push each other out all the time.
const FRESH: Duration = Duration::from_mins(1);

/// What is counted, as the labels of `syscallmon_unexpected_syscalls_total` name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    /// Who.
    pub workload: Workload,
    /// What.
    pub call: CallId,
    /// Which policy did not expect it.
    pub policy: Arc<str>,
    /// How bad that is.
    pub severity: Severity,
}

type Share = (Workload, Severity);

/// What makes two calls one violation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    workload: Workload,
    policy: Arc<str>,
    call: Call,
    refused: bool,
}

#[derive(Debug)]
struct Kept {
    violation: Violation,
    /// How many of its calls the counters have told.
    counted: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Violations {
    counts: BTreeMap<Counted, u64>,
    kept: HashMap<Key, Kept>,
    /// How many are kept of each workload and severity.
    shares: HashMap<Share, usize>,
    dropped: u64,
}

/// What there is to tell of a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// As it is now.
    pub violation: Violation,
    /// Whether it was not there before.
    pub is_new: bool,
}

impl Violations {
    /// Takes up a call that the kernel told of at once. `None` if it is one of a violation that is known, unless another container of the workload
    /// has made it.
    pub fn first(&mut self, violation: Violation) -> Option<Told> {
        if let Some(kept) = self.kept.get_mut(&Key::of(&violation)) {
            let known = &mut kept.violation;
            known.last_seen = known.last_seen.max(violation.last_seen);
            let is_another = known.about != violation.about;
            if known.process.is_none() || is_another {
                (known.process, known.number, known.about) = (violation.process, violation.number, violation.about);
            }
            return is_another.then(|| Told { violation: known.clone(), is_new: false });
        }
        self.keep(violation, 0)
    }

    /// Takes up calls that the counters tell of; as many as its `count` says. `None` if nobody needs to know more than before.
    pub fn counted(&mut self, call: CallId, violation: &Violation) -> Option<Told> {
        let Violation { workload, policy, severity, count: new, .. } = violation;
        let counted = Counted { workload: workload.clone(), call, policy: Arc::clone(policy), severity: *severity };
        *self.counts.entry(counted).or_default() += new;
        let Some(kept) = self.kept.get_mut(&Key::of(violation)) else { return self.keep(violation.clone(), *new) };
        kept.counted += new;
        kept.violation.last_seen = kept.violation.last_seen.max(violation.last_seen);
        // The first one was told of when it was made.
        let is_more = kept.counted > kept.violation.count;
        kept.violation.count = kept.counted.max(1);
        is_more.then(|| Told { violation: kept.violation.clone(), is_new: false })
    }

    fn keep(&mut self, violation: Violation, counted: u64) -> Option<Told> {
        let share = (violation.workload.clone(), violation.severity);
        let has_its_share = self.shares.get(&share).copied().unwrap_or_default() >= MOST_OF_ONE;
        if has_its_share || (self.kept.len() >= MOST && !self.drop_oldest(violation.last_seen)) {
            self.dropped += 1;
            return None;
        }
        *self.shares.entry(share).or_default() += 1;
        self.kept.insert(Key::of(&violation), Kept { violation: violation.clone(), counted });
        Some(Told { violation, is_new: true })
    }

    /// Makes room: of the workload that has the most of one severity, what has not happened for the longest. Whether it could.
    fn drop_oldest(&mut self, now: SystemTime) -> bool {
        let Some((workload, severity)) = self.shares.iter().max_by_key(|(_, kept)| **kept).map(|(share, _)| share)
        else {
            return false;
        };
        let of_it = |violation: &Violation| violation.workload == *workload && violation.severity == *severity;
        let kept = self.kept.iter().filter(|(_, kept)| of_it(&kept.violation));
        let oldest = kept.min_by_key(|(_, kept)| kept.violation.last_seen);
        let is_fresh = |kept: &Kept| now.duration_since(kept.violation.last_seen).is_ok_and(|age| age < FRESH);
        let Some(key) = oldest.filter(|(_, kept)| !is_fresh(kept)).map(|(key, _)| key.clone()) else { return false };
        self.remove(&key);
        self.dropped += 1;
        true
    }

    fn remove(&mut self, key: &Key) -> Option<Kept> {
        let kept = self.kept.remove(key)?;
        let share = (kept.violation.workload.clone(), kept.violation.severity);
        if let Entry::Occupied(mut entry) = self.shares.entry(share) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
        Some(kept)
    }

    /// Gives a workload its name.
    pub fn rename(&mut self, from: &Workload, to: &Workload) {
        for (mut counted, count) in self.take_counts(from) {
            counted.workload = to.clone();
            *self.counts.entry(counted).or_default() += count;
        }
        for key in self.keys_of(from) {
            let Some(mut kept) = self.remove(&key) else { continue };
            kept.violation.workload = to.clone();
            if let Entry::Vacant(entry) = self.kept.entry(Key { workload: to.clone(), ..key }) {
                *self.shares.entry((to.clone(), kept.violation.severity)).or_default() += 1;
                entry.insert(kept);
            }
        }
    }

    /// Forgets all of a workload: another policy is to judge it.
    pub fn forget_all_of(&mut self, workload: &Workload) {
        self.take_counts(workload);
        for key in self.keys_of(workload) {
            self.remove(&key);
        }
    }

    fn take_counts(&mut self, workload: &Workload) -> Vec<(Counted, u64)> {
        let (of_it, others) =
            std::mem::take(&mut self.counts).into_iter().partition(|(counted, _)| counted.workload == *workload);
        self.counts = others;
        let of_it: BTreeMap<Counted, u64> = of_it;
        of_it.into_iter().collect()
    }

    fn keys_of(&self, workload: &Workload) -> Vec<Key> {
        self.kept.keys().filter(|key| key.workload == *workload).cloned().collect()
    }

    /// Forgets the counts of workloads that are not there any more, and violations that were last seen before `oldest`.
    pub fn forget(&mut self, is_there: impl Fn(&Workload) -> bool, oldest: SystemTime) {
        self.counts.retain(|counted, _| is_there(&counted.workload));
        let old: Vec<Key> = self
            .kept
            .iter()
            .filter(|(_, kept)| kept.violation.last_seen < oldest)
            .map(|(key, _)| key.clone())
            .collect();
        for key in old {
            self.remove(&key);
        }
    }

    /// How often each was made, in order.
    pub fn counts(&self) -> impl Iterator<Item = (&Counted, u64)> {
        self.counts.iter().map(|(counted, &count)| (counted, count))
    }

    /// Those that are kept, in no order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Violation> {
        self.kept.values().map(|kept| &kept.violation)
    }

    /// How many were not kept, or not for as long as they should.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Key {
    fn of(violation: &Violation) -> Self {
        let Violation { workload, policy, call, refused, .. } = violation;
        Self { workload: workload.clone(), policy: Arc::clone(policy), call: *call, refused: *refused }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        policy::{Process, Reason},
        syscalls::CallTable,
        workload::Labels,
    };

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn call(name: &str) -> (CallId, Call) {
        let table = CallTable::x86_64();
        let id = table.named(name).next().unwrap();
        (id, table.call(id))
    }

    /// So many mounts, or other calls, of a workload at a time.
    fn made(workload: &str, name: &str, count: u64, seconds: u64) -> Violation {
        Violation {
            time: at(seconds),
            last_seen: at(seconds),
            count,
            workload: Workload::cgroup(workload.into()),
            about: Labels::default(),
            call: call(name).1,
            number: None,
            refused: false,
            process: None,
            policy: "web".into(),
            severity: Severity::Critical,
            reason: Reason::NotAllowed,
            runtime_default_allows: false,
        }
    }

    fn by_event(workload: &str, name: &str, seconds: u64) -> Violation {
        let process = Process {
            pid: 7,
            tid: 7,
            uid: 0,
            comm: "sh".to_owned(),
            exe: None,
            command_line: None,
            parents: Vec::new(),
        };
        Violation { process: Some(process), ..made(workload, name, 1, seconds) }
    }

    fn total(violations: &Violations) -> u64 {
        violations.counts().map(|(_, count)| count).sum()
    }

    #[test]
    fn a_first_call_is_told_at_once_and_its_count_tells_nothing_more() {
        let mut violations = Violations::default();
        assert!(violations.first(by_event("/a", "mount", 1)).unwrap().is_new);
        assert_eq!(violations.counted(call("mount").0, &made("/a", "mount", 1, 2)), None);
        assert_eq!((total(&violations), violations.iter().next().unwrap().count), (1, 1));
    }

    #[test]
    fn repeats_are_told_with_how_many_there_are() {
        let mut violations = Violations::default();
        violations.first(by_event("/a", "mount", 1));
        let told = violations.counted(call("mount").0, &made("/a", "mount", 100_000, 2)).unwrap();
        assert_eq!((told.is_new, told.violation.count, told.violation.last_seen), (false, 100_000, at(2)));
        assert_eq!(told.violation.process.unwrap().comm, "sh");
        assert_eq!(total(&violations), 100_000);
    }

    #[test]
    fn a_call_that_only_the_counters_know_is_told_and_gets_its_process_later() {
        let mut violations = Violations::default();
        assert!(violations.counted(call("mount").0, &made("/a", "mount", 3, 2)).unwrap().is_new);
        assert_eq!(violations.first(by_event("/a", "mount", 3)), None);
        let violation = violations.iter().next().unwrap();
        assert_eq!((violation.count, violation.process.as_ref().unwrap().pid), (3, 7));
    }

    #[test]
    fn refused_attempts_are_violations_of_their_own_and_one_count() {
        let mut violations = Violations::default();
        let refused = Violation { refused: true, ..made("/a", "mount", 2, 1) };
        assert!(violations.counted(call("mount").0, &made("/a", "mount", 1, 1)).unwrap().is_new);
        assert!(violations.counted(call("mount").0, &refused).unwrap().is_new);
        assert_eq!((violations.iter().len(), violations.counts().count(), total(&violations)), (2, 1, 3));
    }

    #[test]
    fn one_workload_cannot_displace_another_s() {
        let mut violations = Violations::default();
        violations.first(by_event("/victim", "mount", 1));
        let table = CallTable::x86_64();
        for id in 4..1000 {
            let call = table.call(CallId(id));
            violations.counted(CallId(id), &Violation { call, ..made("/flood", "mount", 1, 2) });
        }
        assert_eq!((violations.iter().len(), violations.dropped()), (MOST_OF_ONE + 1, 996 - MOST_OF_ONE as u64));
        assert_eq!(total(&violations), 996, "all are counted");
        // Much later: what is old gives way.
        for (workload, id) in (0..20).flat_map(|workload| (4..300).map(move |id| (workload, id))) {
            let call = table.call(CallId(id));
            violations.first(Violation { call, ..by_event(&format!("/{workload}"), "mount", 1000 * (workload + 1)) });
        }
        assert_eq!(violations.iter().len(), MOST);
        assert!(violations.iter().any(|violation| violation.workload == Workload::cgroup("/victim".into())));
    }

    #[test]
    fn a_name_that_comes_later_takes_them_along() {
        let mut violations = Violations::default();
        let (from, to) = (Workload::cgroup("/a".into()), Workload::cgroup("/b".into()));
        violations.counted(call("mount").0, &made("/a", "mount", 3, 2));
        violations.rename(&from, &to);
        assert_eq!(violations.iter().next().unwrap().workload, to);
        assert_eq!(violations.counts().next().unwrap().0.workload, to);
        assert!(violations.counted(call("mount").0, &made("/b", "mount", 1, 3)).is_some_and(|told| !told.is_new));
    }

    #[test]
    fn counts_go_with_their_workload_and_violations_when_they_are_old() {
        let mut violations = Violations::default();
        violations.counted(call("mount").0, &made("/a", "mount", 3, 20));
        violations.counted(call("mount").0, &made("/b", "mount", 3, 10));
        violations.forget(|workload| *workload == Workload::cgroup("/b".into()), at(15));
        assert_eq!(violations.counts().next().unwrap().0.workload, Workload::cgroup("/b".into()));
        assert_eq!(violations.iter().next().unwrap().workload, Workload::cgroup("/a".into()));
        assert_eq!((violations.counts().count(), violations.iter().len()), (1, 1));
    }

    #[test]
    fn a_bad_one_is_not_hidden_behind_many_others() {
        let (mut violations, table) = (Violations::default(), CallTable::x86_64());
        // Of another ABI.
        for id in 500..900 {
            let call = table.call(CallId(id));
            violations.first(Violation { call, severity: Severity::Warning, ..by_event("/a", "mount", 1) });
        }
        assert!(violations.first(by_event("/a", "mount", 2)).is_some_and(|told| told.is_new));
    }

    #[test]
    fn another_container_of_the_workload_is_told_of() {
        let mut violations = Violations::default();
        let of = |id: &str, seconds| {
            let about = Labels::new([(crate::workload::Label::ContainerId, id.into())]);
            Violation { about, ..by_event("/a", "mount", seconds) }
        };
        violations.first(of("1", 1));
        assert_eq!(violations.first(of("1", 2)), None);
        let told = violations.first(of("2", 3)).unwrap();
        assert_eq!((told.is_new, told.violation.about, told.violation.time), (false, of("2", 3).about, at(1)));
    }

    #[test]
    fn what_another_policy_judges_is_forgotten() {
        let mut violations = Violations::default();
        violations.counted(call("mount").0, &made("/a", "mount", 3, 2));
        violations.counted(call("mount").0, &made("/b", "mount", 3, 2));
        violations.forget_all_of(&Workload::cgroup("/a".into()));
        assert_eq!((violations.iter().len(), total(&violations)), (1, 3));
        assert!(violations.counted(call("mount").0, &made("/a", "mount", 1, 3)).is_some_and(|told| told.is_new));
    }
}
