//! The baseline of a kind of workloads, as in its file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::expected::with_expected;
use crate::{
    detect::{BaselineKey, Learn, policy::essential},
    rfc3339,
    syscalls::{CallId, CallTable, split_argument},
};

/// The version of the format that this binary writes, and the newest that it reads. Version 2 has classes of arguments.
const VERSION: u32 = 2;

/// Maximum calls of a baseline: more than all ABIs have together.
const MAX_CALLS: usize = 4096;

/// Maximum progress that is lost if the daemon dies: the interval of writing a baseline that learns nothing new.
const SAVE_PROGRESS: u64 = 300;

/// The learned calls of a kind of workloads, and the progress of learning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    version: u32,
    /// The kind of workloads that made these calls.
    pub kind: BaselineKey,
    /// The policy that learns or learned it.
    pub policy: Arc<str>,
    /// Whether it still learns.
    pub state: Phase,
    /// Whether a person approved it.
    #[serde(default)]
    pub approved: bool,
    /// Whether it began after its containers started, and has seen no start yet. Then calls that are made only at a
    /// start are missing.
    #[serde(default)]
    pub partial: bool,
    /// Whether a container of the kind has ended while it learned. Otherwise calls that are made only at a stop are
    /// missing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stop_seen: bool,
    /// When it began to learn.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "rfc3339::deserialize")]
    pub began: SystemTime,
    /// When the newest call was added.
    #[serde(
        serialize_with = "humantime_serde::serialize",
        deserialize_with = "rfc3339::deserialize_some",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub last_new: Option<SystemTime>,
    /// When it stopped learning.
    #[serde(
        serialize_with = "humantime_serde::serialize",
        deserialize_with = "rfc3339::deserialize_some",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub frozen_at: Option<SystemTime>,
    /// How long workloads of the kind were seen while it learned.
    #[serde(deserialize_with = "humantime_serde::deserialize", serialize_with = "in_seconds", default)]
    pub learned_for: Duration,
    /// How long, up to now, no new call appeared in that time.
    #[serde(deserialize_with = "humantime_serde::deserialize", serialize_with = "in_seconds", default)]
    pub quiet_for: Duration,
    /// How long no workload of the kind was seen, to the day.
    #[serde(
        deserialize_with = "humantime_serde::deserialize",
        serialize_with = "in_seconds",
        default,
        skip_serializing_if = "is_no_second"
    )]
    pub unseen_for: Duration,
    /// By ABI and name, as `x86_64/openat`, with calls that this binary's tables lack.
    calls: BTreeMap<Arc<str>, LearnedFrom>,
    /// Calls that the tables have.
    #[serde(skip)]
    known: BTreeSet<CallId>,
    /// The same, with calls that need not be learned after these.
    #[serde(skip)]
    expected: BTreeSet<CallId>,
}

/// State of a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// New calls are learned.
    Learning,
    /// New calls are unexpected.
    Guarding,
}

impl Phase {
    /// Returns the value of a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Learning => "learning",
            Self::Guarding => "guarding",
        }
    }
}

/// When a call appeared, and in which thread. As text: `2026-01-31T12:00:00Z nginx`; empty for calls that a person
/// added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearnedFrom {
    /// Time, to the second.
    pub time: Option<SystemTime>,
    /// Name of the thread.
    pub comm: Option<Box<str>>,
}

/// A text that is not a baseline.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// It cannot be parsed.
    #[error("not a baseline: {0}")]
    Format(#[from] serde_json::Error),
    /// A newer syscallmon wrote it.
    #[error("format version {found} is not supported (up to {VERSION}): use the newer syscallmon that wrote it")]
    Newer {
        /// The version.
        found: u32,
    },
    /// A key is not a call.
    #[error("{name:?} is not a call: expected the form x86_64/openat")]
    Call {
        /// The key.
        name: Arc<str>,
    },
    /// It is too large.
    #[error("has more than {MAX_CALLS} calls")]
    TooLarge,
}

impl Baseline {
    pub(super) fn new(key: BaselineKey, policy: Arc<str>, now: SystemTime, partial: bool) -> Self {
        Self {
            version: VERSION,
            kind: key,
            policy,
            state: Phase::Learning,
            approved: false,
            partial,
            stop_seen: false,
            began: whole_seconds(now),
            last_new: None,
            frozen_at: None,
            learned_for: Duration::ZERO,
            quiet_for: Duration::ZERO,
            unseen_for: Duration::ZERO,
            calls: BTreeMap::new(),
            known: BTreeSet::new(),
            expected: BTreeSet::new(),
        }
    }

    /// Parses the text of [`Baseline::to_json`], or an edited one.
    ///
    /// # Errors
    ///
    /// When it is not a baseline, or of a newer version.
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
            let (call, argument) = split_argument(syscall);
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_,|".contains(&byte);
            if !is_word(abi) || !is_word(call) || !argument.bytes().all(is_part) {
                return Err(BaselineError::Call { name: Arc::clone(name) });
            }
            baseline.known.extend(calls.id(abi, syscall));
        }
        baseline.expected = with_expected(baseline.known.iter().copied(), calls);
        Ok(baseline)
    }

    /// Returns the text of its file: a line for each call.
    ///
    /// # Errors
    ///
    /// When one of its times is after the year 9999.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Adds a call. Returns whether it was new.
    pub(super) fn learn(&mut self, call: CallId, calls: &CallTable, now: SystemTime, comm: Option<&str>) -> bool {
        if self.state != Phase::Learning || !self.known.insert(call) {
            return false;
        }
        self.version = VERSION;
        let now = whole_seconds(now);
        let name = calls.call(call);
        let seen = LearnedFrom { time: Some(now), comm: comm.filter(|comm| !comm.is_empty()).map(Into::into) };
        self.calls.insert(format!("{}/{}", name.abi, name.syscall).into(), seen);
        // Calls that are expected anyway are no sign that there is more to learn.
        if !essential::is_essential(name) && !self.expected.contains(&call) {
            self.last_new = Some(now);
            self.quiet_for = Duration::ZERO;
        }
        self.expected.extend(with_expected([call], calls));
        true
    }

    /// Advances time while a workload of the kind is seen. Returns whether the baseline should be written.
    pub(super) fn pass(&mut self, time: Duration) -> bool {
        let saves = self.learned_for.as_secs() / SAVE_PROGRESS;
        self.learned_for = self.learned_for.saturating_add(time);
        self.quiet_for = self.quiet_for.saturating_add(time);
        self.learned_for.as_secs() / SAVE_PROGRESS != saves
    }

    /// Whether learning is complete, or its time is over. A workload without any call has not been observed yet.
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
        let mut fresh = Self::new(self.kind.clone(), Arc::clone(&self.policy), now, self.partial);
        (fresh.calls, fresh.known) = (std::mem::take(&mut self.calls), std::mem::take(&mut self.known));
        (fresh.expected, fresh.stop_seen) = (std::mem::take(&mut self.expected), self.stop_seen);
        *self = fresh;
    }

    /// Returns the number of its calls, known or not.
    #[must_use]
    pub fn size(&self) -> usize {
        self.calls.len()
    }

    /// Returns its calls.
    #[must_use]
    pub fn calls(&self) -> &BTreeSet<CallId> {
        &self.known
    }

    /// Returns its calls with those that need not be learned after these: siblings and harmless calls.
    #[must_use]
    pub fn expected(&self) -> &BTreeSet<CallId> {
        &self.expected
    }

    /// Returns its calls by ABI and name, as `x86_64/openat`, with those that this binary's tables lack.
    pub fn learned(&self) -> impl Iterator<Item = (&str, &LearnedFrom)> {
        self.calls.iter().map(|(name, from)| (name.as_ref(), from))
    }

    /// Returns names of its calls that this binary's tables lack: from a newer kernel, or mistyped.
    pub fn unknown_calls<'a>(&'a self, calls: &'a CallTable) -> impl Iterator<Item = &'a str> {
        let names = self.calls.keys().map(AsRef::as_ref);
        names.filter(|name| name.split_once('/').and_then(|(abi, syscall)| calls.id(abi, syscall)).is_none())
    }
}

/// Seconds suffice, and people read it.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// For serde.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

fn is_no_second(duration: &Duration) -> bool {
    duration.as_secs() == 0
}

/// A duration in the notation of people, to the second.
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
            ("\"version\": 2", "\"version\": 3, \"more\": []", "format version 3 is not supported (up to 2)"),
            ("\"version\": 2,", "", "missing field `version`"),
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
