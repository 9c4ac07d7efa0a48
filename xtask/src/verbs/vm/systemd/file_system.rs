//! Debian's file system for VMs with systemd. The user's cache keeps it.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use xtask_support::{
    apt::{self, Lists},
    arch::Arch,
    shell, workspace,
};

use super::{
    super::{fetch, kernels::Image},
    Guest,
};

/// The archive, and the kernel that belongs to the headers in it.
pub(super) const ARCHIVE: &str = "root.cpio";
pub(super) const KERNEL: &str = "vmlinuz";
/// Debian's release, whose systemd has an executor (255 and newer).
const RELEASE: &str = "trixie";
const MIRROR: &str = "check the network and the mirror in /etc/apt, or remove the cached file system";
/// Not needed to run, and half of the size.
const UNUSED: [&str; 5] = ["usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists"];
/// The script starts them.
const SERVERS: [&str; 4] = ["nginx", "postgresql", "prometheus-node-exporter", "redis-server"];

/// Returns the directory with the archive. Makes it once.
pub(super) fn fetch(guest: &Guest) -> Result<PathBuf> {
    let dir = workspace::cache_dir()?.join(guest.name).join(RELEASE);
    if !dir.join(ARCHIVE).exists() {
        eprintln!("fetching Debian {RELEASE} with systemd, once");
        let work = workspace::cache_work_dir()?;
        let (system, prepared) = (work.path().join("root"), work.path().join("prepared"));
        fs::create_dir(&prepared).with_context(|| format!("cannot create {}", prepared.display()))?;
        install(guest.packages, &system)?;
        if let Some(image) = guest.with_headers {
            add_headers(image, work.path(), &system, &prepared.join(KERNEL))?;
        }
        pack(&system, &prepared.join(ARCHIVE))?;
        workspace::move_into_cache(&prepared, &dir)?;
    }
    Ok(dir)
}

fn install(packages: &str, system: &Path) -> Result<()> {
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={packages}"), RELEASE]);
    shell::query(debootstrap.arg(system).arg(apt::mirror()?), MIRROR)?;
    for unused in UNUSED {
        fs::remove_dir_all(system.join(unused)).with_context(|| format!("cannot remove {unused}"))?;
    }
    for server in SERVERS {
        let wanted = system.join(format!("etc/systemd/system/multi-user.target.wants/{server}.service"));
        if wanted.is_symlink() {
            fs::remove_file(&wanted).with_context(|| format!("cannot remove {}", wanted.display()))?;
        }
    }
    shell::query(Command::new("chroot").arg(system).args(["useradd", "--create-home", "user"]), MIRROR)?;
    Ok(())
}

/// Downloads a kernel, and adds its headers to the file system. Compilers find them by the kernel's release.
fn add_headers(image: &Image, work: &Path, system: &Path, vmlinuz: &Path) -> Result<()> {
    let arch = Arch::Amd64;
    let lists = Lists::fetch(image.suite, arch.debian())?;
    let package = fetch::download_newest(&lists, &image.pattern(arch), work, vmlinuz)?;
    let release = package.strip_prefix("linux-image-").context("the package has no release in its name")?;
    let (version, _) = release.split_once("-cloud").context("the kernel is not for clouds")?;
    let sources = system.join("usr/src");
    let modules = system.join("usr/lib/modules").join(release);
    for dir in [&sources, &modules] {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    for (suffix, link) in [(release.to_owned(), "build"), (format!("{version}-common"), "source")] {
        let name = format!("linux-headers-{suffix}");
        eprintln!("fetching {name}");
        let unpacked = apt::unpack(&lists.download(&name, work)?, &work.join(&name))?;
        let (from, to) = (unpacked.join("usr/src").join(&name), sources.join(&name));
        fs::rename(&from, &to).with_context(|| format!("cannot move {}", from.display()))?;
        let link = modules.join(link);
        symlink(Path::new("/usr/src").join(&name), &link).with_context(|| format!("cannot make {}", link.display()))?;
    }
    Ok(())
}

fn pack(system: &Path, archive: &Path) -> Result<()> {
    let output = File::create(archive).context("cannot create the archive")?;
    let mut pack = Command::new("sh");
    pack.args(["-c", "find . -xdev | cpio --create --format=newc --quiet"]).current_dir(system);
    let status = pack.stdin(Stdio::null()).stdout(output).status().context("cannot start sh")?;
    ensure!(status.success(), "cpio failed: `cargo xtask setup --for vm` installs it");
    Ok(())
}
