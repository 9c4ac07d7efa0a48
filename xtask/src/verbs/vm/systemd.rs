//! Debian with systemd in a VM: units, scopes and user sessions that try to hide calls in container init.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use xtask_support::{apt, arch::Arch, shell, static_build, workspace};

use super::{
    fetch,
    initramfs::{Cpio, DIRECTORY, FILE, PROGRAM, SYMLINK},
    kernels::KERNELS,
    machine::{self, Boot},
};

/// The kernel that boots.
const KERNEL: &str = "x86_64-6.12";
/// Debian's release, whose systemd has an executor (255 and newer).
const RELEASE: &str = "trixie";
/// The file system is in memory: once as an archive, and once unpacked.
const MEMORY_MIB: u32 = 2048;
const PACKAGES: &str = "systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,procps,util-linux";
const MIRROR: &str = "check the network and the mirror in /etc/apt, or remove the cached file system";

/// Programs of the VM, below `/syscallmon/programs`.
const PROGRAMS: [(&str, &str); 4] = [
    ("calls", include_str!("systemd/calls")),
    ("moves_itself", include_str!("systemd/moves_itself")),
    ("moves_a_child", include_str!("systemd/moves_a_child")),
    ("attaches", include_str!("systemd/attaches")),
];
const RUN: &str = include_str!("systemd/run.sh");
const UNIT: &str = "[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\nExecStart=/syscallmon/run.sh\n";
const POLICY: &str = r#"policies:
  - name: test
    match: ['cgroup=~".*/test-.*"']
    allow: ["*:*"]
    deny: [umask, kill]
"#;

/// Boots the VM and checks what its script prints.
pub(super) fn run(root: &Path) -> Result<()> {
    let kernel = KERNELS.iter().find(|kernel| kernel.name == KERNEL).context("no such kernel")?;
    let vmlinuz = fetch::kernel(kernel.arch, kernel.image, false)?;
    let dir = workspace::target_dir(root).join("vm");
    let logs = dir.join("log");
    fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let initramfs = dir.join("initramfs-systemd");
    // The kernel unpacks archives one after the other.
    let system = fs::read(file_system()?).context("cannot read the file system")?;
    let daemon = static_build::build(root, Arch::Amd64, None)?.daemon;
    fs::write(&initramfs, [system, additions(&daemon)?].concat()).context("cannot write the initramfs")?;
    let boot = Boot { kernel, vmlinuz: &vmlinuz, initramfs: &initramfs, memory_mib: MEMORY_MIB };
    let (_, console) = machine::boot(boot, &logs.join("systemd.log"))?;
    judge(&console)
}

/// Prints the results, and fails unless all are good and the script came to its end.
fn judge(console: &str) -> Result<()> {
    let lines: Vec<&str> = console.lines().map(str::trim_end).filter(|line| line.starts_with('@')).collect();
    for line in &lines {
        println!("{}", &line[1..]);
    }
    let failed = lines.iter().filter(|line| line.starts_with("@fail")).count();
    ensure!(failed == 0, "{failed} checks failed: the console is in target/vm/log/systemd.log");
    let passed = lines.iter().filter(|line| line.starts_with("@pass")).count();
    let is_whole = lines.last() == Some(&"@end") && passed > 0;
    ensure!(is_whole, "the VM did not come to its end: the console is in target/vm/log/systemd.log");
    println!("{passed} passed");
    Ok(())
}

/// Returns an archive of Debian's file system. Makes it once, and keeps it in the user's cache.
fn file_system() -> Result<PathBuf> {
    let dir = workspace::cache_dir()?.join("systemd").join(RELEASE);
    let archive = dir.join("root.cpio");
    if !archive.exists() {
        eprintln!("fetching Debian {RELEASE} with systemd, once: 60 MB");
        let work = workspace::cache_work_dir()?;
        let (system, prepared) = (work.path().join("root"), work.path().join("prepared"));
        fs::create_dir(&prepared).with_context(|| format!("cannot create {}", prepared.display()))?;
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}"), RELEASE]);
        shell::query(debootstrap.arg(&system).arg(apt::mirror()?), MIRROR)?;
        // Not needed to run, and half of the size.
        for unused in ["usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists"] {
            fs::remove_dir_all(system.join(unused)).with_context(|| format!("cannot remove {unused}"))?;
        }
        shell::query(Command::new("chroot").arg(&system).args(["useradd", "--create-home", "user"]), MIRROR)?;
        let output = File::create(prepared.join("root.cpio")).context("cannot create the archive")?;
        let mut pack = Command::new("sh");
        pack.args(["-c", "find . -xdev | cpio --create --format=newc --quiet"]).current_dir(&system);
        let status = pack.stdin(Stdio::null()).stdout(output).status().context("cannot start sh")?;
        ensure!(status.success(), "cpio failed: `cargo xtask setup --for vm` installs it");
        workspace::move_into_cache(&prepared, &dir)?;
    }
    Ok(archive)
}

/// The archive of what is tested.
fn additions(daemon: &Path) -> Result<Vec<u8>> {
    let mut cpio = Cpio::default();
    for dir in ["syscallmon", "syscallmon/programs", "syscallmon/policies"] {
        cpio.add(dir, DIRECTORY, &[]);
    }
    let daemon = fs::read(daemon).with_context(|| format!("cannot read {}", daemon.display()))?;
    cpio.add("syscallmon/syscallmon", PROGRAM, &daemon);
    cpio.add("syscallmon/run.sh", PROGRAM, RUN.as_bytes());
    for (name, program) in PROGRAMS {
        cpio.add(&format!("syscallmon/programs/{name}"), PROGRAM, program.as_bytes());
    }
    cpio.add("syscallmon/policies/test.yaml", FILE, POLICY.as_bytes());
    cpio.add("etc/systemd/system/test.service", FILE, UNIT.as_bytes());
    let wanted = "etc/systemd/system/multi-user.target.wants/test.service";
    cpio.add(wanted, SYMLINK, b"/etc/systemd/system/test.service");
    cpio.add("init", SYMLINK, b"/usr/lib/systemd/systemd");
    Ok(cpio.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_must_pass_and_the_script_must_end() {
        assert!(judge("x\n@release 6\r\n@pass a\r\n@end\r\n").is_ok());
        for console in ["@pass a\n@fail b: c\n@end\n", "@pass a\n", "@end\n", ""] {
            assert!(judge(console).is_err(), "{console}");
        }
    }

    #[test]
    fn every_program_of_the_vm_is_there() {
        let used = RUN.match_indices("$programs/").map(|(at, prefix)| &RUN[at + prefix.len()..]);
        for program in used.map(|rest| rest.split_whitespace().next().unwrap()) {
            assert!(PROGRAMS.iter().any(|(name, _)| *name == program), "{program}");
        }
    }
}
