//! `cargo xtask e2e`: real environments that run containers, on this machine, and the daemon in them.
//!
//! Each environment has its own namespaces. It leaves nothing behind, even if this program is killed.

mod alertmanager;
mod calls;
mod check;
mod containerd;
mod cri;
mod directories;
mod docker;
mod explorer;
mod images;
mod kubernetes;
mod namespaces;
mod podman;
mod programs;
mod prometheus;
pub mod runtime_bases;
mod servers;
mod software;
mod terminal;
mod wait;

pub use self::{check::SHOWN, explorer::photograph, namespaces::Namespaces, programs::web_server, terminal::screen};

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use syscallmon_testkit::{Prometheus, interrupt};
use tokio::signal::unix::{SignalKind, signal};
use xtask_support::{
    apt,
    setup::{self, Purpose},
};

use self::{
    containerd::Containerd, cri::Cri, directories::Directories, docker::Docker, explorer::Explorer, kubernetes::Node,
    podman::Podman,
};

/// Default number of pods that containerd runs.
const PODS: u32 = 3;
/// Default number of containers of each server that estimates are checked with.
const TRIALS: u32 = 3;
/// Default time of ordinary software under load.
const LOAD: Duration = Duration::from_secs(20);

/// Arguments of `cargo xtask e2e`.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    /// Which ones, one after the other
    #[arg(required = true, value_name = "ENVIRONMENT")]
    environments: Vec<Environment>,
    /// Leave it up until Ctrl-C, and say how to use it
    #[arg(long)]
    keep: bool,
    /// Pods of two containers each that containerd runs
    #[arg(long, value_name = "NUMBER", default_value_t = PODS)]
    pods: u32,
    /// How long ordinary software is under load; as short as makes sense, unless given. `policies` only operates
    /// servers for this time, and expects no report
    #[arg(long, value_name = "NUMBER")]
    minutes: Option<u64>,
    /// `policies`: only print which calls each operation of a server adds to those of its load
    #[arg(long)]
    operations: bool,
    /// `kubernetes`: only install the chart with its files of values
    #[arg(long)]
    chart: bool,
    /// With `--minutes`, containers of each server of `profiles`
    #[arg(long, value_name = "NUMBER", default_value_t = TRIALS)]
    trials: u32,
    /// Put the table of `runtimes` into docs/kernels-and-runtimes.md
    #[arg(long)]
    write: bool,
    /// `runtimes`: only Debian unstable's, as in CI
    #[arg(long, conflicts_with = "write")]
    newest: bool,
    /// `runtimes`: only cells with this text in their names, such as `node-docker`, which failures show
    #[arg(long, value_name = "TEXT", conflicts_with = "write")]
    only: Option<String>,
    /// Take every call of two generated profiles away in turn, which takes long
    #[arg(long)]
    full: bool,
}

impl Args {
    fn load(&self) -> Duration {
        self.minutes.map_or(LOAD, Duration::from_mins)
    }
}

/// The environments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Environment {
    /// A node of Kubernetes with its control plane
    Kubernetes,
    /// containerd, asked by its CRI
    Containerd,
    /// Docker's daemon
    Docker,
    /// Podman with runc
    Podman,
    /// containerd, and what nobody expects of containers
    Policies,
    /// Ordinary software: prints what it calls outside @runtime-default
    Images,
    /// Servers with generated seccomp profiles under many runtimes
    Profiles,
    /// containerd, Docker, Podman and LXC of Debian 12, 13 and unstable, also of users and in containers
    Runtimes,
    /// The explorer in Chromium, with 1,000 workloads and hostile names; open for `--minutes`
    Explorer,
}

/// Runs the verb.
///
/// # Errors
///
/// If an environment does not start, or a check fails.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    if !apt::is_root()? {
        bail!("containers, namespaces and cgroups need root: run `sudo -E cargo xtask e2e`");
    }
    setup::ensure(root, Purpose::E2e)?;
    if args.environments.contains(&Environment::Kubernetes) {
        // The image contains a static binary.
        setup::ensure(root, Purpose::Dist)?;
    }
    for environment in &args.environments {
        let begin = Instant::now();
        match environment {
            Environment::Kubernetes => kubernetes(root, args.chart, args.keep),
            Environment::Containerd => containerd(root, args.pods, args.keep),
            Environment::Docker => docker(root, args.keep),
            Environment::Podman => podman(root, args.keep),
            Environment::Policies => {
                software(root, args.keep, |namespaces, directories, cri| match args.minutes.map(Duration::from_mins) {
                    _ if args.operations => check::table(root, namespaces, directories, cri),
                    Some(time) => check::quiet(root, namespaces, directories, cri, time),
                    None => check::policies(root, namespaces, directories, cri, LOAD),
                })
            }
            Environment::Images => {
                software(root, args.keep, |namespaces, _, cri| check::images(namespaces, cri, args.load()))
            }
            Environment::Profiles => check::profiles(
                root,
                args.full,
                args.minutes.map(|minutes| (Duration::from_mins(minutes), args.trials)),
            ),
            Environment::Runtimes => check::runtimes(root, args.newest, args.write, args.only.as_deref()),
            Environment::Explorer => explorer(root, args.minutes, args.keep),
        }?;
        eprintln!("{environment:?}: ok, {:.1} s with the end of it", begin.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Runs busy containers for some time, then calls `look` with the Prometheus that scraped them and their environment.
///
/// # Errors
///
/// If containerd or Prometheus do not start, or if `look` fails.
pub fn busy_containers(
    root: &Path,
    time: Duration,
    look: impl FnOnce(&Prometheus, &Namespaces) -> Result<()>,
) -> Result<()> {
    let directories = Directories::claim(root, "containerd", containerd::CGROUPS)?;
    let namespaces = Namespaces::start(root, &[(&directories.directory("containerd")?, containerd::ROOT)])?;
    let _containerd = Containerd::start(root, &namespaces, &directories)?;
    check::busy(root, &namespaces, &directories, &Containerd::cri(&namespaces)?, time, look)
}

/// Runs every environment that has checks, in sequence, and the newest runtimes.
///
/// # Errors
///
/// As for [`run`].
pub fn ci(root: &Path) -> Result<()> {
    let long = [Environment::Images, Environment::Profiles, Environment::Runtimes, Environment::Explorer];
    let is_short = |kind: &Environment| !long.contains(kind);
    let environments = Environment::value_variants().iter().copied().filter(is_short).collect();
    let args = Args {
        environments,
        keep: false,
        pods: PODS,
        minutes: None,
        operations: false,
        chart: false,
        trials: TRIALS,
        write: false,
        newest: false,
        only: None,
        full: false,
    };
    run(root, &args)?;
    check::runtimes(root, true, false, None)
}

fn kubernetes(root: &Path, only_chart: bool, keep: bool) -> Result<()> {
    let node = Node::start(root)?;
    finish(check::kubernetes(root, &node, only_chart), || node.tails(), &node.how_to_use(), keep)
}

fn containerd(root: &Path, pods: u32, keep: bool) -> Result<()> {
    let directories = Directories::claim(root, "containerd", containerd::CGROUPS)?;
    let namespaces = Namespaces::start(root, &[(&directories.directory("containerd")?, containerd::ROOT)])?;
    let containerd = Containerd::start(root, &namespaces, &directories)?;
    let result = check::containerd(root, &namespaces, &directories, &Containerd::cri(&namespaces)?, pods);
    let use_it = format!("{} ctr --namespace k8s.io", namespaces.how_to_enter());
    finish(result, || containerd.tail(), &use_it, keep)
}

/// Runs a check in containerd with images of ordinary software.
fn software(root: &Path, keep: bool, check: impl FnOnce(&Namespaces, &Directories, &Cri) -> Result<()>) -> Result<()> {
    let directories = Directories::claim(root, "containerd", containerd::CGROUPS)?;
    let namespaces = Namespaces::start(root, &[(&directories.directory("containerd")?, containerd::ROOT)])?;
    let containerd = Containerd::start(root, &namespaces, &directories)?;
    for image in software::write(&directories)? {
        Containerd::import(&namespaces, &image)?;
    }
    let result = check(&namespaces, &directories, &Containerd::cri(&namespaces)?);
    let use_it = format!("{} ctr --namespace k8s.io", namespaces.how_to_enter());
    finish(result, || containerd.tail(), &use_it, keep)
}

fn docker(root: &Path, keep: bool) -> Result<()> {
    let docker = Docker::start(root)?;
    finish(check::docker(root, &docker), || docker.tail(), &format!("{} docker", docker.how_to_enter()), keep)
}

fn podman(root: &Path, keep: bool) -> Result<()> {
    let podman = Podman::start(root)?;
    finish(check::podman(root, &podman), String::new, &format!("{} podman", podman.how_to_enter()), keep)
}

fn explorer(root: &Path, minutes: Option<u64>, keep: bool) -> Result<()> {
    interrupt::watch()?;
    let explorer = Explorer::start(root, &check::daemon(root)?)?;
    finish(
        check::explorer(root, &explorer, minutes),
        || explorer.log(),
        &format!("a browser: {}", explorer.url()),
        keep,
    )
}

/// Prints the logs after a failure. With `keep`, leaves the environment up until the user ends it.
fn finish(result: Result<()>, tails: impl Fn() -> String, use_it: &str, keep: bool) -> Result<()> {
    if result.is_err() {
        eprint!("{}", tails());
    }
    if keep {
        if let Err(error) = &result {
            eprintln!("failed: {error:#}");
        }
        eprintln!("it stays up until Ctrl-C; use it with\n    {use_it} ...");
        wait_for_the_end()?;
    }
    result
}

/// Waits until Ctrl-C or a request to end this program.
fn wait_for_the_end() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().context("cannot start a runtime")?;
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = term.recv() => Ok(()),
        }
    })?;
    Ok(())
}
