//! Seccomp profiles: from what a workload calls to a profile, and from a profile to what it would break.
//!
//! [`Evidence`] is what is known about the calls of a workload, merged from recordings, daemons, baselines and
//! Prometheus. This module does no I/O; [`crate::command`] reads sources and writes files.

pub mod base;
mod evidence;
mod recording;

pub use self::{
    evidence::{Evidence, EvidenceError, Observation, Replica, Source, SourceKind},
    recording::{CommandEnd, CommandRecording, RecordedCall, RecordingError},
};
