//! What was learned of a kind of workloads, as its file has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    detect::{BaselineKey, Learn, policy::essential},
    rfc3339,
    syscalls::{CallId, CallTable},
};

/// The version of the format that this binary writes, and the newest that it reads.
const VERSION: u32 = 1;

/// Most calls of one baseline: more than all ABIs together have.
const MAX_CALLS: usize = 4096;

/// Progress that may be lost when the daemon dies: a baseline that learns nothing new is written this often.
const SAVE_PROGRESS: u64 = 300;

/// The calls of a kind of workloads, and how far it is with learning them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    version: u32,
    /// What workloads it is of.
    pub kind: BaselineKey,
    /// The policy that learns, or learned, it.
    pub policy: Arc<str>,
    /// Whether it still learns.
    pub state: Phase,
    /// Whether somebody said that it is complete.
    #[serde(default)]
    pub approved: bool,
    /// Whether it began after its containers started, and has not seen a start yet: what they do at the start only is
    /// not in it.
    #[serde(default)]
    pub partial: bool,
    /// When it began to learn.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "rfc3339::deserialize")]
    pub began: SystemTime,
    /// When the newest call appeared.
    #[serde(
        serialize_with = "humantime_serde::serialize",
        deserialize_with = "rfc3339::deserialize_some",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub last_new: Option<SystemTime>,
    /// When it ceased to learn.
    #[serde(
        serialize_with = "humantime_serde::serialize",
        deserialize_with = "rfc3339::deserialize_some",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub frozen_at: Option<SystemTime>,
    /// For how long workloads of the kind were there while it learned.
    #[serde(deserialize_with = "humantime_serde::deserialize", serialize_with = "in_seconds", default)]
    pub learned_for: Duration,
    /// For how long of that, up to now, no new call appeared.
    #[serde(deserialize_with = "humantime_serde::deserialize", serialize_with = "in_seconds", default)]
    pub quiet_for: Duration,
    /// For how long no workload of the kind was there, to the day.
    #[serde(
        deserialize_with = "humantime_serde::deserialize",
        serialize_with = "in_seconds",
        default,
        skip_serializing_if = "is_no_second"
    )]
    pub unseen_for: Duration,
    /// By ABI and name, as `x86_64/openat`. Those that this binary's tables do not know stay.
    calls: BTreeMap<Arc<str>, LearnedFrom>,
    /// Those that they do know.
    #[serde(skip)]
    known: BTreeSet<CallId>,
}

/// Whether a baseline still learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// New calls are learned.
    Learning,
    /// New calls are unexpected.
    Guarding,
}

impl Phase {
    /// As labels have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Learning => "learning",
            Self::Guarding => "guarding",
        }
    }
}

/// When a call appeared, and in which thread. As text `2026-01-31T12:00:00Z nginx`; empty for calls that were
/// added by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearnedFrom {
    /// When; to the second.
    pub time: Option<SystemTime>,
    /// The thread's name.
    pub comm: Option<Box<str>>,
}

/// A text that is no baseline.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// It cannot be read.
    #[error("not a baseline: {0}")]
    Format(#[from] serde_json::Error),
    /// A newer syscallmon wrote it.
    #[error("format version {found} is not supported (up to {VERSION}): use the newer syscallmon that wrote it")]
    Newer {
        /// The version.
        found: u32,
    },
    /// What is called there is no call.
    #[error("{name:?} is not a call: expected the form x86_64/openat")]
    Call {
        /// What stands there.
        name: Arc<str>,
    },
    /// It is too large to be one.
    #[error("has more than {MAX_CALLS} calls")]
    TooLarge,
}

impl Baseline {
    pub(super) fn new(kind: BaselineKey, policy: Arc<str>, now: SystemTime, partial: bool) -> Self {
        Self {
            version: VERSION,
            kind,
            policy,
            state: Phase::Learning,
            approved: false,
            partial,
            began: whole_seconds(now),
            last_new: None,
            frozen_at: None,
            learned_for: Duration::ZERO,
            quiet_for: Duration::ZERO,
            unseen_for: Duration::ZERO,
            calls: BTreeMap::new(),
            known: BTreeSet::new(),
        }
    }

    /// Reads what [`Baseline::to_json`] wrote, or somebody edited.
    ///
    /// # Errors
    ///
    /// When it is none, or of a version that is newer than this binary.
    pub fn from_json(text: &[u8], calls: &CallTable) -> Result<Self, BaselineError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let found = serde_json::from_slice::<Versioned>(text)?.version;
        if found > VERSION {
            return Err(BaselineError::Newer { found });
        }
        let mut baseline: Self = serde_json::from_slice(text)?;
        if baseline.calls.len() > MAX_CALLS {
            return Err(BaselineError::TooLarge);
        }
        for name in baseline.calls.keys() {
            let is_word = |word: &str| {
                let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
                !word.is_empty() && word.bytes().all(is_plain)
            };
            let (abi, syscall) = name.split_once('/').unwrap_or_default();
            if !is_word(abi) || !is_word(syscall) {
                return Err(BaselineError::Call { name: Arc::clone(name) });
            }
            baseline.known.extend(calls.id(abi, syscall));
        }
        Ok(baseline)
    }

    /// As its file has it: a line for each call.
    ///
    /// # Errors
    ///
    /// When one of its times is beyond the year 9999.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Adds a call; whether it was new.
    pub(super) fn learn(&mut self, call: CallId, calls: &CallTable, now: SystemTime, comm: Option<&str>) -> bool {
        if self.state != Phase::Learning || !self.known.insert(call) {
            return false;
        }
        let now = whole_seconds(now);
        let name = calls.call(call);
        let seen = LearnedFrom { time: Some(now), comm: comm.filter(|comm| !comm.is_empty()).map(Into::into) };
        self.calls.insert(format!("{}/{}", name.abi, name.syscall).into(), seen);
        // What every program calls at some time is no sign that there is more to learn.
        if !essential::is_essential(name) {
            self.last_new = Some(now);
            self.quiet_for = Duration::ZERO;
        }
        true
    }

    /// Lets time pass while a workload of the kind is there; whether that is worth to be written.
    pub(super) fn pass(&mut self, time: Duration) -> bool {
        let saves = self.learned_for.as_secs() / SAVE_PROGRESS;
        self.learned_for = self.learned_for.saturating_add(time);
        self.quiet_for = self.quiet_for.saturating_add(time);
        self.learned_for.as_secs() / SAVE_PROGRESS != saves
    }

    /// Whether all has been learned that there is, or that there is time for. What made no call at all has not been
    /// seen to do anything.
    pub(super) fn is_complete(&self, learn: Learn) -> bool {
        let is_quiet = self.learned_for >= learn.at_least && self.quiet_for >= learn.quiet_for;
        let is_long = self.learned_for >= learn.at_most;
        (is_quiet || is_long) && self.state == Phase::Learning && !self.calls.is_empty()
    }

    pub(super) fn freeze(&mut self, now: SystemTime) {
        if self.state == Phase::Learning {
            self.state = Phase::Guarding;
            self.frozen_at = Some(whole_seconds(now));
        }
    }

    pub(super) fn approve(&mut self, now: SystemTime) {
        self.freeze(now);
        self.approved = true;
    }

    pub(super) fn relearn(&mut self, now: SystemTime) {
        let calls = (std::mem::take(&mut self.calls), std::mem::take(&mut self.known));
        *self = Self::new(self.kind.clone(), Arc::clone(&self.policy), now, self.partial);
        (self.calls, self.known) = calls;
    }

    /// How many calls it has, known or not.
    #[must_use]
    pub fn size(&self) -> usize {
        self.calls.len()
    }

    /// Its calls.
    #[must_use]
    pub fn calls(&self) -> &BTreeSet<CallId> {
        &self.known
    }

    /// Names of its calls that this binary's tables do not have: of a newer kernel, or mistyped.
    pub fn unknown_calls<'a>(&'a self, calls: &'a CallTable) -> impl Iterator<Item = &'a str> {
        let names = self.calls.keys().map(AsRef::as_ref);
        names.filter(|name| name.split_once('/').and_then(|(abi, syscall)| calls.id(abi, syscall)).is_none())
    }
}

/// Nobody needs to know it better, and people read it.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn is_no_second(duration: &Duration) -> bool {
    duration.as_secs() == 0
}

/// A duration as people read it, to the second.
pub(crate) fn in_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    humantime_serde::serialize(&Duration::from_secs(duration.as_secs()), serializer)
}

impl fmt::Display for LearnedFrom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(time) = self.time else { return Ok(()) };
        write!(formatter, "{}", humantime::format_rfc3339_seconds(time))?;
        self.comm.iter().try_for_each(|comm| write!(formatter, " {comm}"))
    }
}

impl Serialize for LearnedFrom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LearnedFrom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        let (time, comm) = text.split_once(' ').map_or((text.as_str(), None), |(time, comm)| (time, Some(comm)));
        let needed = || {
            serde::de::Error::custom(format!(
                "{text:?} is not a time: expected the form 2026-01-31T12:00:00Z, or nothing"
            ))
        };
        Ok(Self { time: Some(rfc3339::parse(time).ok_or_else(needed)?), comm: comm.map(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    fn baseline() -> Baseline {
        let table = CallTable::x86_64();
        let mut baseline = Baseline::new("docker:web".parse().unwrap(), "web".into(), time(0), true);
        for (abi, syscall, comm) in [("x86_64", "openat", Some("nginx: master")), ("io_uring", "openat", None)] {
            assert!(baseline.learn(table.id(abi, syscall).unwrap(), &table, time(1), comm));
        }
        baseline.pass(Duration::from_millis(61_500));
        baseline
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let mut written = baseline();
        let text = written.to_json().unwrap();
        assert!(text.contains("\n    \"x86_64/openat\": \"2027-01-15T08:00:01Z nginx: master\""), "{text}");
        assert!(text.contains("\"learned_for\": \"1m 1s\""), "{text}");
        (written.learned_for, written.quiet_for) = (Duration::from_secs(61), Duration::from_secs(61));
        assert_eq!(Baseline::from_json(text.as_bytes(), &CallTable::x86_64()).unwrap(), written);
    }

    #[test]
    fn times_are_read_in_whatever_zone_they_were_written() {
        let mut written = baseline();
        written.approve(time(2));
        let text = written.to_json().unwrap();
        let elsewhere =
            text.replace("T08:00:0", "T13:30:0").replace("Z\"", "+05:30\"").replace("Z nginx", "+05:30 nginx");
        assert_ne!(elsewhere, text);
        let [here, there] =
            [text, elsewhere].map(|text| Baseline::from_json(text.as_bytes(), &CallTable::x86_64()).unwrap());
        assert_eq!(here, there);
    }

    #[test]
    fn calls_of_a_newer_kernel_stay_in_the_file() {
        let text = baseline().to_json().unwrap().replace("x86_64/openat", "x86_64/openat9");
        let table = CallTable::x86_64();
        let read = Baseline::from_json(text.as_bytes(), &table).unwrap();
        assert_eq!((read.size(), read.calls().len()), (2, 1));
        assert_eq!(read.unknown_calls(&table).collect::<Vec<_>>(), ["x86_64/openat9"]);
        assert!(read.to_json().unwrap().contains("x86_64/openat9"));
    }

    #[test]
    fn a_call_can_be_added_by_hand_without_saying_when() {
        let text = baseline().to_json().unwrap().replace("\"calls\": {", "\"calls\": {\"x86_64/chroot\": \"\",");
        let table = CallTable::x86_64();
        let read = Baseline::from_json(text.as_bytes(), &table).unwrap();
        assert!(read.calls().contains(&table.id("x86_64", "chroot").unwrap()));
        assert!(read.to_json().unwrap().contains("\"x86_64/chroot\": \"\""));
    }

    #[test]
    fn what_is_no_baseline_is_refused_with_the_reason() {
        let good = baseline().to_json().unwrap();
        for (from, to, reason) in [
            ("\"version\": 1", "\"version\": 2, \"more\": []", "format version 2 is not supported (up to 1)"),
            ("\"version\": 1,", "", "missing field `version`"),
            ("\"partial\"", "\"partail\"", "unknown field `partail`"),
            ("docker:web", "docker:", "is not a kind of workload"),
            ("x86_64/openat", "openat", "\"openat\" is not a call"),
            ("2027-01-15T08:00:01Z nginx", "yesterday nginx", "is not a time"),
            ("learning", "dreaming", "unknown variant `dreaming`"),
        ] {
            let bad = good.replace(from, to);
            let error = Baseline::from_json(bad.as_bytes(), &CallTable::x86_64()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn progress_is_written_every_five_minutes() {
        let mut baseline = Baseline::new("docker:web".parse().unwrap(), "web".into(), time(0), false);
        let writes = (0..121).filter(|_| baseline.pass(Duration::from_secs(5))).count();
        assert_eq!(writes, 2);
    }
}
