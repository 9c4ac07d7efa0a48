//! Which calls a plan allows with observed arguments only.
//!
//! A call is restricted if the arguments of every reason to allow it are known, and a filter can tell their classes
//! from others. `clone3` has its flags in memory, where a filter cannot see them. So if `clone` is restricted, the
//! profile answers `clone3` with ENOSYS, as the default profile of container runtimes does. Libraries then use `clone`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Why, danger};
use crate::syscalls::{
    Call, IO_URING,
    arguments::{Condition, OTHER, comparisons, with_details},
    sibling_arguments,
};

/// The arguments with which a call is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// Classes, as `AF_UNIX`.
    pub classes: BTreeSet<&'static str>,
    /// What a filter compares: it allows the call if all conditions of one list hold. Empty if the filter cannot see
    /// the arguments: the profile answers the call with ENOSYS, and programs use another one.
    pub comparisons: Vec<Vec<Condition>>,
}

/// Why calls are allowed.
pub(super) type Reasons = BTreeMap<&'static str, BTreeSet<Why>>;

type Classes = BTreeSet<&'static str>;

/// Calls that take each other's place with the same flags.
const CLONES: [&str; 2] = ["clone", "clone3"];

/// Finds what is known about arguments.
pub(super) struct Arguments<'a> {
    pub(super) evidence: &'a Evidence,
    /// Whether denied classes are allowed, except for dangerous ones.
    pub(super) allow_denied: bool,
    /// Leave out siblings of observed classes.
    pub(super) strict: bool,
}

impl Arguments<'_> {
    /// Returns the restrictions of allowed calls. Adds `clone` to them if it takes the place of `clone3`.
    pub(super) fn restrictions(
        &self,
        allowed: &mut Reasons,
        warnings: &mut Vec<String>,
    ) -> BTreeMap<&'static str, Restriction> {
        let of_call = |(&name, reasons): (&&'static str, &BTreeSet<Why>)| {
            let classes = with_details(name, self.of_reasons(name, reasons)?);
            Some((name, Restriction { comparisons: comparisons(name, &classes)?, classes }))
        };
        let mut restrictions: BTreeMap<_, _> =
            allowed.iter().filter(|(name, _)| !CLONES.contains(name)).filter_map(of_call).collect();
        if let Some(classes) = self.of_clones(allowed) {
            if let Some(comparisons) = comparisons("clone", &classes) {
                allowed.entry("clone").or_insert_with(|| [Why::InPlaceOf("clone3")].into());
                restrictions.insert("clone", Restriction { classes: classes.clone(), comparisons });
                if allowed.contains_key("clone3") {
                    restrictions.insert("clone3", Restriction { classes, comparisons: Vec::new() });
                }
            } else if classes.contains("CLONE_NEWTIME") {
                warnings.push(
                    "clone3 made time namespaces, which clone cannot make: both are allowed with all arguments"
                        .to_owned(),
                );
            }
        }
        restrictions
    }

    /// Returns the classes of both calls together.
    fn of_clones(&self, allowed: &Reasons) -> Option<Classes> {
        let reasons = CLONES.iter().filter_map(|name| allowed.get_key_value(name));
        let classes: Vec<Classes> = reasons.map(|(name, why)| self.of_reasons(name, why)).collect::<Option<_>>()?;
        (!classes.is_empty()).then(|| classes.into_iter().flatten().collect())
    }

    fn of_reasons(&self, name: &str, reasons: &BTreeSet<Why>) -> Option<Classes> {
        let classes: Vec<Classes> = reasons.iter().map(|&why| self.of_reason(name, why)).collect::<Option<_>>()?;
        let mut classes: Classes = classes.into_iter().flatten().collect();
        if !self.strict {
            let siblings: Vec<_> = classes.iter().flat_map(|argument| sibling_arguments(name, argument)).collect();
            classes.extend(siblings);
        }
        Some(classes)
    }

    /// Returns the classes that one reason allows; `None` for all arguments.
    fn of_reason(&self, name: &str, why: Why) -> Option<Classes> {
        match why {
            Why::Observed | Why::Denied => self.of_evidence(name),
            // They make processes, and no namespaces.
            Why::InPlaceOf("fork" | "vfork") if CLONES.contains(&name) => Some([OTHER].into()),
            Why::InPlaceOf(observed) if CLONES.contains(&name) && CLONES.contains(&observed) => {
                self.of_evidence(observed)
            }
            Why::InPlaceOf(_) | Why::Requested | Why::Runtime | Why::Always | Why::Harmless => None,
        }
    }

    /// Returns the classes of a call that was made, or denied. `None` if the arguments of a replica are not known.
    fn of_evidence(&self, name: &str) -> Option<Classes> {
        let mut classes = Classes::new();
        // Operations of io_uring have names of calls.
        let is_call = |call: &Call| call.syscall == name && call.abi != IO_URING;
        for (call, seen) in self.evidence.calls.iter().filter(|(call, _)| is_call(call)) {
            let of_call = || self.evidence.arguments.iter().filter(|(class, _)| is_of(class, call));
            if seen.count > 0 {
                let made = || of_call().filter(|(_, seen)| seen.count > 0);
                let known: BTreeSet<u32> = made().flat_map(|(_, seen)| &seen.replicas).copied().collect();
                if made().next().is_none() || !seen.replicas.is_subset(&known) {
                    return None;
                }
                classes.extend(made().map(|(class, _)| class.argument()));
            }
            if self.allow_denied && seen.denied > 0 {
                let denied = || of_call().filter(|(_, seen)| seen.denied > 0);
                // clone3 is mostly answered with ENOSYS, which has no classes, and clone was made instead.
                if denied().next().is_none() && seen.count == 0 && name != "clone3" {
                    return None;
                }
                let ordinary = denied().filter(|(class, _)| danger::of(class.syscall).is_none());
                classes.extend(ordinary.map(|(class, _)| class.argument()));
            }
        }
        Some(classes)
    }
}

fn is_of(class: &Call, call: &Call) -> bool {
    class.abi == call.abi && class.name() == call.syscall
}
