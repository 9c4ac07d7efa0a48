//! Names of workloads, as they are written.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::mask::Mask;
use crate::workload::{CgroupIdentity, Label, LabelError, Labels, ResolvedWorkload, Workload};

/// Labels by name.
pub(super) type Values = BTreeMap<String, String>;

/// A workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WorkloadRow {
    Resolved(Values),
    /// By its path.
    Unresolved(String),
    Unknown,
    Remainder,
    Gone,
    Pause,
    Dropped,
}

/// A workload, and its metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct NamedRow {
    pub(super) workload: WorkloadRow,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: Values,
}

pub(super) fn values(labels: &Labels, mask: Option<&Mask>) -> Values {
    let value = |name: &str, value: &str| mask.map_or_else(|| value.to_owned(), |mask| mask.label(name, value));
    labels.iter().map(|(name, text)| (name.to_owned(), value(name, text))).collect()
}

pub(super) fn workload_row(workload: &Workload, mask: Option<&Mask>) -> WorkloadRow {
    match workload {
        Workload::Resolved(labels) => WorkloadRow::Resolved(values(labels, mask)),
        Workload::Unresolved(identity) => {
            let path = identity.path();
            WorkloadRow::Unresolved(mask.map_or_else(|| path.to_string(), |mask| mask.path(path)))
        }
        Workload::Unknown => WorkloadRow::Unknown,
        Workload::Remainder => WorkloadRow::Remainder,
        Workload::Gone => WorkloadRow::Gone,
        Workload::Pause => WorkloadRow::Pause,
        Workload::Dropped => WorkloadRow::Dropped,
    }
}

pub(super) fn named_row(named: &ResolvedWorkload, mask: Option<&Mask>) -> NamedRow {
    NamedRow { workload: workload_row(&named.workload, mask), metadata: values(&named.metadata, mask) }
}

/// A name that is not valid.
#[derive(Debug, thiserror::Error)]
pub(super) enum NameError {
    #[error(transparent)]
    Label(#[from] LabelError),
    #[error("a name has {0} bytes (limit: {MAX_NAME})")]
    TooLong(usize),
}

/// Maximum bytes of a label's value: paths have at most 4,096. All labels of a workload together have at most four
/// times as many.
const MAX_NAME: usize = 8192;

/// Parses written labels.
pub(super) fn labels(values: Values) -> Result<Labels, NameError> {
    let bytes = values.values().map(String::len).sum::<usize>();
    let longest = values.values().map(String::len).max().unwrap_or(0);
    if longest > MAX_NAME || bytes > 4 * MAX_NAME {
        return Err(NameError::TooLong(longest.max(bytes)));
    }
    let label = |(name, value): (String, String)| Ok((name.parse::<Label>()?, Arc::<str>::from(value)));
    Ok(Labels::new(values.into_iter().map(label).collect::<Result<Vec<_>, LabelError>>()?))
}

pub(super) fn workload(row: WorkloadRow) -> Result<Workload, NameError> {
    Ok(match row {
        WorkloadRow::Resolved(values) => Workload::Resolved(labels(values)?),
        WorkloadRow::Unresolved(path) if path.len() > MAX_NAME => return Err(NameError::TooLong(path.len())),
        WorkloadRow::Unresolved(path) => {
            let path: Arc<str> = path.into();
            let identity = CgroupIdentity::of(&path);
            let is_whole = *identity.path() == path;
            Workload::Unresolved(Arc::new(if is_whole { identity } else { CgroupIdentity::Cgroup(path) }))
        }
        WorkloadRow::Unknown => Workload::Unknown,
        WorkloadRow::Remainder => Workload::Remainder,
        WorkloadRow::Gone => Workload::Gone,
        WorkloadRow::Pause => Workload::Pause,
        WorkloadRow::Dropped => Workload::Dropped,
    })
}

pub(super) fn named(row: NamedRow) -> Result<ResolvedWorkload, NameError> {
    Ok(ResolvedWorkload { workload: workload(row.workload)?, metadata: labels(row.metadata)? })
}
