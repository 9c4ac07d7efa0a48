//! Kernels for VMs, from Debian's packages. The user's cache keeps them.

use std::{
    cmp::Ordering,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;
use xtask_support::{
    apt::{self, Lists},
    arch::Arch,
    workspace,
};

use super::kernels::Image;

/// Maximum number of packages that are tried. Lists may be older than the mirror, which keeps only a few versions.
const TRIES: usize = 24;

/// Returns the kernel's image. Downloads it unless it is in the cache. With `refresh`, always downloads it.
pub(super) fn kernel(arch: Arch, image: &Image, refresh: bool) -> Result<PathBuf> {
    let pattern = image.pattern(arch);
    let dir = workspace::cache_dir()?.join("kernels").join(format!("{arch}-{}", plain(&pattern)));
    let file = dir.join("vmlinuz");
    if refresh && dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    if !file.exists() {
        let work = workspace::cache_work_dir()?;
        let prepared = work.path().join("kernel");
        fs::create_dir(&prepared).with_context(|| format!("cannot create {}", prepared.display()))?;
        download_newest(&Lists::fetch(image.suite, arch.debian())?, &pattern, work.path(), &prepared.join("vmlinuz"))?;
        workspace::move_into_cache(&prepared, &dir)?;
    }
    Ok(file)
}

/// Downloads a kernel's image to this file. Returns the name of its package.
pub(super) fn download_newest(lists: &Lists, pattern: &str, work: &Path, file: &Path) -> Result<String> {
    let mut packages = lists.search(pattern)?;
    packages.sort_by(|a, b| by_version(b, a));
    let mut last = format!("no package is called {pattern}");
    for package in packages.iter().take(TRIES) {
        eprintln!("fetching {package}");
        match lists.download(package, work) {
            Ok(deb) => {
                let unpacked = apt::unpack(&deb, &work.join(package))?;
                let vmlinuz = vmlinuz(&unpacked).with_context(|| format!("{package} has no vmlinuz"))?;
                fs::rename(&vmlinuz, file).with_context(|| format!("cannot move {}", vmlinuz.display()))?;
                return Ok(package.clone());
            }
            Err(error) => {
                last = format!("{error:#}");
                eprintln!("{package} cannot be downloaded, trying an older one");
            }
        }
    }
    bail!("{last}: check the network and the mirror, and the table in xtask/src/verbs/vm/kernels.rs")
}

fn vmlinuz(unpacked: &Path) -> Option<PathBuf> {
    let files = WalkDir::new(unpacked).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    files
        .map(walkdir::DirEntry::into_path)
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz")))
}

/// Returns the letters and digits, as the name of a directory.
fn plain(pattern: &str) -> String {
    let words = pattern.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// Compares numbers by value, and all other text by its bytes.
fn by_version(a: &str, b: &str) -> Ordering {
    let key = |name: &str| -> Vec<(u64, String)> {
        let words = name.split_inclusive(|c: char| !c.is_ascii_digit());
        words
            .map(|word| (word.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0), word.to_owned()))
            .collect()
    };
    key(a).cmp(&key(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_is_told_by_its_numbers() {
        let mut names = ["linux-7.2.9-x", "linux-7.2.12-x", "linux-7.10.1-x", "linux-7.2.12-x-unsigned"];
        names.sort_by(|a, b| by_version(b, a));
        assert_eq!(names, ["linux-7.10.1-x", "linux-7.2.12-x-unsigned", "linux-7.2.12-x", "linux-7.2.9-x"]);
    }

    #[test]
    fn pattern_becomes_a_name() {
        assert_eq!(plain(r"^linux-image-6\.1\.0-[0-9]+-cloud-amd64$"), "linux-image-6-1-0-0-9-cloud-amd64");
    }
}
