//! Threads that read facts about processes from `/proc`, so the sampler does not wait.
//!
//! A process can make its readers wait: `/proc/PID/cmdline` waits for the lock of the process's memory map. So each
//! tenant has a bounded share: of time, by a budget that all tenants share; of threads, two, or one while the tenant is
//! slow. Half of all threads never serve slow tenants.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::Process;
use crate::{
    fair_share::{FairBudget, Tenant},
    scheduling::prefer_short_slices,
};

/// Deadline of a look-up.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_millis(100);

/// Number of threads, and the maximum for one tenant.
const MAX_READERS: usize = 16;
const MAX_READERS_OF_ONE: usize = 2;

/// Maximum waiting look-ups, of all tenants and of one.
const MAX_WAITING: usize = 1024;
const MAX_WAITING_OF_ONE: usize = 128;

/// Time of readers in each second, and the minimum and maximum cost of a look-up: 400 fast look-ups a second. Slow
/// tenants have half of the readers, so they can spend half of the time at most.
const BUDGET: Duration = Duration::from_secs(MAX_READERS as u64);
const LEAST_COST: Duration = Duration::from_millis(40);
const MAX_COST: Duration = Duration::from_secs(1);

/// How long a tenant counts as slow after a look-up that timed out.
const SLOW: Duration = Duration::from_mins(1);

/// Results of look-ups since the start.
static RESULTS: [AtomicU64; LookupResult::ALL.len()] = [const { AtomicU64::new(0) }; LookupResult::ALL.len()];

/// The result of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupResult {
    /// The command line was read.
    Read,
    /// The process has ended, or has no command line.
    Gone,
    /// The look-up timed out.
    TimedOut,
    /// The tenant had used its share.
    Skipped,
}

impl LookupResult {
    /// All results.
    pub const ALL: [Self; 4] = [Self::Read, Self::Gone, Self::TimedOut, Self::Skipped];

    /// Returns the value of the label `result`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Gone => "gone",
            Self::TimedOut => "timed_out",
            Self::Skipped => "skipped",
        }
    }

    /// Returns the number of look-ups with this result.
    #[must_use]
    pub fn count(self) -> u64 {
        RESULTS[self as usize].load(Relaxed)
    }

    /// Counts a look-up.
    pub(crate) fn note(self) {
        RESULTS[self as usize].fetch_add(1, Relaxed);
    }
}

/// Identifies a look-up.
pub type Ticket = u64;

/// Threads that read `/proc`, and the look-ups that wait for them.
#[derive(Debug)]
pub struct ProcessReaders {
    shared: Arc<Shared>,
    next: Ticket,
}

#[derive(Debug)]
struct Shared {
    questions: Mutex<Questions>,
    asked: Condvar,
    answers: Mutex<Vec<(Ticket, Process)>>,
    answered: Arc<Notify>,
    answered_blocking: Condvar,
}

#[derive(Debug)]
struct Question {
    ticket: Ticket,
    tenant: Tenant,
    process: Process,
    /// Name of the cgroup of its container or unit.
    container: Arc<str>,
    deadline: Instant,
}

#[derive(Debug)]
struct Questions {
    waiting: BTreeMap<Arc<str>, VecDeque<Question>>,
    running: HashMap<Ticket, (Tenant, Instant)>,
    /// The last look-up that was started for each recent tenant.
    begun: HashMap<Arc<str>, Ticket>,
    /// Tenants with a look-up that timed out, and when.
    slow: HashMap<Arc<str>, Instant>,
    budget: FairBudget,
    renewed: Instant,
}

impl ProcessReaders {
    /// Starts readers that complete the facts of a process with this function.
    #[must_use]
    pub fn new(complete: impl Fn(&mut Process, &str) + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            questions: Mutex::new(Questions::new()),
            asked: Condvar::new(),
            answers: Mutex::default(),
            answered: Arc::default(),
            answered_blocking: Condvar::new(),
        });
        let complete = Arc::new(complete);
        for _ in 0..MAX_READERS {
            let (shared, complete) = (Arc::downgrade(&shared), Arc::clone(&complete));
            let read = move || {
                prefer_short_slices();
                while shared.upgrade().is_some_and(|shared| shared.read_one(&*complete)) {}
            };
            // With fewer threads, more questions time out.
            let _ = thread::Builder::new().name("process".to_owned()).stack_size(256 << 10).spawn(read);
        }
        Self { shared, next: 0 }
    }

    /// Starts a look-up for a process of this tenant, in the container or unit with a cgroup of this name; `None` if
    /// the tenant has used its share. Never waits.
    pub fn ask(&mut self, tenant: &Tenant, process: &Process, container: &Arc<str>) -> Option<Ticket> {
        self.next += 1;
        let (ticket, deadline) = (self.next, Instant::now() + LOOKUP_TIMEOUT);
        let (tenant, process, container) = (tenant.clone(), process.clone(), Arc::clone(container));
        let question = Question { ticket, tenant, process, container, deadline };
        let is_asked = self.shared.questions().push(question);
        if is_asked {
            self.shared.asked.notify_one();
        } else {
            LookupResult::Skipped.note();
        }
        is_asked.then_some(ticket)
    }

    /// Returns what is notified of new answers.
    #[must_use]
    pub fn answered(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.answered)
    }

    /// Takes the answers that are there.
    #[must_use]
    pub fn take(&self) -> Vec<(Ticket, Process)> {
        std::mem::take(&mut *self.shared.answers())
    }

    /// Does the same; waits a little if there are none.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Vec<(Ticket, Process)> {
        let answers = self
            .shared
            .answered_blocking
            .wait_timeout_while(self.shared.answers(), timeout, |answers| answers.is_empty());
        std::mem::take(&mut *answers.unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Drop for ProcessReaders {
    fn drop(&mut self) {
        self.shared.asked.notify_all();
    }
}

impl Shared {
    fn questions(&self) -> MutexGuard<'_, Questions> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> MutexGuard<'_, Vec<(Ticket, Process)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one look-up, if there is one within a second.
    fn read_one(&self, complete: &dyn Fn(&mut Process, &str)) -> bool {
        let mut questions = self.questions();
        let Some(Question { ticket, tenant, mut process, container, .. }) = questions.begin() else {
            let waited = self.asked.wait_timeout(questions, Duration::from_secs(1));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            return true;
        };
        drop(questions);
        complete(&mut process, &container);
        self.questions().end(ticket, &tenant);
        self.answers().push((ticket, process));
        self.answered.notify_one();
        self.answered_blocking.notify_one();
        // Another look-up of this tenant may have waited for its turn.
        self.asked.notify_one();
        true
    }
}

impl Questions {
    fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            running: HashMap::new(),
            begun: HashMap::new(),
            slow: HashMap::new(),
            budget: FairBudget::new(micros(BUDGET)),
            renewed: Instant::now(),
        }
    }

    fn push(&mut self, question: Question) -> bool {
        if self.renewed.elapsed() >= Duration::from_secs(1) {
            self.renewed = Instant::now();
            self.budget.renew();
            self.slow.retain(|_, since| since.elapsed() < SLOW);
            self.begun.retain(|group, _| self.waiting.contains_key(group));
        }
        let all: usize = self.waiting.values().map(VecDeque::len).sum();
        let of_one = self.waiting.get(question.tenant.group()).map_or(0, VecDeque::len);
        let has_room = all < MAX_WAITING && of_one < MAX_WAITING_OF_ONE && self.budget.may_spend(&question.tenant);
        if has_room {
            self.budget.spend(&question.tenant, micros(LEAST_COST));
            self.waiting.entry(Arc::clone(question.tenant.group())).or_default().push_back(question);
        }
        has_room
    }

    /// Returns the next look-up: tenants that are not slow come first, then the tenant with the fewest readers, then
    /// the one that was served the longest ago.
    fn begin(&mut self) -> Option<Question> {
        let now = Instant::now();
        self.waiting.retain(|_, questions| {
            // The callers have stopped waiting for these.
            questions.retain(|question| question.deadline > now);
            !questions.is_empty()
        });
        let eligible = self.waiting.keys().filter(|group| self.may_begin(group));
        let turn = |group: &Arc<str>| self.begun.get(group).copied().unwrap_or_default();
        let next = eligible.min_by_key(|group| (self.is_slow(group), self.running_of(group), turn(group)))?.clone();
        let question = self.waiting.get_mut(&next)?.pop_front()?;
        self.begun.insert(next, question.ticket);
        self.running.insert(question.ticket, (question.tenant.clone(), now));
        Some(question)
    }

    fn end(&mut self, ticket: Ticket, tenant: &Tenant) {
        let Some((_, since)) = self.running.remove(&ticket) else { return };
        let took = since.elapsed();
        self.budget.spend(tenant, micros(took.min(MAX_COST).saturating_sub(LEAST_COST)));
        if took >= LOOKUP_TIMEOUT {
            self.slow.insert(Arc::clone(tenant.group()), Instant::now());
        }
    }

    fn may_begin(&self, group: &str) -> bool {
        if !self.is_slow(group) {
            return self.running_of(group) < MAX_READERS_OF_ONE;
        }
        let slow = self.running.values().filter(|(tenant, _)| self.is_slow(tenant.group())).count();
        self.running_of(group) == 0 && slow < MAX_READERS / 2
    }

    fn running_of(&self, group: &str) -> usize {
        self.running.values().filter(|(tenant, _)| **tenant.group() == *group).count()
    }

    fn is_slow(&self, group: &str) -> bool {
        let is_late =
            |(tenant, since): &(Tenant, Instant)| **tenant.group() == *group && since.elapsed() >= LOOKUP_TIMEOUT;
        self.slow.get(group).is_some_and(|since| since.elapsed() < SLOW) || self.running.values().any(is_late)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn process(pid: u32) -> Process {
        let tree = super::super::ProcessTree::default();
        Process { pid, tid: pid, uid: 0, comm: String::new(), exe: None, command_line: None, parents: Vec::new(), tree }
    }

    fn tenant(name: &str) -> Tenant {
        Tenant::new(name.into(), name.into())
    }

    fn await_answer(readers: &ProcessReaders, ticket: Ticket) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if readers.wait(Duration::from_millis(100)).iter().any(|(answered, _)| *answered == ticket) {
                return true;
            }
        }
        false
    }

    #[test]
    fn slow_tenants_keep_their_own_readers_waiting_and_nobody_else_s() {
        let (release, hang) = mpsc::channel::<()>();
        let hang = Mutex::new(hang);
        let mut readers = ProcessReaders::new(move |process, _| {
            if process.pid >= 1000 {
                let _ = hang.lock().unwrap_or_else(PoisonError::into_inner).recv();
            }
        });
        for slow in 0..4 {
            for _ in 0..50 {
                let _ = readers.ask(&tenant(&format!("slow-{slow}")), &process(1000 + slow), &"".into());
            }
        }
        thread::sleep(2 * LOOKUP_TIMEOUT);
        assert!(readers.shared.questions().running.len() <= 4 * MAX_READERS_OF_ONE);
        for quiet in 0..10 {
            let ticket = readers.ask(&tenant(&format!("quiet-{quiet}")), &process(1), &"".into()).expect("room");
            assert!(await_answer(&readers, ticket), "quiet-{quiet}");
        }
        // Late ones take no more than half of the readers.
        for slow in 0..20 {
            let _ = readers.ask(&tenant(&format!("slow-{}", slow % 4)), &process(1000), &"".into());
        }
        let ticket = readers.ask(&tenant("another"), &process(1), &"".into()).expect("room");
        assert!(await_answer(&readers, ticket));
        drop(release);
    }

    #[test]
    fn tenants_take_turns_whatever_they_are_called() {
        let mut questions = Questions::new();
        let push = |questions: &mut Questions, name: &str, ticket| {
            let deadline = Instant::now() + Duration::from_mins(1);
            assert!(questions.push(Question {
                ticket,
                tenant: tenant(name),
                process: process(1),
                container: "".into(),
                deadline
            }));
        };
        for ticket in 1..=40 {
            push(&mut questions, if ticket % 2 == 0 { "a" } else { "b" }, ticket);
        }
        push(&mut questions, "z", 41);
        let mut served = Vec::new();
        for _ in 0..6 {
            let question = questions.begin().unwrap();
            questions.end(question.ticket, &question.tenant);
            served.push(question.tenant.group().to_string());
        }
        assert_eq!(served, ["a", "b", "z", "b", "a", "b"]);
    }

    #[test]
    fn a_flood_of_one_tenant_is_skipped_and_others_are_asked() {
        let mut readers = ProcessReaders::new(|_, _| thread::sleep(Duration::from_millis(1)));
        let asked = (0..5000).filter(|_| readers.ask(&tenant("flood"), &process(1), &"".into()).is_some()).count();
        assert!(asked <= 2000, "{asked}");
        let ticket = readers.ask(&tenant("quiet"), &process(1), &"".into()).expect("room");
        assert!(await_answer(&readers, ticket));
    }
}
