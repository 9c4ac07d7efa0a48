//! First calls that wait for `/proc`. Each is judged when its look-up has finished, or at its deadline.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::FirstCall;
use crate::{
    fair_share::Tenant,
    process::{self, CommandLines, LOOKUP_TIMEOUT, LookupResult, Process, ProcessReaders, Ticket},
    workload::{Label, ResolvedWorkload, Workload},
};

/// First calls whose processes are being looked up.
#[derive(Debug)]
pub(super) struct ProcessLookups {
    readers: ProcessReaders,
    asked: BTreeMap<Ticket, PendingLookup>,
}

/// A first call and its deadline. Tickets rise, so the first entry has the earliest deadline.
#[derive(Debug)]
struct PendingLookup {
    named: ResolvedWorkload,
    first: FirstCall,
    deadline: Instant,
}

impl ProcessLookups {
    pub(super) fn new(procfs: PathBuf, command_lines: CommandLines) -> Self {
        let complete = move |process: &mut Process, container: &str| {
            process::complete(process, &procfs, command_lines, container);
        };
        Self { readers: ProcessReaders::new(complete), asked: BTreeMap::new() }
    }

    /// Asks about the process of a call. Returns the call if it is not asked.
    pub(super) fn ask(&mut self, named: &ResolvedWorkload, first: FirstCall) -> Option<FirstCall> {
        let tenant = Tenant::of(&named.workload, &named.metadata);
        let Some(ticket) = self.readers.ask(&tenant, &first.process, &container(named)) else { return Some(first) };
        let deadline = Instant::now() + LOOKUP_TIMEOUT;
        self.asked.insert(ticket, PendingLookup { named: named.clone(), first, deadline });
        None
    }

    /// Returns what is notified of finished look-ups.
    pub(super) fn answered(&self) -> Arc<Notify> {
        self.readers.answered()
    }

    /// Returns when the next call is judged without a result.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.first_key_value().map(|(_, asked)| asked.deadline)
    }

    /// Takes the calls with a result, or past their deadline. Waits this long for others, and then takes all.
    pub(super) fn take(&mut self, max_wait: Option<Duration>) -> VecDeque<(ResolvedWorkload, FirstCall)> {
        let mut ready = VecDeque::new();
        self.take_answers(self.readers.take(), &mut ready);
        if let Some(max_wait) = max_wait {
            let end = Instant::now() + max_wait;
            while !self.asked.is_empty() && Instant::now() < end {
                self.take_answers(self.readers.wait(end.saturating_duration_since(Instant::now())), &mut ready);
            }
        }
        let now = Instant::now();
        while self.deadline().is_some_and(|deadline| max_wait.is_some() || deadline <= now) {
            let (_, PendingLookup { named, first, .. }) = self.asked.pop_first().expect("it has a deadline");
            LookupResult::TimedOut.note();
            ready.push_back((named, first));
        }
        ready
    }

    fn take_answers(&mut self, answers: Vec<(Ticket, Process)>, ready: &mut VecDeque<(ResolvedWorkload, FirstCall)>) {
        for (ticket, process) in answers {
            // A late result was counted at its deadline.
            let Some(PendingLookup { named, first, .. }) = self.asked.remove(&ticket) else { continue };
            let result = if process.command_line.is_some() { LookupResult::Read } else { LookupResult::Gone };
            result.note();
            ready.push_back((named, FirstCall { process, ..first }));
        }
    }
}

/// Returns the name of the cgroup of a container or unit; empty if it is unknown.
fn container(named: &ResolvedWorkload) -> Arc<str> {
    let path = match &named.workload {
        Workload::Unresolved(identity) => Some(identity.path()),
        _ => named.metadata.get(Label::Cgroup),
    };
    path.and_then(|path| path.rsplit('/').next()).unwrap_or_default().into()
}
