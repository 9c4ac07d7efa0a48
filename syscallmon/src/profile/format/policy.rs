//! A policy of syscallmon: the same calls are expected, and others are reported instead of refused.

use std::fmt::Write as _;

use super::{Details, FormatError, comment, name::check_name};
use crate::{
    profile::{Plan, Provenance},
    syscalls::names,
};

/// Maximum length of a policy's name.
const MAX_NAME: usize = 63;

pub(super) fn write(plan: &Plan, provenance: &Provenance, details: &Details) -> Result<String, FormatError> {
    check_name(&details.name, "a policy (--name)", MAX_NAME)?;
    if details.selector.is_empty() {
        return Err(FormatError::Selector);
    }
    let mut text = comment(plan, provenance);
    let selector = serde_json::to_string(&details.selector)?;
    let _ =
        write!(text, "policies:\n  - name: {}\n    match: [{selector}]\n    allow:\n", details.name.replace('.', "-"));
    for name in plan.allowed.keys() {
        let restriction = plan.restrictions.get(name);
        let classes = restriction.iter().flat_map(|of| &of.classes).map(|class| format!("{name}({class})"));
        let call = restriction.is_none().then(|| (*name).to_owned());
        classes.chain(call).for_each(|name| add(&mut text, plan, &name));
    }
    Ok(text)
}

/// Adds a call, or a class of arguments, in each ABI that has it.
fn add(text: &mut String, plan: &Plan, name: &str) {
    for abi in plan.abis.iter().filter(|abi| names::call(abi, name).is_some()) {
        // Without an ABI, an item means the native one of each architecture.
        let prefix = if matches!(*abi, "x86_64" | "aarch64") { String::new() } else { format!("{abi}:") };
        let item = format!("      - {prefix}{name}\n");
        if !text.ends_with(&item) {
            *text += &item;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Format,
        tests::{HOSTILE, evidence, text, with_arguments},
    };
    use crate::detect::PolicyList;

    #[test]
    fn the_policy_can_be_read_and_allows_what_was_observed() {
        let text = text(Format::Policy, &evidence(HOSTILE));
        let list: PolicyList = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(list.policies.len(), 1);
        assert!(text.contains("\n      - openat\n") && !text.contains("- mount\n"));
    }

    #[test]
    fn the_policy_allows_observed_arguments_only() {
        let text = text(Format::Policy, &with_arguments());
        let list: PolicyList = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(list.policies.len(), 1);
        for item in ["socket(AF_UNIX)", "ia32:socket(AF_UNIX)", "clone(other)", "clone3(other)"] {
            assert!(text.contains(&format!("\n      - {item}\n")), "{item}: {text}");
        }
        assert!(!text.contains("- socket\n") && !text.contains("- clone\n"), "{text}");
    }
}
