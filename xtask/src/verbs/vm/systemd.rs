//! Debian with systemd in a VM: units, scopes and user sessions that try to hide calls in container init, servers as
//! units with generated seccomp profiles, the profiles of another generator for containers, and the packages.

mod file_system;

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use xtask_support::{arch::Arch, marked, script_checks, static_build, workspace};

use super::{
    fetch,
    initramfs::{Cpio, DIRECTORY, FILE, PROGRAM, SYMLINK},
    kernels::{Image, KERNELS, WITH_HEADERS},
    machine::{self, Boot},
};
use crate::verbs::packages;

/// The kernel that boots.
const KERNEL: &str = "x86_64-6.12";
const UNIT: &str = "[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\nExecStart=/syscallmon/run\n";

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
    /// Whether packages of two versions are below `/syscallmon/packages`, instead of the daemon.
    has_packages: bool,
    policy: Option<&'static str>,
    /// The document with the table that the script prints, and the mark around it.
    table: Option<(&'static str, &'static str)>,
    /// The kernel that boots, whose headers are part of the file system. By default, one without headers.
    with_headers: Option<&'static Image>,
}

const SERVERS: (&str, &str) = ("servers.sh", include_str!("systemd/servers.sh"));

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
    has_packages: false,
    policy: Some(
        r#"policies:
  - name: test
    match: ['cgroup=~".*/test-.*"']
    allow: ["*:*"]
    deny: [umask, kill]
"#,
    ),
    table: None,
    with_headers: None,
};

/// Servers as units, with profiles that were generated from their calls.
pub(super) const PROFILES: Guest = Guest {
    name: "systemd-profiles",
    packages: "systemd,systemd-sysv,dbus,procps,util-linux,curl,busybox,nginx-light,redis-server,postgresql,python3,\
               prometheus-node-exporter",
    memory_mib: 4096,
    timeout: Duration::from_mins(40),
    run: include_str!("systemd/profiles.sh"),
    programs: &[SERVERS],
    has_web_server: true,
    has_packages: false,
    policy: None,
    table: None,
    with_headers: None,
};

/// Servers in containers, with profiles of syscallmon and of `oci-seccomp-bpf-hook`. The hook compiles its eBPF program
/// with the kernel's headers at every start.
pub(super) const PEER: Guest = Guest {
    name: "systemd-peer",
    packages: "systemd,systemd-sysv,dbus,procps,util-linux,curl,busybox,nginx-light,redis-server,postgresql,python3,\
               crun,runc,oci-seccomp-bpf-hook",
    memory_mib: 6144,
    timeout: Duration::from_mins(50),
    run: include_str!("systemd/peer.py"),
    programs: &[SERVERS, ("trace", include_str!("systemd/trace"))],
    has_web_server: true,
    has_packages: false,
    policy: None,
    table: Some(("docs/profiles.md", "peer")),
    with_headers: Some(&WITH_HEADERS),
};

/// The packages under a real systemd: install, upgrade, remove, purge.
pub(super) const PACKAGES: Guest = Guest {
    name: "systemd-packages",
    packages: "systemd,systemd-sysv,dbus,procps,util-linux,curl,rpm",
    memory_mib: 2048,
    timeout: machine::TIMEOUT,
    run: include_str!("systemd/packages.sh"),
    programs: &[],
    has_web_server: false,
    has_packages: true,
    policy: None,
    table: None,
    with_headers: None,
};

/// A machine of systemd-nspawn that boots systemd.
pub(super) const MACHINES: Guest = Guest {
    name: "systemd-machines",
    packages: "systemd,systemd-sysv,systemd-container,dbus,libpam-systemd,procps,util-linux,curl,python3-minimal",
    memory_mib: 4096,
    timeout: machine::TIMEOUT,
    run: include_str!("systemd/machines.sh"),
    programs: &[],
    has_web_server: false,
    has_packages: false,
    policy: Some(include_str!("systemd/machines.yaml")),
    table: Some(("docs/kernels-and-runtimes.md", "machines")),
    with_headers: None,
};

/// Boots the VM and checks what its script prints. Packages have the binary of `dist`, if they are to. Writes its table
/// to the document, if it is to.
pub(super) fn run(root: &Path, guest: &Guest, is_dist: bool, writes: bool) -> Result<()> {
    let kernel = KERNELS.iter().find(|kernel| kernel.name == KERNEL).context("no such kernel")?;
    let system = file_system::fetch(guest)?;
    let vmlinuz = match guest.with_headers {
        Some(_) => system.join(file_system::KERNEL),
        None => fetch::kernel(kernel.arch, kernel.image, false)?,
    };
    let dir = workspace::target_dir(root).join("vm");
    let logs = dir.join("log");
    fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let initramfs = dir.join(format!("initramfs-{}", guest.name));
    // The kernel unpacks archives one after the other.
    let system = fs::read(system.join(file_system::ARCHIVE)).context("cannot read the file system")?;
    let additions = guest.additions(root, is_dist)?;
    fs::write(&initramfs, [system, additions].concat()).context("cannot write the initramfs")?;
    let (memory_mib, timeout) = (guest.memory_mib, guest.timeout);
    let boot = Boot { kernel, vmlinuz: &vmlinuz, initramfs: &initramfs, memory_mib, timeout };
    let (_, console) = machine::boot(boot, &logs.join(format!("{}.log", guest.name)))?;
    script_checks::judge(&console).context("the console is in target/vm/log")?;
    match guest.table.filter(|_| writes) {
        Some((document, mark)) => marked::write(root, document, mark, &table(&console)),
        None => Ok(()),
    }
}

/// Returns the rows of the table that the script printed.
fn table(console: &str) -> String {
    let rows = console.lines().filter_map(|line| line.trim_end().strip_prefix('@'));
    rows.filter(|row| row.starts_with('|')).flat_map(|row| [row, "\n"]).collect()
}

impl Guest {
    /// The archive of what is tested.
    fn additions(&self, root: &Path, is_dist: bool) -> Result<Vec<u8>> {
        let mut cpio = Cpio::default();
        for dir in ["syscallmon", "syscallmon/programs", "syscallmon/policies"] {
            cpio.add(dir, DIRECTORY, &[]);
        }
        if self.has_packages {
            add_packages(&mut cpio, root, is_dist)?;
        } else {
            let daemon = static_build::build(root, Arch::Amd64, None)?.daemon;
            let daemon = fs::read(&daemon).with_context(|| format!("cannot read {}", daemon.display()))?;
            cpio.add("syscallmon/syscallmon", PROGRAM, &daemon);
        }
        cpio.add("syscallmon/run", PROGRAM, self.run.as_bytes());
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
        // Without udev, systemd would wait 90 s for the device of this login.
        cpio.add("etc/systemd/system/serial-getty@.service", SYMLINK, b"/dev/null");
        cpio.add("init", SYMLINK, b"/usr/lib/systemd/systemd");
        Ok(cpio.finish())
    }
}

/// Adds packages of an older version and of this one.
fn add_packages(cpio: &mut Cpio, root: &Path, is_dist: bool) -> Result<()> {
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    cpio.add("syscallmon/packages", DIRECTORY, &[]);
    for (age, made) in ["old", "new"].into_iter().zip(packages::for_tests(root, work.path(), is_dist)?) {
        for (kind, path) in [("deb", made.deb), ("rpm", made.rpm)] {
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            cpio.add(&format!("syscallmon/packages/{age}.{kind}"), FILE, &bytes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_of_the_vm_is_there() {
        for guest in [HIDING, PROFILES, PEER, PACKAGES, MACHINES] {
            let marks = ["$programs/", "/syscallmon/programs/"];
            let used = marks.iter().flat_map(|mark| guest.run.split(mark).skip(1));
            let end = |c: char| c.is_whitespace() || c == '"';
            for program in used.map(|rest| rest.split(end).next().unwrap()).filter(|name| *name != "web_server") {
                assert!(guest.programs.iter().any(|(name, _)| *name == program), "{program}");
            }
        }
    }

    #[test]
    fn guide_has_the_policy_of_machines() {
        let guide = fs::read_to_string(workspace::root().join("docs/install.md")).unwrap();
        let policy = MACHINES.policy.unwrap();
        let allowed = policy.lines().find(|line| line.contains("allow:")).unwrap();
        assert!(guide.lines().any(|line| line.trim() == allowed.trim()), "{allowed}");
    }

    #[test]
    fn table_has_the_rows_that_were_printed() {
        assert_eq!(table("x | y\n@pass a\n@| a | b |\r\n@|---|---|\r\n@end\n"), "| a | b |\n|---|---|\n");
    }
}
