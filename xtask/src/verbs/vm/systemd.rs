//! Debian with systemd in a VM: units, scopes and user sessions that try to hide calls in container init, and servers
//! as units with generated seccomp profiles.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
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
const MIRROR: &str = "check the network and the mirror in /etc/apt, or remove the cached file system";
const UNIT: &str = "[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\nExecStart=/syscallmon/run.sh\n";

/// What a VM contains, and what it runs.
pub(super) struct Guest {
    /// Name of the cached file system, and of the log.
    name: &'static str,
    packages: &'static str,
    /// The file system is in memory: once as an archive, and once unpacked.
    memory_mib: u32,
    timeout: Duration,
    run: &'static str,
    /// Programs below `/syscallmon/programs`.
    programs: &'static [(&'static str, &'static str)],
    /// Whether the static web server is a program, too.
    has_web_server: bool,
    policy: Option<&'static str>,
}

/// Units, scopes and user sessions that try to hide calls.
pub(super) const HIDING: Guest = Guest {
    name: "systemd",
    packages: "systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,procps,util-linux",
    memory_mib: 2048,
    timeout: machine::TIMEOUT,
    run: include_str!("systemd/run.sh"),
    programs: &[
        ("calls", include_str!("systemd/calls")),
        ("moves_itself", include_str!("systemd/moves_itself")),
        ("moves_a_child", include_str!("systemd/moves_a_child")),
        ("attaches", include_str!("systemd/attaches")),
    ],
    has_web_server: false,
    policy: Some(
        r#"policies:
  - name: test
    match: ['cgroup=~".*/test-.*"']
    allow: ["*:*"]
    deny: [umask, kill]
"#,
    ),
};

/// Servers as units, with profiles that were generated from their calls.
pub(super) const PROFILES: Guest = Guest {
    name: "systemd-profiles",
    packages: "systemd,systemd-sysv,dbus,procps,util-linux,curl,busybox,nginx-light,redis-server,postgresql,python3,\
               prometheus-node-exporter",
    memory_mib: 4096,
    timeout: Duration::from_mins(40),
    run: include_str!("systemd/profiles.sh"),
    programs: &[],
    has_web_server: true,
    policy: None,
};

/// Boots the VM and checks what its script prints.
pub(super) fn run(root: &Path, guest: &Guest) -> Result<()> {
    let kernel = KERNELS.iter().find(|kernel| kernel.name == KERNEL).context("no such kernel")?;
    let vmlinuz = fetch::kernel(kernel.arch, kernel.image, false)?;
    let dir = workspace::target_dir(root).join("vm");
    let logs = dir.join("log");
    fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let initramfs = dir.join(format!("initramfs-{}", guest.name));
    // The kernel unpacks archives one after the other.
    let system = fs::read(guest.file_system()?).context("cannot read the file system")?;
    let daemon = static_build::build(root, Arch::Amd64, None)?.daemon;
    fs::write(&initramfs, [system, guest.additions(&daemon)?].concat()).context("cannot write the initramfs")?;
    let (memory_mib, timeout) = (guest.memory_mib, guest.timeout);
    let boot = Boot { kernel, vmlinuz: &vmlinuz, initramfs: &initramfs, memory_mib, timeout };
    let (_, console) = machine::boot(boot, &logs.join(format!("{}.log", guest.name)))?;
    judge(&console)
}

/// Prints the results, and fails unless all are good and the script came to its end.
fn judge(console: &str) -> Result<()> {
    let lines: Vec<&str> = console.lines().map(str::trim_end).filter(|line| line.starts_with('@')).collect();
    for line in &lines {
        println!("{}", &line[1..]);
    }
    let failed = lines.iter().filter(|line| line.starts_with("@fail")).count();
    ensure!(failed == 0, "{failed} checks failed: the console is in target/vm/log");
    let passed = lines.iter().filter(|line| line.starts_with("@pass")).count();
    let is_whole = lines.last() == Some(&"@end") && passed > 0;
    ensure!(is_whole, "the VM did not come to its end: the console is in target/vm/log");
    println!("{passed} passed");
    Ok(())
}

impl Guest {
    /// Returns an archive of Debian's file system. Makes it once, and keeps it in the user's cache.
    fn file_system(&self) -> Result<PathBuf> {
        let dir = workspace::cache_dir()?.join(self.name).join(RELEASE);
        let archive = dir.join("root.cpio");
        if !archive.exists() {
            eprintln!("fetching Debian {RELEASE} with systemd, once");
            let work = workspace::cache_work_dir()?;
            let (system, prepared) = (work.path().join("root"), work.path().join("prepared"));
            fs::create_dir(&prepared).with_context(|| format!("cannot create {}", prepared.display()))?;
            let mut debootstrap = Command::new("debootstrap");
            debootstrap.args(["--variant=minbase", &format!("--include={}", self.packages), RELEASE]);
            shell::query(debootstrap.arg(&system).arg(apt::mirror()?), MIRROR)?;
            // Not needed to run, and half of the size.
            for unused in ["usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists"] {
                fs::remove_dir_all(system.join(unused)).with_context(|| format!("cannot remove {unused}"))?;
            }
            // The script starts the servers.
            for server in ["nginx", "postgresql", "prometheus-node-exporter", "redis-server"] {
                let wanted = system.join(format!("etc/systemd/system/multi-user.target.wants/{server}.service"));
                if wanted.is_symlink() {
                    fs::remove_file(&wanted).with_context(|| format!("cannot remove {}", wanted.display()))?;
                }
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
    fn additions(&self, daemon: &Path) -> Result<Vec<u8>> {
        let mut cpio = Cpio::default();
        for dir in ["syscallmon", "syscallmon/programs", "syscallmon/policies"] {
            cpio.add(dir, DIRECTORY, &[]);
        }
        let daemon = fs::read(daemon).with_context(|| format!("cannot read {}", daemon.display()))?;
        cpio.add("syscallmon/syscallmon", PROGRAM, &daemon);
        cpio.add("syscallmon/run.sh", PROGRAM, self.run.as_bytes());
        for (name, program) in self.programs {
            cpio.add(&format!("syscallmon/programs/{name}"), PROGRAM, program.as_bytes());
        }
        if self.has_web_server {
            let program = syscallmon_e2e::web_server()?;
            let program = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
            cpio.add("syscallmon/programs/web_server", PROGRAM, &program);
        }
        if let Some(policy) = self.policy {
            cpio.add("syscallmon/policies/test.yaml", FILE, policy.as_bytes());
        }
        cpio.add("etc/systemd/system/test.service", FILE, UNIT.as_bytes());
        let wanted = "etc/systemd/system/multi-user.target.wants/test.service";
        cpio.add(wanted, SYMLINK, b"/etc/systemd/system/test.service");
        cpio.add("init", SYMLINK, b"/usr/lib/systemd/systemd");
        Ok(cpio.finish())
    }
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
        let run = HIDING.run;
        let used = run.match_indices("$programs/").map(|(at, prefix)| &run[at + prefix.len()..]);
        for program in used.map(|rest| rest.split_whitespace().next().unwrap()) {
            assert!(HIDING.programs.iter().any(|(name, _)| *name == program), "{program}");
        }
    }
}
