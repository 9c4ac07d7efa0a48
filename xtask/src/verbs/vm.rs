//! `cargo xtask vm`: runs the daemon's tests on old and new kernels, of both architectures, in emulated machines.

mod btf;
mod chosen;
mod fetch;
mod initramfs;
mod kernels;
mod machine;
mod outcome;
mod systemd;
mod table;

use std::{
    collections::HashMap,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use xtask_support::{
    arch::Arch,
    busybox, marked, parallel,
    setup::{self, Purpose},
    static_build::{self, Built},
    workspace,
};

use self::{
    chosen::Extent,
    kernels::{KERNELS, Kernel},
    machine::Boot,
    outcome::Outcome,
};
use crate::verbs::dist;

/// The document with the table, and the mark around it.
const DOCUMENT: &str = "docs/kernels-and-runtimes.md";
const MARK: &str = "kernels";
/// Memory of a VM.
const MEMORY_MIB: u32 = 1024;
const DOWNLOADS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// Arguments of `cargo xtask vm`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    /// Only this kernel; repeatable
    #[arg(long, value_name = "NAME")]
    kernel: Vec<String>,
    /// Only the kernels that every change is tested on
    #[arg(long, conflicts_with = "kernel")]
    ci: bool,
    /// How many VMs run at a time
    #[arg(long, value_name = "N", default_value = "2")]
    jobs: NonZeroUsize,
    /// Say which kernels there are, and nothing else
    #[arg(long)]
    list: bool,
    /// Download the newest packages, whatever the cache has
    #[arg(long)]
    refresh: bool,
    /// Run the whole suite of kernel tests, not only what must hold on every kernel; takes minutes a kernel
    #[arg(long)]
    suite: bool,
    /// Test the binaries that `cargo xtask dist` made, instead of ones that are quicker to build
    #[arg(long)]
    dist: bool,
    /// Boot Debian with systemd instead, and try to hide calls in units, scopes and user sessions
    #[arg(long, conflicts_with_all = ["kernel", "ci", "list", "suite", "dist", "write"])]
    systemd: bool,
    /// Boot Debian with systemd instead, and run servers as units with generated seccomp profiles
    #[arg(long, conflicts_with_all = ["kernel", "ci", "list", "suite", "dist", "write", "systemd"])]
    profiles: bool,
    /// Boot Debian with systemd instead, and compare generated seccomp profiles with those of oci-seccomp-bpf-hook
    #[arg(long, conflicts_with_all = ["kernel", "ci", "list", "suite", "dist", "systemd", "profiles"])]
    peer: bool,
    /// Boot Debian with systemd instead, and install, upgrade, remove and purge the packages
    #[arg(long, conflicts_with_all = ["kernel", "ci", "list", "suite", "systemd", "profiles", "peer", "write"])]
    packages: bool,
    /// Boot Debian with systemd instead, and boot a machine of systemd-nspawn in it
    #[arg(long, conflicts_with_all = ["kernel", "ci", "list", "suite", "systemd", "profiles", "peer", "packages"])]
    machines: bool,
    /// Put the result in docs/kernels-and-runtimes.md; with --peer, in docs/profiles.md
    #[arg(long, conflicts_with_all = ["kernel", "ci"])]
    write: bool,
}

/// Runs the verb.
///
/// # Errors
///
/// If the tests fail on a kernel, or no kernel was tried.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    let guests = [
        (args.systemd, &systemd::HIDING),
        (args.profiles, &systemd::PROFILES),
        (args.peer, &systemd::PEER),
        (args.packages, &systemd::PACKAGES),
        (args.machines, &systemd::MACHINES),
    ];
    if let Some((_, guest)) = guests.into_iter().find(|(is_chosen, _)| *is_chosen) {
        setup::ensure(root, Purpose::Vm)?;
        return systemd::run(root, guest, args.dist, args.write);
    }
    let kernels = selected(&args.kernel, args.ci)?;
    if args.list {
        for kernel in kernels {
            println!("{}{}", kernel.name, if kernel.is_in_ci { " (ci)" } else { "" });
        }
        return Ok(());
    }
    let results = test(root, &kernels, args.jobs, args.refresh, VmTest::of(args))?;
    if !args.ci {
        btf::check(root, download(&kernels, false)?.into_values())?;
    }
    if args.write {
        marked::write(root, DOCUMENT, MARK, &table::render(&results))?;
    }
    judge(&results)
}

/// Runs the tests on the kernels for every change, with this eBPF object or the committed one.
///
/// # Errors
///
/// As for [`run`].
pub fn ci(root: &Path, bpf_object: Option<&Path>) -> Result<()> {
    judge(&test(
        root,
        &selected(&[], true)?,
        DOWNLOADS,
        false,
        VmTest { daemon: Daemon::Built(bpf_object), extent: Extent::Essential },
    )?)
}

/// The daemon under test.
#[derive(Clone, Copy, Debug)]
enum Daemon<'a> {
    /// A daemon that is built for the VMs, with this eBPF object or the committed one.
    Built(Option<&'a Path>),
    /// The released one.
    Dist,
}

/// The daemon under test, and the extent of the tests.
#[derive(Clone, Copy, Debug)]
struct VmTest<'a> {
    daemon: Daemon<'a>,
    extent: Extent,
}

impl VmTest<'_> {
    fn of(args: &Args) -> Self {
        Self {
            daemon: if args.dist { Daemon::Dist } else { Daemon::Built(None) },
            extent: if args.suite { Extent::Suite } else { Extent::Essential },
        }
    }
}

fn selected(names: &[String], ci: bool) -> Result<Vec<&'static Kernel>> {
    let known = |name: &String| KERNELS.iter().any(|kernel| kernel.name == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        bail!("no kernel is called {unknown}: `cargo xtask vm --list` says which there are");
    }
    let is_wanted = |kernel: &&Kernel| names.is_empty() || names.iter().any(|name| name == kernel.name);
    Ok(KERNELS.iter().filter(is_wanted).filter(|kernel| !ci || kernel.is_in_ci).collect())
}

fn judge(results: &[(&Kernel, Outcome)]) -> Result<()> {
    let failed: Vec<&str> =
        results.iter().filter(|(_, outcome)| !outcome.is_pass()).map(|(kernel, _)| kernel.name).collect();
    println!("{} passed, {} failed", results.len() - failed.len(), failed.len());
    ensure!(failed.is_empty(), "failed on {}: the consoles are in target/vm/log", failed.join(", "));
    ensure!(!results.is_empty(), "no kernel was tried");
    Ok(())
}

/// The parts of VMs.
struct Parts {
    kernels: HashMap<&'static str, PathBuf>,
    initramfs: HashMap<Arch, PathBuf>,
    logs: PathBuf,
}

fn test(
    root: &Path,
    kernels: &[&'static Kernel],
    jobs: NonZeroUsize,
    refresh: bool,
    vm_test: VmTest<'_>,
) -> Result<Vec<(&'static Kernel, Outcome)>> {
    setup::ensure(root, Purpose::Vm)?;
    let begin = Instant::now();
    let parts = prepare(root, kernels, refresh, vm_test)?;
    eprintln!("downloaded and built in {} s", begin.elapsed().as_secs());
    let results =
        parallel::map(jobs, kernels.to_vec(), |kernel| Ok((kernel, try_kernel(kernel, &parts, vm_test.extent)?)));
    results.into_iter().collect()
}

/// Downloads and builds at the same time.
fn prepare(root: &Path, kernels: &[&'static Kernel], refresh: bool, vm_test: VmTest<'_>) -> Result<Parts> {
    let dir = workspace::target_dir(root).join("vm");
    let logs = dir.join("log");
    fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    thread::scope(|scope| {
        let downloads = scope.spawn(|| download(kernels, refresh));
        let mut initramfs = HashMap::new();
        for arch in Arch::ALL.into_iter().filter(|arch| kernels.iter().any(|kernel| kernel.arch == *arch)) {
            let built = match vm_test.daemon {
                Daemon::Built(object) => static_build::build(root, arch, object)?,
                Daemon::Dist => Built { daemon: dist::released(root, arch)?, ..static_build::build(root, arch, None)? },
            };
            let path = dir.join(format!("initramfs-{arch}"));
            fs::write(&path, initramfs::make(&built, &busybox::fetch(arch)?, vm_test.extent)?)
                .with_context(|| format!("cannot write {}", path.display()))?;
            initramfs.insert(arch, path);
        }
        let kernels = downloads.join().expect("downloads do not panic")?;
        Ok(Parts { kernels, initramfs, logs })
    })
}

fn download(kernels: &[&'static Kernel], refresh: bool) -> Result<HashMap<&'static str, PathBuf>> {
    // Several kernels may boot the same image.
    let mut images: HashMap<(Arch, &str), Vec<&'static Kernel>> = HashMap::new();
    for kernel in kernels {
        images.entry((kernel.arch, kernel.image.package)).or_default().push(kernel);
    }
    let files = parallel::map(DOWNLOADS, images.into_values().collect(), |kernels| {
        let file = fetch::kernel(kernels[0].arch, kernels[0].image, refresh)
            .with_context(|| format!("cannot get the kernel of {}", kernels[0].name))?;
        Ok(kernels.into_iter().map(|kernel| (kernel.name, file.clone())).collect::<Vec<_>>())
    });
    Ok(files.into_iter().collect::<Result<Vec<_>>>()?.concat().into_iter().collect())
}

/// Runs the tests on one kernel, and reports the outcome at once.
fn try_kernel(kernel: &Kernel, parts: &Parts, extent: Extent) -> Result<Outcome> {
    let begin = Instant::now();
    let mut outcome = boot(kernel, parts, extent, "")?;
    if outcome.is_stuck {
        // An interrupt between emulated CPUs was lost. This happens once in some hundred machines, when the host has no
        // CPU time for them. A kernel that hangs for its own reasons hangs again.
        println!("STUCK {}: starting it once more; it said:", kernel.name);
        outcome.tail.iter().for_each(|line| println!("     console: {line}"));
        outcome = boot(kernel, parts, extent, "-again")?;
    }
    print!("{}", report(kernel, &outcome, begin.elapsed().as_secs()));
    Ok(outcome)
}

fn boot(kernel: &Kernel, parts: &Parts, extent: Extent, suffix: &str) -> Result<Outcome> {
    let log = parts.logs.join(format!("{}{suffix}.log", kernel.name));
    let (vmlinuz, initramfs) = (&parts.kernels[kernel.name], &parts.initramfs[&kernel.arch]);
    let (status, console) =
        machine::boot(Boot { kernel, vmlinuz, initramfs, memory_mib: MEMORY_MIB, timeout: machine::TIMEOUT }, &log)?;
    let mut outcome = Outcome::read(&console, extent);
    if !status.success() {
        outcome.tail.push(format!("the emulator ended with {status}"));
    }
    Ok(outcome)
}

/// Returns one line, and more lines if the outcome is not as expected.
fn report(kernel: &Kernel, outcome: &Outcome, seconds: u64) -> String {
    let mut lines = vec![format!(
        "{} {:<22} {} ({}), {} of {} tests, {seconds} s, sys_enter={} cgroup={} io_uring={}",
        if outcome.is_pass() { "PASS" } else { "FAIL" },
        kernel.name,
        outcome.release,
        outcome.package_version,
        outcome.passed,
        outcome.expected(),
        outcome.implementation("sys_enter"),
        outcome.implementation("cgroup"),
        outcome.implementation("io_uring"),
    )];
    lines.extend(outcome.failed.iter().map(|(test, message)| format!("     {test}: {message}")));
    if !outcome.is_complete {
        lines.extend(outcome.tail.iter().map(|line| format!("     console: {line}")));
    }
    lines.extend(outcome.explanations.iter().map(|line| format!("     {line}")));
    lines.extend(
        chosen::stale(&outcome.tests)
            .map(|name| format!("     no test is called {name}: mend xtask/src/verbs/vm/chosen.rs")),
    );
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_selected_by_name() {
        let names = |names: &[&str], ci| -> Vec<&str> {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            selected(&names, ci).unwrap().iter().map(|kernel| kernel.name).collect()
        };
        assert_eq!(names(&["arm64-6.1", "x86_64-6.1"], false), ["x86_64-6.1", "arm64-6.1"]);
        assert_eq!(names(&[], false).len(), KERNELS.len());
        assert!(names(&[], true).contains(&"x86_64-6.1-v1"));
        assert!(selected(&["x86-6.1".to_owned()], false).unwrap_err().to_string().contains("--list"));
    }

    #[test]
    fn failure_is_reported_with_the_consoles_end() {
        let outcome = Outcome { tail: vec!["Kernel panic".to_owned()], ..Outcome::default() };
        let text = report(&KERNELS[0], &outcome, 3);
        assert!(text.starts_with("FAIL x86_64-5.10 ") && text.contains("     console: Kernel panic\n"), "{text}");
        assert!(judge(&[(&KERNELS[0], outcome)]).unwrap_err().to_string().contains("x86_64-5.10"));
        assert!(judge(&[]).is_err());
    }
}
