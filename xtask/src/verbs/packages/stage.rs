//! The directory from which packages are made: the manifest with the version, and the files that the checkout has not.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use xtask_support::{arch::Arch, shell};

use crate::verbs::dist::notices;

const MANIFEST: &str = "deploy/packages/manifest.toml";
const UNIT: &str = "deploy/systemd/syscallmon.service";
/// Where the unit of the checkout expects the binary, and where packages install it.
const BY_HAND: &str = "/usr/local/bin/syscallmon";
const PACKAGED: &str = "/usr/bin/syscallmon";

/// Fills the directory.
pub(super) fn fill(root: &Path, dir: &Path, (arch, binary): (Arch, &Path), version: &str, epoch: u64) -> Result<()> {
    let manifest = manifest(&read(root, MANIFEST)?, version)?;
    let changelog = changelog(&manifest, version, epoch)?;
    let files = [
        ("Cargo.toml", manifest.to_string()),
        // cargo refuses a crate without a source.
        ("main.rs", "fn main() {}\n".to_owned()),
        ("syscallmon.service", unit(&read(root, UNIT)?)?),
        ("changelog", changelog),
        ("THIRD-PARTY-LICENSES", notices::text(root, arch)?),
    ];
    for (name, text) in files {
        fs::write(dir.join(name), text).with_context(|| format!("cannot write {name} in {}", dir.display()))?;
    }
    fs::copy(binary, dir.join("syscallmon")).with_context(|| format!("cannot copy {}", binary.display()))?;
    symlink(root, dir.join("checkout")).with_context(|| format!("cannot make a link in {}", dir.display()))
}

fn read(root: &Path, file: &str) -> Result<String> {
    fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))
}

/// Returns the manifest as cargo understands it, with this version.
fn manifest(text: &str, version: &str) -> Result<toml::Table> {
    let mut manifest: toml::Table = text.parse().with_context(|| format!("cannot understand {MANIFEST}"))?;
    let package = manifest["package"].as_table_mut().with_context(|| format!("{MANIFEST} has no package"))?;
    package.insert("version".to_owned(), version.into());
    let bin: toml::Table =
        [("name".to_owned(), "none".into()), ("path".to_owned(), "main.rs".into())].into_iter().collect();
    manifest.insert("bin".to_owned(), vec![bin].into());
    Ok(manifest)
}

/// Returns the unit for a package: without the lines on how to install it by hand, and with the package's path.
fn unit(text: &str) -> Result<String> {
    let (_, settings) = text.split_once("\n[Unit]\n").with_context(|| format!("{UNIT} has no [Unit]"))?;
    let unit = settings.replace(BY_HAND, PACKAGED);
    ensure!(unit.contains(&format!("\nExecStart={PACKAGED} ")), "{UNIT} does not run {BY_HAND}");
    let header = "# Flags go to ARGS in /etc/default/syscallmon; changes to this unit to `systemctl edit syscallmon`.";
    Ok(format!("{header}\n\n[Unit]\n{unit}"))
}

/// Returns a changelog in Debian's format. It has one entry, which refers to the project's own changelog.
fn changelog(manifest: &toml::Table, version: &str, epoch: u64) -> Result<String> {
    let maintainer = manifest["package"]["metadata"]["deb"]["maintainer"].as_str();
    let maintainer = maintainer.with_context(|| format!("{MANIFEST} names no maintainer"))?;
    let mut date = Command::new("date");
    date.env("LC_ALL", "C").args(["--utc", "--rfc-email", &format!("--date=@{epoch}")]);
    let date = shell::query(&mut date, "it must be the date of coreutils")?;
    Ok(format!(
        "syscallmon ({version}-1) unstable; urgency=medium\n\n  * Release {version}: see changelog.gz.\n\n -- {maintainer}  {}\n",
        date.trim()
    ))
}

#[cfg(test)]
mod tests {
    use xtask_support::workspace;

    use super::*;

    #[test]
    fn unit_of_a_package_runs_the_package_s_binary() {
        let text = read(&workspace::root(), UNIT).unwrap();
        let unit = unit(&text).unwrap();
        assert!(unit.contains("\nExecStart=/usr/bin/syscallmon run --config.file=/etc/syscallmon.yaml"), "{unit}");
        assert!(!unit.contains("/usr/local") && !unit.contains("install -m"), "{unit}");
        // Nothing else changes, so the exposure of the committed unit is that of the package's.
        let settings = |text: &str| text.split_once("[Unit]").unwrap().1.replace(BY_HAND, PACKAGED);
        assert_eq!(settings(&unit), settings(&text));
        assert!(super::unit("[Service]\nExecStart=/usr/local/bin/syscallmon\n").is_err());
    }

    #[test]
    fn packages_have_every_man_page_and_completion_of_the_checkout() {
        let root = workspace::root();
        let manifest = manifest(&read(&root, MANIFEST).unwrap(), "1.2.3").unwrap();
        let metadata = &manifest["package"]["metadata"];
        let deb = metadata["deb"]["assets"].as_array().unwrap().iter().map(|asset| asset[0].as_str().unwrap());
        let rpm = metadata["generate-rpm"]["assets"].as_array().unwrap().iter();
        let rpm: Vec<&str> = rpm.map(|asset| asset["source"].as_str().unwrap()).collect();
        for assets in [deb.collect::<Vec<_>>(), rpm] {
            assert!(assets.contains(&"checkout/deploy/man/*.1"), "{assets:?}");
            for completion in fs::read_dir(root.join("deploy/completions")).unwrap() {
                let source = format!("checkout/deploy/completions/{}", completion.unwrap().file_name().display());
                assert!(assets.contains(&source.as_str()), "{source}: {assets:?}");
            }
        }
        assert_eq!(manifest["package"]["version"].as_str(), Some("1.2.3"));
    }

    #[test]
    fn changelog_has_the_version_and_the_date() {
        let manifest = manifest(&read(&workspace::root(), MANIFEST).unwrap(), "1.2.3").unwrap();
        let changelog = changelog(&manifest, "1.2.3", 1_700_000_000).unwrap();
        assert!(changelog.starts_with("syscallmon (1.2.3-1) unstable;"), "{changelog}");
        assert!(changelog.ends_with(">  Tue, 14 Nov 2023 22:13:20 +0000\n"), "{changelog}");
    }
}
