//! Records that wait for one sink, and the state of that sink.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use tokio::sync::Notify;

use super::{
    Changes,
    lasting::LastingSink,
    record::{AlertSubject, Record},
    sink::SharedActiveAlerts,
};
use crate::fair_share::{Capacity, FairShare};

/// Capacity of an outbox.
const CAPACITY: Capacity = Capacity { entries: 4096, bytes: 8 << 20 };

type Queue = FairShare<AlertSubject, Record>;

/// Records on their way to a sink: for each subject, only the newest.
#[derive(Debug)]
struct Waiting {
    queue: Queue,
    /// The record that the sink took last and has not settled.
    in_flight: Option<Record>,
}

/// Records on their way to a sink, and the state of the sink.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Name of the sink in metrics.
    pub(super) sink: String,
    /// Whether the sink gets every change of an incident.
    pub(super) gets_every_repeat: bool,
    waiting: Mutex<Waiting>,
    /// Alerts that the sink sends again and again.
    active: Option<SharedActiveAlerts>,
    changes: Arc<Changes>,
    arrived: Notify,
    /// Records that the sink holds and has not delivered.
    pub(super) held: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) queue_full: AtomicU64,
    refused: AtomicU64,
    last_success_ms: AtomicU64,
}

/// State of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkStatus {
    /// The sink: `log`, `alertmanager`, `alertmanager-2`, `webhook`, `kubernetes_events`.
    pub sink: String,
    /// Alerts that were delivered.
    pub sent: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Alerts without room.
    pub queue_full: u64,
    /// Alerts that the receiver rejected.
    pub refused: u64,
    /// Waiting alerts.
    pub queued: u64,
    /// Time of the last delivery.
    pub last_success: Option<SystemTime>,
}

impl Outbox {
    pub(super) fn new(
        sink: String,
        gets_every_repeat: bool,
        active: Option<SharedActiveAlerts>,
        changes: Arc<Changes>,
    ) -> Self {
        Self {
            sink,
            gets_every_repeat,
            waiting: Mutex::new(Waiting { queue: Queue::new(CAPACITY), in_flight: None }),
            active,
            changes,
            arrived: Notify::new(),
            held: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            queue_full: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            last_success_ms: AtomicU64::new(0),
        }
    }

    /// Adds a record. It replaces a waiting record of the same subject.
    pub(super) fn put(&self, record: Record) {
        self.insert(record, |waiting, new| {
            let earlier = std::mem::replace(waiting, new).state();
            waiting.follows(earlier);
        });
        self.arrived.notify_one();
    }

    /// Returns a record that could not be delivered, unless there is a newer one.
    pub(super) fn requeue(&self, record: Record) {
        self.insert(record, |newer, old| newer.follows(old.state()));
        self.lock().in_flight = None;
        self.arrived.notify_one();
    }

    fn insert(&self, record: Record, merge: impl FnOnce(&mut Record, Record)) {
        let (key, mut waiting) = (record.subject(), self.lock());
        let queue = &mut waiting.queue;
        let dropped = if let Some(waiting) = queue.get_mut(&key) {
            merge(waiting, record);
            let bytes = waiting.bytes();
            queue.resize(&key, bytes)
        } else {
            let ((tenant, priority), bytes) = (record.share(), record.bytes());
            queue.put(tenant, priority, key, record, bytes)
        };
        self.queue_full.fetch_add(dropped.len() as u64, Relaxed);
    }

    /// Takes the next record, if there is one. Until it is settled, it counts as undelivered over a restart.
    pub(super) fn take(&self) -> Option<Record> {
        let mut waiting = self.lock();
        let (_, record) = waiting.queue.pop()?;
        waiting.in_flight = Some(record.clone());
        Some(record)
    }

    /// Notes that the sink needs the record that it took last no longer.
    pub(super) fn settle(&self) {
        if self.lock().in_flight.take().is_some() {
            self.changes.note();
        }
    }

    /// Waits for the next record.
    pub(super) async fn next(&self) -> Record {
        loop {
            if let Some(record) = self.take() {
                return record;
            }
            self.arrived.notified().await;
        }
    }

    fn settled(&self, alerts: u64) {
        self.settle();
        if alerts > 0 {
            self.changes.note();
        }
    }

    /// Returns what outlasts the daemon.
    pub(super) fn lasting(&self) -> LastingSink {
        let waiting = self.lock();
        let queued = waiting.queue.iter().map(|(_, record)| record);
        let records = waiting.in_flight.iter().chain(queued).cloned().collect();
        // Under the lock, because the sink moves records from one to the other.
        let alerts = self.active.as_ref().map(SharedActiveAlerts::lasting).unwrap_or_default();
        LastingSink { sink: self.sink.clone(), records, alerts }
    }

    /// Takes over what an earlier daemon did not deliver. Must be called before the sink is started.
    pub(super) fn take_over(&self, lasting: LastingSink) {
        if let Some(active) = &self.active {
            active.take_over(lasting.alerts);
        }
        // The record in flight first, then those that came later.
        for record in lasting.records {
            self.put(record);
        }
    }

    /// Counts delivered alerts.
    pub(super) fn delivered(&self, alerts: u64) {
        self.settled(alerts);
        self.sent.fetch_add(alerts, Relaxed);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.last_success_ms.store(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Counts alerts that the receiver rejected.
    pub(super) fn rejected(&self, alerts: u64) {
        self.settled(alerts);
        self.refused.fetch_add(alerts, Relaxed);
    }

    pub(super) fn status(&self) -> SinkStatus {
        let last_success = self.last_success_ms.load(Relaxed);
        SinkStatus {
            sink: self.sink.clone(),
            sent: self.sent.load(Relaxed),
            failed: self.failed.load(Relaxed),
            queue_full: self.queue_full.load(Relaxed),
            refused: self.refused.load(Relaxed),
            queued: self.held.load(Relaxed) + self.lock().queue.len() as u64,
            last_success: (last_success > 0)
                .then(|| SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(last_success)),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // A thread that panicked while it had the lock left a valid queue.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        alert::{
            record::Content,
            tests::{record, violation},
        },
        detect::{Incident, IncidentState, Violation},
    };

    const CALLS: [&str; 4] = ["bpf", "mount", "ptrace", "setns"];

    /// An event of the records of four incidents.
    #[derive(Clone, Debug)]
    enum Op {
        Put {
            call: usize,
            first: bool,
        },
        Take,
        /// The sink could not deliver the record that it took first.
        PutBack,
        Deliver,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (0..4_usize, any::<bool>()).prop_map(|(call, first)| Op::Put { call, first }),
            2 => Just(Op::Take),
            1 => Just(Op::PutBack),
            1 => Just(Op::Deliver),
        ]
    }

    /// Call and count of a record, which identify the newest.
    fn of(record: &Record) -> (&'static str, u64) {
        let Content::Incident(incident) = &record.content else { unreachable!() };
        (incident.calls[0].call.syscall, incident.count)
    }

    proptest! {
        #[test]
        fn the_newest_of_each_incident_is_delivered_once_and_says_whether_it_is_new(
            ops in proptest::collection::vec(op(), 0..80),
        ) {
            let outbox = Outbox::new("webhook".to_owned(), true, None, Arc::default());
            // By call: the newest waiting count, and whether an undelivered record was the first.
            let mut waiting: BTreeMap<&str, (u64, bool)> = BTreeMap::new();
            let mut taken = std::collections::VecDeque::new();
            for (count, op) in (1..).zip(ops.into_iter().chain(std::iter::repeat_n(Op::Take, CALLS.len()))) {
                match op {
                    Op::Put { call, first } => {
                        let mut new = record(Violation { count, ..violation("web", CALLS[call]) });
                        let Content::Incident(incident) = &mut new.content else { unreachable!() };
                        let state = if first { IncidentState::New } else { IncidentState::Grown };
                        *incident = Arc::new(Incident { state, ..(**incident).clone() });
                        outbox.put(new);
                        let before = waiting.insert(CALLS[call], (count, first));
                        waiting.get_mut(CALLS[call]).unwrap().1 |= before.is_some_and(|(_, first)| first);
                    }
                    Op::Take => {
                        let Some(record) = outbox.take() else {
                            prop_assert!(waiting.is_empty(), "{waiting:?} are lost");
                            continue;
                        };
                        let (call, count) = of(&record);
                        prop_assert_eq!(waiting.remove(call), Some((count, record.state() == IncidentState::New)));
                        taken.push_back(record);
                    }
                    Op::PutBack => {
                        let Some(record) = taken.pop_front() else { continue };
                        let (call, count) = of(&record);
                        waiting.entry(call).or_insert((count, false)).1 |= record.state() == IncidentState::New;
                        outbox.requeue(record);
                    }
                    Op::Deliver => drop(taken.pop_front()),
                }
                prop_assert_eq!(outbox.status().queued, waiting.len() as u64);
            }
            prop_assert!(waiting.is_empty() && outbox.status().queue_full == 0);
        }
    }
}
