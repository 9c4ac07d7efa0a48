//! Seccomp profiles: from what a workload calls to a profile, and from a profile to what it would break.
//!
//! [`Evidence`] is what is known about the calls of a workload, merged from recordings, daemons, baselines and
//! Prometheus. A [`Plan`] says what a profile allows and why. A [`Format`] writes it. [`Check`] compares a profile with
//! evidence. This module does no I/O; [`crate::command`] reads sources and writes files.

pub mod base;
mod check;
mod compare;
mod confidence;
pub mod danger;
mod evidence;
mod format;
mod plan;
mod principles;
mod provenance;
mod recording;
mod restriction;
mod suggestion;

pub use self::{
    check::{Check, Finding},
    compare::{Change, Comparison, Open, Surface},
    confidence::Confidence,
    evidence::{Evidence, EvidenceError, Observation, Replica, Source, SourceKind},
    format::{Details, DropInError, Format, FormatError, ProfileFile, is_drop_in, read_drop_in},
    plan::{Plan, PlanOptions, Why},
    principles::{ALWAYS_ALLOWED, ANSWERED_WITH_ENOSYS},
    provenance::{Provenance, coverage},
    recording::{CommandEnd, CommandRecording, RecordedCall, RecordingError},
    restriction::Restriction,
    suggestion::with_allowed,
};
pub use crate::syscalls::{HARMLESS, siblings};
