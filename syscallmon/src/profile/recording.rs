//! The recording of one command, as `syscallmon record -- COMMAND` writes it: JSON that a person can read.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize, Serializer};

use super::{Evidence, EvidenceError, Observation, Replica, SourceKind};
use crate::{rfc3339, syscalls::split_argument};

/// The version of the format. Readers refuse newer ones.
const VERSION: u32 = 1;

/// Maximum number of calls in a recording: all ABIs of an architecture have fewer.
const MAX_CALLS: usize = 4096;

/// The calls of one command and of all processes that it started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRecording {
    /// Version of the format.
    pub version: u32,
    /// Version of the syscallmon that wrote it.
    pub syscallmon: String,
    /// The command and its arguments, without secrets.
    pub command: Vec<String>,
    /// Release of the kernel, as `uname -r` prints it.
    pub kernel: String,
    /// The native ABI, such as `x86_64`.
    pub architecture: String,
    /// Begin of the command.
    #[serde(serialize_with = "in_rfc3339", deserialize_with = "rfc3339::deserialize")]
    pub began: SystemTime,
    /// How long it ran, with all of its processes.
    pub seconds: f64,
    /// End of the start-up phase, in seconds after the begin; absent if phases were not separated, or the command ended
    /// in its start-up phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_seconds: Option<f64>,
    /// How the command ended.
    pub end: CommandEnd,
    /// Number of calls that may be missing, because a table of the kernel was full or an update was lost.
    pub lost: u64,
    /// Length of a time window, in seconds.
    pub window_seconds: f64,
    /// Number of time windows after the start-up phase.
    pub windows: u32,
    /// By ABI and name, as `x86_64/openat`. Classes of arguments have keys as `x86_64/socket(AF_UNIX)`.
    pub calls: BTreeMap<String, RecordedCall>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandEnd {
    /// With this exit status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

/// What a command did with one call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordedCall {
    /// Number of calls in the start-up phase.
    #[serde(skip_serializing_if = "is_zero")]
    pub startup: u64,
    /// Number of calls after the start-up phase, or of all if there is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub serving: u64,
    /// Number of calls that seccomp denied.
    #[serde(skip_serializing_if = "is_zero")]
    pub denied: u64,
    /// Number of errors by errno.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
    /// When it was made first, in seconds after the begin of the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seconds: Option<f64>,
    /// The thread that made it first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// Number of time windows after the start-up phase in which it was made.
    #[serde(skip_serializing_if = "is_zero")]
    pub windows: u32,
}

/// A text that is not a recording of a command.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It cannot be parsed.
    #[error("not a recording of a command: {0}")]
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
        name: String,
    },
    /// A time is out of range.
    #[error("{field} is not a duration in seconds: {value}")]
    Seconds {
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// It is too large.
    #[error("has more than {MAX_CALLS} calls")]
    TooLarge,
}

impl CommandRecording {
    /// The version that this binary writes.
    pub const VERSION: u32 = VERSION;

    /// Parses the text of [`Self::to_json`].
    ///
    /// # Errors
    ///
    /// When it is not a recording, or of a newer version.
    pub fn from_json(text: &[u8]) -> Result<Self, RecordingError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let found = serde_json::from_slice::<Versioned>(text)?.version;
        if found > VERSION {
            return Err(RecordingError::Newer { found });
        }
        let recording: Self = serde_json::from_slice(text)?;
        if recording.calls.len() > MAX_CALLS {
            return Err(RecordingError::TooLarge);
        }
        if let Some(name) = recording.calls.keys().find(|name| name.split_once('/').is_none()) {
            return Err(RecordingError::Call { name: name.chars().take(64).collect() });
        }
        let (seconds, window) = (recording.seconds, recording.window_seconds);
        for (field, value) in [("seconds", seconds), ("window_seconds", window)] {
            duration(value).ok_or(RecordingError::Seconds { field, value })?;
        }
        Ok(recording)
    }

    /// Returns the text of its file: one line for each call.
    ///
    /// # Errors
    ///
    /// When its time is after the year 9999, or a number is infinite.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let whole = Self { calls: BTreeMap::new(), ..self.clone() };
        let mut text = serde_json::to_string_pretty(&whole)?;
        let empty = "\"calls\": {}\n}";
        text.truncate(text.len() - empty.len());
        let line =
            |(name, call)| Ok(format!("\n    {}: {}", serde_json::to_string(name)?, serde_json::to_string(call)?));
        let lines: Result<Vec<String>, serde_json::Error> = self.calls.iter().map(line).collect();
        let end = if self.calls.is_empty() { "}\n}\n" } else { "\n  }\n}\n" };
        Ok(text + "\"calls\": {" + &lines?.join(",") + end)
    }

    /// Whether a call was made in the first time window only, of a recording without a start-up phase.
    fn is_of_the_begin(&self, call: &RecordedCall) -> bool {
        let is_early = call.first_seconds.is_some_and(|seconds| seconds <= self.window_seconds);
        self.startup_seconds.is_none() && call.windows <= 1 && is_early
    }

    /// Returns the recording as evidence of one replica.
    ///
    /// # Errors
    ///
    /// None for one replica; the signature is that of all sources.
    pub fn evidence(&self, name: &str) -> Result<Evidence, EvidenceError> {
        let mut evidence = Evidence::new(SourceKind::Recording, name);
        let replica = evidence.add_replica(Replica {
            name: self.command.first().cloned().unwrap_or_default(),
            image: None,
            from: Some(self.began),
            to: duration(self.seconds).and_then(|time| self.began.checked_add(time)),
            saw_start: true,
            lost: self.lost,
            windows: self.windows,
            window: duration(self.window_seconds).unwrap_or_default(),
        })?;
        if self.lost > 0 {
            evidence.warn(format!("{} calls may be missing", self.lost));
        }
        let mut classes = Vec::new();
        for (name, call) in &self.calls {
            let (abi, syscall) = name.split_once('/').unwrap_or_default();
            let count = call.startup.saturating_add(call.serving);
            let replicas = |is_one: bool| if is_one { [replica].into() } else { [].into() };
            let first = call.first_seconds.and_then(duration).and_then(|after| self.began.checked_add(after));
            let observation = Observation {
                count,
                denied: call.denied,
                replicas: replicas(count > 0),
                denied_replicas: replicas(call.denied > 0),
                first,
                in_startup: call.startup > 0 || self.is_of_the_begin(call),
                windows: call.windows,
            };
            if split_argument(syscall).1.is_empty() {
                evidence.add(abi, syscall, &observation);
            } else {
                classes.push((abi, syscall, observation));
            }
        }
        evidence.add_arguments(classes);
        Ok(evidence)
    }
}

fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

fn in_rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording() -> CommandRecording {
        let call = RecordedCall {
            startup: 3,
            serving: 4,
            errors: [("ENOENT".to_owned(), 2)].into(),
            first_seconds: Some(0.5),
            thread: Some("nginx".to_owned()),
            windows: 2,
            ..RecordedCall::default()
        };
        let denied = RecordedCall { denied: 9, ..RecordedCall::default() };
        CommandRecording {
            version: VERSION,
            syscallmon: "0.1.0".to_owned(),
            command: vec!["nginx".to_owned(), "-g".to_owned()],
            kernel: "6.18.0".to_owned(),
            architecture: "x86_64".to_owned(),
            began: SystemTime::UNIX_EPOCH + Duration::from_hours(500_000),
            seconds: 12.5,
            startup_seconds: Some(2.0),
            end: CommandEnd::Signal(15),
            lost: 0,
            window_seconds: 1.0,
            windows: 10,
            calls: [("x86_64/openat".to_owned(), call), ("x86_64/kill".to_owned(), denied)].into(),
        }
    }

    #[test]
    fn a_file_is_read_as_it_was_written_and_has_a_line_for_each_call() {
        let written = recording();
        let text = written.to_json().unwrap();
        assert!(
            text.contains("\n    \"x86_64/kill\": {\"denied\":9},\n    \"x86_64/openat\": {\"startup\":3"),
            "{text}"
        );
        assert_eq!(CommandRecording::from_json(text.as_bytes()).unwrap(), written);
        let empty = CommandRecording { calls: BTreeMap::new(), ..written };
        assert_eq!(CommandRecording::from_json(empty.to_json().unwrap().as_bytes()).unwrap(), empty);
    }

    #[test]
    fn denied_calls_are_evidence_apart_from_calls_that_were_made() {
        let evidence = recording().evidence("web.json").unwrap();
        let of = |syscall| evidence.calls[&crate::syscalls::Call { abi: "x86_64", syscall }].clone();
        assert_eq!((of("openat").count, of("openat").replicas.len(), of("openat").in_startup), (7, 1, true));
        assert_eq!((of("kill").count, of("kill").replicas.len(), of("kill").denied_replicas.len()), (0, 0, 1));
    }

    #[test]
    fn classes_of_arguments_are_evidence_apart_from_calls() {
        let call = |serving, denied| RecordedCall { serving, denied, ..RecordedCall::default() };
        let calls = [("socket", call(5, 2)), ("socket(AF_UNIX)", call(5, 0)), ("socket(AF_ALG)", call(0, 2))];
        let calls = calls.map(|(name, call)| (format!("x86_64/{name}"), call)).into();
        let written = CommandRecording { calls, ..recording() };
        let read = CommandRecording::from_json(written.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!(read, written);
        let evidence = read.evidence("web.json").unwrap();
        let seen: Vec<_> = evidence.arguments.iter().map(|(of, seen)| (of.syscall, seen.count, seen.denied)).collect();
        assert_eq!(seen, [("socket(AF_ALG)", 0, 2), ("socket(AF_UNIX)", 5, 0)]);
        assert_eq!(evidence.calls.len(), 1);
    }

    #[test]
    fn without_a_start_up_phase_calls_of_the_first_window_are_those_of_the_start() {
        let early = RecordedCall { serving: 1, first_seconds: Some(0.2), windows: 1, ..RecordedCall::default() };
        let late = RecordedCall { first_seconds: Some(5.0), ..early.clone() };
        let often = RecordedCall { windows: 9, ..early.clone() };
        let calls = [("x86_64/brk", early), ("x86_64/kill", late), ("x86_64/read", often)];
        let calls = calls.map(|(name, call)| (name.to_owned(), call)).into();
        let evidence = CommandRecording { startup_seconds: None, calls, ..recording() }.evidence("web.json").unwrap();
        let of = |syscall| evidence.calls[&crate::syscalls::Call { abi: "x86_64", syscall }].in_startup;
        assert_eq!((of("brk"), of("kill"), of("read")), (true, false, false));
    }

    #[test]
    fn what_is_no_recording_is_refused_with_the_reason() {
        let good = recording().to_json().unwrap();
        for (from, to, reason) in [
            ("\"version\": 1", "\"version\": 2", "format version 2 is not supported (up to 1)"),
            ("\"seconds\": 12.5", "\"seconds\": -1.0", "seconds is not a duration in seconds: -1"),
            ("x86_64/openat", "openat", "\"openat\" is not a call"),
            ("2027-01-15T", "2027-01-15 at ", "is not a time"),
            ("\"windows\": 10", "\"windows\": -10", "invalid value"),
            ("\"startup\":3", "\"start\":3", "unknown field `start`"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good, "{from}");
            let error = CommandRecording::from_json(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        for cut in 0..good.len() - 2 {
            assert!(CommandRecording::from_json(&good.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }
}
