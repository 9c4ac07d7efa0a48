//! A policy in the form for judging: its lists, looked up once for each call.

use std::{collections::BTreeSet, sync::Arc};

use super::essential;
use crate::{
    detect::{ExceptionSpec, Learn, Match, PolicyEntry, PolicyError, PolicySpec, Reason, Severity, Source, Unprefixed},
    seccomp::Profile,
    syscalls::{Call, CallId, CallTable, UNKNOWN},
    workload::{Label, Labels},
};

/// Calls that no program makes on its own: the kernel lets the C library's code make them after a signal, or for a
/// probe.
const NEVER_UNEXPECTED: [&str; 3] = ["restart_syscall", "uprobe", "uretprobe"];

/// A policy, compiled.
#[derive(Debug, PartialEq)]
pub struct Policy {
    name: Arc<str>,
    origin: Arc<str>,
    selects: Match,
    /// By [`CallId`].
    rows: Vec<CallRow>,
    exceptions: Vec<Exception>,
    learn: Option<Learn>,
}

/// The entry of a policy for one call.
#[derive(Clone, Copy, Debug, PartialEq)]
struct CallRow {
    standing: Standing,
    severity: Severity,
    /// Position of the call's ABI in the table.
    abi: u8,
    is_native: bool,
    /// Whether the call is critical.
    is_critical: bool,
    /// Whether it is essential for every program.
    is_essential: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    NeverUnexpected,
    Allowed,
    /// In the `deny` list: unexpected even if learned.
    DenyList,
    /// Unexpected unless learned; and the reason for a policy without a baseline.
    Unlisted(Reason),
}

/// An exception for some workloads.
#[derive(Debug, PartialEq)]
struct Exception {
    selects: Match,
    allowed: BTreeSet<CallId>,
}

/// Why a call is unexpected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unexpected {
    /// Its severity.
    pub severity: Severity,
    /// The reason.
    pub reason: Reason,
}

impl Policy {
    /// Compiles the policy of a file, with the seccomp profiles that it names.
    pub(super) fn new(
        source: Source,
        default_critical: &[PolicyEntry],
        table: &CallTable,
    ) -> Result<Self, PolicyError> {
        let Source { spec, profiles, origin } = source;
        spec.check()?;
        let default_critical = if spec.learn.is_some() { default_critical } else { &[] };
        let critical = spec.critical.as_deref().unwrap_or(default_critical);
        let rows = rows(&spec, critical, &profiles, table);
        let exception = |exception: ExceptionSpec| {
            let allowed = table.iter().filter(|&(_, call)| names(&exception.allow, call, table, Unprefixed::Native));
            Exception { allowed: allowed.map(|(id, _)| id).collect(), selects: exception.selects }
        };
        Ok(Self {
            name: Arc::clone(spec.name.text()),
            origin,
            selects: spec.selects,
            rows,
            exceptions: spec.exceptions.into_iter().map(exception).collect(),
            learn: spec.learn,
        })
    }

    /// Returns the bytes of its compiled regular expressions.
    pub(super) fn memory(&self) -> usize {
        self.selects.memory() + self.exceptions.iter().map(|exception| exception.selects.memory()).sum::<usize>()
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns its file, or a word for another origin.
    #[must_use]
    pub fn origin(&self) -> &Arc<str> {
        &self.origin
    }

    /// Returns how calls are learned, if they are.
    #[must_use]
    pub fn learn(&self) -> Option<&Learn> {
        self.learn.as_ref()
    }

    /// Whether it selects a workload with these metadata.
    #[must_use]
    pub fn selects(&self, metadata: &Labels) -> bool {
        self.selects.selects(metadata)
    }

    /// Returns the labels that its selectors use.
    pub fn labels(&self) -> impl Iterator<Item = Label> {
        self.selects.labels().chain(self.exceptions.iter().flat_map(|exception| exception.selects.labels()))
    }

    /// Whether a call of a workload is unexpected. `learned` are the learned calls of the workload, if its policy
    /// learns.
    #[must_use]
    pub fn judge(&self, metadata: &Labels, call: CallId, learned: Option<&BTreeSet<CallId>>) -> Option<Unexpected> {
        let row = self.row(call);
        let reason = match (row.standing, learned) {
            (Standing::NeverUnexpected | Standing::Allowed, _) => return None,
            (Standing::DenyList, _) => Reason::DenyList,
            (Standing::Unlisted(_), Some(learned)) if self.is_expected_of(learned, call) => return None,
            (Standing::Unlisted(Reason::NotAllowed), Some(_)) => Reason::NotLearned,
            (Standing::Unlisted(Reason::Abi), Some(learned)) if self.has_abi(learned, row.abi) => Reason::NotLearned,
            (Standing::Unlisted(reason), _) => reason,
        };
        self.unless_excepted(metadata, call, Unexpected { severity: row.severity, reason })
    }

    /// Whether it may judge a call as unexpected for some workload.
    #[must_use]
    pub fn may_object(&self, call: CallId) -> bool {
        matches!(self.row(call).standing, Standing::DenyList | Standing::Unlisted(_))
    }

    /// Whether a call is critical if it is unexpected.
    #[must_use]
    pub fn is_critical(&self, call: CallId) -> bool {
        self.row(call).is_critical
    }

    /// Whether a call is unexpected while the workload's calls are learned: calls in `deny` are, and critical calls
    /// that are neither allowed nor approved by a person. All others are learned.
    #[must_use]
    pub fn judge_while_learning(
        &self,
        metadata: &Labels,
        call: CallId,
        learned: &BTreeSet<CallId>,
    ) -> Option<Unexpected> {
        let unexpected = self.judge(metadata, call, Some(learned))?;
        match unexpected.reason {
            Reason::DenyList => Some(unexpected),
            _ if self.row(call).is_critical => Some(Unexpected { reason: Reason::NotAllowed, ..unexpected }),
            _ => None,
        }
    }

    /// Whether a call is unexpected for a workload without a baseline under a learning policy: by this policy, or
    /// otherwise by the other one.
    #[must_use]
    pub fn judge_unlearned(
        &self,
        metadata: &Labels,
        call: CallId,
        other: Option<&Self>,
    ) -> Option<(Unexpected, Arc<str>)> {
        match self.row(call).standing {
            Standing::NeverUnexpected | Standing::Allowed => None,
            Standing::DenyList => {
                self.judge(metadata, call, None).map(|unexpected| (unexpected, Arc::clone(&self.name)))
            }
            Standing::Unlisted(_) => {
                let other = other?;
                let unexpected = other.judge(metadata, call, None)?;
                self.unless_excepted(metadata, call, unexpected).map(|unexpected| (unexpected, Arc::clone(&other.name)))
            }
        }
    }

    fn unless_excepted(&self, metadata: &Labels, call: CallId, unexpected: Unexpected) -> Option<Unexpected> {
        let excepts = |exception: &Exception| exception.allowed.contains(&call) && exception.selects.selects(metadata);
        (!self.exceptions.iter().any(excepts)).then_some(unexpected)
    }

    /// An id beyond the table counts as the native ABI's unknown call, as everywhere.
    fn row(&self, call: CallId) -> CallRow {
        self.rows.get(usize::from(call.0)).copied().unwrap_or(self.rows[0])
    }

    /// Whether a call was learned, or need not be: essential calls of each ABI that the workload uses.
    fn is_expected_of(&self, learned: &BTreeSet<CallId>, call: CallId) -> bool {
        let row = self.row(call);
        learned.contains(&call) || (row.is_essential && (row.is_native || self.has_abi(learned, row.abi)))
    }

    fn has_abi(&self, calls: &BTreeSet<CallId>, abi: u8) -> bool {
        calls.iter().any(|&call| self.row(call).abi == abi)
    }
}

/// Whether one of these entries names a call.
fn names(entries: &[PolicyEntry], call: Call, table: &CallTable, unprefixed: Unprefixed) -> bool {
    entries.iter().any(|entry| entry.names(call, table.native_abi(), unprefixed))
}

fn rows(spec: &PolicySpec, critical: &[PolicyEntry], profiles: &[Profile], table: &CallTable) -> Vec<CallRow> {
    let profiles: Vec<Vec<bool>> = profiles.iter().map(|profile| profile.calls(table)).collect();
    let is_allowed = |id: CallId, call| {
        names(&spec.allow, call, table, Unprefixed::Native) || profiles.iter().any(|profile| profile[usize::from(id.0)])
    };
    let allowed: Vec<bool> = table.iter().map(|(id, call)| is_allowed(id, call)).collect();
    let allowed_abis: BTreeSet<&str> =
        table.iter().zip(&allowed).filter(|(_, allowed)| **allowed).map(|((_, call), _)| call.abi).collect();
    let mut abis: Vec<&str> = Vec::new();
    let row = |((_, call), allowed): ((CallId, Call), bool)| {
        let standing = if NEVER_UNEXPECTED.contains(&call.syscall) {
            Standing::NeverUnexpected
        } else if names(&spec.deny, call, table, Unprefixed::Every) {
            Standing::DenyList
        } else if allowed {
            Standing::Allowed
        } else {
            Standing::Unlisted(match call {
                Call { syscall: UNKNOWN, .. } => Reason::UnknownNumber,
                // The architecture's own ABI is never the reason, even while nothing is allowed yet.
                Call { abi, .. } if !allowed_abis.contains(abi) && abi != table.native_abi() => Reason::Abi,
                Call { .. } => Reason::NotAllowed,
            })
        };
        let is_critical = names(critical, call, table, Unprefixed::Every);
        let abi = abis.iter().position(|&abi| abi == call.abi).unwrap_or_else(|| {
            abis.push(call.abi);
            abis.len() - 1
        });
        CallRow {
            standing,
            severity: if is_critical { Severity::Critical } else { spec.severity },
            abi: u8::try_from(abi).expect("an architecture has four ABIs at most"),
            is_critical,
            is_native: call.abi == table.native_abi(),
            is_essential: essential::is_essential(call),
        }
    };
    table.iter().zip(allowed).map(row).collect()
}
