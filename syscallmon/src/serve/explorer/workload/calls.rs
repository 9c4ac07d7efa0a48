//! The calls of one workload: a row for each call, with everything that is known about it.

use std::{
    cmp::{Ordering, Reverse},
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::{
    detect::Severity,
    model::Totals,
    process::Process,
    serve::{
        explorer::{
            frame::now,
            query::{Column, ListQuery},
            text::{Moment, Name, counted, latency, thousands},
        },
        exposition::workload_series::denied_call,
    },
    snapshot::{ArgumentKey, ErrorKey},
    stable_id::StableId,
    syscalls::Call,
    view::View,
    workload::{REMAINDER, Workload},
};

/// Maximum errnos that are named for a call.
const ERRNOS: usize = 4;

pub(super) const COLUMNS: [Column; 7] = [
    Column { key: "name", label: "Call", is_number: false, width: 0 },
    Column { key: "calls", label: "Calls", is_number: true, width: 0 },
    Column { key: "errors", label: "Errors", is_number: true, width: 0 },
    Column { key: "denied", label: "Denied", is_number: true, width: 1 },
    Column { key: "latency", label: "Mean time", is_number: true, width: 1 },
    Column { key: "first", label: "First", is_number: true, width: 0 },
    Column { key: "last", label: "Last", is_number: true, width: 2 },
];

/// A call of the workload.
pub(super) struct CallRow {
    pub(super) call: String,
    /// Its ABI, unless that is the native one.
    pub(super) abi: Option<&'static str>,
    pub(super) calls: String,
    /// The part of the calls that the container runtime made.
    pub(super) container_init: Option<String>,
    pub(super) errors: Option<String>,
    /// `ENOENT 71, EACCES 2`.
    pub(super) errnos: String,
    pub(super) denied: Option<String>,
    pub(super) latency: Option<String>,
    pub(super) first: Option<Moment>,
    pub(super) last: Option<Moment>,
    /// The process of the first call.
    pub(super) process: Option<Name>,
    pub(super) unexpected: Option<(StableId, Severity)>,
}

/// What is known about a call.
#[derive(Default)]
struct Known<'a> {
    calls: u64,
    container_init: u64,
    errors: u64,
    errnos: Vec<(&'static str, u64)>,
    denied: u64,
    mean: Option<Duration>,
    seen: Option<(SystemTime, SystemTime)>,
    /// When its violations were seen first and last.
    reported: Option<(SystemTime, SystemTime)>,
    /// The process of the first call.
    process: Option<&'a Process>,
    unexpected: Option<(StableId, Severity)>,
}

/// Numbers of calls and of classes of arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    calls: usize,
    classes: usize,
}

impl Numbers {
    fn of<'a>(calls: impl ExactSizeIterator<Item = &'a Call>) -> Self {
        let all = calls.len();
        let classes = calls.filter(|call| !call.argument().is_empty()).count();
        Self { calls: all - classes, classes }
    }

    /// `39 different calls, 1 class of arguments`
    pub(super) fn text(&self) -> String {
        let calls = counted(self.calls as u64, "different call", "different calls");
        if self.classes == 0 {
            return calls;
        }
        format!("{calls}, {}", counted(self.classes as u64, "class of arguments", "classes of arguments"))
    }
}

/// Returns the chosen calls in the chosen order, the numbers of all, and the numbers of the chosen ones.
pub(super) fn rows(
    view: &View,
    workload: &Workload,
    totals: &Totals,
    query: &ListQuery,
) -> (Vec<CallRow>, Numbers, Numbers) {
    let has = query.filter();
    let all = Calls::of(view, workload, totals).0;
    let number = Numbers::of(all.values().map(|(call, _)| call));
    let mut chosen: Vec<(Call, Known)> = all.into_values().filter(|(call, known)| has(&known.searched(call))).collect();
    let (key, is_descending) = query.order(&COLUMNS);
    // They are sorted by name, and stay so if nothing else tells them apart.
    chosen.sort_by(|left, right| {
        let order = compare(key, left, right);
        if is_descending { order.reverse() } else { order }
    });
    let number_chosen = Numbers::of(chosen.iter().map(|(call, _)| call));
    (chosen.iter().map(|(call, known)| row(view, *call, known)).collect(), number, number_chosen)
}

/// The calls of a workload.
struct Calls<'a>(BTreeMap<(&'static str, &'static str), (Call, Known<'a>)>);

impl<'a> Calls<'a> {
    fn at(&mut self, call: Call) -> &mut Known<'a> {
        &mut self.0.entry((call.syscall, call.abi)).or_insert_with(|| (call, Known::default())).1
    }

    fn of(view: &'a View, workload: &Workload, totals: &'a Totals) -> Self {
        let (mut all, table, counts) = (Self(BTreeMap::new()), &view.facts.calls, &totals.counts);
        for (id, &calls) in counts.calls.iter() {
            let known = all.at(table.call(id));
            known.calls += calls;
            known.container_init += counts.container_init.get(id).copied().unwrap_or_default();
            let time = |moment| view.facts.time_of(Some(moment));
            known.seen = view.model.seen(totals, id).map(|(first, last)| (time(first), time(last)));
        }
        for (error, &number) in counts.errors.iter() {
            let (call, errno) = match error {
                ErrorKey::Of(call, errno) => (table.call(call), errno.name()),
                ErrorKey::Other => (Call { abi: REMAINDER, syscall: REMAINDER }, REMAINDER),
            };
            let known = all.at(call);
            known.errors += number;
            known.errnos.push((errno, number));
        }
        for (denial, &number) in counts.denied.iter() {
            all.at(denied_call(&view.facts, denial).0).denied += number;
        }
        for (class, &number) in counts.arguments.iter() {
            match class {
                ArgumentKey::Of(class) => all.at(table.call(class)).calls += number,
                ArgumentKey::Denied(class) => all.at(table.call(class)).denied += number,
                ArgumentKey::Other => all.at(Call { abi: REMAINDER, syscall: REMAINDER }).calls += number,
            }
        }
        for (id, durations) in counts.durations.iter() {
            let mean = durations.sum_ns.checked_div(durations.count());
            all.at(table.call(id)).mean = mean.map(Duration::from_nanos);
        }
        // The newest comes first; the first call of the workload is the last.
        for first in view.first_calls.iter().filter(|first| first.workload == *workload) {
            if let Some((_, known)) = all.0.get_mut(&(first.syscall, first.abi)) {
                known.process = Some(&first.process);
            }
        }
        for violation in view.violations.kept.iter().filter(|violation| violation.workload == *workload) {
            let known = all.at(violation.call);
            let new = (violation.id(), violation.severity);
            known.unexpected = Some(known.unexpected.filter(|(_, severity)| *severity >= new.1).unwrap_or(new));
            known.process = known.process.or(violation.process.as_ref());
            let (first, last) = known.reported.unwrap_or((violation.time, violation.last_seen));
            known.reported = Some((first.min(violation.time), last.max(violation.last_seen)));
        }
        all
    }
}

impl Known<'_> {
    /// Whether a search finds it: by its name, ABI, errnos, or the program of its first call.
    fn searched<'b>(&'b self, call: &'b Call) -> Vec<&'b str> {
        let process = self
            .process
            .iter()
            .flat_map(|process| std::iter::once(process.comm.as_str()).chain(process.exe.as_deref()));
        let words = [call.syscall, call.abi].into_iter().chain(self.errnos.iter().map(|(errno, _)| *errno));
        let denied = (self.denied > 0).then_some("denied");
        let unexpected = self.unexpected.map(|_| "unexpected");
        words.chain(process).chain(denied).chain(unexpected).collect()
    }

    /// When it was seen first. Classes of arguments have only the times of their violations.
    fn first(&self) -> Option<SystemTime> {
        self.seen.or(self.reported).map(|(first, _)| first)
    }

    fn last(&self) -> Option<SystemTime> {
        self.seen.or(self.reported).map(|(_, last)| last)
    }

    fn errnos(&self) -> String {
        let mut sorted = self.errnos.clone();
        sorted.sort_by_key(|&(errno, number)| (Reverse(number), errno));
        let mut texts: Vec<String> =
            sorted.iter().take(ERRNOS).map(|(errno, number)| format!("{errno} {}", thousands(*number))).collect();
        if sorted.len() > ERRNOS {
            texts.push(format!("{} more", sorted.len() - ERRNOS));
        }
        texts.join(", ")
    }
}

fn compare(key: &str, (call, known): &(Call, Known), (other_call, other): &(Call, Known)) -> Ordering {
    match key {
        "name" => (call.syscall, call.abi).cmp(&(other_call.syscall, other_call.abi)),
        "errors" => known.errors.cmp(&other.errors),
        "denied" => known.denied.cmp(&other.denied),
        "latency" => known.mean.cmp(&other.mean),
        "first" => known.first().cmp(&other.first()),
        "last" => known.last().cmp(&other.last()),
        _ => known.calls.cmp(&other.calls),
    }
}

fn row(view: &View, call: Call, known: &Known) -> CallRow {
    let count = |number: u64| (number > 0).then(|| thousands(number));
    let moment = |time| Moment::new(time, now(view));
    CallRow {
        call: call.syscall.to_owned(),
        abi: (!call.is_native()).then_some(call.abi),
        calls: thousands(known.calls),
        container_init: count(known.container_init),
        errors: count(known.errors),
        errnos: known.errnos(),
        denied: count(known.denied),
        latency: known.mean.map(latency),
        first: known.first().map(moment),
        last: known.last().map(moment),
        process: known.process.map(|process| Name::short(&program(process))),
        unexpected: known.unexpected,
    }
}

/// `/usr/bin/nginx (pid 12, uid 0)`.
pub(in crate::serve::explorer) fn program(process: &Process) -> String {
    let program = process.exe.as_ref().unwrap_or(&process.comm);
    format!("{program} (pid {}, uid {})", process.pid, process.uid)
}
