//! Starts each server with its profile under each runtime, with and without `no_new_privs`.

use std::{collections::BTreeMap, fmt::Write as _, num::NonZeroUsize};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use syscallmon_testkit::interrupt;
use xtask_support::parallel;

use super::{
    Profiles,
    generate::{NARROW, Narrow, allowed},
    minimal::without,
    monitor::{Counted, Monitor},
};
use crate::servers::{self, Server, load::Phase, machine::Machine};

/// Runtimes that work at the same time.
const JOBS: NonZeroUsize = NonZeroUsize::new(2).expect("not zero");
const LOADS: [Phase; 2] = [Phase::Second, Phase::First];

/// One run of a server with its profile.
pub(super) struct Outcome {
    server: &'static str,
    pub(super) runtime: String,
    no_new_privileges: bool,
    counted: Counted,
    /// What did not work.
    failure: Option<String>,
}

impl Outcome {
    /// Whether it worked. Every libc makes a thread by `clone` if `clone3` does not exist.
    fn is_ok(&self) -> bool {
        let only_clone3 = self.counted.nonexistent.keys().all(|call| call == "clone3");
        self.failure.is_none() && self.counted.refused.is_empty() && only_clone3
    }

    /// Returns a line without the name of the server.
    fn line(&self) -> String {
        let Counted { refused, nonexistent, .. } = &self.counted;
        let mut line = format!("refused {}", total(refused));
        if !refused.is_empty() {
            let _ = write!(line, " {refused:?}");
        }
        if !nonexistent.is_empty() {
            let _ = write!(line, ", ENOSYS {nonexistent:?}");
        }
        if let Some(failure) = &self.failure {
            let _ = write!(line, ", FAILED: {failure}");
        }
        line
    }
}

fn total(counts: &BTreeMap<String, u64>) -> u64 {
    counts.values().sum()
}

/// Runs all of them, and prints the table. Fails if anything is refused.
pub(super) fn all(machines: &[Machine], monitor: &Monitor, profiles: &Profiles) -> Result<()> {
    let names: Vec<String> = machines.iter().map(|machine| machine.name.clone()).collect();
    let run = |machine: &Machine| -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for server in &servers::ALL {
            for no_new_privileges in [true, false] {
                interrupt::check()?;
                let outcome = enforce(machine, server, no_new_privileges, monitor, &profiles[server.name])?;
                println!(
                    "  {} under {}, no_new_privs {no_new_privileges}: {} calls allowed, {}",
                    server.name,
                    machine.name,
                    allowed(&profiles[server.name]).len(),
                    outcome.line()
                );
                outcomes.push(outcome);
            }
        }
        Ok(outcomes)
    };
    let outcomes: Vec<Vec<Outcome>> =
        parallel::map(JOBS, machines.iter().collect(), run).into_iter().collect::<Result<_>>()?;
    let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
    print!("{}", table(&names, &outcomes, profiles));
    let failed = outcomes.iter().filter(|outcome| !outcome.is_ok()).count();
    if failed > 0 {
        bail!("{failed} of {} runs with a generated profile failed; the lines are above", outcomes.len());
    }
    Ok(())
}

/// Runs a server with profiles that are for one runtime each.
pub(super) fn narrow(machines: &[Machine], monitor: &Monitor, narrow: &[Narrow]) -> Result<()> {
    let server = servers::named(NARROW);
    for Narrow { runtime, no_new_privileges, profile } in narrow {
        let machine = machines.iter().find(|machine| machine.runtime == *runtime);
        let outcome = enforce(machine.context("it has a machine")?, server, *no_new_privileges, monitor, profile)?;
        let (calls, line) = (allowed(profile).len(), outcome.line());
        println!("  {NARROW} with a profile for {runtime}, no_new_privs {no_new_privileges}: {calls} calls, {line}");
        ensure!(outcome.is_ok(), "a profile for {runtime} does not suffice");
    }
    Ok(())
}

/// Proves that a missing call is noticed: nginx without `sendfile` fails, and the daemon counts the refusals.
pub(super) fn control(machine: &Machine, monitor: &Monitor, profiles: &Profiles) -> Result<()> {
    let server = servers::named("nginx");
    let mut container = machine.run(server, true, Some(&without(&profiles[server.name], "sendfile")))?;
    let result = container.exercise(&LOADS);
    interrupt::check()?;
    let counted = monitor.counted(&container.cgroup())?;
    ensure!(result.is_err(), "nginx works without sendfile");
    ensure!(counted.refused.keys().eq(["sendfile"]), "without sendfile, {:?} were refused", counted.refused);
    Ok(())
}

fn enforce(
    machine: &Machine,
    server: &'static Server,
    no_new_privileges: bool,
    monitor: &Monitor,
    profile: &Value,
) -> Result<Outcome> {
    let mut container = machine.run(server, no_new_privileges, Some(profile))?;
    let result = container.exercise(&LOADS);
    interrupt::check()?;
    let failure = result.err().map(|error| format!("{error:#}\n{}", container.tail()));
    let counted = match monitor.counted(&container.cgroup()) {
        Err(error) if failure.is_none() => return Err(error),
        counted => counted.unwrap_or_default(),
    };
    let runtime = machine.name.clone();
    Ok(Outcome { server: server.name, runtime, no_new_privileges, counted, failure })
}

/// Returns the table in Markdown: number of refused calls by server and runtime, with `no_new_privs` and without.
fn table(runtimes: &[String], outcomes: &[Outcome], profiles: &Profiles) -> String {
    let mut table = format!("| server | calls | {} |\n|---|---|", runtimes.join(" | "));
    table += &"---|".repeat(runtimes.len());
    for server in &servers::ALL {
        let _ = write!(table, "\n| {} | {} |", server.name, allowed(&profiles[server.name]).len());
        for runtime in runtimes {
            let of = |no_new_privileges| {
                let mut found = outcomes.iter().filter(|one| one.server == server.name && one.runtime == *runtime);
                let found = found.find(|one| one.no_new_privileges == no_new_privileges);
                found.map_or("-".to_owned(), |one| match &one.failure {
                    Some(_) => "fails".to_owned(),
                    None => total(&one.counted.refused).to_string(),
                })
            };
            let _ = write!(table, " {}, {} |", of(true), of(false));
        }
    }
    table + "\n"
}
