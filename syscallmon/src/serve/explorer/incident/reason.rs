//! Why calls were reported: the reason, what it means, and the list of a policy that decides.

use std::sync::Arc;

use crate::{
    detect::{DecidingList, Decision, Incident, Reason, Severity, Violation, call_text},
    serve::explorer::{
        frame::now,
        text::{Moment, Name, times},
        workload::program,
    },
    stable_id::StableId,
    syscalls::{Call, IO_URING},
    view::View,
    workload::Label,
};

/// Calls that were reported for the same reason.
pub(super) struct Group {
    pub(super) severity: Severity,
    pub(super) why: Name,
    pub(super) meaning: &'static str,
    /// What the default seccomp profile does, if a container runtime may set it.
    pub(super) runtime_default: Option<&'static str>,
    pub(super) calls: Vec<CallLine>,
    /// The list that decides about the calls now.
    decided_by: Option<Deciding>,
    /// What sets the severity.
    severity_by: Option<Deciding>,
}

/// An unexpected call.
pub(super) struct CallLine {
    pub(super) id: StableId,
    pub(super) is_chosen: bool,
    pub(super) call: String,
    pub(super) count: String,
    pub(super) first: Moment,
    /// Its process, if known.
    pub(super) by: Option<Name>,
}

/// A list or key of a policy that decides, with those of its items that name the calls.
#[derive(Debug)]
struct Deciding {
    list: DecidingList,
    policy: Arc<str>,
    origin: Arc<str>,
    items: Vec<String>,
    /// Lines of the file. The built-in policy has none.
    lines: Vec<u32>,
}

/// Returns the calls, those with the same reason together, in the order of the incident: the worst first.
pub(super) fn groups(view: &View, incident: &Incident, chosen: Option<StableId>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for violation in &incident.calls {
        let new = Group::new(view, violation);
        let call = CallLine::new(view, violation, chosen);
        let group = match groups.iter_mut().find(|group| group.is_like(&new)) {
            Some(group) => {
                group.add(new);
                group
            }
            None => groups.push_mut(new),
        };
        group.calls.push(call);
    }
    groups
}

impl Group {
    fn new(view: &View, violation: &Violation) -> Self {
        let Violation { call, policy, reason, severity, metadata, .. } = violation;
        let (why, meaning) = why(*reason, policy, *call);
        let in_force = view.policies.iter().find(|known| known.name() == policy);
        let judged = in_force.zip(view.facts.calls.id(call.abi, call.syscall));
        let table = &view.facts.calls;
        let decision = judged.map(|(policy, id)| policy.decision(metadata, id, table));
        let severity_decision =
            judged.map(|(policy, id)| policy.severity_decision(id, table, view.policies.built_in()));
        let is_container = [Label::ContainerId, Label::Container].iter().any(|&label| metadata.get(label).is_some());
        let runtime_default = if violation.runtime_default_allows { "allows" } else { "denies" };
        Self {
            severity: *severity,
            why: Name::whole(&why),
            meaning,
            runtime_default: is_container.then_some(runtime_default),
            calls: Vec::new(),
            decided_by: decision.filter(|by| by.list != DecidingList::None).map(|by| Deciding::new(view, by)),
            severity_by: severity_decision.filter(|by| sets(by, *severity)).map(|by| Deciding::new(view, by)),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        let key = |group: &Self| (group.severity, group.meaning, group.runtime_default);
        key(self) == key(other)
            && self.why == other.why
            && are_alike(self.decided_by.as_ref(), other.decided_by.as_ref())
            && are_alike(self.severity_by.as_ref(), other.severity_by.as_ref())
    }

    fn add(&mut self, other: Self) {
        let pairs = [(&mut self.decided_by, other.decided_by), (&mut self.severity_by, other.severity_by)];
        for (own, other) in pairs {
            if let Some((own, other)) = own.as_mut().zip(other) {
                own.add(other);
            }
        }
    }

    /// Returns what sets the severity, as a sentence.
    pub(super) fn severity_text(&self) -> Option<Name> {
        let by = self.severity_by.as_ref()?;
        let (items, place, severity) = (by.items.join(", "), by.place(), self.severity);
        let because = match by.list {
            DecidingList::Critical => format!("the list critical has {items} {place}"),
            _ => format!("no list critical has it, and the key severity is {items} {place}"),
        };
        Some(Name::whole(&format!("Its severity is {severity}, because {because}.")))
    }

    /// Returns which list has the calls now, as a sentence.
    pub(super) fn decision_text(&self) -> Option<Name> {
        let by = self.decided_by.as_ref()?;
        let (items, place) = (by.items.join(", "), by.place());
        let text = match by.list {
            DecidingList::Deny => format!("The list deny has {items} {place}."),
            DecidingList::Exceptions => format!("It is expected now: an exception allows {items} {place}."),
            DecidingList::Allow => format!("It is expected now: the list allow has {items} {place}."),
            DecidingList::Seccomp => format!("It is expected now: the seccomp profile {items} allows it {place}."),
            DecidingList::Kernel => "It is expected now: the kernel makes programs call it.".to_owned(),
            DecidingList::None | DecidingList::Critical | DecidingList::Severity => return None,
        };
        Some(Name::whole(&text))
    }
}

/// Whether a decision leads to this severity. Otherwise the policy has changed since the call.
fn sets(decision: &Decision, severity: Severity) -> bool {
    match decision.list {
        DecidingList::Critical => severity == Severity::Critical,
        _ => decision.item.as_deref() == Some(severity.name()),
    }
}

fn are_alike(left: Option<&Deciding>, right: Option<&Deciding>) -> bool {
    let key = |deciding: &Deciding| (deciding.list, Arc::clone(&deciding.policy), Arc::clone(&deciding.origin));
    left.map(key) == right.map(key)
}

impl Deciding {
    fn new(view: &View, Decision { policy, origin, at, list, item }: Decision) -> Self {
        let is_built_in = view.policies.built_in().is_some_and(|built_in| *built_in.origin() == origin);
        let lines = if is_built_in { Vec::new() } else { vec![at.line] };
        Self { list, policy, origin, items: item.into_iter().collect(), lines }
    }

    fn add(&mut self, other: Self) {
        for item in other.items {
            if !self.items.contains(&item) {
                self.items.push(item);
            }
        }
        self.lines.extend(other.lines);
        self.lines.sort_unstable();
        self.lines.dedup();
    }

    /// `(policy web, /etc/web.yaml:3)`
    fn place(&self) -> String {
        let Self { policy, origin, lines, .. } = self;
        let lines: Vec<String> = lines.iter().map(u32::to_string).collect();
        let colon = if lines.is_empty() { "" } else { ":" };
        format!("(policy {policy}, {origin}{colon}{})", lines.join(", "))
    }
}

impl CallLine {
    fn new(view: &View, violation: &Violation, chosen: Option<StableId>) -> Self {
        Self {
            id: violation.id(),
            is_chosen: chosen == Some(violation.id()),
            call: call_text(violation),
            count: times(violation.count),
            first: Moment::new(violation.time, now(view)),
            by: violation.process.as_ref().map(|process| Name::short(&program(process))),
        }
    }
}

/// Returns why a call was reported, and what that means.
fn why(reason: Reason, policy: &str, call: Call) -> (String, &'static str) {
    match reason {
        Reason::DenyList => (
            format!("The deny list of policy \u{201c}{policy}\u{201d} has it."),
            "Somebody decided that this workload must never make the call. Treat it as an attack until you \
             know better.",
        ),
        Reason::NotAllowed => (
            format!("Policy \u{201c}{policy}\u{201d} does not allow it."),
            "Ordinary servers do not make the call. A new version, a debugging session or an attacker may.",
        ),
        Reason::NotLearned => (
            format!("The baseline of policy \u{201c}{policy}\u{201d} has not learned it."),
            "The workload did not make the call while it learned. Something new happens: a rare operation, a new \
             version, or an attacker.",
        ),
        Reason::Abi if call.abi == IO_URING => (
            format!("Policy \u{201c}{policy}\u{201d} allows no io_uring operations."),
            "They do the work of system calls where seccomp does not see it. Few programs need them.",
        ),
        Reason::Abi => (
            format!("Policy \u{201c}{policy}\u{201d} allows no calls of this ABI."),
            "A 64-bit program makes calls of another ABI. Hardly any program does, but it is a way around filters.",
        ),
        Reason::UnknownNumber => (
            "The ABI has no system call of this number.".to_owned(),
            "A program tries a number that this kernel's tables lack: a newer call, or a search for weaknesses.",
        ),
    }
}
