//! `cargo xtask runtime-bases`: measures the calls of container runtimes between loading the seccomp filter and the
//! first instruction of the container's program.
//!
//! The filter applies to these calls, so every seccomp profile must allow them. The verb writes them into
//! `syscallmon/src/profile/base/table.rs`.

pub(crate) mod inside;
mod measure;
pub(crate) mod roots;
pub(crate) mod runtime;
mod spec;
mod table;
mod tracer;

use std::{path::Path, time::Instant};

use anyhow::{Context, Result, bail, ensure};
use syscallmon_testkit::interrupt;
use xtask_support::{
    apt::{self, Suite},
    arch::Arch,
    generated,
    setup::{self, Purpose},
};

use self::{measure::Measurement, roots::Root, runtime::Program, table::Origin};
use crate::directories::Directories;

/// The suites with different versions of the runtimes.
const SUITES: [Suite; 3] = [Suite::Bookworm, Suite::Trixie, Suite::Sid];
/// The cgroup of all containers of this verb, below the root of cgroup2.
const CGROUP: &str = "syscallmon-runtime-bases";
const TABLE: &str = "syscallmon/src/profile/base/table.rs";
/// Default number of starts in each combination of settings. A runtime in Go makes some calls only now and then.
const STARTS: u32 = 60;

/// Arguments of `cargo xtask runtime-bases`.
#[derive(clap::Args)]
pub struct Args {
    /// Number of starts for each combination of runtime, settings and method
    #[arg(long, value_name = "NUMBER", default_value_t = STARTS, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
}

/// Runs the verb.
///
/// # Errors
///
/// If a runtime cannot be fetched or does not start containers, or on Ctrl-C.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    if !apt::is_root()? {
        bail!("containers, namespaces and cgroups need root: run `sudo -E cargo xtask runtime-bases`");
    }
    ensure!(Arch::native() == Arch::Amd64, "the table has calls of x86_64: measure on such a machine");
    setup::ensure(root, Purpose::RuntimeBases)?;
    interrupt::watch()?;
    let directories = Directories::claim(root, "runtime-bases", &[CGROUP])?;
    let mut origin = Origin::of_this_machine(args.starts)?;
    let mut all = Vec::new();
    for suite in SUITES {
        let system = Root::fetch(suite, &directories)?;
        for program in [Program::Runc, Program::Crun] {
            origin.packages.push(system.package(program)?);
            all.extend(measured(&system, program, &directories, args.starts)?);
        }
    }
    let text = table::render(&origin, &all)?;
    let is_new = generated::write(&root.join(TABLE), text.as_bytes())?;
    print!("{}", table::summary(&all));
    eprintln!("{TABLE}: {}", if is_new { "changed" } else { "unchanged" });
    Ok(())
}

fn measured(root: &Root, program: Program, directories: &Directories, starts: u32) -> Result<Vec<Measurement>> {
    let begin = Instant::now();
    let runtime = runtime::Runtime::start(root, program, directories)?;
    let name = format!("{}-{}", program.name(), runtime.version());
    eprintln!("{name}: measuring");
    let results = measure::measure(&runtime, starts)
        .with_context(|| format!("cannot measure {name}; its log is {}", runtime.log().display()))?;
    eprintln!("{name}: {:.0} s", begin.elapsed().as_secs_f64());
    Ok(results)
}
