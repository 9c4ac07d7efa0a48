//! Finds the calls of a runtime between loading the filter and the program's first instruction.
//!
//! *Made* calls are seen by a tracer, in many starts under a filter that allows everything. *Needed* calls are those
//! without which at least one start fails, each taken away alone. In the end, every start must succeed under a filter
//! that kills the container at any call that was not seen.

use std::{collections::BTreeSet, num::NonZeroUsize};

use anyhow::{Result, ensure};
use xtask_support::parallel;

use super::{
    runtime::{Runtime, Waiting},
    spec::{Denial, PROGRAM_CALLS, Profile, Settings},
    tracer::{Calls, Tracer},
};

/// Number of starts without a call until the call counts as not needed.
const TRIALS: u32 = 5;
/// Starts in parallel: more than processors, so that threads of a runtime wait for each other.
const JOBS: [NonZeroUsize; 2] = [NonZeroUsize::MIN, NonZeroUsize::MIN.saturating_add(3)];

/// The calls of one runtime with one value of no_new_privs.
pub(super) struct Measurement {
    pub(super) runtime: &'static str,
    pub(super) version: String,
    pub(super) no_new_privileges: bool,
    pub(super) start: Found,
    pub(super) exec: Found,
}

/// What was found about one way to start a program.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) needed: BTreeSet<&'static str>,
    pub(super) made: BTreeSet<&'static str>,
    /// Whether the needed calls alone suffice.
    pub(super) is_needed_enough: bool,
    /// Number of starts that were killed because of a call that was not seen, and number of all starts of the check.
    pub(super) killed: u32,
    pub(super) checked: u32,
}

/// A way to start a program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Run,
    Create,
}

const METHODS: [Method; 2] = [Method::Run, Method::Create];

/// Measures a runtime.
pub(super) fn measure(runtime: &mut Runtime, starts: u32) -> Result<Vec<Measurement>> {
    let seen = observe(runtime, starts)?;
    let mut results = Vec::new();
    for no_new_privileges in [true, false] {
        let start = examine_start(runtime, no_new_privileges, made(&seen, "start", no_new_privileges)?, starts)?;
        report("start", no_new_privileges, &start);
        let exec = examine_exec(runtime, no_new_privileges, made(&seen, "exec", no_new_privileges)?, starts)?;
        report("exec", no_new_privileges, &exec);
        let (name, version) = (runtime.program().name(), runtime.version().to_owned());
        results.push(Measurement { runtime: name, version, no_new_privileges, start, exec });
    }
    Ok(results)
}

fn report(what: &str, no_new_privileges: bool, found: &Found) {
    let Found { needed, made, is_needed_enough, killed, checked } = found;
    let (needed, made) = (needed.len(), made.len());
    eprintln!(
        "  {what}, no_new_privs {no_new_privileges}: {needed} needed (enough alone: {is_needed_enough}), {made} made, \
         {killed} of {checked} starts made others"
    );
}

fn host(what: &str, no_new_privileges: bool) -> String {
    format!("{what}-{no_new_privileges}")
}

fn made(seen: &Calls, what: &str, no_new_privileges: bool) -> Result<BTreeSet<&'static str>> {
    let calls = seen.get(&host(what, no_new_privileges)).cloned().unwrap_or_default();
    ensure!(calls.contains("execve"), "the tracer saw no execve of {}", host(what, no_new_privileges));
    Ok(calls.into_iter().filter(|call| !PROGRAM_CALLS.contains(call)).collect())
}

/// Starts programs in all ways under a filter that allows everything. Returns the calls under the filter.
fn observe(runtime: &Runtime, starts: u32) -> Result<Calls> {
    let tracer = Tracer::start()?;
    let all = Profile::without(None);
    for settings in [true, false].into_iter().flat_map(Settings::of) {
        let name = host("start", settings.no_new_privileges);
        let waiting = runtime.wait("waiting", settings)?;
        runtime.rename(&waiting, &host("exec", settings.no_new_privileges))?;
        runtime.prepare_exec(&waiting)?;
        for jobs in JOBS {
            let count = starts.div_ceil(2);
            for method in METHODS {
                repeat(jobs, count, || start(runtime, method, &name, settings, &all))?;
            }
            repeat(jobs, count, || runtime.exec(&waiting))?;
        }
        runtime.end(&waiting)?;
    }
    tracer.finish()
}

/// Repeats a start that must succeed.
fn repeat(jobs: NonZeroUsize, count: u32, start: impl Fn() -> Result<bool> + Sync) -> Result<()> {
    for result in parallel::map(jobs, (0..count).collect(), |_| start()) {
        ensure!(result?, "a program does not start under a filter that allows everything");
    }
    Ok(())
}

fn start(runtime: &Runtime, method: Method, host: &str, settings: Settings, profile: &Profile) -> Result<bool> {
    match method {
        Method::Run => runtime.run(host, settings, profile),
        Method::Create => runtime.create_and_start(host, settings, profile),
    }
}

/// Examines the start of containers.
fn examine_start(
    runtime: &Runtime,
    no_new_privileges: bool,
    made: BTreeSet<&'static str>,
    starts: u32,
) -> Result<Found> {
    let ways = || Settings::of(no_new_privileges).into_iter().flat_map(|user| METHODS.map(|method| (user, method)));
    examine(made, starts, |profile, count| {
        let mut failed = 0;
        for (settings, method) in ways() {
            for _ in 0..count {
                failed += u32::from(!start(runtime, method, "trial", settings, profile)?);
                if failed > 0 && profile.denial == Denial::Error {
                    return Ok((failed, 1));
                }
            }
        }
        Ok((failed, count * u32::try_from(ways().count())?))
    })
}

/// Examines the start of other programs in a running container.
fn examine_exec(
    runtime: &Runtime,
    no_new_privileges: bool,
    made: BTreeSet<&'static str>,
    starts: u32,
) -> Result<Found> {
    examine(made, starts, |profile, count| {
        let (mut failed, mut all) = (0, 0);
        for settings in Settings::of(no_new_privileges) {
            let waiting = runtime.wait("trial", settings)?;
            runtime.prepare_exec(&waiting)?;
            runtime.set_profile(&waiting, profile)?;
            let failures = failures_of_exec(runtime, &waiting, profile, count)?;
            runtime.end(&waiting)?;
            (failed, all) = (failed + failures, all + count);
            if failed > 0 && profile.denial == Denial::Error {
                break;
            }
        }
        Ok((failed, all))
    })
}

fn failures_of_exec(runtime: &Runtime, waiting: &Waiting, profile: &Profile, count: u32) -> Result<u32> {
    let mut failed = 0;
    for _ in 0..count {
        failed += u32::from(!runtime.exec(waiting)?);
        // A timeout ends the container, too.
        if failed > 0 && profile.denial == Denial::Error {
            break;
        }
    }
    Ok(failed)
}

/// Takes calls away one at a time. `attempt` starts programs under a profile, this many times in each way, and returns
/// the numbers of failures and of starts. It may stop at the first failure, unless the profile kills.
fn examine(
    made: BTreeSet<&'static str>,
    starts: u32,
    attempt: impl Fn(&Profile, u32) -> Result<(u32, u32)>,
) -> Result<Found> {
    let mut needed = BTreeSet::new();
    for &call in &made {
        if attempt(&Profile::without(Some(call)), TRIALS)?.0 > 0 {
            needed.insert(call);
        }
    }
    ensure!(attempt(&Profile::without(None), 1)?.0 == 0, "a start fails under a filter that allows everything");
    let is_needed_enough = attempt(&Profile::only(&needed, Denial::Error), TRIALS)?.0 == 0;
    let (killed, checked) = attempt(&Profile::only(&made, Denial::Kill), starts.div_ceil(2))?;
    Ok(Found { needed, made, is_needed_enough, killed, checked })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_are_the_calls_without_which_a_start_fails() {
        // Fails without `execve`, and without both of `openat` and `openat2`.
        let attempt = |profile: &Profile, count: u32| {
            let has = |call| profile.allowed.contains(call);
            let is_ok = has("execve") && (has("openat") || has("openat2"));
            Ok((u32::from(!is_ok), count))
        };
        let found = examine(["execve", "openat", "openat2", "futex"].into(), 60, attempt).unwrap();
        assert_eq!((found.needed, found.made.len()), (["execve"].into(), 4));
        assert!(!found.is_needed_enough);
        assert_eq!((found.killed, found.checked), (0, 30));
    }

    #[test]
    fn calls_of_the_containers_own_program_are_not_the_runtimes() {
        let seen = Calls::from([("start-true".to_owned(), ["execve", "close", "exit_group", "pause"].into())]);
        assert_eq!(made(&seen, "start", true).unwrap(), ["close", "execve"].into());
        assert!(made(&seen, "exec", true).is_err());
    }
}
