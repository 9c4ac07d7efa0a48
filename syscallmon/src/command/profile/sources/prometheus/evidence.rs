//! Makes evidence from the series of replicas.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, SystemTime},
};

use super::{
    collect::Counter,
    health::Health,
    replicas::{ClassSeries, Joined, ReplicaKey, ReplicaSeries},
    window::Window,
};
use crate::{
    command::profile::sources::NO_NAME,
    process::printable_name,
    profile::{Evidence, EvidenceError, Observation, Replica},
    workload::Labels,
};

/// A replica that has a sample this soon after the begin of the range may be older, in seconds: twice the longest time
/// that Prometheus looks back, and a step.
const BEGIN_MARGIN: f64 = 660.0;

/// Gaps of scrapes of less than this are not reported, in seconds.
const MIN_GAP: f64 = 600.0;

/// The range of the evidence.
pub(super) struct Range<'a> {
    pub(super) windows: &'a [Window],
    /// The length of a whole window.
    pub(super) window: Duration,
}

/// A replica in the range.
struct InRange {
    /// Whether it was already there when the range began.
    is_older: bool,
    /// Windows that it was observed in, without its start-up.
    windows: BTreeSet<usize>,
}

/// Adds all replicas and their calls.
pub(super) fn add_all(
    evidence: &mut Evidence,
    joined: &Joined<'_>,
    health: &Health,
    range: &Range<'_>,
) -> Result<(), EvidenceError> {
    let mut same_name = HashMap::<String, usize>::new();
    for key in joined.replicas.keys() {
        *same_name.entry(key.labels.to_string()).or_default() += 1;
    }
    let (mut gaps, mut more_images) = (Vec::new(), Vec::new());
    for (key, series) in &joined.replicas {
        let name = name(key, same_name[&key.labels.to_string()] > 1);
        let in_range = InRange::new(series, range);
        let missing = health.missing(&series.targets, series.span);
        if missing >= MIN_GAP {
            gaps.push((missing, name.clone()));
        }
        if series.images.len() > 1 {
            more_images.push(name.clone());
        }
        let replica = evidence.add_replica(Replica {
            name,
            image: series.image().map(printable_name),
            from: time(series.span.first),
            to: time(series.span.last),
            saw_start: !in_range.is_older && health.ran_before(&series.first_target, series.span),
            lost: whole(health.lost(&series.targets, series.span)),
            windows: u32::try_from(in_range.windows.len()).unwrap_or(u32::MAX),
            window: range.window,
        })?;
        for (&(abi, syscall), counters) in &series.calls {
            let (count, windows) = in_range.sum(counters);
            if count > 0 {
                let replicas = [replica].into();
                evidence.add(abi, syscall, &Observation { count, replicas, windows, ..Observation::default() });
            }
        }
        for (&(abi, syscall), counters) in &series.denied {
            let (denied, _) = in_range.sum(counters);
            if denied > 0 {
                let denied_replicas = [replica].into();
                evidence.add(abi, syscall, &Observation { denied, denied_replicas, ..Observation::default() });
            }
        }
        if health.counted_arguments(&series.targets, series.span) {
            add_arguments(evidence, &series.arguments, &in_range, replica);
        }
    }
    warn_of_replicas(evidence, &gaps, &more_images);
    warn_of_joined(evidence, joined, health);
    Ok(())
}

/// Counters by ABI and class of arguments: of calls, and of denied calls.
type ByClass<'a> = BTreeMap<(&'a str, String), [Vec<(&'a str, &'a Counter)>; 2]>;

/// Returns the counters of each class of arguments; none if one of them has no name.
fn by_class<'a>(series: &[ClassSeries<'a>]) -> ByClass<'a> {
    let mut by_class = ByClass::new();
    if series.iter().any(|of| of.class[0].starts_with(NO_NAME)) {
        return by_class;
    }
    for &ClassSeries { class: [abi, syscall, argument], is_denied, instance, counter } in series {
        let counters = by_class.entry((abi, format!("{syscall}({argument})"))).or_default();
        counters[usize::from(is_denied)].push((instance, counter));
    }
    by_class
}

/// Adds the classes of arguments of a replica, if each has a name.
fn add_arguments(evidence: &mut Evidence, series: &[ClassSeries<'_>], in_range: &InRange, replica: u32) {
    let by_class = by_class(series);
    let seen = |[made, denied]: &[Vec<(&str, &Counter)>; 2]| {
        let ((count, windows), (denied, _)) = (in_range.sum(made), in_range.sum(denied));
        let replicas = |count: u64| if count > 0 { [replica].into() } else { [].into() };
        let (replicas, denied_replicas) = (replicas(count), replicas(denied));
        Observation { count, denied, replicas, denied_replicas, windows, ..Observation::default() }
    };
    let seen = by_class.iter().map(|((abi, class), counters)| (*abi, class.as_str(), seen(counters)));
    evidence.add_arguments(seen.filter(|(.., seen)| seen.count + seen.denied > 0));
}

/// The calls of one workload in the range.
#[derive(Debug)]
pub(in crate::command) struct ObservedWorkload {
    pub(in crate::command) metadata: Labels,
    pub(in crate::command) calls: Vec<ObservedCall>,
}

/// A call, or a class of arguments as `socket(AF_UNIX)`, by names from a server.
#[derive(Debug)]
pub(in crate::command) struct ObservedCall {
    pub(in crate::command) abi: String,
    pub(in crate::command) syscall: String,
    pub(in crate::command) count: u64,
    /// Whether the calls did not run, because seccomp denied them.
    pub(in crate::command) is_denied: bool,
}

/// Returns the calls of each replica, and their classes of arguments if all were counted.
pub(super) fn workloads(joined: &Joined<'_>, health: &Health, range: &Range<'_>) -> Vec<ObservedWorkload> {
    let of_series = |series: &ReplicaSeries<'_>| {
        let in_range = InRange::new(series, range);
        let calls = series.calls.iter().map(|(call, counters)| (call, counters, false));
        let denied = series.denied.iter().map(|(call, counters)| (call, counters, true));
        let observed_call = |abi: &str, syscall: &str, counters: &[(&str, &Counter)], is_denied| ObservedCall {
            abi: abi.to_owned(),
            syscall: syscall.to_owned(),
            count: in_range.sum(counters).0,
            is_denied,
        };
        let has_classes = health.counted_arguments(&series.targets, series.span);
        let classes = if has_classes { by_class(&series.arguments) } else { ByClass::new() };
        let classes = classes.iter().flat_map(|((abi, class), [made, denied])| {
            [(made, false), (denied, true)].map(|(counters, is_denied)| observed_call(abi, class, counters, is_denied))
        });
        let observed = calls.chain(denied);
        let observed = observed
            .map(|(&(abi, syscall), counters, is_denied)| observed_call(abi, syscall, counters, is_denied))
            .chain(classes);
        let calls = observed.filter(|observed| observed.count > 0).collect();
        ObservedWorkload { metadata: series.metadata.clone(), calls }
    };
    joined.replicas.values().map(of_series).collect()
}

/// `gaps` are seconds without a scrape, and `more_images` replicas with more than one image.
fn warn_of_replicas(evidence: &mut Evidence, gaps: &[(f64, String)], more_images: &[String]) {
    if let Some((longest, name)) = gaps.iter().max_by(|one, other| one.0.total_cmp(&other.0)) {
        let longest = Duration::from_secs(whole(*longest));
        evidence.warn(format!(
            "scrapes of {} replicas are missing, up to {} ({name}): calls of replicas that ended in that time can be missing",
            gaps.len(),
            humantime::format_duration(longest)
        ));
    }
    if let Some(name) = more_images.first() {
        evidence.warn(format!(
            "{} replicas ran more than one image in this range ({name}): their calls are those of all",
            more_images.len()
        ));
    }
}

fn warn_of_joined(evidence: &mut Evidence, joined: &Joined<'_>, health: &Health) {
    let lost = whole(health.all_lost());
    if lost > 0 {
        evidence.warn(format!("the daemons lost or could not attribute {lost} calls of all workloads of their nodes"));
    }
    for (probe, number) in &health.probes_down {
        evidence.warn(format!("the probe {probe} was not attached ({number} times a window and a node)"));
    }
    if joined.infos_without_counts > 0 {
        evidence.warn(format!("{} series of metadata have no counts of calls", joined.infos_without_counts));
    }
    if joined.denied_without_name > 0 {
        evidence.warn(format!(
            "{} series of denied calls do not name the call (metrics.denied, capacity.denied)",
            joined.denied_without_name
        ));
    }
}

impl InRange {
    fn new(series: &ReplicaSeries<'_>, range: &Range<'_>) -> Self {
        let span = series.span;
        let begin = range.windows.first().map_or(0.0, |window| window.begin as f64);
        let is_older = span.first <= begin + BEGIN_MARGIN;
        let windows = range.windows.iter().enumerate();
        let windows = windows.filter(|(_, window)| window.overlaps(span.first, span.last)).map(|(index, _)| index);
        // A younger replica starts up in its first window.
        let windows = windows.skip(usize::from(!is_older)).collect();
        Self { is_older, windows }
    }

    /// Returns how often a call was made, and in how many windows. A series that is there was counted at least once.
    ///
    /// Series of one instance are the same counter, scraped twice. A daemon that starts again has another instance.
    fn sum(&self, counters: &[(&str, &Counter)]) -> (u64, u32) {
        let (mut by_instance, mut windows) = (BTreeMap::<&str, u64>::new(), BTreeSet::new());
        for (instance, counter) in counters.iter().filter(|(_, counter)| counter.max > 0.0) {
            let is_new = counter.first_window > 0 || !self.is_older;
            let first = if is_new { counter.first_value } else { 0.0 };
            let count = whole(counter.increase + first).max(1);
            let highest = by_instance.entry(instance).or_default();
            *highest = count.max(*highest);
            windows.extend(&counter.grew_in);
            windows.extend(is_new.then_some(counter.first_window));
        }
        let windows = windows.intersection(&self.windows).count();
        let count = by_instance.values().fold(0, |sum: u64, count| sum.saturating_add(*count));
        (count, u32::try_from(windows).unwrap_or(u32::MAX))
    }
}

/// Returns the name of a replica for people.
fn name(key: &ReplicaKey, is_ambiguous: bool) -> String {
    let name = printable_name(&key.labels.to_string());
    if is_ambiguous { format!("{name} on {}", printable_name(&key.node)) } else { name }
}

fn time(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// Returns the nearest number of calls.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as intended")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_server_never_overflow() {
        let values = [-1.0, 0.4, 0.6, 1e30, f64::INFINITY, f64::NAN];
        assert_eq!(values.map(whole), [0, 0, 1, u64::MAX, u64::MAX, 0]);
        assert_eq!([-1.0, 1e300, f64::NAN].map(time), [None; 3]);
    }
}
