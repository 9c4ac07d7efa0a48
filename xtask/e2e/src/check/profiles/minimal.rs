//! Takes every call of a profile away in turn. Each time, the server must fail, or the daemon must count a refusal,
//! unless the profile has the call on principle.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Result, ensure};
use serde_json::Value;
use syscallmon::profile::{ALWAYS_ALLOWED, HARMLESS, base, siblings};
use syscallmon_testkit::interrupt;
use xtask_support::parallel;

use super::{
    Profiles,
    generate::{allowed, observed},
    monitor::Monitor,
};
use crate::servers::{self, Server, load::Phase, machine::Machine};

/// The servers.
const SERVERS: [&str; 2] = ["busybox", "redis"];

/// Without a call, what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// The container or the server did not work.
    Fails,
    /// All worked, and the daemon counted a refusal.
    Refused,
    /// Nothing, and every profile has the call.
    Always,
    /// Nothing, and a runtime makes the call.
    Runtime,
    /// Nothing, and a call takes the place of an observed one.
    Sibling,
    /// Nothing, although the call was observed: in this run, the server did not make it.
    NotMade,
    /// Nothing, and there is no reason for the call.
    Superfluous,
}

/// Takes all calls away, with these machines at the same time. Prints the numbers.
pub(super) fn all(machines: &[Machine], monitor: &Monitor, profiles: &Profiles) -> Result<()> {
    let mut superfluous = Vec::new();
    let jobs = NonZeroUsize::new(machines.len()).unwrap_or(NonZeroUsize::MIN);
    let work: Vec<(&'static Server, &Value, Vec<String>)> = SERVERS
        .iter()
        .map(|name| (servers::named(name), &profiles[name], allowed(&profiles[name]).into_iter().collect()))
        .collect();
    for (server, profile, calls) in work {
        let next = AtomicUsize::new(0);
        let examine = |machine: &Machine| -> Result<Vec<(String, Effect)>> {
            let mut effects = Vec::new();
            while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                effects.push((call.clone(), effect(machine, server, profile, call, monitor)?));
            }
            Ok(effects)
        };
        let effects: Vec<Vec<_>> =
            parallel::map(jobs, machines.iter().collect(), examine).into_iter().collect::<Result<_>>()?;
        let mut by_effect: BTreeMap<Effect, BTreeSet<String>> = BTreeMap::new();
        effects.into_iter().flatten().for_each(|(call, effect)| {
            by_effect.entry(effect).or_default().insert(call);
        });
        println!("  {}: {} calls, each taken away alone", server.name, calls.len());
        for (effect, calls) in &by_effect {
            let names = calls.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            println!("    {effect:?}: {}: {names}", calls.len());
        }
        superfluous.extend(by_effect.remove(&Effect::Superfluous).into_iter().flatten());
        superfluous.extend(by_effect.remove(&Effect::NotMade).into_iter().flatten());
    }
    ensure!(superfluous.is_empty(), "the profile has calls that nothing needs: {superfluous:?}");
    Ok(())
}

fn effect(machine: &Machine, server: &Server, profile: &Value, call: &str, monitor: &Monitor) -> Result<Effect> {
    interrupt::check()?;
    let mut container = machine.run(server, true, Some(&without(profile, call)))?;
    container.is_patient = false;
    let result = container.exercise(&[Phase::First]);
    interrupt::check()?;
    if result.is_err() {
        return Ok(Effect::Fails);
    }
    let counted = monitor.counted(&container.cgroup())?;
    let was_observed = observed(profile);
    let takes_a_place = siblings(call).iter().any(|sibling| was_observed.contains(*sibling));
    Ok(match call {
        call if counted.refused.contains_key(call) || counted.nonexistent.contains_key(call) => Effect::Refused,
        call if ALWAYS_ALLOWED.contains(&call) || HARMLESS.contains(&call) => Effect::Always,
        call if base::base(None, None).contains(call) => Effect::Runtime,
        call if was_observed.contains(call) => Effect::NotMade,
        _ if takes_a_place => Effect::Sibling,
        _ => Effect::Superfluous,
    })
}

/// Returns the profile without a call.
pub(super) fn without(profile: &Value, call: &str) -> Value {
    let mut profile = profile.clone();
    if let Some(rules) = profile["syscalls"].as_array_mut() {
        // Runtimes refuse a rule without a name.
        rules.retain_mut(|rule| {
            let Some(names) = rule["names"].as_array_mut() else { return true };
            names.retain(|name| name != call);
            !names.is_empty()
        });
    }
    profile
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn profile_lacks_only_one_call() {
        let of = |names: &[&str]| json!({"syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]});
        assert_eq!(without(&of(&["read", "write", "openat"]), "write"), of(&["read", "openat"]));
        assert_eq!(without(&of(&["read"]), "write"), of(&["read"]));
    }
}
