//! Tests of the packages in file systems of Debian. No systemd runs there: `cargo xtask vm --packages` tests that.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use xtask_support::{
    apt,
    arch::Arch,
    script_checks,
    setup::{self, Purpose},
};

use super::{
    Compression, Packages, VERSION, for_tests, make,
    roots::{BOOKWORM, DebianRoot, TOOLS, TRIXIE},
};

/// Runs a script in a copy of a file system, in namespaces of its own.
const CONTAINER: &str = include_str!("container.sh");
const LINTIAN: &str = include_str!("lintian.sh");
const DEB: &str = include_str!("deb.sh");
const RPM: &str = include_str!("rpm.sh");

/// Makes packages, and runs all tests.
pub(super) fn run(root: &Path, is_dist: bool) -> Result<()> {
    ensure!(apt::is_root()?, "file systems are made and entered by root: run this as root");
    setup::ensure(root, Purpose::Packages)?;
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let packages = for_tests(root, work.path(), is_dist)?;
    same_again(root, &packages[1])?;
    test(&TOOLS, LINTIAN, &packages)?;
    test(&BOOKWORM, DEB, &packages)?;
    test(&TRIXIE, DEB, &packages)?;
    test(&TOOLS, RPM, &packages)
}

/// Makes a package again, and compares the bytes.
fn same_again(root: &Path, made: &Packages) -> Result<()> {
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let unpacked = apt::unpack(&made.deb, &work.path().join("unpacked"))?;
    let again =
        make(root, Arch::native(), &unpacked.join("usr/bin/syscallmon"), VERSION, Compression::Fast, work.path())?;
    for (first, second) in [(&made.deb, &again.deb), (&made.rpm, &again.rpm)] {
        let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        ensure!(read(first)? == read(second)?, "{} has other bytes when it is made again", first.display());
        println!("pass the same bytes twice: {}", first.file_name().unwrap_or_default().display());
    }
    Ok(())
}

/// Runs a script in the file system, with the packages in `/packages`.
fn test(system: &DebianRoot, script: &str, [old, new]: &[Packages; 2]) -> Result<()> {
    let lower = system.fetch()?;
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let files = [("old.deb", &old.deb), ("new.deb", &new.deb), ("old.rpm", &old.rpm), ("new.rpm", &new.rpm)];
    for (name, from) in files {
        fs::copy(from, work.path().join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    fs::write(work.path().join("script"), script).context("cannot write the script")?;
    let mut container = Command::new("unshare");
    container.args([
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--net",
        "--uts",
        "--ipc",
        "--propagation",
        "private",
    ]);
    container.args(["sh", "-c", CONTAINER, "sh"]).arg(lower).arg(work.path());
    let output = container.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start unshare")?;
    let said = String::from_utf8_lossy(&output.stdout);
    script_checks::judge(&said).with_context(|| format!("in Debian {}; all output:\n{said}", system.release))
}
