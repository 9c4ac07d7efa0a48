//! A policy in the form for judging: its lists, looked up once for each call.

use std::{collections::BTreeSet, iter, ops::Range, sync::Arc};

use super::essential;
use crate::{
    detect::{ExceptionSpec, Learn, Match, PolicyItem, PolicySpec, Reason, Severity, Source, Unprefixed},
    seccomp::Profile,
    syscalls::{Call, CallId, CallTable, UNKNOWN},
    workload::{Label, Labels},
};

/// Calls that no program makes on its own: the kernel lets the C library's code make them after a signal, or for a
/// probe.
const NEVER_UNEXPECTED: [&str; 3] = ["restart_syscall", "uprobe", "uretprobe"];

/// A policy, compiled, with the policies that it extends.
#[derive(Debug, PartialEq)]
pub struct Policy {
    pub(super) spec: PolicySpec,
    pub(super) origin: Arc<str>,
    pub(super) parent: Option<Arc<Policy>>,
    severity: Severity,
    learn: Option<Learn>,
    /// By [`CallId`].
    rows: Vec<CallRow>,
    /// What its own lists say, by [`CallId`].
    own: Vec<Listing>,
    /// Number of the first of its own seccomp profiles that allows a call, by [`CallId`]; empty without profiles.
    profile_of: Vec<Option<u16>>,
    exceptions: Vec<Exception>,
}

/// The entry of a policy for one call.
#[derive(Clone, Debug, PartialEq)]
struct CallRow {
    /// The call, or that of the class of arguments.
    call: CallId,
    /// The ids of its classes.
    classes: Range<u16>,
    /// What its lists and those of the policies that it extends say.
    listing: Listing,
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

/// What the lists of a policy say about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Listing {
    /// Nothing.
    Unlisted,
    /// A set, an ABI or a seccomp profile in `allow` has it.
    Allowed,
    /// `allow` names it. This overrides a `deny` of a policy that is extended.
    AllowedByName,
    /// `deny` has it.
    Denied,
}

impl Listing {
    /// Returns what both say, if a policy with this one extends a policy with the other one.
    ///
    /// The nearest list that denies the call, or allows it by its name, decides. Otherwise every list may allow it.
    pub(super) fn extending(self, parent: Self) -> Self {
        match self {
            Self::Denied | Self::AllowedByName => self,
            Self::Unlisted | Self::Allowed => self.max(parent),
        }
    }
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
    /// Compiles the policy of a file, with the seccomp profiles that it names and the policy that it extends.
    ///
    /// `default_critical` are the critical calls of a policy that extends none and has no list of its own.
    pub(super) fn new(
        source: Source,
        parent: Option<Arc<Self>>,
        default_critical: &[PolicyItem],
        table: &CallTable,
    ) -> Self {
        let Source { spec, profiles, origin } = source;
        let inherited = parent.as_deref();
        let severity = spec.severity.or(inherited.map(|parent| parent.severity)).unwrap_or_default();
        let learn = spec.learn.or(inherited.and_then(|parent| parent.learn));
        let profile_of = profile_of(&profiles, table);
        let own: Vec<Listing> =
            table.all().map(|(id, call)| own_listing(&spec, &profile_of, (id, call), table)).collect();
        let critical = critical(&spec, inherited, default_critical, table);
        let rows = rows(&own, inherited, (&critical, severity), table);
        let exception = |exception: &ExceptionSpec| {
            let allowed = table.all().filter(|&(_, call)| allows(&exception.allow, call, table));
            Exception { allowed: allowed.map(|(id, _)| id).collect(), selects: exception.selects.clone() }
        };
        let exceptions = spec.exceptions.iter().map(exception).collect();
        Self { spec, origin, parent, severity, learn, rows, own, profile_of, exceptions }
    }

    /// Returns the bytes of its own compiled regular expressions.
    pub(super) fn memory(&self) -> usize {
        self.spec.memory()
    }

    /// Returns the policies that it extends, the nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = &Arc<Self>> {
        iter::successors(self.parent.as_ref(), |policy| policy.parent.as_ref())
    }

    /// Returns the number of policies in its chain, itself included.
    pub(super) fn depth(&self) -> usize {
        1 + self.ancestors().count()
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        self.spec.name.text()
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
        self.spec.selects.selects(metadata)
    }

    /// Returns the labels that its selectors use, and the exceptions of the policies that it extends.
    pub fn labels(&self) -> impl Iterator<Item = Label> {
        let exceptions = self.chain().flat_map(|policy| &policy.exceptions);
        self.spec.selects.labels().chain(exceptions.flat_map(|exception| exception.selects.labels()))
    }

    /// Returns the policy and those that it extends, the nearest first.
    pub(super) fn chain(&self) -> impl Iterator<Item = &Self> {
        iter::once(self).chain(self.ancestors().map(AsRef::as_ref))
    }

    /// Returns what the policy's own lists say about a call.
    pub(super) fn own_listing(&self, call: CallId) -> Listing {
        self.own.get(usize::from(call.0)).copied().unwrap_or(self.own[0])
    }

    /// Returns what the lists of the policy, and of those that it extends, say about a call.
    pub(super) fn listing(&self, call: CallId) -> Listing {
        self.row(call).listing
    }

    /// Whether its lists and seccomp profiles, or those of the policies that it extends, allow a call.
    pub(in crate::detect) fn allows(&self, call: CallId) -> bool {
        matches!(self.listing(call), Listing::Allowed | Listing::AllowedByName)
    }

    /// Returns the severity of unexpected calls that are not critical.
    pub(super) fn severity(&self) -> Severity {
        self.severity
    }

    /// Returns the number of its first seccomp profile that allows a call.
    pub(super) fn profile_of(&self, call: CallId) -> Option<usize> {
        self.profile_of.get(usize::from(call.0)).copied().flatten().map(usize::from)
    }

    /// Returns the number of its first exception for a workload that allows a call.
    pub(super) fn exception_for(&self, metadata: &Labels, call: CallId) -> Option<usize> {
        let excepts = |exception: &Exception| exception.allowed.contains(&call) && exception.selects.selects(metadata);
        self.exceptions.iter().position(excepts)
    }

    /// Whether a call is never unexpected, whatever policies say.
    pub(super) fn is_never_unexpected(&self, call: CallId) -> bool {
        self.row(call).standing == Standing::NeverUnexpected
    }

    /// Whether a call is critical if it is unexpected.
    pub(in crate::detect) fn is_critical(&self, call: CallId) -> bool {
        self.row(call).is_critical
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
                self.judge(metadata, call, None).map(|unexpected| (unexpected, Arc::clone(self.name())))
            }
            Standing::Unlisted(_) => {
                let other = other?;
                let unexpected = other.judge(metadata, call, None)?;
                self.unless_excepted(metadata, call, unexpected)
                    .map(|unexpected| (unexpected, Arc::clone(other.name())))
            }
        }
    }

    fn unless_excepted(&self, metadata: &Labels, call: CallId, unexpected: Unexpected) -> Option<Unexpected> {
        (!self.is_excepted(metadata, call)).then_some(unexpected)
    }

    /// Whether an exception allows a call. A policy that denies a call ends the exceptions of those that it extends.
    fn is_excepted(&self, metadata: &Labels, call: CallId) -> bool {
        for policy in self.chain() {
            if policy.exception_for(metadata, call).is_some() {
                return true;
            }
            if policy.own_listing(call) == Listing::Denied {
                return false;
            }
        }
        false
    }

    /// An id beyond the table counts as the native ABI's unknown call, as everywhere.
    fn row(&self, call: CallId) -> &CallRow {
        self.rows.get(usize::from(call.0)).unwrap_or(&self.rows[0])
    }

    /// Whether a call was learned, or need not be: essential calls of each ABI that the workload uses. A learned call
    /// without arguments is one with any, and a learned class is also the call, where arguments are not known.
    fn is_expected_of(&self, learned: &BTreeSet<CallId>, call: CallId) -> bool {
        let row = self.row(call);
        let is_learned = |id| learned.contains(&CallId(id));
        is_learned(call.0)
            || is_learned(row.call.0)
            || row.classes.clone().any(is_learned)
            || (row.is_essential && (row.is_native || self.has_abi(learned, row.abi)))
    }

    fn has_abi(&self, calls: &BTreeSet<CallId>, abi: u8) -> bool {
        calls.iter().any(|&call| self.row(call).abi == abi)
    }
}

/// Whether one of these items names a call.
fn names(items: &[PolicyItem], call: Call, table: &CallTable, unprefixed: Unprefixed) -> bool {
    items.iter().any(|item| item.entry.names(call, table.native_abi(), unprefixed))
}

/// Whether one of these items of a list that allows names a call. A class also allows the number, where it is unknown.
fn allows(items: &[PolicyItem], call: Call, table: &CallTable) -> bool {
    items.iter().any(|item| is_allowed_by(item, call, table))
}

fn is_allowed_by(item: &PolicyItem, call: Call, table: &CallTable) -> bool {
    let native = table.native_abi();
    item.entry.names(call, native, Unprefixed::Native) || item.entry.names_class_of(call, native, Unprefixed::Native)
}

fn profile_of(profiles: &[Profile], table: &CallTable) -> Vec<Option<u16>> {
    let mut first = if profiles.is_empty() { Vec::new() } else { vec![None; table.all().count()] };
    for (number, profile) in profiles.iter().enumerate() {
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        for (first, _) in first
            .iter_mut()
            .zip(profile.calls(table).into_iter().chain(profile.classes(table)))
            .filter(|(_, allows)| *allows)
        {
            first.get_or_insert(number);
        }
    }
    first
}

fn own_listing(
    spec: &PolicySpec,
    profile_of: &[Option<u16>],
    (id, call): (CallId, Call),
    table: &CallTable,
) -> Listing {
    if names(&spec.deny, call, table, Unprefixed::Every) {
        return Listing::Denied;
    }
    let named_by = |item: &&PolicyItem| is_allowed_by(item, call, table);
    let mut allowing = spec.allow.iter().filter(named_by).peekable();
    let is_listed = allowing.peek().is_some() || profile_of.get(usize::from(id.0)).copied().flatten().is_some();
    match (is_listed, allowing.any(|item| item.entry.is_single())) {
        (_, true) => Listing::AllowedByName,
        (true, false) => Listing::Allowed,
        (false, false) => Listing::Unlisted,
    }
}

/// Returns whether each call is critical. An empty list of a policy removes what it would have otherwise.
fn critical(spec: &PolicySpec, parent: Option<&Policy>, default: &[PolicyItem], table: &CallTable) -> Vec<bool> {
    let own = match (&spec.critical, parent) {
        (None, None) => default,
        (None, Some(_)) => &[],
        (Some(own), _) => own,
    };
    let is_cleared = spec.critical.as_ref().is_some_and(Vec::is_empty);
    let inherited = parent.filter(|_| !is_cleared);
    let is_critical = |(id, call)| {
        inherited.is_some_and(|parent| parent.is_critical(id)) || names(own, call, table, Unprefixed::Every)
    };
    table.all().map(is_critical).collect()
}

fn rows(
    own: &[Listing],
    parent: Option<&Policy>,
    (critical, severity): (&[bool], Severity),
    table: &CallTable,
) -> Vec<CallRow> {
    let inherited = |id| parent.map_or(Listing::Unlisted, |parent| parent.row(id).listing);
    let listings: Vec<Listing> = table.all().zip(own).map(|((id, _), own)| own.extending(inherited(id))).collect();
    let is_allowed = |listing: Listing| matches!(listing, Listing::Allowed | Listing::AllowedByName);
    let allowed_abis: BTreeSet<&str> = table
        .all()
        .zip(&listings)
        .filter(|(_, listing)| is_allowed(**listing))
        .map(|((_, call), _)| call.abi)
        .collect();
    let mut abis: Vec<&str> = Vec::new();
    let row = |(((id, call), listing), &is_critical): (((CallId, Call), Listing), &bool)| {
        let standing = match listing {
            _ if NEVER_UNEXPECTED.contains(&call.name()) => Standing::NeverUnexpected,
            Listing::Denied => Standing::DenyList,
            Listing::Allowed | Listing::AllowedByName => Standing::Allowed,
            Listing::Unlisted => Standing::Unlisted(match call {
                Call { syscall: UNKNOWN, .. } => Reason::UnknownNumber,
                // The architecture's own ABI is never the reason, even while nothing is allowed yet.
                Call { abi, .. } if !allowed_abis.contains(abi) && abi != table.native_abi() => Reason::Abi,
                Call { .. } => Reason::NotAllowed,
            }),
        };
        let abi = abis.iter().position(|&abi| abi == call.abi).unwrap_or_else(|| {
            abis.push(call.abi);
            abis.len() - 1
        });
        CallRow {
            call: table.call_of_class(id),
            classes: table.class_ids(id),
            listing,
            standing,
            severity: if is_critical { Severity::Critical } else { severity },
            abi: u8::try_from(abi).expect("an architecture has four ABIs at most"),
            is_critical,
            is_native: call.abi == table.native_abi(),
            is_essential: essential::is_essential(call),
        }
    };
    table.all().zip(listings).zip(critical).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::Listing::{self, Allowed, AllowedByName, Denied, Unlisted};

    #[test]
    fn extending_is_associative_and_has_a_neutral_element() {
        const ALL: [Listing; 4] = [Unlisted, Allowed, AllowedByName, Denied];
        for a in ALL {
            assert_eq!((a.extending(Unlisted), Unlisted.extending(a)), (a, a));
            for b in ALL {
                for c in ALL {
                    assert_eq!(a.extending(b).extending(c), a.extending(b.extending(c)), "{a:?} {b:?} {c:?}");
                }
            }
        }
    }
}
