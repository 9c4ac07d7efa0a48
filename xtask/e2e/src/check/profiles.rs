//! `cargo xtask e2e profiles`: proves generated seccomp profiles with real servers and real runtimes.
//!
//! Each server runs once without a profile, and the daemon generates a profile from what it observed. Then the server
//! runs with the profile under all runtimes, with other requests: nothing may be refused. With `--full`, every call of
//! some profiles is taken away in turn, and the daemon must count a refusal. With `--minutes`, servers run for that
//! time instead, and estimates of unseen calls are compared with all calls that they made.

mod check_command;
mod enforce;
mod engines;
mod estimates;
mod generate;
mod minimal;
mod monitor;

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;
use syscallmon_testkit::interrupt;
use xtask_support::apt::Suite;

use self::monitor::Monitor;
use super::step;
use crate::{
    directories::Directories,
    runtime_bases::runtime::Program,
    servers::{
        self,
        machine::{self, CGROUP, Machine},
    },
    software,
};

/// The suites with different versions of the runtimes.
const SUITES: [Suite; 3] = [Suite::Bookworm, Suite::Trixie, Suite::Sid];
const PROGRAMS: [Program; 2] = [Program::Runc, Program::Crun];

/// Profiles by the name of their server.
type Profiles = BTreeMap<&'static str, Value>;

/// Checks generated profiles.
pub(crate) fn profiles(root: &Path, full: bool, estimates: Option<(Duration, u32)>) -> Result<()> {
    interrupt::watch()?;
    let directories = Directories::claim(root, "profiles", &[CGROUP])?;
    let tree = directories.directory("servers")?.join("tree");
    software::unpack(&tree)?;
    servers::write_files(&tree)?;
    let roots: Vec<_> = SUITES
        .into_iter()
        .map(|suite| Ok((suite, machine::prepare(suite, &tree, &directories)?)))
        .collect::<Result<_>>()?;
    let mut machines = Vec::new();
    for (suite, of_suite) in &roots {
        for program in PROGRAMS {
            machines.push(Machine::start(of_suite, *suite, program, 0, &directories.logs)?);
        }
    }
    let monitor = Monitor::start(root, &machines[0], &directories)?;
    if let Some(estimates) = estimates {
        return estimates::run(&machines[0], &monitor, &directories, estimates);
    }
    let (profiles, narrow) = generate::all(&machines, &monitor, &directories)?;
    let recording = generate::compare_with_record(&monitor, &tree, &directories)?;
    let recording = recording.to_str().context("the path is not UTF-8")?;
    check_command::check(generate::RECORDED, &[recording], &monitor, &directories)?;
    step("a missing call is noticed", || enforce::control(&machines[0], &monitor, &profiles))?;
    enforce::narrow(&machines, &monitor, &narrow)?;
    let mut result = enforce::all(&machines, &monitor, &profiles);
    interrupt::check()?;
    result = engines::all(root, &tree, &monitor, &profiles).and(result);
    if full {
        interrupt::check()?;
        let (suite, of_suite) = &roots[0];
        let start = |number| Machine::start(of_suite, *suite, Program::Runc, number, &directories.logs);
        result = minimal::all(&[start(1)?, start(2)?], &monitor, &profiles).and(result);
    }
    result
}
