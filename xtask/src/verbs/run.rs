//! `cargo xtask run`: builds the daemon, starts it on this host and shows what it counts.

use std::{
    ffi::OsString,
    path::Path,
    process::{Child, Command},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use xtask_support::{
    apt,
    setup::{self, Purpose},
    shell, workspace,
};

/// Arguments of `cargo xtask run`.
#[derive(clap::Args)]
pub struct Args {
    /// End after the first metrics were shown
    #[arg(long)]
    once: bool,

    /// Flags for `syscallmon run`
    #[arg(last = true)]
    flags: Vec<OsString>,
}

/// Where the daemon listens by default.
const ADDRESS: &str = "127.0.0.1:9778";

/// How many series are shown.
const SHOWN: usize = 15;

/// Runs the verb.
///
/// # Errors
///
/// If the daemon cannot be built or started.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    setup::ensure(root, Purpose::Build)?;
    let build = ["build", "--release", "--locked", "--package", "syscallmon"];
    shell::run(Command::new(workspace::cargo()).current_dir(root).args(build), "see the compiler's message")?;
    let binary = workspace::target_dir(root).join("release/syscallmon");
    let mut daemon = Daemon::start(&binary, &args.flags)?;
    daemon.wait_until_ready()?;
    // Long enough for the host to do something.
    thread::sleep(Duration::from_secs(2));
    show(&get("/metrics")?);
    if args.once {
        return Ok(());
    }
    eprintln!("\nsyscallmon runs: http://{ADDRESS}/ (metrics at /metrics). Ctrl-C ends it.");
    let status = daemon.0.wait().context("cannot wait for the daemon")?;
    if status.success() { Ok(()) } else { bail!("the daemon ended with {status}") }
}

/// The daemon; ended, in order, when dropped.
struct Daemon(Child);

impl Daemon {
    fn start(binary: &Path, flags: &[OsString]) -> Result<Self> {
        let mut command = if apt::is_root()? { Command::new(binary) } else { Command::new("sudo") };
        if command.get_program() == "sudo" {
            command.arg(binary);
        }
        let child = command.arg("run").args(flags).spawn();
        Ok(Self(child.context("cannot start the daemon: it needs root, or sudo to become it")?))
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        for _ in 0..200 {
            if let Some(status) = self.0.try_wait().context("cannot wait for the daemon")? {
                bail!("the daemon ended with {status}: its message is above");
            }
            if get("/readyz").is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(100));
        }
        bail!("nothing answers at {ADDRESS}: was the daemon told to listen elsewhere?")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

fn get(path: &str) -> Result<String> {
    let mut response = ureq::get(format!("http://{ADDRESS}{path}")).call()?;
    Ok(response.body_mut().read_to_string()?)
}

/// Prints the busiest series.
fn show(metrics: &str) {
    let series = metrics.lines().filter(|line| line.starts_with("syscallmon_syscalls_total{"));
    let value = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<u64>().ok()).unwrap_or(0);
    let mut series: Vec<&str> = series.collect();
    series.sort_by_key(|line| std::cmp::Reverse(value(line)));
    for line in series.iter().take(SHOWN) {
        println!("{line}");
    }
    println!("... {} series of syscallmon_syscalls_total in all", series.len());
}
