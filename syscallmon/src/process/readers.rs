//! Threads that ask `/proc` about processes, while the sampler goes on.
//!
//! A process can keep its readers waiting: `/proc/PID/cmdline` waits for the lock of its memory map. What one tenant
//! can use is bounded: time, by a budget that tenants share; threads, of which a tenant has two, or one while it is
//! slow; and half of all threads are never for slow tenants.

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

/// How long an answer is waited for.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_millis(100);

/// Threads, and how many of them one tenant may keep.
const MAX_READERS: usize = 16;
const MAX_READERS_OF_ONE: usize = 2;

/// Questions that wait, of all tenants and of one.
const MAX_WAITING: usize = 1024;
const MAX_WAITING_OF_ONE: usize = 128;

/// Time of readers in each second, and what a question costs at least and at most: 400 questions a second that are
/// answered at once. Slow tenants, which have half of the readers, cannot spend more than half of it.
const BUDGET: Duration = Duration::from_secs(MAX_READERS as u64);
const LEAST_COST: Duration = Duration::from_millis(40);
const MAX_COST: Duration = Duration::from_secs(1);

/// How long a tenant is slow after a question that timed out.
const SLOW: Duration = Duration::from_mins(1);

/// Results of look-ups, since the start.
static RESULTS: [AtomicU64; LookupResult::ALL.len()] = [const { AtomicU64::new(0) }; LookupResult::ALL.len()];

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupResult {
    /// There is a command line.
    Read,
    /// The process has ended, or has none.
    Gone,
    /// There was no answer in time.
    TimedOut,
    /// Not asked: the tenant had used its share.
    Skipped,
}

impl LookupResult {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Gone, Self::TimedOut, Self::Skipped];

    /// The value of the label `result`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Gone => "gone",
            Self::TimedOut => "timed_out",
            Self::Skipped => "skipped",
        }
    }

    /// How often it came.
    #[must_use]
    pub fn count(self) -> u64 {
        RESULTS[self as usize].load(Relaxed)
    }

    /// Counts one.
    pub(crate) fn note(self) {
        RESULTS[self as usize].fetch_add(1, Relaxed);
    }
}

/// Names a question.
pub type Ticket = u64;

/// See the module.
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
    deadline: Instant,
}

#[derive(Debug)]
struct Questions {
    waiting: BTreeMap<Arc<str>, VecDeque<Question>>,
    running: HashMap<Ticket, (Tenant, Instant)>,
    /// The last question of each tenant that was begun, of those that were there lately.
    begun: HashMap<Arc<str>, Ticket>,
    /// Groups that have timed out, and when.
    slow: HashMap<Arc<str>, Instant>,
    budget: FairBudget,
    renewed: Instant,
}

impl ProcessReaders {
    /// Starts readers that complete what is known of a process by this function.
    #[must_use]
    pub fn new(complete: impl Fn(&mut Process) + Send + Sync + 'static) -> Self {
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

    /// Asks about a process of this tenant; `None` where the tenant has used its share. Never waits.
    pub fn ask(&mut self, tenant: &Tenant, process: &Process) -> Option<Ticket> {
        self.next += 1;
        let (ticket, deadline) = (self.next, Instant::now() + LOOKUP_TIMEOUT);
        let question = Question { ticket, tenant: tenant.clone(), process: process.clone(), deadline };
        let is_asked = self.shared.questions().push(question);
        if is_asked {
            self.shared.asked.notify_one();
        } else {
            LookupResult::Skipped.note();
        }
        is_asked.then_some(ticket)
    }

    /// Notified when there are answers.
    #[must_use]
    pub fn answered(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.answered)
    }

    /// Takes the answers that are there.
    #[must_use]
    pub fn take(&self) -> Vec<(Ticket, Process)> {
        std::mem::take(&mut *self.shared.answers())
    }

    /// The same; waits a little where there are none.
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

    /// Answers one question, if there is one within a second.
    fn read_one(&self, complete: &dyn Fn(&mut Process)) -> bool {
        let mut questions = self.questions();
        let Some(Question { ticket, tenant, mut process, .. }) = questions.begin() else {
            let waited = self.asked.wait_timeout(questions, Duration::from_secs(1));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            return true;
        };
        drop(questions);
        complete(&mut process);
        self.questions().end(ticket, &tenant);
        self.answers().push((ticket, process));
        self.answered.notify_one();
        self.answered_blocking.notify_one();
        // Another question of this tenant may have waited for its turn.
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

    /// The next question: of tenants that are not slow first, then of the one with the fewest readers, then of the one
    /// whose turn was the longest ago.
    fn begin(&mut self) -> Option<Question> {
        let now = Instant::now();
        self.waiting.retain(|_, questions| {
            // Nobody waits for their answers any more.
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
        Process { pid, tid: pid, uid: 0, comm: String::new(), exe: None, command_line: None, parents: Vec::new() }
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
        let mut readers = ProcessReaders::new(move |process| {
            if process.pid >= 1000 {
                let _ = hang.lock().unwrap_or_else(PoisonError::into_inner).recv();
            }
        });
        for slow in 0..4 {
            for _ in 0..50 {
                let _ = readers.ask(&tenant(&format!("slow-{slow}")), &process(1000 + slow));
            }
        }
        thread::sleep(2 * LOOKUP_TIMEOUT);
        assert!(readers.shared.questions().running.len() <= 4 * MAX_READERS_OF_ONE);
        for quiet in 0..10 {
            let ticket = readers.ask(&tenant(&format!("quiet-{quiet}")), &process(1)).expect("room");
            assert!(await_answer(&readers, ticket), "quiet-{quiet}");
        }
        // Late ones take no more than half of the readers.
        for slow in 0..20 {
            let _ = readers.ask(&tenant(&format!("slow-{}", slow % 4)), &process(1000));
        }
        let ticket = readers.ask(&tenant("another"), &process(1)).expect("room");
        assert!(await_answer(&readers, ticket));
        drop(release);
    }

    #[test]
    fn tenants_take_turns_whatever_they_are_called() {
        let mut questions = Questions::new();
        let push = |questions: &mut Questions, name: &str, ticket| {
            let deadline = Instant::now() + Duration::from_mins(1);
            assert!(questions.push(Question { ticket, tenant: tenant(name), process: process(1), deadline }));
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
        let mut readers = ProcessReaders::new(|_| thread::sleep(Duration::from_millis(1)));
        let asked = (0..5000).filter(|_| readers.ask(&tenant("flood"), &process(1)).is_some()).count();
        assert!(asked <= 2000, "{asked}");
        let ticket = readers.ask(&tenant("quiet"), &process(1)).expect("room");
        assert!(await_answer(&readers, ticket));
    }
}
