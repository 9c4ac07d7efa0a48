//! Images of ordinary software: Debian's servers with their dependencies, and a server that is one static file.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use xtask_support::{
    apt::{self, Lists, Suite},
    arch::Arch,
    busybox,
    hash::sha256,
    image::{self, Image, Layer},
    shell, workspace,
};

use super::{directories::Directories, images, programs};

/// The image with servers of Debian 12, and the shell and tools of Debian's images.
pub(crate) const DEBIAN: &str = "localhost/debian-servers:12";
/// The image with only our own programs.
pub(crate) const PROGRAMS: &str = "localhost/programs:1";
/// Path of the web server in [`PROGRAMS`].
pub(crate) const WEB_SERVER: &str = "/web_server";
/// Path of busybox in what [`unpack`] writes.
pub(crate) const BUSYBOX: &str = "/busybox";
/// Path of the program with unexpected calls in [`PROGRAMS`].
pub(crate) const OFFENDER: &str = "/offender";

const PACKAGES: [&str; 13] = [
    "nginx",
    "prometheus-blackbox-exporter",
    "redis-server",
    "postgresql-15",
    "python3",
    "base-files",
    "base-passwd",
    "coreutils",
    "dash",
    "grep",
    "libc-bin",
    "sed",
    "util-linux",
];
/// Large files that programs do not require.
const UNWANTED: [&str; 6] = [
    "usr/lib/postgresql/15/lib/bitcode",
    "usr/share/doc",
    "usr/share/i18n",
    "usr/share/locale",
    "usr/share/man",
    // A link replaces this directory.
    "var/run",
];
/// Users that scripts of packages would create. These scripts do not run.
const USERS: &str = "redis:x:100:100::/var/lib/redis:/usr/sbin/nologin\n\
                     postgres:x:101:101::/var/lib/postgresql:/bin/sh\n";
const GROUPS: &str = "redis:x:100:\npostgres:x:101:\n";

/// Writes both images, in the format of `docker load`.
pub(crate) fn write(directories: &Directories) -> Result<[PathBuf; 2]> {
    Ok([debian()?, programs(directories)?])
}

fn programs(directories: &Directories) -> Result<PathBuf> {
    let mut layer = Layer::new();
    for (path, program) in [(WEB_SERVER, programs::web_server()?), (OFFENDER, programs::offender()?)] {
        let binary = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
        layer = layer.file(path.trim_start_matches('/'), &binary, 0o755)?;
    }
    let file = directories.directory("images")?.join("programs.tar");
    write_archive(&file, &images::image(layer)?, PROGRAMS)?;
    Ok(file)
}

/// Returns an image of Debian packages. Makes it unless it is in the user's cache. Its name there depends on this file.
pub(crate) fn debian() -> Result<PathBuf> {
    let name = format!("{}-{}", Arch::native(), &sha256(include_bytes!("software.rs"))[..16]);
    let directories = workspace::cache_dir()?.join("software").join(name);
    let file = |dir: &Path| dir.join("image.tar");
    if !directories.exists() {
        eprintln!("fetching Debian's servers, once: 110 MB");
        let work = workspace::cache_work_dir()?;
        let prepared = work.path().join("prepared");
        fs::create_dir(&prepared).with_context(|| format!("cannot create {}", prepared.display()))?;
        let layer = Layer::new().tree(&file_system(work.path())?)?;
        write_archive(&file(&prepared), &images::image(layer)?, DEBIAN)?;
        workspace::move_into_cache(&prepared, &directories)?;
    }
    Ok(file(&directories))
}

/// Unpacks the file system of [`DEBIAN`] into a new directory, and adds the web server of [`PROGRAMS`] and busybox.
pub(crate) fn unpack(to: &Path) -> Result<()> {
    const SCRIPT: &str = r#"set -eu; tar -xOf "$1" --wildcards '*/layer.tar' | tar -xf - -C "$2""#;
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let mut tar = Command::new("sh");
    shell::query(tar.args(["-c", SCRIPT, "sh"]).arg(debian()?).arg(to), "GNU tar must be installed")?;
    for (path, program) in [(WEB_SERVER, programs::web_server()?), (BUSYBOX, busybox::fetch(Arch::native())?)] {
        let to = to.join(path.trim_start_matches('/'));
        fs::copy(&program, &to).with_context(|| format!("cannot copy {}", program.display()))?;
    }
    Ok(())
}

fn write_archive(file: &Path, image: &Image, name: &str) -> Result<()> {
    fs::write(file, image::docker::archive(image, name)?).with_context(|| format!("cannot write {}", file.display()))
}

fn file_system(work: &Path) -> Result<PathBuf> {
    let lists = Lists::fetch(Suite::Bookworm, Arch::native().debian())?;
    let root = work.join("root");
    for package in lists.download_with_dependencies(&PACKAGES, &work.join("packages"))? {
        apt::unpack(&package, &root)?;
    }
    for unwanted in UNWANTED.map(|path| root.join(path)) {
        fs::remove_dir_all(&unwanted).with_context(|| format!("cannot remove {}", unwanted.display()))?;
    }
    // A script of a package would create this, too.
    symlink("/run", root.join("var/run")).context("cannot link to /run")?;
    for (file, more) in [("passwd", USERS), ("group", GROUPS)] {
        let (master, file) =
            (root.join("usr/share/base-passwd").join(format!("{file}.master")), root.join("etc").join(file));
        let text = fs::read_to_string(&master).with_context(|| format!("cannot read {}", master.display()))?;
        fs::write(&file, text + more).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(root)
}
