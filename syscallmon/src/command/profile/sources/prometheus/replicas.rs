//! Joins counts with metadata, and groups them by replica.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Result, bail};

use super::{
    collect::{Counter, Counters, Infos, Span},
    labels::LabelSet,
};
use crate::{
    command::profile::sources::NO_NAME,
    process::printable_name,
    workload::{Label, Labels},
};

/// What distinguishes replicas: equal labels can be on several nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReplicaKey {
    /// The labels of its counts.
    pub(super) labels: Labels,
    /// Its node, or the instance if the node is not known.
    pub(super) node: String,
    cluster: String,
}

/// A replica, and its counters by ABI and call.
#[derive(Debug)]
pub(super) struct ReplicaSeries<'a> {
    /// When it was there.
    pub(super) span: Span,
    /// The target that had it first.
    pub(super) first_target: LabelSet,
    /// All targets that had it.
    pub(super) targets: BTreeSet<LabelSet>,
    /// Its newest metadata.
    pub(super) metadata: Labels,
    /// Its images, with the time of their last sample.
    pub(super) images: BTreeMap<&'a str, f64>,
    pub(super) calls: CallSeries<'a>,
    pub(super) denied: CallSeries<'a>,
    /// Classes of arguments.
    pub(super) arguments: Vec<ClassSeries<'a>>,
}

/// The counter of one class of arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClassSeries<'a> {
    /// ABI, call and argument.
    pub(super) class: [&'a str; 3],
    pub(super) is_denied: bool,
    pub(super) instance: &'a str,
    pub(super) counter: &'a Counter,
}

/// Counters by ABI and call, with the instance of each.
pub(super) type CallSeries<'a> = BTreeMap<(&'a str, &'a str), Vec<(&'a str, &'a Counter)>>;

/// All replicas, and what could not be used.
#[derive(Debug, Default)]
pub(super) struct Joined<'a> {
    pub(super) replicas: BTreeMap<ReplicaKey, ReplicaSeries<'a>>,
    /// Number of series of metadata without counts.
    pub(super) infos_without_counts: usize,
    /// Number of series of denied calls without the name of the call.
    pub(super) denied_without_name: usize,
}

/// Joins the counts of calls and of denied calls with the metadata.
///
/// # Errors
///
/// When counts are not by call.
pub(super) fn join<'a>(infos: &'a Infos, calls: &'a Counters, denied: &'a Counters) -> Result<Joined<'a>> {
    let mut index = Index::new(infos, calls.keys().chain(denied.keys()));
    let mut joined = Joined::default();
    let mut used = BTreeSet::new();
    for (labels, counter, is_denied) in calls
        .iter()
        .map(|(labels, counter)| (labels, counter, false))
        .chain(denied.iter().map(|(labels, counter)| (labels, counter, true)))
    {
        // Such as the pause containers of all pods together: no container of the workload.
        if labels.get("cgroup").starts_with(NO_NAME) {
            continue;
        }
        // Labels of several workloads can be in one selector: the others have no metadata here.
        let Some(infos) = index.of(labels) else { continue };
        used.extend(infos.iter().map(|(info, _)| *info));
        let syscall = labels.get("syscall");
        if syscall.is_empty() && !is_denied {
            bail!(not_by_call(labels));
        }
        if syscall.is_empty() || syscall.starts_with(NO_NAME) {
            joined.denied_without_name += usize::from(is_denied);
            continue;
        }
        let replica = joined.replicas.entry(key(labels, infos)).or_insert_with(|| ReplicaSeries::new(infos));
        replica.add_infos(infos);
        let series = if is_denied { &mut replica.denied } else { &mut replica.calls };
        series.entry((labels.get("abi"), syscall)).or_default().push((labels.get("instance"), counter));
    }
    joined.infos_without_counts = infos.keys().filter(|info| !used.contains(info)).count();
    Ok(joined)
}

impl<'a> Joined<'a> {
    /// Adds the classes of arguments of replicas that have calls: first of calls, then of denied calls.
    pub(super) fn add_arguments(&mut self, infos: &'a Infos, [made, denied]: &'a [Counters; 2]) {
        let mut index = Index::new(infos, made.keys().chain(denied.keys()));
        let made = made.iter().map(|(labels, counter)| (labels, counter, false));
        for (labels, counter, is_denied) in made.chain(denied.iter().map(|(labels, counter)| (labels, counter, true))) {
            let Some(infos) = index.of(labels) else { continue };
            if let Some(replica) = self.replicas.get_mut(&key(labels, infos)) {
                let class = ["abi", "syscall", "argument"].map(|name| labels.get(name));
                replica.arguments.push(ClassSeries { class, is_denied, instance: labels.get("instance"), counter });
            }
        }
    }
}

fn not_by_call(labels: &LabelSet) -> String {
    let (setting, set) = if labels.get("set").is_empty() { ("none", "") } else { ("set", labels.get("set")) };
    format!(
        "the daemon at {} counts with metrics.syscalls={setting}, so its series do not name calls{}: start it with \
         metrics.syscalls=name, and use a --range after that",
        printable_name(labels.get("instance")),
        if set.is_empty() { String::new() } else { format!(" (only sets such as {})", printable_name(set)) }
    )
}

/// Returns the replica of a series of counts.
fn key(labels: &LabelSet, infos: &[(&LabelSet, Span)]) -> ReplicaKey {
    let node = infos.iter().find_map(|(info, _)| info.workload_labels().get(Label::Node).map(ToString::to_string));
    ReplicaKey {
        labels: labels.workload_labels(),
        node: node.unwrap_or_else(|| labels.get("instance").to_owned()),
        cluster: labels.get("cluster").to_owned(),
    }
}

/// Finds metadata by the labels of counts.
///
/// The labels that identify workloads are a setting of each daemon. They are those that its counts have.
struct Index<'a> {
    infos: &'a Infos,
    /// Names of labels that counts of any workload have.
    all_names: Names<'a>,
    /// Metadata by the values of these labels, the newest first.
    by_names: HashMap<Names<'a>, ByValues<'a>>,
}

type Names<'a> = BTreeSet<&'a str>;

type ByValues<'a> = HashMap<Vec<&'a str>, Vec<(&'a LabelSet, Span)>>;

/// Counts with one of these labels are those of no other workload, whatever labels they lack. The name of a container
/// alone can be that of a pod's container, too.
const SUFFICIENT: [Label; 5] = [Label::Namespace, Label::Pod, Label::Cgroup, Label::ContainerId, Label::PodUid];

/// Maximum number of different settings of daemons, each of which takes an index of all metadata.
const MAX_SETTINGS: usize = 64;

impl<'a> Index<'a> {
    fn new(infos: &'a Infos, counts: impl Iterator<Item = &'a LabelSet>) -> Self {
        let all_names = counts.flat_map(names_of).collect();
        Self { infos, all_names, by_names: HashMap::new() }
    }

    /// Returns the metadata of a series of counts, the newest first.
    fn of(&mut self, labels: &'a LabelSet) -> Option<&[(&'a LabelSet, Span)]> {
        let has_all = self.has(&self.all_names.clone(), labels);
        let names = if has_all {
            self.all_names.clone()
        } else {
            // Daemons with different settings: only the labels that this one has.
            let own: Names<'_> = names_of(labels).collect();
            let workload = labels.workload_labels();
            let is_sufficient = SUFFICIENT.iter().any(|label| workload.get(*label).is_some());
            if !is_sufficient || !self.has(&own, labels) {
                return None;
            }
            own
        };
        self.by_names.get(&names)?.get(&values(&names, labels)).map(Vec::as_slice)
    }

    fn has(&mut self, names: &Names<'a>, labels: &'a LabelSet) -> bool {
        if !self.by_names.contains_key(names) && self.by_names.len() < MAX_SETTINGS {
            let mut by_values = ByValues::new();
            for (info, &span) in self.infos {
                by_values.entry(values(names, info)).or_default().push((info, span));
            }
            for infos in by_values.values_mut() {
                infos.sort_by(|one, other| other.1.last.total_cmp(&one.1.last).then_with(|| one.0.cmp(other.0)));
            }
            self.by_names.insert(names.clone(), by_values);
        }
        self.by_names.get(names).is_some_and(|by_values| by_values.contains_key(&values(names, labels)))
    }
}

fn names_of(labels: &LabelSet) -> impl Iterator<Item = &str> {
    labels.of_workload().map(|(name, _)| name)
}

fn values<'a>(names: &Names<'_>, labels: &'a LabelSet) -> Vec<&'a str> {
    names.iter().map(|name| labels.get(name)).collect()
}

impl<'a> ReplicaSeries<'a> {
    fn new(infos: &[(&'a LabelSet, Span)]) -> Self {
        let (info, span) = infos[0];
        Self {
            span,
            first_target: info.of_target(),
            targets: BTreeSet::new(),
            metadata: info.workload_labels(),
            images: BTreeMap::new(),
            calls: BTreeMap::new(),
            denied: BTreeMap::new(),
            arguments: Vec::new(),
        }
    }

    fn add_infos(&mut self, infos: &[(&'a LabelSet, Span)]) {
        // All series of one target have the same metadata.
        if self.targets.contains(&infos[0].0.of_target()) {
            return;
        }
        for &(info, span) in infos {
            if span.first < self.span.first {
                (self.first_target, self.span.is_exact) = (info.of_target(), span.is_exact);
            }
            self.span.first = self.span.first.min(span.first);
            self.span.last = self.span.last.max(span.last);
            self.targets.insert(info.of_target());
            let exported = info.get("exported_image");
            let image = if exported.is_empty() { info.get("image") } else { exported };
            if !image.is_empty() {
                let last = self.images.entry(image).or_insert(span.last);
                *last = last.max(span.last);
            }
        }
    }

    /// Returns its newest image.
    pub(super) fn image(&self) -> Option<&'a str> {
        self.images.iter().max_by(|one, other| one.1.total_cmp(other.1)).map(|(image, _)| *image)
    }
}

#[cfg(test)]
mod tests;
