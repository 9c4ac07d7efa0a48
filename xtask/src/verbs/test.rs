//! `cargo xtask test`: installs the requirements and runs the whole suite, on an idle machine or beside load.

mod load;

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use syscallmon_testkit::interrupt;
use xtask_support::{
    apt,
    setup::{self, Purpose},
    shell, workspace,
};

use crate::verbs::test::load::Load;

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    /// Run with this eBPF object instead of the committed one
    #[arg(long, value_name = "FILE")]
    bpf_object: Option<PathBuf>,

    /// Run on a busy machine: stress-ng, a build, and containers with violations of their own run beside the tests
    #[arg(long)]
    beside_load: bool,

    /// Restart and kill daemons hundreds of times in tests of pinned mode, in about an hour
    #[arg(long)]
    long: bool,

    /// A daemon of another build, to and from which tests of pinned mode upgrade
    #[arg(long, value_name = "FILE")]
    other_binary: Option<PathBuf>,

    /// How many times to run the suite
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    times: u32,

    /// What to hand on to the test runner, such as a name to filter by
    #[arg(last = true)]
    filter: Vec<OsString>,
}

/// Runs the verb.
///
/// # Errors
///
/// If a test fails, or the suite cannot run here.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    let load = if args.beside_load {
        // Compiles before the load starts, because the load must slow down only the tests.
        compile(root)?;
        // Ctrl-C ends the suite, and then the load.
        interrupt::watch()?;
        Some(Load::start(root)?)
    } else {
        None
    };
    let long = args.long.then(|| ("SYSCALLMON_TEST_LONG", OsStr::new("1")));
    let other = args.other_binary.as_ref().map(|binary| ("SYSCALLMON_TEST_OTHER_BINARY", binary.as_os_str()));
    let variables: Vec<_> = long.into_iter().chain(other).collect();
    for _ in 0..args.times {
        run_suite(root, args.bpf_object.as_deref(), &variables, &args.filter)?;
    }
    drop(load);
    Ok(())
}

fn compile(root: &Path) -> Result<()> {
    setup::ensure(root, Purpose::Build)?;
    let mut command = Command::new(workspace::cargo());
    command.current_dir(root).args(["test", "--locked", "--no-run"]);
    shell::run(&mut command, "the errors above say what to change")
}

/// Runs every test of the workspace, including those on the real kernel.
///
/// # Errors
///
/// As for [`run`].
pub fn suite(root: &Path, bpf_object: Option<&Path>, filter: &[OsString]) -> Result<()> {
    run_suite(root, bpf_object, &[], filter)
}

fn run_suite(root: &Path, bpf_object: Option<&Path>, variables: &[(&str, &OsStr)], filter: &[OsString]) -> Result<()> {
    if !apt::is_root()? {
        bail!(
            "the tests load eBPF programs and make cgroups: run them as root (sudo -E env \"PATH=$PATH\" cargo xtask test)"
        );
    }
    setup::ensure(root, Purpose::Build)?;
    setup::ensure(root, Purpose::Test)?;
    let tools = workspace::tools_dir(root).join("bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(tools).chain(env::split_paths(&path))).context("PATH is odd")?;
    let mut command = Command::new(workspace::cargo());
    command.current_dir(root).env("PATH", path).envs(variables.iter().copied()).args([
        "test",
        "--locked",
        "--no-fail-fast",
        "--",
    ]);
    // Runs two tests at a time: a waiting test does not delay the others, and short-lived cgroups still get CPU time.
    command.arg("--test-threads=2").args(filter);
    if let Some(object) = bpf_object {
        command.env("SYSCALLMON_BPF_OBJECT", object);
    }
    shell::run(&mut command, "a test failed: its output is above")
}
