//! A policy as it judges: what was written, looked up once for each call.

use std::{collections::BTreeSet, sync::Arc};

use super::essential;
use crate::{
    detect::{
        Entry, ExceptionSpec, Learn, Match, PolicyError, PolicySpec, Profile, Reason, Severity, Source, Unprefixed,
    },
    syscalls::{Call, CallId, CallTable, UNKNOWN},
    workload::{Label, Labels},
};

/// What no program decides to call: the kernel has the C library's memory call it for a signal that interrupted, or
/// for a probe.
const NEVER_UNEXPECTED: [&str; 3] = ["restart_syscall", "uprobe", "uretprobe"];

/// What is expected of the workloads that it selects.
#[derive(Debug, PartialEq)]
pub struct Policy {
    name: Arc<str>,
    origin: Arc<str>,
    selects: Match,
    /// By [`CallId`].
    rows: Vec<Row>,
    exceptions: Vec<Exception>,
    learn: Option<Learn>,
}

/// What a policy says of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    standing: Standing,
    severity: Severity,
    /// Place of the call's ABI among the table's.
    abi: u8,
    is_native: bool,
    /// Whether it is one of the calls that are critical.
    is_critical: bool,
    /// Whether no program can do without it.
    is_essential: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    /// Not even what is denied or unlearned.
    NeverUnexpected,
    Allowed,
    Denied,
    /// Unexpected unless it was learned; and why, where nothing was.
    Unlisted(Reason),
}

/// What some workloads may besides.
#[derive(Debug, PartialEq)]
struct Exception {
    selects: Match,
    allowed: BTreeSet<CallId>,
}

/// How a call was not expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unexpected {
    /// How bad it is.
    pub severity: Severity,
    /// Why.
    pub reason: Reason,
}

impl Policy {
    /// From what was written in `origin`, and the seccomp profiles that it names.
    pub(super) fn new(source: Source, default_critical: &[Entry], table: &CallTable) -> Result<Self, PolicyError> {
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

    /// Bytes of its compiled regular expressions.
    pub(super) fn memory(&self) -> usize {
        self.selects.memory() + self.exceptions.iter().map(|exception| exception.selects.memory()).sum::<usize>()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The file that it is from, or what stands for one.
    #[must_use]
    pub fn origin(&self) -> &Arc<str> {
        &self.origin
    }

    /// How its workloads' calls are learned, if they are.
    #[must_use]
    pub fn learn(&self) -> Option<&Learn> {
        self.learn.as_ref()
    }

    /// Whether it is for a workload of which this is known.
    #[must_use]
    pub fn selects(&self, metadata: &Labels) -> bool {
        self.selects.selects(metadata)
    }

    /// The labels that it looks at.
    pub fn labels(&self) -> impl Iterator<Item = Label> {
        self.selects.labels().chain(self.exceptions.iter().flat_map(|exception| exception.selects.labels()))
    }

    /// Whether a call of a workload is unexpected; `learned` are the calls that the workload made while it was learned,
    /// if it was.
    #[must_use]
    pub fn judge(&self, metadata: &Labels, call: CallId, learned: Option<&BTreeSet<CallId>>) -> Option<Unexpected> {
        let row = self.row(call);
        let reason = match (row.standing, learned) {
            (Standing::NeverUnexpected | Standing::Allowed, _) => return None,
            (Standing::Denied, _) => Reason::Denied,
            (Standing::Unlisted(_), Some(learned)) if self.is_expected_of(learned, call) => return None,
            (Standing::Unlisted(Reason::NotAllowed), Some(_)) => Reason::NotLearned,
            (Standing::Unlisted(Reason::Abi), Some(learned)) if self.has_abi(learned, row.abi) => Reason::NotLearned,
            (Standing::Unlisted(reason), _) => reason,
        };
        self.unless_excepted(metadata, call, Unexpected { severity: row.severity, reason })
    }

    /// Whether it may find a call unexpected, of some workload.
    #[must_use]
    pub fn may_object(&self, call: CallId) -> bool {
        matches!(self.row(call).standing, Standing::Denied | Standing::Unlisted(_))
    }

    /// Whether a call of a workload is unexpected while the workload's calls are learned: denied ones are, and critical
    /// ones that neither the policy allows nor somebody has added to the baseline. All others are learned.
    #[must_use]
    pub fn judge_while_learning(
        &self,
        metadata: &Labels,
        call: CallId,
        learned: &BTreeSet<CallId>,
    ) -> Option<Unexpected> {
        let unexpected = self.judge(metadata, call, Some(learned))?;
        match unexpected.reason {
            Reason::Denied => Some(unexpected),
            _ if self.row(call).is_critical => Some(Unexpected { reason: Reason::NotAllowed, ..unexpected }),
            _ => None,
        }
    }

    /// Whether a call of a workload is unexpected that should have been learned, and is not: what the policy says of
    /// it, or else what another one does.
    #[must_use]
    pub fn judge_unlearned(
        &self,
        metadata: &Labels,
        call: CallId,
        other: Option<&Self>,
    ) -> Option<(Unexpected, Arc<str>)> {
        match self.row(call).standing {
            Standing::NeverUnexpected | Standing::Allowed => None,
            Standing::Denied => self.judge(metadata, call, None).map(|unexpected| (unexpected, Arc::clone(&self.name))),
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

    /// An id that is not the table's is the native ABI's unknown, as everywhere.
    fn row(&self, call: CallId) -> Row {
        self.rows.get(usize::from(call.0)).copied().unwrap_or(self.rows[0])
    }

    /// Whether a call was learned, or is none that anybody needs to learn: essential ones of each ABI that is
    /// used at all.
    fn is_expected_of(&self, learned: &BTreeSet<CallId>, call: CallId) -> bool {
        let row = self.row(call);
        learned.contains(&call) || (row.is_essential && (row.is_native || self.has_abi(learned, row.abi)))
    }

    fn has_abi(&self, calls: &BTreeSet<CallId>, abi: u8) -> bool {
        calls.iter().any(|&call| self.row(call).abi == abi)
    }
}

/// Whether any of these entries names a call.
fn names(entries: &[Entry], call: Call, table: &CallTable, unprefixed: Unprefixed) -> bool {
    entries.iter().any(|entry| entry.names(call, table.native_abi(), unprefixed))
}

fn rows(spec: &PolicySpec, critical: &[Entry], profiles: &[Profile], table: &CallTable) -> Vec<Row> {
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
            Standing::Denied
        } else if allowed {
            Standing::Allowed
        } else {
            Standing::Unlisted(match call {
                Call { syscall: UNKNOWN, .. } => Reason::UnknownNumber,
                // The architecture's own ABI is never what is wrong, also where nothing is allowed yet.
                Call { abi, .. } if !allowed_abis.contains(abi) && abi != table.native_abi() => Reason::Abi,
                Call { .. } => Reason::NotAllowed,
            })
        };
        let is_critical = names(critical, call, table, Unprefixed::Every);
        let abi = abis.iter().position(|&abi| abi == call.abi).unwrap_or_else(|| {
            abis.push(call.abi);
            abis.len() - 1
        });
        Row {
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
