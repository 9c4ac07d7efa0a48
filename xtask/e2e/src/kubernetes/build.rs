//! Builds Kubernetes from Debian 12's source package, which contains all dependencies. Debian has no release of
//! Kubernetes as a package, and no mirror has one to download.
//!
//! The build runs once, and the user's cache keeps the programs. Nothing is installed for the build: Go is unpacked.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use walkdir::WalkDir;
use xtask_support::{
    apt::{self, Lists, Suite},
    arch::Arch,
    workspace,
};

use crate::directories;

/// The upstream version of Debian's version `1.20.5+really1.20.2`.
const VERSION: &str = "1.20.2";
const GO: &str = "1.19";
const PROGRAMS: [&str; 4] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"];
/// Newer Go requires a newer version of this library than the source package has.
const REFLECT2: &str = "golang-github-modern-go-reflect2-dev";
const REFLECT2_DIR: &str = "github.com/modern-go/reflect2";
/// Approximate number of packages that Go compiles, for the progress report.
const PACKAGES: usize = 2000;
/// Replaces rsync, because its package has a service. It copies one file (`rsync -pc FILE DIRECTORY`).
const RSYNC: &str = "#!/bin/sh\nshift\nexec cp --preserve=mode \"$@\"\n";
const REMEDY: &str = "run `cargo xtask setup --for e2e`, and see what the log says";

/// Returns the directory with the programs. Builds them unless they are in the cache.
pub(super) fn binaries(root: &Path) -> Result<PathBuf> {
    let directories = workspace::cache_dir()?.join("kubernetes").join(format!("{VERSION}-go{GO}-{}", Arch::native()));
    if !directories.exists() {
        let begin = Instant::now();
        eprintln!(
            "building Kubernetes {VERSION}, once: 6 to 15 minutes on 2 CPUs; downloads 100 MB, needs 3 GB of disk"
        );
        // Always uses the same directory. An interrupted build leaves much data, and the next build removes it.
        let (work, _alone) = (workspace::cache_dir()?.join("kubernetes-build"), directories::lock("kubernetes-build")?);
        directories::remove_dir(&work)?;
        fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
        let prepared = build(root, &work)?;
        workspace::move_into_cache(&prepared, &directories)?;
        directories::remove_dir(&work)?;
        eprintln!("built Kubernetes in {} s; it is kept in {}", begin.elapsed().as_secs(), directories.display());
    }
    Ok(directories)
}

fn build(root: &Path, work: &Path) -> Result<PathBuf> {
    let go = unpack_go(work)?;
    let source = unpack_source(work)?;
    let log = workspace::target_dir(root).join("e2e").join("kubernetes-build.log");
    make(&source, &go, work, &log)?;
    let prepared = work.join("programs");
    fs::create_dir(&prepared).with_context(|| format!("cannot create {}", prepared.display()))?;
    for program in PROGRAMS {
        let from = source.join("_output/bin").join(program);
        fs::copy(&from, prepared.join(program)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(prepared)
}

/// Unpacks Go. Returns its root.
fn unpack_go(work: &Path) -> Result<PathBuf> {
    let lists = Lists::fetch(Suite::Bookworm, Arch::native().debian())?;
    let unpacked = work.join("go");
    for package in [format!("golang-{GO}-go"), format!("golang-{GO}-src"), REFLECT2.to_owned()] {
        eprintln!("fetching {package}");
        let dir = work.join("debs").join(&package);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        apt::unpack(&lists.download(&package, &dir)?, &unpacked)?;
    }
    Ok(unpacked.join(format!("usr/lib/go-{GO}")))
}

/// Unpacks the source with the library that the compiler requires. Returns its root.
fn unpack_source(work: &Path) -> Result<PathBuf> {
    eprintln!("fetching the source of Kubernetes");
    let dir = work.join("source");
    fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Lists::fetch_sources(Suite::Bookworm)?.download_source("kubernetes", &dir)?;
    let archive = find(&dir, ".orig.tar.gz")?;
    let open = File::open(&archive).with_context(|| format!("cannot open {}", archive.display()))?;
    let unpacked = tar::Archive::new(GzDecoder::new(open)).unpack(&dir);
    unpacked.with_context(|| format!("cannot unpack {}", archive.display()))?;
    let source = dir.join(format!("kubernetes-{VERSION}"));
    ensure!(source.is_dir(), "Debian's Kubernetes is no longer {VERSION}: mend xtask/e2e/src/kubernetes/build.rs");
    let newer = work.join("go/usr/share/gocode/src").join(REFLECT2_DIR);
    replace_library(&source.join("vendor").join(REFLECT2_DIR), &newer)?;
    Ok(source)
}

fn find(dir: &Path, end: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    let found = paths.find(|path| path.to_string_lossy().ends_with(end));
    found.with_context(|| format!("the source package has no file *{end}"))
}

fn replace_library(old: &Path, new: &Path) -> Result<()> {
    let is_code = |path: &Path| path.extension().is_some_and(|end| end == "go" || end == "s");
    let files = |dir: &Path| -> Vec<PathBuf> {
        let entries = WalkDir::new(dir).max_depth(1).into_iter().filter_map(Result::ok);
        entries.map(walkdir::DirEntry::into_path).filter(|path| is_code(path)).collect()
    };
    let cannot = || format!("cannot put {} in the place of {}", new.display(), old.display());
    for file in files(old) {
        fs::remove_file(file).with_context(cannot)?;
    }
    for file in files(new) {
        let name = file.file_name().expect("files have names");
        if !name.to_string_lossy().ends_with("_test.go") {
            fs::copy(&file, old.join(name)).with_context(cannot)?;
        }
    }
    Ok(())
}

/// Runs the build, and reports progress from time to time.
fn make(source: &Path, go: &Path, work: &Path, log: &Path) -> Result<()> {
    let cannot = || format!("cannot write {}", log.display());
    fs::create_dir_all(log.parent().with_context(cannot)?).with_context(cannot)?;
    let output = File::create(log).with_context(cannot)?;
    let mut command = make_command(source, go, work)?;
    let mut child = command
        .stdout(output.try_clone().with_context(cannot)?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start make: {REMEDY}"))?;
    let begin = Instant::now();
    let mut logged = 0;
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for make")? {
            break status;
        }
        thread::sleep(Duration::from_secs(1));
        let minutes = begin.elapsed().as_secs() / 60;
        if minutes > logged {
            logged = minutes;
            eprintln!("building Kubernetes: {minutes} min, {}", progress(&fs::read_to_string(log).unwrap_or_default()));
        }
    };
    ensure!(status.success(), "building Kubernetes failed with {status}; the log is {}: {REMEDY}", log.display());
    Ok(())
}

fn make_command(source: &Path, go: &Path, work: &Path) -> Result<Command> {
    let version = write(work, "version", &version_file())?;
    let rsync = write(work, "bin/rsync", RSYNC)?;
    fs::set_permissions(&rsync, fs::Permissions::from_mode(0o755)).context("cannot make a script executable")?;
    let bin = rsync.parent().expect("it is in a directory");
    symlink(go.join("bin/go"), bin.join("go")).context("cannot link to go")?;
    let path = format!("{}:{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display(), go.join("bin").display());
    let what: Vec<String> = PROGRAMS.iter().map(|program| format!("cmd/{program}")).collect();
    let mut command = Command::new("setpriv");
    // The build ends with this program. It ignores the settings of an outer make and of the user's Go.
    command
        .args(["--pdeathsig", "TERM", "make"])
        .env_clear()
        .current_dir(source)
        .arg(format!("WHAT={}", what.join(" ")));
    // The tags are last, because the makefile takes all following text for tags.
    command.arg("GOFLAGS=-v -tags=providerless,dockerless");
    command.env("PATH", path).env("HOME", work).env("GOROOT", go).env("KUBE_GIT_VERSION_FILE", version);
    command.envs([("GOPROXY", "off"), ("CGO_ENABLED", "0")]);
    Ok(command)
}

fn version_file() -> String {
    let (major, minor) = VERSION.rsplit_once('.').and_then(|(start, _)| start.split_once('.')).expect("three numbers");
    format!(
        "KUBE_GIT_COMMIT='debian'\nKUBE_GIT_TREE_STATE='archive'\nKUBE_GIT_VERSION='v{VERSION}'\n\
         KUBE_GIT_MAJOR='{major}'\nKUBE_GIT_MINOR='{minor}'\n"
    )
}

fn write(dir: &Path, name: &str, content: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    let cannot = || format!("cannot write {}", path.display());
    fs::create_dir_all(path.parent().with_context(cannot)?).with_context(cannot)?;
    fs::write(&path, content).with_context(cannot)?;
    Ok(path)
}

/// Go prints the name of each package after compiling it.
fn progress(log: &str) -> String {
    let is_package = |line: &&str| !line.contains(' ') && !line.is_empty() && !line.starts_with(['+', '.', '/']);
    format!("{} of about {PACKAGES} packages", log.lines().filter(is_package).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_the_one_that_the_build_reads() {
        assert!(version_file().ends_with("KUBE_GIT_VERSION='v1.20.2'\nKUBE_GIT_MAJOR='1'\nKUBE_GIT_MINOR='20'\n"));
    }

    #[test]
    fn progress_counts_packages() {
        let log = "+++ [1122] Building go targets for linux/amd64:\n    cmd/kubelet\nk8s.io/api/core/v1\nruntime\n";
        assert_eq!(progress(log), format!("2 of about {PACKAGES} packages"));
    }

    #[test]
    fn library_is_replaced_without_its_tests() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (dir, name) in [(&old, "old.go"), (&old, "LICENSE"), (&new, "a.go"), (&new, "a.s"), (&new, "a_test.go")] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        replace_library(old.path(), new.path()).unwrap();
        let mut names: Vec<_> = fs::read_dir(old.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["LICENSE", "a.go", "a.s"]);
    }
}
