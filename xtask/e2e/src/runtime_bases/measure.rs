//! Finds the calls of a runtime between loading the filter and the program's first instruction.
//!
//! *Made* calls are seen by a tracer, in many starts under a filter that allows everything. They are complete once all
//! starts succeed under a filter that kills the container at any other call. *Needed* calls are those without which at
//! least one start fails, each denied alone.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

use anyhow::{Result, ensure};
use xtask_support::parallel;

use super::{
    runtime::{Runtime, Waiting},
    spec::{Denial, PROGRAM_CALLS, Profile, Settings},
    tracer::{Calls, Tracer},
};

/// Number of starts of each kind without a call, until the call counts as not needed. Some calls are made rarely.
const TRIALS: u32 = 10;
/// Maximum number of rounds of observation. A round ends with a check for calls that were not seen.
const MAX_ROUNDS: u32 = 5;
const ONE: NonZeroUsize = NonZeroUsize::MIN;
/// Starts in parallel: more than processors, so that threads of a runtime wait for each other.
const MANY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// The calls of one runtime with one value of `no_new_privs`.
pub(super) struct Measurement {
    pub(super) runtime: &'static str,
    pub(super) version: String,
    pub(super) no_new_privileges: bool,
    pub(super) start: Found,
    pub(super) exec: Found,
    pub(super) check: Tally,
}

/// What was found about one way to start a program.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) needed: BTreeSet<&'static str>,
    pub(super) made: BTreeSet<&'static str>,
    /// Whether the needed calls alone suffice.
    pub(super) is_needed_enough: bool,
}

/// Numbers of starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) failed: u32,
    pub(super) all: u32,
}

/// A way to start a container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Run,
    Create,
    Terminal,
}

const METHODS: [Method; 3] = [Method::Run, Method::Create, Method::Terminal];
/// Methods with the same needs.
const WITHOUT_TERMINAL: [Method; 2] = [Method::Run, Method::Create];

/// Measures a runtime.
pub(super) fn measure(runtime: &Runtime, starts: u32) -> Result<Vec<Measurement>> {
    let mut seen = Calls::new();
    let mut checks = [Tally::default(); 2];
    for round in 1..=MAX_ROUNDS {
        for (host, calls) in observe(runtime, starts)? {
            seen.entry(host).or_default().extend(calls);
        }
        for (check, no_new_privileges) in checks.iter_mut().zip([true, false]) {
            *check = check_for_unseen(runtime, no_new_privileges, &seen, starts)?;
            let Tally { failed, all } = check;
            eprintln!("  round {round}, no_new_privs {no_new_privileges}: {failed} of {all} starts made unseen calls");
        }
        if checks.iter().all(|check| check.failed == 0) {
            break;
        }
    }
    let measurements = [true, false].into_iter().zip(checks).map(|(no_new_privileges, check)| {
        let start = examine(made(&seen, "start", no_new_privileges)?, |profile| {
            try_starts(runtime, no_new_privileges, profile, &WITHOUT_TERMINAL, TRIALS)
        })?;
        report("start", no_new_privileges, &start);
        let exec = examine(made(&seen, "exec", no_new_privileges)?, |profile| {
            try_execs(runtime, no_new_privileges, profile, TRIALS)
        })?;
        report("exec", no_new_privileges, &exec);
        let (runtime, version) = (runtime.program().name(), runtime.version().to_owned());
        Ok(Measurement { runtime, version, no_new_privileges, start, exec, check })
    });
    measurements.collect()
}

fn report(what: &str, no_new_privileges: bool, found: &Found) {
    let Found { needed, made, is_needed_enough } = found;
    let (needed, made) = (needed.len(), made.len());
    let enough = if *is_needed_enough { "enough alone" } else { "not enough alone" };
    eprintln!("  {what}, no_new_privs {no_new_privileges}: {made} made, {needed} needed, {enough}");
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
        for jobs in [ONE, MANY] {
            let count = starts.div_ceil(2);
            let mut failed = 0;
            for method in METHODS {
                failed += repeat(jobs, count, false, || start(runtime, method, &name, settings, &all))?;
            }
            failed += repeat(jobs, count, false, || runtime.exec(&waiting))?;
            failed += repeat(jobs, count, false, || runtime.exec_with_terminal(&waiting))?;
            ensure!(failed == 0, "{failed} programs do not start under a filter that allows everything");
        }
        runtime.end(&waiting)?;
    }
    tracer.finish()
}

/// Starts programs under a filter that kills them at a call that was not seen.
fn check_for_unseen(runtime: &Runtime, no_new_privileges: bool, seen: &Calls, starts: u32) -> Result<Tally> {
    let profile = |what| made(seen, what, no_new_privileges).map(|calls| Profile::only(&calls, Denial::Kill));
    let start = try_starts(runtime, no_new_privileges, &profile("start")?, &METHODS, starts)?;
    let exec = try_execs(runtime, no_new_privileges, &profile("exec")?, starts)?;
    Ok(Tally { failed: start.failed + exec.failed, all: start.all + exec.all })
}

fn start(runtime: &Runtime, method: Method, host: &str, settings: Settings, profile: &Profile) -> Result<bool> {
    match method {
        Method::Run => runtime.run(host, settings, profile),
        Method::Create => runtime.create_and_start(host, settings, profile),
        Method::Terminal => runtime.run(host, settings.with_terminal(), profile),
    }
}

/// Starts containers under a profile, this many times for each kind of user and each method. If the profile does not
/// kill, one failure is enough.
fn try_starts(
    runtime: &Runtime,
    no_new_privileges: bool,
    profile: &Profile,
    methods: &[Method],
    count: u32,
) -> Result<Tally> {
    let is_first_enough = profile.denial == Denial::Error;
    let mut tally = Tally::default();
    for settings in Settings::of(no_new_privileges) {
        for &method in methods {
            if is_first_enough && tally.failed > 0 {
                break;
            }
            tally.failed +=
                repeat(MANY, count, is_first_enough, || start(runtime, method, "trial", settings, profile))?;
            tally.all += count;
        }
    }
    Ok(tally)
}

/// Starts other programs in running containers, in the same manner.
fn try_execs(runtime: &Runtime, no_new_privileges: bool, profile: &Profile, count: u32) -> Result<Tally> {
    let mut tally = Tally::default();
    for settings in Settings::of(no_new_privileges) {
        let waiting: Waiting = runtime.wait("trial", settings)?;
        runtime.set_profile(&waiting, profile)?;
        tally.failed += repeat(MANY, count, profile.denial == Denial::Error, || runtime.exec(&waiting))?;
        tally.all += count;
        runtime.end(&waiting)?;
    }
    Ok(tally)
}

/// Repeats a start. Returns the number of failures. If the first failure is enough, later starts are left out.
fn repeat(
    jobs: NonZeroUsize,
    count: u32,
    is_first_enough: bool,
    start: impl Fn() -> Result<bool> + Sync,
) -> Result<u32> {
    // The very first start is alone: most calls that are needed are needed in every start.
    let mut failed = u32::from(!start()?);
    if count > 1 && !(is_first_enough && failed > 0) {
        let has_failed = AtomicBool::new(false);
        let failures = AtomicU32::new(0);
        let results = parallel::map(jobs, (1..count).collect(), |_| {
            if is_first_enough && has_failed.load(Relaxed) {
                return Ok(());
            }
            if !start()? {
                has_failed.store(true, Relaxed);
                failures.fetch_add(1, Relaxed);
            }
            Ok(())
        });
        results.into_iter().collect::<Result<()>>()?;
        failed += failures.into_inner();
    }
    Ok(failed)
}

/// Denies calls one at a time. `attempt` starts programs under a profile.
fn examine(made: BTreeSet<&'static str>, attempt: impl Fn(&Profile) -> Result<Tally>) -> Result<Found> {
    let mut needed = BTreeSet::new();
    for &call in &made {
        if attempt(&Profile::without(Some(call)))?.failed > 0 {
            needed.insert(call);
        }
    }
    ensure!(attempt(&Profile::without(None))?.failed == 0, "a start fails under a filter that allows everything");
    let is_needed_enough = attempt(&Profile::only(&needed, Denial::Error))?.failed == 0;
    Ok(Found { needed, made, is_needed_enough })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_are_the_calls_without_which_a_start_fails() {
        // Fails without `execve`, and without both of `openat` and `openat2`.
        let attempt = |profile: &Profile| {
            let has = |call| profile.allowed.contains(call);
            let is_ok = has("execve") && (has("openat") || has("openat2"));
            Ok(Tally { failed: u32::from(!is_ok), all: 1 })
        };
        let found = examine(["execve", "openat", "openat2", "futex"].into(), attempt).unwrap();
        assert_eq!((found.needed, found.made.len()), (["execve"].into(), 4));
        assert!(!found.is_needed_enough);
    }

    #[test]
    fn failures_are_counted_unless_one_is_enough() {
        let started = AtomicU32::new(0);
        let odd_ones_fail = || Ok(started.fetch_add(1, Relaxed).is_multiple_of(2));
        assert_eq!(repeat(MANY, 20, false, odd_ones_fail).unwrap(), 10);
        assert_eq!(started.swap(0, Relaxed), 20);
        assert_eq!(repeat(ONE, 20, true, odd_ones_fail).unwrap(), 1);
        assert_eq!(started.into_inner(), 2);
    }

    #[test]
    fn calls_of_the_containers_own_program_are_not_the_runtimes() {
        let seen = Calls::from([("start-true".to_owned(), ["execve", "close", "exit_group", "pause"].into())]);
        assert_eq!(made(&seen, "start", true).unwrap(), ["close", "execve"].into());
        assert!(made(&seen, "exec", true).is_err());
    }
}
