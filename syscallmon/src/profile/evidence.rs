//! What is known about the calls of a workload, merged from any number of sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use crate::syscalls::{Call, UNKNOWN, names, split_argument};

/// Maximum number of replicas of all sources together.
const MAX_REPLICAS: usize = 100_000;

/// Maximum number of names that this version does not know. More are counted only.
const MAX_UNRECOGNIZED: usize = 64;

/// All calls of a workload, with their origin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The sources, in the order in which they were read.
    pub sources: Vec<Source>,
    /// All replicas of all sources.
    pub replicas: Vec<Replica>,
    /// What is known about each call.
    pub calls: BTreeMap<Call, Observation>,
    /// What is known about classes of arguments, as `socket(AF_UNIX)`. Either all classes of a call by a replica are
    /// known, or none. The calls are in `calls`, too.
    pub arguments: BTreeMap<Call, Observation>,
    /// Number of calls with a number that no table of syscalls has. A profile cannot name them.
    pub unknown_numbers: u64,
    /// Names that this version does not know: of a newer kernel, or mistyped.
    pub unrecognized: BTreeSet<String>,
}

/// Where evidence comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is.
    pub kind: SourceKind,
    /// Its name for people: a file, a URL, a kind of baseline.
    pub name: String,
    /// What limits its evidence, one sentence each.
    pub warnings: Vec<String>,
}

/// Kind of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// A file of `syscallmon record -- COMMAND`.
    Recording,
    /// A running daemon.
    Daemon,
    /// A learned baseline.
    Baseline,
    /// A Prometheus, with the metrics of many daemons.
    Prometheus,
}

/// One instance of the workload: a container, a run of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// Its name for people: `shop/web-6d5/nginx`, or the command.
    pub name: String,
    /// The image with its digest, if known.
    pub image: Option<String>,
    /// Begin of the observation, if known.
    pub from: Option<SystemTime>,
    /// End of the observation, if known.
    pub to: Option<SystemTime>,
    /// Whether its start was observed.
    pub saw_start: bool,
    /// Number of calls that could not be attributed while it was observed.
    pub lost: u64,
    /// Number of time windows after the start-up phase; 0 if windows are not known.
    pub windows: u32,
    /// Length of one window.
    pub window: Duration,
}

/// What is known about one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// How often it entered the kernel, in all replicas.
    pub count: u64,
    /// How often seccomp denied it, in all replicas.
    pub denied: u64,
    /// The replicas that made it and were allowed to, as indices into [`Evidence::replicas`].
    pub replicas: BTreeSet<u32>,
    /// The replicas that seccomp denied it.
    pub denied_replicas: BTreeSet<u32>,
    /// When it was made first, if known.
    pub first: Option<SystemTime>,
    /// Whether it was made in a start-up phase.
    pub in_startup: bool,
    /// Number of time windows after start-up in which it was made, in all replicas.
    pub windows: u32,
}

/// Why evidence cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// There are too many replicas.
    #[error("more than {MAX_REPLICAS} replicas: use a narrower selector or a shorter range")]
    TooManyReplicas,
}

impl SourceKind {
    /// Returns its name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Daemon => "daemon",
            Self::Baseline => "baseline",
            Self::Prometheus => "prometheus",
        }
    }
}

impl Evidence {
    /// Returns evidence of one source without replicas.
    #[must_use]
    pub fn new(kind: SourceKind, name: impl Into<String>) -> Self {
        let source = Source { kind, name: name.into(), warnings: Vec::new() };
        Self { sources: vec![source], ..Self::default() }
    }

    /// Adds a limitation of the newest source.
    pub fn warn(&mut self, warning: impl Into<String>) {
        if let Some(source) = self.sources.last_mut() {
            source.warnings.push(warning.into());
        }
    }

    /// Adds a replica. Returns its index.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub fn add_replica(&mut self, replica: Replica) -> Result<u32, EvidenceError> {
        if self.replicas.len() >= MAX_REPLICAS {
            return Err(EvidenceError::TooManyReplicas);
        }
        let index = u32::try_from(self.replicas.len()).map_err(|_| EvidenceError::TooManyReplicas)?;
        self.replicas.push(replica);
        Ok(index)
    }

    /// Adds what is known about a call, by the names of labels. A call without a name, or with one that no table has,
    /// is noted apart, because a profile cannot have it.
    pub fn add(&mut self, abi: &str, syscall: &str, observation: &Observation) {
        if syscall == UNKNOWN {
            self.unknown_numbers = self.unknown_numbers.saturating_add(observation.count);
            return;
        }
        match names::call(abi, syscall) {
            Some(call) => self.of(call).entry(call).or_default().add(observation),
            None if self.unrecognized.len() < MAX_UNRECOGNIZED => {
                let name: String = format!("{abi}/{syscall}").chars().take(64).collect();
                self.unrecognized.insert(name);
            }
            None => {}
        }
    }

    /// Adds all classes of arguments of one replica, by ABI and name. Of a call that has a class which this version
    /// does not know, none is added, because a profile could not allow that class.
    pub fn add_arguments<'a>(&mut self, classes: impl IntoIterator<Item = (&'a str, &'a str, Observation)>) {
        let classes: Vec<_> = classes.into_iter().collect();
        let is_unknown = |(abi, class, _): &&(&str, &str, _)| names::call(abi, class).is_none();
        let call = |abi, class| (abi, split_argument(class).0);
        let unknown: BTreeSet<_> = classes.iter().filter(is_unknown).map(|&(abi, class, _)| call(abi, class)).collect();
        for (abi, class, observation) in classes.iter().filter(|(abi, class, _)| !unknown.contains(&call(abi, class))) {
            self.add(abi, class, observation);
        }
    }

    /// Whether a call was made or denied.
    #[must_use]
    pub fn has(&self, abi: &str, syscall: &str) -> bool {
        names::call(abi, syscall).is_some_and(|call| self.calls.contains_key(&call))
    }

    fn of(&mut self, call: Call) -> &mut BTreeMap<Call, Observation> {
        if call.argument().is_empty() { &mut self.calls } else { &mut self.arguments }
    }

    /// Merges other evidence into this.
    ///
    /// # Errors
    ///
    /// When there are too many replicas.
    pub fn merge(&mut self, other: Self) -> Result<(), EvidenceError> {
        let shift = u32::try_from(self.replicas.len()).map_err(|_| EvidenceError::TooManyReplicas)?;
        for replica in other.replicas {
            self.add_replica(replica)?;
        }
        let shifted = |replicas: BTreeSet<u32>| replicas.into_iter().map(|index| index + shift).collect();
        for (call, mut observation) in other.calls.into_iter().chain(other.arguments) {
            observation.replicas = shifted(observation.replicas);
            observation.denied_replicas = shifted(observation.denied_replicas);
            self.of(call).entry(call).or_default().add(&observation);
        }
        self.sources.extend(other.sources);
        self.unknown_numbers = self.unknown_numbers.saturating_add(other.unknown_numbers);
        self.unrecognized.extend(other.unrecognized);
        Ok(())
    }
}

impl Observation {
    /// Adds another observation of the same call.
    pub fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.denied = self.denied.saturating_add(other.denied);
        self.replicas.extend(&other.replicas);
        self.denied_replicas.extend(&other.denied_replicas);
        self.first = match (self.first, other.first) {
            (Some(own), Some(others)) => Some(own.min(others)),
            (own, others) => own.or(others),
        };
        self.in_startup |= other.in_startup;
        self.windows = self.windows.saturating_add(other.windows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(name: &str) -> Replica {
        Replica {
            name: name.to_owned(),
            image: None,
            from: None,
            to: None,
            saw_start: true,
            lost: 0,
            windows: 3,
            window: Duration::from_secs(1),
        }
    }

    fn seen(replica: u32, count: u64) -> Observation {
        Observation { count, replicas: [replica].into(), ..Observation::default() }
    }

    fn of_one(name: &str, syscall: &str) -> Evidence {
        let mut evidence = Evidence::new(SourceKind::Recording, name);
        let index = evidence.add_replica(replica(name)).unwrap();
        evidence.add("x86_64", syscall, &seen(index, 2));
        evidence.add("x86_64", "read", &seen(index, 1));
        evidence
    }

    #[test]
    fn merged_evidence_knows_which_replicas_made_a_call() {
        let mut all = of_one("a", "openat");
        all.merge(of_one("b", "kill")).unwrap();
        let of = |syscall| all.calls[&Call { abi: "x86_64", syscall }].clone();
        assert_eq!((of("openat").replicas, of("kill").replicas), ([0].into(), [1].into()));
        assert_eq!((of("read").replicas, of("read").count), ([0, 1].into(), 2));
        assert_eq!((all.sources.len(), all.replicas.len()), (2, 2));
    }

    #[test]
    fn calls_without_a_name_are_never_names_of_calls() {
        let mut evidence = of_one("a", "openat");
        evidence.add("x86_64", "unknown", &seen(0, 7));
        evidence.add("x86_64", "open\"at", &seen(0, 7));
        evidence.add("riscv64", "openat", &seen(0, 7));
        assert_eq!((evidence.calls.len(), evidence.unknown_numbers), (2, 7));
        assert_eq!(evidence.unrecognized, ["riscv64/openat".to_owned(), "x86_64/open\"at".to_owned()].into());
    }

    #[test]
    fn classes_of_arguments_are_apart_from_calls_and_complete_or_absent() {
        let mut all = of_one("a", "socket");
        let mut other = of_one("b", "socket");
        let classes = ["socket(AF_UNIX)", "socket(AF_NEW)", "prctl(other)", "ioctl(KVM)"];
        other.add_arguments(classes.map(|class| ("x86_64", class, seen(0, 1))));
        all.merge(other).unwrap();
        let classes: Vec<_> = all.arguments.iter().map(|(class, seen)| (class.syscall, &seen.replicas)).collect();
        assert_eq!(classes, [("ioctl(KVM)", &[1].into()), ("prctl(other)", &[1].into())]);
        let calls: Vec<&str> = all.calls.keys().map(|call| call.syscall).collect();
        assert_eq!((calls, all.unrecognized.len()), (vec!["read", "socket"], 0));
    }

    #[test]
    fn replicas_and_unrecognized_names_are_bounded() {
        let mut evidence = Evidence::new(SourceKind::Prometheus, "p");
        evidence.replicas = vec![replica("a"); MAX_REPLICAS];
        assert!(evidence.add_replica(replica("b")).is_err());
        assert!(of_one("a", "openat").merge(evidence.clone()).is_err());
        (0..1000).for_each(|number| evidence.add("x86_64", &format!("call{number}"), &seen(0, 1)));
        assert_eq!(evidence.unrecognized.len(), MAX_UNRECOGNIZED);
    }
}
